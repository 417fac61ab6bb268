"""How a request stands against its targets, always counted anew from its log.

Clocks run in the open hours of the contract's calendar. They stand still while the request waits for the citizen, the
supplier or transport, and between its end and its being opened again. A target is that of the priority in force when
its clock ended, or now, counted from the opening of the request: one that turns urgent after a day is late at once when
urgent ones are solved within hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from fleet.alerts.sla.calendars import Calendar, after, business_time

NO_TIME = timedelta()
PAUSING = frozenset({"citizen", "supplier", "transport"})
"""What a request can wait for without its clocks running; what waits for something else waits at our cost."""
ENDED = frozenset({"resolved", "closed"})


class Target(StrEnum):
    """What a contract promises of a request."""

    RESPONSE = "response"
    """That somebody has taken it up."""
    UPDATE = "update"
    """That something is done or said about it again and again, once it was taken up."""
    SOLUTION = "solution"


class State(StrEnum):
    """How a clock, or a request as a whole, stands."""

    NONE = "none"
    """Nothing is promised, or it has not begun."""
    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the log of a request says that matters here, in the order of when it happened.

    `human` is whether a person took care of it; `state`, `waiting_for` and `priority` are as they became,
    None where the entry does not speak of them. The first entry is the opening.
    """

    at: datetime
    human: bool
    state: str | None = None
    waiting_for: str | None = None
    priority: str | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """Targets of one priority in business time; None promises nothing."""

    solution: timedelta
    response: timedelta | None = None
    update: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """One target: `due` moves on while the clock is paused (what it would be if it went on now); `at` is when it ended.

    `base` is since when it counts, `missed` how often an update came late or not at all.
    """

    state: State = State.NONE
    due: datetime | None = None
    at: datetime | None = None
    base: datetime | None = None
    target: timedelta | None = None
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Clocks:
    """How a request stands; `paused_s` is for how long it waited for others, in seconds by the wall clock."""

    response: Clock
    update: Clock
    solution: Clock
    paused_s: float
    state: State
    breaches: tuple[Target, ...]

    def of(self, target: Target) -> Clock:
        """The clock of a target."""
        return {Target.RESPONSE: self.response, Target.UPDATE: self.update, Target.SOLUTION: self.solution}[target]


@dataclass(frozen=True, slots=True)
class Course:
    """What a log comes to: when clocks ran, what the request is doing now, and when its priority became what."""

    opened: datetime
    now: datetime
    running: tuple[tuple[datetime, datetime], ...]
    phase: State
    """Of now: running, paused, or met where it has ended."""
    ended: datetime | None
    paused: timedelta
    priorities: tuple[tuple[datetime, str], ...]
    contacts: tuple[datetime, ...]
    reopened: int = 0
    """How often it was opened again."""

    def priority(self, moment: datetime) -> str:
        """The priority in force at a moment."""
        return next((each for at, each in reversed(self.priorities) if at <= moment), self.priorities[0][1])


def measure(log: Sequence[Entry], calendar: Calendar, targets: Mapping[str, Promise], now: datetime) -> Clocks:
    """Every clock of a request, from its log; `targets` are by priority, all times in UTC."""
    course = follow(log, now)
    response = _response(course, calendar, targets)
    update = _update(course, calendar, targets)
    solution = _clock(course, calendar, targets[course.priority(course.ended or now)].solution, at=course.ended)
    breaches = _breaches(response, update, solution)
    state = State.BREACHED if breaches else course.phase
    return Clocks(response, update, solution, course.paused.total_seconds(), state, breaches)


def unmeasured(clocks: Clocks) -> Clocks:
    """A request of which nothing is promised any more, since another speaks for it; `clocks` tell what was due."""
    return Clocks(Clock(), Clock(), Clock(due=clocks.solution.due), 0.0, State.NONE, ())


