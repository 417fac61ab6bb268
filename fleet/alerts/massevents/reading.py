"""What silence and mass events are decided from, read from the database: bounded lists and counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from fleet.alerts import mass
from fleet.alerts.mass import OpenIncidentRow
from fleet.alerts.rules import Rule
from fleet.alerts.silence import Candidate, Listening, Member, Releasable, SilentAlert
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]
Row = TypeVar("Row")

QUERIES = load_queries("fleet.alerts.massevents", "reading.sql")
CANDIDATES_PER_TICK = 10_000
QUIET_PER_TICK = 10_000
"""Kits whose alert or membership may end, looked at in one tick."""
NEVER_CLOCK_S = float("-inf")


@dataclass(frozen=True, slots=True)
class Scan:
    """One look over the fleet.

    `recent` and `due` count kits, and `densest` the most `unplaced` ones that turned silent within any one window; it
    is 0 unless some did so before the present window, unseen by any worker. `candidates` are unplaced kits, the
    longest silent first; `quiet` are placed kits that are not silent now; `relapsed` are silent again while their
    alert recovers; `members` counts those of the open incident.
    """

    recent: int
    due: int
    unplaced: int
    densest: int
    members: int
    candidates: list[int]
    quiet: list[int]
    relapsed: list[int]


async def listening(connection: Connection) -> Listening:
    """The listening clock."""
    (row,) = await _rows(connection, Listening, "listening", {})
    return row


async def open_incident(connection: Connection) -> OpenIncidentRow | None:
    """The mass event that is on."""
    rows = await _rows(connection, OpenIncidentRow, "open_incident", {})
    return rows[0] if rows else None


async def scan(connection: Connection, clock: Listening, rule: Rule, incident: OpenIncidentRow | None) -> Scan:
    """Look over the whole fleet in one pass; to a disabled rule nobody is silent."""
    values = {
        **_clock(clock),
        "overdue_intervals": mass.OVERDUE_INTERVALS,
        "overdue_slack_s": mass.OVERDUE_SLACK_S,
        "window_s": mass.WINDOW_S,
        "least": mass.LEAST,
        "limit": CANDIDATES_PER_TICK,
        "quiet_limit": QUIET_PER_TICK,
        "incident_id": None if incident is None else incident.incident_id,
    }
    if not rule.enabled:
        values["clock_s"] = NEVER_CLOCK_S
    await connection.execute(QUERIES["plan_scan"], {"nestloop": "off"})
    (row,) = await _rows(connection, Scan, "scan", values)
    await connection.execute(QUERIES["plan_scan"], {"nestloop": "on"})
    return row


async def installed(connection: Connection) -> int:
    """How many kits are watched."""
    (count,) = await _scalars(connection, "installed", {})
    return int(count)


async def candidates(connection: Connection, kit_ids: list[int], clock: Listening) -> list[Candidate]:
    """Those of the kits that are silent still, the longest silent first."""
    return await _rows(connection, Candidate, "candidates", {**_clock(clock), "kit_ids": kit_ids})


async def alerts_of(connection: Connection, kit_ids: list[int], clock: Listening) -> list[SilentAlert]:
    """The active `silent` alerts of the kits."""
    return await _rows(connection, SilentAlert, "alerts_of_kits", {**_clock(clock), "kit_ids": kit_ids})


async def alerts_of_a_moment_ago(connection: Connection, clock: Listening, now: datetime) -> list[SilentAlert]:
    """The active `silent` alerts of kits that turned silent, or were reported, within the window."""
    after = now - timedelta(seconds=mass.WINDOW_S)
    values = {**_clock(clock), "opened_after": after, "window_s": mass.WINDOW_S}
    return await _rows(connection, SilentAlert, "alerts_of_a_moment_ago", values)


async def members_of(connection: Connection, kit_ids: list[int], clock: Listening) -> list[Member]:
    """The present memberships of the kits."""
    return await _rows(connection, Member, "members_of_kits", {**_clock(clock), "kit_ids": kit_ids})


async def released_last_minute(connection: Connection, now: datetime) -> int:
    """How many members of cleared incidents were released within the last minute."""
    (count,) = await _scalars(connection, "released_lately", {"after": now - timedelta(minutes=1)})
    return int(count)


async def releasable(connection: Connection, clock: Listening, limit: int) -> list[Releasable]:
    """Members of cleared incidents that are silent still and have had their time."""
    values = {**_clock(clock), "longest_grace_s": mass.LONGEST_GRACE_S, "limit": limit}
    return await _rows(connection, Releasable, "releasable", values)


def _clock(clock: Listening) -> dict[str, Any]:
    names = ("clock_s", "resumed_clock_s", "grace_from_clock_s")
    return {name: value for name, value in asdict(clock).items() if name in names}


async def _rows(connection: Connection, kind: type[Row], query: str, values: Mapping[str, Any]) -> list[Row]:
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(QUERIES[query], values)
        return await cursor.fetchall()


async def _scalars(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(QUERIES[query], values)
        return await cursor.fetchall()
