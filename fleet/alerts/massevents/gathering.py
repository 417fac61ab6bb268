"""Openings of every rule but silence, before they are written: what many kits of a cohort have at once is one case.

`gather` stands between judging and writing: it takes the actions of a batch of kits and gives them back with openings
turned into memberships of an incident, or held back while a wave builds. `review` is once a tick: it ends incidents and
releases who stayed broken. The evidence is what stands in the database (alerts of a moment ago, what is pending) with
the openings of the batch itself; clocks are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fleet.alerts import mass
from fleet.alerts.actions import (
    Action,
    ClearAlert,
    Evidence,
    HoldPending,
    JoinIncident,
    LeaveIncident,
    OpenAlert,
    OpenIncident,
)
from fleet.alerts.applied import Applied
from fleet.alerts.apply import apply
from fleet.alerts.cohorts import Cohort, Traits, cohort_of
from fleet.alerts.judging.catalogue import CATALOGUE, Source
from fleet.alerts.mass import DEFAULT, OpenIncidentRow, Opening, Settings, Wave
from fleet.alerts.massevents import counting, reading
from fleet.alerts.quieting import store as quieting
from fleet.alerts.quieting.suppress import Opening as Beginning
from fleet.alerts.quieting.suppress import suppressor
from fleet.alerts.requests.opening import open_for_alerts
from fleet.alerts.rules import Line, Outcome, Resolution, Rule, RuleName
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]
Rules = Mapping[RuleName, Rule]

QUERIES = load_queries("fleet.alerts.massevents", "gathering.sql")
NOT_TOLD: Mapping[tuple[int, RuleName], float] = {}
LOOKED_AT_AGAIN = timedelta(seconds=5)
"""How soon after it was held back an opening is judged again."""
RELEASED_AFTER = timedelta(minutes=15)
"""Who stays broken when an incident clears has this long to follow."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What may be a wave of one rule: a sample of kits, of each when it came to an alert, and which are yet to come."""

    evidence: int
    stride: int
    kits: list[int]
    halves: list[int]
    coming: list[bool]


@dataclass(frozen=True, slots=True)
class _Recent:
    """An alert that an incident may take over."""

    alert_id: int
    kit_id: int
    evidence: Evidence
    severity: str
    version: int | None
    line: str | None


@dataclass(frozen=True, slots=True)
class _Left:
    """A member of a cleared incident with its alert, which holds still."""

    incident_id: int
    kit_id: int
    alert_id: int
    rule: str
    severity: str
    suppressed_by: str


async def gather(
    connection: Connection,
    actions: Sequence[Action],
    rules: Rules,
    listening_clock_s: float,
    now: datetime,
    *,
    began_s: Mapping[tuple[int, RuleName], float] = NOT_TOLD,
) -> list[Action]:
    """The actions with what belongs to mass events put there; nothing is asked when nothing opens.

    An opening opens, joins an incident (suppressed by it), or waits as pending for the window at most. Kits in
    maintenance or on a shelf count for no wave. When kits came to what opens is told by what is pending, or by
    `began_s`. Call it before `apply`, in the same transaction.
    """
    opening: dict[RuleName, list[OpenAlert]] = {}
    for action in actions:
        if isinstance(action, OpenAlert):
            opening.setdefault(action.rule, []).append(action)
    if not opening:
        return list(actions)
    quiet = await _kept_quiet(connection, [each for some in opening.values() for each in some], rules, now)
    settings = await reading.settings(connection)
    gathered: list[Action] = [action for action in actions if not isinstance(action, OpenAlert)]
    for rule, some in opening.items():
        heard = [each for each in some if (each.kit_id, rule) not in quiet]
        gathered += [each for each in some if (each.kit_id, rule) in quiet]
        given = settings.get(rule, DEFAULT)
        step = _Step(connection, rules[rule], given, listening_clock_s, now, began_s=began_s)
        gathered += await step.place(heard) if step.settings.enabled and heard else heard
    return gathered


