"""Requests under contracts, with their logs written by the test; time is passed, nothing waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from fleet.alerts.sla import recompute
from fleet.alerts.sla.watching import Looked, look
from fleet.db import roles
from fleet.db.connect import connect
from tests.support import execute, value

BEGIN = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
SYSTEM = "system"
AGENT = "user 7 agent"


def hours(count: float) -> datetime:
    """So long after the beginning."""
    return BEGIN + timedelta(hours=count)


def add_steps(database: str, contract: str, *steps: tuple[str, int | None, int | None, bool]) -> None:
    """Steps of escalation as (target, percent, minutes before, raises)."""
    for number, (target, percent, before_min, raises) in enumerate(steps, 1):
        execute(
            database,
            "INSERT INTO escalations (contract_id, step, target, percent, before_min, raise_priority)"
            " SELECT contract_id, %s, %s, %s, %s, %s FROM contracts WHERE slug = %s",
            number, target, percent, before_min, raises, contract,
        )  # fmt: skip


def set_targets(database: str, contract: str, **minutes: int) -> None:
    """Set `response_min`, `update_min` or `solution_min` of every priority of a contract."""
    for name, count in minutes.items():
        execute(
            database,
            f"UPDATE contract_targets SET {name} = %s"
            " WHERE contract_id = (SELECT contract_id FROM contracts WHERE slug = %s)",
            count, contract,
        )  # fmt: skip


class Desk:
    """The worker's connection, and what the desk does."""

    def __init__(self, database: str, connection: AsyncConnection[Any]) -> None:
        self.database = database
        self.connection = connection

    async def open(self, name: str = "K", *, priority: str = "high", at: datetime = BEGIN, actor: str = SYSTEM) -> int:
        """A request of a kit of its own, with the beginning of its log."""
        execute(self.database, "INSERT INTO kits (kit, state) VALUES (%s, 'installed') ON CONFLICT DO NOTHING", name)
        request_id: int = value(
            self.database,
            "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)"
            " SELECT service_request_number(%s), kit_id, 'silent', 'support', %s, 'open', %s, %s FROM kits"
            " WHERE kit = %s RETURNING request_id",
            at, priority, at, at, name,
        )  # fmt: skip
        await self.note(request_id, "opened", at, actor=actor, priority=priority)
        return request_id

    async def note(self, request_id: int, what: str, at: datetime, *, actor: str = AGENT, **body: Any) -> None:
        """An entry of the log, with the projection of its state."""
        execute(
            self.database,
            "INSERT INTO request_events (request_id, at, actor, what, body) VALUES (%s, %s, %s, %s, %s)",
            request_id, at, actor, what, Jsonb(body),
        )  # fmt: skip
        if what == "state":
            ended = at if body["to"] in ("resolved", "closed") else None
            execute(
                self.database,
                "UPDATE service_requests SET state = %s, waiting_for = %s, resolved_at = %s WHERE request_id = %s",
                body["to"], body.get("waiting_for"), ended, request_id,
            )  # fmt: skip

    async def measure(self, request_id: int, now: datetime) -> dict[str, Any]:
        """Measure at a moment; the row as it is then."""
        async with self.connection.transaction():
            await recompute(self.connection, [request_id], now)
        return await self.row(request_id)

    async def row(self, request_id: int) -> dict[str, Any]:
        """The request's row."""
        async with self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute("SELECT * FROM service_requests WHERE request_id = %s", (request_id,))
            found = await cursor.fetchone()
        assert found is not None
        return found

    async def look(self, now: datetime) -> Looked:
        """One look of the worker."""
        return await look(self.connection, now)

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What the stream of events tells of escalation, in order."""
        cursor = await self.connection.execute(
            "SELECT type, body FROM events WHERE type IN ('request.escalated', 'request.breached') ORDER BY event_id"
        )
        return [(type_, body) for type_, body in await cursor.fetchall()]


@asynccontextmanager
async def desk(database: str) -> AsyncIterator[Desk]:
    """A desk on a migrated database, as the worker."""
    connection = await connect(database, role="test", run_as=roles.WORKER)
    try:
        yield Desk(database, connection)
    finally:
        await connection.close()
