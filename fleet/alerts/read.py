"""What the rules need to know, read from the database: bounded lists and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from fleet.alerts.evaluate import DriftFacts
from fleet.alerts.rules import Line, Priority, Rule, RuleName
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]
Row = TypeVar("Row")

QUERIES = load_queries("fleet.alerts", "read.sql")
DRIFT_BATCH = 2_000


async def rules(connection: Connection) -> dict[RuleName, Rule]:
    """Every rule that this code knows, as it stands now."""
    async with connection.cursor() as cursor:
        await cursor.execute(QUERIES["rules"])
        rows = await cursor.fetchall()
    known = {str(name) for name in RuleName}
    return {
        RuleName(row[0]): Rule(RuleName(row[0]), row[1], Line(row[2]), Priority(row[3]), *row[4:])
        for row in rows
        if row[0] in known
    }


async def take_from_queue(connection: Connection) -> tuple[list[int], bool]:
    """Kits to evaluate, removed from the queue, and whether there may be more."""
    rows: list[int] = await _scalars(connection, "take_from_queue", {"limit": DRIFT_BATCH})
    return sorted(set(rows)), len(rows) == DRIFT_BATCH


async def drift_kits_due(connection: Connection, rule: Rule, now: datetime) -> list[int]:
    """Kits whose pending drift or whose recovery has lasted long enough."""
    values = {
        "rule": rule.rule,
        "enabled": rule.enabled,
        "pending_before": now - timedelta(seconds=rule.for_s if rule.enabled else 0),
        "recovering_before": now - timedelta(seconds=rule.keep_firing_for_s),
        "limit": DRIFT_BATCH,
    }
    return sorted(set(await _scalars(connection, "drift_kits_due", values)))


async def drift_facts(connection: Connection, kit_ids: Sequence[int]) -> list[DriftFacts]:
    """What the drift rule sees of these kits."""
    values = {"rule": RuleName.VERSION_DRIFT, "kit_ids": list(kit_ids)}
    return await _rows(connection, DriftFacts, "drift_facts", values)


async def _rows(connection: Connection, kind: type[Row], query: str, values: Mapping[str, Any]) -> list[Row]:
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(QUERIES[query], values)
        return await cursor.fetchall()


async def _scalars(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(QUERIES[query], values)
        return await cursor.fetchall()
