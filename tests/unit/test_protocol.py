"""Payloads: what is taken, what is refused and why. Sources: the field table and 'Time' of the device protocol."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.protocol.messages import (
    MAX_PAYLOAD_BYTES,
    MAX_SEQ,
    Connection,
    ConnectionState,
    Heartbeat,
    Pairing,
    Peripheral,
    Reason,
    Rejection,
    Reply,
    ReplyStatus,
    Software,
    Update,
    UpdateState,
    decode,
    encode,
)
from fleet.protocol.topics import Kind

TS = "2026-03-01T10:00:00Z"
AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
SEQUENCED = {"ts": TS, "boot": "b", "seq": 1}
SMALLEST: dict[Kind, dict[str, Any]] = {
    Kind.HEARTBEAT: SEQUENCED,
    Kind.SOFTWARE: SEQUENCED | {"components": {}},
    Kind.PAIRING: SEQUENCED | {"peripherals": []},
    Kind.CONNECTION: {"ts": TS, "state": "online"},
    Kind.UPDATE: SEQUENCED | {"campaign": "c", "state": "offered"},
    Kind.REPLY: {"ts": TS, "status": "ok"},
}
PERIPHERAL = {"serial": "S", "kind": "scale", "paired": True}


def reason_of(kind: Kind, document: Any) -> Reason | None:
    """Why `document` is refused; None when it is taken."""
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    answer = decode(kind, payload)
    return answer.reason if isinstance(answer, Rejection) else None


@pytest.mark.parametrize("kind", list(Kind))
def test_the_required_fields_are_enough(kind: Kind) -> None:
    assert reason_of(kind, SMALLEST[kind]) is None


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, document in SMALLEST.items() for name in document])
def test_each_required_field_is_required(kind: Kind, name: str) -> None:
    without = {key: value for key, value in SMALLEST[kind].items() if key != name}
    assert reason_of(kind, without) is Reason.INVALID_FIELD


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, document in SMALLEST.items() for name in document])
def test_a_required_field_is_never_null(kind: Kind, name: str) -> None:
    assert reason_of(kind, SMALLEST[kind] | {name: None}) is Reason.INVALID_FIELD


@pytest.mark.parametrize("kind", list(Kind))
def test_unknown_fields_are_accepted_and_ignored(kind: Kind) -> None:
    known = decode(kind, json.dumps(SMALLEST[kind]).encode())
    more = SMALLEST[kind] | {"colour": "blue", "nested": {"a": [1, {"b": None}]}, "nul": "\0", "big": 10**30}
    assert decode(kind, json.dumps(more).encode()) == known


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("battery", [0, 100, 55.5, None]),
        ("charging", [True, False, None]),
        ("signal_dbm", [-120, 0, None]),
        ("network", ["wifi", "2g", "3g", "4g", "5g", "none", None]),
        ("operator", ["TDC", "", "Ærø", None]),
        ("storage_free_mb", [0, 1e6, 0.5, None]),
        ("uptime_s", [0, 10**9, 1.25, None]),
    ],
)
def test_a_heartbeat_takes_these(name: str, good: list[Any]) -> None:
    for value in good:
        taken = decode(Kind.HEARTBEAT, json.dumps(SEQUENCED | {name: value}).encode())
        assert isinstance(taken, Heartbeat)
        assert getattr(taken, name) == value


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("ts", ["yesterday", 1_700_000_000, "2026-03-01", "2026-03-01T10:00:00", "2026-13-01T10:00:00Z", True]),
        ("ts", ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]),
        ("boot", ["", "x" * 129, 7]),
        ("seq", [-1, 1.5, "1", True, MAX_SEQ + 1, 10**40]),
        ("battery", [-1, 101, "50", True, [50]]),
        ("charging", [0, 1, "true"]),
        ("signal_dbm", [-70.5, "-70", 10**6, True]),
        ("network", ["6g", "", 4, ["wifi"]]),
        ("operator", ["x" * 65, 7, {}]),
        ("storage_free_mb", [-1, "1", 1e300]),
        ("uptime_s", [-0.5, "1"]),
    ],
)
def test_a_heartbeat_refuses_these(name: str, bad: list[Any]) -> None:
    for value in bad:
        assert reason_of(Kind.HEARTBEAT, SEQUENCED | {name: value}) is Reason.INVALID_FIELD, value


@pytest.mark.parametrize(
    "components", [[], "os", {"os": 14}, {"os": None}, {"": "1"}, {"os": "x" * 129}, {"x" * 65: "1"}]
)
def test_components_map_names_to_versions(components: Any) -> None:
    assert reason_of(Kind.SOFTWARE, SEQUENCED | {"components": components}) is Reason.INVALID_FIELD


def test_any_component_name_is_taken() -> None:
    components = {"os": "14", "mdm": "2", "app": "5.1", "bluetooth": "5", "firmware": "1", "skærmlås": ""}
    taken = decode(Kind.SOFTWARE, json.dumps(SEQUENCED | {"components": components}).encode())
    assert isinstance(taken, Software)
    assert taken.components == components


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("serial", ["", None, 7]),
        ("kind", ["", None]),
        ("paired", [None, 1, "yes"]),
        ("last_contact", ["now", 0, "2026-03-01T10:00:00"]),
        ("battery", [-1, 101]),
        ("rssi", ["-50", -50.5]),
    ],
)
def test_a_peripheral_refuses_these(name: str, bad: list[Any]) -> None:
    for value in bad:
        document = SEQUENCED | {"peripherals": [PERIPHERAL | {name: value}]}
        assert reason_of(Kind.PAIRING, document) is Reason.INVALID_FIELD, value


def test_last_contact_may_be_null_and_any_kind_of_peripheral_is_taken() -> None:
    document = SEQUENCED | {"peripherals": [PERIPHERAL | {"last_contact": None, "kind": "inhaler"}]}
    taken = decode(Kind.PAIRING, json.dumps(document).encode())
    assert isinstance(taken, Pairing)
    assert taken.peripherals == [Peripheral("S", "inhaler", paired=True)]


@pytest.mark.parametrize("state", list(UpdateState))
def test_every_update_state_is_taken(state: UpdateState) -> None:
    assert reason_of(Kind.UPDATE, SMALLEST[Kind.UPDATE] | {"state": state.value, "progress": 100}) is None


@pytest.mark.parametrize(
    "wrong", [{"state": "done"}, {"progress": 101}, {"progress": -1}, {"campaign": ""}, {"error": 7}, {"message": []}]
)
def test_an_update_refuses_these(wrong: dict[str, Any]) -> None:
    assert reason_of(Kind.UPDATE, SMALLEST[Kind.UPDATE] | wrong) is Reason.INVALID_FIELD


@pytest.mark.parametrize("state", ["Online", "", None, True])
def test_a_connection_is_online_or_offline(state: Any) -> None:
    assert reason_of(Kind.CONNECTION, {"ts": TS, "state": state}) is Reason.INVALID_FIELD


@pytest.mark.parametrize("result", [None, 1, "x", [1], {"a": {"b": []}}, True, 1e308, 10**30])
def test_a_reply_may_bring_any_result(result: Any) -> None:
    taken = decode(Kind.REPLY, json.dumps({"ts": TS, "status": "error", "result": result}).encode())
    assert taken == Reply(AT, ReplyStatus.ERROR, result)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.INVALID_JSON),
        (b"{", Reason.INVALID_JSON),
        (b"\x00", Reason.INVALID_JSON),
        (b'{"ts":"2026-03-01T10:00:00Z","boot":"b","seq":1}{}', Reason.INVALID_JSON),
        (b"nothing", Reason.INVALID_JSON),
        (b'{"ts": NaN}', Reason.INVALID_JSON),
        (b"[]", Reason.INVALID_FIELD),
        (b"null", Reason.INVALID_FIELD),
        (b"{}", Reason.INVALID_FIELD),
        (b"\xff\xfe", Reason.INVALID_UTF8),
        (b'{"ts":"2026-03-01T10:00:00Z","boot":"\xc3","seq":1}', Reason.INVALID_UTF8),
        (b'{"ts":"2026-03-01T10:00:00Z","boot":"b","seq":1,"x":"\xed\xa0\x80"}', Reason.INVALID_UTF8),
        (b'{"ts":"2026-03-01T10:00:00Z","boot":"\\ud800","seq":1}', Reason.INVALID_JSON),
        (b'{"ts":"2026-03-01T10:00:00Z","boot":"b\\u0000","seq":1}', Reason.NUL_BYTE),
        (b'{"ts":"2026-03-01T10:00:00Z","boot":"b\x00","seq":1}', Reason.INVALID_JSON),
        (b"[" * 16_000, Reason.INVALID_FIELD),
        (b'{"ts":"2026-03-01T10:00:00Z","boot":"b","seq":1,"x":' + b"[" * 5000 + b"]" * 5000 + b"}", Reason.TOO_DEEP),
        (b" " * (MAX_PAYLOAD_BYTES + 1), Reason.OVERSIZED),
    ],
)
def test_broken_payloads_have_their_reason(payload: bytes, reason: Reason) -> None:
    answer = decode(Kind.HEARTBEAT, payload)
    assert isinstance(answer, Rejection)
    assert answer.reason is reason
    assert answer.detail
    assert len(answer.detail) <= 300


def test_sixteen_kibibytes_are_taken_and_one_byte_more_is_not() -> None:
    document = json.dumps(SEQUENCED).encode()
    assert isinstance(decode(Kind.HEARTBEAT, document.ljust(MAX_PAYLOAD_BYTES)), Heartbeat)
    assert reason_of(Kind.HEARTBEAT, document.ljust(MAX_PAYLOAD_BYTES + 1)) is Reason.OVERSIZED


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "C:\\u0000dir"])
def test_the_six_characters_of_an_escape_are_no_nul(text: str) -> None:
    for document in (SEQUENCED | {"boot": text}, SEQUENCED | {"operator": text}):
        assert reason_of(Kind.HEARTBEAT, document) is None


@pytest.mark.parametrize("result", ["a\0", ["\0"], {"\0": 1}, {"a": {"b": ["x\0y"]}}, "\\\0"])
def test_a_nul_is_found_wherever_it_hides(result: Any) -> None:
    assert reason_of(Kind.REPLY, {"ts": TS, "status": "ok", "result": result}) is Reason.NUL_BYTE


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize(("depth", "taken"), [(60, True), (200, False), (900, False), (2000, False)])
def test_how_deep_a_result_may_be_does_not_depend_on_the_machine(opening: bytes, depth: int, taken: bool) -> None:
    closing = b"]" if opening == b"[" else b"}"
    deep = opening * depth + b"1" + closing * depth
    document = b'{"ts":"%s","status":"ok","result":%s}' % (TS.encode(), deep)
    assert reason_of(Kind.REPLY, document) is (None if taken else Reason.TOO_DEEP)


def test_brackets_in_texts_are_no_depth() -> None:
    assert reason_of(Kind.REPLY, {"ts": TS, "status": "ok", "result": "[{" * 2000}) is None
    assert reason_of(Kind.REPLY, {"ts": TS, "status": "ok", "result": [[]] * 2000}) is None


def test_absent_fields_are_left_out_of_the_encoding() -> None:
    assert json.loads(encode(Heartbeat(AT, "b", 1))) == SEQUENCED
    assert json.loads(encode(Connection(ConnectionState.OFFLINE, AT))) == {"state": "offline", "ts": TS}
    assert json.loads(encode(Update(AT, "b", 1, "c", UpdateState.FAILED, error="x"))) == SEQUENCED | {
        "campaign": "c",
        "state": "failed",
        "error": "x",
    }
