"""The tablet's side of the promise, against a broker that behaves badly on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import mqtt5
import msgspec
import pytest

from fleet.protocol.endpoint import Endpoint
from fleet.protocol.framing import PacketStream
from fleet.protocol.topics import Kind, Topics
from simulator.errors import UnavailableError
from simulator.hub import Hub
from simulator.ledger import BootOf, Ledger, Status
from simulator.probe import probe
from simulator.publisher import Publisher
from simulator.scenario import Connections
from tests.support import eventually

OWNER = BootOf("K-1", "b")
QUICK = Connections(backoff_s=0.05, max_backoff_s=0.1, keep_alive_s=2)


class BadBroker:
    """Accepts connections and answers each PUBLISH as told; remembers every packet."""

    def __init__(self) -> None:
        self.packets: list[object] = []
        self.answer: Callable[[mqtt5.PublishPacket], mqtt5.PubAckReasonCode | None] = lambda _: (
            mqtt5.PubAckReasonCode.SUCCESS
        )
        self.connack = mqtt5.ConnAckPacket().write()
        self.mute = False
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        stream = PacketStream()
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                for packet in stream.feed(data):
                    self.packets.append(packet)
                    writer.write(self.reply(packet))
        writer.close()

    def reply(self, packet: object) -> bytes:
        match packet:
            case mqtt5.ConnectPacket():
                return self.connack
            case mqtt5.PingReqPacket() if not self.mute:
                return mqtt5.PingRespPacket().write()
            case mqtt5.PublishPacket(packet_id=int(packet_id)) if not self.mute:
                code = self.answer(packet)
                return b"" if code is None else mqtt5.PubAckPacket(packet_id, reason_code=code).write()
        return b""

    def of(self, kind: type[object]) -> list[object]:
        return [packet for packet in self.packets if isinstance(packet, kind)]

    def payloads(self) -> list[bytes]:
        return [p.payload for p in self.packets if isinstance(p, mqtt5.PublishPacket) and not p.retain]

    def drop_all(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


@asynccontextmanager
async def bad_broker() -> AsyncIterator[tuple[BadBroker, Endpoint]]:
    broker = BadBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield broker, Endpoint("127.0.0.1", port)
    finally:
        server.close()
        broker.drop_all()


@asynccontextmanager
async def tablet(endpoint: Endpoint, settings: Connections = QUICK) -> AsyncIterator[tuple[Publisher, Ledger, Hub]]:
    ledger = Ledger(boot_prefix="b", started_at=datetime.now(UTC))
    async with Hub(endpoint, Topics(), ledger, settings) as hub:
        publisher = Publisher(hub, "K-1")
        publisher.want(up=True)
        try:
            yield publisher, ledger, hub
        finally:
            publisher.leave()
            await hub.all_closed(5)


def send(publisher: Publisher, ledger: Ledger, number: int) -> int:
    row = ledger.add(OWNER, Kind.HEARTBEAT, number, datetime.now(UTC))
    publisher.send(row, "t", str(number).encode())
    return row


async def test_not_stored_is_not_success_and_is_sent_again() -> None:
    answers = iter([mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS, mqtt5.PubAckReasonCode.QUOTA_EXCEEDED])
    async with bad_broker() as (broker, endpoint), tablet(endpoint) as (publisher, ledger, hub):
        broker.answer = lambda packet: (
            mqtt5.PubAckReasonCode.SUCCESS if packet.retain else next(answers, mqtt5.PubAckReasonCode.SUCCESS)
        )
        send(publisher, ledger, 0)
        await eventually(lambda: ledger.status[0] == Status.ACKNOWLEDGED)
        assert broker.payloads() == [b"0"] * 3
        assert hub.counts["not_stored_no_matching_subscribers"] == 1


async def test_what_is_forbidden_does_not_block_what_follows() -> None:
    async with bad_broker() as (broker, endpoint), tablet(endpoint) as (publisher, ledger, _):
        broker.answer = lambda packet: (
            mqtt5.PubAckReasonCode.NOT_AUTHORIZED if packet.payload == b"0" else mqtt5.PubAckReasonCode.SUCCESS
        )
        for number in range(2):
            send(publisher, ledger, number)
        await eventually(lambda: ledger.status[1] == Status.ACKNOWLEDGED)
        assert ledger.status[0] == Status.REFUSED
        assert publisher.unsettled == 0


async def test_after_a_reconnect_everything_recent_is_sent_again_in_order() -> None:
    async with bad_broker() as (broker, endpoint), tablet(endpoint) as (publisher, ledger, _):
        broker.answer = lambda packet: None if packet.payload == b"2" else mqtt5.PubAckReasonCode.SUCCESS
        for number in range(3):
            send(publisher, ledger, number)
        await eventually(lambda: ledger.status[1] == Status.ACKNOWLEDGED)
        broker.answer = lambda _: mqtt5.PubAckReasonCode.SUCCESS
        broker.drop_all()
        send(publisher, ledger, 3)
        await eventually(lambda: ledger.status[3] == Status.ACKNOWLEDGED)
        assert broker.payloads() == [b"0", b"1", b"2", b"0", b"1", b"2", b"3"]
        ids = [p.packet_id for p in broker.packets if isinstance(p, mqtt5.PublishPacket) and p.payload == b"2"]
        assert len(set(ids)) == 2


async def test_the_window_of_the_broker_is_kept() -> None:
    async with bad_broker() as (broker, endpoint):
        broker.connack = mqtt5.ConnAckPacket(receive_max=2).write()
        broker.answer = lambda packet: mqtt5.PubAckReasonCode.SUCCESS if packet.retain else None
        async with tablet(endpoint) as (publisher, ledger, _):
            for number in range(5):
                send(publisher, ledger, number)
            await eventually(lambda: len(broker.payloads()) == 2)
            assert publisher.unsettled == 5


async def test_a_broker_gone_quiet_is_given_up() -> None:
    async with bad_broker() as (broker, endpoint), tablet(endpoint) as (publisher, ledger, hub):
        await eventually(lambda: publisher.connected)
        broker.mute = True
        await eventually(lambda: hub.counts["losses"] >= 1, 15)
        broker.mute = False
        send(publisher, ledger, 0)
        await eventually(lambda: ledger.status[0] == Status.ACKNOWLEDGED)
        assert broker.of(mqtt5.PingReqPacket)


async def test_presence_and_its_will_carry_one_time_and_leaving_says_offline() -> None:
    async with bad_broker() as (broker, endpoint):
        async with tablet(endpoint) as (publisher, _, _):
            await eventually(lambda: broker.of(mqtt5.SubscribePacket))
            assert publisher.connected
        await eventually(lambda: broker.of(mqtt5.DisconnectPacket))
        (hello,) = (p for p in broker.packets if isinstance(p, mqtt5.ConnectPacket))
        online, offline = (p for p in broker.packets if isinstance(p, mqtt5.PublishPacket))
        assert hello.will is not None
        assert hello.will.retain
        assert not hello.clean_start
        assert hello.session_expiry_interval == QUICK.session_expiry_s
        will, first, last = (msgspec.json.decode(p.payload or b"") for p in (hello.will, online, offline))
        assert will == {"state": "offline", "ts": first["ts"]}
        assert (first["state"], last["state"]) == ("online", "offline")
        (subscribed,) = (p for p in broker.packets if isinstance(p, mqtt5.SubscribePacket))
        topics = Topics()
        assert [f.pattern for f in subscribed.topic_filters] == [topics.desired("K-1"), topics.command("K-1", "+")]


async def test_the_bound_of_the_spool_is_counted() -> None:
    small = msgspec.structs.replace(QUICK, spool_messages=2)
    async with tablet(Endpoint("127.0.0.1", 1), small) as (publisher, ledger, hub):
        for number in range(3):
            send(publisher, ledger, number)
        assert ledger.counts["dropped_at_bound"] == 1
        assert ledger.status[2] == Status.LOST_TO_BOUND
        await eventually(lambda: hub.counts["connect_failures"] > 1)


@pytest.mark.parametrize(
    ("connack", "told"),
    [
        (b"\x20\x02\x00\x01", "does not speak MQTT 5"),
        (
            mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION).write(),
            "does not speak MQTT 5",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no MQTT 5"),
    ],
)
async def test_what_is_no_mqtt5_broker_is_told_in_one_line(connack: bytes, told: str) -> None:
    async with bad_broker() as (broker, endpoint):
        broker.connack = connack
        with pytest.raises(UnavailableError, match=told) as error:
            await probe(endpoint, limit_s=1)
        assert "\n" not in str(error.value)
