"""Books against reality: the findings that stand against a kit become one alert of it. Pure functions of values.

When very many kits get findings of one kind at once, it is one thing gone wrong (an import, a firmware that every
device got) and not as many cases: the findings stand in their list, and no alert opens by that kind until they are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.alerts import mass
from fleet.alerts.actions import Action, ClearAlert, Evidence, OpenAlert, RefreshEvidence, SetRecovering
from fleet.alerts.rules import Resolution, Rule, has_held
from fleet.state.findings.kinds import Severity, worst

STANDING = ("open", "acknowledged")
"""States of a finding that count; what was dismissed is right as it is."""


@dataclass(frozen=True, slots=True)
class BookFacts:
    """A kit whose findings and alert do not fit: `findings` that stand (`id`, `kind`, `severity`), `since` the first.

    `dismissed` tells that others were found right as they are; the rest is of the active alert, if there is one.
    """

    kit_id: int
    findings: Sequence[Mapping[str, Any]]
    since: datetime | None
    dismissed: bool
    alert_id: int | None
    severity: str | None
    recovering_since: datetime | None
    evidence: Evidence | None


def evaluate_books(facts: BookFacts, rule: Rule, now: datetime) -> list[Action]:
    """What to do about one kit; nothing when all is as it should be."""
    if not rule.enabled:
        return [] if facts.alert_id is None else [ClearAlert(facts.alert_id, Resolution.RULE_DISABLED)]
    if facts.alert_id is None:
        return _without_alert(facts, rule, now)
    return _still(facts, facts.alert_id) if facts.findings else _gone(facts, facts.alert_id, rule, now)


def held_kinds(kits_by_kind: Mapping[str, int], installed: int) -> frozenset[str]:
    """Kinds by which no alert opens now, since so many kits wait for one."""
    limit = mass.threshold(installed)
    return frozenset(kind for kind, kits in kits_by_kind.items() if kits > limit)


def _without_alert(facts: BookFacts, rule: Rule, now: datetime) -> list[Action]:
    if facts.since is None or not has_held(facts.since, now, rule.for_s):
        return []
    return [OpenAlert(facts.kit_id, rule.rule, _evidence(facts), _severity(facts))]


def _still(facts: BookFacts, alert_id: int) -> list[Action]:
    actions: list[Action] = []
    if facts.recovering_since is not None:
        actions.append(SetRecovering(alert_id, None))
    found, severity = _evidence(facts), _severity(facts)
    if found != facts.evidence or severity != facts.severity:
        actions.append(RefreshEvidence(alert_id, found, severity))
    return actions


def _gone(facts: BookFacts, alert_id: int, rule: Rule, now: datetime) -> list[Action]:
    since = facts.recovering_since or now
    if has_held(since, now, rule.keep_firing_for_s):
        return [ClearAlert(alert_id, Resolution.DISMISSED if facts.dismissed else Resolution.BOOKS_AGREE)]
    return [SetRecovering(alert_id, since)] if facts.recovering_since is None else []


def _evidence(facts: BookFacts) -> Evidence:
    return {"findings": list(facts.findings)}


def _severity(facts: BookFacts) -> str:
    return worst(frozenset(Severity(each["severity"]) for each in facts.findings)).value
