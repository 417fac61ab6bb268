"""Topics: built and read; whatever is not one of ours is told apart from what we send ourselves."""

from __future__ import annotations

import tracemalloc

import pytest

from fleet.ingest.connection import Incoming
from fleet.ingest.decode import Decoder, Refusal
from fleet.protocol.topics import DeviceTopic, Downlink, Kind, Topics
from tests.make import START

TOPICS = Topics()


@pytest.mark.parametrize(
    ("topic", "read"),
    [
        ("fleet/v1/kits/K-004711/heartbeat", DeviceTopic("K-004711", Kind.HEARTBEAT)),
        ("fleet/v1/kits/K-004711/software", DeviceTopic("K-004711", Kind.SOFTWARE)),
        ("fleet/v1/kits/K-004711/pairing", DeviceTopic("K-004711", Kind.PAIRING)),
        ("fleet/v1/kits/K-004711/connection", DeviceTopic("K-004711", Kind.CONNECTION)),
        ("fleet/v1/kits/K-004711/update", DeviceTopic("K-004711", Kind.UPDATE)),
        ("fleet/v1/kits/K-004711/replies/c-1", DeviceTopic("K-004711", Kind.REPLY, "c-1")),
        ("fleet/v1/kits/K-004711/desired", Downlink.DESIRED),
        ("fleet/v1/kits/K-004711/commands/c-1", Downlink.COMMANDS),
        (f"fleet/v1/kits/{'a' * 64}/heartbeat", DeviceTopic("a" * 64, Kind.HEARTBEAT)),
    ],
)
def test_our_topics_are_read(topic: str, read: DeviceTopic | Downlink) -> None:
    assert TOPICS.parse(topic) == read


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "fleet/v1",
        "fleet/v1/kits",
        "fleet/v1/kits/",
        "fleet/v1/kits/K-1",
        "fleet/v1/kits/K-1/",
        "fleet/v1/kits//heartbeat",
        "fleet/v1/kits/K-1/Heartbeat",
        "fleet/v1/kits/K-1/reply",
        "fleet/v1/kits/K-1/replies",
        "fleet/v1/kits/K-1/replies/",
        "fleet/v1/kits/K-1/replies/a/b",
        "fleet/v1/kits/K-1/replies/ø",
        "fleet/v1/kits/K-1/commands",
        "fleet/v1/kits/K-1/heartbeat/x",
        "fleet/v1/kits/K 1/heartbeat",
        "fleet/v1/kits/Kø/heartbeat",
        "fleet/v1/kits/K-1\n/heartbeat",
        "fleet/v1/kits/K-\u0661/heartbeat",
        "fleet/v1/kits/K-1\0/heartbeat",
        f"fleet/v1/kits/{'a' * 65}/heartbeat",
        f"fleet/v1/kits/K-1/replies/{'a' * 65}",
        "/fleet/v1/kits/K-1/heartbeat",
        "fleet/v2/kits/K-1/heartbeat",
        "other/fleet/v1/kits/K-1/heartbeat",
        "fleet/v1/kitsK-1/heartbeat",
        "fleet/v1/ingest/x/marker",
        "fleet/v1/kits/K-1/heartbeat\n",
    ],
)
def test_every_other_topic_is_not_ours(topic: str) -> None:
    assert TOPICS.parse(topic) is None


def test_wrong_topics_are_not_remembered() -> None:
    decoder = Decoder(TOPICS)
    tracemalloc.start()
    try:
        for number in range(200):
            topic = f"fleet/v1/{number}/{'x' * 50_000}"
            assert isinstance(decoder.decode(Incoming(topic, b"", False, START, 1)), Refusal)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_another_root_moves_every_topic() -> None:
    topics = Topics("region/nord")
    assert topics.everything == "region/nord/#"
    assert topics.device("K-1", Kind.HEARTBEAT) == "region/nord/kits/K-1/heartbeat"
    assert topics.parse("region/nord/kits/K-1/heartbeat") == DeviceTopic("K-1", Kind.HEARTBEAT)
    assert topics.parse("fleet/v1/kits/K-1/heartbeat") is None


def test_what_goes_to_the_tablets() -> None:
    assert TOPICS.desired("K-1") == "fleet/v1/kits/K-1/desired"
    assert TOPICS.command("K-1", "c-7") == "fleet/v1/kits/K-1/commands/c-7"
    assert TOPICS.parse(TOPICS.marker("ingest-0")) is None
