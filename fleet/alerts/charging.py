"""The leading worker's task that records what is charged: kits whose log changed, and months as they end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from fleet import metrics
from fleet.db import roles
from fleet.db.connect import connect
from fleet.log import get_logger
from fleet.state.billing import store
from fleet.state.billing.store import Recorded

log = get_logger(__name__)
Connection = AsyncConnection[Any]

EVERY_S = 5.0
STATEMENT_TIMEOUT_S = 60.0


async def charge(connection: Connection, now: datetime) -> Recorded:
    """Close what has ended, then record a batch of kits and one of calls."""
    for month in await store.close_months(connection, now):
        log.info("month closed", month=month.isoformat())
    kits, calls = await store.record(connection), await store.record_calls(connection)
    return Recorded(
        kits=kits.kits,
        added=kits.added + calls.added,
        countered=kits.countered + calls.countered,
        more=kits.more or calls.more,
    )


async def charge_while(dsn: str, goes_on: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
    """Batch after batch until `goes_on` says no; raises what the database raises."""
    connection = await connect(dsn, role="worker-billing", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    try:
        while goes_on():
            done = await charge(connection, await _now(connection))
            metrics.BILLABLE.labels("entry").inc(done.added)
            metrics.BILLABLE.labels("counter_entry").inc(done.countered)
            if done.added or done.countered:
                log.info("charged", kits=done.kits, entries=done.added, counter_entries=done.countered)
            if not done.more:
                await pause(EVERY_S)
    finally:
        await connection.close()


async def _now(connection: Connection) -> datetime:
    cursor = await connection.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
