"""The worker process: stand by, lead, tick; beside it maintenance and gauges; stop cleanly.

The leader holds a session advisory lock on the connection it writes with, so a lost lock is a dead writer. Every
wait has an end, and whatever goes wrong with the database is met by connecting again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from psycopg import AsyncConnection

from fleet import metrics
from fleet.alerts import gauges, maintenance, sealer
from fleet.alerts.charging import charge_while
from fleet.alerts.comparing import compare_while
from fleet.alerts.massevents.counting import count_while
from fleet.alerts.outbound import courier
from fleet.alerts.outbound.platform import tell_while
from fleet.alerts.outbound.relay import relay_while
from fleet.alerts.requests.proving import prove_while
from fleet.alerts.sla.watching import watch_while
from fleet.alerts.tick import TickResult, tick
from fleet.config import Settings
from fleet.db import roles
from fleet.db.connect import connect, first_line
from fleet.db.migrate import is_current
from fleet.errors import UnavailableError
from fleet.log import get_logger
from fleet.rolemain import serve_until_signal
from fleet.updates.credentials.keeper import keep_credentials
from fleet.updates.sender import Sender

__all__ = ["TickResult", "Worker", "run", "tick"]

log = get_logger(__name__)
Connection = AsyncConnection[Any]
Beside = Callable[[str, Callable[[], bool], Callable[[float], Awaitable[None]]], Awaitable[None]]

LEADER_LOCK = 7_310_010
TICK_EVERY_S = 1.0
LARGEST_DUTY = 0.2
"""Share of the time that ticks may take; a fleet that needs more is looked at less often."""
STANDBY_POLL_S = 1.0
TICK_DEADLINE_S = 60.0
STATEMENT_TIMEOUT_S = 30.0
FIRST_RETRY_S = 0.2
LONGEST_RETRY_S = 5.0
STOP_DEADLINE_S = 10.0

# A leader whose machine vanished must not keep the lock: the server notices within some ten seconds.
_SESSION = b"""
SELECT set_config('tcp_keepalives_idle', '4', false), set_config('tcp_keepalives_interval', '2', false),
       set_config('tcp_keepalives_count', '3', false), set_config('jit', 'off', false),
       set_config('lock_timeout', '10s', false)
