"""However the bytes are cut, the packets are the same; whatever the bytes are, only one error comes out."""

from __future__ import annotations

from itertools import pairwise

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.protocol.framing import MalformedStreamError, PacketStream, UnreadablePublish

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TOPICS = st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=30)
PUBLISHES = st.builds(
    lambda topic, payload, packet_id: mqtt5.PublishPacket(
        topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id
    ),
    TOPICS,
    st.binary(max_size=300),
    st.integers(1, 65535),
)
PACKETS = PUBLISHES | st.sampled_from([mqtt5.PingRespPacket(), mqtt5.PubAckPacket(7)])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at these places."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@given(st.lists(PACKETS, min_size=1, max_size=8), st.lists(st.integers(0, 5000), max_size=12))
def test_any_cuts_give_the_same_packets(packets: list[mqtt5.Packet], cuts: list[int]) -> None:
    stream = PacketStream()
    data = b"".join(packet.write() for packet in packets)
    received = [packet for piece in pieces(data, cuts) for packet in stream.feed(piece)]
    assert [
        (type(packet), getattr(packet, "payload", None), getattr(packet, "topic", None)) for packet in received
    ] == [(type(packet), getattr(packet, "payload", None), getattr(packet, "topic", None)) for packet in packets]


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_give_packets_or_one_error(chunks: list[bytes]) -> None:
    stream = PacketStream()
    try:
        for chunk in chunks:
            list(stream.feed(chunk))
    except MalformedStreamError:
        pass


@settings(max_examples=40)  # a text that is no UTF-8 makes the codec panic, which is slow
@given(PUBLISHES, PUBLISHES, st.integers(0, 10_000), st.integers(0, 255), st.lists(st.integers(0, 5000), max_size=4))
def test_a_damaged_publish_is_read_salvaged_or_ends_the_stream(
    first: mqtt5.PublishPacket, second: mqtt5.PublishPacket, place: int, byte: int, cuts: list[int]
) -> None:
    damaged = bytearray(first.write())
    header = 2 if damaged[1] < 0x80 else 3
    damaged[header + place % (len(damaged) - header)] = byte
    stream = PacketStream()
    try:
        received = [p for piece in pieces(bytes(damaged) + second.write(), cuts) for p in stream.feed(piece)]
    except MalformedStreamError:
        return
    assert len(received) == 2
    assert isinstance(received[0], (mqtt5.PublishPacket, UnreadablePublish))
    assert isinstance(received[1], mqtt5.PublishPacket)
    assert received[1].payload == second.payload
