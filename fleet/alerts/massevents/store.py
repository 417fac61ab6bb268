"""Incidents and their members as rows; set-based, inside the tick's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from psycopg import AsyncConnection

from fleet.alerts.actions import ClearIncident, JoinIncident, LeaveIncident, OpenIncident, SettleIncident
from fleet.alerts.applied import Applied
from fleet.alerts.cohorts import Cohort, cohort_of
from fleet.alerts.requests import opening
from fleet.alerts.rules import RuleName
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]
OpenIds: TypeAlias = Mapping[tuple[RuleName, Cohort], int]

_SQL = load_queries("fleet.alerts.massevents", "store.sql")


async def open_incidents(connection: Connection, actions: Sequence[OpenIncident], now: datetime) -> list[int]:
    """Open mass events; gives those that were not open already."""
    opened: list[int] = []
    for action in actions:
        values = {
            "rule": action.rule,
            "kind": action.cohort.kind,
            "value": action.cohort.value,
            "now": now,
            "clock_s": action.clock_s,
            "from_clock_s": action.from_clock_s,
            "size": action.size,
        }
        cursor = await connection.execute(_SQL["open_incident"], values)
        opened += [row[0] for row in await cursor.fetchall()]
    return opened


async def tell_opened(connection: Connection, incident_ids: Sequence[int], now: datetime, applied: Applied) -> None:
    """Open the requests of incidents that have their first members, and say so."""
    for incident_id in incident_ids:
        applied.incidents_opened += 1
        applied.requests_opened += await opening.open_for_incident(connection, incident_id, now)
        await connection.execute(_SQL["tell_incident"], {"incident_id": incident_id, "now": now})


async def open_ids(connection: Connection) -> OpenIds:
    """The open incidents by rule and cohort."""
    cursor = await connection.execute(_SQL["open_ids"])
    return {(RuleName(rule), cohort_of(cohort)): number for number, rule, cohort in await cursor.fetchall()}


async def join(
    connection: Connection, actions: Sequence[JoinIncident], ids: OpenIds, now: datetime, applied: Applied
) -> None:
    """Make kits members."""
    if not actions:
        return
    values = {
        "now": now,
        "incident_ids": [ids[a.rule, a.cohort] for a in actions],
        "rules": [a.rule for a in actions],
        "kit_ids": [a.kit_id for a in actions],
        "heard_clock_s": [a.heard_clock_s for a in actions],
        "allowance_s": [a.allowance_s for a in actions],
    }
    cursor = await connection.execute(_SQL["join_incident"], values)
    applied.joined += cursor.rowcount


async def leave(connection: Connection, actions: Sequence[LeaveIncident], now: datetime, applied: Applied) -> None:
    """End memberships."""
    if not actions:
        return
    values = {
        "now": now,
        "incident_ids": [a.incident_id for a in actions],
        "kit_ids": [a.kit_id for a in actions],
        "outcomes": [a.outcome for a in actions],
    }
    await connection.execute(_SQL["leave_incident"], values)
    applied.left += Counter(a.outcome for a in actions)


async def leave_with_alerts(connection: Connection, alert_ids: Sequence[int], now: datetime) -> None:
    """End the memberships of kits whose suppressed alerts cleared."""
    if alert_ids:
        await connection.execute(_SQL["leave_with_alerts"], {"alert_ids": list(alert_ids), "now": now})


async def settle(connection: Connection, actions: Sequence[SettleIncident]) -> None:
    """Note since when few enough members are left."""
    for settled in actions:
        values = {"incident_id": settled.incident_id, "since": settled.since}
        await connection.execute(_SQL["settle_incident"], values)


async def clear_incidents(
    connection: Connection, actions: Sequence[ClearIncident], now: datetime, applied: Applied
) -> None:
    """End mass events and their requests."""
    for action in actions:
        values = {"incident_id": action.incident_id, "now": now, "clock_s": action.clock_s}
        cursor = await connection.execute(_SQL["clear_incident"], values)
        applied.incidents_cleared += cursor.rowcount
        applied.requests_resolved += await opening.resolve_for_incident(connection, action.incident_id, now)
