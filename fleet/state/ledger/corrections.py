"""Corrections: what really was, told by a row of its own; the corrected row stays readable.

What was entered in one go is taken back, or dated, in one go. Whatever follows from it is read off the history anew:
one that could not have been is refused, with the event that stands in the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_all, fetch_one
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.ledger import places
from fleet.state.ledger.book import ComponentBook, KitBook, Place, value_at
from fleet.state.ledger.events import VOID, Event, What, corrected, is_void, replacements
from fleet.state.ledger.log import Books, Log
from fleet.state.ledger.steps import check_reason, location_place, where
from fleet.state.ledger.store import Connection, Entry, opened
from fleet.state.ledger.writing import Marks, moment, tried, write
from fleet.state.lifecycle import ComponentState, KitState

_SQL = load_queries("fleet.state.ledger", "corrections.sql")


@dataclass(frozen=True, slots=True)
class Correction:
    """What was wrong with an event: that it happened at all (`void`), or when, to which state, to which place.

    `location` is a slug or name, `placement` a number. `reason` says how that is known.
    """

    reason: str
    void: bool = False
    occurred_at: datetime | None = None
    to_state: str | None = None
    location: str | None = None
    placement: int | None = None

    @property
    def replaces(self) -> frozenset[str]:
        """The fields that are given."""
        names = ("occurred_at", "to_state", "location", "placement")
        return frozenset(name for name in names if getattr(self, name) is not None)


CORRECTABLE: Mapping[str, frozenset[str]] = {
    What.OPENING: frozenset({"occurred_at", "to_state", "location", "placement"}),
    What.STATUS: frozenset({"void", "occurred_at", "to_state", "location", "placement"}),
    What.LOCATION: frozenset({"void", "occurred_at", "location", "placement"}),
    What.SWAP: frozenset({"void", "occurred_at", "to_state", "location"}),
    What.ASSIGN: frozenset({"void", "occurred_at"}),
    What.CORRECTION: frozenset({"void"}),
    What.EDIT: frozenset(),
}
"""What can be corrected of each kind of event; what describes a thing is edited again."""


@dataclass(frozen=True, slots=True)
class _Row:
    event_id: int
    occurred_at: datetime
    what: str
    kit_id: int | None
    component_id: int | None
    removed_id: int | None
    to_state: str | None
    location_id: int | None
    placement_id: int | None
    organisation_id: int | None
    owner_id: int | None
    corrects: int | None
    after: dict[str, Any] | None
    batch: Any

    def event(self) -> Event:
        """As replay reads it."""
        names = Event.__struct_fields__
        return Event(**{name: getattr(self, name) for name in names})

    @property
    def components(self) -> list[int]:
        """The pieces it names."""
        return [each for each in (self.component_id, self.removed_id) if each is not None]


async def correct(connection: Connection, event_id: int, correction: Correction, *, by: Principal) -> tuple[int, ...]:
    """Correct one event, with those that were entered together with it; gives the numbers of the corrections.

    Raises InvalidError for what cannot be corrected of such an event, NotFoundError, ForbiddenError, and ConflictError
    when what followed would be impossible.
    """
    check_correction(correction)
    target = await fetch_one(connection, _SQL["event"], {"event_id": event_id}, _Row)
    if target is None:
        raise NotFoundError("event", str(event_id))
    if not by.holds(Permission.BOOKS_CORRECT, target.organisation_id, target.owner_id):
        raise ForbiddenError(f"the permission {Permission.BOOKS_CORRECT} is needed there")
    _check_fits(target, correction)
    async with connection.transaction():
        together = await _together(connection, target)
        kits = {row.kit_id for row in together if row.kit_id is not None}
        pieces = {each for row in together for each in row.components}
        async with opened(connection, kits=kits, components=pieces, bundles=True) as log:
            _check_seen(log, target, kits, pieces)
            values = await _values(connection, log, target, correction)
            entries = _entries(log, target, together, correction, values)
            books = tried(log, entries)
            _check_whose(books, target, correction)
            _check_custodies(log, books, by)
            kind = "component" if target.kit_id is None else "kit"
            return await write(connection, log, entries, Marks(f"{kind}.corrected", {"event": event_id}), by=by)


def check_correction(correction: Correction) -> None:
    """Refuse what is no correction of any event; raises InvalidError."""
    if not correction.reason.strip():
        raise InvalidError("reason", "is required: say how it is known")
    check_reason(frozenset(), "", correction.reason, override=False)
    places.check_location(correction.location)
    if correction.void and correction.replaces:
        raise InvalidError("void", "what did not happen has no other time, state or place")
    if not correction.void and not correction.replaces:
        raise InvalidError(
            "void", "say that it did not happen, or what was: occurred_at, to_state, location, placement"
        )
    if correction.location is not None and correction.placement is not None:
        raise InvalidError("placement", "give a location or a placement, not both")


def _check_fits(target: _Row, correction: Correction) -> None:
    given = correction.replaces | ({"void"} if correction.void else set())
    for name in sorted(given - CORRECTABLE.get(target.what, frozenset())):
        raise InvalidError(name, _UNFIT.get(target.what, f"is not a thing that a {target.what} says"))
    of_kit = target.what != What.SWAP and target.component_id is None
    if correction.placement is not None and not of_kit:
        raise InvalidError("placement", "a piece is in a home with its kit only")
    if target.what == What.SWAP and target.removed_id is None and given & {"to_state", "location"}:
        raise InvalidError(min(given & {"to_state", "location"}), "nothing came out of the kit by it")
    states = {state.value for state in (KitState if of_kit else ComponentState)}
    if correction.to_state is not None and correction.to_state not in states:
        raise InvalidError("to_state", f"{correction.to_state!r} is none of {', '.join(sorted(states))}")


_UNFIT: Mapping[str, str] = {
    What.OPENING: "what was entered into the books can be dated and placed anew, not taken back",
    What.EDIT: "what describes a thing is corrected by editing it again",
    What.CORRECTION: "a correction can only be taken back: void it",
}


async def _together(connection: Connection, target: _Row) -> list[_Row]:
    """The event and those of its batch that concern the same kit; what was entered at first stands alone."""
    if target.batch is None or target.what == What.OPENING:
        return [target]
    about = {
        "batch": target.batch,
        "kit_id": target.kit_id,
        "component_ids": target.components,
    }
    found = await fetch_all(connection, _SQL["together"], about, _Row)
    corrections = target.what == What.CORRECTION
    return [row for row in found if (row.what == What.CORRECTION) == corrections]


def _check_seen(log: Log, target: _Row, kits: set[int], pieces: set[int]) -> None:
    named = {target.kit_id} - {None}
    if not named <= log.kits.keys() or not set(target.components) <= log.components.keys():
        raise NotFoundError("event", str(target.event_id))
    if not kits <= log.kits.keys() or not pieces <= log.components.keys():
        raise ForbiddenError("it was entered together with what is outside of your organisations")


async def _values(connection: Connection, log: Log, target: _Row, correction: Correction) -> dict[str, Any]:
    """What is put in place of the event's own values, as the log keeps it."""
    values: dict[str, Any] = {}
    if correction.occurred_at is not None:
        values["occurred_at"] = moment(log, correction.occurred_at).at
    if correction.to_state is not None:
        values["to_state"] = correction.to_state
    if correction.location is not None:
        values |= where(await location_place(connection, correction.location))
    elif correction.placement is not None and target.kit_id is not None:
        found = await places.placement(connection, correction.placement, target.kit_id)
        values |= where(Place(placement_id=found.placement_id))
    return values


