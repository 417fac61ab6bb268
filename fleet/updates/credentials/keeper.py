"""The leading worker's task that keeps the broker as the books say who may enter.

What is wanted stands in the books until the broker has it, written with the fact. A killed worker forgets nothing:
every order may be given twice. At each connect and every ten minutes all of the broker is compared with the books, for
brokers are restored from backups.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from fleet import metrics
from fleet.config import Settings
from fleet.db import roles
from fleet.db.connect import connect
from fleet.log import get_logger
from fleet.protocol.topics import Topics
from fleet.updates.credentials import store
from fleet.updates.credentials.comparing import Compared, compare
from fleet.updates.credentials.control import Control, ControlLostError, RefusedError, open_control
from fleet.updates.credentials.deciding import LOST, Steps, Wanted, steps
from fleet.updates.credentials.dynsec import role_name
from fleet.updates.credentials.passwords import Envelope
from fleet.updates.credentials.store import Due, State

log = get_logger(__name__)
Connection = AsyncConnection[Any]
GoesOn = Callable[[], bool]
Pause = Callable[[float], Awaitable[None]]

KEEPER_LOCK = 7_310_030
"""Held by whoever tells the broker, so that of two who think they lead, one does not let in what the other shut out."""
POLL_S = 0.5
IDLE_S = 30.0
BATCH = 50
COUNT_EVERY_S = 5.0
COMPARE_EVERY_S = 600.0
STATEMENT_TIMEOUT_S = 30.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 10.0
REFUSED_PAUSES_S = (1.0, 300.0)
"""Between attempts at what the plugin refuses: the first, and the longest after doubling."""
OTHER_KEY = "the password was sealed with another FLEET_SECRET_KEY than this worker has: give it the API's"
RESERVED = "an account of the server's own has this name: rename that account"
NO_KEY = "FLEET_SECRET_KEY is not set for this worker: give it the API's"


@dataclass(frozen=True, slots=True)
class Tools:
    """What the keeper works with."""

    connection: Connection
    topics: Topics
    envelope: Envelope | None
    reserved: frozenset[str] = frozenset()
    """Names of our own accounts, which no kit may have."""


async def keep_credentials(settings: Settings, dsn: str, goes_on: GoesOn, pause: Pause) -> None:
    """Keep the broker as the books say until `goes_on` says no; raises what the database raises.

    Without `FLEET_MQTT_ADMIN_URL` nobody is told, and the marks in the books are all there is.
    """
    if settings.mqtt_admin_url is None:
        log.info("FLEET_MQTT_ADMIN_URL is not set: nobody is let in or shut out at the broker")
        while goes_on():
            await pause(IDLE_S)
        return
    connection = await connect(dsn, role="worker-entry", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    tools = _tools(settings, connection)
    try:
        await Keeper(tools, settings, goes_on, pause).run()
    finally:
        forget()
        await connection.close()


def _tools(settings: Settings, connection: Connection) -> Tools:
    key = settings.secret_key
    envelope = None if key is None else Envelope(key.get_secret_value())
    server = None if settings.mqtt_url is None else settings.endpoint().username
    reserved = frozenset(filter(None, (server, settings.admin_endpoint().username)))
    return Tools(connection, Topics(settings.topic_root), envelope, reserved)


class Keeper:
    """Connects to the broker again and again, and tells it what is due."""

    def __init__(self, tools: Tools, settings: Settings, goes_on: GoesOn, pause: Pause) -> None:
        self._tools = tools
        self._endpoint = settings.admin_endpoint()
        self._goes_on, self._pause = goes_on, pause
        self._counted_s = float("-inf")

    async def run(self) -> None:
        """Until `goes_on` says no."""
        while self._goes_on() and not await store.take_lock(self._tools.connection, KEEPER_LOCK):
            await self._pause(1.0)
        retry_s = FIRST_RETRY_S
        while self._goes_on():
            began_s = _now_s()
            try:
                async with open_control(self._endpoint) as control:
                    metrics.CREDENTIALS_CONNECTED.set(1)
                    await self._serve(control)
            except (ControlLostError, RefusedError) as error:
                log.warning("broker is not told who may enter", error=str(error))
            finally:
                metrics.CREDENTIALS_CONNECTED.set(0)
            if _now_s() - began_s > LONGEST_RETRY_S:
                retry_s = FIRST_RETRY_S
            await self._count()
            await self._pause(retry_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)

    async def _serve(self, control: Control) -> None:
        """What is due first, for somebody may be waiting to be shut out; then everything."""
        compare_due_s = float("-inf")
        while self._goes_on():
            control.check()
            more = await tell_due(self._tools, control)
            if not more and _now_s() >= compare_due_s:
                _show(await compare(self._tools.connection, self._tools.topics, control))
                compare_due_s = _now_s() + COMPARE_EVERY_S
                more = True
            await self._count()
            await self._pause(0.0 if more else POLL_S)

    async def _count(self) -> None:
        now_s = _now_s()
        if now_s - self._counted_s < COUNT_EVERY_S:
            return
        self._counted_s = now_s
        found = await store.standing(self._tools.connection)
        metrics.CREDENTIALS_WAITING.labels("issued").set(found.entering)
        metrics.CREDENTIALS_WAITING.labels("revoked").set(found.leaving)
        metrics.CREDENTIALS_WAITING.labels("for_file").set(found.for_file)
        metrics.CREDENTIALS_WAITING_AGE_SECONDS.set(found.oldest_s)


async def tell_due(tools: Tools, control: Control) -> bool:
    """Tell the broker a batch of what is due; True when there may be more. Raises ControlLostError."""
    found = await store.due(tools.connection, BATCH)
    for each in found:
        await _tell(tools, control, each)
    return len(found) == BATCH


async def _tell(tools: Tools, control: Control, each: Due) -> None:
    if each.kit in tools.reserved:
        await _note(tools.connection, each, RESERVED)
        return
    wanted, closed = _opened(tools, each)
    try:
        planned = steps(tools.topics, wanted, *await control.client_and_role(each.kit, role_name(each.kit)))
        if planned.commands:
            await control.order(planned.commands)
    except RefusedError as error:
        planned = Steps(problem=str(error))
    await _note(tools.connection, each, closed or planned.problem)


async def _note(connection: Connection, each: Due, problem: str | None) -> None:
    metrics.CREDENTIALS_TOLD.labels(each.state, "applied" if problem is None else "refused").inc()
    if problem is None:
        took_s = await store.note_applied(connection, each)
        if took_s is not None:
            metrics.CREDENTIALS_SECONDS.observe(max(0.0, took_s))
        log.info("broker told", kit=each.kit, state=each.state, generation=each.generation)
        return
    log.warning("broker not as wanted", kit=each.kit, state=each.state, problem=problem)
    if problem == LOST:
        await store.leave_to_file(connection, each, problem)
    else:
        first_s, longest_s = REFUSED_PAUSES_S
        await store.put_off(connection, each, problem, min(first_s * 2 ** min(each.attempts, 20), longest_s))


def _opened(tools: Tools, each: Due) -> tuple[Wanted, str | None]:
    """What is wanted, and why its password cannot be read though it is there."""
    password, closed = None, None
    if each.sealed is not None and each.state == State.ISSUED:
        password = None if tools.envelope is None else tools.envelope.open(each.sealed, each.kit_id)
        if password is None:
            closed = NO_KEY if tools.envelope is None else OTHER_KEY
    return Wanted(each.kit, each.generation, each.state, password), closed


def forget() -> None:
    """Show nothing: another process keeps the broker and shows it."""
    for kind in ("issued", "revoked", "for_file"):
        metrics.CREDENTIALS_WAITING.labels(kind).set(0)
    metrics.CREDENTIALS_WAITING_AGE_SECONDS.set(0)
    metrics.CREDENTIALS_CONNECTED.set(0)


def _show(done: Compared) -> None:
    for what, count in done.counts():
        metrics.CREDENTIALS_DIFFERENCES.labels(what).inc(count)
    log.info(
        "broker compared with the books", clients=done.clients, took_s=round(done.took_s, 3), **dict(done.counts())
    )


def _now_s() -> float:
    return asyncio.get_running_loop().time()
