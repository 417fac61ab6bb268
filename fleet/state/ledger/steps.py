"""Steps of the lifecycle: a kit's and a component's, judged by its table and its guards, then written to the log."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.ledger import places
from fleet.state.ledger.book import ComponentBook, KitBook, Place, value_at
from fleet.state.ledger.events import Event, What
from fleet.state.ledger.facts import kit_facts, piece_facts
from fleet.state.ledger.guards import Facts, KitFacts, Unmet, unmet
from fleet.state.ledger.log import ComponentRow, KitRow, Log
from fleet.state.ledger.store import Connection, Entry, kit_id_of, opened
from fleet.state.ledger.writing import Marks, Moment, moment, write
from fleet.state.lifecycle import (
    COMPONENTS,
    FINAL,
    HELD,
    KITS,
    OVERRIDABLE,
    SEALED,
    ComponentState,
    Guard,
    KitState,
    Machine,
    NotAllowed,
    Step,
)
from fleet.state.texts import bad_text

T = TypeVar("T", KitState, ComponentState)


@dataclass(frozen=True, slots=True)
class KitStep:
    """A step of a kit; to a `location` (slug or name) or the home of a `placement` (number), else it stays where it is.

    `occurred_at` back-dates it; `arrived_at` is when it came to where it is installed, for the proof of function,
    unless a move told that. `override` takes it although guards are not met, where the caller may, and says why in
    `reason`. `with_components` lets the pieces go the same way out of the books.
    """

    to: KitState
    location: str | None = None
    placement: int | None = None
    reason: str | None = None
    occurred_at: datetime | None = None
    arrived_at: datetime | None = None
    override: bool = False
    with_components: bool = False


@dataclass(frozen=True, slots=True)
class ComponentStep:
    """A step of a component; as `KitStep`. Out of a kit it comes by it, where the state says so."""

    to: ComponentState
    location: str | None = None
    reason: str | None = None
    occurred_at: datetime | None = None
    override: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What was written: the numbers of the events, and from which state to which."""

    event_ids: tuple[int, ...]
    from_state: str
    to_state: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Guards that are not met; `overridable` when the caller may take the step all the same, with a reason."""

    unmet: tuple[Unmet, ...]
    overridable: bool


async def take_kit_step(
    connection: Connection, kit: str, step: KitStep, *, by: Principal
) -> Taken | Blocked | NotAllowed:
    """Take one step of a kit's life.

    Raises InvalidError for missing or bad data (whatever the kit's state), NotFoundError, ForbiddenError for a role
    that has no part in the step, and ConflictError when what happened since makes it impossible.
    """
    check_kit_step(step)
    kit_id = await kit_id_of(connection, kit)
    async with connection.transaction(), opened(connection, kits=[kit_id], bundles=True) as log:
        row, book = log.kits[kit_id], log.kit(kit_id)
        when = moment(log, step.occurred_at, kits=[kit_id], components=_pieces_going(log, kit_id, step))
        source = value_at(book.states, when.at) or book.state
        found = allowed_step(KITS, source, step.to, by, row)
        if isinstance(found, NotAllowed):
            return found
        place = await _place(connection, row, book, step)
        facts = KitFacts(when.at)
        if found.guards:
            facts = _as_told(await kit_facts(connection, log, kit_id, book, when.at), step)
        blocked, override = judged(found, facts, step, by, row)
        if blocked is not None:
            return blocked
        entries = _kit_entries(log, row, step, _How(source, place, when, override))
        marks = Marks("kit.moved", {"from": source.value, "to": step.to.value})
        return Taken(await write(connection, log, entries, marks, by=by), source, step.to)


async def take_component_step(
    connection: Connection, component_id: int, step: ComponentStep, *, by: Principal
) -> Taken | Blocked | NotAllowed:
    """Take one step of a component's life; one in a kit comes out by it unless it only breaks or is mended there.

    Raises as `take_kit_step`.
    """
    check_component_step(step)
    async with connection.transaction(), opened(connection, components=[component_id]) as log:
        row = component_of(log, component_id)
        when = moment(log, step.occurred_at, kits=_kit_of(row), components=[component_id])
        book = log.component(component_id)
        held_in = value_at(book.memberships, when.at)
        source = value_at(book.states, when.at) or book.state
        found = allowed_step(COMPONENTS, source, step.to, by, row)
        if isinstance(found, NotAllowed):
            return found
        if source is ComponentState.IN_STOCK and step.to is ComponentState.IN_KIT:
            raise InvalidError("to", "a piece comes into a kit by a swap: POST /api/v1/kits/{kit}/swaps")
        leaves = held_in is not None and step.to not in HELD
        if leaves:
            check_open(log, held_in, when)
        blocked, override = judged(found, _piece_facts(log, row, book, when, held_in), step, by, row)
        if blocked is not None:
            return blocked
        place = await location_place(connection, step.location)
        if place is None and leaves and step.to is not ComponentState.LOST:
            place = kit_place(log, held_in, when)
        event = _component_event(row, step, when, place, kit_id=held_in if leaves else None)
        entry = Entry(event, source, backdated=when.backdated, override=override, reason=step.reason)
        marks = Marks("component.moved", {"from": source.value, "to": step.to.value, "serial": row.serial})
        return Taken(await write(connection, log, [entry], marks, by=by), source, step.to)


def check_kit_step(step: KitStep) -> None:
    """Refuse what no kit's state makes right; raises InvalidError."""
    _check_step(KITS, step)
    if step.placement is not None and step.location is not None:
        raise InvalidError("placement", "give a location or a placement, not both")
    if step.with_components and step.to not in FINAL:
        raise InvalidError("with_components", f"is for steps to {' and '.join(sorted(FINAL))}")
    if step.arrived_at is not None and step.to is not KitState.INSTALLED:
        raise InvalidError("arrived_at", f"is for steps to {KitState.INSTALLED}")


def check_component_step(step: ComponentStep) -> None:
    """Refuse what no component's state makes right; raises InvalidError."""
    _check_step(COMPONENTS, step)


def check_reason(missing: Set[str], target: str, reason: str | None, *, override: bool) -> None:
    """Refuse a step without the reason that it needs; raises InvalidError."""
    if reason is not None and (problem := bad_text(reason)) is not None:
        raise InvalidError("reason", problem)
    if missing:
        raise InvalidError("reason", f"is required for a step to {target}")
    if override and not reason:
        raise InvalidError("reason", "is required to override: say why")


def allowed_step(
    machine: Machine[T], source: T, target: T, by: Principal, row: KitRow | ComponentRow
) -> Step[T] | NotAllowed:
    """The step of the table, or which there are; raises ForbiddenError when the caller's roles have no part in it."""
    roles = by.roles_for(row.organisation_id, row.owner_id)
    step = machine.transition(source, target, roles)
    if not isinstance(step, NotAllowed) and not step.roles & roles:
        wanted = ", ".join(sorted(step.roles))
        raise ForbiddenError(f"a step from {source} to {target} takes one of the roles {wanted} there")
    return step


def judged(
    found: Step[Any], facts: Facts, step: KitStep | ComponentStep, by: Principal, row: KitRow | ComponentRow
) -> tuple[Blocked | None, bool]:
    """Whether guards stand in the way, and if not, whether that is so by an override."""
    missing = unmet(found.guards, facts)
    if not missing:
        return None, False
    return refused(missing, step.override, by, row.organisation_id, row.owner_id)


def refused(
    missing: tuple[Unmet, ...], override: bool, by: Principal, *organisation_ids: int | None
) -> tuple[Blocked | None, bool]:
    """Guards that are not met stand in the way, unless the caller overrides them and may."""
    may = may_override(by, {each.guard for each in missing}, *organisation_ids)
    if override and may:
        return None, True
    return Blocked(missing, may), False


def may_override(by: Principal, guards: Set[Guard], *organisation_ids: int | None) -> bool:
    """Whether the caller may take a step although these guards are not met."""
    return guards <= OVERRIDABLE and by.holds(Permission.KITS_OVERRIDE, *organisation_ids)


def component_of(log: Log, component_id: int) -> ComponentRow:
    """The locked component; raises NotFoundError when the caller does not see it."""
    found = log.components.get(component_id)
    if found is None:
        raise NotFoundError("component", str(component_id))
    return found


def check_open(log: Log, kit_id: int | None, when: Moment) -> None:
    """Refuse to take a piece out of a kit that is ready; raises ConflictError."""
    row = log.kits.get(kit_id or 0)
    state = None if row is None else value_at(log.kit(row.kit_id).states, when.at)
    if row is not None and state is not None and state in SEALED:
        raise ConflictError(f"kit {row.kit} is ready to go: take it back to preparing first")


def kit_place(log: Log, kit_id: int | None, when: Moment) -> Place | None:
    """Where a kit was."""
    return value_at(log.kit(kit_id).stays, when.at) if kit_id in log.kits and kit_id is not None else None


async def location_place(connection: Connection, text: str | None) -> Place | None:
    """The location called so; raises InvalidError."""
    return None if text is None else Place(location_id=await places.location_id(connection, text))


def _as_told(facts: KitFacts, step: KitStep) -> KitFacts:
    """The facts with what the caller says: proof counts from the arrival, if that is later than what is known."""
    arrived = step.arrived_at
    if arrived is not None and arrived > facts.at:
        raise InvalidError("arrived_at", "is after the step")
    proof_from = facts.proof_from if arrived is None else max(arrived, facts.proof_from or arrived)
    return replace(facts, with_components=step.with_components, proof_from=proof_from)


def _check_step(machine: Machine[Any], step: KitStep | ComponentStep) -> None:
    check_reason(machine.missing_data(step.to, reason=step.reason), step.to, step.reason, override=step.override)
    places.check_location(step.location)


def _kit_of(row: ComponentRow) -> list[int]:
    return [] if row.kit_id is None else [row.kit_id]


def _piece_facts(log: Log, row: ComponentRow, book: ComponentBook, when: Moment, kit_id: int | None) -> Facts:
    kit = log.kits.get(kit_id or 0)
    return piece_facts(row, book, when.at, None if kit is None else value_at(log.kit(kit.kit_id).states, when.at))


def _pieces_going(log: Log, kit_id: int, step: KitStep) -> list[int]:
    return [piece.component_id for piece in log.pieces_of(kit_id)] if step.with_components else []


async def _place(connection: Connection, row: KitRow, book: KitBook, step: KitStep) -> Place | None:
    """Where the step leads to; an installation without a word goes to the home that is planned for the kit."""
    if step.placement is not None:
        return places.home(await places.placement(connection, step.placement, row.kit_id))
    if step.location is not None or step.to is not KitState.INSTALLED:
        return await location_place(connection, step.location)
    if book.place is not None and book.place.placement_id is not None:
        return None
    planned = await places.planned_placement(connection, row.kit_id)
    return None if planned is None else places.home(planned)


@dataclass(frozen=True, slots=True)
class _How:
    """What was found out about a step of a kit: from which state, to which place, when, and whether by an override."""

    source: KitState
    place: Place | None
    when: Moment
    override: bool


def _kit_entries(log: Log, row: KitRow, step: KitStep, how: _How) -> list[Entry]:
    """The pieces that go with the kit come out of it first, at the same moment."""
    common: dict[str, Any] = {"backdated": how.when.backdated, "override": how.override, "reason": step.reason}
    going = log.pieces_of(row.kit_id) if step.with_components else []
    at = how.place or kit_place(log, row.kit_id, how.when)
    entries = [Entry(_going_with(row, piece, step, at, how.when), piece.state, **common) for piece in going]
    event = Event(
        event_id=0,
        occurred_at=how.when.at,
        what=What.STATUS,
        kit_id=row.kit_id,
        to_state=step.to,
        organisation_id=row.organisation_id,
        owner_id=row.owner_id,
        **where(how.place),
    )
    return [*entries, Entry(event, how.source, **common)]


def _going_with(row: KitRow, piece: ComponentRow, step: KitStep, at: Place | None, when: Moment) -> Event:
    return Event(
        event_id=0,
        occurred_at=when.at,
        what=What.SWAP,
        kit_id=row.kit_id,
        removed_id=piece.component_id,
        to_state=ComponentState(step.to.value),
        organisation_id=row.organisation_id,
        owner_id=row.owner_id,
        **where(at),
    )


def _component_event(
    row: ComponentRow, step: ComponentStep, when: Moment, place: Place | None, *, kit_id: int | None
) -> Event:
    """A step out of a kit is a swap with nothing going in."""
    leaves = kit_id is not None
    return Event(
        event_id=0,
        occurred_at=when.at,
        what=What.SWAP if leaves else What.STATUS,
        kit_id=kit_id,
        component_id=None if leaves else row.component_id,
        removed_id=row.component_id if leaves else None,
        to_state=step.to,
        organisation_id=row.organisation_id,
        owner_id=row.owner_id,
        **where(place),
    )


def where(place: Place | None) -> dict[str, Any]:
    """A place as an event has it."""
    at = place or Place()
    return {"location_id": at.location_id, "placement_id": at.placement_id}
