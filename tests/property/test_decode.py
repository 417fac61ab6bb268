"""Decoding is total, and what was encoded comes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from fleet.ingest.connection import Incoming
from fleet.ingest.decode import KEPT_BYTES, Decoder, Refusal, Report
from fleet.protocol.messages import PAYLOADS, Connection, Payload, Rejection, decode, encode
from fleet.protocol.topics import DeviceTopic, Downlink, Kind, Topics
from tests.make import START, payload
from tests.noise import mutate

TOPICS = Topics()
KINDS = st.sampled_from(list(Kind))
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
TIMES = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def documents(draw: st.DrawFn, kind: Kind) -> dict[str, Any]:
    """Something like a message of `kind`: known names with right and wrong values."""
    good = json.loads(encode(payload(kind, ts=START, mark=draw(st.integers(0, 100)))))
    for name in draw(st.lists(st.sampled_from([*good, "battery", "operator", "result", "zz"]), max_size=3)):
        good[name] = draw(VALUES)
    return good


@given(KINDS, st.binary(max_size=200))
def test_any_bytes_give_a_payload_or_a_rejection(kind: Kind, content: bytes) -> None:
    assert isinstance(decode(kind, content), (PAYLOADS[kind], Rejection))


@given(st.data(), KINDS)
def test_any_document_gives_a_payload_or_a_rejection(data: st.DataObject, kind: Kind) -> None:
    document = json.dumps(data.draw(documents(kind))).encode()
    answer = decode(kind, document)
    assert isinstance(answer, (PAYLOADS[kind], Rejection))
    if not isinstance(answer, Rejection):
        assert decode(kind, encode(answer)) == answer
        assert b"\0" not in encode(answer)


@given(st.integers(0, 2**32), KINDS)
def test_mutated_messages_give_a_payload_or_a_rejection(seed: int, kind: Kind) -> None:
    random = Random(seed)
    content = mutate(random, encode(payload(kind, ts=START, mark=random.randrange(1000))))
    assert isinstance(decode(kind, content), (PAYLOADS[kind], Rejection))


@given(KINDS, TIMES, TEXT.filter(bool), st.integers(0, 2**63 - 1), st.integers(0, 100))
def test_a_round_trip_changes_nothing(kind: Kind, ts: datetime, boot: str, seq: int, mark: int) -> None:
    message: Payload = payload(kind, ts=ts, boot=boot, seq=seq, mark=mark)
    assert decode(kind, encode(message)) == message


@given(
    st.text(max_size=120) | KINDS.map(lambda kind: f"fleet/v1/kits/K/{kind}"), st.binary(max_size=100), st.booleans()
)
@example("fleet/v1/kits/K-1/heartbeat\ud800", b"", False)
@example("\0", b"\xff", True)
def test_every_message_becomes_a_report_or_a_refusal_that_can_be_stored(
    topic: str, content: bytes, retained: bool
) -> None:
    answer = Decoder(TOPICS).decode(Incoming(topic, content * 100, retained, START, 1))
    if isinstance(answer, Refusal):
        assert "\0" not in answer.topic + answer.detail
        (answer.topic + answer.detail).encode()
        assert answer.payload == (content * 100)[:KEPT_BYTES]
        assert answer.size_bytes == len(content) * 100
    else:
        assert answer is None or isinstance(answer, Report)


@given(st.text(max_size=80))
def test_reading_a_topic_is_total_and_building_it_again_gives_the_same(topic: str) -> None:
    for text in (topic, f"fleet/v1/kits/{topic}", f"fleet/v1/kits/K/{topic}", f"fleet/v1/kits/K/replies/{topic}"):
        read = TOPICS.parse(text)
        if isinstance(read, DeviceTopic):
            assert TOPICS.device(read.kit, read.kind, read.command) == text


@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    KINDS,
    st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True),
)
def test_what_was_built_is_read_again(kit: str, kind: Kind, command: str) -> None:
    read = TOPICS.parse(TOPICS.device(kit, kind, command))
    assert read == DeviceTopic(kit, kind, command if kind is Kind.REPLY else None)
    assert TOPICS.parse(TOPICS.desired(kit)) is Downlink.DESIRED
    assert TOPICS.parse(TOPICS.command(kit, command)) is Downlink.COMMANDS


@given(TIMES)
def test_a_presence_message_of_any_time_has_an_identity(ts: datetime) -> None:
    message = Incoming(TOPICS.device("K", Kind.CONNECTION), encode(payload(Kind.CONNECTION, ts=ts)), False, START, 1)
    answer = Decoder(TOPICS).decode(message)
    assert isinstance(answer, Report)
    assert isinstance(answer.payload, Connection)
    assert -(2**63) <= answer.seq < 2**63
