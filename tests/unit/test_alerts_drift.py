"""The drift rule as a table: facts in, actions out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.alerts.actions import (
    Action,
    ClearAlert,
    DropPending,
    HoldPending,
    OpenAlert,
    RefreshEvidence,
    SetRecovering,
)
from fleet.alerts.evaluate import DriftFacts, evaluate_drift
from fleet.alerts.rules import Line, Priority, Resolution, Rule, RuleName

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULE = Rule(RuleName.VERSION_DRIFT, "minor", Line.SERVICE, Priority.NORMAL, 30, 15, True)
DISABLED = Rule(RuleName.VERSION_DRIFT, "minor", Line.SERVICE, Priority.NORMAL, 30, 15, False)
OLD = {"components": [{"component": "app", "wanted": "2", "reported": "1"}]}
MISSING = {"components": [{"component": "app", "wanted": "2", "reported": None}]}


def ago(seconds: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(seconds=seconds)


def facts(**changes: Any) -> DriftFacts:
    """An installed kit with an old app."""
    return DriftFacts(
        **({"kit_id": 7, "state": "installed", "wanted": {"app": "2"}, "reported": {"app": "1"}} | changes)
    )


def alerted(**changes: Any) -> DriftFacts:
    """The same with an active alert."""
    return facts(**({"alert_id": 3, "evidence": OLD} | changes))


CASES: list[tuple[str, DriftFacts, Rule, list[Action]]] = [
    ("new drift waits", facts(), RULE, [HoldPending(7, RULE.rule, NOW, OLD)]),
    (
        "waiting drift keeps its beginning",
        facts(pending_since=ago(29)),
        RULE,
        [HoldPending(7, RULE.rule, ago(29), OLD)],
    ),
    ("drift of age opens", facts(pending_since=ago(30)), RULE, [OpenAlert(7, RULE.rule, OLD)]),
    (
        "a missing component is drift",
        facts(reported={}, pending_since=ago(30)),
        RULE,
        [OpenAlert(7, RULE.rule, MISSING)],
    ),
    ("more components than wanted are fine", facts(reported={"app": "2", "os": "9"}), RULE, []),
    ("nothing wanted", facts(wanted={}), RULE, []),
    ("nothing reported yet", facts(reported=None), RULE, []),
    ("drift that went", facts(reported={"app": "2"}, pending_since=ago(5)), RULE, [DropPending(7, RULE.rule)]),
    ("waiting when it left use", facts(state="paused", pending_since=ago(50)), RULE, [DropPending(7, RULE.rule)]),
    ("waiting when the rule ended", facts(pending_since=ago(50)), DISABLED, [DropPending(7, RULE.rule)]),
    ("still drifted", alerted(), RULE, []),
    ("drifted otherwise", alerted(reported={}), RULE, [RefreshEvidence(3, MISSING)]),
    ("as wanted: proof begins", alerted(reported={"app": "2"}), RULE, [SetRecovering(3, NOW)]),
    ("proof not long enough", alerted(reported={"app": "2"}, recovering_since=ago(14)), RULE, []),
    (
        "proof long enough",
        alerted(reported={"app": "2"}, recovering_since=ago(15)),
        RULE,
        [ClearAlert(3, Resolution.PROOF)],
    ),
    ("proof taken back", alerted(recovering_since=ago(10)), RULE, [SetRecovering(3, None)]),
    ("another wish", alerted(wanted={"app": "1"}), RULE, [ClearAlert(3, Resolution.WANTED_CHANGED)]),
    ("no wish any more", alerted(wanted={}), RULE, [ClearAlert(3, Resolution.WANTED_CHANGED)]),
    ("left use", alerted(state="retrieved"), RULE, [ClearAlert(3, Resolution.NOT_WATCHED)]),
    ("rule ended", alerted(), DISABLED, [ClearAlert(3, Resolution.RULE_DISABLED)]),
]


@pytest.mark.parametrize(("given", "rule", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_drift(given: DriftFacts, rule: Rule, expected: list[Action]) -> None:
    assert evaluate_drift(given, rule, NOW) == expected


@pytest.mark.parametrize(
    "state",
    ["ordered", "in_stock", "preparing", "ready", "dispatched", "paused", "faulty", "retrieved", "cleaning",
     "scrapped", "lost", "returned"],
)  # fmt: skip
def test_only_installed_kits_are_judged(state: str) -> None:
    assert evaluate_drift(facts(state=state), RULE, NOW) == []


def test_without_a_delay_drift_opens_at_once() -> None:
    rule = Rule(RuleName.VERSION_DRIFT, "minor", Line.SERVICE, Priority.NORMAL, 0, 0, True)
    assert evaluate_drift(facts(), rule, NOW) == [OpenAlert(7, rule.rule, OLD)]
    assert evaluate_drift(alerted(reported={"app": "2"}), rule, NOW) == [ClearAlert(3, Resolution.PROOF)]
