"""Alerts and incidents become service requests, and end them: set-based, inside the tick's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fleet.alerts.requests import placing, writing
from fleet.alerts.requests.log import SYSTEM, Entry, What
from fleet.alerts.requests.placing import Cleared, Fault
from fleet.alerts.requests.priority import Impact, priority_of
from fleet.alerts.requests.writing import Change, New, Request
from fleet.alerts.rules import INCIDENT_LINE
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]
Row = TypeVar("Row")

_SQL = load_queries("fleet.alerts.requests", "opening.sql")

MOVED_AT_ONCE = 1_000
"""Alerts of kits that moved, looked at in one tick."""


async def open_for_alerts(connection: Connection, alert_ids: Sequence[int], now: datetime) -> int:
    """Let alerts join the request of their kit and cause, open again one that ended a moment ago, or open one.

    Alerts that are over or suppressed open nothing. Returns how many requests are open now that were not before.
    """
    faults = await _rows(connection, Fault, "faults", {"alert_ids": list(alert_ids)}) if alert_ids else []
    if not faults:
        return 0
    candidates = {fault.candidate for fault in faults if fault.candidate is not None}
    locked = await writing.lock(connection, numbers=sorted(candidates))
    groups: dict[str, list[Fault]] = defaultdict(list)
    alone: list[Fault] = []
    for fault in faults:
        request = locked.get(fault.candidate or "")
        if request is not None and placing.joins(fault, request.now, now, request.reopen_within):
            groups[request.number].append(fault)
        else:
            alone.append(fault)
    again = await _join(connection, [(locked[number], group) for number, group in groups.items()], now)
    return again + await _open(connection, alone, now)


async def open_for_moved(connection: Connection, now: datetime) -> int:
    """Open requests where kits are now, of alerts that went on while they moved and that nobody works on any more.

    What had been resolved stays with whom the kit was. Returns how many were opened.
    """
    cursor = await connection.execute(_SQL["moved"], {"limit": MOVED_AT_ONCE})
    return await open_for_alerts(connection, [alert_id for (alert_id,) in await cursor.fetchall()], now)


async def resolve_for_alerts(connection: Connection, alert_ids: Sequence[int], now: datetime) -> int:
    """Note in the logs of their requests that alerts cleared, and end those that stand on none; returns how many.

    What speaks for a request that somebody opened is ended by somebody only.
    """
    if not alert_ids:
        return 0
    groups: dict[int, list[Cleared]] = defaultdict(list)
    for each in await _rows(connection, Cleared, "cleared", {"alert_ids": list(alert_ids)}):
        groups[each.request_id].append(each)
    locked = await writing.lock(connection, request_ids=list(groups))
    reported = await _reported(connection, locked.values())
    changes = [
        Change(each, placing.cleared(groups[each.request_id], each.now, now, reported=each.request_id in reported))
        for each in locked.values()
    ]
    await writing.append(connection, changes, now)
    return sum(change.after.state != change.request.now.state for change in changes)


async def open_for_incident(connection: Connection, incident_id: int, now: datetime) -> int:
    """Open the one request of a mass event; returns 0 when it has one."""
    cursor = await connection.execute(_SQL["incident"], {"incident_id": incident_id})
    row = await cursor.fetchone()
    if row is None:
        return 0
    rule, severity, organisation_id = row
    priority = priority_of(severity, Impact.MANY_KITS)
    new = New(rule, INCIDENT_LINE, priority, incident_id=incident_id, organisation_id=organisation_id)
    ((request, _),) = await writing.insert(connection, [new], now)
    body = {"by": "alert", "cause": rule, "line": INCIDENT_LINE, "priority": priority, "incident": incident_id}
    await writing.append(connection, [Change(request, [Entry(What.OPENED, SYSTEM, now, body)])], now)
    return 1


async def resolve_for_incident(connection: Connection, incident_id: int, now: datetime) -> int:
    """End the request of a mass event that cleared, for what it says: proof, or that nobody looks any more.

    Returns how many were ended.
    """
    cursor = await connection.execute(_SQL["request_of_incident"], {"incident_id": incident_id})
    why = dict(await cursor.fetchall())
    locked = await writing.lock(connection, request_ids=list(why))
    reported = await _reported(connection, locked.values())
    changes = []
    for request in locked.values():
        if request.request_id in reported:
            continue
        resolution = why[request.request_id]
        body = {"from": request.now.state, "to": "resolved", "resolution": resolution}
        body |= {"because": resolution} if resolution in placing.NOT_SOLVED else {}
        changes.append(Change(request, [Entry(What.STATE, SYSTEM, now, body)]))
    await writing.append(connection, changes, now)
    return len(changes)


async def _join(connection: Connection, groups: Sequence[tuple[Request, list[Fault]]], now: datetime) -> int:
    """Returns how many requests are opened again by it."""
    await writing.join_alerts(connection, [(r.request_id, f.alert_id) for r, group in groups for f in group])
    changes = [Change(request, placing.joined(group, request.now, now)) for request, group in groups]
    await writing.append(connection, changes, now)
    return sum(change.after.reopened > change.request.now.reopened for change in changes)


async def _open(connection: Connection, faults: Sequence[Fault], now: datetime) -> int:
    if not faults:
        return 0
    rows = [_new(fault) for fault in faults]
    by_cause = {(fault.kit_id, fault.subject, fault.rule): fault for fault in faults}
    changes, met = [], []
    for request, fresh in await writing.insert(connection, rows, now):
        fault = by_cause[request.kit_id, request.subject, request.cause]
        if fresh:
            changes.append(Change(request, placing.opened(fault, now)))
        else:
            met.append((request, [fault]))
    pairs = [(change.request.request_id, change.entries[1].body["alert"]) for change in changes]
    await writing.join_alerts(connection, pairs)
    await writing.append(connection, changes, now)
    await _join(connection, met, now)
    return len(changes)


async def _reported(connection: Connection, requests: Iterable[Request]) -> frozenset[int]:
    """Those that speak for what somebody reported and nobody has ended since; asked once they are locked."""
    values = {"request_ids": [each.request_id for each in requests]}
    cursor = await connection.execute(_SQL["reported"], values)
    return frozenset(row[0] for row in await cursor.fetchall())


def _new(fault: Fault) -> New:
    """A request of an organisation where it is about no kit; a kit's own is that of the kit."""
    whose = None if fault.subject is None else fault.organisation_id
    return New(
        fault.rule, fault.line, fault.priority, kit_id=fault.kit_id, subject=fault.subject, organisation_id=whose
    )


async def _rows(connection: Connection, kind: type[Row], query: str, values: Mapping[str, Any]) -> list[Row]:
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(_SQL[query], values)
        return await cursor.fetchall()
