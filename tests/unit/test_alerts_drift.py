"""The drift rule as a table: facts in, actions out."""

from __future__ import annotations

from dataclasses import replace
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
from fleet.alerts.evaluate import evaluate
from fleet.alerts.judging.facts import Clock, KitFacts, Standing
from fleet.alerts.judging.parameters import NoParameters
from fleet.alerts.rules import Line, Priority, Resolution, Rule, RuleName

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CLOCK = Clock(10_000.0, 0.0, 0.0, hears=True)
RULE = Rule(RuleName.VERSION_DRIFT, "minor", Line.SERVICE, Priority.NORMAL, 30, 15, True, NoParameters())
DISABLED = replace(RULE, enabled=False)
OLD = {"components": [{"component": "app", "wanted": "2", "reported": "1"}]}
WANTED, OLD_APP = {"app": "2"}, {"app": "1"}
MISSING = {"components": [{"component": "app", "wanted": "2", "reported": None}]}


def ago(seconds: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(seconds=seconds)


def facts(
    state: str = "installed",
    wanted: Any = WANTED,
    reported: Any = OLD_APP,
    **standing: Any,
) -> KitFacts:
    """An installed kit with an old app."""
    stands = {RULE.rule: Standing(**standing)} if standing else {}
    return KitFacts(7, state, ago(86_400), wanted=wanted, software=reported, standing=stands)


def alerted(**changes: Any) -> KitFacts:
    """The same with an active alert."""
    return facts(**({"alert_id": 3, "evidence": OLD, "severity": "minor", "version": 0} | changes))


def held(since: datetime) -> HoldPending:
    """It waits since then."""
    return HoldPending(7, RULE.rule, since, OLD, since + timedelta(seconds=30))


def opened(evidence: Any) -> OpenAlert:
    """It opens."""
    return OpenAlert(7, RULE.rule, evidence, "minor", 0, line=RULE.line)


CASES: list[tuple[str, KitFacts, Rule, list[Action]]] = [
    ("new drift waits", facts(), RULE, [held(NOW)]),
    ("waiting drift keeps its beginning", facts(pending_since=ago(29)), RULE, [held(ago(29))]),
    ("drift of age opens", facts(pending_since=ago(30)), RULE, [opened(OLD)]),
    (
        "a missing component is drift",
        facts(reported={}, pending_since=ago(30)),
        RULE,
        [opened(MISSING)],
    ),
    ("more components than wanted are fine", facts(reported={"app": "2", "os": "9"}), RULE, []),
    ("nothing wanted", facts(wanted={}), RULE, []),
    ("nothing reported yet", facts(reported=None), RULE, []),
    ("drift that went", facts(reported={"app": "2"}, pending_since=ago(5)), RULE, [DropPending(7, RULE.rule)]),
    ("waiting when it left use", facts(state="paused", pending_since=ago(50)), RULE, [DropPending(7, RULE.rule)]),
    ("waiting when the rule ended", facts(pending_since=ago(50)), DISABLED, [DropPending(7, RULE.rule)]),
    ("still drifted", alerted(), RULE, []),
    ("drifted otherwise", alerted(reported={}), RULE, [RefreshEvidence(3, MISSING, "minor", 0)]),
    (
        "as wanted: proof begins",
        alerted(reported={"app": "2"}),
        RULE,
        [SetRecovering(3, NOW, NOW + timedelta(seconds=15))],
    ),
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
def test_drift(given: KitFacts, rule: Rule, expected: list[Action]) -> None:
    assert evaluate(given, {RULE.rule: rule}, CLOCK, NOW) == expected


@pytest.mark.parametrize(
    "state",
    ["ordered", "in_stock", "preparing", "ready", "dispatched", "paused", "faulty", "retrieved", "cleaning",
     "scrapped", "lost", "returned"],
)  # fmt: skip
def test_only_installed_kits_are_judged(state: str) -> None:
    assert evaluate(facts(state=state), {RULE.rule: RULE}, CLOCK, NOW) == []


def test_without_a_delay_drift_opens_at_once() -> None:
    rules = {RULE.rule: replace(RULE, for_s=0, keep_firing_for_s=0)}
    assert evaluate(facts(), rules, CLOCK, NOW) == [opened(OLD)]
    assert evaluate(alerted(reported={"app": "2"}), rules, CLOCK, NOW) == [ClearAlert(3, Resolution.PROOF)]
