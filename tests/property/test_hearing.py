"""The listening clock of the past says what the clock itself would have, second by second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts.judging.facts import deadline_clock_s
from fleet.alerts.judging.hearing import Hearing

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
LENGTH_S = 4_000


def at(second: float) -> datetime:
    """A moment."""
    return BEGIN + timedelta(seconds=second)


SPAN = st.tuples(st.integers(0, LENGTH_S), st.integers(1, 900)).map(lambda each: (at(each[0]), at(sum(each))))
OUTAGES = st.lists(SPAN, max_size=6)


@given(OUTAGES, st.integers(0, LENGTH_S), st.integers(30, 1_500), st.integers(10, 1_200))
def test_silence_begins_when_the_clock_passes_the_deadline(
    outages: list[tuple[datetime, datetime]], heard: int, allowance: int, interval: int
) -> None:
    hearing = Hearing(outages)
    heard_clock_s = hearing.clock_s(at(heard))
    expected = None
    for second in range(heard, LENGTH_S):
        clock = hearing.clock(at(second))
        if clock.hears and clock.clock_s > deadline_clock_s(heard_clock_s, allowance, interval, clock):
            expected = second
            break
    found = hearing.silent_from(at(heard), allowance, interval, at(LENGTH_S - 1))
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert abs((found - at(expected)).total_seconds()) <= 1.01


@given(OUTAGES, st.integers(0, LENGTH_S), st.integers(0, LENGTH_S))
def test_the_clock_never_runs_faster_than_time_and_never_back(
    outages: list[tuple[datetime, datetime]], one: int, other: int
) -> None:
    first, last = sorted((one, other))
    hearing = Hearing(outages)
    ran_s = hearing.clock_s(at(last)) - hearing.clock_s(at(first))
    assert -1e-5 <= ran_s <= last - first + 1e-5


@given(OUTAGES, st.integers(0, LENGTH_S), st.integers(30, 1_500))
def test_an_outage_never_makes_a_kit_silent_sooner(
    outages: list[tuple[datetime, datetime]], heard: int, allowance: int
) -> None:
    plain = Hearing().silent_from(at(heard), allowance, 300, at(LENGTH_S * 3))
    found = Hearing(outages).silent_from(at(heard), allowance, 300, at(LENGTH_S * 3))
    assert plain is not None
    assert found is None or found >= plain - timedelta(seconds=0.01)
