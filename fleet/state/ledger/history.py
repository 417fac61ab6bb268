"""What was told of a kit or a piece, and what was so: when, in what condition, where, whose, and who moved it.

The history is the log as it was written, for those who may see each row, also of what was theirs and is no more. The
phases are the log as it is read, with everything corrected; of them, too, one sees those in which the thing was one's
own, and its owner sees all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from fleet.access.principal import Scope
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_all, fetch_dicts, fetch_value
from fleet.errors import ConflictError, NotFoundError
from fleet.state.ledger.book import ComponentBook, Illegal, KitBook, Place, Spell, value_at
from fleet.state.ledger.events import VOID, Event, effective, is_void, replacements, standing
from fleet.state.ledger.replay import replay_component, replay_kit
from fleet.state.ledger.store import SQL, Connection, rows, scalars

_SQL = load_queries("fleet.state.ledger", "history.sql")
_LAST = 2**63 - 1
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Told:
    """One row of the log, as it was written.

    `now` are the values that corrections put in place of its own; `voided` when it does not count any more;
    `corrections` the numbers of the rows that say so. A correction's own values stand in `now` as well. Places are
    `location` (slug), `location_name` and `placement` (number).
    """

    event_id: int
    occurred_at: datetime
    recorded_at: datetime
    what: str
    kit: str | None
    component_id: int | None
    serial: str | None
    kind: str | None
    removed_id: int | None
    removed_serial: str | None
    removed_kind: str | None
    from_state: str | None
    to_state: str | None
    location: str | None
    location_name: str | None
    placement: int | None
    organisation: str | None
    owner: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    actor: str
    reason: str | None
    backdated: bool
    override: bool
    batch: UUID | None
    corrects: int | None
    voided: bool
    corrections: tuple[int, ...]
    now: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Phase:
    """A time in which nothing changed: condition, place, kit (of a piece), whose; no `end` is the present."""

    start: datetime
    end: datetime | None
    state: str
    place: Place | None
    kit_id: int | None
    organisation_id: int | None
    owner_id: int | None
    event_id: int | None


@dataclass(frozen=True, slots=True)
class Stay:
    """A phase with its names, and who told of what began it."""

    start: datetime
    end: datetime | None
    state: str
    location: str | None
    location_name: str | None
    placement: int | None
    kit: str | None
    organisation: str | None
    event_id: int | None
    actor: str | None
    reason: str | None


async def kit_history(connection: Connection, kit: str, *, before: int | None = None, limit: int = 100) -> list[Told]:
    """What was told of a kit, the last told first; `before` is where the last page ended.

    Raises NotFoundError when the caller never had it.
    """
    return await _history(connection, "kit", await _known_kit(connection, kit), before, limit)


async def component_history(
    connection: Connection, component_id: int, *, before: int | None = None, limit: int = 100
) -> list[Told]:
    """What was told of a component, going in and coming out included; as `kit_history`."""
    await known_component(connection, component_id)
    return await _history(connection, "component", component_id, before, limit)


async def kit_stays(connection: Connection, kit: str, *, scope: Scope) -> list[Stay]:
    """The phases of a kit that are within `scope`, the last one first. Raises as `kit_history`."""
    kit_id = await _known_kit(connection, kit)
    async with connection.transaction():
        events = await _events(connection, kits=[kit_id])
    book = _readable(replay_kit(events))
    found = [] if book is None else phases_of_kit(book, events)
    return await _named(connection, _visible(found, scope))


async def component_stays(connection: Connection, component_id: int, *, scope: Scope) -> list[Stay]:
    """The phases of a component that are within `scope`, the last one first; in a kit it is where the kit is."""
    await known_component(connection, component_id)
    async with connection.transaction():
        events = await _events(connection, components=[component_id])
        book = _readable(replay_component(component_id, events))
        if book is None:
            return []
        kits = {spell.value for spell in book.memberships}
        of_kits = await _events(connection, kits=kits) if kits else []
    lives = {kit_id: [event for event in of_kits if event.kit_id == kit_id] for kit_id in kits}
    found = phases_of_component(book, events, lives)
    return await _named(connection, _visible(found, scope))


async def known_component(connection: Connection, component_id: int) -> None:
    """Raise NotFoundError unless the caller has the component, or had it once."""
    if await fetch_value(connection, _SQL["known_component"], {"id": component_id}) is None:
        raise NotFoundError("component", str(component_id))


async def _known_kit(connection: Connection, kit: str) -> int:
    found = await fetch_value(connection, _SQL["known_kit"], {"kit": kit})
    if found is None:
        raise NotFoundError("kit", kit)
    return int(found)


def phases_of_kit(book: KitBook, events: Iterable[Event]) -> list[Phase]:
    """The times between changes of a kit, in order."""
    points = _points(book.states, book.stays, book.custodies, book.owners)
    begun = _began(event for event in effective(events) if event.component_id is None and event.removed_id is None)
    return _phases(points, lambda at: (value_at(book.stays, at), None, begun.get(at)), book)


def phases_of_component(book: ComponentBook, events: Iterable[Event], kits: Mapping[int, list[Event]]) -> list[Phase]:
    """The times between changes of a component, in order; `kits` are the lives of the kits it was in."""
    stays: dict[int, tuple[Spell[Place], ...]] = {}
    begun = {kit_id: _began(effective(life)) for kit_id, life in kits.items()}
    for kit_id, life in kits.items():
        kit_book = replay_kit(life)
        stays[kit_id] = () if isinstance(kit_book, Illegal) else kit_book.stays
    own = _began(effective(events))
    points = _points(book.states, book.stays, book.custodies, book.owners, book.memberships)
    points |= {
        at
        for held in book.memberships
        for at in _points(stays.get(held.value, ()))
        if (held.start is None or held.start < at) and (held.end is None or at < held.end)
    }

    def where(at: datetime) -> tuple[Place | None, int | None, int | None]:
        kit_id = value_at(book.memberships, at)
        if kit_id is None:
            return value_at(book.stays, at), None, own.get(at)
        return value_at(stays.get(kit_id, ()), at), kit_id, own.get(at) or begun.get(kit_id, {}).get(at)

    return _phases(points, where, book)


def _phases(
    points: set[datetime],
    where: Callable[[datetime], tuple[Place | None, int | None, int | None]],
    book: KitBook | ComponentBook,
) -> list[Phase]:
    ordered = sorted(points)
    states: tuple[Spell[Any], ...] = book.states
    found: list[Phase] = []
    for start, end in zip(ordered, [*ordered[1:], None], strict=True):
        state = value_at(states, start)
        if state is None:
            continue
        place, kit_id, event_id = where(start)
        whose = value_at(book.custodies, start), value_at(book.owners, start)
        last = found[-1] if found else None
        phase = Phase(start, end, state.value, place, kit_id, *whose, event_id)
        if last is not None and _same(last, phase):
            found[-1] = replace(last, end=end)
        else:
            found.append(phase)
    return found


def _same(last: Phase, phase: Phase) -> bool:
    return replace(last, start=phase.start, end=phase.end, event_id=phase.event_id) == phase


def _points(*tracks: tuple[Spell[Any], ...]) -> set[datetime]:
    ends = {at for track in tracks for spell in track for at in (spell.start, spell.end)}
    return {at for at in ends if at is not None}


def _began(events: Iterable[Event]) -> dict[datetime, int]:
    return {event.occurred_at: event.event_id for event in events}


def _visible(phases: Iterable[Phase], scope: Scope) -> list[Phase]:
    return [phase for phase in reversed(list(phases)) if scope.sees(phase.organisation_id, phase.owner_id)]


def _readable(book: B | Illegal) -> B | None:
    """The book; None when nothing was ever told."""
    if isinstance(book, Illegal):
        if book.event.event_id == 0:
            return None
        raise ConflictError(f"its log cannot be read at event {book.event.event_id}: see `fleet books check`")
    return book


async def _events(connection: Connection, *, kits: Iterable[int] = (), components: Iterable[int] = ()) -> list[Event]:
    """The whole lives of what the caller has or had, and of the kits it was in; what is answered is cut to scope."""
    named = {"kit_ids": sorted(kits), "component_ids": sorted(components)}
    await scalars(connection, "begin_replay", named)
    found = await rows(connection, Event, "events", named)
    await connection.execute(SQL["end_replay"])
    return found


async def _named(connection: Connection, phases: Sequence[Phase]) -> list[Stay]:
    locations = await _locations(connection, (phase.place.location_id for phase in phases if phase.place))
    kits = await _names(connection, "kits", "kit_id", "kit", (phase.kit_id for phase in phases))
    slugs = await _names(connection, "organisations", "organisation_id", "slug", (p.organisation_id for p in phases))
    ids = [phase.event_id for phase in phases if phase.event_id is not None]
    told = {row["event_id"]: row for row in await fetch_dicts(connection, _SQL["told"], {"ids": ids})}
    stays = []
    for phase in phases:
        place = phase.place or Place()
        slug, name = locations.get(place.location_id or 0, (None, None))
        by = told.get(phase.event_id or 0, {})
        stays.append(
            Stay(
                start=phase.start,
                end=phase.end,
                state=phase.state,
                location=slug,
                location_name=name,
                placement=place.placement_id,
                kit=kits.get(phase.kit_id or 0),
                organisation=slugs.get(phase.organisation_id or 0),
                event_id=phase.event_id if by else None,
                actor=by.get("actor"),
                reason=by.get("reason"),
            )
        )
    return stays


async def _history(connection: Connection, of: str, subject: int, before: int | None, limit: int) -> list[Told]:
    values = {"subject": subject, "before": _LAST if before is None else before, "limit": limit}
    found = await fetch_dicts(connection, _SQL[f"of_{of}"], values)
    corrections = await fetch_all(connection, _SQL[f"corrections_of_{of}"], {"subject": subject}, Event)
    by_event = standing(corrections)
    given = [*found, *((each.after or {}) for each in corrections)]
    locations = await _locations(connection, (row.get("location_id") for row in given))
    return [_told(row, by_event.get(row["event_id"], []), locations) for row in found]


def _told(row: dict[str, Any], corrections: list[Event], locations: Mapping[int, tuple[str, str]]) -> Told:
    location_id, placement = row.pop("location_id"), row.pop("placement_id")
    slug, name = locations.get(location_id, (None, None))
    if row["corrects"] is None:
        now = replacements(corrections)
        row["after"] = row["after"] or None
    else:
        now = {key: each for key, each in (row["after"] or {}).items() if key != VOID}
        row["after"] = {VOID: True} if (row["after"] or {}).get(VOID) else None
        row["before"] = _with_names(row["before"] or {}, locations) or None
    return Told(
        **row,
        location=slug,
        location_name=name,
        placement=placement,
        voided=is_void(corrections),
        corrections=tuple(each.event_id for each in corrections),
        now=_with_names(now, locations) or None,
    )


def _with_names(values: Mapping[str, Any], locations: Mapping[int, tuple[str, str]]) -> dict[str, Any]:
    named = {name: each for name, each in values.items() if name in ("occurred_at", "to_state")}
    if "location_id" in values or "placement_id" in values:
        slug, name = locations.get(values.get("location_id") or 0, (None, None))
        named |= {"location": slug, "location_name": name, "placement": values.get("placement_id")}
    return named


async def _locations(connection: Connection, ids: Iterable[int | None]) -> dict[int, tuple[str, str]]:
    wanted = sorted({each for each in ids if each is not None})
    found = await fetch_dicts(connection, _SQL["locations"], {"ids": wanted}) if wanted else []
    return {row["location_id"]: (row["slug"], row["name"]) for row in found}


async def _names(connection: Connection, query: str, key: str, name: str, ids: Iterable[int | None]) -> dict[int, str]:
    wanted = sorted({each for each in ids if each is not None})
    found = await fetch_dicts(connection, _SQL[query], {"ids": wanted}) if wanted else []
    return {row[key]: row[name] for row in found}
