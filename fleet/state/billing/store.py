"""Entries in the database: recorded by one writer from the log, read by whoever may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_value
from fleet.log import get_logger
from fleet.state.billing.derive import (
    Billable,
    Difference,
    Kind,
    Period,
    Terms,
    day_of,
    derive,
    difference,
    next_month,
)
from fleet.state.ledger.book import Illegal
from fleet.state.ledger.events import Event

log = get_logger(__name__)

_SQL = load_queries("fleet.state.billing", "billing.sql")
BATCH = 500
"""Kits brought up to the log in one transaction."""
MOST_LINES = 10_000
"""Lines of a summary: every municipality, programme and kind of a country is fewer."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as people read it; `quantity` of a counter-entry is negative."""

    entry_id: int
    recorded_at: datetime
    kind: str
    organisation: str
    programme: str | None
    kit: str | None
    placement_id: int | None
    quantity: int
    occurred_at: datetime
    day: date
    until_day: date
    source_event_id: int | None
    counter_of: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """What a municipality is charged of one kind for one programme; the counts tell how the sum came about."""

    organisation: str
    programme: str | None
    kind: str
    quantity: int
    entries: int
    counter_entries: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A month's sums of the entries up to number `through`; `closed` once its rental is recorded."""

    month: date
    closed: bool
    through: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one batch did; `more` tells that other kits wait."""

    kits: int
    added: int
    countered: int
    more: bool


async def close_months(connection: Connection, now: datetime) -> list[date]:
    """Mark the months that have ended as closed, so that their rental is recorded; gives them."""
    period = await _period(connection)
    closed = []
    month = period.closed_until
    while next_month(month) <= day_of(now):
        async with connection.transaction():
            await connection.execute(_SQL["close_month"], {"month": month})
        closed.append(month)
        month = next_month(month)
    return closed


async def record(connection: Connection) -> Recorded:
    """Bring the entries of some waiting kits up to the log, all in one transaction."""
    async with connection.transaction():
        await connection.execute(_SQL["serialise"])
        taken = await fetch_dicts(connection, _SQL["take_from_queue"], {"limit": BATCH})
        kit_ids = sorted({row["kit_id"] for row in taken})
        found = await _difference(connection, kit_ids) if kit_ids else Difference((), ())
        if found.counter:
            await connection.execute(_SQL["counter"], {"entry_ids": list(found.counter)})
        if found.add:
            await connection.execute(_SQL["add"], _columns(found.add))
    return Recorded(len(kit_ids), len(found.add), len(found.counter), len(taken) == BATCH)


async def record_calls(connection: Connection) -> Recorded:
    """Charge calls that wait, and counter those that were taken back, in one transaction; `kits` counts calls."""
    async with connection.transaction():
        await connection.execute(_SQL["serialise"])
        (row,) = await fetch_dicts(connection, _SQL["record_calls"], {"limit": BATCH})
    return Recorded(row["taken"], row["added"], row["countered"], row["taken"] == BATCH)


async def list_entries(connection: Connection, *, after: int = 0, limit: int = 100, **chosen: Any) -> list[Entry]:
    """Entries by number; filters `day_from`, `day_to` (both included), `kind`, `programme`, `organisation`, `kit`."""
    filters = dict.fromkeys(("day_from", "day_to", "kind", "programme", "organisation", "kit")) | chosen
    return await fetch_all(connection, _SQL["list"], {**filters, "after": after, "limit": limit}, Entry)


async def summary(
    connection: Connection, month: date, *, through: int | None = None, organisation: str | None = None
) -> Summary:
    """The sums of a month (its first day), of the entries up to number `through`, else of all there are now."""
    newest = int(await fetch_value(connection, _SQL["newest"], {}))
    counted = newest if through is None else min(through, newest)
    values = {
        "month": month,
        "month_end": next_month(month),
        "through": counted,
        "organisation": organisation,
        "limit": MOST_LINES,
    }
    lines = await fetch_all(connection, _SQL["summary"], values, Line)
    closed = bool(await fetch_value(connection, _SQL["month_closed"], {"month": month}))
    return Summary(month, closed, counted, tuple(lines))


async def _period(connection: Connection) -> Period:
    (period,) = await fetch_all(connection, _SQL["period"], {}, Period)
    return period


async def _difference(connection: Connection, kit_ids: Sequence[int]) -> Difference:
    period = await _period(connection)
    events = await _events(connection, kit_ids)
    terms = await _terms(connection, kit_ids, {event.placement_id for of in events.values() for event in of})
    standing = await _standing(connection, kit_ids)
    counter: list[int] = []
    add: list[Billable] = []
    for kit_id in kit_ids:
        derived = derive(kit_id, events[kit_id], terms, period)
        if isinstance(derived, Illegal):
            # What was recorded stands until the history is mended, which queues the kit anew.
            log.warning("a history cannot be charged", kit_id=kit_id, event_id=derived.event.event_id, why=derived.code)
            continue
        found = difference(derived, standing[kit_id])
        counter += found.counter
        add += found.add
    return Difference(tuple(counter), tuple(add))


async def _events(connection: Connection, kit_ids: Sequence[int]) -> dict[int, list[Event]]:
    by_kit: dict[int, list[Event]] = defaultdict(list)
    for event in await fetch_all(connection, _SQL["events"], {"kit_ids": list(kit_ids)}, Event):
        assert event.kit_id is not None
        by_kit[event.kit_id].append(event)
    return by_kit


async def _terms(
    connection: Connection, kit_ids: Sequence[int], placement_ids: Collection[int | None]
) -> dict[int, Terms]:
    values = {"kit_ids": list(kit_ids), "placement_ids": [each for each in placement_ids if each is not None]}
    return {each.placement_id: each for each in await fetch_all(connection, _SQL["terms"], values, Terms)}


async def _standing(connection: Connection, kit_ids: Sequence[int]) -> dict[int, list[tuple[int, Billable]]]:
    by_kit: dict[int, list[tuple[int, Billable]]] = defaultdict(list)
    for row in await fetch_dicts(connection, _SQL["standing"], {"kit_ids": list(kit_ids)}):
        entry_id, row["kind"] = row.pop("entry_id"), Kind(row["kind"])
        by_kit[row["kit_id"]].append((entry_id, Billable(**row)))
    return by_kit


def _columns(entries: Sequence[Billable]) -> dict[str, Any]:
    columns = {
        "kinds": "kind",
        "organisation_ids": "organisation_id",
        "programmes": "programme",
        "kit_ids": "kit_id",
        "placement_ids": "placement_id",
        "quantities": "quantity",
        "occurred": "occurred_at",
        "days": "day",
        "until_days": "until_day",
        "source_event_ids": "source_event_id",
    }
    return {name: [getattr(entry, attribute) for entry in entries] for name, attribute in columns.items()}
