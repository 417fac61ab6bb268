"""The listening clock, sentence by sentence; times are seconds on our own monotonic clock."""

from __future__ import annotations

import pytest

from fleet.ingest.listening import (
    GRACE_CHAIN_S,
    MAX_GAP_S,
    MAX_GRACE_S,
    MAX_LAG_S,
    ListeningClock,
    ListeningState,
)


def listening(until_s: float, start: ListeningClock | None = None, from_s: float = 0.0) -> ListeningClock:
    """A clock with evidence every second, each marker under way for a tenth of one."""
    clock = (start or ListeningClock()).connected()
    second = from_s
    while second <= until_s:
        clock = clock.evidence(second, second + 0.1)
        second += 1
    return clock


def test_it_stands_before_the_first_marker() -> None:
    assert ListeningClock().state is ListeningState.DOWN
    assert ListeningClock().connected().state is ListeningState.CATCHING_UP
    assert ListeningClock().connected().clock_s == 0


def test_the_first_marker_says_that_we_listen_but_not_since_when() -> None:
    clock = ListeningClock().connected().evidence(100.0, 100.1)
    assert (clock.state, clock.clock_s) == (ListeningState.LISTENING, 0)


def test_it_runs_from_marker_to_marker() -> None:
    assert listening(60).clock_s == 60


def test_it_counts_up_to_when_the_marker_was_sent_not_to_when_it_came_back() -> None:
    clock = listening(10).evidence(11.0, 20.9)
    assert clock.clock_s == 11


def test_a_marker_that_took_long_came_through_a_backlog() -> None:
    clock = listening(10).evidence(11.0, 11.0 + MAX_LAG_S + 0.1)
    assert (clock.state, clock.clock_s) == (ListeningState.CATCHING_UP, 10)


def test_after_a_backlog_only_time_between_fresh_markers_counts() -> None:
    clock = listening(10).evidence(11.0, 21.5).evidence(19.0, 21.6)
    assert (clock.state, clock.clock_s) == (ListeningState.LISTENING, 10)
    assert clock.evidence(20.0, 21.7).clock_s == 11


def test_a_marker_older_than_the_last_changes_nothing() -> None:
    clock = listening(10)
    assert clock.evidence(10.0, 12.0) == clock
    assert clock.evidence(9.0, 12.0) == clock


def test_a_short_gap_in_a_standing_connection_counts() -> None:
    clock = listening(10).evidence(10 + MAX_GAP_S, 10 + MAX_GAP_S)
    assert (clock.clock_s, clock.resumed_clock_s) == (10 + MAX_GAP_S, 0)


def test_a_long_gap_counts_for_nothing_and_owes_a_grace() -> None:
    clock = listening(10).evidence(10.1 + MAX_GAP_S, 10.1 + MAX_GAP_S)
    assert (clock.state, clock.clock_s, clock.resumed_clock_s) == (ListeningState.LISTENING, 10, 10)


def test_a_short_break_of_the_connection_is_not_counted_and_no_outage() -> None:
    clock = listening(10).disconnected()
    assert clock.state is ListeningState.DOWN
    clock = clock.connected().evidence(15.0, 15.1)
    assert (clock.state, clock.clock_s, clock.resumed_clock_s) == (ListeningState.LISTENING, 10, 0)
    assert clock.evidence(16.0, 16.1).clock_s == 11


def test_a_long_break_of_the_connection_is_an_outage() -> None:
    clock = listening(1000).disconnected().connected().evidence(1011.0, 1011.1)
    assert (clock.clock_s, clock.resumed_clock_s, clock.grace_from_clock_s) == (1000, 1000, 1000)


@pytest.mark.parametrize(("age_s", "resumed_clock_s"), [(0.0, 50.0), (MAX_GAP_S, 50.0), (MAX_GAP_S + 0.1, 700.0)])
def test_the_next_process_goes_on_where_the_last_one_stopped(age_s: float, resumed_clock_s: float) -> None:
    clock = ListeningClock.taken_over(700.0, 50.0, 20.0, age_s).connected()
    assert clock.clock_s == 700
    clock = clock.evidence(3.0, 3.1)
    assert (clock.clock_s, clock.resumed_clock_s) == (700, resumed_clock_s)
    assert clock.evidence(4.0, 4.1).clock_s == 701


def test_one_outage_owes_one_grace() -> None:
    clock = ListeningClock.taken_over(700.0, 0.0, 0.0, 60.0).connected().evidence(1.0, 1.1)
    assert listening(100, clock, 2.0).resumed_clock_s == 700


def test_outages_in_short_succession_are_one_for_those_already_overdue() -> None:
    first = listening(2000.0).disconnected().connected().evidence(2100.0, 2100.1)
    assert (first.resumed_clock_s, first.grace_from_clock_s) == (2000, 2000)
    second = listening(2500.0, first, 2101.0).disconnected().connected().evidence(2600.0, 2600.1)
    assert second.resumed_clock_s == 2000 + 2500 - 2101
    assert second.grace_from_clock_s == 2000


def test_outages_far_apart_are_not_chained() -> None:
    first = listening(2000.0).disconnected().connected().evidence(2100.0, 2100.1)
    later = 2101.0 + MAX_GRACE_S
    second = listening(later, first, 2101.0).disconnected().connected().evidence(later + 60, later + 60.1)
    assert second.grace_from_clock_s == second.resumed_clock_s == 2000 + MAX_GRACE_S


def test_a_chain_of_outages_ends() -> None:
    clock, now = listening(10.0), 10.0
    graces = set()
    for _ in range(12):
        now += 60.0
        clock = listening(now + 600, clock.disconnected(), now)
        now += 600
        graces.add(clock.grace_from_clock_s)
        assert clock.clock_s - clock.grace_from_clock_s < GRACE_CHAIN_S + MAX_GRACE_S
    assert 1 < len(graces) < 4
