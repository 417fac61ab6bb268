"""Handling many things at once: what a code means, what can be done with all of them, and moving them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import Rollback

from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.ledger.log import ComponentRow, KitRow
from fleet.state.ledger.moves import move_component, move_kit
from fleet.state.ledger.store import kit_ids_of, rows, scalars
from fleet.state.lifecycle import COMPONENT_FINAL, COMPONENTS, FINAL, KITS, ComponentState, KitState
from fleet.state.logistics.codes import readings
from fleet.state.search import Hit, search
from fleet.state.texts import looks_like_cpr

_SQL = load_queries("fleet.state.logistics", "handling.sql")
MAX_THINGS = 200
"""Things handled together, at most."""
MAX_CANDIDATES = 12
_EXACT = 1
"""The rank of what carries just that id or number."""

Subject = str | int
"""A kit by its id, or a piece by its number."""
Refusal = InvalidError | NotFoundError | ForbiddenError | ConflictError
_EXPECTED = (InvalidError, NotFoundError, ForbiddenError, ConflictError)


@dataclass(frozen=True, slots=True)
class Thing:
    """A kit (`kit`) or a piece (`component_id`): what it is, whose, in which state and where."""

    kit: str | None
    component_id: int | None
    name: str
    kind: str | None
    model: str | None
    state: str
    organisation_id: int | None
    owner_id: int | None
    organisation: str | None
    location: str | None
    location_name: str | None
    at_home: bool
    in_kit: str | None

    @property
    def subject(self) -> Subject:
        """What it is asked for by."""
        if self.kit is not None:
            return self.kit
        assert self.component_id is not None, "a thing is a kit or a piece"
        return self.component_id


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means: one subject, several that it may mean, or none; `forbidden` must not be written down."""

    code: str
    subjects: tuple[Subject, ...] = ()
    forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one thing that was to be moved; `events` is empty where it was there already."""

    subject: Subject
    result: tuple[int, ...] | Refusal

    @property
    def refused(self) -> bool:
        """Whether it was not moved."""
        return not isinstance(self.result, tuple)


@dataclass(frozen=True, slots=True)
class SwapOffer:
    """A swap that the things at hand make: into `kit` goes `incoming`, out of it comes `outgoing`, or both."""

    kit: str
    incoming: int | None = None
    outgoing: int | None = None
    states: tuple[str, ...] = ()
    """What may become of the piece that comes out."""


async def meaning_of(connection: Connection, typed: str) -> Meaning:
    """What somebody scanned or typed means, in the caller's sight.

    What carries just that number goes before what ends or begins with it.
    """
    code = typed.strip()
    for reading in readings(typed):
        hits = [hit for hit in await search(connection, reading, MAX_CANDIDATES) if hit.kind != "request"]
        exact = [hit for hit in hits if hit.rank == _EXACT]
        if found := exact or hits:
            return Meaning(reading, tuple(_subject(hit) for hit in found))
    return Meaning(code, forbidden=looks_like_cpr(code))


async def things(connection: Connection, subjects: Sequence[Subject]) -> list[Thing]:
    """These kits and pieces in the order given; what the caller does not see is left out."""
    if not subjects:
        return []
    kits, pieces = _divided(subjects)
    found = await fetch_all(connection, _SQL["things"], {"kits": kits, "component_ids": pieces}, Thing)
    by_subject = {each.subject: each for each in found}
    return [by_subject[each] for each in dict.fromkeys(subjects) if each in by_subject]


async def move_together(
    connection: Connection,
    subjects: Sequence[Subject],
    location: str,
    *,
    reason: str | None,
    by: Principal,
    itemised: bool,
    dry_run: bool = False,
) -> tuple[list[Moved], bool]:
    """Move things to a place in one transaction; gives what became of each, and whether it was kept.

    All or nothing unless `itemised`. A dry run keeps nothing.
    """
    outcomes: list[Moved] = []
    kept = False
    async with connection.transaction() as transaction:
        for subject in await _locked(connection, subjects):
            outcomes.append(await _move(connection, subject, location, reason, by))
        kept = not dry_run and (itemised or not any(each.refused for each in outcomes))
        if not kept:
            raise Rollback(transaction)
    return outcomes, kept


def common_steps(handled: Sequence[Thing], by: Principal) -> list[str]:
    """The states that each of these may go to by a step that the caller's roles allow."""
    if not handled:
        return []
    allowed = [_allowed(each, by) for each in handled]
    return [state for state in allowed[0] if all(state in others for others in allowed[1:])]


