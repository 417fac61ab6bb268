"""How long each kind of data stays: the policies, what was removed, and the job that applies them.

The job runs in the leading worker's maintenance and by `fleet retention run`. Each batch is one transaction with its
note in `retention_runs` and in the audit, so that whatever was removed is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import errors

from fleet import metrics
from fleet.access.principal import SYSTEM
from fleet.db import roles, storage
from fleet.db.connect import conninfo, first_line
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_value
from fleet.errors import ForbiddenError, InvalidError, NotFoundError
from fleet.log import get_logger
from fleet.state.registry.editing import Outdated

log = get_logger(__name__)

QUERIES = load_queries("fleet.alerts", "retention.sql")

BATCHES = {
    "history": 1,
    "changes": 5_000,
    "quarantine_payloads": 5_000,
    "quarantine": 5_000,
    "events": 5_000,
    "deliveries": 5_000,
    "idempotency_keys": 5_000,
    "placement_references": 500,
    "request_texts": 200,
    "book_texts": 200,
    "call_notes": 5_000,
    "visit_texts": 500,
    "service_requests": 2_000,
    "alerts": 5_000,
    "incidents": 20,
    "findings": 5_000,
    "commands": 5_000,
    "audit": 5_000,
    "sessions": 5_000,
    "login_attempts": 5_000,
    "retention_runs": 5_000,
}
"""Every kind, in the order in which they are looked at, and how many rows of it one transaction takes."""
MOST_BATCHES = 200
"""Batches of one kind in one go; what is left waits for the next hour."""
STATEMENT_TIMEOUT_S = 120.0
LOCK_TIMEOUT = "5s"
# These say something of one kind only; without them the others would wait for it.
_OF_ONE_KIND = (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected, errors.IntegrityError)


@dataclass(frozen=True, slots=True)
class Policy:
    """How many days a kind of data stays, and between which bounds that may be set."""

    kind: str
    keep_days: int
    default_days: int
    min_days: int
    max_days: int
    revision: int
    updated_at: datetime
    last_run_at: datetime | None
    last_removed: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """What was removed of what was older than `cutoff`; not complete when more was left for later."""

    id: int
    kind: str
    at: datetime
    cutoff: datetime
    removed: int
    complete: bool


async def policies(connection: Connection, *, after: str = "", limit: int = 500) -> list[Policy]:
    """Kinds by name."""
    return await fetch_all(connection, QUERIES["policies"], {"kind": None, "after": after, "limit": limit}, Policy)


async def find_policy(connection: Connection, kind: str) -> Policy:
    """One kind; raises NotFoundError."""
    found = await fetch_all(connection, QUERIES["policies"], {"kind": kind, "after": "", "limit": 1}, Policy)
    if not found:
        raise NotFoundError("kind of data", kind)
    return found[0]


async def set_policy(
    connection: Connection, kind: str, keep_days: int, *, revisions: frozenset[int] | None = None
) -> Policy | Outdated:
    """Keep a kind for so many days from now on; raises NotFoundError, InvalidError, ForbiddenError."""
    async with connection.transaction():
        policy = await find_policy(connection, kind)
        if not policy.min_days <= keep_days <= policy.max_days:
            raise InvalidError("keep_days", f"must lie between {policy.min_days} and {policy.max_days} for {kind}")
        revision = await fetch_value(connection, QUERIES["lock_policy"], {"kind": kind})
        if revision is None:
            raise ForbiddenError("how long data is kept is the same for all: it is set for the whole installation")
        if revisions is not None and revision not in revisions:
            return Outdated(revision)
        await connection.execute(QUERIES["set_policy"], {"kind": kind, "keep_days": keep_days})
        return await find_policy(connection, kind)


async def runs(
    connection: Connection, *, kind: str | None = None, before: int = 2**63 - 1, limit: int = 100
) -> list[Run]:
    """What was removed, the newest first."""
    return await fetch_all(connection, QUERIES["runs"], {"kind": kind, "before": before, "limit": limit}, Run)


def apply(
    dsn: str, *, stopping: Callable[[], bool] = lambda: False, actor: str = "retention", now: datetime | None = None
) -> dict[str, int]:
    """Remove everything that is past its time, on a connection of its own; gives what was removed by kind.

    Of the history that are days. Ends early, between batches, when `stopping` says so.
    """
    now = now or datetime.now(UTC)
    info = conninfo(dsn, role="retention", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    done: dict[str, int] = {}
    with psycopg.connect(info, autocommit=True) as connection:
        connection.execute(QUERIES["begin"], {"actor": actor, "principal": SYSTEM.key, "lock_timeout": LOCK_TIMEOUT})
        for kind, cutoff in _cutoffs(connection, now).items():
            if stopping():
                break
            done[kind] = _apply(connection, kind, cutoff, stopping)
    return done


def due(dsn: str, *, now: datetime | None = None) -> dict[str, int]:
    """What `apply` would remove, by kind; changes nothing."""
    now = now or datetime.now(UTC)
    info = conninfo(dsn, role="retention", statement_timeout_s=STATEMENT_TIMEOUT_S)
    with psycopg.connect(info, autocommit=True) as connection:
        return {kind: _count(connection, kind, cutoff) for kind, cutoff in _cutoffs(connection, now).items()}


def _cutoffs(connection: psycopg.Connection[Any], now: datetime) -> Mapping[str, datetime]:
    kept = dict(connection.execute(QUERIES["keep_days"]).fetchall())
    return {kind: now - timedelta(days=kept[kind]) for kind in BATCHES if kind in kept}


def _apply(connection: psycopg.Connection[Any], kind: str, cutoff: datetime, stopping: Callable[[], bool]) -> int:
    """One kind, batch by batch; what goes wrong with it alone is told and left for the next time."""
    removed = 0
    try:
        for _ in range(MOST_BATCHES):
            batch = _remove_batch(connection, kind, cutoff)
            removed += batch
            if batch < BATCHES[kind] or kind == "history" or stopping():
                break
    except _OF_ONE_KIND as error:
        metrics.RETENTION_FAILURES.labels(kind).inc()
        log.error("retention left a kind for later", kind=kind, removed=removed, error=first_line(error))
    return removed


def _remove_batch(connection: psycopg.Connection[Any], kind: str, cutoff: datetime) -> int:
    with connection.transaction():
        removed = _remove(connection, kind, cutoff)
        complete = removed < BATCHES[kind] or kind == "history"
        told = {"kind": kind, "cutoff": cutoff, "removed": removed, "complete": complete}
        connection.execute(QUERIES["note_run"], told)
        if removed:
            connection.execute(QUERIES["note_removal"], told)
    return removed


def _remove(connection: psycopg.Connection[Any], kind: str, cutoff: datetime) -> int:
    if kind == "history":
        return len(storage.drop_history(connection, _day(cutoff)))
    values = {"cutoff": cutoff, "limit": BATCHES[kind]}
    cursor = connection.execute(QUERIES[f"remove_{kind}"], values)
    if cursor.description is None:
        return cursor.rowcount
    return _number(cursor)


def _count(connection: psycopg.Connection[Any], kind: str, cutoff: datetime) -> int:
    if kind == "history":
        return len(storage.old_history(connection, _day(cutoff)))
    return _number(connection.execute(QUERIES[f"count_{kind}"], {"cutoff": cutoff}))


def _number(cursor: psycopg.Cursor[Any]) -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
