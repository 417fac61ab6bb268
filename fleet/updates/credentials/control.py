"""Questions and orders to Mosquitto's dynamic security over `$CONTROL`, each with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt

from fleet.protocol.endpoint import Endpoint
from fleet.updates.credentials.dynsec import Client, Json, client_of

TOPIC = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{TOPIC}/response"
CONNECT_WITHIN_S = 5
ANSWER_WITHIN_S = 15.0
"""A broker of 10,000 clients writes its file for 0.1 s at every change."""
PAGE = 100
"""Clients or roles in an answer, so that it stays below any limit of packets."""
MOST_PAGES = 20_000
NOT_FOUND = ("Client not found", "Role not found")


class ControlLostError(Exception):
    """The broker cannot be reached or does not answer to `$CONTROL`; orders on their way may or may not be done."""


class RefusedError(Exception):
    """The plugin refused an order, with its words."""


class Control:
    """A connection that administers accounts; use `open_control`."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._waiting: dict[str, asyncio.Future[list[Json]]] = {}
        self._listening = asyncio.create_task(self._listen(), name="answers on $CONTROL")

    def check(self) -> None:
        """Raise ControlLostError when the connection has ended; nobody hears of it otherwise while nothing is asked."""
        if self._listening.done():
            raise ControlLostError("the connection ended")

    async def close(self) -> None:
        """Listen no more."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def order(self, commands: Sequence[Json]) -> None:
        """Have every command done, in order; raises RefusedError with the first that was not."""
        for answer in await self._ask(commands):
            if "error" in answer:
                raise RefusedError(f"{answer.get('command', '?')}: {answer['error']}")

    async def client_and_role(self, kit: str, role: str) -> tuple[Client | None, Json | None]:
        """What the broker has of a kit."""
        asked = ({"command": "getClient", "username": kit}, {"command": "getRole", "rolename": role})
        client, its_role = [_data(answer) for answer in await self._ask(asked)]
        return (
            None if client is None else client_of(client["client"]),
            None if its_role is None else its_role["role"],
        )

    async def default_access(self) -> dict[str, bool]:
        """What is allowed to whoever has no right to it, by kind."""
        (answer,) = await self._ask(({"command": "getDefaultACLAccess"},))
        data = _data(answer) or {}
        return {each["acltype"]: bool(each["allow"]) for each in data.get("acls", ())}

    async def clients(self) -> AsyncIterator[list[Client]]:
        """Every client, page by page."""
        async for page in self._pages("listClients", "clients"):
            yield [client_of(each) for each in page]

    async def roles(self) -> AsyncIterator[list[Json]]:
        """Every role with its rights, page by page."""
        async for page in self._pages("listRoles", "roles"):
            yield page

    async def _pages(self, command: str, field: str) -> AsyncIterator[list[Json]]:
        for number in range(MOST_PAGES):
            asked = {"command": command, "verbose": True, "count": PAGE, "offset": number * PAGE}
            (answer,) = await self._ask((asked,))
            page: list[Json] = (_data(answer) or {}).get(field, [])
            if page:
                yield page
            if len(page) < PAGE:
                return

    async def _ask(self, commands: Sequence[Json]) -> list[Json]:
        mark = secrets.token_hex(8)
        body = {"commands": [{**command, "correlationData": mark} for command in commands]}
        answer: asyncio.Future[list[Json]] = asyncio.get_running_loop().create_future()
        self._waiting[mark] = answer
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._client.publish(TOPIC, json.dumps(body), qos=1)
                watched: list[asyncio.Future[Any]] = [answer, self._listening]
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise ControlLostError(
                f"no answer on $CONTROL within {ANSWER_WITHIN_S:.0f} s: is the dynamic security plugin loaded, and may"
                " this account administer it?"
            ) from None
        except aiomqtt.MqttError as error:
            raise ControlLostError(_told(error)) from None
        finally:
            del self._waiting[mark]
        if not answer.done():
            raise ControlLostError("the connection ended")
        answers = answer.result()
        if len(answers) != len(commands):
            raise ControlLostError(f"{len(answers)} answers to {len(commands)} commands")
        return answers

    async def _listen(self) -> None:
        """Hand each answer to whoever asked, until the connection ends; those to what was given up are passed over."""
        with contextlib.suppress(aiomqtt.MqttError):
            async for message in self._client.messages:
                answers = _parsed(message.payload)
                mark = answers[0].get("correlationData") if answers else None
                waiting = self._waiting.get(mark) if isinstance(mark, str) else None
                if waiting is not None and not waiting.done():
                    waiting.set_result(answers)


@asynccontextmanager
async def open_control(endpoint: Endpoint) -> AsyncIterator[Control]:
    """Connect and listen for answers; raises ControlLostError, also when the connection ends inside."""
    try:
        client = aiomqtt.Client(
            endpoint.host,
            endpoint.port,
            username=endpoint.username,
            password=endpoint.password,
            identifier=f"fleet-credentials-{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}",
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=endpoint.tls_context(),
            timeout=CONNECT_WITHIN_S,
            max_queued_incoming_messages=1000,
        )
        async with client:
            await client.subscribe(RESPONSE, qos=1)
            control = Control(client)
            try:
                yield control
            finally:
                await control.close()
    except (aiomqtt.MqttError, OSError) as error:
        raise ControlLostError(f"broker {endpoint}: {_told(error)}") from error


def _data(answer: Json) -> Any:
    """What was asked for; None when there is no such thing."""
    if "error" not in answer:
        return answer.get("data", {})
    if answer["error"] in NOT_FOUND:
        return None
    raise RefusedError(f"{answer.get('command', '?')}: {answer['error']}")


def _parsed(payload: Any) -> list[Json]:
    try:
        found = json.loads(payload)
        answers = found["responses"]
    except (ValueError, TypeError, KeyError):
        return []
    return [each for each in answers if isinstance(each, dict)] if isinstance(answers, list) else []


def _told(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
