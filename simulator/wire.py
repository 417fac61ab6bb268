"""One MQTT 5 connection as an asyncio protocol over the `mqtt5` codec; about a kilobyte each."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import mqtt5

from fleet.protocol.framing import MalformedStreamError, PacketStream, UnreadablePublish

PING = mqtt5.PingReqPacket().write()
DISCONNECT = mqtt5.DisconnectPacket().write()
_OLD_CONNACK = b"\x20\x02"


class NoMqtt5Error(ConnectionError):
    """The broker speaks an older MQTT."""

    def __init__(self) -> None:
        super().__init__("the broker does not speak MQTT 5")


class RefusedError(ConnectionError):
    """The broker refused the connection; `reason` is the code's name."""

    def __init__(self, code: mqtt5.ConnAckReasonCode) -> None:
        self.reason = code.name.lower()
        super().__init__(f"the broker refuses the connection: {self.reason}")


class Listener(Protocol):
    """Who is told what happens on a connection."""

    def acknowledged(self, packet_id: int, code: mqtt5.PubAckReasonCode) -> None:
        """The broker answered a PUBLISH."""

    def delivered(self, topic: str, payload: bytes) -> None:
        """The broker sent a message."""

    def opened(self) -> None:
        """There is a socket; `lost` follows, once."""

    def lost(self, wire: Wire, error: Exception | None) -> None:
        """The connection is over."""

    def writable(self) -> None:
        """The socket takes data again."""


class Wire(asyncio.Protocol):
    """Connects, frames, answers; knows nothing of what is sent."""

    __slots__ = ("_hello", "_listener", "_stream", "_transport", "clogged", "goodbye", "heard_s", "ready", "wrote_s")

    def __init__(self, hello: bytes, listener: Listener) -> None:
        """`hello` is the CONNECT packet."""
        self._hello = hello
        self._listener = listener
        self._stream = PacketStream()
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[mqtt5.ConnAckPacket] = asyncio.get_running_loop().create_future()
        self.clogged = False
        self.goodbye: str | None = None
        self.heard_s = self.wrote_s = 0.0

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = cast("asyncio.Transport", transport)
        self.heard_s = asyncio.get_running_loop().time()
        self._listener.opened()
        self.write(self._hello)

    def data_received(self, data: bytes) -> None:
        """Handle every packet that is complete."""
        self.heard_s = asyncio.get_running_loop().time()
        if not self.ready.done() and data.startswith(_OLD_CONNACK):
            self._fail(NoMqtt5Error())
            return
        try:
            for packet in self._stream.feed(data):
                self._handle(packet)
        except MalformedStreamError as error:
            self._fail(ConnectionError(f"no MQTT 5 from the broker: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError("the broker closed the connection"))
        self._listener.lost(self, error)

    def pause_writing(self) -> None:
        """The socket is full."""
        self.clogged = True

    def resume_writing(self) -> None:
        """The socket takes data again."""
        self.clogged = False
        self._listener.writable()

    # To the transport

    @property
    def open(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None

    def write(self, packet: bytes) -> None:
        """Send a packet; lost without a word when the connection is gone (`lost` tells)."""
        if self._transport is not None:
            self.wrote_s = asyncio.get_running_loop().time()
            self._transport.write(packet)

    def close(self) -> None:
        """Leave politely: no will is sent."""
        if self._transport is not None:
            self._transport.write(DISCONNECT)
            self._transport.close()

    def abort(self) -> None:
        """Break the connection: the broker sends the will."""
        if self._transport is not None:
            self._transport.abort()

    # Packets

    def _handle(self, packet: mqtt5.Packet | UnreadablePublish) -> None:
        match packet:
            case mqtt5.PubAckPacket():
                self._listener.acknowledged(packet.packet_id, packet.reason_code)
            case mqtt5.PublishPacket():
                if packet.packet_id is not None:
                    self.write(mqtt5.PubAckPacket(packet.packet_id).write())
                self._listener.delivered(packet.topic, packet.payload)
            case UnreadablePublish():
                if packet.packet_id is not None:
                    self.write(mqtt5.PubAckPacket(packet.packet_id).write())
            case mqtt5.ConnAckPacket():
                self._greeted(packet)
            case mqtt5.DisconnectPacket():
                self.goodbye = packet.reason_code.name.lower()
                self._fail(ConnectionError(f"the broker says goodbye: {self.goodbye}"))
            case _:
                pass  # PINGRESP, SUBACK: having heard it is all that matters

    def _greeted(self, packet: mqtt5.ConnAckPacket) -> None:
        if self.ready.done():
            self._fail(ConnectionError("a second CONNACK"))
        elif packet.reason_code is mqtt5.ConnAckReasonCode.SUCCESS:
            self.ready.set_result(packet)
        elif packet.reason_code is mqtt5.ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
            self._fail(NoMqtt5Error())
        else:
            self._fail(RefusedError(packet.reason_code))

    def _fail(self, error: ConnectionError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
        self.abort()
