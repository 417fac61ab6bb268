"""What the tests of findings share: kits and pieces of the books, and what their tablets reported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from fleet.db import roles
from fleet.db.connect import connect
from fleet.state.findings import store
from fleet.state.findings.store import Part, Settled

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)
HOUR = timedelta(hours=1)
CLOCK_S = 10_000_000.0


class Books:
    """A few kits and pieces with what their tablets reported; time is passed, nothing waits."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self.now = NOW

    async def do(self, query: str, *values: Any) -> Any:
        """Run a statement; the first column of its first row, if any."""
        cursor = await self.connection.execute(query.encode(), values)
        row = None if cursor.description is None else await cursor.fetchone()
        return None if row is None else row[0]

    async def kit(
        self, kit: str, state: str = "installed", *, organisation: int | None = None, heard: bool = True
    ) -> int:
        """A kit that has long been in its state, last heard just now or never."""
        kit_id = await self.do(
            "INSERT INTO kits (kit, state, state_since, organisation_id, owner_id) VALUES (%s, %s, %s, %s, %s)"
            " RETURNING kit_id",
            kit, state, LONG_AGO, organisation, organisation,
        )  # fmt: skip
        await self.do(
            "INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, watch_from_clock_s)"
            " SELECT kit_id, watch_allowance_s(state, 300, NULL), 300, %s FROM kits WHERE kit_id = %s",
            CLOCK_S - 90_000, kit_id,
        )  # fmt: skip
        if heard:
            await self.hear(kit_id)
        return int(kit_id)

    async def hear(self, kit_id: int, *, ago_s: float = 10.0) -> None:
        """A live message some listening time ago."""
        await self.do(
            "UPDATE kit_latest SET last_heard_at = %s, heard_clock_s = %s WHERE kit_id = %s",
            self.now - timedelta(seconds=ago_s), CLOCK_S - ago_s, kit_id,
        )  # fmt: skip

    async def piece(self, kit_id: int | None, kind: str, serial: str, **more: Any) -> int:
        """A piece that has long been where it is."""
        model = more.pop("model", f"{kind} model")
        firmware = more.pop("expected_firmware", None)
        model_id = await self.do(
            "INSERT INTO models (kind, manufacturer, name, expected_firmware) VALUES (%s, 'Acme', %s, %s)"
            " ON CONFLICT (lower(manufacturer), lower(name))"
            " DO UPDATE SET expected_firmware = excluded.expected_firmware"
            " RETURNING model_id",
            kind, model, firmware,
        )  # fmt: skip
        columns = {"state": "in_kit" if kit_id else "in_stock", "state_since": LONG_AGO} | more
        names = ", ".join(["model_id", "serial", "kit_id", *columns])
        marks = ", ".join(["%s"] * (3 + len(columns)))
        query = f"INSERT INTO components ({names}) VALUES ({marks}) RETURNING component_id"
        return int(await self.do(query, model_id, serial, kit_id, *columns.values()))

    async def software(self, kit_id: int, at: datetime | None = None, **identity: str) -> None:
        """A software report that tells which tablet it is."""
        await self.report(kit_id, "software", {"app": "1"}, at, identity or None)

    async def pairing(self, kit_id: int, *devices: dict[str, Any], at: datetime | None = None) -> None:
        """A pairing report."""
        paired = [{"kind": "scale", "paired": True, **device} for device in devices]
        await self.report(kit_id, "pairing", paired, at)

    async def report(
        self, kit_id: int, kind: str, body: Any, at: datetime | None = None, identity: dict[str, str] | None = None
    ) -> None:
        """The newest report of a kind, as ingest folds it."""
        at = at or self.now
        await self.do(
            "INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body, identity)"
            " VALUES (%s, %s, 'b', 1, %s, %s, %s, %s) ON CONFLICT (kit_id, kind) DO UPDATE"
            " SET time = excluded.time, body = excluded.body, identity = excluded.identity",
            kit_id, kind, at, at, Jsonb(body), None if identity is None else Jsonb(identity),
        )  # fmt: skip

    async def set_state(self, kit_id: int, state: str, since: datetime) -> None:
        """Move a kit."""
        await self.do("UPDATE kits SET state = %s, state_since = %s WHERE kit_id = %s", state, since, kit_id)

    async def compare(self) -> Settled:
        """Everything once, with the rights of the worker."""
        settled = Settled()
        async with self.connection.transaction():
            await self.do(f"SET LOCAL ROLE {roles.WORKER}")
            settled.add(await store.compare_kits(self.connection, Part(), self.now))
            settled.add(await store.compare_shared(self.connection, self.now))
            settled.add(await store.compare_dates(self.connection, self.now))
            settled.add(await store.compare_stock(self.connection, self.now))
            settled.add(await store.compare_hearing(self.connection, self.now))
        return settled

    async def standing(self) -> list[str]:
        """The kinds of what stands, sorted."""
        cursor = await self.connection.execute("SELECT kind FROM findings WHERE state <> 'cleared' ORDER BY kind")
        return [row[0] for row in await cursor.fetchall()]

    async def found_once(self, *kinds: str) -> None:
        """Exactly these stand; a second and a third look changes nothing."""
        await self.compare()
        assert await self.standing() == sorted(kinds)
        assert not (await self.compare()).changed
        self.now += timedelta(minutes=1)
        assert not (await self.compare()).changed
        assert await self.do("SELECT count(*) FROM findings") == len(kinds)

    async def cleared(self) -> None:
        """Nothing stands any more."""
        await self.compare()
        assert await self.standing() == []


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[Books]:
    """Empty books, listening."""
    connection = await connect(database, role="test")
    try:
        books = Books(connection)
        await books.do(
            "UPDATE listening SET clock_s = %s, resumed_clock_s = 0, state = 'listening',"
            " updated_at = now() + interval '1 hour'",
            CLOCK_S,
        )
        yield books
    finally:
        await connection.close()