async def review(connection: Connection, rules: Rules, listening_clock_s: float, now: datetime) -> Applied:
    """End incidents of which few enough kits are left, and release who stayed broken of those that cleared."""
    names = [name for name in rules if name is not RuleName.SILENT]
    incidents = await reading.open_incidents(connection, names)
    actions: list[Action] = []
    if incidents:
        settings = await reading.settings(connection)
        members = await reading.present_members(connection, incidents)
        taken: set[int] = set()
        for each in incidents:
            still = members.get(each.incident_id, 0)
            given = settings.get(each.rule, DEFAULT)
            step = _Step(connection, rules[each.rule], given, listening_clock_s, now, taken)
            actions += mass.settle(
                each, still=still, settings=given, rule=step.rule, clock_s=listening_clock_s, now=now
            )
            actions += await step.merge(each.cohort, each.opened_at) if step.is_young(each) else []
    applied = await apply(connection, actions, rules, now) if actions else Applied()
    await _release(connection, names, rules, now, applied)
    return applied


@dataclass(frozen=True, slots=True)
class _Step:
    """Placing the openings of one rule; `taken` are the alerts that an incident took over already."""

    connection: Connection
    rule: Rule
    settings: Settings
    listening_clock_s: float
    now: datetime
    taken: set[int] = field(default_factory=set)
    began_s: Mapping[tuple[int, RuleName], float] = field(default_factory=dict)

    async def place(self, openings: Sequence[OpenAlert]) -> list[Action]:
        """What becomes of them, and the incidents that begin with them."""
        rule, now_s = self.rule.rule, self.now.timestamp()
        incidents = await reading.open_incidents(self.connection, [rule])
        waves = await self._waves([each.kit_id for each in openings], incidents)
        if not incidents and not waves:
            return list(openings)
        found = await self._openings(openings)
        placed = mass.place(found, waves, incidents, self.settings, clock_s=now_s)
        actions: list[Action] = []
        for wave in waves:
            if wave.stands:
                actions.append(OpenIncident(rule, wave.cohort, wave.size, self.listening_clock_s, wave.from_clock_s))
                actions += await self.merge(wave.cohort, self.now)
        for each in openings:
            actions += self._placed(each, placed)
        return actions

    def is_young(self, incident: OpenIncidentRow) -> bool:
        """Whether it still takes over what its kits opened before it."""
        return self.now - incident.opened_at <= timedelta(seconds=self.settings.window_s)

    async def merge(self, cohort: Cohort, opened_at: datetime) -> list[Action]:
        """Take over what kits of the cohort opened on their own a moment before; their requests end."""
        values = {
            "rule": self.rule.rule,
            "cohort": str(cohort),
            "after": opened_at - timedelta(seconds=self.settings.window_s),
            "before": opened_at,
            "now": self.now,
            "limit": reading.MERGED_PER_TICK,
        }
        async with self.connection.cursor(row_factory=class_row(_Recent)) as cursor:
            await cursor.execute(QUERIES["recent_alerts"], values)
            recent = await cursor.fetchall()
        rule = self.rule.rule
        actions: list[Action] = []
        fresh = [each for each in recent if each.alert_id not in self.taken]
        self.taken.update(each.alert_id for each in fresh)
        for each in fresh:
            actions.append(ClearAlert(each.alert_id, Resolution.MERGED, (rule, cohort)))
            line = None if each.line is None else Line(each.line)
            actions.append(OpenAlert(each.kit_id, rule, each.evidence, each.severity, each.version, cohort, line))
            actions.append(JoinIncident(each.kit_id, rule, cohort))
        return actions

    def _placed(self, opening: OpenAlert, placed: mass.Placement) -> list[Action]:
        if opening.kit_id in placed.joins:
            cohort = placed.joins[opening.kit_id]
            return [replace(opening, cohort=cohort), JoinIncident(opening.kit_id, opening.rule, cohort)]
        if opening.kit_id in placed.waits:
            again_at = self.now + LOOKED_AT_AGAIN
            return [HoldPending(opening.kit_id, opening.rule, self.now, opening.evidence, again_at)]
        return [opening]

    async def _waves(self, kits: Sequence[int], incidents: Sequence[OpenIncidentRow]) -> list[Wave]:
        values = {
            "rule": self.rule.rule,
            "opening": list(kits),
            "for_s": self.rule.for_s,
            "window_s": self.settings.window_s,
            "least": self.settings.least,
            "sample": reading.SAMPLE,
            "now": self.now,
        }
        async with self.connection.cursor(row_factory=class_row(_Evidence)) as cursor:
            await cursor.execute(QUERIES["evidence"], values)
            (found,) = await cursor.fetchall()
        clock_s = self.now.timestamp()
        seen = await counting.groups(self.connection, found.kits, found.halves, found.coming, found.stride)
        of_books = CATALOGUE[self.rule.rule].source is Source.BOOKS
        sizes = await counting.sizes_for(self.connection, seen, self.settings, self.now, everything=of_books)
        waves = mass.find_waves(seen, sizes.by_cohort, self.settings, clock_s=clock_s, incidents=incidents)
        uncounted = mass.uncounted(seen, sizes.by_cohort, self.settings, clock_s=clock_s) if sizes.pending else []
        return waves + uncounted

    async def _openings(self, openings: Sequence[OpenAlert]) -> list[Opening]:
        values = {
            "rule": self.rule.rule,
            "kit_ids": [each.kit_id for each in openings],
            "for_s": self.rule.for_s,
            "now": self.now,
        }
        cursor = await self.connection.execute(QUERIES["openings"], values)
        found = []
        for kit_id, began_s, cohorts in await cursor.fetchall():
            # What is long known and may open only now belongs to what opens now; it has only waited already.
            waited_s = began_s - self.began_s.get((kit_id, self.rule.rule), began_s)
            found.append(Opening(kit_id, began_s, _traits(cohorts), self.settings.window_s - waited_s))
        return found


