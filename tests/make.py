"""Device messages for tests, as the broker would hand them over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from fleet.ingest.connection import Incoming
from fleet.ingest.decode import Decoder, Report
from fleet.protocol.messages import (
    Connection,
    ConnectionState,
    Heartbeat,
    Pairing,
    Payload,
    Peripheral,
    Reply,
    ReplyStatus,
    Software,
    Update,
    UpdateState,
    encode,
)
from fleet.protocol.topics import Kind, Topics

TOPICS = Topics()
START = datetime.now(UTC).replace(microsecond=0)
_packet_ids = count(1)


def at(seconds: float) -> datetime:
    """A time of day so many seconds after the tests' noon."""
    return START + timedelta(seconds=seconds)


def payload(kind: Kind, *, ts: datetime, boot: str = "b", seq: int = 1, mark: int = 0) -> Payload:
    """A payload of any kind; `mark` makes its content tell it from others."""
    match kind:
        case Kind.HEARTBEAT:
            return Heartbeat(ts, boot, seq, battery=mark % 101, uptime_s=mark)
        case Kind.SOFTWARE:
            return Software(ts, boot, seq, {"app": f"1.{mark}", "os": "14"})
        case Kind.PAIRING:
            return Pairing(ts, boot, seq, [Peripheral("S-1", "scale", paired=mark % 2 == 0, firmware=f"{mark}")])
        case Kind.UPDATE:
            return Update(ts, boot, seq, "c", UpdateState.INSTALLING, progress=mark % 101)
        case Kind.CONNECTION:
            return Connection(ConnectionState.ONLINE if mark % 2 == 0 else ConnectionState.OFFLINE, ts)
        case Kind.REPLY:
            return Reply(ts, ReplyStatus.OK, {"mark": mark})


def incoming(
    kit: str,
    kind: Kind,
    body: Payload | bytes,
    *,
    received_at: datetime,
    retained: bool = False,
    command: str | None = None,
) -> Incoming:
    """A message of `kit` on its topic."""
    content = body if isinstance(body, bytes) else encode(body)
    topic = TOPICS.device(kit, kind, command or "c-1")
    return Incoming(topic, content, retained, received_at, next(_packet_ids) % 65535 + 1)


def heartbeat(
    kit: str, boot: str, seq: int, *, ts: datetime, received_at: datetime | None = None, **more: Any
) -> Incoming:
    """A heartbeat, received when it was made if not said otherwise."""
    body = Heartbeat(ts, boot, seq, battery=seq % 101, uptime_s=seq)
    return incoming(kit, Kind.HEARTBEAT, body, received_at=received_at or ts, **more)


def report(message: Incoming) -> Report:
    """What ingest makes of a good message."""
    decoded = Decoder(TOPICS).decode(message)
    assert isinstance(decoded, Report), decoded
    return decoded
