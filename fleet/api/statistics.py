"""`statistics`: the fleet in numbers, counted at most as often as it is cheap."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from datetime import UTC, datetime
from typing import Any

import psycopg
from fastapi import APIRouter, Request
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import PoolClosed, PoolTimeout

from fleet.access.entering import enter
from fleet.access.principal import Principal, Scope
from fleet.access.roles import Permission
from fleet.api.auth import CONNECTION_WAIT_S, Pool, ReadStatistics, pool_of
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Answer, Moment
from fleet.db.connect import first_line
from fleet.db.queries import load_queries
from fleet.log import get_logger

router = APIRouter(prefix=PREFIX)

KEPT_AT_LEAST_S = 2.0
SLOW_S = 0.5
KEPT_PER_COST = 30
"""A count is shown for so many times what it took, so that counting costs 3 % of one core at most."""

MAX_SCOPES = 200
COUNTER = Principal("system", 0, "statistics", ())

_LOG = get_logger("fleet.api.statistics")
_SQL = load_queries("fleet.api", "statistics.sql")


class Heard(Answer):
    """Kits heard from within a time."""

    last_5_minutes: int
    last_hour: int
    last_day: int


class KitCounts(Answer):
    """Kits by lifecycle state and by verdict; `installed_by_health` leaves out those not in use."""

    total: int
    by_state: dict[str, int]
    by_health: dict[str, int]
    installed_by_health: dict[str, int]
    heard: Heard


class ListeningNow(Answer):
    """Whether we hear: `listening`, `catching_up` or `down`."""

    state: str
    clock_s: float
    age_s: float


class Statistics(Answer):
    """The fleet as it was at `counted_at`."""

    counted_at: Moment
    kits: KitCounts
    active_alerts: dict[str, int]
    unresolved_requests_by_line: dict[str, int]
    unresolved_requests_by_state: dict[str, int]
    open_incidents: int
    quarantined_last_day: dict[str, int]
    listening: ListeningNow


class StatisticsCache:
    """The last counts of this process, one for each scope that was asked for lately."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Scope, _ScopeCount] = OrderedDict()

    async def get(self, pool: Pool, scope: Scope) -> Statistics:
        """The count of what is in `scope`, a little old where counting is slow."""
        counted = self._counts.setdefault(scope, _ScopeCount(scope))
        self._counts.move_to_end(scope)
        if len(self._counts) > MAX_SCOPES:
            self._counts.popitem(last=False)
        return await counted.get(pool)


class _ScopeCount:
    """The last count of one scope; one caller counts, the others wait for it or get the one before."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._lock = asyncio.Lock()
        self._kept: Statistics | None = None
        self._cost_s = 0.0
        self._until = 0.0
        self._behind: asyncio.Task[None] | None = None

    async def get(self, pool: Pool) -> Statistics:
        """The last count, or a new one when that is too old.

        Where counting is slow, the old count is given at once and a new one is made meanwhile.
        """
        if self._kept is not None and self._cost_s > SLOW_S:
            if time.monotonic() >= self._until and (self._behind is None or self._behind.done()):
                self._behind = asyncio.create_task(self._count_behind(pool))
            return self._kept
        async with self._lock:
            if self._kept is None or time.monotonic() >= self._until:
                self._kept = await self._count(pool)
            return self._kept

    async def _count(self, pool: Pool) -> Statistics:
        async with pool.connection(timeout=CONNECTION_WAIT_S) as connection, connection.transaction():
            await enter(connection, COUNTER, self._scope)
            started = time.monotonic()
            counted = await count(connection)
        self._cost_s = time.monotonic() - started
        self._until = time.monotonic() + max(KEPT_AT_LEAST_S, KEPT_PER_COST * self._cost_s)
        return counted

    async def _count_behind(self, pool: Pool) -> None:
        try:
            self._kept = await self._count(pool)
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:
            self._until = time.monotonic() + KEPT_AT_LEAST_S
            _LOG.warning("the fleet could not be counted", error=first_line(error))


@router.get("/statistics", tags=["statistics"], responses=documented())
async def get_statistics(principal: ReadStatistics, request: Request) -> Statistics:
    """The caller's fleet in numbers; a large one is counted again after a while only (`counted_at`)."""
    cache: StatisticsCache = request.app.state.statistics
    return await cache.get(pool_of(request), principal.scope(Permission.STATISTICS_READ))


async def count(connection: AsyncConnection[Any]) -> Statistics:
    """Count now."""
    counted_at = datetime.now(UTC)
    requests = await _rows(connection, "requests")
    (listening,) = await _rows(connection, "listening")
    return Statistics(
        counted_at=counted_at,
        kits=_kits(await _rows(connection, "kits")),
        active_alerts={row["rule"]: row["alerts"] for row in await _rows(connection, "alerts")},
        unresolved_requests_by_line=_sum(requests, "line", "requests"),
        unresolved_requests_by_state=_sum(requests, "state", "requests"),
        open_incidents=(await _rows(connection, "incidents"))[0]["incidents"],
        quarantined_last_day=_sum(await _rows(connection, "quarantine"), "reason", "messages"),
        listening=ListeningNow(**listening),
    )


def _kits(rows: list[dict[str, Any]]) -> KitCounts:
    installed = [row for row in rows if row["state"] == "installed"]
    return KitCounts(
        total=sum(row["kits"] for row in rows),
        by_state=_sum(rows, "state", "kits"),
        by_health=_sum(rows, "health", "kits"),
        installed_by_health=_sum(installed, "health", "kits"),
        heard=Heard(
            last_5_minutes=sum(row["heard_5_minutes"] for row in rows),
            last_hour=sum(row["heard_1_hour"] for row in rows),
            last_day=sum(row["heard_1_day"] for row in rows),
        ),
    )


def _sum(rows: list[dict[str, Any]], by: str, what: str) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for row in rows:
        sums[row[by]] += row[what]
    return dict(sorted(sums.items()))


async def _rows(connection: AsyncConnection[Any], query: str) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[query])
        return await cursor.fetchall()
