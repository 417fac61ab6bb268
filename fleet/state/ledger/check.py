"""The projections compared with the log, and repaired from it: subject by subject, in batches of bounded size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from psycopg.types.json import Jsonb

from fleet.access.principal import SYSTEM, Principal
from fleet.db.queries import load_queries
from fleet.errors import ConflictError
from fleet.state.ledger.book import ComponentBook, Illegal, KitBook, Place, Spell
from fleet.state.ledger.events import Event
from fleet.state.ledger.log import Books
from fleet.state.ledger.replay import replay_component, replay_kit
from fleet.state.ledger.store import Connection, opened
from fleet.state.ledger.writing import project

BATCH = 2000
"""Subjects that are read and compared at once; what a batch holds in memory is what bounds it."""
REPAIRED_AT_ONCE = 100
"""Subjects that one transaction of a rebuild locks."""

_SQL = load_queries("fleet.state.ledger", "check.sql")
T = TypeVar("T")
Kind = Literal["kit", "component"]
Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Found:
    """One difference between what is stored of a subject and what its log leads to, in words."""

    kind: Kind
    number: int
    name: str
    detail: str
    repairable: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Checked:
    """One batch: how many subjects of which kind were compared, and what was found."""

    kind: Kind
    subjects: int
    found: tuple[Found, ...]


async def check(connection: Connection, *, batch: int = BATCH) -> AsyncIterator[Checked]:
    """Compare all kits, then all components; every batch is one snapshot, so that nobody's writing disturbs it."""
    for reading in (_KITS, _COMPONENTS):
        after = 0
        while True:
            async with connection.transaction():
                await connection.execute(_SQL["snapshot"])
                subjects = await _rows(connection, reading.subjects, {"after": after, "limit": batch})
                if not subjects:
                    break
                after = subjects[-1][0]
                found = await _compare(connection, reading, subjects)
            yield Checked(reading.kind, len(subjects), tuple(found))


async def rebuild(connection: Connection, found: Iterable[Found], *, by: Principal = SYSTEM) -> AsyncIterator[Found]:
    """Store anew what the log says of the subjects found to differ; gives those that could not be repaired, and why.

    Bounded transactions; each repaired subject is noted in the audit.
    """
    details: dict[tuple[Kind, int], list[Found]] = defaultdict(list)
    for each in found:
        details[each.kind, each.number].append(each)
    for kind in ("kit", "component"):
        numbers = sorted(number for of_kind, number in details if of_kind == kind)
        for start in range(0, len(numbers), REPAIRED_AT_ONCE):
            chosen = {number: details[kind, number] for number in numbers[start : start + REPAIRED_AT_ONCE]}
            for failed in await _repair(connection, kind, chosen):
                yield failed


async def _repair(connection: Connection, kind: Kind, chosen: Mapping[int, list[Found]]) -> list[Found]:
    try:
        async with connection.transaction():
            await _repair_together(connection, kind, chosen)
    except ConflictError as error:
        if len(chosen) > 1:
            return [each for number in chosen for each in await _repair(connection, kind, {number: chosen[number]})]
        ((number, details),) = chosen.items()
        return [Found(kind, number, details[0].name, str(error), repairable=False)]
    return []


async def _repair_together(connection: Connection, kind: Kind, chosen: Mapping[int, list[Found]]) -> None:
    named: dict[str, Any] = {"kits" if kind == "kit" else "components": list(chosen)}
    async with opened(connection, **named) as log:
        kits = {number: log.kit(number) for number in chosen if kind == "kit" and number in log.kits}
        pieces = {number: log.component(number) for number in chosen if kind == "component"}
        await project(connection, log, Books(kits, pieces))
        for number, details in chosen.items():
            book = kits[number] if kind == "kit" else pieces[number]
            values = {
                "kind": "kits" if kind == "kit" else "components",
                "subject": str(number),
                "organisation_id": book.organisation_id,
                "kit_id": number if kind == "kit" else None,
                "after": Jsonb({"repaired": [each.detail for each in details]}),
            }
            await connection.execute(_SQL["note"], values)


@dataclass(frozen=True, slots=True)
class _Reading(Generic[T]):
    """How one kind of subject is read: its rows, its events, its stored spells by what they are of."""

    kind: Kind
    subjects: str
    events: str
    spells: Mapping[str, tuple[str, Callable[[Row], Spell[Any]]]]
    replay: Callable[[int, list[Event]], T | Illegal]
    differences: Callable[[Row, T, Mapping[str, list[Spell[Any]]]], list[str]]


async def _compare(connection: Connection, reading: _Reading[Any], subjects: list[Row]) -> list[Found]:
    span = {"first": subjects[0][0], "last": subjects[-1][0]}
    events: dict[int, list[Event]] = defaultdict(list)
    for row in await _rows(connection, reading.events, span):
        events[row[0]].append(_event(row))
    stored: dict[str, dict[int, list[Spell[Any]]]] = {}
    for name, (query, spell) in reading.spells.items():
        of_name = stored[name] = defaultdict(list)
        for row in await _rows(connection, query, span):
            of_name[row[0]].append(spell(row))
    found = []
    for subject in subjects:
        number = subject[0]
        spells = {name: of_name.get(number, []) for name, of_name in stored.items()}
        found += _differs(reading, subject, events.get(number, []), spells)
    return found


