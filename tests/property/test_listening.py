"""The listening clock over all courses of events, and the silence made of it, against a plain reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.ingest.listening import (
    GRACE_CHAIN_S,
    MAX_GAP_S,
    MAX_GRACE_S,
    MAX_LAG_S,
    ListeningClock,
    ListeningState,
)


@dataclass(frozen=True, slots=True)
class Step:
    """After `wait_s` something happens; a marker was then under way for `lag_s`."""

    what: str
    wait_s: float
    lag_s: float


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["marker", "marker", "marker", "marker", "disconnected", "connected", "restart"]),
        st.sampled_from([0.0, 0.3, 1.0, 1.0, 1.0, 5.0, 9.9, 10.1, 30.0, 400.0, 1000.0]),
        st.sampled_from([0.0, 0.1, 0.1, 2.0, 9.9, 10.1, 60.0]),
    ),
    max_size=60,
)


def course(steps: list[Step]) -> Iterator[tuple[float, Step, ListeningClock, ListeningClock]]:
    """The clock before and after each step, with the time of day it happens at."""
    now_s, clock = 1000.0, ListeningClock().connected()
    for step in steps:
        now_s += step.wait_s
        before = clock
        if step.what == "marker":
            clock = clock.evidence(now_s - step.lag_s, now_s)
        elif step.what == "disconnected":
            clock = clock.disconnected()
        elif step.what == "connected":
            clock = clock.connected()
        else:
            clock = ListeningClock.taken_over(
                clock.clock_s, clock.resumed_clock_s, clock.grace_from_clock_s, step.wait_s
            )
        yield now_s, step, before, clock


@given(STEPS)
def test_the_clock_runs_on_evidence_only_and_never_ahead_of_it(steps: list[Step]) -> None:
    first_sent_s: float | None = None
    for now_s, step, before, after in course(steps):
        assert after.clock_s >= before.clock_s
        if step.what != "marker" or step.lag_s > MAX_LAG_S:
            assert after.clock_s == before.clock_s
            continue
        sent_s = now_s - step.lag_s
        if after.clock_s > before.clock_s:
            assert before.state is ListeningState.LISTENING
            assert before.credited_at_s is not None
            assert after.clock_s - before.clock_s == pytest.approx(sent_s - before.credited_at_s)
            assert after.clock_s - before.clock_s <= MAX_GAP_S
        first_sent_s = sent_s if first_sent_s is None else first_sent_s
        assert after.clock_s <= max(0.0, now_s - first_sent_s) + 1e-6


@given(STEPS)
def test_an_outage_of_ours_sets_resumed(steps: list[Step]) -> None:
    for now_s, step, before, after in course(steps):
        if step.what != "marker" or step.lag_s > MAX_LAG_S:
            assert after.resumed_clock_s == before.resumed_clock_s
            continue
        gap_s = None if before.credited_at_s is None else now_s - step.lag_s - before.credited_at_s
        if gap_s is not None and gap_s > MAX_GAP_S:
            assert after.resumed_clock_s == after.clock_s == before.clock_s


@given(STEPS)
def test_the_grace_of_a_chain_is_bounded(steps: list[Step]) -> None:
    for _, _, _, clock in course(steps):
        assert clock.grace_from_clock_s <= clock.resumed_clock_s <= clock.clock_s
        assert clock.resumed_clock_s - clock.grace_from_clock_s < GRACE_CHAIN_S


@given(STEPS, st.floats(0, 3000), st.floats(30, 1000), st.floats(1, 10_000))
def test_whatever_outages_we_have_silence_is_found_in_the_end(
    steps: list[Step], heard_s: float, allowance_s: float, interval_s: float
) -> None:
    for _, _, _, clock in course(steps):
        silent = is_silent(heard_s, 0.0, allowance_s, interval_s, clock)
        if clock.clock_s <= heard_s + allowance_s:
            assert not silent
        if clock.clock_s > heard_s + allowance_s + GRACE_CHAIN_S + MAX_GRACE_S:
            assert silent


def is_silent(
    heard_s: float | None,
    from_s: float | None,
    allowance_s: float | None,
    interval_s: float | None,
    clock: ListeningClock,
) -> bool:
    """Silence in plain words: heard and watched, its time is over, and was before our outage or so is the grace."""
    if heard_s is None or allowance_s is None or interval_s is None:
        return False
    deadline_s = max(heard_s, from_s or 0.0) + allowance_s
    if clock.clock_s <= deadline_s:
        return False
    overdue_before_our_outage = deadline_s < clock.grace_from_clock_s
    return overdue_before_our_outage or clock.clock_s > clock.resumed_clock_s + min(interval_s, MAX_GRACE_S)


READINGS = st.sampled_from([0.0, 1.0, 29.0, 30.0, 31.0, 300.0, 900.0, 930.0, 1000.0, 5000.0]) | st.floats(0, 5000)


@pytest.mark.storage
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    heard_s=st.none() | READINGS,
    from_s=st.none() | READINGS,
    allowance_s=st.none() | st.sampled_from([30.0, 900.0]) | st.floats(30, 2000),
    interval_s=st.sampled_from([1.0, 300.0, 900.0, 86_400.0]),
    readings=st.tuples(READINGS, READINGS, READINGS),
)
def test_the_database_says_the_same(
    connection: psycopg.Connection[Any],
    heard_s: float | None,
    from_s: float | None,
    allowance_s: float | None,
    interval_s: float,
    readings: tuple[float, float, float],
) -> None:
    grace_from_s, resumed_s, clock_s = sorted(readings)
    row = connection.execute(
        "SELECT is_silent(%(heard)s, %(from)s, %(allowance)s, %(interval)s, %(clock)s, %(resumed)s, %(grace)s),"
        " silence_deadline_clock_s(%(heard)s, %(from)s, %(allowance)s, %(interval)s, %(resumed)s, %(grace)s)",
        {
            "heard": heard_s, "from": from_s, "allowance": allowance_s, "interval": interval_s,
            "clock": clock_s, "resumed": resumed_s, "grace": grace_from_s,
        },
    ).fetchone()  # fmt: skip
    assert row is not None
    clock = ListeningClock(clock_s, resumed_s, grace_from_s)
    assert row[0] == is_silent(heard_s, from_s, allowance_s, interval_s, clock)
    assert row[0] == (row[1] is not None and clock_s > row[1])


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as open_connection:
        yield open_connection


ALLOWANCES = [
    ("installed", 300, None, 900),
    ("installed", 1, None, 30),
    ("installed", 10, None, 30),
    ("installed", 11, None, 33),
    ("installed", 3600, None, 10_800),
    ("installed", 3601, None, 5401.5),
    ("installed", 14 * 86_400, None, 21 * 86_400),
    ("installed", 300, 2.0, 600),
    ("installed", 7200, 1.0, 7200),
    ("in_stock", 300, None, None),
    ("scrapped", 300, 3.0, None),
]


@pytest.mark.storage
def test_how_long_a_kit_may_be_quiet(connection: psycopg.Connection[Any]) -> None:
    for state, interval_s, tolerance, allowance_s in ALLOWANCES:
        row = connection.execute("SELECT watch_allowance_s(%s, %s, %s)", (state, interval_s, tolerance)).fetchone()
        assert row == (allowance_s,), (state, interval_s, tolerance)
