"""Erlang's formula against published values and its own properties."""

from __future__ import annotations

import pytest

from fleet.alerts.calls.staffing import MOST_AGENTS, agents_needed, answered_within, waiting_share


def test_a_known_value_of_erlang_c() -> None:
    # Ten erlang on twelve agents: 0.4494 of the callers wait (tables of Erlang C).
    assert waiting_share(200, 3, 12) == pytest.approx(0.4494, abs=0.0005)


@pytest.mark.parametrize("agents", range(1, 40))
def test_more_agents_never_answer_later(agents: int) -> None:
    assert answered_within(300, 3, agents + 1, 20) >= answered_within(300, 3, agents, 20)
    assert 0 <= waiting_share(300, 3, agents) <= 1


def test_agents_that_cannot_keep_up_let_everybody_wait() -> None:
    assert waiting_share(60, 3, 3) == 1.0
    assert answered_within(60, 3, 3, 60) == 0.0


def test_the_fewest_agents_that_do() -> None:
    agents = agents_needed(120, 3)
    assert answered_within(120, 3, agents, 20) >= 0.8
    assert answered_within(120, 3, agents - 1, 20) < 0.8


@pytest.mark.parametrize(("calls", "minutes"), [(0, 3), (10, 0)])
def test_nobody_calls_and_nobody_is_needed(calls: float, minutes: float) -> None:
    assert agents_needed(calls, minutes) == 0


def test_there_is_an_end_to_it() -> None:
    assert agents_needed(100_000, 600) == MOST_AGENTS
    assert agents_needed(10, 3, share=0.999999, seconds=0) < MOST_AGENTS