def _traits(cohorts: Sequence[str]) -> Traits:
    return frozenset(map(cohort_of, cohorts))


async def _kept_quiet(
    connection: Connection, openings: Sequence[OpenAlert], rules: Rules, now: datetime
) -> set[tuple[int, RuleName]]:
    """Openings that something else keeps quiet."""
    kit_ids = sorted({each.kit_id for each in openings})
    covers = await quieting.covers(connection, kit_ids, now)
    shelves = await quieting.shelves(connection, kit_ids, now)
    if not covers and not shelves:
        return set()
    found: set[tuple[int, RuleName]] = set()
    for each in openings:
        beginning = Beginning(each.kit_id, each.rule, each.severity or rules[each.rule].severity)
        mine = [cover for cover in covers if cover.kit_id == each.kit_id]
        if suppressor(beginning, mine, [s for s in shelves if s.kit_id == each.kit_id], now) is not None:
            found.add((each.kit_id, each.rule))
    return found


async def _release(
    connection: Connection, names: Sequence[RuleName], rules: Rules, now: datetime, applied: Applied
) -> None:
    """Let the alerts of members be heard that hold still; what keeps them quiet otherwise says so from now on."""
    members: list[_Left] = []
    for rule, budget in (await reading.release_budgets(connection, names, now)).items():
        values = {"rules": [rule], "cleared_before": now - RELEASED_AFTER, "limit": budget}
        async with connection.cursor(row_factory=class_row(_Left)) as cursor:
            await cursor.execute(QUERIES["left"], values)
            members += await cursor.fetchall()
    if not members:
        return
    leaving = [LeaveIncident(each.incident_id, each.kit_id, Outcome.RELEASED) for each in members]
    applied.add(await apply(connection, leaving, rules, now))
    applied.requests_opened += await _hear(connection, members, now)


async def _hear(connection: Connection, members: Sequence[_Left], now: datetime) -> int:
    """Returns how many requests were opened."""
    kit_ids = [each.kit_id for each in members]
    covers = await quieting.covers(connection, kit_ids, now)
    shelves = await quieting.shelves(connection, kit_ids, now)
    renamed: dict[int, str] = {}
    for each in members:
        beginning = Beginning(each.kit_id, each.rule, each.severity)
        mine = [cover for cover in covers if cover.kit_id == each.kit_id]
        reason = suppressor(beginning, mine, [s for s in shelves if s.kit_id == each.kit_id], now)
        if reason is not None:
            renamed[each.alert_id] = reason.by
    if renamed:
        await quieting.rename(connection, renamed)
    reasons = {each.alert_id: each.suppressed_by for each in members if each.alert_id not in renamed}
    lifted = await quieting.lift(connection, list(reasons), now)
    requests = await open_for_alerts(connection, lifted, now)
    await quieting.tell_lifted(connection, reasons, lifted, now)
    return requests
