"""The connection to the broker: MQTT 5 over the `mqtt5` codec, a persistent session, one plain subscription.

Nothing is acknowledged here by itself: what arrives waits in the `inbox` until its batch is committed and
`acknowledge` is called. The acknowledgement window is the only buffer; brokers overrun the receive maximum when
they redeliver, so reading from the socket is paused as well when the window is full. Pings go on meanwhile,
so that the broker keeps a connection whose answers we do not read yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar, cast

import mqtt5
from msgspec import Struct

from fleet import metrics
from fleet.errors import UnavailableError
from fleet.log import get_logger
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.framing import MalformedStreamError, PacketStream, UnreadablePublish

log = get_logger(__name__)

T = TypeVar("T")

RECEIVE_MAX = 10_000  # not 65,535: the codec then leaves it out and Mosquitto applies its own 20
WINDOW_BYTES = 32 * 1024 * 1024
SESSION_EXPIRY_S = 30 * 24 * 3600
KEEP_ALIVE_S = 30
PING_EVERY_S = 5.0
DEAD_AFTER_S = 20.0
CONNECT_DEADLINE_S = 10.0


class Incoming(Struct, frozen=True, gc=False):
    """One message as the broker handed it over; `packet_id` is None for QoS 0, which needs no acknowledgement."""

    topic: str
    payload: bytes
    retained: bool
    received_at: datetime
    packet_id: int | None


class ConnectionLostError(Exception):
    """The connection to the broker ended; the session and everything unacknowledged wait there."""


@dataclass(frozen=True, slots=True)
class Window:
    """How much may be received and not yet acknowledged."""

    messages: int = RECEIVE_MAX
    payload_bytes: int = WINDOW_BYTES


class Connection(asyncio.Protocol):
    """One MQTT connection; use `open_connection`."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._stream = PacketStream()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._arrived = asyncio.Event()
        self._inbox: list[Incoming] = []
        self._held = 0
        self._held_bytes = 0
        self._paused = False
        self._draining = False
        self._last_read = self._loop.time()
        self._connack: asyncio.Future[mqtt5.ConnAckPacket] = self._loop.create_future()
        self._suback: asyncio.Future[mqtt5.SubAckPacket] = self._loop.create_future()
        self._packet_id = 0
        self.lost: asyncio.Future[str] = self._loop.create_future()

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its base class

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "closed by the broker")

    def data_received(self, data: bytes) -> None:
        self._last_read = self._loop.time()
        received_at = datetime.now(UTC)
        try:
            for packet in self._stream.feed(data):
                if type(packet) is mqtt5.PublishPacket:
                    self._hold(packet.topic, packet.payload, packet.retain, received_at, packet.packet_id)
                else:
                    self._control(packet, received_at)
        except MalformedStreamError as error:
            self.abort(f"malformed packet from the broker: {error}")
            return
        if self._inbox:
            self._arrived.set()
            self._pause_when_full()

    # what the ingest calls

    @property
    def in_flight(self) -> int:
        """Messages received and not yet acknowledged."""
        return self._held

    async def take(self, max_messages: int, max_age_s: float) -> list[Incoming]:
        """The next batch in order of arrival: as soon as it is full, or `max_age_s` after its first message.

        Raises `ConnectionLostError` when nothing is left and the connection has ended.
        """
        if not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
            if not self._inbox:
                raise ConnectionLostError(self.lost.result())
        if len(self._inbox) < max_messages:
            # What waited while the batch before was stored is old enough already.
            age_s = (datetime.now(UTC) - self._inbox[0].received_at).total_seconds()
            await asyncio.sleep(min(max(max_age_s - age_s, 0), max_age_s))
        batch = self._inbox[:max_messages]
        del self._inbox[:max_messages]
        return batch

    def acknowledge(self, batch: Iterable[Incoming]) -> None:
        """Acknowledge a settled batch in its order, and read on when the window has room again."""
        acks = []
        for message in batch:
            self._held -= 1
            self._held_bytes -= len(message.payload)
            if message.packet_id is not None:
                acks.append(mqtt5.PubAckPacket(message.packet_id).write())
        if acks:
            self._write(b"".join(acks))
        metrics.IN_FLIGHT.set(self._held)
        if self._paused and not self._draining and self._held < self._window.messages // 2:
            self._paused = False
            self._last_read = self._loop.time()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1 without waiting; used for the backlog marker only."""
        self._packet_id = self._packet_id % 65535 + 1
        packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=self._packet_id)
        self._write(packet.write())

    def stop_reading(self) -> None:
        """Take nothing more from the broker; used to drain."""
        self._paused = self._draining = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def abort(self, reason: str) -> None:
        """Close at once; the session stays at the broker."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    async def disconnect(self, *, forget_session: bool = False) -> None:
        """Say goodbye and close after what was written has left; the broker keeps the session unless told to forget."""
        expiry_s = 0 if forget_session else None
        self._write(mqtt5.DisconnectPacket(session_expiry_interval=expiry_s).write())
        if self._transport is not None and not self.lost.done():
            self._transport.close()
            await asyncio.wait({self.lost}, timeout=2)
        self.abort("disconnected")

    # the handshake

    async def handshake(self, client_id: str, endpoint: Endpoint) -> bool:
        """CONNECT and wait for the answer; True when the broker kept our session."""
        self._write(
            mqtt5.ConnectPacket(
                client_id,
                username=endpoint.username,
                password=endpoint.password.encode() if endpoint.password else None,
                clean_start=False,
                keep_alive=KEEP_ALIVE_S,
                session_expiry_interval=SESSION_EXPIRY_S,
                receive_max=self._window.messages,
            ).write()
        )
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                answer = await self._connack
        except TimeoutError:
            raise ConnectionLostError(f"no answer to CONNECT within {CONNECT_DEADLINE_S:.0f} s") from None
        if answer.reason_code is not mqtt5.ConnAckReasonCode.SUCCESS:
            raise ConnectionLostError(f"broker refused the connection: {answer.reason_code.name.lower()}")
        return answer.session_present

    async def subscribe(self, pattern: str) -> None:
        """Subscribe at QoS 1; retained messages come only when the subscription is new (retain handling 1).

        The answer may stand behind a whole window of redelivered messages, so `take` must go on meanwhile, and how
        long it takes depends on the database; a mute broker is noticed by `keep_alive`.
        """
        self._write(
            mqtt5.SubscribePacket(
                65535,
                [
                    mqtt5.TopicFilter(
                        pattern,
                        max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                        retain_as_published=False,
                        retain_handling=mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS,
                    )
                ],
            ).write()
        )
        answer = await self._suback
        if answer.reason_codes != [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]:
            raise ConnectionLostError(f"broker refused the subscription to {pattern}: {answer.reason_codes}")

    async def keep_alive(self) -> None:
        """Ping for as long as the connection stands; end it when the broker is mute while we read."""
        while not self.lost.done():
            await asyncio.wait({self.lost}, timeout=PING_EVERY_S)
            self._write(mqtt5.PingReqPacket().write())
            if not self._paused and self._loop.time() - self._last_read > DEAD_AFTER_S:
                self.abort(f"nothing heard from the broker for {DEAD_AFTER_S:.0f} s")

    # inside

    def _hold(self, topic: str, payload: bytes, retained: bool, received_at: datetime, packet_id: int | None) -> None:
        self._inbox.append(Incoming(topic, payload, retained, received_at, packet_id))
        self._held += 1
        self._held_bytes += len(payload)

    def _control(self, packet: mqtt5.Packet | UnreadablePublish, received_at: datetime) -> None:
        match packet:
            case UnreadablePublish():
                topic = packet.topic.decode(errors="replace")
                self._hold(f"\ufffd{topic}", packet.content, False, received_at, packet.packet_id)
            case mqtt5.ConnAckPacket():
                _resolve(self._connack, packet)
            case mqtt5.SubAckPacket():
                _resolve(self._suback, packet)
            case mqtt5.DisconnectPacket():
                self.abort(f"broker disconnected us: {packet.reason_code.name.lower()}")
            case _:
                pass

    def _pause_when_full(self) -> None:
        full = self._held >= self._window.messages or self._held_bytes >= self._window.payload_bytes
        if full and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
            metrics.READING_PAUSED.inc()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        for answer in (self._connack, self._suback):
            if not answer.done():
                answer.set_exception(ConnectionLostError(reason))
                answer.exception()  # seen, whether or not somebody waits for it
        self._arrived.set()


def _resolve(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


@asynccontextmanager
async def open_connection(
    endpoint: Endpoint, client_id: str, window: Window | None = None
) -> AsyncIterator[Connection]:
    """Connect and resume the session; `subscribe` must follow every time (brokers may have lost the subscription).

    Raises `ConnectionLostError` when the broker refuses or ends it, `UnavailableError` when it cannot be reached.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            _, connection = await loop.create_connection(
                lambda: Connection(window or Window()),
                endpoint.host,
                endpoint.port,
                ssl=endpoint.tls_context(),
            )
    except (OSError, TimeoutError) as error:
        raise UnavailableError(f"broker {endpoint}: {error or 'no answer'}") from error
    pinger = None
    try:
        await connection.handshake(client_id, endpoint)
        pinger = asyncio.create_task(connection.keep_alive(), name="keep-alive")
        yield connection
    finally:
        if pinger is not None:
            pinger.cancel()
        connection.abort("closed")
