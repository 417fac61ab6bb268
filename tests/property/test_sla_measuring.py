"""Clocks hold whatever happens to a request: the order in which it is told does not matter, waiting only helps."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts.sla.calendars import ALWAYS, CLOSED, Calendar, business_time
from fleet.alerts.sla.escalating import Step, plan
from fleet.alerts.sla.measuring import Entry, Promise, State, Target, follow, measure
from fleet.alerts.sla.terms import Event, entries_of

BEGIN = datetime(2026, 10, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OFFICE = Calendar(hours=(((480, 960),),) * 5 + (CLOSED,) * 2, holidays="DK")
TARGETS = {
    priority: Promise(timedelta(hours=4 * n), timedelta(hours=n), timedelta(hours=2 * n))
    for n, priority in enumerate(("urgent", "high", "normal", "low"), 1)
}
STEPS = (
    Step(Target.SOLUTION, percent=50, raise_priority=True),
    Step(Target.SOLUTION, before_min=15),
    Step(Target.RESPONSE, percent=80),
    Step(Target.UPDATE, percent=90),
)
STATES = ["open", "in_progress", "waiting", "resolved", "closed"]

bodies: st.SearchStrategy[tuple[str, dict[str, str | None]]] = st.one_of(
    st.tuples(
        st.just("state"),
        st.builds(
            lambda to, who: {"to": to, "waiting_for": who if to == "waiting" else None},
            st.sampled_from(STATES),
            st.sampled_from(["citizen", "supplier", "transport", "other"]),
        ),
    ),
    st.tuples(st.just("priority"), st.builds(lambda to: {"to": to}, st.sampled_from(list(TARGETS)))),
    st.tuples(st.just("comment"), st.just({})),
)
calendars = st.sampled_from([ALWAYS, OFFICE])


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """A request's log as it is stored."""
    rows = [Event(1, 1, BEGIN, draw(st.sampled_from(["system", "user 1 a"])), "opened", {"priority": "high"})]
    for number in range(draw(st.integers(0, 8))):
        what, body = draw(bodies)
        at = BEGIN + MINUTE * draw(st.integers(-60, 6 * 24 * 60))
        rows.append(Event(1, number + 2, at, draw(st.sampled_from(["system", "user 1 a"])), what, body))
    return rows


nows = st.integers(0, 9 * 24 * 60).map(lambda minutes: BEGIN + minutes * MINUTE)


@given(logs(), nows, calendars, st.randoms())
def test_the_order_in_which_entries_are_read_does_not_matter(
    rows: list[Event], now: datetime, calendar: Calendar, shuffler: random.Random
) -> None:
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    one = measure(entries_of(rows, BEGIN, "high"), calendar, TARGETS, now)
    assert one == measure(entries_of(shuffled, BEGIN, "high"), calendar, TARGETS, now)


@given(logs(), nows, calendars)
def test_a_clock_that_ran_to_its_due_time_ran_for_its_target(
    rows: list[Event], now: datetime, calendar: Calendar
) -> None:
    log = entries_of(rows, BEGIN, "high")
    course, clocks = follow(log, now), measure(log, calendar, TARGETS, now)
    assert clocks.solution.due is not None
    until = min(clocks.solution.due, course.ended or now)
    ran = [business_time(calendar, start, min(end, until)) for start, end in course.running]
    assert sum(ran, timedelta()) <= (clocks.solution.target or timedelta())
    if clocks.solution.state is State.BREACHED:
        assert sum(ran, timedelta()) == clocks.solution.target
        assert clocks.solution.due < (course.ended or now)


@given(logs(), nows, calendars)
def test_waiting_for_the_citizen_never_makes_it_due_sooner(
    rows: list[Event], now: datetime, calendar: Calendar
) -> None:
    log = entries_of(rows, BEGIN, "high")
    eased = [replace(each, waiting_for="other" if each.state == "waiting" else None) for each in log]
    due, ours = measure(log, calendar, TARGETS, now).solution.due, measure(eased, calendar, TARGETS, now).solution.due
    assert due is not None
    assert ours is not None
    assert due >= ours


@given(logs(), nows, calendars)
def test_looking_at_every_moment_tells_each_key_once_and_ends(
    rows: list[Event], now: datetime, calendar: Calendar
) -> None:
    log = [each for each in entries_of(rows, BEGIN, "high") if each.at <= now]
    log = log or [Entry(BEGIN, human=False, state="open", priority="high")]
    known: set[str] = set()
    looked = now
    for _ in range(60):
        made = plan(follow(log, looked), measure(log, calendar, TARGETS, looked), calendar, STEPS, frozenset(known))
        for told in made.told:
            keys = {told.key, *told.along}
            assert not keys & known
            known |= keys
        if made.look_at is None:
            break
        assert made.look_at > looked or made.told, "a look that tells nothing leads on in time"
        if follow(log, looked).phase is State.PAUSED:
            break
        looked = made.look_at
    else:
        raise AssertionError("it goes on telling")
