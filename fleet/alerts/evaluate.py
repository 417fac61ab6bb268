"""Version drift: the versions a kit reports against those wanted of it. Pure functions of values and `now`.

Only installed kits are judged. While a kit is prepared its versions are meant to change, a dispatched one is
switched off, and one that is paused or faulty is with people who know; a request would only disturb them. Drift that
lasts is found when the kit is installed, because every change of state is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fleet.alerts.actions import (
    Action,
    ClearAlert,
    DropPending,
    Evidence,
    HoldPending,
    OpenAlert,
    RefreshEvidence,
    SetRecovering,
)
from fleet.alerts.rules import Resolution, Rule, has_held
from fleet.state.verdict import drift

WATCHED_STATE = "installed"


@dataclass(frozen=True, slots=True)
class DriftFacts:
    """One kit as the rule sees it.

    `wanted` and `reported` map component to version, `reported` is None before the first software report.
    `pending_since` stands while the condition holds without an alert; `alert_id`, `recovering_since` and `evidence`
    are those of the active alert.
    """

    kit_id: int
    state: str
    wanted: Mapping[str, str]
    reported: Mapping[str, str] | None
    pending_since: datetime | None = None
    alert_id: int | None = None
    recovering_since: datetime | None = None
    evidence: Evidence | None = None


def evaluate_drift(facts: DriftFacts, rule: Rule, now: datetime) -> list[Action]:
    """What to do about one kit; nothing when all is as it should be."""
    watched = rule.enabled and facts.state == WATCHED_STATE
    found = drift_evidence(facts) if watched else None
    if facts.alert_id is None:
        return _without_alert(facts, found, rule, now)
    if not watched:
        resolution = Resolution.NOT_WATCHED if rule.enabled else Resolution.RULE_DISABLED
        return [ClearAlert(facts.alert_id, resolution)]
    if found is not None:
        return _still_drifted(facts, facts.alert_id, found)
    return _recovering(facts, facts.alert_id, rule, now)


def drift_evidence(facts: DriftFacts) -> Evidence | None:
    """Every component that is not as wanted; None when there is none or nothing was reported yet."""
    found = drift(facts.wanted, facts.reported)
    if not found:
        return None
    return {
        "components": [
            {"component": item.component, "wanted": item.wanted, "reported": item.reported} for item in found
        ]
    }


def _without_alert(facts: DriftFacts, found: Evidence | None, rule: Rule, now: datetime) -> list[Action]:
    if found is None:
        return [] if facts.pending_since is None else [DropPending(facts.kit_id, rule.rule)]
    since = facts.pending_since or now
    if has_held(since, now, rule.for_s):
        return [OpenAlert(facts.kit_id, rule.rule, found)]
    return [HoldPending(facts.kit_id, rule.rule, since, found)]


def _still_drifted(facts: DriftFacts, alert_id: int, found: Evidence) -> list[Action]:
    actions: list[Action] = []
    if facts.recovering_since is not None:
        actions.append(SetRecovering(alert_id, None))
    if found != facts.evidence:
        actions.append(RefreshEvidence(alert_id, found))
    return actions


def _recovering(facts: DriftFacts, alert_id: int, rule: Rule, now: datetime) -> list[Action]:
    if not _is_proof(facts):
        return [ClearAlert(alert_id, Resolution.WANTED_CHANGED)]
    since = facts.recovering_since or now
    if has_held(since, now, rule.keep_firing_for_s):
        return [ClearAlert(alert_id, Resolution.PROOF)]
    return [SetRecovering(alert_id, since)] if facts.recovering_since is None else []


def _is_proof(facts: DriftFacts) -> bool:
    """Whether the kit came to what the alert asked for, rather than the wish to the kit."""
    components = (facts.evidence or {}).get("components", [])
    return any(facts.wanted.get(item["component"]) == item["wanted"] for item in components)
