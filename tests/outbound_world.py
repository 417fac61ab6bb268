"""What the tests of the outbound part share: outlets, facts, and the two halves of the work run by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from fleet.access.principal import SYSTEM
from fleet.alerts.outbound import courier, outlets, queue, relay
from fleet.alerts.outbound.outlets import NewOutlet, OutletView
from fleet.alerts.outbound.posting import Poster
from fleet.alerts.outbound.reach import Reach
from fleet.alerts.outbound.sealing import OutletSealer
from fleet.alerts.outbound.work import Work, purpose_of
from fleet.config import Settings
from fleet.db import roles
from fleet.db.connect import connect

KEY = "a key of forty characters for tests only"
SECRET = b"0123456789abcdef0123456789abcdef"


def outbound_settings(database: str, **more: Any) -> Settings:
    """Settings of a worker that may send to this machine."""
    return Settings(
        database_url=database, data_dir=Path("/nonexistent"), secret_key=KEY, outbound_networks="127.0.0.0/8", **more
    )


class Outbound:
    """Relay and courier, stepped by the test: `connection` is the worker's, `books` sees everything."""

    def __init__(self, connection: AsyncConnection[Any], books: AsyncConnection[Any], work: Work) -> None:
        self.connection = connection
        self.books = books
        self.work = work
        self.sealer = OutletSealer(KEY)

    async def webhook(self, url: str, *events: str, **more: Any) -> OutletView:
        """A webhook with a known secret."""
        sealed = self.sealer.seal(more.pop("secret", SECRET), purpose_of("webhook"))
        new = NewOutlet("webhook", list(events or ("*",)), url=url, secret=sealed, **more)
        return await outlets.create(self.books, new, SYSTEM)

    async def fact(self, type_: str = "request.opened", kit: str | None = None, **body: Any) -> None:
        """A fact in a transaction of its own."""
        await self.connection.execute(
            "INSERT INTO events (type, kit, body) VALUES (%s, %s, %s)", (type_, kit, Jsonb(body))
        )

    async def relay(self, now: datetime | None = None) -> relay.Step:
        """What the leader does twice a second."""
        return await relay.relay(self.connection, now or datetime.now(UTC))

    async def deliver(self, outlet: OutletView) -> float | None:
        """What a job does; the seconds after which it comes back, None when all is sent."""
        try:
            await courier.deliver(self.work, outlet.outlet_id)
        except queue.TryLaterError as later:
            return later.delay_s
        return None

    async def send(self, outlet: OutletView) -> float | None:
        """Both, one after the other."""
        await self.relay()
        return await self.deliver(outlet)

    async def states(self, outlet: OutletView) -> list[str]:
        """The deliveries' states in their order."""
        return await self.column(
            "SELECT state FROM deliveries WHERE outlet_id = %s ORDER BY delivery_id", outlet.outlet_id
        )

    async def column(self, query: str, *values: Any) -> list[Any]:
        """The first column of all rows."""
        cursor = await self.connection.execute(query.encode(), values)
        return [row[0] for row in await cursor.fetchall()]

    async def view(self, outlet: OutletView) -> OutletView:
        """The outlet as it is now."""
        return await self.view_of(outlet.kind, outlet.outlet_id)

    async def view_of(self, kind: str, outlet_id: int) -> OutletView:
        """An outlet by its number."""
        return await outlets.find(self.books, kind, outlet_id)


@asynccontextmanager
async def outbound(database: str, **more: Any) -> AsyncIterator[Outbound]:
    """A worker's halves on `database`."""
    settings = outbound_settings(database, **more)
    connection = await connect(database, role="test", run_as=roles.WORKER)
    books = await connect(database, role="test")
    try:
        await relay.prepare(connection)
        async with courier._pool(settings) as pool, Poster(Reach.parse(settings.outbound_networks)) as poster:
            yield Outbound(connection, books, Work(settings, pool, poster, OutletSealer(KEY), lambda: True))
    finally:
        await connection.close()
        await books.close()


@asynccontextmanager
async def running_courier(database: str, **more: Any) -> AsyncIterator[None]:
    """A worker's courier and the leader's relay, as tasks until the block ends."""
    settings, stop = outbound_settings(database, **more), asyncio.Event()

    async def pause(seconds: float) -> None:
        await asyncio.wait({stopping}, timeout=min(seconds, 0.05))

    stopping = asyncio.create_task(stop.wait())
    tasks = [
        asyncio.create_task(courier.run(settings, stop)),
        asyncio.create_task(relay.relay_while(database, lambda: not stop.is_set(), pause)),
    ]
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, stopping)
