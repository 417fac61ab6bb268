"""Messages that must not be taken: what is sent for each sort, and the reason it is quarantined for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from fleet.protocol.messages import MAX_PAYLOAD_BYTES, Reason
from fleet.protocol.topics import Kind, Topics
from simulator.faults import MalformedSort

REASONS: dict[MalformedSort, Reason] = {
    "invalid_json": Reason.INVALID_JSON,
    "invalid_utf8": Reason.INVALID_UTF8,
    "nul_byte": Reason.NUL_BYTE,
    "too_deep": Reason.TOO_DEEP,
    "oversized": Reason.OVERSIZED,
    "wrong_type": Reason.INVALID_FIELD,
    "missing_field": Reason.INVALID_FIELD,
    "wrong_topic": Reason.BAD_TOPIC,
    "unknown_kit": Reason.UNKNOWN_KIT,
}


@dataclass(frozen=True, slots=True)
class BadMessage:
    """Topic, bytes, and why the server must refuse them."""

    topic: str
    payload: bytes
    reason: Reason


def build(sort: MalformedSort, topics: Topics, kit: str, boot: str, ts: datetime) -> BadMessage:
    """Make one message of `sort` as it would come from `kit`.

    Its `boot` is not used by any good message, so it can never be mistaken for one.
    """
    topic = topics.device(kit, Kind.HEARTBEAT)
    if sort == "wrong_topic":
        topic = f"{topics.root}/kits/{kit}/nonsense"
    elif sort == "unknown_kit":
        topic = topics.device(f"{kit[:50]}-unknown", Kind.HEARTBEAT)
    return BadMessage(topic, _payload(sort, f"{boot}-bad", ts), REASONS[sort])


def _payload(sort: MalformedSort, boot: str, ts: datetime) -> bytes:
    good = msgspec.json.encode({"ts": ts, "boot": boot, "seq": 0})
    open_end = good[:-1]
    payloads: dict[MalformedSort, bytes] = {
        "invalid_json": open_end,
        "invalid_utf8": open_end + b',"operator":"\xff\xfe"}',
        "nul_byte": open_end + b',"operator":"a\\u0000b"}',
        "too_deep": open_end + b',"deep":' + b"[" * 6000 + b"]" * 6000 + b"}",
        "oversized": open_end + b',"note":"' + b"x" * MAX_PAYLOAD_BYTES + b'"}',
        "wrong_type": open_end + b',"battery":"full"}',
        "missing_field": msgspec.json.encode({"ts": ts, "boot": boot}),
    }
    return payloads.get(sort, good)
