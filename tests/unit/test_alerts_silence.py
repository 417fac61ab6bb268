"""The silence rule as tables: values in, actions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.alerts.actions import (
    Action,
    ClearAlert,
    JoinIncident,
    LeaveIncident,
    OpenAlert,
    SetRecovering,
)
from fleet.alerts.cohorts import FLEET, cohort_of
from fleet.alerts.mass import DEFAULT, Wave
from fleet.alerts.rules import Line, Outcome, Priority, Resolution, Rule, RuleName, due_at
from fleet.alerts.silence import (
    OPENED_PER_TICK,
    Candidate,
    Listening,
    Member,
    Releasable,
    SilentAlert,
    judge_alert,
    judge_member,
    merge,
    place,
    release,
)
from fleet.alerts.worker import pause_after

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULE = Rule(RuleName.SILENT, "major", Line.SUPPORT, Priority.HIGH, 0, 15, True)
DISABLED = replace(RULE, enabled=False)
EVIDENCE = {"heard_clock_s": 100.0, "allowance_s": 180.0}


def ago(seconds: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(seconds=seconds)


def alert(**changes: Any) -> SilentAlert:
    """An active alert of a kit that is silent still."""
    given = {"alert_id": 3, "kit_id": 7, "recovering_since": None, "evidence": EVIDENCE}
    return SilentAlert(**(given | {"heard_clock_s": 100.0, "allowance_s": 180.0, "silent": True} | changes))


ALERTS: list[tuple[str, SilentAlert, Rule, list[Action]]] = [
    ("still silent", alert(), RULE, []),
    ("heard again", alert(silent=False, heard_clock_s=400.0), RULE, [SetRecovering(3, NOW)]),
    ("heard, not for long", alert(silent=False, heard_clock_s=400.0, recovering_since=ago(14)), RULE, []),
    (
        "heard for long enough",
        alert(silent=False, heard_clock_s=400.0, recovering_since=ago(15)),
        RULE,
        [ClearAlert(3, Resolution.PROOF)],
    ),
    ("silent again", alert(heard_clock_s=400.0, recovering_since=ago(14)), RULE, [SetRecovering(3, None)]),
    ("not silent by our grace only", alert(silent=False), RULE, []),
    (
        "not silent by a longer expectation",
        alert(silent=False, allowance_s=999.0),
        RULE,
        [ClearAlert(3, Resolution.EXPECTATION_CHANGED)],
    ),
    ("silent by the longer expectation too", alert(allowance_s=999.0), RULE, []),
    ("left use", alert(silent=False, allowance_s=None), RULE, [ClearAlert(3, Resolution.NOT_WATCHED)]),
    ("rule ended", alert(), DISABLED, [ClearAlert(3, Resolution.RULE_DISABLED)]),
]


@pytest.mark.parametrize(("given", "rule", "expected"), [case[1:] for case in ALERTS], ids=[case[0] for case in ALERTS])
def test_active_alert(given: SilentAlert, rule: Rule, expected: list[Action]) -> None:
    assert judge_alert(given, rule, NOW) == expected


def member(**changes: Any) -> Member:
    """A member that is silent still."""
    given = {"kit_id": 7, "incident_id": 2, "heard_clock_s": 100.0, "allowance_s": 180.0}
    now = {"heard_clock_s_now": 100.0, "allowance_s_now": 180.0, "silent": True}
    return Member(**(given | now | changes))


MEMBERS: list[tuple[str, Member, Rule, Outcome | None]] = [
    ("still silent", member(), RULE, None),
    ("heard again", member(silent=False, heard_clock_s_now=400.0), RULE, Outcome.RETURNED),
    ("heard, and silent again", member(heard_clock_s_now=400.0), RULE, None),
    ("not silent by our grace only", member(silent=False), RULE, None),
    ("not silent by a longer expectation", member(silent=False, allowance_s_now=999.0), RULE, Outcome.NOT_WATCHED),
    ("left use", member(silent=False, allowance_s_now=None), RULE, Outcome.NOT_WATCHED),
    ("rule ended", member(), DISABLED, Outcome.NOT_WATCHED),
]


@pytest.mark.parametrize(
    ("given", "rule", "outcome"), [case[1:] for case in MEMBERS], ids=[case[0] for case in MEMBERS]
)
def test_member(given: Member, rule: Rule, outcome: Outcome | None) -> None:
    assert judge_member(given, rule) == ([] if outcome is None else [LeaveIncident(2, 7, outcome)])


def candidate(kit: int = 7, *, deadline: float = 280.0, cohorts: tuple[str, ...] = ("fleet:",)) -> Candidate:
    """A kit that turned silent at `deadline`."""
    return Candidate(kit, deadline - 180, 180.0, deadline, NOW, cohorts=cohorts)


def placed(
    found: list[Candidate], waves: Sequence[Wave] = (), clock_s: float = 281.0, rule: Rule = RULE
) -> tuple[list[Action], int]:
    """Where the candidates belong."""
    return place(found, waves, [], DEFAULT, clock_s=clock_s, rule=rule)


BUILDING = [Wave(FLEET, 100, 0.0, stands=False)]


def test_a_calm_moment_opens_and_says_why() -> None:
    ((opened,), held) = placed([candidate()])
    assert isinstance(opened, OpenAlert)
    assert opened.evidence == {
        "clock_s": 281.0,
        "heard_clock_s": 100.0,
        "deadline_clock_s": 280.0,
        "allowance_s": 180.0,
        "last_heard_at": "2026-03-01T12:00:00+00:00",
    }
    assert held == 0


@pytest.mark.parametrize(("clock_s", "opens"), [(281.0, False), (580.0, False), (580.1, True), (9000.0, True)])
def test_while_a_wave_builds_kits_wait_no_longer_than_the_window(clock_s: float, opens: bool) -> None:
    actions, held = placed([candidate()], BUILDING, clock_s)
    assert (len(actions), held) == ((1, 0) if opens else (0, 1))


def test_in_a_mass_event_kits_of_its_cohort_join() -> None:
    wave = Wave(cohort_of("operator:TDC"), 100, 0.0, stands=True)
    found = [candidate(cohorts=("fleet:", "operator:TDC")), candidate(8, cohorts=("fleet:", "operator:3"))]
    actions, held = placed(found, [wave])
    assert actions[0] == JoinIncident(7, RuleName.SILENT, wave.cohort, 100.0, 180.0)
    assert isinstance(actions[1], OpenAlert)
    assert actions[1].kit_id == 8
    assert held == 0


def test_the_delay_of_the_rule_counts_from_the_deadline() -> None:
    rule = replace(RULE, for_s=60)
    assert placed([candidate()], clock_s=339.9, rule=rule) == ([], 1)
    assert len(placed([candidate()], clock_s=340.0, rule=rule)[0]) == 1


def test_a_tick_opens_a_bounded_number_the_longest_silent_first() -> None:
    many = [candidate(kit, deadline=280.0 + kit) for kit in range(OPENED_PER_TICK + 10)]
    actions, held = placed(many, clock_s=1e6)
    assert [a.kit_id for a in actions if isinstance(a, OpenAlert)] == list(range(OPENED_PER_TICK))
    assert held == 0


def test_an_incident_takes_over_who_is_silent_still() -> None:
    back = alert(alert_id=4, kit_id=8, silent=False)
    assert merge([alert(), back], FLEET) == [
        ClearAlert(3, Resolution.MERGED, (RuleName.SILENT, FLEET)),
        JoinIncident(7, RuleName.SILENT, FLEET, 100.0, 180.0),
    ]


@pytest.mark.parametrize(
    ("interval_s", "clock_s", "ready"),
    [(60.0, 1060.0, False), (60.0, 1060.1, True), (7 * 86_400.0, 87_400.0, False), (7 * 86_400.0, 87_400.1, True)],
)
def test_release_waits_one_more_interval_of_at_most_a_day(interval_s: float, clock_s: float, ready: bool) -> None:
    waiting = Releasable(7, 100.0, 180.0, 280.0, NOW, 2, 1000.0, interval_s=interval_s)
    actions = release([waiting], 20, clock_s, RULE)
    assert bool(actions) is ready
    if ready:
        assert actions[0] == LeaveIncident(2, 7, Outcome.RELEASED)
        assert isinstance(actions[1], OpenAlert)
        assert actions[1].evidence["incident"] == 2


def test_release_is_bounded() -> None:
    members = [Releasable(kit, 100.0, 180.0, 280.0, NOW, 2, 1000.0, interval_s=60.0) for kit in range(50)]
    actions = release(members, 15, 5000.0, RULE)
    assert sum(isinstance(a, OpenAlert) for a in actions) == 15
    assert sum(isinstance(a, LeaveIncident) for a in actions) == 15


@pytest.mark.parametrize(
    ("state", "age_s", "hears"),
    [("listening", 0, True), ("listening", 5, True), ("listening", 5.1, False), ("listening", -60, True),
     ("catching_up", 0, False), ("down", 0, False)],
)  # fmt: skip
def test_hearing(state: str, age_s: float, hears: bool) -> None:
    assert Listening(1.0, state, 0.0, 0.0, ago(age_s)).hears(NOW) is hears


def test_due_times_follow_priority() -> None:
    due = [due_at(priority, NOW) for priority in (Priority.URGENT, Priority.HIGH, Priority.NORMAL, Priority.LOW)]
    assert due == sorted(due)
    assert due[0] == NOW + timedelta(hours=4)


@pytest.mark.parametrize(
    ("duration_s", "more", "pause_s"),
    [(0.0, False, 1.0), (0.1, False, 0.9), (0.2, False, 0.8), (0.5, False, 2.0), (0.1, True, 0.4), (3.0, False, 12.0)],
)
def test_ticks_take_a_fifth_of_the_time_at_most(duration_s: float, more: bool, pause_s: float) -> None:
    assert pause_after(duration_s, more=more) == pytest.approx(pause_s)
    assert duration_s / (duration_s + pause_after(duration_s, more=more)) <= 0.2 + 1e-9
