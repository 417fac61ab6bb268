"""MQTT 5 packets out of a byte stream: sans-I/O, over the `mqtt5` codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mqtt5

_PUBLISH = 3


class MalformedStreamError(Exception):
    """The peer sent bytes that are no MQTT 5 packet; the connection must be closed."""


@dataclass(frozen=True, slots=True)
class UnreadablePublish:
    """A PUBLISH that the codec cannot read (a topic that is no UTF-8, say) but that can be acknowledged.

    Without it such a message would be redelivered after every reconnect and stop the stream for good. `content` is
    what follows the topic and the packet id: properties and payload.
    """

    topic: bytes
    packet_id: int | None
    detail: str
    content: bytes = b""


class PacketStream:
    """Collects received bytes and yields whole packets; holds at most one incomplete packet."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[mqtt5.Packet | UnreadablePublish]:
        """Yield each packet that `data` completes.

        Raises `MalformedStreamError` when the stream cannot be followed any further.
        """
        buffer = memoryview(self._rest + data if self._rest else data)
        size = len(buffer)
        position = 0
        try:
            while position < size:
                packet: mqtt5.Packet | UnreadablePublish
                try:
                    packet, used = mqtt5.read(buffer[position:])
                except IndexError:
                    break
                except BaseException as error:
                    # The codec panics (a BaseException of its own) on texts that are no UTF-8.
                    if not isinstance(error, ValueError) and type(error).__name__ != "PanicException":
                        raise
                    packet, used = _salvage(buffer[position:], str(error))
                position += used
                yield packet
        finally:
            self._rest = bytes(buffer[position:])


def _salvage(frame: memoryview, detail: str) -> tuple[UnreadablePublish, int]:
    first = frame[0]
    if first >> 4 != _PUBLISH:
        raise MalformedStreamError(detail)
    header, length = _remaining_length(frame)
    end = header + length
    if end > len(frame) or length < 2:
        raise MalformedStreamError(detail)
    topic_end = header + 2 + int.from_bytes(frame[header : header + 2], "big")
    qos = (first >> 1) & 3
    if topic_end + (2 if qos else 0) > end:
        raise MalformedStreamError(detail)
    packet_id = int.from_bytes(frame[topic_end : topic_end + 2], "big") if qos else None
    content = bytes(frame[topic_end + 2 if qos else topic_end : end])
    return UnreadablePublish(bytes(frame[header + 2 : topic_end]), packet_id, detail, content), end


def _remaining_length(frame: memoryview) -> tuple[int, int]:
    """Size of the fixed header and the length it tells (MQTT 5, 1.5.5)."""
    value = 0
    for index, byte in enumerate(frame[1:5]):
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return index + 2, value
    raise MalformedStreamError("bad remaining length")
