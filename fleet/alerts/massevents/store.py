"""Incidents and their members as rows; set-based, inside the tick's transaction."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts.actions import ClearIncident, JoinIncident, LeaveIncident, OpenIncident, SettleIncident
from fleet.alerts.applied import Applied
from fleet.alerts.requests import opening
from fleet.alerts.rules import RuleName
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.massevents", "store.sql")


async def open_incidents(connection: Connection, actions: list[OpenIncident], now: datetime, applied: Applied) -> None:
    """Open mass events with their requests."""
    for action in actions:
        values = {"rule": action.rule, "now": now, "clock_s": action.clock_s, "installed": action.installed}
        cursor = await connection.execute(_SQL["open_incident"], values)
        for (incident_id,) in await cursor.fetchall():
            applied.incidents_opened += 1
            applied.requests_opened += await opening.open_for_incident(connection, incident_id, now)
            await connection.execute(_SQL["tell_incident"], {"incident_id": incident_id, "now": now})


async def join(connection: Connection, actions: list[JoinIncident], now: datetime, applied: Applied) -> None:
    """Make kits members."""
    if not actions:
        return
    values = {
        "incident_id": await current_incident(connection),
        "now": now,
        "kit_ids": [a.kit_id for a in actions],
        "heard_clock_s": [a.heard_clock_s for a in actions],
        "allowance_s": [a.allowance_s for a in actions],
    }
    cursor = await connection.execute(_SQL["join_incident"], values)
    applied.joined += cursor.rowcount


async def leave(connection: Connection, actions: list[LeaveIncident], now: datetime, applied: Applied) -> None:
    """End memberships."""
    if not actions:
        return
    values = {
        "now": now,
        "kit_ids": [a.kit_id for a in actions],
        "outcomes": [a.outcome for a in actions],
    }
    await connection.execute(_SQL["leave_incident"], values)
    applied.left += Counter(a.outcome for a in actions)


async def clear_incidents(
    connection: Connection, actions: list[ClearIncident], now: datetime, applied: Applied
) -> None:
    """End mass events and their requests."""
    for action in actions:
        values = {"incident_id": action.incident_id, "now": now, "clock_s": action.clock_s}
        cursor = await connection.execute(_SQL["clear_incident"], values)
        applied.incidents_cleared += cursor.rowcount
        applied.requests_resolved += await opening.resolve_for_incident(connection, action.incident_id, now)


async def current_incident(connection: Connection) -> int:
    """The open mass event of silence."""
    cursor = await connection.execute(_SQL["current_incident"], {"rule": RuleName.SILENT})
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def settle(connection: Connection, actions: list[SettleIncident]) -> None:
    """Note since when few enough members are left."""
    for settled in actions:
        values = {"incident_id": settled.incident_id, "since": settled.since}
        await connection.execute(_SQL["settle_incident"], values)
