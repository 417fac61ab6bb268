"""Silence in a tick: look over the fleet, decide what it is, write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts import mass, silence
from fleet.alerts.actions import Action, JoinIncident, LeaveIncident, OpenIncident
from fleet.alerts.apply import apply
from fleet.alerts.judging.settings import Settings as RuleSettings
from fleet.alerts.mass import DEFAULT, OpenIncidentRow, Settings, Wave
from fleet.alerts.massevents import counting, reading
from fleet.alerts.massevents.reading import Scan
from fleet.alerts.quieting.store import covers as covers_of
from fleet.alerts.result import TickResult
from fleet.alerts.rules import Rule, RuleName
from fleet.alerts.silence import Listening

Connection = AsyncConnection[Any]

MERGES_FOR = timedelta(minutes=5)
"""How long after it opened an incident still takes over what its kits opened before."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at silence is based on; the rest of the tick works from these values.

    `rule` is for all, `varied` for kits with a set of variants that name it.
    """

    rule: Rule
    varied: Mapping[int, Rule]
    settings: Settings
    clock: Listening
    incidents: Sequence[OpenIncidentRow]
    scan: Scan
    waves: Sequence[Wave]
    now: datetime

    @property
    def begins(self) -> list[Wave]:
        """Mass events that begin now."""
        return [wave for wave in self.waves if wave.stands]


async def look(connection: Connection, rules: RuleSettings, now: datetime, result: TickResult) -> None:
    """Look over the fleet once; inside the caller's transaction."""
    seen = await _look(connection, rules, now)
    result.mode = mass.mode(seen.waves, seen.incidents)
    result.hearing = seen.clock.hears(now)
    actions = await _ended(connection, seen)
    complete = True
    if result.hearing:
        placed, result.held = await _begun(connection, seen)
        complete = seen.scan.unplaced <= len(placed) + result.held
        result.more |= not complete
        actions += await _merged(connection, seen)
        actions += placed
        actions += await _released(connection, seen)
    if complete:
        actions += await _settled(connection, seen, actions)
    result.applied.add(await apply(connection, actions, rules.base, now))


async def _look(connection: Connection, rules: RuleSettings, now: datetime) -> _Look:
    """What kits have in common is asked only when there are enough of them for a mass event."""
    rule = rules.base[RuleName.SILENT]
    of_sets = {number: each[RuleName.SILENT] for number, each in rules.of.items()}
    varied = {number: each for number, each in of_sets.items() if each != rule}
    enabled = [of_sets.get(number, rule).enabled for number in range(max(varied, default=0) + 1)]
    clock = await reading.listening(connection)
    settings = (await reading.settings(connection)).get(rule.rule, DEFAULT)
    incidents = await reading.open_incidents(connection, [rule.rule])
    scan = await reading.scan(connection, clock, enabled, settings, now)
    seen = _Look(rule, varied, settings, clock, incidents, scan, [], now)
    return replace(seen, waves=await _waves(connection, seen)) if clock.hears(now) else seen


async def _waves(connection: Connection, look: _Look) -> list[Wave]:
    if not look.settings.enabled:
        return []
    scan, settings, clock_s = look.scan, look.settings, look.clock.clock_s
    seen = await counting.groups(
        connection,
        scan.sample_kits,
        scan.sample_halves,
        scan.sample_coming,
        scan.stride,
        windows_s=scan.sample_windows_s,
    )
    sizes = await counting.sizes_for(connection, seen, settings, look.now)
    waves = mass.find_waves(seen, sizes.by_cohort, settings, clock_s=clock_s, incidents=look.incidents)
    return waves + (mass.uncounted(seen, sizes.by_cohort, settings, clock_s=clock_s) if sizes.pending else [])


async def _ended(connection: Connection, look: _Look) -> list[Action]:
    """Alerts and memberships of kits that are no longer silent, or silent again."""
    actions: list[Action] = []
    kit_ids = [*look.scan.quiet, *look.scan.relapsed]
    if kit_ids:
        for alert in await reading.alerts_of(connection, kit_ids, look.clock):
            actions += silence.judge_alert(alert, look.varied.get(alert.rule_set, look.rule), look.now)
        for member in await reading.members_of(connection, kit_ids, look.clock):
            actions += silence.judge_member(member, look.varied.get(member.rule_set, look.rule))
    return actions


async def _begun(connection: Connection, look: _Look) -> tuple[list[Action], int]:
    """What becomes of kits that turned silent, and how many of them wait; a mass event begins with its first kits."""
    if not look.scan.candidates:
        return [], 0
    together = bool(look.waves or look.incidents)
    found = await reading.candidates(connection, look.scan.candidates, look.clock, with_cohorts=together)
    covers = await covers_of(connection, [each.kit_id for each in found], look.now) if together else []
    # What somebody works on belongs to no mass event: it opens by itself, suppressed.
    worked_on = {each.kit_id for each in covers if each.rules is None or look.rule.rule in each.rules}
    alone = [each for each in found if each.kit_id in worked_on]
    opened, waiting = silence.place(
        alone, [], [], look.settings, clock_s=look.clock.clock_s, rule=look.rule, varied=look.varied
    )
    rest = [each for each in found if each.kit_id not in worked_on]
    placed, held = silence.place(
        rest,
        look.waves,
        look.incidents,
        look.settings,
        clock_s=look.clock.clock_s,
        rule=look.rule,
        varied=look.varied,
    )
    return opened + placed, waiting + held


async def _merged(connection: Connection, look: _Look) -> list[Action]:
    """Mass events that begin, and what their kits opened on their own a moment ago."""
    clock_s = look.clock.clock_s
    actions: list[Action] = [
        OpenIncident(look.rule.rule, wave.cohort, wave.size, clock_s, wave.from_clock_s) for wave in look.begins
    ]
    young = [(i.cohort, i.opened_at) for i in look.incidents if look.now - i.opened_at <= MERGES_FOR]
    taken: set[int] = set()
    for cohort, opened_at in [*young, *((wave.cohort, look.now) for wave in look.begins)]:
        alerts = await reading.alerts_of_a_moment_ago(
            connection, look.clock, cohort, look.settings, opened_at, now=look.now
        )
        actions += silence.merge([each for each in alerts if each.alert_id not in taken], cohort)
        taken |= {each.alert_id for each in alerts}
    return actions


async def _released(connection: Connection, look: _Look) -> list[Action]:
    """Members of cleared incidents whose time is over; none whose cohort is in a mass event again."""
    budgets = await reading.release_budgets(connection, [look.rule.rule], look.now)
    budget = budgets.get(look.rule.rule, 0)
    if budget == 0:
        return []
    busy = [i.cohort for i in look.incidents] + [wave.cohort for wave in look.begins]
    members = await reading.releasable(connection, look.clock, busy, budget)
    return silence.release(members, budget, look.clock.clock_s, look.rule, look.varied)


async def _settled(connection: Connection, look: _Look, actions: Sequence[Action]) -> list[Action]:
    """Which open incidents end, all newly silent kits having been looked at."""
    if not look.incidents:
        return []
    members = await reading.present_members(connection, look.incidents)
    left = Counter(a.incident_id for a in actions if isinstance(a, LeaveIncident))
    joined = Counter(a.cohort for a in actions if isinstance(a, JoinIncident))
    settled: list[Action] = []
    for each in look.incidents:
        still = members.get(each.incident_id, 0) - left[each.incident_id] + joined[each.cohort]
        settled += mass.settle(
            each, still=still, settings=look.settings, rule=look.rule, clock_s=look.clock.clock_s, now=look.now
        )
    return settled
