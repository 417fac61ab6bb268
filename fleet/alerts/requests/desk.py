"""What the desk reads of service requests and does with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, errors
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from fleet.db.queries import load_queries
from fleet.errors import ConflictError, NotFoundError

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.requests", "desk.sql")

REQUEST_STEPS: Mapping[str, tuple[str, ...]] = {
    "open": ("in_progress", "waiting", "resolved"),
    "in_progress": ("open", "waiting", "resolved"),
    "waiting": ("open", "in_progress", "resolved"),
    "resolved": ("open", "closed"),
    "closed": (),
}
"""The steps of a service request; resolved may be opened again, closed may not."""


@dataclass(frozen=True, slots=True)
class StepNotAllowed:
    """A request in `state` has no step to the wanted one."""

    state: str
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StaleRequest:
    """Somebody changed the request meanwhile; `revision` is that of now."""

    revision: str


@dataclass(frozen=True, slots=True)
class _Request:
    request_id: int
    state: str
    line: str
    priority: str
    resolution: str | None
    revision: str


async def read(connection: Connection, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of one of the lists in `desk.sql`."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        # Not prepared: optional filters are planned for the values at hand.
        await cursor.execute(_SQL[query], values, prepare=False)
        return await cursor.fetchall()


async def change_request(
    connection: Connection,
    number: str,
    changes: Mapping[str, Any],
    *,
    actor: str,
    revisions: frozenset[str] | None = None,
) -> StepNotAllowed | StaleRequest | None:
    """Change state, line, priority or resolution; a refusal is a value.

    Raises NotFoundError, and ConflictError when another request for the same cause is open.
    """
    async with connection.transaction():
        before = await _request(connection, number)
        if revisions is not None and before.revision not in revisions:
            return StaleRequest(before.revision)
        state = changes.get("state", before.state)
        if state != before.state and state not in REQUEST_STEPS[before.state]:
            return StepNotAllowed(before.state, REQUEST_STEPS[before.state])
        fields = ("state", "line", "priority", "resolution")
        after = {name: changes.get(name, getattr(before, name)) for name in fields}
        try:
            await connection.execute(_SQL["update_request"], {**after, "request_id": before.request_id})
        except errors.UniqueViolation:
            raise ConflictError(f"another request for the kit and cause of {number} is open") from None
        body = {"number": number, "by": actor, **{name: after[name] for name in ("state", "line", "priority")}}
        values = {"request_id": before.request_id, "body": Jsonb(body)}
        await connection.execute(_SQL["announce_request"], values)
    return None


async def redact_request(connection: Connection, number: str, *, why: str) -> None:
    """Empty what people wrote as the resolution, in the audit too; twice changes nothing. Raises NotFoundError."""
    cursor = await connection.execute(_SQL["redact_request"], {"number": number, "why": why})
    if await cursor.fetchone() is None:
        raise NotFoundError("service request", number)


async def _request(connection: Connection, number: str) -> _Request:
    async with connection.cursor(row_factory=class_row(_Request)) as cursor:
        await cursor.execute(_SQL["request_for_update"], {"number": number})
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("service request", number)
    return row
