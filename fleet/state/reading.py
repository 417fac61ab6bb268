"""Reading kits: facts with their verdict, pages of a fleet of any size, and the history of one kit."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row, scalar_row

from fleet.db.queries import load_queries
from fleet.errors import NotFoundError
from fleet.state.verdict import Facts, Health, Verdict, verdict

Connection = AsyncConnection[Any]

MAX_SPAN_KITS = 5000
"""Kits looked at per round, at most, while a page filtered by health is filled."""
NARROWED = frozenset({Health.SILENT, Health.UNKNOWN})
"""Verdicts that the latest state alone tells, so that the database can look for them directly."""
SCAN_BUDGET_S = 1.5
"""How long such a page may look before it answers with what it found and a cursor to go on."""

_SQL = load_queries("fleet.state", "reading.sql")
_FIRST_KIT, _LAST_KIT = "", "~"
_MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class KitFacts:
    """One row of `kit_facts`: the books, the latest state and the booleans of the verdict."""

    kit_id: int
    kit: str
    label: str
    state: str
    state_since: datetime
    organisation: str | None
    owner: str | None
    organisation_id: int | None
    owner_id: int | None
    kit_type: str | None
    location: str | None
    location_name: str | None
    location_kind: str | None
    placement_id: int | None
    expected_interval_s: int
    tolerance: float | None
    wanted_components: dict[str, str]
    revision: int
    last_heard_at: datetime | None
    watch_allowance_s: float | None
    boot: str | None
    seq: int | None
    time: datetime | None
    received_at: datetime | None
    battery: float | None
    charging: bool | None
    signal_dbm: int | None
    network: str | None
    operator: str | None
    storage_free_mb: float | None
    uptime_s: float | None
    clock_offset_s: float | None
    online: bool | None
    connection_at: datetime | None
    software: dict[str, str] | None
    software_at: datetime | None
    peripherals: list[dict[str, Any]] | None
    peripherals_at: datetime | None
    heard: bool
    silent: bool
    drifted: bool
    pairing_lost: bool
    battery_low: bool
    storage_low: bool
    clock_skewed: bool

    def verdict(self) -> Verdict:
        """The judgement of these facts."""
        names = Facts.__dataclass_fields__
        return verdict(Facts(**{name: getattr(self, name) for name in names}))


class KitSort(StrEnum):
    """Orders of the list of kits; `-` is descending."""

    KIT = "kit"
    KIT_DOWN = "-kit"
    HEARD = "last_heard_at"
    HEARD_DOWN = "-last_heard_at"


@dataclass(frozen=True, slots=True)
class KitFilter:
    """Which kits; None does not count. `q` is the beginning of a kit's id."""

    kit: str | None = None
    q: str | None = None
    state: str | None = None
    organisation: str | None = None
    owner: str | None = None
    location: str | None = None
    kit_type: str | None = None
    health: str | None = None


@dataclass(frozen=True, slots=True)
class KitPosition:
    """Where a page ended: the key it is sorted by and the kit's number."""

    key: str
    kit_id: int


@dataclass(frozen=True, slots=True)
class KitPage:
    """Kits in order; `end` is None when there are no more."""

    kits: list[KitFacts]
    end: KitPosition | None


@dataclass(frozen=True, slots=True)
class _Spanned:
    kit_id: int
    sort_key: str


_SPANS = {
    KitSort.KIT: ("span_by_kit", KitPosition(_FIRST_KIT, 0)),
    KitSort.KIT_DOWN: ("span_by_kit_down", KitPosition(_LAST_KIT, 0)),
    KitSort.HEARD: ("span_by_heard", KitPosition("-1", 0)),
    KitSort.HEARD_DOWN: ("span_by_heard_down", KitPosition("1e12", _MAX_ID)),
}


