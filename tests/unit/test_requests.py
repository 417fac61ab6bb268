"""Steps, priorities, where alerts belong and what counts as proof: the pure part of service requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.access.roles import Role
from fleet.alerts.requests import deciding, placing, proof, steps
from fleet.alerts.requests.deciding import Asking
from fleet.alerts.requests.log import Entry, Standing, What, fold_all, replay
from fleet.alerts.requests.placing import Cleared, Fault
from fleet.alerts.requests.priority import Impact, graver, priority_of
from fleet.alerts.requests.proof import Facts, Rules, Verdict
from fleet.alerts.requests.steps import NotAllowed
from fleet.errors import ConflictError, InvalidError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
RULES = Rules(timedelta(hours=24), timedelta(days=14))
OPEN = Standing("silent", "support", "high", "open", "alert", NOW)
RESOLVED = replace(OPEN, state="resolved", resolved_at=NOW, resolved_by="user 1 a")


def asking(*roles: Role, proven: bool = False, now: datetime = NOW) -> Asking:
    return Asking("user 1 a", frozenset(roles or {Role.SERVICE}), now, WEEK, proven)


def said(standing: Standing, changes: dict[str, Any], by: Asking) -> list[Entry]:
    """What the log gets, of something that is allowed."""
    entries = deciding.changed(standing, changes, by)
    assert isinstance(entries, list)
    return entries


def facts(**changes: Any) -> Facts:
    known = {
        "request_id": 1, "resolved_at": NOW, "resolved_by": "user 1 a", "incident": False, "watched": True,
        "failing": False, "heard_at": NOW + timedelta(days=2), "peripherals_at": NOW + timedelta(days=2),
    }  # fmt: skip
    return Facts(**{**known, **changes})


@pytest.mark.parametrize(
    ("severity", "impact", "priority"),
    [
        ("critical", Impact.KIT, "urgent"),
        ("major", Impact.KIT, "high"),
        ("minor", Impact.KIT, "normal"),
        ("warning", Impact.KIT, "low"),
        ("major", Impact.IMPORTANT_PROGRAMME, "urgent"),
        ("warning", Impact.IMPORTANT_PROGRAMME, "normal"),
        ("minor", Impact.MANY_KITS, "urgent"),
        ("warning", Impact.MANY_KITS, "high"),
        ("critical", Impact.MANY_KITS, "urgent"),
    ],
)
def test_priority_is_severity_and_impact(severity: str, impact: Impact, priority: str) -> None:
    assert priority_of(severity, impact) == priority


def test_a_rule_may_have_a_priority_of_its_own() -> None:
    assert priority_of("minor", Impact.KIT, usual="minor", own="low") == "low"
    assert priority_of("critical", Impact.KIT, usual="minor", own="low") == "urgent", "only for its usual severity"
    assert graver("high", "normal")
    assert not graver("low", "low")


def test_the_table_of_steps_leads_out_of_every_state_and_back() -> None:
    states = {step.source for step in steps.STEPS}
    assert states == {"open", "in_progress", "waiting", "resolved", "closed"}
    assert all(step.target in states for step in steps.STEPS)
    assert len({(step.source, step.target) for step in steps.STEPS}) == len(steps.STEPS)


def test_who_may_take_which_step() -> None:
    everybody = frozenset({Role.SUPPORT})
    assert steps.allowed(RESOLVED, everybody, NOW, WEEK) == ("open",)
    assert steps.allowed(RESOLVED, {Role.SERVICE}, NOW, WEEK) == ("open", "closed")
    assert steps.allowed(OPEN, {Role.AUDITOR}, NOW, WEEK) == ()


def test_closed_comes_back_within_its_window_only() -> None:
    closed = replace(RESOLVED, state="closed")
    assert steps.allowed(closed, {Role.SUPPORT}, NOW + WEEK, WEEK) == ("open",)
    assert steps.allowed(closed, {Role.SUPPORT}, NOW + WEEK + timedelta(seconds=1), WEEK) == ()
    assert steps.allowed(replace(closed, merged_into="SR-1"), {Role.SUPPORT}, NOW, WEEK) == ()


def test_closing_without_proof_needs_a_reason_and_says_so() -> None:
    solved = replace(RESOLVED, found_cause="use_error", remedy="advice")
    with pytest.raises(InvalidError, match="reason"):
        deciding.changed(solved, {"state": "closed"}, asking())
    unproven = said(solved, {"state": "closed", "reason": "kit is on its way back"}, asking())
    assert fold_all(solved, unproven).proven is False
    assert fold_all(solved, said(solved, {"state": "closed"}, asking(proven=True))).proven is True


@pytest.mark.parametrize("standing", [OPEN, RESOLVED, replace(RESOLVED, resolved_by="system")])
def test_what_ends_by_hand_says_what_was_found_and_what_helped(standing: Standing) -> None:
    ends = {"state": "resolved" if standing is OPEN else "closed", "reason": "just so", "resolution": "just so"}
    with pytest.raises(InvalidError, match="found_cause"):
        deciding.changed(standing, ends, asking(proven=True))
    with pytest.raises(InvalidError, match="remedy"):
        deciding.changed(standing, {**ends, "found_cause": "use_error"}, asking())
    told = said(standing, {**ends, "found_cause": "use_error", "remedy": "advice"}, asking())
    after = fold_all(standing, told)
    assert (after.found_cause, after.remedy, after.resolution) == ("use_error", "advice", "just so")
    unexplained = said(standing, ends, replace(asking(), explains=False))
    assert fold_all(standing, unexplained).remedy is None, "another system cannot say it"


def test_what_was_proven_is_explained_afterwards_and_stays_proven() -> None:
    closed = replace(RESOLVED, state="closed", resolved_by="system", closed_at=NOW, proven=True, resolution="proof")
    later = asking(now=NOW + timedelta(days=1))
    by_step = deciding.resolved(closed, later, cause="use_error", remedy="advice", resolution=None)
    assert isinstance(by_step, list)
    for entries in (by_step, said(closed, {"found_cause": "use_error", "remedy": "advice"}, later)):
        assert fold_all(closed, entries) == replace(closed, found_cause="use_error", remedy="advice")
    merged = replace(closed, merged_into="SR-2")
    with pytest.raises(ConflictError):
        deciding.resolved(merged, later, cause="use_error", remedy="advice", resolution=None)


def test_a_refused_step_tells_the_allowed_ones() -> None:
    assert deciding.changed(OPEN, {"state": "closed"}, asking()) == NotAllowed(
        "open", "closed", ("in_progress", "waiting", "resolved")
    )


def test_what_is_as_it_was_says_nothing() -> None:
    assert deciding.changed(OPEN, {"state": "open", "line": "support", "priority": "high"}, asking()) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"waiting_for": "citizen"}, "waiting_for"),
        ({"resolution": "x"}, "resolution"),
        ({"found_cause": "use_error"}, "found_cause"),
        ({"remedy": "advice"}, "remedy"),
    ],
)
def test_what_belongs_to_another_state_is_refused(changes: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidError, match=field):
        deciding.changed(OPEN, changes, asking())


def test_waiting_says_for_what() -> None:
    (entry,) = said(OPEN, {"state": "waiting"}, asking())
    assert entry.body["waiting_for"] == "other"
    waits = replace(OPEN, state="waiting", waiting_for="other")
    (entry,) = said(waits, {"waiting_for": "citizen"}, asking())
    assert fold_all(waits, [entry]).waiting_for == "citizen"


def test_forwarding_gives_it_back_to_the_line() -> None:
    given = replace(OPEN, assignee="a", assignee_id=1)
    after = fold_all(given, deciding.forwarded(given, "supplier", "theirs", asking()))
    assert (after.line, after.assignee, after.assignee_id) == ("supplier", None, None)
    with pytest.raises(ConflictError, match="with support already"):
        deciding.forwarded(OPEN, "support", "again", asking())
    with pytest.raises(ConflictError, match="resolved"):
        deciding.forwarded(RESOLVED, "supplier", "late", asking())


def test_merging_closes_one_and_may_raise_the_other() -> None:
    urgent = replace(OPEN, priority="urgent")
    left, taken = deciding.merged(urgent, OPEN, ("SR-1", "SR-2"), asking(), belong=True)
    assert fold_all(urgent, left).merged_into == "SR-2"
    assert fold_all(urgent, left).resolution == "merged:SR-2"
    assert fold_all(OPEN, taken).priority == "urgent"
    for source, target, numbers in (
        (OPEN, OPEN, ("SR-1", "SR-1")),
        (replace(RESOLVED, merged_into="SR-3"), OPEN, ("SR-1", "SR-2")),
        (OPEN, RESOLVED, ("SR-1", "SR-2")),
    ):
        with pytest.raises(ConflictError):
            deciding.merged(source, target, numbers, asking(), belong=True)


def test_opening_again_forgets_how_it_ended() -> None:
    ended = replace(RESOLVED, resolution="x", found_cause="other", remedy="advice", has_text=True)
    (entry,) = said(ended, {"state": "open"}, asking())
    again = fold_all(ended, [entry])
    assert again == replace(OPEN, reopened=1, has_text=True)


def fault(**changes: Any) -> Fault:
    known = {
        "alert_id": 7, "kit_id": 1, "rule": "silent", "severity": "major", "usual": "major", "own": "high",
        "line": "support", "important": False, "candidate": "SR-1", "its_own": True,
    }  # fmt: skip
    return Fault(**{**known, **changes})


@pytest.mark.parametrize(
    ("standing", "later", "its_own", "belongs"),
    [
        (OPEN, WEEK * 9, False, True),
        (RESOLVED, WEEK, True, True),
        (RESOLVED, WEEK + timedelta(seconds=1), True, False),
        (RESOLVED, WEEK, False, False),
        (replace(RESOLVED, state="closed", proven=True), WEEK, True, True),
        (replace(RESOLVED, resolution="not_watched"), timedelta(), True, False),
    ],
)
def test_where_an_alert_belongs(standing: Standing, later: timedelta, its_own: bool, belongs: bool) -> None:
    assert placing.joins(fault(its_own=its_own), standing, NOW + later, WEEK) is belongs


def test_a_graver_alert_makes_its_request_more_urgent_and_a_lesser_one_does_not_calm_it() -> None:
    graver_one = placing.joined([fault(severity="critical"), fault(severity="warning")], OPEN, NOW)
    assert fold_all(OPEN, graver_one).priority == "urgent"
    assert fold_all(OPEN, placing.joined([fault(severity="warning")], OPEN, NOW)).priority == "high"


def cleared(**changes: Any) -> Cleared:
    return Cleared(**{
        "request_id": 1, "alert_id": 7, "rule": "silent", "resolution": "proof", "suppressed_by": None, "over": True,
        **changes,
    })  # fmt: skip


def test_what_nobody_touched_went_away_by_itself() -> None:
    after = fold_all(OPEN, placing.cleared([cleared()], OPEN, NOW))
    assert (after.state, after.resolution, after.found_cause, after.remedy) == (
        "resolved", "proof", "self-cleared", "self-cleared",
    )  # fmt: skip
    touched = replace(OPEN, state="in_progress")
    assert fold_all(touched, placing.cleared([cleared()], touched, NOW)).found_cause is None


def test_a_request_goes_on_while_one_of_its_alerts_does() -> None:
    assert fold_all(OPEN, placing.cleared([cleared(over=False)], OPEN, NOW)).state == "open"


def test_what_somebody_opened_for_another_reason_goes_on() -> None:
    by_hand = replace(OPEN, opened_by="agent", cause="cannot_measure")
    assert fold_all(by_hand, placing.cleared([cleared()], by_hand, NOW)).state == "open"
    same = replace(by_hand, cause="silent")
    assert fold_all(same, placing.cleared([cleared()], same, NOW)).state == "resolved"


@pytest.mark.parametrize("resolution", ["proof", "merged"])
def test_what_speaks_for_a_report_is_not_ended_by_the_machine(resolution: str) -> None:
    entries = placing.cleared([cleared(resolution=resolution)], OPEN, NOW, reported=True)
    assert [entry.what for entry in entries] == [What.ALERT]
    assert entries[0].body["stays_for"] == "reported"
    assert fold_all(OPEN, entries).state == "open"


def test_an_incident_takes_a_request_over() -> None:
    taken = [cleared(resolution="merged", suppressed_by="incident:7")]
    after = fold_all(OPEN, placing.cleared(taken, OPEN, NOW))
    assert (after.state, after.resolution) == ("closed", "merged:7")


DAY = timedelta(days=1)
CONTACT = {"paired": True, "last_contact": (NOW + DAY).isoformat()}


@pytest.mark.parametrize(
    ("changes", "later", "verdict"),
    [
        ({}, DAY, Verdict.PROVEN),
        ({}, DAY - timedelta(seconds=1), Verdict.WAIT),
        ({"heard_at": NOW + timedelta(hours=1)}, DAY, Verdict.WAIT),
        ({"heard_at": None}, DAY, Verdict.WAIT),
        ({"silent": True}, DAY, Verdict.WAIT),
        ({"silent": True}, DAY * 14, Verdict.FAILED),
        ({"silent": True, "resolved_by": "system"}, DAY * 14, Verdict.LAPSED),
        ({"silent": True, "interval_s": 14 * 86400.0}, DAY * 14, Verdict.WAIT),
        ({"peripherals": [CONTACT]}, DAY, Verdict.PROVEN),
        ({"peripherals": [CONTACT, {"paired": True, "last_contact": None}]}, DAY, Verdict.WAIT),
        ({"peripherals": [{**CONTACT, "paired": False}]}, DAY * 14, Verdict.FAILED),
        ({"peripherals": [{**CONTACT, "last_contact": (NOW - DAY).isoformat()}]}, DAY, Verdict.WAIT),
        ({"failing": True}, DAY, Verdict.FAILED),
        ({"failing": True, "resolved_by": "system"}, DAY * 30, Verdict.WAIT),
        ({"cleared_at": NOW + timedelta(hours=1)}, DAY, Verdict.WAIT),
        ({"watched": False}, DAY, Verdict.LAPSED),
        ({"wants_proof": False, "silent": True}, DAY, Verdict.LAPSED),
        ({"incident": True, "watched": False}, DAY, Verdict.PROVEN),
        ({"incident": True, "watched": False, "failing": True, "resolved_by": "system"}, DAY, Verdict.WAIT),
    ],
)
def test_what_counts_as_proof(changes: dict[str, Any], later: timedelta, verdict: Verdict) -> None:
    assert proof.judge(facts(**changes), RULES, NOW + later) is verdict


def test_a_log_says_who_wrote_something() -> None:
    opening = Entry(
        What.OPENED, "system", NOW, {"by": "alert", "cause": "silent", "line": "support", "priority": "low"}
    )
    assert not replay([opening]).has_text
    comment = Entry(What.COMMENT, "user 1 a", NOW, {"text": "called", "audience": "internal"})
    assert replay([opening, comment]).has_text
    assert not replay([opening, comment, Entry(What.REDACTED, "user 1 a", NOW)]).has_text
