"""The payloads: one frozen struct per kind, decoded strictly (unknown fields are passed over).

Meaning, units and limits stand on the fields; `docs/reference/asyncapi.yaml` is generated from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from fleet.protocol.topics import Kind

MAX_PAYLOAD_BYTES = 16 * 1024
MAX_SEQ = 2**63 - 1
MAX_DEPTH = 100
"""Levels of lists and maps in the result of a reply: what is stored must not depend on anybody's stack."""
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Timestamp: TypeAlias = Annotated[datetime, Meta(tz=True, description="RFC 3339, UTC")]
Boot: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128, description="new at each start")]
Seq: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_SEQ, description="rises by one within a boot, over all kinds")]
Percent: TypeAlias = Annotated[float, Meta(ge=0, le=100, description="per cent")]
Decibel: TypeAlias = Annotated[int, Meta(ge=-300, le=300, description="dBm")]
Amount: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Text: TypeAlias = Annotated[str, Meta(max_length=256)]
Version: TypeAlias = Annotated[str, Meta(max_length=128)]


class Network(StrEnum):
    """How the tablet reaches the internet."""

    WIFI = "wifi"
    G2 = "2g"
    G3 = "3g"
    G4 = "4g"
    G5 = "5g"
    NONE = "none"


class ConnectionState(StrEnum):
    """Presence as told by the tablet or, for `offline`, by its will."""

    ONLINE = "online"
    OFFLINE = "offline"


class UpdateState(StrEnum):
    """How far an update campaign has come on a tablet."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    DOWNLOADING = "downloading"
    INSTALLING = "installing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"


class ReplyStatus(StrEnum):
    """Whether a command could be carried out."""

    OK = "ok"
    ERROR = "error"


class Heartbeat(Struct, frozen=True, omit_defaults=True):
    """The tablet lives; sent every `heartbeat_interval_s`."""

    ts: Timestamp
    boot: Boot
    seq: Seq
    battery: Percent | None = None
    charging: bool | None = None
    signal_dbm: Decibel | None = None
    network: Network | None = None
    operator: Annotated[str, Meta(max_length=64, description="mobile network's name")] | None = None
    storage_free_mb: Annotated[float, Meta(ge=0, le=2**53)] | None = None
    uptime_s: Annotated[float, Meta(ge=0, le=2**53)] | None = None


class Software(Struct, frozen=True, omit_defaults=True):
    """What runs on the tablet: name (`os`, `mdm`, `app`, `bluetooth`, `firmware`, …) → version.

    A tablet that can tells which one it is and which SIM is in it, so that the books can be compared with it.
    """

    ts: Timestamp
    boot: Boot
    seq: Seq
    components: Annotated[dict[Name, Version], Meta(max_length=100)]
    tablet_serial: Annotated[str, Meta(min_length=1, max_length=128, description="as printed on it")] | None = None
    imei: Annotated[str, Meta(min_length=1, max_length=32, description="of the tablet's modem")] | None = None
    iccid: Annotated[str, Meta(min_length=1, max_length=32, description="of the SIM in use")] | None = None


class Peripheral(Struct, frozen=True, omit_defaults=True):
    """One Bluetooth device as the tablet sees it."""

    serial: Annotated[str, Meta(min_length=1, max_length=128)]
    kind: Annotated[str, Meta(min_length=1, max_length=64, description="scale, oximeter, …")]
    paired: bool
    model: Text | None = None
    firmware: Version | None = None
    last_contact: Timestamp | None = None
    battery: Percent | None = None
    rssi: Decibel | None = None


class Pairing(Struct, frozen=True, omit_defaults=True):
    """Every peripheral the tablet knows, paired or not."""

    ts: Timestamp
    boot: Boot
    seq: Seq
    peripherals: Annotated[list[Peripheral], Meta(max_length=64)]


class Connection(Struct, frozen=True, omit_defaults=True):
    """Presence, retained; a will's `ts` is that of the `online` it belongs to."""

    state: ConnectionState
    ts: Timestamp


