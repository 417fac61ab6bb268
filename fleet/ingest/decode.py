"""From what the broker handed over to what can be stored: total, every message gives a `Report` or a `Refusal`."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from fleet.ingest.connection import Incoming
from fleet.protocol.messages import Connection, ConnectionState, Payload, Reason, Rejection, Reply, decode
from fleet.protocol.times import Stamp, stamp
from fleet.protocol.topics import DeviceTopic, Downlink, Kind, Topics

KEPT_BYTES = 4096
KNOWN_TOPICS = 50_000
MICROSECONDS = 1_000_000


class Report(Struct, frozen=True, gc=False):
    """A well-formed device message; (`kit`, `kind`, `boot`, `seq`) is its identity.

    A reply has its command as `boot` and `seq` 0; a connection message its state and its `ts` in microseconds.
    `live` tells that the kit itself spoke just now: not retained, not a will.
    """

    kit: str
    kind: Kind
    boot: str
    seq: int
    stamp: Stamp
    received_at: datetime
    payload: Payload
    live: bool
    source: Incoming


class Refusal(Struct, frozen=True, gc=False):
    """A message for the quarantine; `payload` is the first 4 KiB."""

    topic: str
    kind: str
    received_at: datetime
    reason: Reason
    detail: str
    size_bytes: int
    payload: bytes


class Decoder:
    """Decodes messages under one topic root; keeps a bounded memory of topics already read."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._known: dict[str, DeviceTopic | Downlink] = {}

    def decode(self, message: Incoming) -> Report | Refusal | None:
        """Decode one message; None for what the server itself sends to tablets."""
        topic = self._parse(message.topic)
        if topic is None:
            return refuse(message, Rejection(Reason.BAD_TOPIC, "not a topic of a device message"))
        if isinstance(topic, Downlink):
            return None
        payload = decode(topic.kind, message.payload)
        if isinstance(payload, Rejection):
            return refuse(message, payload, topic.kind)
        return _report(topic, payload, message)

    def _parse(self, topic: str) -> DeviceTopic | Downlink | None:
        try:
            return self._known[topic]
        except KeyError:
            if len(self._known) >= KNOWN_TOPICS:
                self._known.clear()
            parsed = self._topics.parse(topic)
            if parsed is not None:  # a wrong topic may be 64 KiB long and never come again
                self._known[topic] = parsed
            return parsed


def _report(topic: DeviceTopic, payload: Payload, message: Incoming) -> Report:
    received_at = message.received_at
    live = not message.retained
    match payload:
        case Connection():
            boot, seq = payload.state.value, round(payload.ts.timestamp() * MICROSECONDS)
            live = live and payload.state is ConnectionState.ONLINE
        case Reply():
            boot, seq = topic.command or "", 0
        case _:
            boot, seq = payload.boot, payload.seq
    return Report(topic.kit, topic.kind, boot, seq, stamp(payload.ts, received_at), received_at, payload, live, message)


def refuse(message: Incoming, rejection: Rejection, kind: Kind | None = None) -> Refusal:
    """The quarantine row of a message; texts are made storable."""
    return Refusal(
        topic=_storable(message.topic),
        kind=kind.value if kind else "unknown",
        received_at=message.received_at,
        reason=rejection.reason,
        detail=_storable(rejection.detail),
        size_bytes=len(message.payload),
        payload=message.payload[:KEPT_BYTES],
    )


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()
