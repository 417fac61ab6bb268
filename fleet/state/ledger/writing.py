"""One write to the books: try it on the histories, append it to the log, bring the projections up to it, tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from msgspec.structs import replace as changed

from fleet.access.principal import Principal
from fleet.errors import ConflictError, InvalidError
from fleet.state.ledger.book import ComponentBook, Illegal, IllegalCode, KitBook, value_at
from fleet.state.ledger.events import Event, What
from fleet.state.ledger.log import PROVISIONAL, Books, Log
from fleet.state.ledger.projecting import project_component, project_kit
from fleet.state.ledger.store import Connection, Entry, announce, append, enqueue

AHEAD = timedelta(minutes=2)
"""How far ahead of ours the clock of whoever tells of a step may be."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the event stream is told of a write: of which type, and what."""

    type: str
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened, and whether that is told afterwards."""

    at: datetime
    backdated: bool


def moment(log: Log, given: datetime | None, *, kits: Collection[int] = (), components: Collection[int] = ()) -> Moment:
    """When a new event of these subjects happened: as told, else now, and then not before what is known already.

    Raises InvalidError when it lies in the future.
    """
    newest = log.newest(kits=kits, components=components)
    if given is None:
        return Moment(log.now if newest is None else max(log.now, newest), False)
    if given > log.now + AHEAD:
        raise InvalidError("occurred_at", "lies in the future")
    return Moment(given, given < log.now - AHEAD or (newest is not None and given < newest))


async def write(
    connection: Connection, log: Log, entries: Sequence[Entry], marks: Marks, *, by: Principal
) -> tuple[int, ...]:
    """Append entries, with everything that follows from them; gives the numbers of the events.

    Several entries get one batch, by which they are corrected together. Raises ConflictError when the histories would
    not be possible with them, or the database knows of an overlap.
    """
    entries = [_of_its_time(log, entry) for entry in entries]
    books = tried(log, entries)
    if following := _following(log, books, entries[0].reason):
        entries = [*entries, *following]
        books = tried(log, entries)
    if len(entries) > 1:
        batch = uuid4()
        entries = [replace(entry, batch=batch) for entry in entries]
    numbers = await append(connection, entries, actor=by.actor)
    await project(connection, log, books, reason=entries[0].reason)
    await _tell(connection, log, books, marks)
    return tuple(numbers)


def tried(log: Log, entries: Sequence[Entry]) -> Books:
    """What the entries would lead to; raises ConflictError that says why they cannot be."""
    found = log.trial([entry.event for entry in entries])
    if isinstance(found, Illegal):
        raise ConflictError(explained(found, log))
    return found


async def project(connection: Connection, log: Log, books: Books, *, reason: str | None = None) -> None:
    """Store what the books say of the subjects that are locked."""
    for kit_id, book in sorted(books.kits.items()):
        if kit_id in log.kits:
            await project_kit(connection, log.kits[kit_id], book, reason=reason)
            await enqueue(connection, kit_id)
    for component_id, piece in sorted(books.components.items()):
        if component_id in log.components:
            await project_component(connection, log.components[component_id], piece)


def _of_its_time(log: Log, entry: Entry) -> Entry:
    """What is told afterwards is of the organisation that had the thing then: its past is not taken along."""
    event = entry.event
    if not entry.backdated or event.what not in _HAPPENINGS:
        return entry
    book: KitBook | ComponentBook | None = None
    if event.kit_id is not None:
        book = log.kit(event.kit_id) if event.kit_id in log.kits else None
    elif event.component_id is not None:
        book = log.component(event.component_id) if event.component_id in log.components else None
    if book is None:
        return entry
    organisation_id, owner_id = (value_at(track, event.occurred_at) for track in (book.custodies, book.owners))
    return replace(entry, event=changed(event, organisation_id=organisation_id, owner_id=owner_id))


_HAPPENINGS = frozenset({What.STATUS, What.LOCATION, What.SWAP})


def _following(log: Log, books: Books, reason: str | None) -> list[Entry]:
    """A piece in a kit is of the kit's organisation, from when it is in it and the kit is the organisation's."""
    entries = []
    for book in books.kits.values():
        for held in book.components:
            row = log.components.get(held.value)
            if row is None or held.end is not None or held.start is None:
                continue
            piece = books.components.get(held.value, row)
            if piece.organisation_id != book.organisation_id:
                begun = book.custodies[-1].end or book.custodies[-1].start if book.custodies else None
                event = Event(
                    event_id=0,
                    occurred_at=max(held.start, begun or held.start),
                    what=What.ASSIGN,
                    component_id=held.value,
                    organisation_id=book.organisation_id,
                    owner_id=row.owner_id,
                )
                entries.append(Entry(event, backdated=True, reason=reason))
    return entries


def explained(illegal: Illegal, log: Log) -> str:
    """Why a history cannot be, for people."""
    event = illegal.event
    new = event.event_id >= PROVISIONAL
    when = f"{event.occurred_at:%Y-%m-%d %H:%M:%S} UTC" + ("" if new else f", event {event.event_id}")
    what = "it" if new else f"what is in the books ({when})"
    held = log.kits.get(illegal.kit_id or 0)
    kit = "another kit" if held is None else f"kit {held.kit}"
    pieces = (event.component_id, event.removed_id)
    if illegal.code is IllegalCode.NOT_IN_THE_KIT:
        pieces = pieces[::-1]  # of a swap it is the piece that was to come out
    piece = log.components.get(pieces[0] or pieces[1] or 0)
    name = "the component" if piece is None else f"component {piece.serial}"
    told = {"what": what, "name": name, "kit": kit, "state": illegal.state, "target": illegal.target, "when": when}
    return _WHY[illegal.code].format_map(told)


_WHY = {
    IllegalCode.NO_OPENING: "{what} would be before it was entered into the books: correct when that was first",
    IllegalCode.UNKNOWN_STATE: "{what} leads to {target}, which is no state",
    IllegalCode.NOT_IN_TABLE: "{what} would be a step from {state} to {target}, which there is not",
    IllegalCode.IN_A_KIT: "{name} was in {kit} then ({when}): take it out first",
    IllegalCode.NOT_IN_THE_KIT: "{name} was not in the kit then ({when})",
    IllegalCode.ONLY_BY_SWAP: "{what} would take {name} from {state} to {target}, which only a swap does",
    IllegalCode.NO_HOME_IN_STATE: "{what} would put a kit that is {state} into a home",
    IllegalCode.NOT_EMPTY: "{what} would leave pieces in a kit that is out of the books",
    IllegalCode.PLACEMENT_ENDED: "{what} would begin a placement again that had ended: plan a new one",
}


async def _tell(connection: Connection, log: Log, books: Books, marks: Marks) -> None:
    kits = [kit_id for kit_id in sorted(books.kits) if kit_id in log.kits]
    for kit_id in kits:
        await announce(connection, marks.type, log.kits[kit_id].kit, marks.body)
    if kits:
        return
    for component_id, piece in sorted(books.components.items()):
        body = {"component": component_id, **marks.body}
        belongs = {"organisation_id": piece.organisation_id, "owner_id": piece.owner_id}
        await announce(connection, marks.type, None, body, **belongs)
