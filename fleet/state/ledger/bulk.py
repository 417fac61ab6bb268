"""Many steps at once: all of them or none, or each by itself.

The kits are locked in order of their numbers and then the pieces, all of them before the first step, and the steps are
taken in the order of the kits: two of these, and ingest, wait for each other and never in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from psycopg import Rollback

from fleet.access.principal import Principal
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.ledger.log import ComponentRow, KitRow
from fleet.state.ledger.steps import (
    Blocked,
    ComponentStep,
    KitStep,
    Taken,
    take_component_step,
    take_kit_step,
)
from fleet.state.ledger.store import Connection, kit_ids_of, rows, scalars
from fleet.state.ledger.wording import english
from fleet.state.lifecycle import NotAllowed

MAX_ITEMS = 500
CHUNK = 25
"""Steps of one transaction where each stands by itself and is told as it is done."""

Refusal = Blocked | NotAllowed | InvalidError | NotFoundError | ForbiddenError | ConflictError
_EXPECTED = (InvalidError, NotFoundError, ForbiddenError, ConflictError)


@dataclass(frozen=True, slots=True)
class Item:
    """One step of a kit (by id) or of a component (by number); `index` is its place in what was asked."""

    index: int
    subject: str | int
    step: KitStep | ComponentStep


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item: the step that was taken, or why not."""

    index: int
    result: Taken | Refusal

    @property
    def refused(self) -> bool:
        """Whether it was not taken."""
        return not isinstance(self.result, Taken)


Tell = Callable[[Outcome], None]


async def take_together(
    connection: Connection, items: Sequence[Item], *, by: Principal, tell: Tell, itemised: bool, dry_run: bool = False
) -> bool:
    """Take steps in one transaction and tell each as it is tried; answers whether they were kept.

    All or nothing unless `itemised`: then what is refused leaves the others as they are. A dry run keeps nothing.
    """
    kept = False
    async with connection.transaction() as transaction:
        refused = 0
        for item in await _locked(connection, items):
            outcome = Outcome(item.index, await _take(connection, item, by))
            refused += outcome.refused
            tell(outcome)
        kept = not dry_run and (itemised or not refused)
        if not kept:
            raise Rollback(transaction)
    return kept


async def chunks(connection: Connection, items: Sequence[Item]) -> list[list[Item]]:
    """Items in the order in which they are taken, cut for transactions of their own."""
    return [list(chunk) for chunk in _batched(await _in_order(connection, items), CHUNK)]


def why(refusal: Refusal) -> str:
    """Why a step was refused, as one says it."""
    match refusal:
        case Blocked():
            return "; ".join(english(each) for each in refusal.unmet)
        case NotAllowed():
            return f"there is no step from {refusal.source} to {refusal.target}"
    return str(refusal)


async def _take(connection: Connection, item: Item, by: Principal) -> Taken | Refusal:
    try:
        if isinstance(item.step, KitStep):
            return await take_kit_step(connection, str(item.subject), item.step, by=by)
        return await take_component_step(connection, int(item.subject), item.step, by=by)
    except _EXPECTED as error:
        return error


async def _in_order(connection: Connection, items: Sequence[Item]) -> list[Item]:
    """Kits by number, then components by number; several steps of one in the order given."""
    numbers = await kit_ids_of(connection, [str(item.subject) for item in items if isinstance(item.step, KitStep)])

    def order(item: Item) -> tuple[bool, int]:
        if isinstance(item.step, KitStep):
            return False, numbers.get(str(item.subject), 0)
        return True, int(item.subject)

    return sorted(items, key=order)


async def _locked(connection: Connection, items: Sequence[Item]) -> list[Item]:
    ordered = await _in_order(connection, items)
    numbers = await kit_ids_of(connection, [str(item.subject) for item in items if isinstance(item.step, KitStep)])
    named = [int(item.subject) for item in items if not isinstance(item.step, KitStep)]
    holding = await scalars(connection, "kits_holding", {"component_ids": named})
    kits = sorted({*numbers.values(), *holding})
    await rows(connection, KitRow, "lock_kits", {"kit_ids": kits})
    held = await scalars(connection, "components_held", {"kit_ids": kits})
    await rows(connection, ComponentRow, "lock_components", {"component_ids": sorted({*named, *held})})
    return ordered


def _batched(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
