"""What time changes about keeping quiet, looked at in every tick: windows begin and end, alerts are heard again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fleet.alerts.actions import Action, ClearAlert, JoinIncident
from fleet.alerts.apply import apply
from fleet.alerts.cohorts import cohort_of
from fleet.alerts.mass import release_budget
from fleet.alerts.quieting import returning, store
from fleet.alerts.quieting.recurrence import Occurrence, occurrences, parse
from fleet.alerts.quieting.store import Doubtful
from fleet.alerts.quieting.suppress import Opening, suppressor
from fleet.alerts.requests.holding import hold_alerts
from fleet.alerts.requests.opening import open_for_alerts, open_for_moved
from fleet.alerts.rules import Resolution, RuleName

Connection = AsyncConnection[Any]

WINDOWS_AT_ONCE = 500
MISSED_AT_ONCE = 50
"""Times of windows gone through in one tick after a worker was away."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When a window is on: its first time, how it recurs, and the time that is on or comes next.

    Times that began before `resumes_at` are left out.
    """

    window_id: int
    starts_at: datetime
    ends_at: datetime
    recurrence: str | None
    current_from: datetime | None
    current_to: datetime | None
    resumes_at: datetime | None


def next_time(plan: Plan, after: datetime) -> Occurrence | None:
    """The first time of a window that ends after a moment; None when all are over."""
    recurrence = None if plan.recurrence is None else parse(plan.recurrence)
    times = occurrences(plan.starts_at, plan.ends_at - plan.starts_at, recurrence, after=after)
    wanted = (each for each in times if plan.resumes_at is None or each.begins_at >= plan.resumes_at)
    return next(islice(wanted, 1), None)


async def turn_windows(connection: Connection, now: datetime) -> None:
    """Begin and end windows, also what was missed of them, in the caller's transaction."""
    for _ in range(MISSED_AT_ONCE):
        await connection.execute(store.SQL["sync_occurrences"])
        await connection.execute(store.SQL["begin_occurrences"], {"now": now})
        await connection.execute(store.SQL["end_occurrences"], {"now": now})
        if not await _advance(connection, now):
            break
    await store.end_shelves(connection, now)
    await store.judge_again(connection, now)
    await store.forget_occurrences(connection, now)


async def _advance(connection: Connection, now: datetime) -> int:
    """Move windows whose time is over on to the next; returns how many there were."""
    async with connection.cursor(row_factory=class_row(Plan)) as cursor:
        await cursor.execute(store.SQL["windows_over"], {"now": now, "limit": WINDOWS_AT_ONCE})
        plans = await cursor.fetchall()
    for plan in plans:
        assert plan.current_to is not None
        await set_time(connection, plan.window_id, next_time(plan, plan.current_to), plan.current_to)
    return len(plans)


async def set_time(connection: Connection, window_id: int, time: Occurrence | None, ended_at: datetime) -> None:
    """Note when a window is on next; without a time it ended at `ended_at`."""
    values = {
        "window_id": window_id,
        "current_from": None if time is None else time.begins_at,
        "current_to": None if time is None else time.ends_at,
        "ended_at": ended_at if time is None else None,
    }
    await connection.execute(store.SQL["set_time"], values)


async def lift(connection: Connection, now: datetime) -> int:
    """Let suppressed alerts be heard whose reason is gone while they hold, with their requests; returns how many
    requests were opened. What another reason keeps quiet says so.

    Many that stay broken after maintenance for what they have in common are a mass event; the others are heard
    gradually, as after one. What is of a mass event that is on by now joins that. What goes on at a kit that moved is
    heard where it is now.
    """
    waiting = await returning.gather(connection, now)
    moved = await open_for_moved(connection, now)
    found = await store.doubtful(connection, now)
    return moved + (await _lifted(connection, found, waiting, now) if found else 0)


async def _lifted(connection: Connection, found: Sequence[Doubtful], waiting: Collection[int], now: datetime) -> int:
    await hold_alerts(connection, [each.alert_id for each in found])
    reasons = await _reasons(connection, found, now)
    heard = [each for each in found if each.alert_id not in reasons and each.alert_id not in waiting]
    renamed = {
        each.alert_id: reasons[each.alert_id]
        for each in found
        if reasons.get(each.alert_id, each.suppressed_by) != each.suppressed_by
    }
    if renamed:
        await store.rename(connection, renamed)
    joined = await _join(connection, heard, now) if heard else set()
    heard = [each for each in heard if each.alert_id not in joined]
    return await _hear(connection, heard, now) if heard else 0


async def _join(connection: Connection, heard: Sequence[Doubtful], now: datetime) -> set[int]:
    """Make kits members of mass events that are on; a silent one's alert is taken over, another's says so."""
    found = await store.belonging(connection, [each.alert_id for each in heard])
    if not found:
        return set()
    actions: list[Action] = []
    for each in found:
        rule, cohort = RuleName(each.rule), cohort_of(each.cohort)
        silent = rule is RuleName.SILENT
        clock = (each.heard_clock_s, each.allowance_s) if silent else ()
        actions.append(JoinIncident(each.kit_id, rule, cohort, *clock))
        actions += [ClearAlert(each.alert_id, Resolution.MERGED, (rule, cohort))] if silent else []
    speaking = {each.alert_id: f"incident:{each.incident_id}" for each in found if each.rule != RuleName.SILENT}
    await apply(connection, actions, {}, now)
    if speaking:
        await store.rename(connection, speaking)
    return {each.alert_id for each in found}


async def _reasons(connection: Connection, found: Sequence[Doubtful], now: datetime) -> dict[int, str]:
    """What keeps alerts quiet now, by alert; those that nothing does are not in it."""
    covers, shelves = await store.standing(connection, (each.about for each in found), now)
    reasons = {}
    for each in found:
        opening = Opening(each.kit_id, each.rule, each.severity, each.subject)
        reason = suppressor(opening, covers.get(each.about, ()), shelves.get(each.about, ()), now)
        if reason is not None:
            reasons[each.alert_id] = reason.by
    return reasons


async def _hear(connection: Connection, heard: Sequence[Doubtful], now: datetime) -> int:
    maintained = [each for each in heard if each.suppressed_by.startswith("maintenance:")]
    budget = release_budget(heard[0].waiting, await store.heard_lately(connection, now)) if maintained else 0
    later = {each.alert_id for each in maintained[budget:]}
    reasons = {each.alert_id: each.suppressed_by for each in heard if each.alert_id not in later}
    lifted = await store.lift(connection, list(reasons), now)
    requests = await open_for_alerts(connection, lifted, now)
    await store.tell_lifted(connection, reasons, lifted, now)
    return requests
