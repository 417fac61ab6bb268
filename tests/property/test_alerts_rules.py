"""What must hold of the rules whatever comes: proof, idempotence, narrowing, bounds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts import mass
from fleet.alerts.actions import (
    ClearAlert,
    DropPending,
    HoldPending,
    JoinIncident,
    OpenAlert,
    RefreshEvidence,
    SetRecovering,
)
from fleet.alerts.evaluate import evaluate
from fleet.alerts.judging.facts import Clock, KitFacts, Standing
from fleet.alerts.judging.parameters import NoParameters
from fleet.alerts.mass import Mode, OpenIncidentRow, Wave
from fleet.alerts.rules import Line, Outcome, Priority, Resolution, Rule, RuleName
from fleet.alerts.silence import Candidate, Member, Releasable, SilentAlert, judge_alert, judge_member, place, release

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HEARING = Clock(10_000.0, 0.0, 0.0, hears=True)
SILENT = Rule(RuleName.SILENT, "major", Line.SUPPORT, Priority.HIGH, 0, 15, True)

clocks = st.floats(0, 1e6)
counts = st.integers(0, 2_000)
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


waves = st.builds(Wave, st.integers(0, 1_000_000), counts, counts)
candidates = st.lists(
    st.builds(
        lambda kit, heard, allowance: Candidate(kit, heard, allowance, heard + allowance, None),
        st.integers(1, 10_000),
        clocks,
        st.floats(30, 1e6),
    ),
    max_size=60,
    unique_by=lambda candidate: candidate.kit_id,
)
incidents = st.one_of(st.none(), st.builds(OpenIncidentRow, st.integers(1, 9), st.none()))


def opened(found: list[Candidate], mode: Mode, clock_s: float) -> set[int]:
    """Kits that get an alert of their own."""
    actions, _ = place(found, mode, clock_s, SILENT)
    return {action.kit_id for action in actions if isinstance(action, OpenAlert)}


@given(candidates, clocks)
def test_suppression_only_narrows(found: list[Candidate], clock_s: float) -> None:
    calm = opened(found, Mode.CALM, clock_s)
    assert calm == {c.kit_id for c in found if clock_s - c.deadline_clock_s >= 0}
    assert opened(found, Mode.BUILDING, clock_s) <= calm
    assert opened(found, Mode.MASS, clock_s) == opened(found, Mode.ONGOING, clock_s) == set()


@given(candidates, clocks, st.sampled_from(Mode))
def test_every_candidate_is_placed_or_held_and_their_order_does_not_matter(
    found: list[Candidate], clock_s: float, mode: Mode
) -> None:
    actions, held = place(found, mode, clock_s, SILENT)
    placed = {action.kit_id for action in actions if isinstance(action, OpenAlert | JoinIncident)}
    assert len(placed) == len(actions)
    assert len(placed) + held == len(found)
    backwards, held_backwards = place(found[::-1], mode, clock_s, SILENT)
    assert set(map(repr, backwards)) == set(map(repr, actions))
    assert held_backwards == held


@given(candidates, clocks)
def test_nobody_is_held_longer_than_the_window(found: list[Candidate], clock_s: float) -> None:
    waiting = {c.kit_id for c in found} - opened(found, Mode.BUILDING, clock_s)
    assert all(clock_s <= c.deadline_clock_s + mass.WINDOW_S for c in found if c.kit_id in waiting)


@given(waves, incidents, st.integers(0, 500), st.integers(0, 500))
def test_more_silent_kits_never_mean_less_suppression(
    wave: Wave, incident: OpenIncidentRow | None, recent: int, due: int
) -> None:
    rank = [Mode.CALM, Mode.BUILDING, Mode.MASS, Mode.ONGOING].index
    more = Wave(wave.installed, wave.recent + recent, wave.due + due)
    assert rank(mass.mode(more, incident)) >= rank(mass.mode(wave, incident))


@given(waves)
def test_no_more_than_the_threshold_open_within_a_window(wave: Wave) -> None:
    """Where kits open alerts of their own, those of the window are no more than the threshold."""
    mode = mass.mode(wave, None)
    assert (mode is Mode.MASS) == (wave.recent > mass.threshold(wave.installed))
    if mode in (Mode.CALM, Mode.BUILDING):
        assert wave.recent <= max(20, wave.installed * 0.05)


maybe_clocks = st.one_of(st.none(), clocks)
silent_alerts = st.builds(
    lambda since, heard, heard_now, allowance, allowance_now, silent: SilentAlert(
        1, 1, since, {"heard_clock_s": heard, "allowance_s": allowance}, heard_now, allowance_now, silent
    ),
    st.one_of(st.none(), st.datetimes(datetime(2026, 2, 1), datetime(2026, 3, 1), timezones=st.just(UTC))),  # noqa: DTZ001
    clocks,
    maybe_clocks,
    clocks,
    maybe_clocks,
    st.booleans(),
)


@given(silent_alerts, st.booleans())
def test_silence_clears_by_proof_only_when_heard_again(alert: SilentAlert, enabled: bool) -> None:
    actions = judge_alert(alert, replace(SILENT, enabled=enabled), BEGIN)
    assert len(actions) <= 1
    for action in actions:
        if isinstance(action, ClearAlert) and action.resolution is Resolution.PROOF:
            assert alert.heard_clock_s is not None
            assert alert.heard_clock_s > alert.evidence["heard_clock_s"]
            assert not alert.silent
            assert alert.recovering_since is not None
            assert (BEGIN - alert.recovering_since).total_seconds() >= SILENT.keep_firing_for_s


@given(silent_alerts)
def test_members_return_exactly_when_alerts_would_begin_to_recover(alert: SilentAlert) -> None:
    evidence = alert.evidence
    member = Member(
        1, 1, evidence["heard_clock_s"], evidence["allowance_s"], alert.heard_clock_s, alert.allowance_s, alert.silent
    )
    returns = [a.outcome for a in judge_member(member, SILENT)] == [Outcome.RETURNED]
    recovers = judge_alert(replace(alert, recovering_since=None), SILENT, BEGIN) == [SetRecovering(1, BEGIN)]
    assert returns == recovers


@given(st.integers(0, 200), st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_never_more_than_twenty_are_released_within_a_minute(members: int, pauses_s: list[int]) -> None:
    waiting = [Releasable(kit, 0.0, 30.0, 30.0, None, 1, 0.0, 60.0) for kit in range(members)]
    released_at: list[float] = []
    at = 100.0
    for pause_s in pauses_s:
        at += pause_s
        lately = sum(at - moment < 60 for moment in released_at)
        actions = release(waiting, lately, at)
        gone = {action.kit_id for action in actions if isinstance(action, OpenAlert)}
        waiting = [member for member in waiting if member.kit_id not in gone]
        released_at += [at] * len(gone)
        assert sum(at - moment < 60 for moment in released_at) <= mass.RELEASED_PER_MINUTE
