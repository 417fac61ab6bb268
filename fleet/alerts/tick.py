"""One look of the worker: read, decide, write, in a few short transactions.

What was detected and what it opens commit together, so a worker that dies leaves either both or neither, and the
next one finds the rest as it stands in the database.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts import mass, read, silence
from fleet.alerts.actions import Action, LeaveIncident
from fleet.alerts.apply import Applied, apply
from fleet.alerts.evaluate import evaluate_drift
from fleet.alerts.mass import Mode, OpenIncidentRow, Wave
from fleet.alerts.read import Scan
from fleet.alerts.rules import Rule, RuleName
from fleet.alerts.silence import Listening

Connection = AsyncConnection[Any]
Rules = Mapping[RuleName, Rule]

BATCHES_PER_TICK = 5


@dataclass(slots=True)
class TickResult:
    """What one tick did. `evaluated` counts kits judged for drift, `held` silent kits left without an alert for
    now, `more` tells that a bound was reached and the next tick need not wait for anything new."""

    applied: Applied = field(default_factory=Applied)
    evaluated: int = 0
    held: int = 0
    mode: Mode = Mode.CALM
    hearing: bool = False
    more: bool = False
    duration_s: float = 0.0

    @property
    def did_something(self) -> bool:
        """Whether there is anything to tell."""
        return self.applied.changed


async def tick(connection: Connection, now: datetime) -> TickResult:
    """Evaluate what changed since the last tick and what time has brought; `now` is the database's time."""
    began_s = time.perf_counter()
    result = TickResult()
    rules = await read.rules(connection)
    if RuleName.VERSION_DRIFT in rules:
        await _drift(connection, rules, now, result)
    if RuleName.SILENT in rules:
        async with connection.transaction():
            await _silence(connection, rules, now, result)
    result.duration_s = time.perf_counter() - began_s
    return result


async def _drift(connection: Connection, rules: Rules, now: datetime, result: TickResult) -> None:
    """Kits that changed, batch by batch, then those whose time has come."""
    for _ in range(BATCHES_PER_TICK):
        async with connection.transaction():
            kit_ids, result.more = await read.take_from_queue(connection)
            await _evaluate(connection, kit_ids, rules, now, result)
        if not result.more:
            break
    async with connection.transaction():
        kit_ids = await read.drift_kits_due(connection, rules[RuleName.VERSION_DRIFT], now)
        await _evaluate(connection, kit_ids, rules, now, result)


async def _evaluate(
    connection: Connection, kit_ids: list[int], rules: Rules, now: datetime, result: TickResult
) -> None:
    if not kit_ids:
        return
    rule = rules[RuleName.VERSION_DRIFT]
    facts = await read.drift_facts(connection, kit_ids)
    actions = [action for each in facts for action in evaluate_drift(each, rule, now)]
    result.evaluated += len(facts)
    result.applied.add(await apply(connection, actions, rules, now))


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at silence is based on; the rest of the tick works from these values."""

    rule: Rule
    clock: Listening
    incident: OpenIncidentRow | None
    scan: Scan
    wave: Wave
    mode: Mode
    now: datetime


async def _silence(connection: Connection, rules: Rules, now: datetime, result: TickResult) -> None:
    look = await _look(connection, rules[RuleName.SILENT], now)
    result.mode = look.mode
    result.hearing = look.clock.hears(now)
    actions = await _ended(connection, look)
    if result.hearing:
        placed, result.held = await _begun(connection, look)
        result.more |= look.scan.unplaced > len(placed) + result.held and result.held == 0
        actions += await _incident_begun(connection, look)
        actions += placed
        actions += await _released(connection, look)
    actions += _settled(look, actions)
    result.applied.add(await apply(connection, actions, rules, now))


async def _look(connection: Connection, rule: Rule, now: datetime) -> _Look:
    """The fleet is counted only when its size could decide about a mass event."""
    clock = await read.listening(connection)
    incident = await read.open_incident(connection)
    scan = await read.scan(connection, clock, rule, incident)
    recent = max(scan.recent, scan.densest)
    counts = incident is not None or recent + scan.due > mass.LEAST
    wave = Wave(await read.installed(connection) if counts else 0, recent, scan.due)
    return _Look(rule, clock, incident, scan, wave, mass.mode(wave, incident), now)


async def _ended(connection: Connection, look: _Look) -> list[Action]:
    """Alerts and memberships of kits that are no longer silent, or silent again."""
    actions: list[Action] = []
    kit_ids = [*look.scan.quiet, *look.scan.relapsed]
    if kit_ids:
        for alert in await read.alerts_of(connection, kit_ids, look.clock):
            actions += silence.judge_alert(alert, look.rule, look.now)
        for member in await read.members_of(connection, kit_ids, look.clock):
            actions += silence.judge_member(member, look.rule)
    return actions


async def _begun(connection: Connection, look: _Look) -> tuple[list[Action], int]:
    """What becomes of kits that turned silent, and how many of them wait."""
    if not look.scan.candidates:
        return [], 0
    candidates = await read.candidates(connection, look.scan.candidates, look.clock)
    return silence.place(candidates, look.mode, look.clock.clock_s, look.rule)


async def _incident_begun(connection: Connection, look: _Look) -> list[Action]:
    if look.mode is not Mode.MASS:
        return []
    alerts = await read.alerts_of_a_moment_ago(connection, look.clock, look.now)
    return silence.begin_incident(look.wave, look.clock.clock_s, alerts)


async def _released(connection: Connection, look: _Look) -> list[Action]:
    """Members of cleared incidents whose time is over; none while a mass event is on."""
    if look.mode in (Mode.MASS, Mode.ONGOING):
        return []
    released = await read.released_last_minute(connection, look.now)
    budget = mass.release_budget(released)
    if budget == 0:
        return []
    members = await read.releasable(connection, look.clock, budget)
    return silence.release(members, released, look.clock.clock_s)


def _settled(look: _Look, actions: list[Action]) -> list[Action]:
    """Whether the open incident ends; kits that have yet to join count as silent."""
    if look.incident is None:
        return []
    leaves = [action for action in actions if isinstance(action, LeaveIncident)]
    left = sum(leave.incident_id == look.incident.incident_id for leave in leaves)
    return mass.settle(
        look.incident,
        still_silent=look.scan.members - left + look.scan.unplaced,
        installed=look.wave.installed,
        rule=look.rule,
        clock_s=look.clock.clock_s,
        now=look.now,
    )
