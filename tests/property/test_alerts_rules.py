"""What must hold of the rules whatever comes: proof, idempotence, narrowing, bounds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts.actions import (
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

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HEARING = Clock(10_000.0, 0.0, 0.0, hears=True)

versions = st.dictionaries(st.sampled_from(["os", "app", "mdm"]), st.sampled_from(["1", "2", "3"]))
drift_rules = st.builds(
    lambda for_s, keep, enabled: Rule(
        RuleName.VERSION_DRIFT, "minor", Line.SERVICE, Priority.NORMAL, for_s, keep, enabled, NoParameters()
    ),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from([True, True, True, False]),
)


@dataclass
class Kit:
    """One kit and the rows that the actions would write."""

    facts: KitFacts = field(default_factory=lambda: KitFacts(1, "installed", BEGIN))
    alerts: list[str] = field(default_factory=list)

    @property
    def standing(self) -> Standing:
        """What stands against it."""
        return self.facts.standing.get(RuleName.VERSION_DRIFT, Standing())

    def stand(self, **changes: Any) -> None:
        """Change what stands."""
        standing = replace(self.standing, **changes)
        kept = {} if standing == Standing() else {RuleName.VERSION_DRIFT: standing}
        self.facts = replace(self.facts, standing=kept)

    def evaluate(self, rule: Rule, now: datetime) -> list[Any]:
        """Evaluate and carry out, as the store does."""
        actions = evaluate(self.facts, {rule.rule: rule}, HEARING, now)
        for action in actions:
            self._carry_out(action)
        return actions

    def _carry_out(self, action: Any) -> None:
        standing = self.standing
        match action:
            case HoldPending():
                assert standing.pending_since in (None, action.since)
                self.stand(pending_since=action.since)
            case DropPending():
                assert standing.pending_since is not None
                self.stand(pending_since=None)
            case OpenAlert():
                assert standing.alert_id is None
                self.alerts.append("active")
                told = {"evidence": action.evidence, "severity": action.severity, "version": action.version}
                self.stand(pending_since=None, alert_id=len(self.alerts), **told)
            case SetRecovering():
                assert action.alert_id == standing.alert_id
                self.stand(recovering_since=action.since)
            case RefreshEvidence():
                self.stand(evidence=action.evidence, severity=action.severity, version=action.version)
            case ClearAlert():
                assert action.alert_id == standing.alert_id
                self.alerts[action.alert_id - 1] = action.resolution
                self.facts = replace(self.facts, standing={})


@dataclass(frozen=True)
class Step:
    """Time passes, something changes, the kit is evaluated some number of times."""

    after_s: int
    times: int
    change: dict[str, Any]


changes = st.one_of(
    st.just({}),
    st.builds(lambda v: {"wanted": v}, versions),
    st.builds(lambda v: {"software": v}, versions),
    st.builds(lambda s: {"state": s}, st.sampled_from(["installed", "installed", "paused"])),
)
steps = st.lists(st.builds(Step, st.integers(0, 40), st.integers(1, 3), changes), max_size=25)


@given(steps, drift_rules)
def test_drift_repetition_changes_nothing_and_one_alert_is_open(history: list[Step], rule: Rule) -> None:
    once, often = (Kit() for _ in range(2))
    now = BEGIN
    for step in history:
        now += timedelta(seconds=step.after_s)
        for kit, times in ((once, 1), (often, step.times)):
            kit.facts = replace(kit.facts, **step.change)
            for _ in range(times):
                kit.evaluate(rule, now)
        assert once == often
        assert once.alerts.count("active") <= 1
        assert (once.standing.alert_id is not None) == ("active" in once.alerts)


@given(steps, drift_rules)
def test_drift_opens_only_on_drift_and_clears_by_proof_only_when_right(history: list[Step], rule: Rule) -> None:
    kit = Kit()
    now, wrong_since, right_since = BEGIN, None, BEGIN
    for step in history:
        now += timedelta(seconds=step.after_s)
        kit.facts = replace(kit.facts, **step.change)
        facts = kit.facts
        right = facts.software is not None and facts.wanted.items() <= facts.software.items()
        wrong = facts.state == "installed" and facts.software is not None and not right and rule.enabled
        wrong_since = (wrong_since or now) if wrong else None
        right_since = (right_since or now) if right else None
        for action in kit.evaluate(rule, now):
            if isinstance(action, OpenAlert):
                assert wrong_since is not None
                assert (now - wrong_since).total_seconds() >= rule.for_s
            if isinstance(action, ClearAlert) and action.resolution is Resolution.PROOF:
                assert right_since is not None
                assert (now - right_since).total_seconds() >= rule.keep_firing_for_s
