"""Silence in a tick: look over the fleet, decide what it is, write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts import mass, silence
from fleet.alerts.actions import Action, LeaveIncident
from fleet.alerts.apply import apply
from fleet.alerts.mass import Mode, OpenIncidentRow, Wave
from fleet.alerts.massevents import reading
from fleet.alerts.massevents.reading import Scan
from fleet.alerts.result import TickResult
from fleet.alerts.rules import Rule, RuleName
from fleet.alerts.silence import Listening

Connection = AsyncConnection[Any]
Rules = Mapping[RuleName, Rule]


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


async def look(connection: Connection, rules: Rules, now: datetime, result: TickResult) -> None:
    """Look over the fleet once; inside the caller's transaction."""
    seen = await _look(connection, rules[RuleName.SILENT], now)
    result.mode = seen.mode
    result.hearing = seen.clock.hears(now)
    actions = await _ended(connection, seen)
    if result.hearing:
        placed, result.held = await _begun(connection, seen)
        result.more |= seen.scan.unplaced > len(placed) + result.held and result.held == 0
        actions += await _incident_begun(connection, seen)
        actions += placed
        actions += await _released(connection, seen)
    actions += _settled(seen, actions)
    result.applied.add(await apply(connection, actions, rules, now))


async def _look(connection: Connection, rule: Rule, now: datetime) -> _Look:
    """The fleet is counted only when its size could decide about a mass event."""
    clock = await reading.listening(connection)
    incident = await reading.open_incident(connection)
    scan = await reading.scan(connection, clock, rule, incident)
    recent = max(scan.recent, scan.densest)
    counts = incident is not None or recent + scan.due > mass.LEAST
    wave = Wave(await reading.installed(connection) if counts else 0, recent, scan.due)
    return _Look(rule, clock, incident, scan, wave, mass.mode(wave, incident), now)


async def _ended(connection: Connection, look: _Look) -> list[Action]:
    """Alerts and memberships of kits that are no longer silent, or silent again."""
    actions: list[Action] = []
    kit_ids = [*look.scan.quiet, *look.scan.relapsed]
    if kit_ids:
        for alert in await reading.alerts_of(connection, kit_ids, look.clock):
            actions += silence.judge_alert(alert, look.rule, look.now)
        for member in await reading.members_of(connection, kit_ids, look.clock):
            actions += silence.judge_member(member, look.rule)
    return actions


async def _begun(connection: Connection, look: _Look) -> tuple[list[Action], int]:
    """What becomes of kits that turned silent, and how many of them wait."""
    if not look.scan.candidates:
        return [], 0
    candidates = await reading.candidates(connection, look.scan.candidates, look.clock)
    return silence.place(candidates, look.mode, look.clock.clock_s, look.rule)


async def _incident_begun(connection: Connection, look: _Look) -> list[Action]:
    if look.mode is not Mode.MASS:
        return []
    alerts = await reading.alerts_of_a_moment_ago(connection, look.clock, look.now)
    return silence.begin_incident(look.wave, look.clock.clock_s, alerts)


async def _released(connection: Connection, look: _Look) -> list[Action]:
    """Members of cleared incidents whose time is over; none while a mass event is on."""
    if look.mode in (Mode.MASS, Mode.ONGOING):
        return []
    released = await reading.released_last_minute(connection, look.now)
    budget = mass.release_budget(released)
    if budget == 0:
        return []
    members = await reading.releasable(connection, look.clock, budget)
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
