"""Gauges of what the database holds, measured by the leading worker on a connection of its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from psycopg import AsyncConnection

from fleet import metrics
from fleet.alerts.rules import Line, Priority
from fleet.alerts.sla.measuring import Target
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.state.verdict import Facts, Health, verdict

QUERIES = load_queries("fleet.alerts", "gauges.sql")

EVERY_S = 5.0
LARGEST_SHARE = 0.02
"""Share of the time that measuring may take: a million kits are counted every few minutes, few at once."""
STATEMENT_TIMEOUT_S = 120.0
Measure = Callable[[AsyncConnection[Any]], Awaitable[None]]
OPEN_STATES = ("open", "in_progress", "waiting")
SUPPRESSORS = ("incident", "maintenance", "shelved")


async def measure(dsn: str, what: Measure) -> float:
    """Set the gauges of one kind; returns how long to rest before the next time."""
    began_s = time.perf_counter()
    connection = await connect(dsn, role="worker-gauges", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    try:
        await what(connection)
    finally:
        await connection.close()
    return max(EVERY_S, (time.perf_counter() - began_s) / LARGEST_SHARE)


def forget() -> None:
    """Show nothing: another process leads and shows it."""
    for gauge in (metrics.KITS, metrics.KITS_BY_HEALTH, metrics.ALERTS_ACTIVE, metrics.REQUESTS_OPEN, metrics.SLA_OPEN):
        gauge.clear()
    metrics.ALERTS_SUPPRESSED.clear()
    for gauge in (metrics.SLA_WAITING_AGE_SECONDS, metrics.COHORT_COUNT_AGE_SECONDS):
        gauge.set(0)
    for gauge in (metrics.INCIDENTS_OPEN, metrics.INCIDENT_MEMBERS, metrics.SLA_BREACHES, metrics.EVALUATION_QUEUE):
        gauge.set(0)


async def work(connection: AsyncConnection[Any]) -> None:
    """Alerts, incidents, requests and the queue: what there is to do."""
    ((queue, incidents, members, breaches),) = await _rows(connection, "work")
    metrics.EVALUATION_QUEUE.set(queue)
    metrics.INCIDENTS_OPEN.set(incidents)
    metrics.INCIDENT_MEMBERS.set(members)
    metrics.SLA_BREACHES.set(breaches)
    ((escalations_s, counting_s),) = await _rows(connection, "waiting")
    metrics.SLA_WAITING_AGE_SECONDS.set(escalations_s)
    metrics.COHORT_COUNT_AGE_SECONDS.set(counting_s)
    for rule, count in await _rows(connection, "active_alerts"):
        metrics.ALERTS_ACTIVE.labels(rule).set(count)
    suppressed = dict.fromkeys(SUPPRESSORS, 0) | dict(await _rows(connection, "suppressed_alerts"))
    for reason, count in suppressed.items():
        metrics.ALERTS_SUPPRESSED.labels(reason).set(count)
    requests = {(line, state): 0 for line in Line for state in OPEN_STATES}
    requests |= {(line, state): count for line, state, count in await _rows(connection, "open_requests")}
    for (line, state), count in requests.items():
        metrics.REQUESTS_OPEN.labels(line, state).set(count)
    missed = {(priority, target): 0 for priority in Priority for target in Target}
    missed |= {(priority, target): count for priority, target, count in await _rows(connection, "breaches")}
    for (priority, target), count in missed.items():
        metrics.SLA_OPEN.labels(priority, target).set(count)


async def kits(connection: AsyncConnection[Any]) -> None:
    """Kits by state, and by verdict while installed: what lies in stock is neither well nor ill."""
    states: Counter[str] = Counter()
    health: Counter[Health] = Counter(dict.fromkeys(Health, 0))
    for *facts, count in await _rows(connection, "kits"):
        judged = Facts(*facts)
        states[judged.state] += count
        if judged.installed:
            health[verdict(judged).health] += count
    metrics.KITS.clear()
    for state, count in states.items():
        metrics.KITS.labels(state).set(count)
    for word, count in health.items():
        metrics.KITS_BY_HEALTH.labels(word).set(count)


async def _rows(connection: AsyncConnection[Any], query: str) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(QUERIES[query])
    return [tuple(row) for row in await cursor.fetchall()]
