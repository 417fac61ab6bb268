"""What silence and mass events are decided from, read from the database: bounded lists and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row, scalar_row

from fleet.alerts import mass
from fleet.alerts.cohorts import Cohort, cohort_of
from fleet.alerts.mass import OpenIncidentRow, Settings
from fleet.alerts.rules import RuleName
from fleet.alerts.silence import Candidate, Listening, Member, Releasable, SilentAlert
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]
Row = TypeVar("Row")

QUERIES = load_queries("fleet.alerts.massevents", "reading.sql")
CANDIDATES_PER_TICK = 2_500
"""Newly silent kits looked at in one tick: so many of the longest silent and as many of the latest."""
QUIET_PER_TICK = 5_000
"""Kits whose alert or membership may end, looked at in one tick."""
MERGED_PER_TICK = 2_000
SAMPLE = 4_000
"""Kits from which it is told what a wave has in common; of more a sample of about this size."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One look over the fleet.

    `unplaced` counts silent kits with neither alert nor membership, `candidates` are some of them. The sample tells
    what may be a wave: kits, how many half windows ago each turned silent, which are only about to, and each one's own
    window; each stands for `stride` kits. It is empty when there are too few for a mass event. `quiet` are placed kits
    that are not silent now; `relapsed` are silent again while their alert recovers.
    """

    unplaced: int
    stride: int
    sample_kits: list[int]
    sample_halves: list[int]
    sample_coming: list[bool]
    sample_windows_s: list[float]
    candidates: list[int]
    quiet: list[int]
    relapsed: list[int]


async def listening(connection: Connection) -> Listening:
    """The listening clock."""
    (row,) = await _rows(connection, Listening, "listening", {})
    return row


async def open_incidents(connection: Connection, rules: Sequence[RuleName]) -> list[OpenIncidentRow]:
    """The mass events of these rules that are on."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(QUERIES["open_incidents"], {"rules": list(rules)})
        rows = await cursor.fetchall()
    return [
        OpenIncidentRow(**{**row, "rule": RuleName(row["rule"]), "cohort": cohort_of(row["cohort"])}) for row in rows
    ]


async def present_members(connection: Connection, incidents: Sequence[OpenIncidentRow]) -> dict[int, int]:
    """How many kits each incident has now."""
    cursor = await connection.execute(
        QUERIES["present_members"], {"incident_ids": [each.incident_id for each in incidents]}
    )
    return dict(await cursor.fetchall())


async def settings(connection: Connection) -> dict[str, Settings]:
    """When many are a mass event, by rule."""
    cursor = await connection.execute(QUERIES["settings"])
    return {row[0]: Settings(*row[1:]) for row in await cursor.fetchall()}


async def scan(
    connection: Connection, clock: Listening, enabled: Sequence[bool], given: Settings, now: datetime
) -> Scan:
    """Look over the whole fleet in one pass; `enabled` tells by set of variants for whom the rule is on at all."""
    values = {
        **_clock(clock),
        "now": now,
        "overdue_intervals": mass.OVERDUE_INTERVALS,
        "overdue_slack_s": mass.OVERDUE_SLACK_S,
        "long_interval_s": mass.LONG_INTERVAL_S,
        "long_overdue_intervals": mass.LONG_OVERDUE_INTERVALS,
        "long_wait_windows": mass.LONG_WAIT_WINDOWS,
        **_window(given),
        "least": given.least,
        "sample": SAMPLE,
        "limit": CANDIDATES_PER_TICK,
        "quiet_limit": QUIET_PER_TICK,
        "enabled": list(enabled),
    }
    await connection.execute(QUERIES["plan_scan"], {"nestloop": "off"})
    (row,) = await _rows(connection, Scan, "scan", values)
    await connection.execute(QUERIES["plan_scan"], {"nestloop": "on"})
    return row


async def installed(connection: Connection) -> int:
    """How many kits are watched."""
    (count,) = await _scalars(connection, "installed", {})
    return int(count)


async def candidates(
    connection: Connection, kit_ids: list[int], clock: Listening, *, with_cohorts: bool
) -> list[Candidate]:
    """Those of the kits that are silent still, the longest silent first."""
    values = {**_clock(clock), "kit_ids": kit_ids, "with_cohorts": with_cohorts}
    return await _rows(connection, Candidate, "candidates", values)


async def alerts_of(connection: Connection, kit_ids: list[int], clock: Listening) -> list[SilentAlert]:
    """The active `silent` alerts of the kits."""
    return await _rows(connection, SilentAlert, "alerts_of_kits", {**_clock(clock), "kit_ids": kit_ids})


async def alerts_of_a_moment_ago(
    connection: Connection,
    clock: Listening,
    cohort: Cohort,
    given: Settings,
    opened_before: datetime,
    *,
    now: datetime,
) -> list[SilentAlert]:
    """Active `silent` alerts of silent kits of the cohort that opened within their window before that time, or in
    maintenance that is over; a bounded number."""
    values = {
        **_clock(clock),
        "now": now,
        "cohort": str(cohort),
        **_window(given),
        "opened_before": opened_before,
        "limit": MERGED_PER_TICK,
    }
    return await _rows(connection, SilentAlert, "alerts_of_a_moment_ago", values)


async def members_of(connection: Connection, kit_ids: list[int], clock: Listening) -> list[Member]:
    """The present memberships of the kits."""
    return await _rows(connection, Member, "members_of_kits", {**_clock(clock), "kit_ids": kit_ids})


async def release_budgets(connection: Connection, rules: Sequence[RuleName], now: datetime) -> dict[RuleName, int]:
    """How many members of cleared incidents may be released now, by rule; rules of which there are none are not in it.

    Each rule has its own: one that many are left of holds up no other.
    """
    values = {"rules": list(rules), "after": now - timedelta(minutes=1)}
    cursor = await connection.execute(QUERIES["releasing"], values)
    budgets = {
        RuleName(rule): mass.release_budget(int(left), int(lately)) for rule, left, lately in await cursor.fetchall()
    }
    return {rule: budget for rule, budget in budgets.items() if budget > 0}


async def releasable(connection: Connection, clock: Listening, busy: Sequence[Cohort], limit: int) -> list[Releasable]:
    """Members of cleared incidents that are silent still and have had their time, outside of the `busy` cohorts."""
    values = {
        **_clock(clock),
        "longest_grace_s": mass.LONGEST_GRACE_S,
        "busy": [str(cohort) for cohort in busy],
        "limit": limit,
    }
    return await _rows(connection, Releasable, "releasable", values)


def _window(given: Settings) -> dict[str, float]:
    """How `window_s()` is told to the database."""
    return {
        "window_s": given.window_s,
        "window_of_interval": mass.WINDOW_OF_INTERVAL,
        "longest_window_s": mass.LONGEST_WINDOW_S,
    }


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
