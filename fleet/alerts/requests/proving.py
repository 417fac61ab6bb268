"""The leading worker's task that closes what is proven and opens again what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fleet import metrics
from fleet.alerts.requests import writing
from fleet.alerts.requests.log import SYSTEM, Entry, What
from fleet.alerts.requests.proof import Facts, Rules, Verdict, is_well, judge
from fleet.alerts.requests.writing import Change, Request
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.log import get_logger

log = get_logger(__name__)
Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.requests", "proving.sql")

EVERY_S = 30.0
BATCH = 1_000
STATEMENT_TIMEOUT_S = 60.0


async def prove(connection: Connection, now: datetime) -> Counter[Verdict]:
    """Look at every resolved request once, batch by batch, each in a transaction; returns what became of them."""
    done: Counter[Verdict] = Counter()
    after, more = 0, True
    while more:
        async with connection.transaction():
            facts = await read(connection, after=after, limit=BATCH)
            verdicts = await _judged(connection, facts, now)
            done.update(await _carry_out(connection, verdicts, now))
        more = len(facts) == BATCH
        after = facts[-1].request_id if facts else after
    return done


async def read(connection: Connection, *, after: int = 0, limit: int = 1, request_id: int | None = None) -> list[Facts]:
    """What is known of resolved requests, by number."""
    async with connection.cursor(row_factory=class_row(Facts)) as cursor:
        await cursor.execute(_SQL["facts"], {"after": after, "limit": limit, "request_id": request_id})
        return await cursor.fetchall()


async def proven_now(connection: Connection, request_id: int, now: datetime) -> bool:
    """Whether the kit of a resolved request has shown for long enough that it is well."""
    facts = await read(connection, request_id=request_id)
    return bool(facts) and is_well(facts[0], await _rules(connection), now)


async def prove_while(dsn: str, goes_on: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
    """Look again and again until `goes_on` says no; raises what the database raises."""
    connection = await connect(dsn, role="worker-proof", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    try:
        while goes_on():
            done = await prove(connection, await _now(connection))
            for verdict, count in done.items():
                metrics.REQUESTS_PROVEN.labels(verdict.value).inc(count)
            if done:
                log.info("proven", **{verdict.value: count for verdict, count in done.items()})
            await pause(EVERY_S)
    finally:
        await connection.close()


async def _rules(connection: Connection) -> Rules:
    settings = await writing.settings(connection)
    return Rules(settings.proof_for, settings.proof_within)


async def _judged(connection: Connection, facts: Sequence[Facts], now: datetime) -> dict[int, tuple[Facts, Verdict]]:
    rules = await _rules(connection)
    judged = {each.request_id: (each, judge(each, rules, now)) for each in facts}
    return {number: each for number, each in judged.items() if each[1] is not Verdict.WAIT}


async def _carry_out(
    connection: Connection, verdicts: dict[int, tuple[Facts, Verdict]], now: datetime
) -> Counter[Verdict]:
    """What somebody changed since it was looked at is left for the next look."""
    done: Counter[Verdict] = Counter()
    changes = []
    for request in (await writing.lock(connection, request_ids=list(verdicts))).values():
        facts, verdict = verdicts[request.request_id]
        if (request.now.state, request.now.resolved_at) != ("resolved", facts.resolved_at):
            continue
        changes.append(Change(request, [_entry(request, verdict, now)]))
        done[verdict] += 1
    await writing.append(connection, changes, now)
    return done


def _entry(request: Request, verdict: Verdict, now: datetime) -> Entry:
    if verdict is Verdict.FAILED:
        body: dict[str, Any] = {"from": request.now.state, "to": "open", "because": "not_proven"}
    else:
        body = {"from": request.now.state, "to": "closed", "proof": verdict is Verdict.PROVEN}
        body["because"] = verdict.value
    return Entry(What.STATE, SYSTEM, now, body)


async def _now(connection: Connection) -> datetime:
    cursor = await connection.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
