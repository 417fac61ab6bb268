"""A process that publishes heartbeats of many kits as fast as it is allowed to, or at a steady rate.

It reads its allowance from standard input, one number of messages in all per line, so that the broker's backlog
stays bounded however slow the consumer is, and publishes at QoS 1 with frames prepared beforehand, so that it takes
as little as possible of the machine that it helps to measure.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import cast

import mqtt5

from fleet.protocol.endpoint import Endpoint
from fleet.protocol.framing import PacketStream
from fleet.protocol.topics import Kind, Topics

BURST = 250
FIRST_SEQ = 10_000_000
_PADDING = ',"battery":81.5,"charging":false,"signal_dbm":-71,"network":"4g","operator":"Net","storage_free_mb":11264'


def kit_name(number: int) -> str:
    """The id of a bench kit."""
    return f"B-{number:07d}"


class Publisher(asyncio.Protocol):
    """One connection that writes prepared frames and reads acknowledgements only to count them."""

    def __init__(self) -> None:
        self._stream = PacketStream()
        self.connected = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.acknowledged = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(mqtt5.ConnectPacket("fleet-bench-publisher", clean_start=True, keep_alive=0).write())

    def data_received(self, data: bytes) -> None:
        for packet in self._stream.feed(data):
            if isinstance(packet, mqtt5.PubAckPacket):
                self.acknowledged += 1
            elif isinstance(packet, mqtt5.ConnAckPacket):
                self.connected.set()

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()


class Frames:
    """PUBLISH frames of every kit with places for packet id, time and sequence number."""

    def __init__(self, kits: int, boot: str) -> None:
        topics = Topics()
        self._parts = [_frame(topics.device(kit_name(number), Kind.HEARTBEAT), boot) for number in range(kits)]
        self._next = 0
        self._round = 0

    def burst(self, count: int) -> bytes:
        """The next `count` frames, kit after kit."""
        ts = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
        pieces: list[bytes] = []
        for _ in range(count):
            head, middle, tail = self._parts[self._next]
            packet_id = (self._next % 60_000 + 1).to_bytes(2, "big")
            pieces += (head, packet_id, middle, ts, tail, b"%d}" % (FIRST_SEQ + self._round))
            self._next += 1
            if self._next == len(self._parts):
                self._next = 0
                self._round += 1
        return b"".join(pieces)


def _frame(topic: str, boot: str) -> tuple[bytes, bytes, bytes]:
    ts = "2026-01-01T00:00:00.000000Z"
    payload = f'{{"ts":"{ts}","boot":"{boot}"{_PADDING},"uptime_s":86400,"seq":{FIRST_SEQ}}}'.encode()
    frame = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=0xABCD).write()
    id_at = frame.index(topic.encode()) + len(topic)
    ts_at = frame.index(ts.encode())
    seq_at = frame.rindex(str(FIRST_SEQ).encode())
    return frame[:id_at], frame[id_at + 2 : ts_at], frame[ts_at + len(ts) : seq_at]


async def publish(url: str, kits: int, boot: str, rate: float) -> None:
    """Publish until standard input ends; `rate` 0 is as fast as allowed."""
    loop = asyncio.get_running_loop()
    endpoint = Endpoint.parse(url)
    _, publisher = await loop.create_connection(Publisher, endpoint.host, endpoint.port)
    await asyncio.wait_for(publisher.connected.wait(), 10)
    frames = Frames(kits, boot)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    allowed, sent, started = 0, 0, loop.time()
    while True:
        due = allowed if rate == 0 else min(allowed, int((loop.time() - started) * rate))
        if due - sent >= BURST:
            publisher.transport.write(frames.burst(BURST))
            sent += BURST
            await publisher.room.wait()
            await asyncio.sleep(0)
        if due - sent < BURST:
            line = await _line(reader, 0.005 if rate and allowed > sent else None)
            if line == b"":
                break
            allowed = int(line) if line else allowed
    publisher.transport.close()
    print(sent, flush=True)


async def _line(reader: asyncio.StreamReader, timeout_s: float | None) -> bytes | None:
    """The next line, empty at the end of the input, None when none came in time."""
    try:
        return await asyncio.wait_for(reader.readline(), timeout_s)
    except TimeoutError:
        return None


def main() -> None:
    """`python -m fleet.bench.publisher URL KITS BOOT RATE`."""
    url, kits, boot, rate = sys.argv[1:]
    import uvloop  # noqa: PLC0415

    uvloop.run(publish(url, int(kits), boot, float(rate)))


if __name__ == "__main__":
    main()
