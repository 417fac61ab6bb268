"""When a role is started again: kills are not held against it, failures at start are."""

from __future__ import annotations

from signal import SIGABRT, SIGKILL, SIGTERM

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.cli.supervise.restarts import MOST_FAILURES, QUICK_S, Ending, Record

endings = st.builds(
    Ending,
    code=st.sampled_from([0, 1, 3, -SIGABRT, -SIGKILL, -SIGTERM]),
    lived_s=st.floats(0, 2 * QUICK_S),
)


def delays(*history: Ending) -> list[float | None]:
    record, found = Record(), []
    for ending in history:
        record = record.after(ending)
        found.append(record.delay_s(ending))
    return found


def test_a_role_killed_again_and_again_is_always_back_within_a_second() -> None:
    assert all(delay is not None and delay < 1 for delay in delays(*[Ending(-SIGKILL, 0.0)] * 100))


def test_a_role_that_fails_at_start_gets_more_time_each_time_and_is_given_up() -> None:
    found = delays(*[Ending(1, 0.5)] * MOST_FAILURES)
    assert found[-1] is None
    times = [delay for delay in found if delay is not None]
    assert len(times) == MOST_FAILURES - 1
    assert times == sorted(times)
    assert times[0] < 1


def test_wrong_use_is_given_up_at_once() -> None:
    assert delays(Ending(2, 0.5)) == [None]


@pytest.mark.parametrize("code", [0, 1, -SIGABRT])
def test_a_long_life_wipes_the_record_clean(code: int) -> None:
    failures = [Ending(1, 0.5)] * (MOST_FAILURES - 1)
    found = delays(*failures, Ending(code, QUICK_S), *failures[1:])
    assert None not in found


@given(st.lists(endings, max_size=40))
def test_only_failures_at_start_in_a_row_lead_to_giving_up(history: list[Ending]) -> None:
    found = delays(*history)
    if None in found:
        until = history[: found.index(None) + 1]
        assert sum(not ending.from_outside for ending in until) >= MOST_FAILURES
