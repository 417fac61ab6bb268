"""Findings become alerts: what stands of one rule against a kit, or a place, is one alert. Pure functions of values.

When very many kits get findings at once, it is one thing gone wrong (an import, a firmware that every device got) and
not as many cases: that is asked of these openings as of every other (`massevents/gathering.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.alerts.actions import (
    Action,
    ClearAlert,
    Evidence,
    OpenAlert,
    OpenSubjectAlert,
    RefreshEvidence,
    SetRecovering,
)
from fleet.alerts.rules import Resolution, Rule, RuleName, has_held
from fleet.state.findings.kinds import ABOUT, Kind, Severity, worst

STANDING = ("open", "acknowledged")
"""States of a finding that count; what was dismissed is right as it is."""


@dataclass(frozen=True, slots=True)
class BookFacts:
    """What stands of one rule, and does not fit its alert: `findings` (`id`, `kind`, `severity`), `since` the first.

    It is about a kit, or (`kit_id` is None) about a `subject`, a place or organisation. Of many findings the first are
    listed and all counted. `dismissed` tells that others were found right as they are; the rest is of the active
    alert, if there is one.
    """

    rule: RuleName
    kit_id: int | None
    findings: Sequence[Mapping[str, Any]]
    since: datetime | None
    dismissed: bool
    alert_id: int | None
    severity: str | None
    recovering_since: datetime | None
    evidence: Evidence | None
    found: int = 0
    subject: str | None = None
    organisation_id: int | None = None
    rule_set: int = 0
    version: int | None = None


def evaluate_books(facts: BookFacts, rule: Rule, now: datetime) -> list[Action]:
    """What to do about one kit; nothing when all is as it should be."""
    if not rule.enabled:
        return [] if facts.alert_id is None else [ClearAlert(facts.alert_id, Resolution.RULE_DISABLED)]
    if facts.alert_id is None:
        return _without_alert(facts, rule, now)
    return _still(facts, facts.alert_id, rule) if facts.findings else _gone(facts, facts.alert_id, rule, now)


def _without_alert(facts: BookFacts, rule: Rule, now: datetime) -> list[Action]:
    if facts.since is None or not has_held(facts.since, now, rule.for_s):
        return []
    evidence, severity = _evidence(facts), _severity(facts, rule)
    if facts.kit_id is not None:
        return [OpenAlert(facts.kit_id, rule.rule, evidence, severity, rule.version, line=rule.line)]
    assert facts.subject is not None
    return [OpenSubjectAlert(facts.subject, facts.organisation_id, rule.rule, evidence, severity, rule.version)]


def _still(facts: BookFacts, alert_id: int, rule: Rule) -> list[Action]:
    actions: list[Action] = []
    if facts.recovering_since is not None:
        actions.append(SetRecovering(alert_id, None))
    told = (_evidence(facts), _severity(facts, rule), rule.version)
    if told != (facts.evidence, facts.severity, facts.version):
        actions.append(RefreshEvidence(alert_id, *told))
    return actions


def _gone(facts: BookFacts, alert_id: int, rule: Rule, now: datetime) -> list[Action]:
    since = facts.recovering_since or now
    if has_held(since, now, rule.keep_firing_for_s):
        return [ClearAlert(alert_id, Resolution.DISMISSED if facts.dismissed else Resolution.BOOKS_AGREE)]
    return [SetRecovering(alert_id, since)] if facts.recovering_since is None else []


def _evidence(facts: BookFacts) -> Evidence:
    evidence: dict[str, Any] = {"findings": list(facts.findings)}
    return {**evidence, "count": facts.found} if facts.found > len(facts.findings) else evidence


def _severity(facts: BookFacts, rule: Rule) -> str:
    """That of the gravest finding. Where a rule is of one thing only, it is the rule that says how grave that is."""
    mixed = rule.rule is RuleName.BOOKS_AGAINST_REALITY
    grades = (
        each["severity"] if mixed or each["severity"] != ABOUT[Kind(each["kind"])].severity else rule.severity
        for each in facts.findings
    )
    return worst(frozenset(Severity(grade) for grade in grades)).value