"""


class Worker:
    """One worker process; `run` until `stop` is set."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._settings = settings
        self._dsn = settings.dsn()
        self._stop = stop
        self._leads = asyncio.Event()

    async def run(self) -> None:
        """Everything of this process, as named tasks; ends within seconds of `stop`."""
        leader = asyncio.create_task(self._again("lead", self._lead), name="lead")
        helpers = [
            asyncio.create_task(self._again("maintain", self._maintain), name="maintain"),
            asyncio.create_task(self._again("seal", self._seal), name="seal"),
            asyncio.create_task(self._again("commands", self._command), name="commands"),
            asyncio.create_task(self._again("compare", partial(self._beside, compare_while)), name="compare"),
            asyncio.create_task(self._again("count", partial(self._beside, count_while)), name="count"),
            asyncio.create_task(self._again("charge", partial(self._beside, charge_while)), name="charge"),
            asyncio.create_task(
                self._again("platform", partial(self._beside, partial(tell_while, self._settings))), name="platform"
            ),
            asyncio.create_task(self._again("relay", partial(self._beside, relay_while)), name="relay"),
            asyncio.create_task(self._again("deliver", self._deliver), name="deliver"),
            asyncio.create_task(self._again("service levels", partial(self._beside, watch_while)), name="sla"),
            asyncio.create_task(
                self._again("credentials", partial(self._beside, partial(keep_credentials, self._settings))),
                name="credentials",
            ),
            asyncio.create_task(self._again("proof", partial(self._beside, prove_while)), name="proof"),
            asyncio.create_task(self._again("measure work", partial(self._measure, gauges.work)), name="work"),
            asyncio.create_task(self._again("measure kits", partial(self._measure, gauges.kits)), name="kits"),
        ]
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        tasks = [leader, *helpers]
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            await asyncio.wait(tasks, timeout=STOP_DEADLINE_S)
        finally:
            for task in [stopping, *tasks]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(stopping, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _again(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step` until stop; after an error of the database wait a little, longer each time, and begin anew."""
        retry_s = FIRST_RETRY_S
        while not self._stop.is_set():
            began_s = asyncio.get_running_loop().time()
            try:
                await step()
            except (psycopg.Error, UnavailableError, OSError) as error:
                metrics.WORKER_RETRIES.labels(what).inc()
                log.warning("database away", task=what, error=first_line(error))
            if asyncio.get_running_loop().time() - began_s > LONGEST_RETRY_S:
                retry_s = FIRST_RETRY_S
            await self._pause(retry_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            retry_s = min(retry_s * 2, LONGEST_RETRY_S)

    async def _lead(self) -> None:
        """Wait for the lock, then tick until the connection or the process ends."""
        connection = await connect(
            self._dsn, role="worker", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S
        )
        try:
            await _prepare(connection)
            if await self._take_lock(connection):
                self._leads.set()
                metrics.WORKER_LEADER.set(1)
                log.info("leading")
                await self._tick_until_stop(connection)
        finally:
            self._leads.clear()
            metrics.WORKER_LEADER.set(0)
            await connection.close()

    async def _take_lock(self, connection: Connection) -> bool:
        while not self._stop.is_set():
            async with asyncio.timeout(TICK_DEADLINE_S):
                cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,))
                row = await cursor.fetchone()
            if row is not None and row[0]:
                return True
            await self._pause(STANDBY_POLL_S)
        return False

    async def _tick_until_stop(self, connection: Connection) -> None:
        while not self._stop.is_set():
            async with asyncio.timeout(TICK_DEADLINE_S):
                result = await tick(connection, await _database_time(connection))
            _tell(result)
            await self._pause(pause_after(result.duration_s, more=result.more))

    async def _maintain(self) -> None:
        """History, events and quarantine kept in bounds, by the leader alone."""
        while await self._while_leading():
            await maintenance.maintain(self._dsn, self._stop.is_set)
            await self._pause(maintenance.EVERY_S)

    async def _command(self) -> None:
        """Commands to tablets, by the leader alone."""
        if await self._while_leading():
            await Sender(self._settings, self._pause).run(lambda: self._leads.is_set() and not self._stop.is_set())

    async def _seal(self) -> None:
        """The audit's chain, by the leader alone."""
        if await self._while_leading():
            await sealer.keep_sealed(self._dsn, lambda: self._leads.is_set() and not self._stop.is_set(), self._pause)

    async def _beside(self, work: Beside) -> None:
        """Work on a connection of its own, by the leader alone."""
        if await self._while_leading():
            await work(self._dsn, lambda: self._leads.is_set() and not self._stop.is_set(), self._pause)

    async def _deliver(self) -> None:
        """What goes out to others, by every process: jobs lock themselves."""
        await courier.run(self._settings, self._stop)

    async def _measure(self, what: gauges.Measure) -> None:
        """Gauges of the database, by the leader alone; a share of the time at most."""
        try:
            while await self._while_leading():
                pause_s = await gauges.measure(self._dsn, what)
                await self._pause(pause_s)
        finally:
            gauges.forget()

    async def _while_leading(self) -> bool:
        """Wait until this process leads; False when it is to stop."""
        while not self._stop.is_set() and not self._leads.is_set():
            gauges.forget()
            await self._pause(STANDBY_POLL_S)
        return not self._stop.is_set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def pause_after(duration_s: float, *, more: bool) -> float:
    """How long to rest after a tick: to the next second, but never less than keeps the duty in bounds."""
    rest_s = duration_s * (1 / LARGEST_DUTY - 1)
    return rest_s if more else max(TICK_EVERY_S - duration_s, rest_s)


async def _prepare(connection: Connection) -> None:
    if not await is_current(connection):
        raise UnavailableError("the schema is not this version's: run `fleet migrate`")
    await connection.execute(_SESSION)


async def _database_time(connection: Connection) -> datetime:
    """The database's clock, so that workers and ingest on other machines agree."""
    cursor = await connection.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def _tell(result: TickResult) -> None:
    """Metrics of every tick, and a line of each that did something."""
    metrics.TICK_SECONDS.observe(result.duration_s)
    applied = result.applied
    for rule, count in applied.opened.items():
        metrics.ALERTS_OPENED.labels(rule).inc(count)
    for (rule, resolution), count in applied.cleared.items():
        metrics.ALERTS_CLEARED.labels(rule, resolution).inc(count)
    metrics.REQUESTS_OPENED.inc(applied.requests_opened)
    metrics.REQUESTS_RESOLVED.inc(applied.requests_resolved)
    metrics.INCIDENTS_OPENED.inc(applied.incidents_opened)
    metrics.SILENT_HELD.set(result.held)
    if applied.changed:
        log.info(
            "tick",
            opened=dict(applied.opened),
            cleared={f"{rule}:{resolution}": n for (rule, resolution), n in applied.cleared.items()},
            requests_opened=applied.requests_opened,
            requests_resolved=applied.requests_resolved,
            incidents_opened=applied.incidents_opened,
            incidents_cleared=applied.incidents_cleared,
            joined=applied.joined,
            left=dict(applied.left),
            held=result.held,
            evaluated=result.evaluated,
            mode=result.mode,
            hearing=result.hearing,
            duration_s=round(result.duration_s, 4),
        )


def run(settings: Settings) -> None:
    """Entry of `fleet worker`: until SIGTERM or SIGINT."""
    settings.dsn()
    asyncio.run(serve_until_signal("worker", settings, lambda stop: Worker(settings, stop).run()))
