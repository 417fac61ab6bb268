"""The life of a kit: the table's own sense."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.state.lifecycle import (
    FINAL,
    STEPS,
    KitState,
    NotAllowed,
    Step,
    allowed_steps,
    missing_data,
    transition,
)

STATES = st.sampled_from(KitState)


@given(STATES, STATES)
def test_a_step_is_in_the_table_or_refused_with_what_is(source: KitState, target: KitState) -> None:
    outcome = transition(source, target)
    if isinstance(outcome, NotAllowed):
        assert target not in outcome.allowed
        assert outcome.allowed == allowed_steps(source)
    else:
        assert outcome in STEPS
        assert (outcome.source, outcome.target) == (source, target)


@given(st.lists(STATES, max_size=30))
def test_no_sequence_of_steps_leaves_the_table(wanted: list[KitState]) -> None:
    state = KitState.ORDERED
    for target in wanted:
        outcome = transition(state, target)
        if isinstance(outcome, Step):
            assert target in allowed_steps(state)
            state = outcome.target


def test_the_ordinary_life_is_possible_and_begins_again() -> None:
    life = "ordered in_stock preparing ready dispatched installed paused installed faulty retrieved cleaning preparing"
    states = [KitState(name) for name in life.split()]
    for source, target in pairwise(states):
        assert isinstance(transition(source, target), Step), (source, target)


def test_what_was_in_a_home_is_cleaned_before_it_is_used_again() -> None:
    """Every way from installed back to stock or preparation goes through cleaning."""
    reached, frontier = set(), [KitState.INSTALLED]
    while frontier:
        for target in allowed_steps(frontier.pop()):
            if target not in reached | {KitState.CLEANING}:
                reached.add(target)
                frontier.append(target)
    assert reached.isdisjoint({KitState.IN_STOCK, KitState.PREPARING, KitState.READY, KitState.DISPATCHED})


def test_every_state_is_reached_and_only_final_ones_are_ends() -> None:
    assert {step.target for step in STEPS} == set(KitState) - {KitState.ORDERED}
    assert {state for state in KitState if not allowed_steps(state)} == FINAL
    assert all(step.reversible == (step.target not in FINAL) for step in STEPS)
    assert len({(step.source, step.target) for step in STEPS}) == len(STEPS)


@pytest.mark.parametrize("target", [KitState.SCRAPPED, KitState.LOST, KitState.RETURNED])
def test_leaving_needs_a_reason(target: KitState) -> None:
    assert missing_data(target, reason=None) == missing_data(target, reason="") == {"reason"}
    assert not missing_data(target, reason="broken glass")
    assert all(step.required == {"reason"} for step in STEPS if step.target is target)
