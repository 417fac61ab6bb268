"""Silence: who gets an alert, who joins an incident, who is proven to be back. Pure functions.

Who is silent is a subtraction on the listening clock (`is_silent` in the database); here is what follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fleet.alerts import mass
from fleet.alerts.actions import (
    Action,
    ClearAlert,
    Evidence,
    JoinIncident,
    LeaveIncident,
    OpenAlert,
    RefreshEvidence,
    SetRecovering,
)
from fleet.alerts.cohorts import Cohort, Traits, cohort_of
from fleet.alerts.judging.facts import Standing
from fleet.alerts.mass import OpenIncidentRow, Opening, Settings, Wave
from fleet.alerts.rules import Outcome, Resolution, Rule, RuleName, has_held

LISTENING_STALE_S = 5.0
"""A listening clock not written for this long says nothing about now."""
ALIKE: Mapping[int, Rule] = {}
"""No kit has a rule of its own."""
OPENED_PER_TICK = 2_000
"""Alerts of a tick; more wait for the next, so that a tick stays short."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The listening clock as ingest last wrote it."""

    clock_s: float
    state: str
    resumed_clock_s: float
    grace_from_clock_s: float
    updated_at: datetime

    def hears(self, now: datetime) -> bool:
        """Whether somebody listens now; otherwise nothing may turn silent."""
        return self.state == "listening" and (now - self.updated_at).total_seconds() <= LISTENING_STALE_S


@dataclass(frozen=True, slots=True)
class Candidate:
    """A silent kit with neither alert nor membership; clock values are the listening clock's."""

    kit_id: int
    heard_clock_s: float
    allowance_s: float
    deadline_clock_s: float
    last_heard_at: datetime | None
    cohorts: Sequence[str] = field(default=(), kw_only=True)
    interval_s: float = field(default=0.0, kw_only=True)
    rule_set: int = field(default=0, kw_only=True)

    @property
    def traits(self) -> Traits:
        """What it has in common with others, where that was asked for."""
        return frozenset(map(cohort_of, self.cohorts))


@dataclass(frozen=True, slots=True)
class Releasable(Candidate):
    """A member of a cleared incident that is silent still."""

    incident_id: int
    cleared_clock_s: float


