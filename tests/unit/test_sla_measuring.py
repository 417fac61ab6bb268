"""Clocks of service requests: what ends, pauses, moves and breaches them, and which steps are told when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from fleet.alerts.sla.calendars import ALWAYS, CLOSED, Calendar
from fleet.alerts.sla.escalating import Plan, Step, one_up, plan
from fleet.alerts.sla.measuring import Clocks, Entry, Promise, State, Target, follow, measure
from fleet.alerts.sla.terms import Event, entries_of, told_keys

BEGIN = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
OFFICE = Calendar(hours=(((480, 960),),) * 5 + (CLOSED,) * 2, time_zone="UTC")
TARGETS = {
    "urgent": Promise(4 * HOUR, HOUR, 2 * HOUR),
    "high": Promise(8 * HOUR, 2 * HOUR, 4 * HOUR),
    "normal": Promise(24 * HOUR, 4 * HOUR),
    "low": Promise(48 * HOUR),
}
STEPS = (
    Step(Target.SOLUTION, percent=50),
    Step(Target.SOLUTION, percent=75, raise_priority=True),
    Step(Target.SOLUTION, before_min=30, notify="role", role="secretariat"),
    Step(Target.RESPONSE, percent=50, notify="assignee"),
)


def at(hours: float) -> datetime:
    """So long after the opening."""
    return BEGIN + hours * HOUR


def opened(priority: str = "high", *, human: bool = False) -> Entry:
    """The first entry."""
    return Entry(BEGIN, human, "open", priority=priority)


def becomes(hours: float, state: str, waiting_for: str | None = None, *, human: bool = True) -> Entry:
    """A step."""
    return Entry(at(hours), human, state, waiting_for)


def measured(*log: Entry, now: float, calendar: Calendar = ALWAYS) -> Clocks:
    """Measured so long after the opening."""
    return measure(log, calendar, TARGETS, at(now))


def planned(*log: Entry, now: float, known: Sequence[str] = (), calendar: Calendar = ALWAYS) -> Plan:
    """What is told then."""
    clocks = measure(log, calendar, TARGETS, at(now))
    return plan(follow(log, at(now)), clocks, calendar, STEPS, frozenset(known))


def test_nothing_happens_and_everything_is_late_in_its_time() -> None:
    clocks = measured(opened(), now=1)
    assert (clocks.response.due, clocks.solution.due, clocks.state) == (at(2), at(8), State.RUNNING)
    assert clocks.update.state is State.NONE, "updates are promised from when it was taken up"
    assert measured(opened(), now=2).breaches == ()
    assert measured(opened(), now=2.01).breaches == (Target.RESPONSE,)
    clocks = measured(opened(), now=9)
    assert clocks.breaches == (Target.RESPONSE, Target.SOLUTION)
    assert clocks.state is State.BREACHED


def test_the_first_that_somebody_does_is_the_response() -> None:
    clocks = measured(opened(), becomes(0.5, "open", human=False), Entry(at(1), human=True), now=3)
    assert (clocks.response.at, clocks.response.state) == (at(1), State.MET)
    assert measured(opened(), Entry(at(2.5), human=True), now=3).response.state is State.BREACHED
    assert measured(opened(human=True), now=3).response.at == BEGIN


def test_what_ended_by_itself_needed_no_response() -> None:
    clocks = measured(opened(), becomes(1, "resolved", human=False), now=9)
    assert (clocks.response.at, clocks.state, clocks.breaches) == (at(1), State.MET, ())


@pytest.mark.parametrize("waiting_for", ["citizen", "supplier", "transport"])
def test_clocks_stand_still_while_others_are_waited_for(waiting_for: str) -> None:
    log = [opened(), becomes(1, "in_progress"), becomes(2, "waiting", waiting_for)]
    paused = measured(*log, now=20)
    assert (paused.state, paused.paused_s, paused.breaches) == (State.PAUSED, 18 * 3600, ())
    assert paused.solution.due == at(26), "as if it went on now"
    clocks = measured(*log, becomes(20, "in_progress"), now=21)
    assert (clocks.state, clocks.solution.due) == (State.RUNNING, at(26))


@pytest.mark.parametrize("waiting_for", ["other", None])
def test_waiting_for_anything_else_is_at_our_cost(waiting_for: str | None) -> None:
    clocks = measured(opened(), becomes(1, "waiting", waiting_for), now=3)
    assert (clocks.state, clocks.solution.due) == (State.RUNNING, at(8))


def test_what_was_late_stays_late_while_it_waits() -> None:
    clocks = measured(opened(), becomes(9, "waiting", "citizen"), now=20)
    assert (clocks.state, clocks.solution.due) == (State.BREACHED, at(8))


def test_the_solution_is_in_time_until_its_very_end() -> None:
    assert measured(opened(), becomes(8, "resolved"), now=30).solution.state is State.MET
    assert measured(opened(), becomes(8.01, "resolved"), now=30).solution.state is State.BREACHED


def test_a_request_opened_again_goes_on_where_it_was() -> None:
    log = [opened(), becomes(1, "in_progress"), becomes(3, "resolved")]
    ended = measured(*log, now=50)
    assert (ended.solution.at, ended.state, ended.paused_s) == (at(3), State.MET, 0)
    again = measured(*log, becomes(50, "open", human=False), now=51)
    assert (again.solution.at, again.solution.due, again.state) == (None, at(55), State.RUNNING)
    assert measured(*log, becomes(50, "open", human=False), now=56).solution.state is State.BREACHED


def test_closing_what_is_resolved_moves_nothing() -> None:
    log = [opened(), becomes(3, "resolved")]
    assert measured(*log, becomes(90, "closed", human=False), now=99) == measured(*log, now=99)


def test_another_priority_counts_from_the_beginning() -> None:
    raised = [opened("normal"), Entry(at(1), human=True, priority="urgent")]
    clocks = measured(*raised, now=2)
    assert clocks.solution.due == at(4)
    assert clocks.response.state is State.MET, "in time by the priority of when it was answered"
    assert measured(opened("normal"), Entry(at(6), human=False, priority="urgent"), now=7).breaches == (
        Target.RESPONSE,
        Target.SOLUTION,
    )
    assert measured(opened("urgent"), Entry(at(6), human=False, priority="low"), now=7).breaches == ()


def test_a_back_dated_entry_moves_the_clocks() -> None:
    late = [opened(), becomes(7, "in_progress")]
    assert measured(*late, now=9).breaches == (Target.RESPONSE, Target.SOLUTION)
    corrected = [opened(), becomes(1, "waiting", "citizen"), becomes(6, "open"), becomes(7, "in_progress")]
    assert measured(*corrected, now=9).breaches == ()


def test_updates_are_due_again_and_again() -> None:
    log = [opened("urgent"), Entry(at(0.5), human=True), Entry(at(2), human=True)]
    clocks = measured(*log, now=2.5)
    assert (clocks.update.due, clocks.update.missed) == (at(4), 0)
    late = measured(opened("urgent"), Entry(at(0.5), human=True), Entry(at(3), human=True), now=3.5)
    assert (late.update.due, late.update.missed, late.breaches) == (at(5), 1, (Target.UPDATE,))
    over = measured(*log, becomes(3, "resolved", human=False), now=99)
    assert (over.update.at, over.breaches) == (at(3), ())


def test_targets_are_in_open_hours() -> None:
    # Wednesday 08:00, open until 16:00: eight hours are over with the day, 24 with Friday.
    assert measured(opened(), now=1, calendar=OFFICE).solution.due == at(8)
    assert measured(opened("normal"), now=1, calendar=OFFICE).solution.due == at(2 * 24 + 8)
    log = [opened("normal"), becomes(4, "waiting", "supplier"), becomes(24, "open")]
    assert measured(*log, now=25, calendar=OFFICE).solution.due == at(5 * 24 + 4), "half a day later, so on Monday"


def test_steps_are_told_once_and_in_time() -> None:
    assert planned(opened("normal"), now=1) == Plan((), at(2))
    first = planned(opened("normal"), now=2)
    ((told,), look_at) = first.told, first.look_at
    assert (told.key, told.breached, told.step) == ("response:50%", False, STEPS[3])
    assert look_at == at(2)
    assert planned(opened("normal"), now=2, known=["response:50%"]).look_at == at(4) + timedelta(microseconds=1)


def test_what_came_due_while_nobody_looked_is_told_once() -> None:
    (response, solution) = planned(opened(), now=99).told
    assert (response.key, response.along, response.breached) == ("response:breach", ("response:50%",), True)
    assert (solution.key, solution.breached) == ("solution:breach", True)
    assert solution.along == ("solution:50%", "solution:75%", "solution:-30min")
    assert solution.raises
    assert solution.step == STEPS[2]
    known = [response.key, *response.along, solution.key, *solution.along]
    assert planned(opened(), now=99, known=known) == Plan((), None)


def test_what_was_opened_again_is_told_of_anew() -> None:
    reopened = [opened(), becomes(6, "resolved"), becomes(100, "open")]
    known = ["response:50%", "response:breach", "solution:50%", "solution:75%"]
    (told,) = planned(*reopened, now=100, known=known).told
    assert (told.key, told.along) == ("solution:75%#1", ("solution:50%#1",)), "as far as it is now"
    known += [told.key, *told.along]
    following = planned(*reopened, now=100, known=known)
    assert (following.told, following.look_at) == ((), at(101.5)), "then half an hour before it is due"
    late = [
        opened(),
        becomes(30, "resolved"),
        becomes(100, "open"),
        becomes(101, "closed"),
        becomes(200, "in_progress"),
    ]
    assert [each.key for each in planned(*late, now=200, known=["solution:breach", "solution:breach#1"]).told] == [
        "solution:breach#2"
    ]


def test_each_round_of_updates_is_told_of() -> None:
    first = [opened("urgent"), Entry(at(0.5), human=True)]
    (told,) = (each for each in planned(*first, now=2.6).told if each.target is Target.UPDATE)
    second = [*first, Entry(at(2.7), human=True)]
    assert [each.target for each in planned(*second, now=3, known=[told.key]).told] == [Target.SOLUTION]
    again = planned(*second, now=4.8, known=[told.key]).told
    assert Target.UPDATE in [each.target for each in again]


def test_nothing_is_told_of_what_waits_or_is_over() -> None:
    waits = planned(opened("normal"), becomes(1, "waiting", "citizen"), now=90)
    assert waits.told == ()
    assert waits.look_at == at(113) - timedelta(minutes=5), "before its due time would be now"
    assert planned(opened("normal"), becomes(30, "resolved"), now=90) == Plan((), None)


def test_there_is_nothing_above_urgent() -> None:
    assert [one_up(each) for each in ("low", "normal", "high", "urgent")] == ["normal", "high", "urgent", None]


def event(number: int, hours: float, actor: str, what: str, **body: object) -> Event:
    """A row of a log."""
    return Event(7, number, at(hours), actor, what, body)


def test_a_log_is_read_in_the_order_of_what_happened() -> None:
    rows = [
        event(4, 2, "user 1 a", "state", **{"from": "open", "to": "waiting", "waiting_for": "citizen"}),
        event(1, 0, "system", "opened", priority="normal"),
        event(5, 1, "user 2 b", "comment", text="called"),
        event(3, 3, "system", "priority", **{"from": "normal", "to": "high"}),
        event(6, -1, "user 2 b", "redacted"),
    ]
    log = entries_of(rows, at(0), "high")
    assert log[0] == opened("normal")
    assert [(each.at, each.human) for each in log[1:]] == [
        (at(-1), False), (at(1), True), (at(2), True), (at(3), False),
    ]  # fmt: skip
    assert log[3].waiting_for == "citizen"
    assert measure(log, ALWAYS, TARGETS, at(4)).response.at == at(1)


@pytest.mark.parametrize(
    ("actor", "what", "body", "cares"),
    [
        ("user 1 a", "comment", {}, True),
        ("user 1 a", "call", {"call": 3}, True),
        ("user 1 a", "visit", {}, True),
        ("user 1 a", "linked", {}, False),
        ("user 1 a", "reference", {}, False),
        ("user 1 a", "merged", {}, False),
        ("token 4 ticket system", "comment", {}, False),
        ("connector north", "comment", {}, False),
        ("system", "comment", {}, False),
    ],
)
def test_a_response_is_care_by_a_person(actor: str, what: str, body: dict[str, object], cares: bool) -> None:
    rows = [event(1, 0, "token 4 ticket system", "opened", priority="high"), event(2, 1, actor, what, **body)]
    response = measure(entries_of(rows, at(0), "high"), ALWAYS, TARGETS, at(2)).response
    assert response.at == (at(1) if cares else None)


def test_a_call_that_was_entered_wrongly_answers_nobody() -> None:
    rows = [event(1, 0, "system", "opened"), event(2, 1, "user 1 a", "call", call=3)]
    assert entries_of(rows, at(0), "high")[1].human
    rows.append(event(3, 2, "user 1 a", "call", call=3, voided=True))
    assert not any(each.human for each in entries_of(rows, at(0), "high"))


def test_an_opening_that_tells_no_priority_had_the_first_known() -> None:
    changed = event(2, 1, "user 1 a", "priority", **{"from": "low", "to": "high"})
    assert entries_of([event(1, 0, "system", "opened"), changed], at(0), "high")[0].priority == "low"
    assert entries_of([], at(0), "high") == [opened("high")]


def test_told_keys_are_those_told_along_too() -> None:
    rows = [event(1, 0, "system", "escalated", key="a", along=["b"]), event(2, 0, "system", "comment")]
    assert told_keys(rows) == {"a", "b"}
