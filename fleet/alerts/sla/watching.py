"""The leading worker's task that tells of steps of escalation and breaches as their moments come.

What is told stands in the request's log and in the stream of events, in one transaction: killed anywhere, it was told
once or not yet. A request that somebody is just changing is passed over and found at the next look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from time import perf_counter
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb

from fleet import metrics
from fleet.alerts.requests import writing
from fleet.alerts.requests.log import SYSTEM, Entry, What
from fleet.alerts.requests.writing import Change
from fleet.alerts.sla.escalating import Told, one_up
from fleet.alerts.sla.recomputing import Measured, measured, recompute
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.log import get_logger

log = get_logger(__name__)
Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.sla", "sla.sql")
_TELLING = load_queries("fleet.alerts.sla", "watching.sql")

EVERY_S = 2.0
MOST = 500
"""Requests of one look."""
REMEASURED_AT_ONCE = 250
"""Requests of a changed contract that are measured at once: some tenths of a second, for which a desk may wait."""
LARGEST_DUTY = 0.5
"""Share of the time that measuring anew may take: the same process ticks."""
STATEMENT_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Looked:
    """What one look did; `more` tells that a bound was reached."""

    requests: int = 0
    escalated: Counter[str] = field(default_factory=Counter)
    breached: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By priority and target."""
    remeasured: int = 0
    more: bool = False


async def look(connection: Connection, now: datetime) -> Looked:
    """Tell of everything that became due, then measure anew a batch of what a changed contract or calendar concerns."""
    looked = Looked()
    async with connection.transaction():
        taken = await _numbers(connection, "take_due", {"now": now, "limit": MOST})
        for each in (found := await measured(connection, taken, now)):
            _count(each, looked)
        await _tell(connection, found, now)
        await recompute(connection, taken, now)
    async with connection.transaction():
        looked.remeasured = await _remeasure(connection, now)
    looked.requests = len(taken)
    looked.more = len(taken) >= MOST or looked.remeasured >= REMEASURED_AT_ONCE
    return looked


async def watch_while(dsn: str, goes_on: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
    """Look after look until `goes_on` says no; raises what the database raises."""
    connection = await connect(dsn, role="worker-sla", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    try:
        while goes_on():
            began_s = perf_counter()
            looked = await look(connection, await _now(connection))
            _show(looked)
            rest_s = (perf_counter() - began_s) * (1 / LARGEST_DUTY - 1)
            await pause(rest_s if looked.more else EVERY_S)
    finally:
        await connection.close()


def _show(looked: Looked) -> None:
    for target, count in looked.escalated.items():
        metrics.SLA_ESCALATED.labels(target).inc(count)
    for (priority, target), count in looked.breached.items():
        metrics.SLA_BREACHED.labels(priority, target).inc(count)
    if looked.escalated or looked.breached or looked.remeasured:
        log.info(
            "service levels",
            requests=looked.requests,
            escalated=dict(looked.escalated),
            breached={f"{priority}:{target}": n for (priority, target), n in looked.breached.items()},
            remeasured=looked.remeasured,
        )


def _count(each: Measured, looked: Looked) -> None:
    for told in each.plan.told:
        if told.step is not None:
            looked.escalated[told.target] += 1
        if told.breached:
            looked.breached[each.header.priority, told.target] += 1


async def _tell(connection: Connection, found: Sequence[Measured], now: datetime) -> None:
    rows = [_row(each, told) for each in found for told in each.plan.told]
    if not rows:
        return
    await connection.execute(_TELLING["tell"], {**{name: [row[name] for row in rows] for name in rows[0]}, "now": now})
    await _raise(connection, [each for each in found if any(told.raises for told in each.plan.told)], now)


async def _raise(connection: Connection, found: Sequence[Measured], now: datetime) -> None:
    """Take requests one priority up, as the desk would."""
    locked = await writing.lock(connection, request_ids=[each.header.request_id for each in found])
    changes = [
        Change(request, [Entry(What.PRIORITY, SYSTEM, now, {"from": before, "to": higher, "why": "escalation"})])
        for request in locked.values()
        if (higher := one_up(before := request.now.priority)) is not None
    ]
    await writing.append(connection, changes, now)


def _row(each: Measured, told: Told) -> dict[str, Any]:
    step = told.step
    body: dict[str, Any] = {"target": told.target, "key": told.key, "along": list(told.along)}
    body["due_at"] = told.due.isoformat()
    if told.breached:
        body["breached"] = True
    if step is not None:
        body |= {"step": step.name, "notify": step.notify}
        body |= {"role": step.role} if step.role else {}
    return {
        "request_ids": each.header.request_id,
        "bodies": Jsonb(body),
        "escalated": step is not None,
        "breached": told.breached,
    }


async def _remeasure(connection: Connection, now: datetime) -> int:
    """A batch of the open requests of a contract that was changed; how many there were.

    It ends before the first one that somebody else holds: the next look begins with that one.
    """
    cursor = await connection.execute(_SQL["contract_to_remeasure"])
    row = await cursor.fetchone()
    if row is None:
        return 0
    contract_id, first = row
    values = {"contract_id": contract_id, "remeasure_from": first, "limit": REMEASURED_AT_ONCE}
    cursor = await connection.execute(_SQL["take_of_contract"], values)
    rows = await cursor.fetchall()
    taken = [request_id for request_id, _ in takewhile(lambda row: row[1], rows)]
    await recompute(connection, taken, now)
    if len(taken) < len(rows):
        following = rows[len(taken)][0]
    else:
        following = taken[-1] + 1 if len(taken) >= REMEASURED_AT_ONCE else None
    await connection.execute(_SQL["remeasured"], {"contract_id": contract_id, "next": following})
    return len(taken)


async def _numbers(connection: Connection, query: str, values: dict[str, Any]) -> list[int]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL[query], values)
        return [int(each) for each in await cursor.fetchall()]


async def _now(connection: Connection) -> datetime:
    cursor = await connection.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