def can_move(handled: Sequence[Thing]) -> bool:
    """Whether each of these can be said to be elsewhere: a piece in a kit is where the kit is, what is gone is gone."""
    gone = {state.value for state in (*FINAL, *COMPONENT_FINAL)}
    return bool(handled) and all(each.in_kit is None and each.state not in gone for each in handled)


def swap_offer(handled: Sequence[Thing], by: Principal) -> SwapOffer | None:
    """The swap that two things make: a kit and a piece, or a piece in a kit and one that is in none."""
    kits = [each for each in handled if each.kit is not None]
    pieces = [each for each in handled if each.component_id is not None]
    if len(handled) != 2 or not pieces:
        return None
    held = [each for each in pieces if each.in_kit is not None]
    free = [each for each in pieces if each.in_kit is None]
    if len(held) > 1 or len(free) > 1:
        return None
    kit = held[0].in_kit if held else kits[0].kit
    if kit is None or any(each.kit != kit for each in kits):
        return None
    return SwapOffer(
        kit,
        incoming=free[0].component_id if free else None,
        outgoing=held[0].component_id if held else None,
        states=_after(held[0], by) if held else (),
    )


def _after(piece: Thing, by: Principal) -> tuple[str, ...]:
    """What may become of a piece that comes out; what is faulty comes out faulty."""
    held = {ComponentState.IN_KIT.value}
    states = [state for state in _allowed(piece, by) if state not in held]
    return tuple(dict.fromkeys([piece.state, *states] if piece.state not in held else states))


def _allowed(thing: Thing, by: Principal) -> list[str]:
    roles = by.roles_for(thing.organisation_id, thing.owner_id)
    if thing.kit is not None:
        return [state.value for state in KITS.allowed(KitState(thing.state), roles)]
    allowed = COMPONENTS.allowed(ComponentState(thing.state), roles)
    # Into a kit a piece goes by a swap; one that is mended in its kit stays in it.
    return [
        state.value
        for state in allowed
        if state is not ComponentState.IN_KIT or (thing.in_kit is not None and thing.state != state)
    ]


async def _move(connection: Connection, subject: Subject, location: str, reason: str | None, by: Principal) -> Moved:
    try:
        if isinstance(subject, str):
            return Moved(subject, await move_kit(connection, subject, location=location, reason=reason, by=by))
        return Moved(subject, await move_component(connection, subject, location=location, reason=reason, by=by))
    except _EXPECTED as error:
        return Moved(subject, error)


async def _locked(connection: Connection, subjects: Sequence[Subject]) -> list[Subject]:
    """Lock all before the first is moved, kits by number and then pieces, as everywhere; gives them in that order."""
    kits, pieces = _divided(subjects)
    numbers = await kit_ids_of(connection, kits)
    holding = await scalars(connection, "kits_holding", {"component_ids": pieces})
    await rows(connection, KitRow, "lock_kits", {"kit_ids": sorted({*numbers.values(), *holding})})
    await rows(connection, ComponentRow, "lock_components", {"component_ids": sorted(set(pieces))})
    return [*sorted(set(kits), key=_by(numbers)), *sorted(set(pieces))]


def _by(numbers: Mapping[str, int]) -> Callable[[str], tuple[int, str]]:
    return lambda kit: (numbers.get(kit, 0), kit)


def _divided(subjects: Sequence[Subject]) -> tuple[list[str], list[int]]:
    return [each for each in subjects if isinstance(each, str)], [each for each in subjects if isinstance(each, int)]


def _subject(hit: Hit) -> Subject:
    if hit.kind == "component":
        assert hit.component_id is not None, "a hit of a component has its number"
        return hit.component_id
    assert hit.kit is not None, "a hit of a kit has its id"
    return hit.kit