class Update(Struct, frozen=True, omit_defaults=True):
    """Progress of an update campaign on this tablet."""

    ts: Timestamp
    boot: Boot
    seq: Seq
    campaign: Annotated[str, Meta(min_length=1, max_length=128)]
    state: UpdateState
    progress: Percent | None = None
    error: Text | None = None
    message: Annotated[str, Meta(max_length=2048)] | None = None


class Reply(Struct, frozen=True, omit_defaults=True):
    """Answer to a command."""

    ts: Timestamp
    status: ReplyStatus
    result: Any = None


Payload: TypeAlias = Heartbeat | Software | Pairing | Connection | Update | Reply
Sequenced: TypeAlias = Heartbeat | Software | Pairing | Update

PAYLOADS: Mapping[Kind, type[Payload]] = {
    Kind.HEARTBEAT: Heartbeat,
    Kind.SOFTWARE: Software,
    Kind.PAIRING: Pairing,
    Kind.CONNECTION: Connection,
    Kind.UPDATE: Update,
    Kind.REPLY: Reply,
}

_DECODERS = {kind: msgspec.json.Decoder(payload) for kind, payload in PAYLOADS.items()}
_ENCODER = msgspec.json.Encoder()


class Reason(StrEnum):
    """Why a message was quarantined: in the table, the metrics and the API."""

    BAD_TOPIC = "bad_topic"
    OVERSIZED = "oversized"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"
    INVALID_FIELD = "invalid_field"
    NUL_BYTE = "nul_byte"
    UNKNOWN_KIT = "unknown_kit"
    REFUSED_BY_DATABASE = "refused_by_database"


class Rejection(Struct, frozen=True):
    """A payload that cannot be taken: the reason, and in `detail` which part of it."""

    reason: Reason
    detail: str


# The first that fits tells the reason; ValidationError is a DecodeError, both and UnicodeDecodeError are ValueErrors.
_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (msgspec.ValidationError, Reason.INVALID_FIELD),
    (UnicodeDecodeError, Reason.INVALID_UTF8),
    (msgspec.DecodeError, Reason.INVALID_JSON),
    (RecursionError, Reason.TOO_DEEP),
    (OverflowError, Reason.INVALID_FIELD),
    (ValueError, Reason.INVALID_FIELD),
)


def decode(kind: Kind, payload: bytes) -> Payload | Rejection:
    """Turn any byte string into a payload of `kind` or a rejection; never raises."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return Rejection(Reason.OVERSIZED, f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    try:
        message = _parse(kind, payload)
    except (ValueError, RecursionError, OverflowError) as error:
        reason = next(reason for type_, reason in _REASONS if isinstance(error, type_))
        return Rejection(reason, str(error)[:300])
    if type(message) is not Reply and b"\\u0000" not in payload:
        return message
    return _unstorable(message) or message


def _parse(kind: Kind, payload: bytes) -> Payload:
    if not payload.isascii():
        payload.decode()  # fields that are passed over are not looked at by the decoder
    message = _DECODERS[kind].decode(payload)
    if not MINYEAR < message.ts.year < MAXYEAR:
        message.ts.astimezone(UTC)  # overflows at the edge of the calendar
    return message


def _unstorable(message: Payload) -> Rejection | None:
    """What is well-formed and still cannot be kept."""
    if isinstance(message, Reply) and _deeper_than(MAX_DEPTH, message.result):
        return Rejection(Reason.TOO_DEEP, f"$.result: more than {MAX_DEPTH} levels")
    # PostgreSQL text cannot hold NUL; it can only come as an escape, JSON forbids it raw.
    if _NUL.search(_ENCODER.encode(message)):
        return Rejection(Reason.NUL_BYTE, "a text holds \\u0000")
    return None


def _deeper_than(levels: int, value: Any) -> bool:
    inner: Iterable[Any]
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return levels == 0 or any(_deeper_than(levels - 1, item) for item in inner)


def encode(message: Payload) -> bytes:
    """JSON of a payload, absent fields left out."""
    return _ENCODER.encode(message)
