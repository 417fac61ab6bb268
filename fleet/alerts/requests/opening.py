"""Alerts and incidents become service requests, and end them: set-based, inside the tick's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fleet.alerts.rules import INCIDENT_LINE, INCIDENT_PRIORITY, PRIORITY_OF, Priority, due_at
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.requests", "opening.sql")


@dataclass(frozen=True, slots=True)
class _Graded:
    """An alert as grave as it is; `usual` is its rule's severity."""

    alert_id: int
    severity: str
    usual: str
    priority: str

    @property
    def wanted(self) -> Priority:
        """How soon somebody must answer."""
        return Priority(self.priority) if self.severity == self.usual else PRIORITY_OF[self.severity]


async def open_for_alerts(connection: Connection, alert_ids: Sequence[int], now: datetime) -> int:
    """Let alerts join the open request of their kit and cause, or open one; returns how many were opened.

    Alerts that are over or suppressed open nothing.
    """
    if not alert_ids:
        return 0
    async with connection.cursor(row_factory=class_row(_Graded)) as cursor:
        await cursor.execute(_SQL["graded"], {"alert_ids": list(alert_ids)})
        graded = await cursor.fetchall()
    values = {
        "alert_ids": [each.alert_id for each in graded],
        "priorities": [each.wanted for each in graded],
        "due_at": [due_at(each.wanted, now) for each in graded],
        "now": now,
    }
    return await _count(connection, "open_for_alerts", values)


async def resolve_for_alerts(connection: Connection, alert_ids: Sequence[int], now: datetime) -> int:
    """End the requests of alerts that cleared, where none of theirs is active any more; returns how many."""
    if not alert_ids:
        return 0
    return await _count(connection, "resolve_for_alerts", {"alert_ids": list(alert_ids), "now": now})


async def open_for_incident(connection: Connection, incident_id: int, now: datetime) -> int:
    """Open the one request of a mass event; returns 0 when it has one."""
    values = {
        "incident_id": incident_id,
        "line": INCIDENT_LINE,
        "priority": INCIDENT_PRIORITY,
        "due_at": due_at(INCIDENT_PRIORITY, now),
        "now": now,
    }
    return await _count(connection, "open_for_incident", values)


async def resolve_for_incident(connection: Connection, incident_id: int, now: datetime) -> int:
    """End the request of a mass event that cleared; returns how many were ended."""
    return await _count(connection, "resolve_for_incident", {"incident_id": incident_id, "now": now})


async def _count(connection: Connection, query: str, values: Mapping[str, Any]) -> int:
    cursor = await connection.execute(_SQL[query], values)
    row = await cursor.fetchone()
    assert row is not None, query
    return int(row[0])
