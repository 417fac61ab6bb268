"""Reading one kit: its facts with their verdict, and its history. Lists of kits are in `listing`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row, scalar_row

from fleet.db.queries import load_queries
from fleet.errors import NotFoundError
from fleet.state.verdict import Facts, Verdict, verdict

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.state", "reading.sql")


@dataclass(frozen=True, slots=True)
class KitFacts:
    """One row of `kit_facts`: the books, the latest state and the booleans of the verdict."""

    kit_id: int
    kit: str
    label: str
    state: str
    state_since: datetime
    organisation: str | None
    owner: str | None
    organisation_id: int | None
    owner_id: int | None
    kit_type: str | None
    location: str | None
    location_name: str | None
    location_kind: str | None
    placement_id: int | None
    expected_interval_s: int
    tolerance: float | None
    wanted_components: dict[str, str]
    revision: int
    last_heard_at: datetime | None
    watch_allowance_s: float | None
    boot: str | None
    seq: int | None
    time: datetime | None
    received_at: datetime | None
    battery: float | None
    charging: bool | None
    signal_dbm: int | None
    network: str | None
    operator: str | None
    storage_free_mb: float | None
    uptime_s: float | None
    clock_offset_s: float | None
    online: bool | None
    connection_at: datetime | None
    software: dict[str, str] | None
    software_at: datetime | None
    peripherals: list[dict[str, Any]] | None
    peripherals_at: datetime | None
    heard: bool
    silent: bool
    drifted: bool
    pairing_lost: bool
    battery_low: bool
    storage_low: bool
    clock_skewed: bool

    def verdict(self) -> Verdict:
        """The judgement of these facts."""
        names = Facts.__dataclass_fields__
        return verdict(Facts(**{name: getattr(self, name) for name in names}))


async def get_kit(connection: Connection, kit: str) -> KitFacts:
    """The facts of one kit; raises NotFoundError."""
    async with connection.cursor(row_factory=class_row(KitFacts)) as cursor:
        await cursor.execute(_SQL["facts_of_kit"], {"kit": kit})
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("kit", kit)
    return row


async def kit_number(connection: Connection, kit: str) -> int:
    """The number under which a kit's history stands; raises NotFoundError."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["kit_id"], {"kit": kit})
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("kit", kit)
    return int(row)


async def heartbeats(connection: Connection, kit: str, **values: Any) -> list[dict[str, Any]]:
    """Heartbeats of a kit between `start` and `end`, newest first, after `after_time/boot/seq`."""
    kit_id = await kit_number(connection, kit)
    return await _rows(connection, "heartbeats", {"kit_id": kit_id, **values})


async def changes(connection: Connection, kit: str, **values: Any) -> list[dict[str, Any]]:
    """What the kit reported to have changed and what people entered, newest first."""
    kit_id = await kit_number(connection, kit)
    return await _rows(connection, "changes", {"kit_id": kit_id, **values})


async def _rows(connection: Connection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        # Not prepared: optional filters are planned for the values at hand.
        await cursor.execute(_SQL[query], values, prepare=False)
        return await cursor.fetchall()
