"""Whatever is done with a request, in whatever order: it stays on the table of steps, and its log says the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.access.roles import Role
from fleet.alerts.requests import deciding, placing, proof, steps
from fleet.alerts.requests.deciding import Asking
from fleet.alerts.requests.log import ENDED, MOVING, SYSTEM, Entry, Standing, What, fold_all, in_order, replay
from fleet.alerts.requests.placing import Cleared, Fault
from fleet.alerts.requests.proof import Facts, Rules, Verdict
from fleet.alerts.requests.steps import NotAllowed
from fleet.errors import ConflictError, ForbiddenError, InvalidError

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
STATES = ("open", "in_progress", "waiting", "resolved", "closed")
SEVERITIES = ("critical", "major", "minor", "warning")

changes = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(STATES),
        "line": st.sampled_from(("support", "service", "logistics", "supplier")),
        "priority": st.sampled_from(("urgent", "high", "normal", "low")),
        "reason": st.just("said"),
        "resolution": st.just("told"),
        "waiting_for": st.sampled_from(("citizen", "supplier", "transport", "other")),
    },
)
acts = st.lists(
    st.tuples(
        st.sampled_from(("change", "forward", "resolve", "merge", "alert", "clear", "comment")),
        changes,
        st.sampled_from((Role.SUPPORT, Role.SERVICE, Role.ADMIN, Role.AUDITOR)),
        st.integers(0, 10),
        st.sampled_from(SEVERITIES),
    ),
    max_size=25,
)


def decided(standing: Standing, act: str, said: dict[str, Any], asking: Asking, severity: str) -> list[Entry]:
    """What the log gets; nothing when it is refused."""
    other = Standing("other", "support", "low", "open", "agent", BEGIN)
    answer: Any = []
    try:
        match act:
            case "change":
                answer = deciding.changed(standing, said, asking)
            case "forward":
                answer = deciding.forwarded(standing, said.get("line", "service"), "why", asking)
            case "resolve":
                answer = deciding.resolved(standing, asking, cause="other", remedy="advice", resolution=None)
            case "merge":
                answer = deciding.merged(standing, other, ("SR-1", "SR-2"), asking, belong=said != {})[0]
            case "comment":
                answer = [asking.entry(What.COMMENT, text="x", audience="internal")]
            case "alert":
                fault = Fault(1, 1, "silent", severity, "major", "high", "support", False, "SR-1", True)
                joins = placing.joins(fault, standing, asking.now, WEEK)
                answer = placing.joined([fault], standing, asking.now) if joins else []
            case "clear":
                answer = placing.cleared([Cleared(1, 1, "silent", "proof", None, True)], standing, asking.now)
    except (ConflictError, ForbiddenError, InvalidError):
        return []
    return [] if isinstance(answer, NotAllowed) else list(answer)


@given(acts=acts)
def test_no_sequence_of_acts_leaves_the_table_and_the_log_says_what_the_row_says(acts: list[Any]) -> None:
    opening = {"by": "alert", "cause": "silent", "line": "support", "priority": "high"}
    log = [Entry(What.OPENED, SYSTEM, BEGIN, opening)]
    standing, now = replay(log), BEGIN
    known = {(step.source, step.target) for step in steps.STEPS}
    for act, said, role, days, severity in acts:
        now += timedelta(days=days)
        before = standing
        entries = decided(before, act, said, Asking("user 1 a", frozenset({role}), now, WEEK), severity)
        standing = fold_all(before, entries)
        log += entries
        assert standing == replay(log)
        by_merge = act == "merge" and standing.merged_into is not None
        assert by_merge or before.state == standing.state or (before.state, standing.state) in known
        assert (standing.state in ENDED) == (standing.resolved_at is not None)
        assert (standing.state == "waiting") == (standing.waiting_for is not None)
        assert (standing.state == "closed") == (standing.closed_at is not None) == (standing.proven is not None)
        assert standing.reopened - before.reopened == (before.state in ENDED and standing.state not in ENDED)
        assert before.merged_into is None or standing == before or {e.what for e in entries} == {What.COMMENT}


@given(acts=acts, late=st.lists(st.integers(-40, 40), min_size=25, max_size=25))
def test_desks_and_ticks_whose_clocks_differ_leave_a_log_that_goes_forward(acts: list[Any], late: list[int]) -> None:
    opening = {"by": "alert", "cause": "silent", "line": "support", "priority": "high"}
    log = [Entry(What.OPENED, SYSTEM, BEGIN, opening)]
    standing, moved_at, clock = replay(log), BEGIN, BEGIN
    for (act, said, role, minutes, severity), skew_s in zip(acts, late, strict=False):
        clock += timedelta(minutes=minutes)
        # A tick began some time before it writes, or its clock is not the desk's.
        now = clock + timedelta(seconds=skew_s)
        asking = Asking("user 1 a", frozenset({role}), now, WEEK)
        given_ = decided(standing, act, said, asking, severity)
        entries = in_order(given_, moved_at)
        assert [(e.what, e.body) for e in entries] == [(e.what, e.body) for e in given_]
        assert all(e.at == g.at for e, g in zip(entries, given_, strict=True) if g.at >= moved_at)
        log += entries
        standing = fold_all(standing, entries)
        moved_at = max([moved_at, *(e.at for e in entries if e.what in MOVING)])
    moving = [entry for entry in log if entry.what in MOVING]
    assert moving == sorted(moving, key=lambda entry: entry.at)
    assert replace(replay(moving), has_text=standing.has_text) == standing


facts = st.builds(
    Facts,
    request_id=st.just(1),
    resolved_at=st.just(BEGIN),
    resolved_by=st.sampled_from((SYSTEM, "user 1 a")),
    incident=st.booleans(),
    watched=st.booleans(),
    failing=st.booleans(),
    wants_proof=st.booleans(),
    cleared_at=st.one_of(st.none(), st.datetimes(BEGIN.replace(tzinfo=None), timezones=st.just(UTC))),
    heard_at=st.one_of(st.none(), st.just(BEGIN), st.just(BEGIN + WEEK)),
    silent=st.booleans(),
    interval_s=st.sampled_from((0.0, 300.0, 1_000_000.0)),
    peripherals=st.sampled_from((None, [], [{"paired": False, "last_contact": None}])),
)


@given(facts=facts, days=st.floats(0, 60))
@settings(max_examples=300)
def test_only_what_is_well_is_proven_and_what_ended_by_itself_never_fails(facts: Facts, days: float) -> None:
    rules, now = Rules(timedelta(days=1), 2 * WEEK), BEGIN + timedelta(days=days)
    verdict = proof.judge(facts, rules, now)
    if verdict is Verdict.PROVEN:
        assert not facts.failing
        assert facts.incident or (facts.watched and not facts.silent and facts.heard_at is not None)
    if verdict is Verdict.FAILED:
        assert facts.by_hand
    if now - facts.resolved_at < rules.proof_for:
        assert verdict is Verdict.WAIT
