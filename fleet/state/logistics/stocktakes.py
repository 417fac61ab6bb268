"""Stock-takes: somebody scans what is at a place, and the system lists what is missing, misplaced, extra or unknown.

Nothing in the books changes by counting. Closing a stock-take keeps its result for good, and moves or writes off only
what is asked for item by item.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.ledger.moves import move_component, move_kit
from fleet.state.ledger.steps import ComponentStep, KitStep, take_component_step, take_kit_step
from fleet.state.lifecycle import ComponentState, KitState
from fleet.state.logistics.common import location_of, taken
from fleet.state.registry.checks import checked

_SQL = load_queries("fleet.state.logistics", "stocktakes.sql")
MAX_ITEMS = 100_000
MAX_RESOLUTIONS = 500


class Finding(StrEnum):
    """How the books and the shelf compare for one item."""

    PRESENT = "present"
    MISSING = "missing"
    MISPLACED = "misplaced"
    EXTRA = "extra"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What is done about an item when a stock-take is closed."""

    MOVE = "move"
    LOST = "lost"
    FOUND = "found"


FITTING: Mapping[Finding, frozenset[Action]] = {
    Finding.MISSING: frozenset({Action.LOST}),
    Finding.MISPLACED: frozenset({Action.MOVE}),
    Finding.EXTRA: frozenset({Action.MOVE, Action.FOUND}),
}
"""What can be done about which finding; what is found was lost, and what is in place is left alone."""

RESOLUTIONS: Mapping[Action, str] = {Action.MOVE: "moved", Action.LOST: "lost", Action.FOUND: "found"}


@dataclass(frozen=True, slots=True)
class Stocktake:
    """A count of one place; `counts` (finding → items) are those of now until it is closed, then those of then.

    Expected are pieces of the organisation, of those below it and of those it has agreements with; without one all.
    """

    stocktake_id: int
    organisation: str | None
    organisation_id: int | None
    location: str | None
    location_id: int
    state: str
    note: str
    opened_at: datetime
    opened_by: str
    ended_at: datetime | None
    ended_by: str | None
    counts: Mapping[str, int] | None
    revision: int


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a result: a kit, a piece, or a code that nobody knows. `item` is what the list is ordered by."""

    item: str
    finding: Finding
    kit_id: int | None
    kit: str | None
    component_id: int | None
    name: str
    model_id: int | None
    kind: str | None
    manufacturer: str | None
    model: str | None
    state: str | None
    location: str | None
    in_kit: str | None
    resolution: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What to do about one item: `move` it here, write it off as `lost` (with a reason), or take it in as `found`."""

    action: Action
    component_id: int | None = None
    kit: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A stock-take, locked by whoever holds this."""

    stocktake_id: int
    state: str
    location_id: int
    organisation_id: int | None


FILTERS = ("state", "location", "organisation")


async def list_stocktakes(
    connection: Connection, *, after: int = 0, limit: int = 100, **chosen: Any
) -> list[Stocktake]:
    """Stock-takes by number; filters of `FILTERS`, None does not count. Open ones have no counts here."""
    values = {**dict.fromkeys((*FILTERS, "id")), **chosen, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["list"], values, Stocktake)


async def find_stocktake(connection: Connection, stocktake_id: int) -> Stocktake:
    """One stock-take, with the counts of now while it is open; raises NotFoundError."""
    found = await list_stocktakes(connection, id=stocktake_id, limit=1)
    if not found:
        raise NotFoundError("stock-take", str(stocktake_id))
    if found[0].state != "open":
        return found[0]
    rows = await fetch_dicts(connection, _SQL["counts"], _standing(found[0]))
    return replace(found[0], counts=_counted({row["finding"]: row["count"] for row in rows}))


async def open_stocktake(
    connection: Connection, *, location: str, organisation: str | None = None, note: str = "", by: Principal
) -> Stocktake:
    """Begin to count a place; without an organisation for that of the place.

    Raises InvalidError, and ConflictError when it is being counted already.
    """
    checked({"note": note})
    async with connection.transaction():
        place = await location_of(connection, location)
        values = {
            "location_id": place.location_id,
            "organisation_id": await organisations.id_of(connection, organisation or place.organisation),
            "note": note,
            "actor": by.actor,
        }
        try:
            async with connection.transaction():
                made = await fetch_value(connection, _SQL["open"], values)
        except UniqueViolation:
            raise ConflictError(f"{place.slug} is being counted already: close that first") from None
        return await find_stocktake(connection, made)


async def result(
    connection: Connection, stocktake: Stocktake, *, after: str = "", limit: int = 100, finding: str | None = None
) -> list[Item]:
    """The items of a stock-take: as things stand while it is open, as they stood once it is closed."""
    query = "results" if stocktake.state == "closed" else "standing"
    values = {**_standing(stocktake), "after": after, "limit": limit, "finding": finding}
    return await fetch_all(connection, _SQL[query], values, Item)


async def close(
    connection: Connection, stocktake_id: int, resolutions: Sequence[Resolution] = (), *, by: Principal
) -> Stocktake:
    """Keep the result for good, and do what is asked about single items, all or nothing.

    Raises NotFoundError, InvalidError, ForbiddenError, and ConflictError when it is over or an item cannot go so.
    """
    async with connection.transaction():
        held = await hold(connection, stocktake_id, "lock")
        stocktake = await find_stocktake(connection, stocktake_id)
        items = await result(connection, stocktake, limit=MAX_ITEMS + 1)
        if len(items) > MAX_ITEMS:
            raise ConflictError(f"more than {MAX_ITEMS} items: count a smaller place")
        chosen = matched(items, resolutions)
        for key in sorted(chosen, key=_in_order_of_locks):
            await _resolve_item(connection, stocktake, key, chosen, by=by)
        done = [_resolved(each, chosen) for each in items]
        about = {"stocktake_id": stocktake_id, "organisation_id": held.organisation_id}
        await connection.execute(_SQL["keep"], {**about, "results": Jsonb([asdict(each) for each in done])})
        counts = _counted(_tally(done))
        await _end(connection, stocktake_id, "closed", counts=counts, by=by)
        return await find_stocktake(connection, stocktake_id)


async def cancel(connection: Connection, stocktake_id: int, *, by: Principal) -> Stocktake:
    """Give up a stock-take: what was scanned stays, no result is kept. Raises NotFoundError, ConflictError."""
    async with connection.transaction():
        await hold(connection, stocktake_id, "lock")
        await _end(connection, stocktake_id, "cancelled", counts=None, by=by)
        return await find_stocktake(connection, stocktake_id)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An item and what is to be done about it."""

    item: Item
    resolution: Resolution


