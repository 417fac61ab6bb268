"""A connection to the broker for sending only, which tells what the broker said to each message.

Over the `mqtt5` codec, because what matters here is the reason in a PUBACK (0x10: nobody listens), which aiomqtt keeps
to itself. Nothing is kept over a lost connection: whoever waits is told, and sends again on the next one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import mqtt5

from fleet.log import get_logger
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.framing import MalformedStreamError, PacketStream

log = get_logger(__name__)

KEEP_ALIVE_S = 30
PING_EVERY_S = 10.0
DEAD_AFTER_S = 25.0
ANSWER_DEADLINE_S = 10.0
MAX_IN_FLIGHT = 20
_LAST_PACKET_ID = 65_535

Answer = mqtt5.PubAckReasonCode


class LinkLostError(Exception):
    """The broker cannot be reached, refused us, or the connection ended; what was in flight may or may not be there."""


class Link(asyncio.Protocol):
    """One MQTT 5 connection that publishes; use `open_link`."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._stream = PacketStream()
        self._transport: asyncio.Transport | None = None
        self._heard_s = loop.time()
        self._packet_id = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._room = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._greeted: asyncio.Future[mqtt5.ConnAckPacket] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._end(str(exc) if exc else "closed by the broker")

    def data_received(self, data: bytes) -> None:
        """Handle every packet that is complete."""
        self._heard_s = self._loop.time()
        try:
            for packet in self._stream.feed(data):
                self._handle(packet)
        except MalformedStreamError as error:
            self.abort(f"malformed packet from the broker: {error}")

    async def publish(self, topic: str, payload: bytes, *, expires_in_s: float) -> Answer:
        """Send at QoS 1 with a message expiry and wait for the broker's answer; raises LinkLostError."""
        async with self._room:
            packet_id = self._next_id()
            answer: asyncio.Future[Answer] = self._loop.create_future()
            self._waiting[packet_id] = answer
            packet = mqtt5.PublishPacket(
                topic,
                payload,
                qos=mqtt5.QoS.AT_LEAST_ONCE,
                packet_id=packet_id,
                message_expiry_interval=max(1, int(expires_in_s)),
                content_type="application/json",
            )
            try:
                self._write(packet.write())
                return await asyncio.wait_for(answer, ANSWER_DEADLINE_S)
            except TimeoutError:
                self.abort(f"no answer to a message within {ANSWER_DEADLINE_S:.0f} s")
                raise LinkLostError(self.lost.result()) from None
            finally:
                self._waiting.pop(packet_id, None)

    async def greet(self, endpoint: Endpoint) -> None:
        """CONNECT without a session of our own, and wait for the answer; raises LinkLostError."""
        packet = mqtt5.ConnectPacket(
            f"fleet-commands-{socket.gethostname()[:32]}-{os.getpid()}-{os.urandom(4).hex()}",
            username=endpoint.username,
            password=endpoint.password.encode() if endpoint.password else None,
            clean_start=True,
            keep_alive=KEEP_ALIVE_S,
        )
        self._write(packet.write())
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                answer = await self._greeted
        except TimeoutError:
            raise LinkLostError(f"no answer to CONNECT within {ANSWER_DEADLINE_S:.0f} s") from None
        if answer.reason_code is not mqtt5.ConnAckReasonCode.SUCCESS:
            raise LinkLostError(f"the broker refuses the connection: {answer.reason_code.name.lower()}")

    async def keep_alive(self) -> None:
        """Ping for as long as the connection stands; end it when the broker is mute."""
        while not self.lost.done():
            await asyncio.wait({self.lost}, timeout=PING_EVERY_S)
            self._write(mqtt5.PingReqPacket().write())
            if self._loop.time() - self._heard_s > DEAD_AFTER_S:
                self.abort(f"nothing heard from the broker for {DEAD_AFTER_S:.0f} s")

    async def close(self) -> None:
        """Say goodbye, and close after what was written has left."""
        self._write(mqtt5.DisconnectPacket().write())
        if self._transport is not None and not self.lost.done():
            self._transport.close()
            await asyncio.wait({self.lost}, timeout=2)
        self.abort("closed")

    def abort(self, reason: str) -> None:
        """Close at once."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def _handle(self, packet: object) -> None:
        match packet:
            case mqtt5.PubAckPacket():
                answer = self._waiting.get(packet.packet_id)
                if answer is not None and not answer.done():
                    answer.set_result(packet.reason_code)
            case mqtt5.ConnAckPacket():
                if not self._greeted.done():
                    self._greeted.set_result(packet)
            case mqtt5.DisconnectPacket():
                self.abort(f"the broker disconnected us: {packet.reason_code.name.lower()}")
            case _:
                pass

    def _next_id(self) -> int:
        # At most MAX_IN_FLIGHT are taken, so a free one is near.
        while True:
            self._packet_id = self._packet_id % _LAST_PACKET_ID + 1
            if self._packet_id not in self._waiting:
                return self._packet_id

    def _write(self, data: bytes) -> None:
        if self.lost.done():
            raise LinkLostError(self.lost.result())
        if self._transport is not None:
            self._transport.write(data)

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        waiting: list[asyncio.Future[Any]] = [self._greeted, *self._waiting.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(LinkLostError(reason))
                future.exception()  # seen, whether or not somebody waits for it


@asynccontextmanager
async def open_link(endpoint: Endpoint) -> AsyncIterator[Link]:
    """Connect, and close politely at the end; raises LinkLostError when the broker cannot be reached or refuses."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ANSWER_DEADLINE_S):
            _, link = await loop.create_connection(Link, endpoint.host, endpoint.port, ssl=endpoint.tls_context())
    except (OSError, TimeoutError) as error:
        raise LinkLostError(f"broker {endpoint}: {error or 'no answer'}") from error
    pinger = None
    try:
        await link.greet(endpoint)
        pinger = asyncio.create_task(_pinging(link), name="command link keep-alive")
        yield link
    finally:
        if pinger is not None:
            pinger.cancel()
        if link.lost.done():
            link.abort("closed")
        else:
            await link.close()


async def _pinging(link: Link) -> None:
    try:
        await link.keep_alive()
    except LinkLostError as error:
        log.debug("command link ended", error=str(error))
