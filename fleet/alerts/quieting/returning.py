"""What comes off maintenance is asked what it has in common, before it is heard: many that stay broken are one fault.

Silence is asked where silent kits are looked for. Of every other rule, alerts whose maintenance is over are openings
once more, as if they came to it now: they join a mass event that is on, begin one, wait while a wave builds, or are
alone and heard one after the other. They are asked for as long as a wave takes to be seen, and no longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fleet.alerts import read
from fleet.alerts.actions import Action, Evidence, HoldPending, OpenAlert
from fleet.alerts.apply import apply
from fleet.alerts.mass import DEFAULT
from fleet.alerts.massevents import gathering, reading
from fleet.alerts.massevents import store as incidents
from fleet.alerts.quieting import store
from fleet.alerts.quieting.suppress import Opening, suppressor
from fleet.alerts.rules import RuleName

Connection = AsyncConnection[Any]
Own = Mapping[tuple[int, RuleName], int]
"""Alerts by kit and rule."""

ASKED_FOR = timedelta(seconds=DEFAULT.window_s)
MOST = 20_000
"""Alerts that are asked in one tick; more than a mass event needs to be seen."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A suppressed alert that holds, and whose maintenance is over."""

    alert_id: int
    kit_id: int
    rule: str
    severity: str
    evidence: Evidence
    version: int | None


async def gather(connection: Connection, now: datetime) -> set[int]:
    """Put what belongs to mass events there; returns alerts that wait, since they may be the first of many.

    Asks nothing while no maintenance ended lately, or of fewer alerts than make a mass event.
    """
    returned = await _returned(connection, now)
    if not returned:
        return set()
    own: Own = {(each.kit_id, RuleName(each.rule)): each.alert_id for each in returned}
    openings = [
        OpenAlert(each.kit_id, RuleName(each.rule), each.evidence, each.severity, each.version) for each in returned
    ]
    rules = await read.rules(connection)
    clock = await read.clock(connection, now)
    gathered = await gathering.gather(connection, openings, rules, clock.clock_s, now)
    await _join(connection, gathered, own, now)
    return {own[a.kit_id, a.rule] for a in gathered if isinstance(a, HoldPending) and (a.kit_id, a.rule) in own}


async def _returned(connection: Connection, now: datetime) -> list[Returned]:
    """Those that nothing else keeps quiet, of rules of which there are enough."""
    values = {"now": now, "after": now - ASKED_FOR, "limit": MOST}
    async with connection.cursor(row_factory=class_row(Returned)) as cursor:
        await cursor.execute(store.SQL["returned"], values)
        found = await cursor.fetchall()
    if not found:
        return []
    settings = await reading.settings(connection)
    by_rule: dict[str, list[Returned]] = {}
    for each in await _unsuppressed(connection, found, now):
        by_rule.setdefault(each.rule, []).append(each)
    enough = {rule: some for rule, some in by_rule.items() if len(some) > settings.get(RuleName(rule), DEFAULT).least}
    return [each for some in enough.values() for each in some]


async def _unsuppressed(connection: Connection, found: Sequence[Returned], now: datetime) -> list[Returned]:
    covers, shelves = await store.standing(connection, (each.kit_id for each in found), now)
    return [
        each
        for each in found
        if suppressor(
            Opening(each.kit_id, each.rule, each.severity),
            covers.get(each.kit_id, ()),
            shelves.get(each.kit_id, ()),
            now,
        )
        is None
    ]


async def _join(connection: Connection, gathered: Sequence[Action], own: Own, now: datetime) -> None:
    """Carry out what the mass events take over; their own alerts stand already and say by what from now on."""
    joining = {
        own[a.kit_id, a.rule]: (a.rule, a.cohort)
        for a in gathered
        if isinstance(a, OpenAlert) and a.cohort is not None and (a.kit_id, a.rule) in own
    }
    if not joining:
        return
    others = [a for a in gathered if not (isinstance(a, OpenAlert | HoldPending) and (a.kit_id, a.rule) in own)]
    await apply(connection, others, await read.rules(connection), now)
    ids = await incidents.open_ids(connection)
    await store.rename(connection, {alert: f"incident:{ids[cause]}" for alert, cause in joining.items()})
