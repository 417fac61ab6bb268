"""How many kits each cohort has: counted when that could matter, kept for a while, never per tick.

A small fleet is counted in the tick itself. A large one takes seconds, so the tick asks for it and the leader counts
beside it; meanwhile whoever may be in a wave waits, as in any wave that builds.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts import mass
from fleet.alerts.cohorts import Cohort, cohort_of
from fleet.alerts.mass import Group, Settings
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]

QUERIES = load_queries("fleet.alerts.massevents", "counting.sql")
SMALL = 50_000
"""Kits that are counted within a tick: some tenths of a second."""
SMALL_KEPT = timedelta(seconds=60)
KEPT = timedelta(minutes=15)
ANEW_AFTER = timedelta(seconds=30)
"""A cohort that was not there when it was last counted is asked for again no sooner."""
MOST_COHORTS = 5_000
"""The largest ones; tablets and books can name any number."""
ASKED_EVERY_S = 2.0
LARGEST_DUTY = 0.1
"""Share of the time that counting may take."""
STATEMENT_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of cohorts, as far as they are counted; `pending` tells that more are about to be."""

    by_cohort: Mapping[Cohort, int]
    pending: bool = False


async def groups(
    connection: Connection,
    kits: Sequence[int],
    halves: Sequence[int],
    coming: Sequence[bool],
    stride: int,
    *,
    windows_s: Sequence[float] | None = None,
) -> list[Group]:
    """What kits that fell out, or are about to, have in common; each stands for `stride` of them.

    `windows_s` are the kits' own windows, where they have any.
    """
    if not kits:
        return []
    windows = [None] * len(kits) if windows_s is None else list(windows_s)
    values = {"kits": list(kits), "halves": list(halves), "coming": list(coming), "windows": windows}
    cursor = await connection.execute(QUERIES["groups"], values)
    return [
        Group(frozenset(map(cohort_of, cohorts)), half, begun * stride, soon * stride, window_s)
        for cohorts, half, window_s, begun, soon in await cursor.fetchall()
    ]


async def sizes_for(
    connection: Connection, seen: Sequence[Group], settings: Settings, now: datetime, *, everything: bool = False
) -> Sizes:
    """The sizes of the cohorts of these groups, counted anew where they are not known well enough.

    They are of the watched kits, or of `everything` in the books.
    """
    if not seen:
        return Sizes({})
    found = await _sizes(connection, seen, everything=everything)
    cursor = await connection.execute(QUERIES["state"])
    row = await cursor.fetchone()
    assert row is not None
    counted_at, kits = row
    age = None if counted_at is None else now - counted_at
    missing = mass.unknown(seen, found, settings) and (age is None or abs(age) > ANEW_AFTER)
    if not missing and age is not None and abs(age) <= (SMALL_KEPT if kits <= SMALL else KEPT):
        return Sizes(found)
    if kits <= SMALL:
        await count(connection, now)
        return Sizes(await _sizes(connection, seen, everything=everything))
    await connection.execute(QUERIES["ask"], {"now": now})
    return Sizes(found, pending=missing)


async def count(connection: Connection, now: datetime) -> None:
    """Count every cohort, whatever that takes."""
    await connection.execute(QUERIES["plan_counting"])
    await connection.execute(QUERIES["count"], {"now": now, "most": MOST_COHORTS})


async def count_while(dsn: str, leads: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
    """Count a large fleet whenever the tick asks for it, on a connection of its own, while `leads`."""
    connection = await connect(
        dsn, role="worker-counting", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S
    )
    try:
        while leads():
            took_s = await count_if_asked(connection)
            await pause(max(ASKED_EVERY_S, took_s * (1 / LARGEST_DUTY - 1)))
    finally:
        await connection.close()


async def count_if_asked(connection: Connection) -> float:
    """Count when that is wanted; returns the seconds it took."""
    began_s = time.perf_counter()
    cursor = await connection.execute(QUERIES["asked"], {"small": SMALL})
    row = await cursor.fetchone()
    if row is None:
        return 0.0
    async with connection.transaction():
        await count(connection, row[0])
    return time.perf_counter() - began_s


async def _sizes(connection: Connection, seen: Sequence[Group], *, everything: bool) -> dict[Cohort, int]:
    cohorts = sorted({str(cohort) for group in seen for cohort in group.traits})
    cursor = await connection.execute(QUERIES["sizes"], {"cohorts": cohorts, "everything": everything})
    return {cohort_of(cohort): kits for cohort, kits in await cursor.fetchall()}