def _entries(
    log: Log, target: _Row, together: Sequence[_Row], correction: Correction, values: Mapping[str, Any]
) -> list[Entry]:
    entries = []
    for row in together:
        is_target = row.event_id == target.event_id
        event = row.event()
        standing = log.corrections_of(event)
        if is_void(standing):
            if is_target:
                raise ConflictError(f"event {row.event_id} was taken back already")
            continue
        given = {VOID: True} if correction.void else dict(values)
        if not is_target:
            given = {name: value for name, value in given.items() if name in (VOID, "occurred_at")}
        if given:
            entries.append(_entry(log, corrected(event, replacements(standing)), given, correction.reason))
    return entries


def _entry(log: Log, event: Event, given: Mapping[str, Any], reason: str) -> Entry:
    before = {name: getattr(event, name) for name in given if name != VOID and getattr(event, name) is not None}
    row = Event(
        event_id=0,
        occurred_at=log.now,
        what=What.CORRECTION,
        kit_id=event.kit_id,
        component_id=event.component_id,
        removed_id=event.removed_id,
        organisation_id=event.organisation_id,
        owner_id=event.owner_id,
        corrects=event.event_id,
        after=_plain(given),
    )
    return Entry(row, before=_plain(before) or None, reason=reason)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each.isoformat() if isinstance(each, datetime) else each for name, each in values.items()}


def _check_whose(books: Books, target: _Row, correction: Correction) -> None:
    """An event belongs to whoever had the thing when it happened; another time may not make it somebody else's."""
    if correction.occurred_at is None or target.what not in (What.STATUS, What.LOCATION, What.SWAP):
        return
    book = books.kits[target.kit_id] if target.kit_id is not None else books.components[target.components[0]]
    whose = value_at(book.custodies, correction.occurred_at), value_at(book.owners, correction.occurred_at)
    if whose != (target.organisation_id, target.owner_id):
        raise ConflictError(f"at {correction.occurred_at:%Y-%m-%d %H:%M} UTC it was another organisation's")


def _check_custodies(log: Log, books: Books, by: Principal) -> None:
    """Whose a thing was is changed by those only who may correct what was theirs: nobody takes another's past so."""
    pairs: list[tuple[KitBook | ComponentBook, KitBook | ComponentBook]] = [
        (log.kit(number), kit) for number, kit in books.kits.items() if number in log.kits
    ]
    pairs += [(log.component(number), each) for number, each in books.components.items() if number in log.components]
    for before, after in pairs:
        owners = {spell.value for spell in (*before.owners, *after.owners)}
        if owners and all(by.holds(Permission.BOOKS_CORRECT, each) for each in owners):
            continue
        for spell in set(before.custodies) ^ set(after.custodies):
            if not by.holds(Permission.BOOKS_CORRECT, spell.value):
                raise ForbiddenError("it would change whose it was for another organisation")