async def list_kits(
    connection: Connection,
    chosen: KitFilter,
    *,
    sort: KitSort = KitSort.KIT,
    after: KitPosition | None = None,
    limit: int = 100,
    budget_s: float = SCAN_BUDGET_S,
) -> KitPage:
    """A page of kits.

    Health is judged, not stored, so a page filtered by it looks through kits in order until it is full or
    `budget_s` is over; it may then hold fewer than `limit` and still have an `end` to go on from.
    """
    query, first = _SPANS[sort]
    position = after or first
    meant = await _meant(connection, chosen)
    if meant is None:
        return KitPage([], None)
    if query in _WITHIN and not meant["everything"] and not _is_pointed(chosen):
        query = _WITHIN[query]
    found: list[KitFacts] = []
    deadline = clock.monotonic() + budget_s
    step = limit
    while True:
        span = await _span(connection, query, {**meant, **_values(chosen)}, position, step + 1)
        more, span = len(span) > step, span[:step]
        found += await _facts(connection, span, chosen.health)
        if len(found) > limit:
            found = found[:limit]
            keys = {spanned.kit_id: spanned.sort_key for spanned in span}
            return KitPage(found, KitPosition(keys[found[-1].kit_id], found[-1].kit_id))
        if not more:
            return KitPage(found, None)
        position = KitPosition(span[-1].sort_key, span[-1].kit_id)
        step = min(4 * step, MAX_SPAN_KITS)
        if len(found) == limit or clock.monotonic() >= deadline:
            return KitPage(found, position)


async def get_kit(connection: Connection, kit: str) -> KitFacts:
    """The facts of one kit; raises NotFoundError."""
    async with connection.cursor(row_factory=class_row(KitFacts)) as cursor:
        await cursor.execute(_SQL["facts_of_kit"], {"kit": kit})
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("kit", kit)
    return row


async def kit_number(connection: Connection, kit: str) -> int:
    """The number under which a kit's history stands; raises NotFoundError."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["kit_id"], {"kit": kit})
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("kit", kit)
    return int(row)


async def heartbeats(connection: Connection, kit: str, **values: Any) -> list[dict[str, Any]]:
    """Heartbeats of a kit between `start` and `end`, newest first, after `after_time/boot/seq`."""
    kit_id = await kit_number(connection, kit)
    return await _rows(connection, "heartbeats", {"kit_id": kit_id, **values})


async def changes(connection: Connection, kit: str, **values: Any) -> list[dict[str, Any]]:
    """What the kit reported to have changed and what people entered, newest first."""
    kit_id = await kit_number(connection, kit)
    return await _rows(connection, "changes", {"kit_id": kit_id, **values})


async def _rows(connection: Connection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        # Not prepared: optional filters are planned for the values at hand.
        await cursor.execute(_SQL[query], values, prepare=False)
        return await cursor.fetchall()


_WITHIN = {"span_by_kit": "span_by_kit_within", "span_by_kit_down": "span_by_kit_down_within"}
"""The same orders for those who see some organisations only."""


def _is_pointed(chosen: KitFilter) -> bool:
    """Whether few kits pass, whoever they belong to; or those that may be silent are looked for first."""
    return chosen.kit is not None or chosen.location is not None or chosen.health in NARROWED


async def _meant(connection: Connection, chosen: KitFilter) -> dict[str, Any] | None:
    """What the reader sees, and the numbers of what is named; None when something named is not there."""
    names = {"organisation": chosen.organisation, "owner": chosen.owner, "location": chosen.location}
    (meant,) = await _rows(connection, "meant", names)
    if any(name is not None and meant[f"{what}_id"] is None for what, name in names.items()):
        return None
    return meant


def _values(chosen: KitFilter) -> dict[str, Any]:
    return {
        "kit": chosen.kit,
        "q": chosen.q,
        "state": chosen.state,
        "kit_type": chosen.kit_type,
        "health": chosen.health,
        "narrow": chosen.health in NARROWED,
    }


async def _span(
    connection: Connection, query: str, values: Mapping[str, Any], after: KitPosition, limit: int
) -> list[_Spanned]:
    position = {"after": after.key, "after_id": after.kit_id, "limit": limit}
    async with connection.cursor(row_factory=class_row(_Spanned)) as cursor:
        await cursor.execute(_SQL[query], {**values, **position}, prepare=False)
        return await cursor.fetchall()


async def _facts(connection: Connection, span: Sequence[_Spanned], health: str | None) -> list[KitFacts]:
    if not span:
        return []
    ids = [spanned.kit_id for spanned in span]
    async with connection.cursor(row_factory=class_row(KitFacts)) as cursor:
        await cursor.execute(_SQL["facts"], {"kit_ids": ids, "health": health})
        rows = {row.kit_id: row for row in await cursor.fetchall()}
    return [rows[kit_id] for kit_id in ids if kit_id in rows]
