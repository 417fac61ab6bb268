"""Packets out of bytes: whole, in pieces, and broken."""

from __future__ import annotations

import mqtt5
import pytest

from fleet.protocol.framing import MalformedStreamError, PacketStream, UnreadablePublish

# The codec reports a text that is no UTF-8 by a panic, which Python notes as an exception nobody handled.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def publish(topic: str = "a/b", payload: bytes = b"hello", packet_id: int = 5) -> bytes:
    return mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id).write()


def frame(first: int, body: bytes) -> bytes:
    """A packet of any content with a right length."""
    length, size = b"", len(body)
    while True:
        size, low = divmod(size, 128)
        length += bytes((low | (0x80 if size else 0),))
        if not size:
            return bytes((first,)) + length + body


def test_every_cut_gives_the_same_packet() -> None:
    whole = publish(payload=b"x" * 300)
    for cut in range(len(whole) + 1):
        stream = PacketStream()
        packets = [*stream.feed(whole[:cut]), *stream.feed(whole[cut:])]
        assert [packet.payload for packet in packets if isinstance(packet, mqtt5.PublishPacket)] == [b"x" * 300]


def test_byte_by_byte() -> None:
    stream = PacketStream()
    packets = [packet for byte in publish() + publish("c", b"") for packet in stream.feed(bytes((byte,)))]
    assert [packet.topic for packet in packets if isinstance(packet, mqtt5.PublishPacket)] == ["a/b", "c"]


def test_a_topic_that_is_no_utf8_is_handed_over_and_the_stream_goes_on() -> None:
    broken = bytearray(publish(packet_id=77))
    broken[4] = 0xFF
    unreadable, readable = PacketStream().feed(bytes(broken) + publish())
    assert isinstance(unreadable, UnreadablePublish)
    assert (unreadable.topic, unreadable.packet_id) == (b"\xff/b", 77)
    assert unreadable.detail
    assert isinstance(readable, mqtt5.PublishPacket)


@pytest.mark.parametrize("cut", range(2, 13))
def test_a_broken_publish_in_two_pieces_is_not_salvaged_too_early(cut: int) -> None:
    broken = bytearray(publish())
    broken[4] = 0xFF
    stream = PacketStream()
    packets = [*stream.feed(bytes(broken[:cut])), *stream.feed(bytes(broken[cut:]) + publish())]
    assert [type(packet) for packet in packets] == [UnreadablePublish, mqtt5.PublishPacket]


def test_an_unreadable_publish_keeps_what_it_brought() -> None:
    body = b"\x00\x03a/b" + b"\x00\x05" + b"\x05\x03\x00\x02\xff\xff" + b"payload"
    (unreadable,) = PacketStream().feed(frame(0x32, body))
    assert isinstance(unreadable, UnreadablePublish)
    assert unreadable.packet_id == 5
    assert unreadable.content.endswith(b"payload")


def test_an_unreadable_publish_at_qos_0_has_no_packet_id() -> None:
    (unreadable,) = PacketStream().feed(frame(0x30, b"\x00\x02\xff\xfe\x00x"))
    assert isinstance(unreadable, UnreadablePublish)
    assert unreadable.packet_id is None


@pytest.mark.parametrize(
    "broken",
    [
        frame(0x32, b"\x00"),
        frame(0x32, b"\x00\xc8abc"),
        frame(0x30, b""),
        frame(0x32, b"\x00\x03a/b\x00"),
        b"\x00\x00",
        b"\xf0\x00extra",
        frame(0xD0, b"abcde"),
        frame(0x20, b""),
        frame(0x20, b"\x00"),
        frame(0x90, b"\x00"),
        frame(0x40, b"\x00"),
        b"\x32\xff\xff\xff\xff\xff",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
    ],
)
def test_what_cannot_be_followed_ends_the_stream(broken: bytes) -> None:
    with pytest.raises(MalformedStreamError):
        list(PacketStream().feed(broken + publish() * 20))


def test_nothing_but_one_incomplete_packet_is_held() -> None:
    stream = PacketStream()
    for _ in range(50):
        assert len(list(stream.feed(publish(payload=b"x" * 1000) * 20))) == 20
    assert list(stream.feed(publish()[:-1])) == []
    assert len(list(stream.feed(publish()[-1:]))) == 1
