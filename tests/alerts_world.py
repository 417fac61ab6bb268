"""A fleet in the database whose time is made by the test: rows are written, `now` is passed, nothing waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from fleet.alerts.worker import TickResult, tick
from fleet.db.connect import connect

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class World:
    """Kits, the listening clock and the worker's tick on one connection.

    `clock_s` is the listening clock, `now` the wall clock; both move only by `advance` and `outage`.
    """

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self.now = BEGIN
        self.clock_s = 10_000.0
        self.resumed_clock_s = 0.0

    async def add(self, count: int, *, interval_s: int = 60, state: str = "installed", prefix: str = "K") -> list[int]:
        """Enter kits heard at this moment."""
        allowance_s = max(30.0, interval_s * (3 if interval_s <= 3600 else 1.5)) if state == "installed" else None
        return await self.scalars(
            "WITH new AS (INSERT INTO kits (kit, state, expected_interval_s) SELECT %s || '-' || g, %s, %s"
            " FROM generate_series(1, %s) g RETURNING kit_id)"
            " INSERT INTO kit_latest (kit_id, last_heard_at, heard_clock_s, watch_allowance_s, watch_interval_s,"
            " watch_from_clock_s) SELECT kit_id, %s, %s, %s, %s, %s FROM new RETURNING kit_id",
            prefix, state, interval_s, count, self.now, self.clock_s, allowance_s, interval_s, self.clock_s,
        )  # fmt: skip

    async def hear(self, kits: Iterable[int]) -> None:
        """A live message of each kit."""
        await self.connection.execute(
            "UPDATE kit_latest SET last_heard_at = %s, heard_clock_s = %s WHERE kit_id = ANY(%s)",
            (self.now, self.clock_s, list(kits)),
        )

    async def report(self, kit: int, **versions: str) -> None:
        """A software report, folded as ingest does."""
        await self.connection.execute(
            "INSERT INTO latest_reports VALUES (%s, 'software', 'b', 1, %s, %s, %s)"
            " ON CONFLICT (kit_id, kind) DO UPDATE SET body = excluded.body",
            (kit, self.now, self.now, Jsonb(versions)),
        )
        await self.enqueue(kit)

    async def want(self, kit: int, **versions: str) -> None:
        """Other versions are wanted of the kit."""
        await self.connection.execute(
            "UPDATE kits SET wanted_components = %s WHERE kit_id = %s", (Jsonb(versions), kit)
        )
        await self.enqueue(kit)

    async def set_state(self, kits: Iterable[int], state: str) -> None:
        """Move kits in their life; the watch ends or begins with it."""
        kits = list(kits)
        await self.connection.execute("UPDATE kits SET state = %s WHERE kit_id = ANY(%s)", (state, kits))
        await self.connection.execute(
            "UPDATE kit_latest l SET watch_allowance_s ="
            " watch_allowance_s(k.state, k.expected_interval_s, k.tolerance),"
            " watch_from_clock_s = CASE WHEN k.state = 'installed' THEN %s END"
            " FROM kits k WHERE k.kit_id = l.kit_id AND k.kit_id = ANY(%s)",
            (self.clock_s, kits),
        )
        for kit in kits:
            await self.enqueue(kit)

    async def execute_rule(self, statement: str) -> None:
        """Change the rules."""
        await self.connection.execute(statement.encode())

    async def enqueue(self, kit: int) -> None:
        """Ask for an evaluation."""
        await self.connection.execute("INSERT INTO evaluation_queue (kit_id) VALUES (%s)", (kit,))

    async def listen(self, state: str = "listening") -> None:
        """Write the listening clock as ingest does."""
        await self.connection.execute(
            "UPDATE listening SET clock_s = %s, state = %s, resumed_clock_s = %s, grace_from_clock_s = %s,"
            " updated_at = %s",
            (self.clock_s, state, self.resumed_clock_s, self.resumed_clock_s, self.now),
        )

    async def advance(self, seconds: float, *, heard: Iterable[int] = ()) -> None:
        """Time passes while we listen; `heard` report at its end."""
        self.now += timedelta(seconds=seconds)
        self.clock_s += seconds
        await self.listen()
        await self.hear(heard)

    async def outage(self, seconds: float) -> None:
        """Time passes while we do not listen; the worker ticks all the same."""
        await self.listen("down")
        self.now += timedelta(seconds=seconds)

    async def resume(self) -> None:
        """We listen again; every kit gets its grace."""
        self.resumed_clock_s = self.clock_s
        await self.listen()

    async def tick(self) -> TickResult:
        """One tick of the worker at this moment."""
        return await tick(self.connection, self.now)

    async def live(self, seconds: float, *, heard: Iterable[int] = (), step_s: float = 5.0) -> list[TickResult]:
        """Advance in steps with a tick after each."""
        heard = list(heard)
        results = []
        for _ in range(round(seconds / step_s)):
            await self.advance(step_s, heard=heard)
            results.append(await self.tick())
        return results

    async def rows(self, query: str, *parameters: Any) -> list[Any]:
        """All rows of a query."""
        cursor = await self.connection.execute(query.encode(), parameters)
        return await cursor.fetchall()

    async def scalars(self, query: str, *parameters: Any) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in await self.rows(query, *parameters)]

    async def value(self, query: str, *parameters: Any) -> Any:
        """The first column of the only row."""
        (only,) = await self.scalars(query, *parameters)
        return only

    async def active(self, rule: str = "silent") -> set[int]:
        """Kits with an active alert."""
        return set(await self.scalars("SELECT kit_id FROM alerts WHERE rule = %s AND state = 'active'", rule))

    async def open_requests(self) -> int:
        """Service requests of kits that are not ended."""
        return int(
            await self.value(
                "SELECT count(*) FROM service_requests WHERE kit_id IS NOT NULL"
                " AND state IN ('open', 'in_progress', 'waiting')"
            )
        )

    async def members(self) -> set[int]:
        """Kits in an incident now."""
        return set(await self.scalars("SELECT kit_id FROM incident_members WHERE left_at IS NULL"))

    async def check(self) -> None:
        """What must hold after every tick, whatever happened."""
        broken = await self.rows(_BROKEN)
        assert broken == [], broken


_BROKEN = """
SELECT 'active alert without request', a.alert_id FROM alerts a
WHERE a.state = 'active' AND a.suppressed_by IS NULL
  AND NOT EXISTS (SELECT FROM request_alerts ra WHERE ra.alert_id = a.alert_id)
