"""Which steps of escalation are due and which comes next; each is told once for as long as its clock goes on, and anew
where the request was opened again.

A step is told by its key. The keys that were told stand in the request's log, so nothing else has to be remembered: a
worker that dies before it commits has told nothing, and one that was away finds what is overdue and tells the gravest
of it, once for each clock, with the others as told along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet.alerts.rules import Priority
from fleet.alerts.sla.calendars import Calendar
from fleet.alerts.sla.measuring import NO_TIME, Clock, Clocks, Course, State, Target, reached

LOOK_AHEAD = timedelta(minutes=5)
LOOK_EVERY = timedelta(minutes=1)
"""A paused request's due time moves on with now: it is measured again when it would come close to now."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a contract's escalation, at a share of the target's time or so long before its end.

    `notify` is `line`, `assignee` or `role`, the latter named by `role`; `raise_priority` takes the request one
    priority up.
    """

    target: Target
    percent: int | None = None
    before_min: int | None = None
    notify: str = "line"
    role: str | None = None
    raise_priority: bool = False

    @property
    def name(self) -> str:
        """What tells it from the others: a step that is edited to another time is another."""
        return f"{self.percent}%" if self.percent is not None else f"-{self.before_min}min"

    def point(self, target: timedelta) -> timedelta:
        """After how much of the clock's time it is due."""
        if self.percent is not None:
            return target * self.percent / 100
        return max(target - timedelta(minutes=self.before_min or 0), NO_TIME)


@dataclass(frozen=True, slots=True)
class Due:
    """A step (None is the breach itself) with its key and its moment."""

    key: str
    at: datetime
    step: Step | None


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told of one clock now: the gravest step, with the keys of those that it stands for."""

    target: Target
    key: str
    along: tuple[str, ...]
    due: datetime
    step: Step | None
    breached: bool
    raises: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be told, and when to look again: at once until it was told, never (None) when nothing is to come."""

    told: tuple[Told, ...]
    look_at: datetime | None


def plan(course: Course, clocks: Clocks, calendar: Calendar, steps: Sequence[Step], known: frozenset[str]) -> Plan:
    """The plan of a request; `known` are the keys in its log."""
    if course.phase is State.MET:
        return Plan((), None)
    if course.phase is State.PAUSED:
        return Plan((), _while_paused(course, clocks))
    waiting = {target: [each for each in _moments(target, clocks.of(target), course, calendar, steps)
                        if each.key not in known] for target in Target}  # fmt: skip
    told = tuple(
        _gravest(target, overdue, clocks.of(target))
        for target, all_due in waiting.items()
        if (overdue := [each for each in all_due if each.at <= course.now])
    )
    coming = [each.at for all_due in waiting.values() for each in all_due if each.at > course.now]
    return Plan(told, course.now if told else min(coming, default=None))


def one_up(priority: str) -> str | None:
    """The next higher priority; None above the highest."""
    order = list(Priority)
    at = order.index(Priority(priority))
    return order[at - 1].value if at else None


def _moments(target: Target, clock: Clock, course: Course, calendar: Calendar, steps: Sequence[Step]) -> Iterator[Due]:
    """Every step of a clock that has not ended, told or not, and its breach."""
    if clock.at is not None or clock.target is None or clock.due is None or clock.base is None:
        return
    cycle = f"#{course.reopened}" if course.reopened else ""
    cycle += f"@{clock.base.isoformat()}" if target is Target.UPDATE else ""
    for step in steps:
        if step.target is target:
            at = reached(course, calendar, step.point(clock.target), base=clock.base)
            yield Due(f"{target}:{step.name}{cycle}", at, step)
    # Late is what is later than due.
    yield Due(f"{target}:breach{cycle}", clock.due + timedelta(microseconds=1), None)


def _gravest(target: Target, overdue: Sequence[Due], clock: Clock) -> Told:
    assert clock.due is not None
    ordered = sorted(overdue, key=lambda each: each.at)
    steps = [each.step for each in ordered if each.step is not None]
    return Told(
        target,
        ordered[-1].key,
        tuple(each.key for each in ordered[:-1]),
        clock.due,
        steps[-1] if steps else None,
        any(each.step is None for each in ordered),
        any(step.raise_priority for step in steps),
    )


def _while_paused(course: Course, clocks: Clocks) -> datetime | None:
    due = [clock.due for clock in (clocks.response, clocks.update, clocks.solution)
           if clock.state is State.PAUSED and clock.due is not None]  # fmt: skip
    return max(min(due) - LOOK_AHEAD, course.now + LOOK_EVERY) if due else None