def follow(log: Sequence[Entry], now: datetime) -> Course:
    """The course of a request; what is said to have happened before its opening, or after now, happened then."""
    opened = min(log[0].at, now)
    running: list[tuple[datetime, datetime]] = []
    paused, phase, since, ended, reopened = NO_TIME, State.RUNNING, opened, None, 0
    state, waiting_for = "open", None
    for entry in log:
        if entry.state is None:
            continue
        at = min(max(entry.at, opened), now)
        state, waiting_for = entry.state, entry.waiting_for
        becomes = _phase(state, waiting_for)
        if becomes is phase:
            continue
        running += [(since, at)] if phase is State.RUNNING else []
        paused += at - since if phase is State.PAUSED else NO_TIME
        ended = at if becomes is State.MET else None
        reopened += phase is State.MET
        phase, since = becomes, at
    running += [(since, now)] if phase is State.RUNNING else []
    paused += now - since if phase is State.PAUSED else NO_TIME
    return Course(
        opened, now, tuple(running), phase, ended, paused,
        tuple((max(each.at, opened), each.priority) for each in log if each.priority is not None),
        tuple(min(max(each.at, opened), now) for each in log if each.human),
        reopened,
    )  # fmt: skip


def reached(
    course: Course,
    calendar: Calendar,
    duration: timedelta,
    *,
    base: datetime | None = None,
    until: datetime | None = None,
) -> datetime:
    """When the clocks have run for `duration` since `base` (the opening).

    What happened after `until` (now) does not count: from there on they are taken to run.
    """
    left, base, until = duration, base or course.opened, until or course.ended or course.now
    for start, end in course.running:
        begins, ends = max(start, base), min(end, until)
        if begins >= ends:
            continue
        ran = business_time(calendar, begins, ends)
        if ran >= left and (found := after(calendar, begins, left)) < ends:
            return found
        left -= ran
    return after(calendar, max(until, base), max(left, NO_TIME))


def _phase(state: str, waiting_for: str | None) -> State:
    if state in ENDED:
        return State.MET
    return State.PAUSED if state == "waiting" and waiting_for in PAUSING else State.RUNNING


def _clock(
    course: Course,
    calendar: Calendar,
    target: timedelta | None,
    *,
    at: datetime | None,
    base: datetime | None = None,
) -> Clock:
    """A clock that ended `at`, or goes on."""
    base = base or course.opened
    if target is None:
        return Clock(at=at, base=base)
    due = reached(course, calendar, target, base=base, until=at)
    late = (at or course.now) > due
    state = State.BREACHED if late else State.MET if at is not None else course.phase
    return Clock(state, due, at, base, target)


def _response(course: Course, calendar: Calendar, targets: Mapping[str, Promise]) -> Clock:
    """Ended by the first that somebody did; what ended by itself needed no response."""
    at = course.contacts[0] if course.contacts else course.ended
    return _clock(course, calendar, targets[course.priority(at or course.now)].response, at=at)


def _update(course: Course, calendar: Calendar, targets: Mapping[str, Promise]) -> Clock:
    """Begins anew with everything that somebody does; begins at all when it was taken up, where that is promised."""
    promised = targets[course.priority(course.now)]
    bases = list(course.contacts)
    if promised.response is None and (not bases or bases[0] > course.opened):
        bases.insert(0, course.opened)
    missed = 0
    clock = Clock()
    for number, base in enumerate(bases):
        ends = bases[number + 1] if number + 1 < len(bases) else course.ended
        ends = ends if course.ended is None or ends is None else min(ends, course.ended)
        target = targets[course.priority(ends or course.now)].update
        soon = ends is not None and (target is None or ends - base <= target)
        if soon and number + 1 < len(bases):
            continue  # in time by the wall clock, so in time
        clock = _clock(course, calendar, target, at=ends, base=base)
        missed += clock.state is State.BREACHED
    return Clock(clock.state, clock.due, clock.at, clock.base, clock.target, missed)


def _breaches(response: Clock, update: Clock, solution: Clock) -> tuple[Target, ...]:
    late = (
        (Target.RESPONSE, response.state is State.BREACHED),
        (Target.UPDATE, update.missed > 0),
        (Target.SOLUTION, solution.state is State.BREACHED),
    )
    return tuple(target for target, breached in late if breached)
