"""Plays a stage in real time: effects of the tablets become packets, orders from the server their inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

import msgspec

from fleet.protocol.messages import encode
from simulator.effects import Ask, Effect, Link, Malform, Publish
from simulator.hub import Hub
from simulator.ledger import BadOf, BootOf, Owner, ReplyOf
from simulator.malformed import build
from simulator.publisher import Publisher, command_of
from simulator.stage import Stage
from simulator.watch import Watch

SLICE = 500
"""Effects carried out before the connections get their turn."""
SHORTEST_PAUSE_S = 0.005


class Engine:
    """One publisher per tablet, and one more that plays the server where a scenario gives commands."""

    def __init__(self, hub: Hub, stage: Stage, watch: Watch) -> None:
        self._hub = hub
        self._stage = stage
        self._watch = watch
        self._nudge = asyncio.Event()
        self._server: Publisher | None = None
        self.publishers = [
            Publisher(hub, tablet.kit, inbox=partial(self._delivered, index))
            for index, tablet in enumerate(stage.tablets)
        ]
        hub.heard = watch.heard

    async def play(self, until_s: float, stop: asyncio.Event) -> None:
        """Run until `until_s` on the hub's clock, or until `stop` is set."""
        stopping = self._hub.tasks.create_task(self._wake_on(stop))
        try:
            while not stop.is_set():
                now_s = self._hub.clock()
                await self._carry_out(self._stage.advance(min(now_s, until_s)))
                if now_s >= until_s:
                    return
                await self._rest(min(self._stage.next_at(), until_s), stop)
        finally:
            stopping.cancel()

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._nudge.set()

    async def _rest(self, until_s: float, stop: asyncio.Event) -> None:
        self._nudge.clear()
        if stop.is_set():
            return
        pause_s = max(SHORTEST_PAUSE_S, until_s - self._hub.clock())
        try:
            async with asyncio.timeout(min(pause_s, 3600)):
                await self._nudge.wait()
        except TimeoutError:
            pass

    async def _carry_out(self, effects: Iterable[tuple[int, Effect]]) -> None:
        for number, (index, effect) in enumerate(effects):
            self._do(index, effect)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    def _do(self, index: int, effect: Effect) -> None:
        match effect:
            case Publish():
                self._publish(self.publishers[index], effect)
            case Link():
                self.publishers[index].want(effect.up, at_once=effect.at_once)
            case Malform():
                self._malform(self.publishers[index], effect)
            case Ask():
                self._ask(self.publishers[index].kit, effect)

    def _publish(self, publisher: Publisher, message: Publish) -> None:
        kit, payload = publisher.kit, message.payload
        owner: Owner = ReplyOf(kit, message.command or "")
        if message.boot is not None:
            owner = BootOf(kit, message.boot)
        row = self._hub.ledger.add(owner, message.kind, message.seq, payload.ts)
        self._watch.told(kit, message)
        topic = self._hub.topics.device(kit, message.kind, message.command)
        data = encode(payload)
        for _ in range(message.copies):
            publisher.send(row, topic, data)

    def _malform(self, publisher: Publisher, effect: Malform) -> None:
        hub = self._hub
        bad = build(effect.sort, hub.topics, publisher.kit, effect.boot, hub.now())
        row = hub.ledger.add(BadOf(publisher.kit, bad.topic, bad.reason), None, 0, hub.now())
        publisher.send(row, bad.topic, bad.payload, live=False)

    def _ask(self, kit: str, effect: Ask) -> None:
        if self._server is None:
            self._server = Publisher(self._hub, f"simulator-{self._hub.ledger.boot_prefix}", presence=False)
            self._server.want(up=True)
        payload = msgspec.json.encode({"name": effect.name, "arguments": {}})
        self._server.order(self._hub.topics.command(kit, effect.command), payload)

    def _delivered(self, index: int, topic: str, payload: bytes) -> None:
        at_s = self._hub.clock()
        command = command_of(topic)
        if command is None:
            effects = self._stage.desired(index, at_s, payload)
        else:
            effects = self._stage.command(index, at_s, command, payload)
        for effect in effects:
            self._do(index, effect)
        self._nudge.set()

    def unsettled(self) -> int:
        """Messages of connected kits that the broker has not acknowledged."""
        return sum(publisher.unsettled for publisher in self.publishers if publisher.wanted)

    async def drain(self, limit_s: float) -> bool:
        """Wait until everything sent is acknowledged; False when the time was not enough."""
        deadline_s = self._hub.clock() + limit_s
        while self.unsettled():
            if self._hub.clock() > deadline_s:
                return False
            await asyncio.sleep(0.02)
        return True

    async def leave(self, limit_s: float = 5.0) -> None:
        """Close every connection politely."""
        everyone = [*self.publishers, *([self._server] if self._server else [])]
        for publisher in everyone:
            publisher.leave()
        await self._hub.all_closed(limit_s)
