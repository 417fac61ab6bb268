"""From facts to queues: the leader reads events on for every outlet and asks procrastinate for the sending.

Events are written in the transaction of their fact and are the outbox; a step here is one transaction too (deliveries,
how far was read, the job), so nothing is lost or queued twice wherever a process dies. decisions/0025 says why facts
do not enqueue jobs themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fleet import metrics
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_dicts, fetch_value
from fleet.log import get_logger

log = get_logger(__name__)
SQL = load_queries("fleet.alerts.outbound", "relay.sql")

RELAY_LOCK = 7_310_025
EVERY_S = 0.5
HOUSEKEEPING_EVERY_S = 10.0
WINDOW = 500
"""Events that one outlet reads on in one step."""
OUTLETS = 20
"""Outlets in one step."""
ROOM = 1_000
"""Deliveries that wait, at most, for an outlet; the rest waits as events."""
KEPT_AS_EVENTS = timedelta(hours=12)
"""For so long; retention keeps events a day at least. Older ones become deliveries, room or not."""
MOST_PENDING = 10_000
"""Deliveries that wait for an outlet then; of more than that the oldest are given up."""
STEPS = 20
TRIES = timedelta(hours=24)
POLL_EVERY = timedelta(seconds=60)
DEAD_AFTER = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did; `passed` are events read, whether they were for anybody or not."""

    passed: int
    queued: int
    jobs: int


async def relay_while(dsn: str, going: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
    """Relay on a connection of its own while `going`."""
    connection = await connect(dsn, role="relay", run_as=roles.WORKER)
    try:
        await prepare(connection)
        last = datetime.min.replace(tzinfo=UTC)
        while going():
            now = datetime.now(UTC)
            if (now - last).total_seconds() >= HOUSEKEEPING_EVERY_S:
                await keep_house(connection, now)
                last = now
            step = await relay(connection, now)
            await pause(EVERY_S if step.passed < WINDOW else 0)
    finally:
        await connection.close()


async def prepare(connection: Connection) -> None:
    """Make a connection fit for `relay`, once."""
    await connection.execute(SQL["prepare"])


async def relay(connection: Connection, now: datetime) -> Step:
    """Fill the queues from the events and ask for the work, in short transactions one after the other."""
    passed = queued = 0
    for _ in range(STEPS):
        step = await _fill(connection, now)
        passed, queued = passed + step[0], queued + step[1]
        if not step[0]:
            break
    async with connection.transaction():
        jobs = 0
        if await _alone(connection):
            await connection.execute(SQL["hurry"])
            jobs = await fetch_value(connection, SQL["enqueue"], {"now": now, "poll": POLL_EVERY}) or 0
    return Step(passed, queued, jobs)


async def keep_house(connection: Connection, now: datetime) -> None:
    """Bounds, jobs of dead workers, gauges."""
    async with connection.transaction():
        if not await _alone(connection):
            return
        await connection.execute(SQL["restart_ahead"])
        await connection.execute(SQL["revive"], {"dead_after": DEAD_AFTER})
    await _bound(connection, now)
    await _gauge(connection)


async def _bound(connection: Connection, now: datetime) -> None:
    """Give up the oldest of what waits for an outlet beyond what may, outlet by outlet."""
    for found in await fetch_dicts(connection, SQL["overflowing"], {"most": MOST_PENDING}):
        for row in await fetch_dicts(connection, SQL["overflow"], {**found, "now": now}):
            metrics.DELIVERIES.labels(row["kind"], "overflow").inc(row["dead"])
            log.warning("deliveries given up: too many waited", **row)


async def _fill(connection: Connection, now: datetime) -> tuple[int, int]:
    values = {"now": now, "room": ROOM, "outlets": OUTLETS, "window": WINDOW, "tries": TRIES}
    values |= {"kept_since": now - KEPT_AS_EVENTS}
    async with connection.transaction():
        if not await _alone(connection):
            return 0, 0
        async with connection.cursor() as cursor:
            await cursor.execute(SQL["fill"], values)
            row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def _alone(connection: Connection) -> bool:
    """Whether no other process relays at this moment; for the transaction."""
    return bool(await fetch_value(connection, SQL["one_at_a_time"], {"lock": RELAY_LOCK}))


async def _gauge(connection: Connection) -> None:
    for row in await fetch_dicts(connection, SQL["gauges"], {}):
        metrics.DELIVERIES_DEAD.labels(row["kind"]).set(row["dead"])
        metrics.DELIVERIES_PENDING.labels(row["kind"]).set(row["pending"])
        metrics.DELIVERY_AGE_SECONDS.labels(row["kind"]).set(row["age_s"])
        metrics.OUTLETS_FAILING.labels(row["kind"]).set(row["failing"])
