"""Runs the jobs of outlets in every worker process, on procrastinate: locks, backoff and what a dead worker leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

import procrastinate
import psycopg
from procrastinate import jobs, retry
from procrastinate.exceptions import ConnectorException
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from fleet import metrics
from fleet.alerts.outbound import connector, mail, queue, relay, webhooks
from fleet.alerts.outbound.posting import Poster
from fleet.alerts.outbound.queue import Outlet, Pool, TryLaterError
from fleet.alerts.outbound.reach import Reach
from fleet.alerts.outbound.sealing import OutletSealer
from fleet.alerts.outbound.work import Work
from fleet.config import Settings
from fleet.db import roles
from fleet.db.connect import conninfo, first_line
from fleet.errors import UnavailableError
from fleet.log import get_logger

log = get_logger(__name__)

QUEUE = "outlets"
CONCURRENCY = 8
"""Outlets that one process sends to at the same time."""
POOL_SIZE = 4
GRACE_S = 4.0
POLL_S = 1.0
HEARTBEAT_S = 10.0
AWAY_RETRY_S = 10.0

Deliver = Callable[[Work, Outlet], Awaitable[None]]
KINDS: Mapping[str, Deliver] = {"webhook": webhooks.deliver, "mail": mail.deliver, "connector": connector.deliver}
"""How each kind of outlet sends what waits for it."""


class Backoff(retry.BaseRetryStrategy):
    """A job comes back when what it raised says so; one that was cut off by a stop at once."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> retry.RetryDecision | None:
        """Never gives up: giving up is decided by delivery, not by job."""
        if isinstance(exception, TryLaterError):
            return _in(exception.delay_s)
        return _in(0 if isinstance(exception, asyncio.CancelledError) else AWAY_RETRY_S)


def _in(seconds: float) -> retry.RetryDecision:
    return retry.RetryDecision(retry_at=datetime.now(UTC) + timedelta(seconds=seconds))


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop`, ending within ten seconds; raises UnavailableError when the database is away."""
    key = settings.secret_key
    sealer = None if key is None else OutletSealer(key.get_secret_value())
    try:
        async with _pool(settings) as pool, Poster(Reach.parse(settings.outbound_networks)) as poster:
            work = Work(settings, pool, poster, sealer, lambda: not stop.is_set())
            app = procrastinate.App(connector=procrastinate.PsycopgConnector())
            async with app.open_async(pool):
                app.task(name="deliver", queue=QUEUE, retry=Backoff(), pass_context=False)(_task(work))
                await _work_until(app, stop)
    except (ConnectorException, PoolTimeout, PoolClosed) as error:
        raise UnavailableError(f"database: {first_line(error)}") from error


async def deliver(work: Work, outlet_id: int) -> None:
    """One job: send what waits for one outlet; raises TryLaterError when it is not taken."""
    async with work.pool.connection() as connection:
        outlet = await queue.find(connection, outlet_id)
    if outlet is not None:
        await KINDS[outlet.kind](work, outlet)


def _task(work: Work) -> Callable[[int], Awaitable[None]]:
    async def task(outlet_id: int) -> None:
        try:
            await deliver(work, outlet_id)
        except (TryLaterError, psycopg.OperationalError, PoolTimeout):
            raise
        except Exception:
            # The job comes back; without a word here nobody would learn why it does.
            log.exception("delivering broke", outlet=outlet_id)
            metrics.DELIVERIES.labels("any", "broken").inc()
            raise

    return task


async def _work_until(app: procrastinate.App, stop: asyncio.Event) -> None:
    working = asyncio.create_task(
        app.run_worker_async(
            queues=[QUEUE],
            concurrency=CONCURRENCY,
            install_signal_handlers=False,
            shutdown_graceful_timeout=GRACE_S,
            fetch_job_polling_interval=POLL_S,
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=relay.DEAD_AFTER.total_seconds(),
            delete_jobs="always",
        )
    )
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        working.cancel()  # which lets running jobs end for a while
        with contextlib.suppress(asyncio.CancelledError):
            await working


@contextlib.asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[Pool]:
    pool: Pool = AsyncConnectionPool(
        conninfo(settings.dsn(), role="courier", run_as=roles.WORKER),
        configure=_prepare,
        min_size=1,
        max_size=POOL_SIZE,
        timeout=10,
        reconnect_timeout=3,
        open=False,
        check=AsyncConnectionPool.check_connection,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close(timeout=3)


async def _prepare(connection: AsyncConnection[tuple[object, ...]]) -> None:
    await connection.set_autocommit(True)
    await relay.prepare(connection)
