"""Pieces into kits and out of them: a swap is one event, old out and new in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fleet.access.principal import Principal
from fleet.errors import ConflictError, InvalidError
from fleet.state.ledger.book import Place, value_at
from fleet.state.ledger.events import Event, What
from fleet.state.ledger.facts import piece_facts
from fleet.state.ledger.guards import Unmet, UnmetCode, unmet
from fleet.state.ledger.log import ComponentRow, KitRow, Log
from fleet.state.ledger.places import check_location
from fleet.state.ledger.steps import (
    Blocked,
    Taken,
    allowed_step,
    check_open,
    check_reason,
    component_of,
    kit_place,
    location_place,
    refused,
    where,
)
from fleet.state.ledger.store import Connection, Entry, kit_id_of, opened
from fleet.state.ledger.writing import Marks, Moment, moment, write
from fleet.state.lifecycle import COMPONENTS, SWAPPING, ComponentState, Guard, KitState, NotAllowed


@dataclass(frozen=True, slots=True)
class Swap:
    """Components by number: `incoming` goes into the kit, `outgoing` comes out, is `state` then and goes to `location`.

    Without a location a piece that comes out is where the kit is. `occurred_at` back-dates it; `override` goes past
    guards, where the caller may, and says why in `reason`.
    """

    incoming: int | None = None
    outgoing: int | None = None
    state: ComponentState | None = None
    location: str | None = None
    occurred_at: datetime | None = None
    reason: str | None = None
    override: bool = False


def check_swap(change: Swap) -> None:
    """Refuse what no kit's state makes right; raises InvalidError."""
    if change.incoming is None and change.outgoing is None:
        raise InvalidError("incoming", "name the piece that goes in, the one that comes out, or both")
    if change.incoming == change.outgoing:
        raise InvalidError("incoming", "is the piece that comes out: name another one")
    if change.outgoing is not None and change.state is None:
        raise InvalidError("state", "say what becomes of the piece that comes out, for example faulty or cleaning")
    if change.outgoing is None and change.state is not None:
        raise InvalidError("state", "is for the piece that comes out, and none is named: give outgoing")
    if change.state is ComponentState.IN_KIT:
        raise InvalidError("state", "a piece that comes out is not in a kit")
    check_location(change.location)
    target = change.state or ComponentState.IN_KIT
    check_reason(COMPONENTS.missing_data(target, reason=change.reason), target, change.reason, override=change.override)


async def swap(connection: Connection, kit: str, change: Swap, *, by: Principal) -> Taken | Blocked | NotAllowed:
    """Put a piece into a kit, take one out, or both in one event.

    Raises InvalidError, NotFoundError, ForbiddenError for a role that has no part in it, and ConflictError when the kit
    is closed (ready, in stock …) or what happened since makes it impossible.
    """
    check_swap(change)
    kit_id = await kit_id_of(connection, kit)
    named = [each for each in (change.incoming, change.outgoing) if each is not None]
    async with connection.transaction(), opened(connection, kits=[kit_id], components=named) as log:
        kit_row = log.kits[kit_id]
        pieces = {each: component_of(log, each) for each in named}
        when = moment(log, change.occurred_at, kits=[kit_id], components=named)
        state = value_at(log.kit(kit_id).states, when.at) or log.kit(kit_id).state
        _check_open(log, kit_row, state, change, when)
        sides = _sides(change, pieces)
        refusal, missing = _judge(log, kit_row, sides, when, by)
        if refusal is not None:
            return refusal
        override = False
        if missing:
            whose = (kit_row.organisation_id, kit_row.owner_id)
            blocked, override = refused(missing, change.override, by, *whose)
            if blocked is not None:
                return blocked
        entry = Entry(
            _event(kit_row, change, when, await _place(connection, log, kit_row, change, when)),
            pieces[change.outgoing].state if change.outgoing is not None else ComponentState.IN_STOCK,
            backdated=when.backdated,
            override=override,
            reason=change.reason,
        )
        numbers = await write(connection, log, [entry], _marks(change, pieces), by=by)
        return Taken(numbers, state, state)


@dataclass(frozen=True, slots=True)
class _Side:
    piece: ComponentRow
    target: ComponentState


def _sides(change: Swap, pieces: dict[int, ComponentRow]) -> list[_Side]:
    """Out comes first: what goes in takes its place."""
    sides = []
    if change.outgoing is not None and change.state is not None:
        sides.append(_Side(pieces[change.outgoing], change.state))
    if change.incoming is not None:
        sides.append(_Side(pieces[change.incoming], ComponentState.IN_KIT))
    return sides


def _judge(
    log: Log, kit: KitRow, sides: list[_Side], when: Moment, by: Principal
) -> tuple[NotAllowed | None, tuple[Unmet, ...]]:
    """A step that the table does not have, or the guards that are not met."""
    missing: list[Unmet] = []
    kit_state = value_at(log.kit(kit.kit_id).states, when.at)
    for side in sides:
        book = log.component(side.piece.component_id)
        source = value_at(book.states, when.at) or book.state
        if source is side.target and side.target is not ComponentState.IN_KIT:
            continue  # What is faulty comes out faulty: it only leaves the kit.
        step = allowed_step(COMPONENTS, source, side.target, by, side.piece)
        if isinstance(step, NotAllowed):
            return step, ()
        missing += unmet(step.guards, piece_facts(side.piece, book, when.at, kit_state))
    if len({side.piece.kind for side in sides}) > 1:
        old, new = sides[0].piece.kind, sides[1].piece.kind
        facts = {"outgoing": old, "incoming": new}
        missing.append(Unmet(Guard.BUNDLE_COMPLETE, UnmetCode.KIND_DIFFERS, facts))
    return None, tuple(missing)


def _check_open(log: Log, kit: KitRow, state: KitState, change: Swap, when: Moment) -> None:
    if change.outgoing is not None:
        check_open(log, kit.kit_id, when)
    if change.incoming is not None and state not in SWAPPING:
        known = ", ".join(sorted(SWAPPING))
        raise ConflictError(f"kit {kit.kit} is {state}: pieces go into a kit that is one of {known}")


async def _place(connection: Connection, log: Log, kit: KitRow, change: Swap, when: Moment) -> Place | None:
    if change.outgoing is None:
        return None
    if change.location is not None:
        return await location_place(connection, change.location)
    return None if change.state is ComponentState.LOST else kit_place(log, kit.kit_id, when)


def _event(kit: KitRow, change: Swap, when: Moment, place: Place | None) -> Event:
    return Event(
        event_id=0,
        occurred_at=when.at,
        what=What.SWAP,
        kit_id=kit.kit_id,
        component_id=change.incoming,
        removed_id=change.outgoing,
        to_state=change.state,
        organisation_id=kit.organisation_id,
        owner_id=kit.owner_id,
        **where(place),
    )


def _marks(change: Swap, pieces: dict[int, ComponentRow]) -> Marks:
    serials = {number: row.serial for number, row in pieces.items()}
    return Marks(
        "kit.swapped",
        {"in": serials.get(change.incoming or 0), "out": serials.get(change.outgoing or 0), "state": change.state},
    )
