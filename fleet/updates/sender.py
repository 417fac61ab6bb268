"""Sends commands: what is due goes to the broker, what is past its time is ended.

A command stands in the database until the tablet has answered or its time is over, so a killed worker loses none: the
next leader sends again what was not noted, and a tablet knows a repeat by the command's id.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from psycopg import AsyncConnection

from fleet import metrics
from fleet.config import Settings
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_all, fetch_dicts, fetch_value
from fleet.log import get_logger
from fleet.protocol.topics import Topics
from fleet.updates.commands import CommandState
from fleet.updates.link import Answer, Link, LinkLostError, open_link

log = get_logger(__name__)

_SQL = load_queries("fleet.updates", "commands.sql")

POLL_S = 0.25
LARGEST_DUTY = 0.2
"""Share of the time that looking for work may take."""
COUNT_EVERY_S = 5.0
BATCH = 100
STATEMENT_TIMEOUT_S = 10.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.2, 5.0
UNHEARD_PAUSES_S = (1.0, 60.0)
"""Between attempts while nobody listens: the first, and the longest after doubling."""
UNANSWERED_PAUSES_S = (10.0, 3600.0)
"""The same for what was taken and is not answered."""

Connection = AsyncConnection[Any]


class Delivery(StrEnum):
    """What the broker said to an attempt."""

    TAKEN = "taken"
    NO_SUBSCRIBER = "no_subscriber"
    REFUSED = "refused"


# Anything else (quota, an error of the broker's own) may pass and is tried again as if nobody listened.
_FOR_GOOD = (Answer.NOT_AUTHORIZED, Answer.TOPIC_NAME_INVALID, Answer.PAYLOAD_FORMAT_INVALID)


@dataclass(frozen=True, slots=True)
class Due:
    """A command whose time to be sent has come, with `left_s` seconds to live."""

    command_id: str
    kit: str
    name: str
    arguments: dict[str, Any]
    expires_at: datetime
    attempts: int
    left_s: float


def delivery_of(answer: Answer) -> Delivery:
    """What an answer of the broker means for a command."""
    if answer is Answer.SUCCESS:
        return Delivery.TAKEN
    return Delivery.REFUSED if answer in _FOR_GOOD else Delivery.NO_SUBSCRIBER


def becomes(delivery: Delivery) -> CommandState:
    """The state of a pending command after an attempt."""
    return {Delivery.TAKEN: CommandState.SENT, Delivery.REFUSED: CommandState.FAILED}.get(
        delivery, CommandState.PENDING
    )


def pause_after(delivery: Delivery, attempts: int) -> float:
    """Seconds until the next attempt, when `attempts` were made before this one."""
    first_s, longest_s = UNANSWERED_PAUSES_S if delivery is Delivery.TAKEN else UNHEARD_PAUSES_S
    return float(min(first_s * 2 ** min(attempts, 20), longest_s))


def payload_of(command: Due) -> bytes:
    """The message, as the contract has it."""
    body: Mapping[str, Any] = {
        "name": command.name,
        "arguments": command.arguments,
        "expires_at": command.expires_at,
    }
    return msgspec.json.encode(body)


class Sender:
    """Sends as long as this process leads; `pause` is a wait that a stop ends."""

    def __init__(self, settings: Settings, pause: Callable[[float], Awaitable[None]]) -> None:
        self._dsn = settings.dsn()
        self._endpoint = None if settings.mqtt_url is None else settings.endpoint()
        self._topics = Topics(settings.topic_root)
        self._pause = pause
        self._links = AsyncExitStack()
        self._link: Link | None = None
        self._retry_s = FIRST_RETRY_S
        self._not_before_s = 0.0
        self._counted_s = float("-inf")

    async def run(self, leading: Callable[[], bool]) -> None:
        """Look for work again and again while `leading`; raises what the database raises."""
        if self._endpoint is None:
            log.warning("no broker is set (FLEET_MQTT_URL): commands wait and expire")
        connection = await connect(
            self._dsn, role="worker-commands", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S
        )
        try:
            while leading():
                looked_s = await self._round(connection)
                await self._pause(max(POLL_S, looked_s * (1 / LARGEST_DUTY - 1)))
        finally:
            for state in (CommandState.PENDING, CommandState.SENT):
                metrics.COMMANDS_OPEN.labels(state.value).set(0)
            await self._drop_link()
            await connection.close()

    async def _round(self, connection: Connection) -> float:
        """Look once, and do what is due; returns how long the looking took."""
        began_s = asyncio.get_running_loop().time()
        expired = await fetch_value(connection, _SQL["expire"], {"limit": 1000})
        if expired:
            metrics.COMMANDS_EXPIRED.inc(expired)
            log.info("commands expired", count=expired)
        await self._count(connection)
        due: list[Due] = []
        if self._endpoint is not None:
            due = await fetch_all(connection, _SQL["due"], {"limit": BATCH}, Due)
        looked_s = asyncio.get_running_loop().time() - began_s
        if due and (link := await self._linked()) is not None:
            await self._send(connection, link, due)
        return looked_s

    async def _send(self, connection: Connection, link: Link, due: Sequence[Due]) -> None:
        """Send all at once, then note each answer; what got none is due still."""
        sending = (self._publish(link, command) for command in due)
        answers = await asyncio.gather(*sending, return_exceptions=True)
        for command, answer in zip(due, answers, strict=True):
            if isinstance(answer, LinkLostError):
                metrics.COMMANDS_SENT.labels("lost").inc()
                self._away(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                await self._note(connection, command, delivery_of(answer), answer)

    async def _publish(self, link: Link, command: Due) -> Answer:
        topic = self._topics.command(command.kit, command.command_id)
        return await link.publish(topic, payload_of(command), expires_in_s=command.left_s)

    async def _note(self, connection: Connection, command: Due, delivery: Delivery, answer: Answer) -> None:
        values = {
            "command_id": command.command_id,
            "delivery": delivery.value,
            "becomes": becomes(delivery).value,
            "pause_s": pause_after(delivery, command.attempts),
        }
        rows = await fetch_dicts(connection, _SQL["attempted"], values)
        metrics.COMMANDS_SENT.labels(delivery.value).inc()
        for row in rows:
            if row["was"] == CommandState.PENDING and delivery is Delivery.TAKEN:
                metrics.COMMAND_SEND_SECONDS.observe(max(0.0, row["took_s"]))
        log.info(
            "command sent" if delivery is Delivery.TAKEN else "command not taken",
            command=command.command_id,
            kit=command.kit,
            name=command.name,
            answer=answer.name.lower(),
            attempt=command.attempts + 1,
        )

    async def _linked(self) -> Link | None:
        """The connection to the broker, made when there is work; None while the broker is away."""
        if self._link is not None and not self._link.lost.done():
            return self._link
        await self._drop_link()
        assert self._endpoint is not None
        if asyncio.get_running_loop().time() < self._not_before_s:
            return None
        try:
            self._link = await self._links.enter_async_context(open_link(self._endpoint))
        except LinkLostError as error:
            self._away(error)
            return None
        self._retry_s = FIRST_RETRY_S
        return self._link

    def _away(self, error: LinkLostError) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._not_before_s:
            return
        log.warning("broker away, commands wait", error=str(error))
        self._not_before_s = now_s + self._retry_s * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    async def _drop_link(self) -> None:
        self._link = None
        await self._links.aclose()

    async def _count(self, connection: Connection) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._counted_s < COUNT_EVERY_S:
            return
        self._counted_s = now_s
        found = {row["state"]: row["count"] for row in await fetch_dicts(connection, _SQL["open"], {})}
        for state in (CommandState.PENDING, CommandState.SENT):
            metrics.COMMANDS_OPEN.labels(state.value).set(found.get(state.value, 0))