def matched(items: Collection[Item], resolutions: Sequence[Resolution]) -> dict[str, Chosen]:
    """The items that something is to be done about, by key; raises InvalidError for what is not in the result."""
    pieces: dict[int | None, Item] = {each.component_id: each for each in items if each.component_id is not None}
    kits: dict[str, Item] = {each.kit: each for each in items if each.kit is not None}
    chosen: dict[str, Chosen] = {}
    for each in resolutions:
        if (each.component_id is None) == (each.kit is None):
            raise InvalidError("component_id", "name a component or a kit")
        item = kits.get(each.kit) if each.kit is not None else pieces.get(each.component_id)
        name = each.kit or each.component_id
        if item is None:
            raise InvalidError("resolutions", f"{name} is not in the result")
        if each.action not in FITTING.get(item.finding, frozenset()):
            raise InvalidError("action", f"{name} is {item.finding}: {each.action} does not fit that")
        if item.item in chosen:
            raise InvalidError("resolutions", f"{name} stands twice")
        chosen[item.item] = Chosen(item, each)
    return chosen


async def _resolve_item(
    connection: Connection, stocktake: Stocktake, key: str, chosen: Mapping[str, Chosen], *, by: Principal
) -> None:
    item, asked = chosen[key].item, chosen[key].resolution
    location, reason = stocktake.location, asked.reason
    if location is None:
        raise ConflictError("the place is not yours any more")
    if item.kit is not None:
        if asked.action is Action.MOVE:
            await move_kit(connection, item.kit, location=location, reason=reason, by=by)
            return
        step = KitStep(KitState.LOST, reason=reason)
        if asked.action is Action.FOUND:
            step = KitStep(KitState.RETRIEVED, location=location, reason=reason)
        taken(await take_kit_step(connection, item.kit, step, by=by), f"kit {item.kit}")
        return
    assert item.component_id is not None
    if asked.action is Action.MOVE:
        await move_component(connection, item.component_id, location=location, reason=reason, by=by)
        return
    piece_step = ComponentStep(ComponentState.LOST, reason=reason)
    if asked.action is Action.FOUND:
        piece_step = ComponentStep(ComponentState.CLEANING, location=location, reason=reason)
    taken(await take_component_step(connection, item.component_id, piece_step, by=by), f"component {item.name}")


def _in_order_of_locks(key: str) -> tuple[bool, str]:
    """Kits before components, each by number, as everywhere."""
    return not key.startswith("k:"), key


def _resolved(item: Item, chosen: Mapping[str, Chosen]) -> Item:
    if item.item not in chosen:
        return item
    asked = chosen[item.item].resolution
    return replace(item, resolution=RESOLUTIONS[asked.action], reason=asked.reason)


def _tally(items: Collection[Item]) -> dict[str, int]:
    made: dict[str, int] = {}
    for each in items:
        made[each.finding] = made.get(each.finding, 0) + 1
    return made


def _counted(found: Mapping[str, int]) -> dict[str, int]:
    return {each.value: found.get(each.value, 0) for each in Finding}


def _standing(stocktake: Stocktake) -> dict[str, Any]:
    return {
        "stocktake_id": stocktake.stocktake_id,
        "location_id": stocktake.location_id,
        "organisation_id": stocktake.organisation_id,
    }


async def hold(connection: Connection, stocktake_id: int, lock: Literal["share", "lock"]) -> Held:
    """Lock an open stock-take, to scan together or to close alone; raises NotFoundError, ConflictError."""
    found = await fetch_one(connection, _SQL[lock], {"id": stocktake_id}, Held)
    if found is None:
        raise NotFoundError("stock-take", str(stocktake_id))
    if found.state != "open":
        raise ConflictError(f"stock-take {stocktake_id} is {found.state}")
    return found


async def _end(
    connection: Connection, stocktake_id: int, state: str, *, counts: Mapping[str, int] | None, by: Principal
) -> None:
    values = {
        "id": stocktake_id,
        "state": state,
        "actor": by.actor,
        "counts": None if counts is None else Jsonb(dict(counts)),
    }
    await connection.execute(_SQL["end"], values)
