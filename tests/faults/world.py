"""A whole system of real processes that can be killed, tablets that keep sending, and the ledger of what was taken."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random

from fleet.db.migrate import migrate
from fleet.embedded import broker as embedded_broker
from fleet.embedded import postgres as embedded_postgres
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.messages import Heartbeat, Software, encode
from fleet.protocol.topics import Kind, Topics
from simulator.hub import Hub
from simulator.ledger import BootOf, Ledger, Status
from simulator.publisher import Publisher
from simulator.scenario import Connections
from tests.servers import Server
from tests.support import Process, add_kits, environment, eventually, rows, value

TOPICS = Topics()
KITS = [f"K-{number}" for number in range(20)]
ROUND_EVERY_S = 0.05


class World:
    """Servers, ingest processes and tablets; use `world()`."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = Random(seed)
        self.postgres = Server(embedded_postgres.prepare(folder / "db", durable=True), folder / "postgres.log")
        self.broker = Server(embedded_broker.prepare(folder / "mq", kind_of_broker()), folder / "broker.log")
        self.ingests: list[Process] = []
        self._numbers = count(1)
        self.ledger = Ledger(boot_prefix="run", started_at=datetime.now(UTC))

    @property
    def database(self) -> str:
        """The administrator's URL."""
        return self.postgres.prepared.url

    def start_ingest(self) -> Process:
        """One more ingest process."""
        log = self.folder / f"ingest-{next(self._numbers)}.log"
        env = environment(database_url=self.database, mqtt_url=self.broker.prepared.mqtt5_url)
        self.ingests.append(Process(["fleet", "ingest"], env, log))
        return self.ingests[-1]

    def kill_ingest(self) -> None:
        """SIGKILL to the oldest, which is the writer unless it just lost the slot."""
        self.ingests.pop(0).kill()

    async def stored_more(self, messages: int) -> None:
        """Wait until so many more messages are stored."""
        wanted = self.stored() + messages
        await eventually(lambda: self.stored() >= wanted, 40, f"{messages} more messages")

    async def acknowledged_more(self, messages: int) -> None:
        """Wait until the broker has taken so many more."""
        wanted = self.ledger.counts["acks"] + messages
        await eventually(lambda: self.ledger.counts["acks"] >= wanted, 40, f"{messages} more taken by the broker")

    def stored(self) -> int:
        """How many messages are stored."""
        return int(value(self.database, "SELECT (SELECT count(*) FROM heartbeats) + (SELECT count(*) FROM reports)"))

    def balance(self) -> Counter[str]:
        """What is wrong with the books: acknowledged and missing, stored twice, never made."""
        query = "SELECT kit, kind, boot, seq FROM grafana_messages"
        found = Counter(rows(self.database, query))
        made = {
            (r.owner.kit, r.kind, r.owner.boot, r.seq): r for r in self.ledger.rows() if isinstance(r.owner, BootOf)
        }
        wrong: Counter[str] = Counter()
        wrong["missing"] = sum(r.status is Status.ACKNOWLEDGED and key not in found for key, r in made.items())
        wrong["twice"] = sum(times > 1 for times in found.values())
        wrong["never made"] = len(found.keys() - made.keys())
        wrong["quarantined"] = int(value(self.database, "SELECT count(*) FROM quarantine"))
        return +wrong


def kind_of_broker() -> embedded_broker.BrokerKind:
    """The guarantees tested here need a broker that keeps sessions: always Mosquitto."""
    return embedded_broker.BrokerKind.MOSQUITTO


class Tablets:
    """Every kit sends a heartbeat per round and now and then its software; nothing is lost by them."""

    def __init__(self, world: World, hub: Hub) -> None:
        self._world = world
        self._ledger = world.ledger
        self._publishers = {kit: Publisher(hub, kit, presence=False) for kit in KITS}
        self._seqs: Counter[str] = Counter()
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Send until told to stop, then until everything is acknowledged."""
        for publisher in self._publishers.values():
            publisher.want(True)
        while not self.stop.is_set():
            for kit in KITS:
                self._send(kit)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), ROUND_EVERY_S)
        await eventually(lambda: not any(p.unsettled for p in self._publishers.values()), 60, "all acknowledged")

    def leave(self) -> None:
        """Close every connection."""
        for publisher in self._publishers.values():
            publisher.leave()

    def _send(self, kit: str) -> None:
        self._seqs[kit] += 1
        seq, ts = self._seqs[kit], datetime.now(UTC)
        kind = Kind.SOFTWARE if seq % 10 == 0 else Kind.HEARTBEAT
        software = Software(ts, "run", seq, {"app": f"1.{seq}"})
        body = encode(software if kind is Kind.SOFTWARE else Heartbeat(ts, "run", seq, battery=50))
        row = self._ledger.add(BootOf(kit, "run"), kind, seq, ts)
        self._publishers[kit].send(row, TOPICS.device(kit, kind), body)


@asynccontextmanager
async def world(folder: Path, seed: int, *, ingests: int = 1) -> AsyncIterator[World]:
    """Everything running and sending; at the end of the block the tablets stop and the books must balance."""
    it = World(folder, seed)
    try:
        it.postgres.start()
        it.broker.start()
        migrate(it.database)
        add_kits(it.database, *KITS)
        for _ in range(ingests):
            it.start_ingest()
        # A session must exist before the first message, or the broker has nowhere to put it.
        await eventually(lambda: any("subscribed" in i.output() for i in it.ingests), 30, "ingest subscribed")
        endpoint = Endpoint.parse(it.broker.prepared.mqtt5_url)
        connections = Connections(backoff_s=0.3, max_backoff_s=1.0, keep_alive_s=10)
        async with Hub(endpoint, TOPICS, it.ledger, connections) as hub:
            tablets = Tablets(it, hub)
            sending = asyncio.create_task(tablets.run())
            try:
                yield it
            finally:
                tablets.stop.set()
                await sending
                tablets.leave()
        await _settled(it)
        assert not it.balance(), f"seed {seed}"
    finally:
        for ingest in it.ingests:
            ingest.kill()
        it.broker.end(signal.SIGKILL)
        it.postgres.end(signal.SIGQUIT)


async def _settled(it: World) -> None:
    """Wait until everything acknowledged is stored; the balance tells the rest."""
    await eventually(lambda: not it.balance()["missing"], 40, "everything acknowledged is stored")
