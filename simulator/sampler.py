"""Measures how long a heartbeat takes from sending until anyone can read it: commit included."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg

from fleet.protocol.topics import Kind
from simulator.hub import Hub
from simulator.ledger import KINDS, BootOf, Row
from simulator.report import Spread
from simulator.store import queries

EVERY_S = 0.25
POLL_S = 0.005
GIVE_UP_S = 30.0
HEARTBEAT = KINDS.index(Kind.HEARTBEAT)
USABLE = timedelta(seconds=1)


class Sampler:
    """Follows one heartbeat at a time from the moment it is sent; the load is that of one small reader."""

    def __init__(self, hub: Hub, dsn: str) -> None:
        self._hub = hub
        self._dsn = dsn
        self._picked: asyncio.Future[int] | None = None
        self.values_s: list[float] = []
        hub.ledger.on_first_send = self._sent

    async def sample(self) -> None:
        """Sample until cancelled; a database that is away costs samples, nothing else."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                    await self._follow(connection)
            except psycopg.Error:
                await asyncio.sleep(1.0)

    def spread(self) -> Spread:
        """The percentiles so far."""
        return Spread.of(self.values_s)

    def _sent(self, row: int) -> None:
        ledger = self._hub.ledger
        if self._picked is None or self._picked.done() or ledger.kind[row] != HEARTBEAT:
            return
        if abs(ledger.row(row).ts - self._hub.now()) < USABLE:
            self._picked.set_result(row)

    async def _follow(self, connection: psycopg.AsyncConnection[Any]) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self._picked = asyncio.get_running_loop().create_future()
            row = self._hub.ledger.row(await self._picked)
            sent_s = row.sent_s or 0.0
            while self._hub.clock() < sent_s + GIVE_UP_S:
                if await _visible(connection, row):
                    self.values_s.append(self._hub.clock() - sent_s)
                    break
                await asyncio.sleep(POLL_S)


async def _visible(connection: psycopg.AsyncConnection[Any], row: Row) -> bool:
    if not isinstance(row.owner, BootOf):
        return False
    wanted = {"kit": row.owner.kit, "boot": row.owner.boot, "seq": row.seq, "ts": row.ts}
    cursor = await connection.execute(queries()["visible"], wanted)
    found = await cursor.fetchone()
    return bool(found and found[0])