def _differs(
    reading: _Reading[Any], subject: Row, events: list[Event], spells: Mapping[str, list[Spell[Any]]]
) -> list[Found]:
    number, name = subject[0], str(subject[1])
    name = name if reading.kind == "kit" else f"{number} ({name})"
    if not events:
        return [Found(reading.kind, number, name, "stands in the books without a history")]
    book = reading.replay(number, events)
    if isinstance(book, Illegal):
        detail = f"its log cannot be read at event {book.event.event_id} ({book.code})"
        return [Found(reading.kind, number, name, detail, repairable=book.event.event_id == 0)]
    return [Found(reading.kind, number, name, detail) for detail in reading.differences(subject, book, spells)]


def _kit_differences(row: Row, book: KitBook, spells: Mapping[str, list[Spell[Any]]]) -> list[str]:
    _, _, state, since, location_id, placement_id, organisation_id, owner_id = row
    place = book.place
    now = (book.state, book.since, place and place.location_id, place and place.placement_id)
    found = []
    if (state, since, location_id, placement_id, organisation_id, owner_id) != (
        *now,
        book.organisation_id,
        book.owner_id,
    ):
        names = ("state", "since", "location", "placement", "organisation", "owner")
        wanted = (*now, book.organisation_id, book.owner_id)
        found += _values(names, row[2:], wanted)
    found += _spells("stay", spells["stays"], book.stays)
    found += _spells("custody", spells["custodies"], book.custodies)
    found += _spells("placement", spells["placements"], book.placements)
    return found


def _component_differences(row: Row, book: ComponentBook, spells: Mapping[str, list[Spell[Any]]]) -> list[str]:
    names = ("state", "since", "location", "kit", "organisation", "owner")
    wanted = (
        book.state,
        book.since,
        book.place and book.place.location_id,
        book.kit_id,
        book.organisation_id,
        book.owner_id,
    )
    found = [] if tuple(row[2:]) == wanted else _values(names, row[2:], wanted)
    found += _spells("stay", spells["stays"], book.stays)
    found += _spells("time in a kit", spells["memberships"], book.memberships)
    return found


def _values(names: Sequence[str], stored: Row, wanted: Sequence[Any]) -> list[str]:
    return [
        f"{name} is {_told(is_)} and by the log {_told(should)}"
        for name, is_, should in zip(names, stored, wanted, strict=True)
        if is_ != should
    ]


def _spells(what: str, stored: list[Spell[T]], wanted: tuple[Spell[T], ...]) -> list[str]:
    if len(stored) == len(wanted) and (not stored or tuple(stored) == wanted):
        return []
    there, should = Counter(stored), Counter(wanted)
    found = [f"{what} {_spelled(each)} is stored and not in the log" for each in (there - should).elements()]
    return found + [f"{what} {_spelled(each)} is in the log and not stored" for each in (should - there).elements()]


def _spelled(spell: Spell[Any]) -> str:
    value = spell.value
    if isinstance(value, Place):
        value = f"location {value.location_id}" if value.placement_id is None else f"placement {value.placement_id}"
    return f"{value} from {_told(spell.start)} to {_told(spell.end)}"


def _told(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f} UTC"
    return "nothing" if value is None else str(value)


async def _rows(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    # Binary: times come as numbers, which are a third of the work of reading them as text.
    cursor = connection.cursor(binary=True)
    await cursor.execute(_SQL[query], values)
    return await cursor.fetchall()


def _event(row: Row) -> Event:
    _, event_id, at, what, kit, component, removed, to, location, placement, organisation, owner, corrects, after = row
    return Event(
        event_id=event_id,
        occurred_at=at,
        what=what,
        kit_id=kit,
        component_id=component,
        removed_id=removed,
        to_state=to,
        location_id=location,
        placement_id=placement,
        organisation_id=organisation,
        owner_id=owner,
        corrects=corrects,
        after=after,
    )


def _stay(row: Row) -> Spell[Place]:
    return Spell(Place(row[1], row[2]), row[3], row[4])


def _spell(row: Row) -> Spell[int]:
    return Spell(row[1], row[2], row[3])


_KITS: _Reading[KitBook] = _Reading(
    kind="kit",
    subjects="kits",
    events="kit_events",
    spells={"stays": ("kit_stays", _stay), "custodies": ("custodies", _spell), "placements": ("placements", _spell)},
    replay=lambda _, events: replay_kit(events),
    differences=_kit_differences,
)
_COMPONENTS: _Reading[ComponentBook] = _Reading(
    kind="component",
    subjects="components",
    events="component_events",
    spells={"stays": ("component_stays", _stay), "memberships": ("memberships", _spell)},
    replay=replay_component,
    differences=_component_differences,
)
