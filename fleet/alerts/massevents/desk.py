"""What people read of mass events and set about them: incidents, members, and when many are one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row, scalar_row

from fleet.db.queries import load_queries
from fleet.errors import NotFoundError
from fleet.state.registry import editing
from fleet.state.registry.editing import Outdated

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.massevents", "desk.sql")


@dataclass(frozen=True, slots=True)
class IncidentSettings:
    """When many kits with one rule's fault are a mass event."""

    rule: str
    enabled: bool
    least: int
    share: float
    window_s: float
    revision: int


async def read(connection: Connection, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of one of the lists in `desk.sql`."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        # Not prepared: optional filters are planned for the values at hand.
        await cursor.execute(_SQL[query], values, prepare=False)
        return await cursor.fetchall()


async def incident_exists(connection: Connection, incident_id: int) -> bool:
    """Whether there is such an incident."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["incident_exists"], {"id": incident_id})
        return bool(await cursor.fetchone())


async def incidents_of_kit(connection: Connection, kit: str) -> list[dict[str, Any]]:
    """The mass events that a kit is part of now: number, rule, cohort, since when."""
    return await read(connection, "of_kit", {"kit": kit})


async def list_settings(connection: Connection, *, after: str, limit: int) -> list[IncidentSettings]:
    """The settings by rule."""
    return await _settings(connection, "list_settings", {"after": after, "limit": limit})


async def find_settings(connection: Connection, rule: str) -> IncidentSettings:
    """Those of one rule; raises NotFoundError."""
    found = await _settings(connection, "find_settings", {"rule": rule})
    if not found:
        raise NotFoundError("rule", rule)
    return found[0]


async def edit_settings(
    connection: Connection, rule: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> IncidentSettings | Outdated:
    """Change those of one rule; the worker goes by it from its next look on. Raises NotFoundError."""

    async def lock() -> IncidentSettings | None:
        found = await _settings(connection, "lock_settings", {"rule": rule})
        return found[0] if found else None

    async def write(before: IncidentSettings) -> None:
        names = ("enabled", "least", "share", "window_s")
        values = {name: changes.get(name, getattr(before, name)) for name in names}
        await connection.execute(_SQL["update_settings"], {**values, "rule": rule})

    return await editing.edit(
        connection,
        "rule",
        rule,
        lock=lock,
        write=write,
        read=lambda: find_settings(connection, rule),
        revisions=revisions,
    )


async def _settings(connection: Connection, query: str, values: Mapping[str, Any]) -> list[IncidentSettings]:
    async with connection.cursor(row_factory=class_row(IncidentSettings)) as cursor:
        await cursor.execute(_SQL[query], values)
        return await cursor.fetchall()
