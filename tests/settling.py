"""The storing half of ingest on a real database, without a broker: batches go in, rows come out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fleet.ingest.connection import Connection, Incoming, Window
from fleet.ingest.decode import Decoder
from fleet.ingest.listening import ListeningClock
from fleet.ingest.settle import Settler
from fleet.ingest.store import NotLeaderError, Writer
from fleet.protocol.topics import Topics
from tests.support import eventually, rows

SLOT = 0


class Settling:
    """Batches through decoder, settler and writer; `restart` forgets what a process would forget."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.clock = ListeningClock()
        self.connection = Connection(Window())
        self._begin()

    def _begin(self) -> None:
        self.writer = Writer(self.dsn, SLOT)
        self._settler = Settler(self.writer, Decoder(Topics()))

    async def settle(self, batch: Sequence[Incoming], *, write_clock: bool = False) -> None:
        """Store one batch, as ingest does before it acknowledges it."""
        await self._settler.settle(batch, self.clock, self.connection, write_clock=write_clock)

    async def restart(self) -> None:
        """Another process takes over."""
        await self.writer.close()
        self._begin()
        await self.lead()

    async def lead(self) -> None:
        """Take the slot; the server may notice a moment late that the writer before us is gone."""
        await eventually(self._try_lead, what="the slot to be free")

    async def _try_lead(self) -> bool:
        try:
            await self.writer.open()
        except NotLeaderError:
            return False
        return True


@asynccontextmanager
async def settling(dsn: str) -> AsyncIterator[Settling]:
    """Hold the slot on `dsn` and settle batches."""
    it = Settling(dsn)
    await it.lead()
    try:
        yield it
    finally:
        await it.writer.close()


def stored(dsn: str, kit: str) -> list[tuple[Any, ...]]:
    """Every stored message of a kit: kind, boot, seq (boot is the command of a reply)."""
    return rows(
        dsn,
        "SELECT kind, coalesce(boot, command), coalesce(seq, 0) FROM grafana_messages WHERE kit = %s ORDER BY 1, 2, 3",
        kit,
    )