@dataclass(frozen=True, slots=True)
class SilentAlert:
    """An active alert beside what is known of its kit now; `allowance_s` is None when it is not watched."""

    alert_id: int
    kit_id: int
    recovering_since: datetime | None
    evidence: Evidence
    heard_clock_s: float | None
    allowance_s: float | None
    silent: bool
    rule_set: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an incident as it joined, beside what is known of it now (`…_now`)."""

    kit_id: int
    incident_id: int
    heard_clock_s: float
    allowance_s: float
    heard_clock_s_now: float | None
    allowance_s_now: float | None
    silent: bool
    rule_set: int = 0


def evidence_of(candidate: Candidate, clock_s: float) -> dict[str, object]:
    """Why a kit is called silent, in numbers of the listening clock."""
    heard_at = candidate.last_heard_at
    return {
        "clock_s": clock_s,
        "heard_clock_s": candidate.heard_clock_s,
        "deadline_clock_s": candidate.deadline_clock_s,
        "allowance_s": candidate.allowance_s,
        "last_heard_at": None if heard_at is None else heard_at.isoformat(),
    }


def place(
    candidates: Sequence[Candidate],
    waves: Sequence[Wave],
    incidents: Sequence[OpenIncidentRow],
    settings: Settings,
    *,
    clock_s: float,
    rule: Rule,
    varied: Mapping[int, Rule] = ALIKE,
) -> tuple[list[Action], int]:
    """Where each newly silent kit belongs: in an incident, in an alert of its own, or nowhere yet.

    Opens a bounded number of alerts, the longest silent first; returns how many kits are held back as well. `varied` is
    the rule for kits with a set of variants.
    """
    openings = [
        Opening(c.kit_id, c.deadline_clock_s, c.traits, mass.wait_s(c.interval_s, settings)) for c in candidates
    ]
    placed = mass.place(openings, waves, incidents, settings, clock_s=clock_s)
    actions: list[Action] = [
        JoinIncident(c.kit_id, RuleName.SILENT, placed.joins[c.kit_id], c.heard_clock_s, c.allowance_s)
        for c in candidates
        if c.kit_id in placed.joins
    ]
    alone = frozenset(placed.alone)
    ready = [
        (c, own)
        for c in candidates
        if c.kit_id in alone and clock_s - c.deadline_clock_s >= (own := varied.get(c.rule_set, rule)).for_s
    ]
    held = len(candidates) - len(actions) - len(ready)
    actions += [_opening(c.kit_id, evidence_of(c, clock_s), own) for c, own in ready[:OPENED_PER_TICK]]
    return actions, held


def regrade(standing: Standing, rule: Rule) -> list[Action]:
    """What a change of the settings makes of an alert that stands."""
    if standing.alert_id is None or standing.evidence is None or not rule.enabled or standing.version == rule.version:
        return []
    return [RefreshEvidence(standing.alert_id, standing.evidence, rule.severity, rule.version)]


def _opening(kit_id: int, evidence: Evidence, rule: Rule) -> OpenAlert:
    return OpenAlert(kit_id, RuleName.SILENT, evidence, rule.severity, rule.version, line=rule.line)


def merge(alerts: Sequence[SilentAlert], cohort: Cohort) -> list[Action]:
    """Take over what kits of a mass event opened on their own a moment ago, while the wave was still invisible."""
    actions: list[Action] = []
    for alert in alerts:
        if alert.silent and alert.heard_clock_s is not None and alert.allowance_s is not None:
            actions.append(ClearAlert(alert.alert_id, Resolution.MERGED, (RuleName.SILENT, cohort)))
            actions.append(JoinIncident(alert.kit_id, RuleName.SILENT, cohort, alert.heard_clock_s, alert.allowance_s))
    return actions


def judge_alert(alert: SilentAlert, rule: Rule, now: datetime) -> list[Action]:
    """Whether an active alert clears: by proof, or because silence is no fault of this kit any more."""
    moot = _why_moot(alert, rule)
    if moot is not None:
        return [ClearAlert(alert.alert_id, moot)]
    if alert.silent:
        return [] if alert.recovering_since is None else [SetRecovering(alert.alert_id, None)]
    if not _heard_since(alert.evidence["heard_clock_s"], alert.heard_clock_s):
        return []
    since = alert.recovering_since or now
    if has_held(since, now, rule.keep_firing_for_s):
        return [ClearAlert(alert.alert_id, Resolution.PROOF)]
    return [SetRecovering(alert.alert_id, since)] if alert.recovering_since is None else []


def _why_moot(alert: SilentAlert, rule: Rule) -> Resolution | None:
    """Why nobody need hear the kit any more, if so. That a grace of ours makes it not silent is no reason."""
    if not rule.enabled:
        return Resolution.RULE_DISABLED
    if alert.allowance_s is None:
        return Resolution.NOT_WATCHED
    heard = _heard_since(alert.evidence["heard_clock_s"], alert.heard_clock_s)
    if not alert.silent and not heard and alert.allowance_s > alert.evidence["allowance_s"]:
        return Resolution.EXPECTATION_CHANGED
    return None


def judge_member(member: Member, rule: Rule) -> list[Action]:
    """Whether a kit leaves its incident: it was heard, or silence is no fault of it any more."""
    if not rule.enabled or member.allowance_s_now is None:
        return [LeaveIncident(member.incident_id, member.kit_id, Outcome.NOT_WATCHED)]
    if member.silent:
        return []
    if _heard_since(member.heard_clock_s, member.heard_clock_s_now):
        return [LeaveIncident(member.incident_id, member.kit_id, Outcome.RETURNED)]
    if member.allowance_s_now > member.allowance_s:
        return [LeaveIncident(member.incident_id, member.kit_id, Outcome.NOT_WATCHED)]
    return []


def release(
    members: Sequence[Releasable], budget: int, clock_s: float, rule: Rule, varied: Mapping[int, Rule] = ALIKE
) -> list[Action]:
    """Give members that stayed silent alerts of their own, `budget` of them at most."""
    ready = [m for m in members if mass.is_releasable(clock_s, m.cleared_clock_s, m.interval_s)]
    actions: list[Action] = []
    for member in ready[:budget]:
        evidence = {**evidence_of(member, clock_s), "incident": member.incident_id}
        actions.append(LeaveIncident(member.incident_id, member.kit_id, Outcome.RELEASED))
        actions.append(_opening(member.kit_id, evidence, varied.get(member.rule_set, rule)))
    return actions


def _heard_since(heard_clock_s: float, heard_clock_s_now: float | None) -> bool:
    return heard_clock_s_now is not None and heard_clock_s_now > heard_clock_s
