"""The life of a visit and what each kind asks: the tables, and targets in Danish working days."""

from __future__ import annotations

from datetime import date
from itertools import product

import pytest

from fleet.access.roles import Role
from fleet.alerts.sla.calendars import Calendar
from fleet.alerts.visits import steps
from fleet.alerts.visits.steps import CREW, STEPS, WORK, Do, Kind, NotAllowed, State
from fleet.errors import InvalidError

WORKING = ((480, 960),)
DANISH = Calendar(
    hours=(*((WORKING,) * 5), (), ()),
    holidays="DK",
    optional=(("december_24", "closed"), ("december_31", "closed"), ("june_5", "closed")),
)


@pytest.mark.parametrize(("source", "target"), list(product(State, State)))
def test_a_visit_goes_where_the_table_says_and_nowhere_else(source: State, target: State) -> None:
    found = steps.find(source, target, CREW)
    if (source, target) in {(step.source, step.target) for step in STEPS}:
        assert not isinstance(found, NotAllowed)
    else:
        assert isinstance(found, NotAllowed)
        assert target not in found.allowed


def test_what_is_over_stays_so() -> None:
    assert steps.allowed(State.DONE, frozenset(Role)) == ()
    assert steps.allowed(State.CANCELLED, frozenset(Role)) == ()


def test_the_desk_plans_and_calls_off_and_the_crew_does_the_rest() -> None:
    assert steps.allowed(State.PLANNED, {Role.SUPPORT}) == ("cancelled",)
    assert steps.allowed(State.FAILED, {Role.SUPPORT}) == ("planned", "cancelled")
    assert set(steps.allowed(State.PLANNED, {Role.LOGISTICS})) == {"under_way", "done", "failed", "cancelled"}
    assert steps.allowed(State.PLANNED, {Role.AUDITOR}) == ()


def test_every_kind_is_described_and_its_usual_work_is_allowed() -> None:
    assert set(WORK) == set(Kind)
    for kind, work in WORK.items():
        assert set(work.usual) | work.must <= work.may
        if work.usual or not work.must:
            steps.check_work(kind, work.usual)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Kind.INSTALL, [Do.SWAP]),
        (Kind.SWAP, []),
        (Kind.TAKE_DOWN, [Do.INSTALL, Do.TAKE_DOWN]),
        (Kind.REPAIR, [Do.SWAP]),
        (Kind.TRAINING, [Do.INSTALL]),
        (Kind.CALIBRATION, [Do.SWAP]),
    ],
)
def test_work_that_does_not_go_with_the_kind_is_refused(kind: Kind, given: list[Do]) -> None:
    with pytest.raises(InvalidError, match="actions"):
        steps.check_work(kind, given)


@pytest.mark.parametrize(
    ("kind", "answers", "field"),
    [
        (Kind.INSTALL, (None, "citizen", None), "instruction_given"),
        (Kind.INSTALL, (False, "citizen", None), "instruction_given"),
        (Kind.INSTALL, (True, None, None), "receipt"),
        (Kind.SWAP, (True, "relative", None), "old_equipment_taken"),
        (Kind.TAKE_DOWN, (None, None, True), "receipt"),
        (Kind.REPAIR, (None, None, None), "receipt"),
        (Kind.TRAINING, (None, "citizen", None), "instruction_given"),
    ],
)
def test_what_a_kind_asks_must_be_answered(
    kind: Kind, answers: tuple[bool | None, str | None, bool | None], field: str
) -> None:
    given, receipt, taken = answers
    with pytest.raises(InvalidError) as refused:
        steps.check_answers(kind, instruction_given=given, receipt=receipt, old_equipment_taken=taken)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        (Kind.INSTALL, (True, "care_staff", None)),
        (Kind.SWAP, (True, "citizen", False)),
        (Kind.TAKE_DOWN, (None, "relative", True)),
        (Kind.CALIBRATION, (None, None, None)),
    ],
)
def test_an_answered_visit_passes(kind: Kind, answers: tuple[bool | None, str | None, bool | None]) -> None:
    given, receipt, taken = answers
    steps.check_answers(kind, instruction_given=given, receipt=receipt, old_equipment_taken=taken)


@pytest.mark.parametrize(
    ("ordered", "days", "due"),
    [
        (date(2026, 11, 25), 12, date(2026, 12, 11)),
        (date(2026, 11, 25), 2, date(2026, 11, 27)),
        (date(2026, 11, 27), 2, date(2026, 12, 1)),  # over a weekend
        (date(2026, 12, 22), 2, date(2026, 12, 28)),  # over Christmas
        (date(2026, 4, 1), 2, date(2026, 4, 8)),  # over Easter
        (date(2026, 11, 28), 1, date(2026, 11, 30)),  # ordered on a Saturday
    ],
)
def test_targets_are_danish_working_days(ordered: date, days: int, due: date) -> None:
    assert steps.due_on(DANISH, ordered, days) == due
    assert steps.took_days(DANISH, ordered, due) == days


def test_what_was_done_before_it_was_ordered_took_no_time() -> None:
    assert steps.took_days(DANISH, date(2026, 11, 25), date(2026, 11, 20)) == 0