UNION ALL
SELECT 'alert suppressed by an incident it is no member of, or member that speaks for itself', a.alert_id FROM alerts a
LEFT JOIN incident_members m ON m.kit_id = a.kit_id AND m.rule = a.rule AND m.left_at IS NULL
WHERE a.state = 'active' AND a.rule <> 'silent' AND (a.suppressed_by LIKE 'incident:%%' OR m.incident_id IS NOT NULL)
  AND a.suppressed_by IS DISTINCT FROM 'incident:' || m.incident_id
UNION ALL
SELECT 'member without its alert', m.kit_id FROM incident_members m
WHERE m.left_at IS NULL AND m.rule <> 'silent'
  AND NOT EXISTS (SELECT FROM alerts a WHERE a.kit_id = m.kit_id AND a.rule = m.rule AND a.state = 'active')
UNION ALL
SELECT 'open request of cleared alerts only', r.request_id FROM service_requests r
WHERE r.kit_id IS NOT NULL AND r.state = 'open' AND NOT EXISTS (
    SELECT FROM request_alerts ra JOIN alerts a USING (alert_id)
    WHERE ra.request_id = r.request_id AND a.state = 'active')
UNION ALL
SELECT 'alert and membership', a.kit_id FROM alerts a JOIN incident_members m USING (kit_id)
WHERE a.rule = 'silent' AND a.state = 'active' AND m.rule = 'silent' AND m.left_at IS NULL
UNION ALL
SELECT 'incident without its one request', i.incident_id FROM incidents i
WHERE (SELECT count(*) FROM service_requests r WHERE r.incident_id = i.incident_id) <> 1
UNION ALL
SELECT 'open request of a cleared incident', i.incident_id FROM incidents i
JOIN service_requests r USING (incident_id) WHERE i.state = 'cleared' AND r.state = 'open'
UNION ALL
SELECT 'alert without its events', a.alert_id FROM alerts a
WHERE (SELECT count(*) FROM events e WHERE e.type = 'alert.opened' AND (e.body ->> 'id')::bigint = a.alert_id) <> 1
   OR (SELECT count(*) FROM events e WHERE e.type = 'alert.cleared' AND (e.body ->> 'id')::bigint = a.alert_id)
      <> (a.state = 'cleared')::integer
UNION ALL
SELECT 'alert of a kit that is not watched', a.alert_id FROM alerts a JOIN kits k USING (kit_id)
WHERE a.state = 'active' AND k.state <> 'installed'
"""


@asynccontextmanager
async def world(dsn: str) -> AsyncIterator[World]:
    """An empty world on a migrated database, listening."""
    connection = await connect(dsn, role="test")
    try:
        made = World(connection)
        await made.listen()
        yield made
    finally:
        await connection.close()
