"""One kit's connection to the broker: nothing it is given is lost while this process lives.

A message is kept until a PUBACK with success and some ten seconds longer, and sent again after any
reconnect; presence is a retained `online` after each connect, with the will that belongs to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import mqtt5

from fleet.protocol.messages import Connection, ConnectionState, encode
from fleet.protocol.topics import Downlink, Kind
from simulator.hub import CONNECT_TIMEOUT_S, Hub
from simulator.outbox import Entry, Outbox
from simulator.wire import PING, Wire

Inbox: TypeAlias = Callable[[str, bytes], None]
"""Is given topic and payload of what the server sends to the kit."""

NEVER = (
    mqtt5.PubAckReasonCode.NOT_AUTHORIZED,
    mqtt5.PubAckReasonCode.TOPIC_NAME_INVALID,
    mqtt5.PubAckReasonCode.PAYLOAD_FORMAT_INVALID,
)
"""Answers that sending again cannot change; keeping such a message would block all behind it."""


class Publisher:
    """Sends for one client id. `kit` is the client id; commands and desired state arrive at `inbox`."""

    __slots__ = (
        "_attempt",
        "_connects",
        "_dialing",
        "_hub",
        "_inbox",
        "_keep_alive_s",
        "_max_packet",
        "_outbox",
        "_pauses",
        "_presence",
        "_resume",
        "_wanted",
        "_wire",
        "kit",
    )

    def __init__(self, hub: Hub, kit: str, *, inbox: Inbox | None = None, presence: bool = True) -> None:
        """`presence` false makes a plain client without will, `online` and subscriptions."""
        settings = hub.settings
        self.kit = kit
        self._hub = hub
        self._inbox = inbox
        self._presence = presence
        self._outbox = Outbox(
            window=settings.max_inflight, max_waiting=settings.spool_messages, keep_s=settings.keep_after_ack_s
        )
        self._wire: Wire | None = None
        self._wanted = False
        self._dialing = False
        self._attempt = 0
        self._connects = 0
        self._pauses = 0
        self._resume: asyncio.TimerHandle | None = None
        self._keep_alive_s: float = settings.keep_alive_s
        self._max_packet = 0
        hub.members.append(self)

    # What others ask

    @property
    def connected(self) -> bool:
        """Whether the broker has greeted us and the connection stands."""
        return self._wire is not None

    @property
    def wanted(self) -> bool:
        """Whether a connection is wanted now."""
        return self._wanted

    @property
    def unsettled(self) -> int:
        """How many messages the broker has not acknowledged yet."""
        return self._outbox.unsettled

    def want(self, up: bool, *, at_once: bool = False) -> None:
        """Have a connection, or break it as if the network had gone (the broker sends the will)."""
        self._wanted = up
        if not up and self._wire is not None:
            wire, self._wire = self._wire, None
            self._hub.connected -= self._presence
            self._hub.counts["planned_cuts"] += 1
            wire.abort()
        elif up and self._wire is None:
            first = not self._connects
            self._dial_after(0.0 if at_once or first else self._hub.backoff_s(0))

    def send(self, row: int, topic: str, payload: bytes, *, live: bool = True) -> None:
        """Send message `row` of the ledger, now or as soon as there is a connection.

        `live` says that the server, having it, knows that the kit lives (a malformed one does not).
        """
        if not self._outbox.add(Entry(row, topic, payload, live=live)):
            self._hub.ledger.was_dropped(row)
        self._flush()

    def order(self, topic: str, payload: bytes) -> None:
        """Send what the ledger does not know: the server's part."""
        self._outbox.add(Entry(None, topic, payload, live=False))
        self._flush()

    def leave(self) -> None:
        """Say `offline` and close politely; what is unsettled stays so."""
        self._wanted = False
        if self._wire is not None:
            if self._presence:
                self._tell(self._wire, _presence(self._hub, ConnectionState.OFFLINE))
            wire, self._wire = self._wire, None
            self._hub.connected -= self._presence
            wire.close()

    def tend(self, now_s: float) -> None:
        """Ping when quiet; give the connection up when the broker is."""
        wire = self._wire
        if wire is None or not self._keep_alive_s:
            return
        if now_s - wire.heard_s > 1.5 * self._keep_alive_s:
            wire.abort()
        elif now_s - min(wire.wrote_s, wire.heard_s) > self._keep_alive_s / 2:
            wire.write(PING)

    # Dialing

    def _dial_after(self, delay_s: float) -> None:
        if not self._dialing:
            self._dialing = True
            self._hub.tasks.create_task(self._dial(delay_s))

    async def _dial(self, delay_s: float) -> None:
        try:
            while self._wanted and self._wire is None:
                await asyncio.sleep(delay_s)
                async with self._hub.dials:
                    await self._try_connect()
                self._attempt += 1
                delay_s = self._hub.backoff_s(self._attempt)
        finally:
            self._dialing = False

    async def _try_connect(self) -> None:
        if not self._wanted:
            return
        online = _presence(self._hub, ConnectionState.ONLINE)
        wire = Wire(self._hello(online.ts).write(), self)
        endpoint = self._hub.endpoint
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: wire, endpoint.host, endpoint.port, ssl=self._hub.tls
                )
                greeting = await wire.ready
            self._begin(wire, greeting, online)
        except OSError as error:
            self._hub.failed(error)
        finally:
            if wire is not self._wire:
                wire.abort()

    def _hello(self, online_ts: datetime) -> mqtt5.ConnectPacket:
        hub = self._hub
        gone = encode(Connection(state=ConnectionState.OFFLINE, ts=online_ts))
        will = mqtt5.Will(
            hub.topics.device(self.kit, Kind.CONNECTION), payload=gone, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=True
        )
        user, password = hub.endpoint.username, hub.endpoint.password
        return mqtt5.ConnectPacket(
            self.kit,
            username=user.replace("{kit}", self.kit) if user else None,
            password=password.replace("{kit}", self.kit).encode() if password else None,
            will=will if self._presence else None,
            keep_alive=hub.settings.keep_alive_s,
            session_expiry_interval=hub.settings.session_expiry_s,
            receive_max=1000,
        )

    def _begin(self, wire: Wire, greeting: mqtt5.ConnAckPacket, online: Connection) -> None:
        if not (self._wanted and wire.open):
            raise ConnectionError("the connection went before it was used")
        hub = self._hub
        hub.connected += self._presence
        hub.counts["reconnects" if self._connects else "connects"] += 1
        self._connects += 1
        self._attempt = 0
        self._wire = wire
        self._keep_alive_s = greeting.server_keep_alive or hub.settings.keep_alive_s
        self._max_packet = greeting.max_packet_size or 0
        self._outbox.window = min(hub.settings.max_inflight, greeting.receive_max)
        self._outbox.reconnected()
        if self._presence:
            self._tell(wire, online)
            self._subscribe(wire)
        self._flush()

    def _tell(self, wire: Wire, presence: Connection) -> None:
        entry = Entry(None, self._hub.topics.device(self.kit, Kind.CONNECTION), encode(presence), retain=True)
        wire.write(_packet(entry, self._outbox.begin(entry)))

    def _subscribe(self, wire: Wire) -> None:
        topics = self._hub.topics
        wanted = (topics.desired(self.kit), topics.command(self.kit, "+"))
        filters = [mqtt5.TopicFilter(topic, max_qos=mqtt5.QoS.AT_LEAST_ONCE) for topic in wanted]
        wire.write(mqtt5.SubscribePacket(self._outbox.reserve(), filters).write())

    # Sending

    def _flush(self) -> None:
        wire = self._wire
        if wire is None or self._resume is not None:
            return
        while not wire.clogged and (taken := self._outbox.take()):
            packet_id, entry = taken
            packet = _packet(entry, packet_id)
            if self._max_packet and len(packet) > self._max_packet:
                self._refused(packet_id)
                continue
            wire.write(packet)
            if entry.row is not None:
                self._hub.ledger.was_sent(entry.row, self._hub.clock())

    def _refused(self, packet_id: int) -> None:
        entry = self._outbox.settle(packet_id)
        if entry is not None and entry.row is not None:
            self._hub.ledger.was_refused(entry.row)

    def _pause(self) -> None:
        """The broker cannot take it now: try again after a while, longer each time."""
        self._hub.counts["pauses"] += 1
        self._pauses += 1
        if self._resume is None:
            delay_s = self._hub.backoff_s(self._pauses) + 0.2
            self._resume = asyncio.get_running_loop().call_later(delay_s, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._flush()

    # From the wire

    def opened(self) -> None:
        """There is a socket."""
        self._hub.wire_opened()

    def acknowledged(self, packet_id: int, code: mqtt5.PubAckReasonCode) -> None:
        """Success is the only answer that lets a message go."""
        now_s = self._hub.clock()
        if code in NEVER:
            self._refused(packet_id)
        elif (entry := self._outbox.settle(packet_id)) is None:
            self._hub.counts["unknown_acks"] += 1
        elif code is mqtt5.PubAckReasonCode.SUCCESS:
            self._taken(entry, now_s)
        elif entry.row is not None:
            self._hub.counts[f"not_stored_{code.name.lower()}"] += 1
            self._outbox.put_back(entry)
            self._pause()
        self._flush()

    def _taken(self, entry: Entry, now_s: float) -> None:
        self._pauses = 0
        self._outbox.heard(now_s)
        if entry.live:
            self._hub.heard(self.kit, now_s)
        if entry.row is not None:
            self._hub.ledger.was_acknowledged(entry.row, now_s)
            if self._outbox.keep(entry, now_s):
                self._hub.counts["let_go_early"] += 1

    def delivered(self, topic: str, payload: bytes) -> None:
        """A command or the desired state."""
        if self._inbox is not None:
            self._inbox(topic, payload)

    def writable(self) -> None:
        """The socket takes data again."""
        self._flush()

    def lost(self, wire: Wire, _error: Exception | None) -> None:
        """Come back after a random while, if it was not meant."""
        self._hub.wire_closed()
        if wire is not self._wire:
            return
        self._wire = None
        self._hub.connected -= self._presence
        self._hub.counts["losses"] += 1
        if wire.goodbye is not None:
            self._hub.counts[f"goodbye_{wire.goodbye}"] += 1
        if self._wanted:
            self._dial_after(self._hub.backoff_s(0))


def _packet(entry: Entry, packet_id: int) -> bytes:
    return mqtt5.PublishPacket(
        entry.topic, entry.payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=entry.retain, packet_id=packet_id
    ).write()


def _presence(hub: Hub, state: ConnectionState) -> Connection:
    return Connection(state=state, ts=hub.now())


def command_of(topic: str) -> str | None:
    """The id in `…/commands/{id}`; None for `…/desired`."""
    head, _, last = topic.rpartition("/")
    return last if head.endswith(f"/{Downlink.COMMANDS}") else None
