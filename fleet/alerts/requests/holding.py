"""What a step of the worker is going to change, held before it changes anything, in the one order that all keep.

Alerts come before requests, requests before the members of mass events, each by rising id; what is held once is not
waited for again. Desks keep the same order: most hold a single request and wait for nothing more. See decision 0029.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import scalar_row

from fleet.alerts.actions import (
    Action,
    ClearAlert,
    ClearIncident,
    OpenAlert,
    OpenSubjectAlert,
    RefreshEvidence,
    SetRecovering,
)
from fleet.alerts.requests import writing
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.requests", "holding.sql")


async def hold(connection: Connection, actions: Sequence[Action]) -> None:
    """Hold the alerts that these actions change, then the requests that they may touch, until the transaction ends."""
    changed = [each.alert_id for each in actions if isinstance(each, ClearAlert | SetRecovering | RefreshEvidence)]
    await hold_alerts(connection, changed)
    opening = [each for each in actions if isinstance(each, OpenAlert) and each.cohort is None]
    about = [each for each in actions if isinstance(each, OpenSubjectAlert)]
    values = {
        "cleared": [each.alert_id for each in actions if isinstance(each, ClearAlert)],
        "refreshed": [each.alert_id for each in actions if isinstance(each, RefreshEvidence)],
        "incident_ids": [each.incident_id for each in actions if isinstance(each, ClearIncident)],
        "kit_ids": [*(each.kit_id for each in opening), *(None for _ in about)],
        "subjects": [*(None for _ in opening), *(each.subject for each in about)],
        "rules": [*(each.rule for each in opening), *(each.rule for each in about)],
    }
    if any(values.values()):
        async with connection.cursor(row_factory=scalar_row) as cursor:
            await cursor.execute(_SQL["touched"], values)
            touched = await cursor.fetchall()
        await writing.hold(connection, request_ids=touched)


async def hold_alerts(connection: Connection, alert_ids: Sequence[int]) -> None:
    """Hold alerts; before any request is held."""
    if alert_ids:
        await connection.execute(_SQL["hold_alerts"], {"alert_ids": sorted(set(alert_ids))})
