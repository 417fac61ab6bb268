"""The worker's tick at two sizes of fleet: quiet with something said of some kits, a thousand changed, a tenth lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts.worker import tick
from fleet.bench import massoutage
from fleet.bench.fleets import add_kits, temporary_database
from fleet.bench.massoutage import MassOutage
from fleet.db.connect import connect

Connection = AsyncConnection[Any]

TICKS = 7
CHANGED = 1_000
WHOLE_FLEET_TICKS = 5
"""After so many every part of the largest fleet was looked over."""
WARM_UP_TICKS = 60


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """Seconds per tick, medians, by number of kits."""

    kits: int
    quiet_tick_s: float
    changed_tick_s: float
    mass_outage: MassOutage


def measure(sizes: tuple[int, ...] = (20_000, 1_000_000)) -> list[WorkerResult]:
    """Tick over fleets of each size in which every kit has reported, then lose a mobile network of it."""
    results = []
    for kits in sizes:
        with temporary_database() as (dsn, folder):
            add_kits(dsn, kits, reported=True)
            quiet_s, changed_s = asyncio.run(_ticks(dsn))
            results.append(WorkerResult(kits, quiet_s, changed_s, massoutage.measure(dsn, folder)))
    return results


async def _let_stand(connection: Connection) -> None:
    """Something is said of every fiftieth kit already, and no round after a change of the rules is on."""
    await connection.execute("UPDATE rule_sweep SET laps = 0")
    await connection.execute("UPDATE kit_latest SET battery = 9, charging = false WHERE kit_id %% 50 = 0", ())
    quiet = 0
    for _ in range(WARM_UP_TICKS):
        await connection.execute("UPDATE listening SET clock_s = clock_s + 1, updated_at = clock_timestamp()")
        quiet = 0 if (await tick(connection, datetime.now(UTC))).evaluated else quiet + 1
        if quiet == WHOLE_FLEET_TICKS:
            break
    await connection.execute("VACUUM (ANALYZE) kit_latest")
    await connection.execute("VACUUM (ANALYZE) pending_alerts")


async def _ticks(dsn: str) -> tuple[float, float]:
    connection = await connect(dsn, role="bench")
    try:
        await _let_stand(connection)
        quiet, changed = [], []
        for _ in range(TICKS):
            await connection.execute("UPDATE listening SET clock_s = clock_s + 1, updated_at = clock_timestamp()")
            started = perf_counter()
            await tick(connection, datetime.now(UTC))
            quiet.append(perf_counter() - started)
            await connection.execute(
                "INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM kits ORDER BY kit_id LIMIT %s", (CHANGED,)
            )
            started = perf_counter()
            await tick(connection, datetime.now(UTC))
            changed.append(perf_counter() - started)
    finally:
        await connection.close()
    return round(median(quiet), 4), round(median(changed), 4)
