"""The broker: reached, speaks MQTT 5, and promises what ingest relies on."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import mqtt5

from fleet.cli.examine.finding import Finding, fail, ok, warn
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.framing import MalformedStreamError, PacketStream, UnreadablePublish
from fleet.protocol.messages import MAX_PAYLOAD_BYTES

DEADLINE_S = 5.0
SYSTEM_TOPICS_S = 1.0
DROPPED = "$SYS/broker/publish/messages/dropped"
WANTED_RECEIVE_MAX = 20
WANTED_PACKET_BYTES = 4 * MAX_PAYLOAD_BYTES
SESSION_S = 3600


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """The broker said no."""


class Probe:
    """A connection that asks a few questions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._stream = PacketStream()
        self._packets: list[mqtt5.Packet | UnreadablePublish] = []

    async def connect(self, endpoint: Endpoint) -> mqtt5.ConnAckPacket:
        """Say hello with a session that is to be kept a while."""
        packet = mqtt5.ConnectPacket(
            f"fleet-doctor-{secrets.token_hex(4)}",
            username=endpoint.username,
            password=endpoint.password.encode() if endpoint.password else None,
            clean_start=True,
            keep_alive=30,
            session_expiry_interval=SESSION_S,
        )
        self._writer.write(packet.write())
        answer = await self._next()
        if not isinstance(answer, mqtt5.ConnAckPacket):
            raise Refused("the answer to CONNECT is no CONNACK")
        if answer.reason_code is not mqtt5.ConnAckReasonCode.SUCCESS:
            raise Refused(answer.reason_code.name.lower().replace("_", " "))
        return answer

    async def subscribe(self, pattern: str) -> mqtt5.SubAckReasonCode:
        """Whether a subscription is granted."""
        self._writer.write(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter(pattern)]).write())
        while True:
            answer = await self._next()
            if isinstance(answer, mqtt5.SubAckPacket):
                return answer.reason_codes[0]

    async def first_message(self, topic: str, within_s: float) -> bytes | None:
        """The retained message of `topic`, if there is one."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    packet = await self._next()
                    if isinstance(packet, mqtt5.PublishPacket) and packet.topic == topic:
                        return packet.payload
        except TimeoutError:
            return None

    def leave(self) -> None:
        """Say goodbye and leave no session behind."""
        self._writer.write(mqtt5.DisconnectPacket(session_expiry_interval=0).write())

    async def _next(self) -> mqtt5.Packet | UnreadablePublish:
        while not self._packets:
            data = await self._reader.read(65536)
            if not data:
                raise Refused("it closed the connection (does it speak MQTT 5?)")
            self._packets.extend(self._stream.feed(data))
        return self._packets.pop(0)


@asynccontextmanager
async def probing(endpoint: Endpoint) -> AsyncIterator[Probe]:
    """A connection to ask over; raises OSError."""
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls_context())
    try:
        yield Probe(reader, writer)
    finally:
        writer.close()


async def examine(endpoint: Endpoint, pattern: str) -> list[Finding]:
    """Every check of the broker at `endpoint`, where ingest subscribes to `pattern`."""
    try:
        async with asyncio.timeout(DEADLINE_S), probing(endpoint) as probe:
            answer = await probe.connect(endpoint)
            found = [ok("broker", f"{endpoint} speaks MQTT 5"), *of_answer(answer)]
            found.append(_subscription(await probe.subscribe(pattern), pattern))
            found += await _dropped(probe)
            probe.leave()
            return found
    except TimeoutError:
        return [fail("broker", f"{endpoint} gives no answer: start it or mend FLEET_MQTT_URL")]
    except ssl.SSLError as error:
        return [fail("broker", f"{endpoint}, TLS: {error.reason or error}: mend FLEET_MQTT_CA_FILE and its like")]
    except (OSError, ValueError) as error:
        return [fail("broker", f"{endpoint}: {error}; start it or mend FLEET_MQTT_URL")]
    except (Refused, MalformedStreamError) as error:
        return [fail("broker", f"{endpoint} refuses us: {error}")]


def of_answer(answer: mqtt5.ConnAckPacket) -> Iterator[Finding]:
    """What the broker offers in its answer to CONNECT."""
    if int(answer.max_qos) < int(mqtt5.QoS.AT_LEAST_ONCE):
        yield fail("broker QoS", "QoS 1 is switched off: allow it")
    if not answer.retain_available:
        yield fail("broker retain", "retained messages are switched off: allow them")
    if not answer.wildcard_subscription_available:
        yield fail("broker wildcards", "wildcard subscriptions are switched off: allow them")
    if answer.session_expiry_interval is not None and answer.session_expiry_interval < SESSION_S:
        yield fail(
            "broker sessions",
            f"sessions are kept for {answer.session_expiry_interval} s only: allow an hour or more, "
            "else messages are lost while ingest is away",
        )
    if answer.receive_max < WANTED_RECEIVE_MAX:
        yield warn("broker window", f"only {answer.receive_max} messages in flight: allow more, it is slow")
    if answer.max_packet_size is not None and answer.max_packet_size < WANTED_PACKET_BYTES:
        yield warn(
            "broker packet size",
            f"packets above {answer.max_packet_size} bytes cut connections: allow {WANTED_PACKET_BYTES}",
        )


def _subscription(code: mqtt5.SubAckReasonCode, pattern: str) -> Finding:
    if int(code) >= int(mqtt5.SubAckReasonCode.UNSPECIFIED_ERROR):
        return fail("broker subscription", f"{pattern} is refused ({code.name.lower()}): allow it to this user")
    return ok("broker subscription", f"{pattern} is allowed")


async def _dropped(probe: Probe) -> list[Finding]:
    """Mosquitto counts what it threw away; other brokers say nothing."""
    try:
        code = await probe.subscribe(DROPPED)
    except Refused:  # rumqttd hangs up on whoever asks for a topic that begins with $
        return []
    if int(code) >= int(mqtt5.SubAckReasonCode.UNSPECIFIED_ERROR):
        return []
    payload = await probe.first_message(DROPPED, SYSTEM_TOPICS_S)
    if payload is None or not payload.isdigit():
        return []
    if int(payload) > 0:
        return [
            warn(
                "broker losses",
                f"{int(payload)} messages were thrown away since it started: set max_queued_messages 0 "
                "and max_inflight_messages 65535",
            )
        ]
    return [ok("broker losses", "none since it started")]
