"""Housekeeping by the leading worker: partitions ahead, and away what is past its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg

from fleet import metrics
from fleet.alerts import retention
from fleet.db import roles, storage
from fleet.db.connect import conninfo
from fleet.log import get_logger

log = get_logger(__name__)

EVERY_S = 3600.0
STATEMENT_TIMEOUT_S = 120.0
LOCK_TIMEOUT = b"SET lock_timeout = '5s'"


async def maintain(dsn: str, stopping: Callable[[], bool] = lambda: False) -> dict[str, int]:
    """Do all of it once, on connections and a thread of its own; returns what changed by kind.

    Ends early, between batches, when `stopping` says so.
    """
    done = await asyncio.to_thread(_maintain, dsn, stopping)
    for what, count in done.items():
        metrics.MAINTAINED.labels(what).inc(count)
    if any(done.values()):
        log.info("maintained", **done)
    return done


def _maintain(dsn: str, stopping: Callable[[], bool]) -> dict[str, int]:
    info = conninfo(dsn, role="maintenance", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    with psycopg.connect(info, autocommit=True) as connection:
        connection.execute(LOCK_TIMEOUT)
        made = storage.ensure_partitions(connection)
    return {"partitions_made": len(made), **retention.apply(dsn, stopping=stopping)}
