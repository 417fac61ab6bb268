"""Housekeeping by the leading worker: partitions ahead, old things away, in bounded steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from fleet import metrics
from fleet.db import roles, storage
from fleet.db.connect import conninfo
from fleet.db.queries import load_queries
from fleet.log import get_logger

log = get_logger(__name__)

QUERIES = load_queries("fleet.alerts", "maintenance.sql")

EVERY_S = 3600.0
HISTORY_KEPT = timedelta(days=400)
"""Messages stay this long: a year and the weeks it takes to close its books."""
KEPT = {
    "prune_events": timedelta(days=7),
    "prune_idempotency_keys": timedelta(days=1),
    "prune_quarantine": timedelta(days=90),
}
PRUNE_BATCH = 5_000
PRUNE_BATCHES = 200
"""Batches of one kind in one go; what is left waits for the next hour."""
STATEMENT_TIMEOUT_S = 120.0
LOCK_TIMEOUT = b"SET lock_timeout = '5s'"


async def maintain(dsn: str, stopping: Callable[[], bool] = lambda: False) -> dict[str, int]:
    """Do all of it once, on a connection and a thread of its own; returns what changed by kind.

    Ends early, between batches, when `stopping` says so.
    """
    done = await asyncio.to_thread(_maintain, dsn, stopping)
    for what, count in done.items():
        metrics.MAINTAINED.labels(what).inc(count)
    if any(done.values()):
        log.info("maintained", **done)
    return done


def _maintain(dsn: str, stopping: Callable[[], bool]) -> dict[str, int]:
    now = datetime.now(UTC)
    info = conninfo(dsn, role="maintenance", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    with psycopg.connect(info, autocommit=True) as connection:
        connection.execute(LOCK_TIMEOUT)
        made = storage.ensure_partitions(connection, now.date())
        dropped = storage.drop_history(connection, (now - HISTORY_KEPT).date())
        pruned = {query: _prune(connection, query, now - kept, stopping) for query, kept in KEPT.items()}
    return {"partitions_made": len(made), "partitions_dropped": len(dropped), **pruned}


def _prune(connection: psycopg.Connection[Any], query: str, before: datetime, stopping: Callable[[], bool]) -> int:
    pruned = 0
    for _ in range(PRUNE_BATCHES):
        batch = connection.execute(QUERIES[query], {"before": before, "limit": PRUNE_BATCH}).rowcount
        pruned += batch
        if batch < PRUNE_BATCH or stopping():
            break
    return pruned
