"""What the service desk reads: incidents and rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row, scalar_row

from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts", "desk.sql")


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
