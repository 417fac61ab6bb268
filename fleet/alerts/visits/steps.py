"""The life of a visit, and what each kind of visit does and asks for: tables, and pure functions of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from fleet.access.roles import Role
from fleet.alerts.sla.calendars import Calendar, add_working_days, working_days_between
from fleet.errors import InvalidError


class Kind(StrEnum):
    """What somebody goes there for."""

    INSTALL = "install"
    SWAP = "swap"
    TAKE_DOWN = "take_down"
    REPAIR = "repair"
    TRAINING = "training"
    CALIBRATION = "calibration"


class State(StrEnum):
    """Where a visit is in its life; what failed may be planned again."""

    PLANNED = "planned"
    UNDER_WAY = "under_way"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Do(StrEnum):
    """What completing a visit does to the books."""

    INSTALL = "install"
    SWAP = "swap"
    TAKE_DOWN = "take_down"
    CALIBRATE = "calibrate"


class Ask(StrEnum):
    """What has to be told when a visit is done."""

    INSTRUCTION_GIVEN = "instruction_given"
    RECEIPT = "receipt"
    OLD_EQUIPMENT_TAKEN = "old_equipment_taken"


TO_DO = frozenset({State.PLANNED, State.UNDER_WAY, State.FAILED})
"""States of a visit that is still to be done."""

CREW = frozenset({Role.LOGISTICS, Role.SERVICE, Role.ADMIN})
"""Who goes there."""
DESK = CREW | {Role.SUPPORT}
"""And who plans it with the citizen."""


@dataclass(frozen=True, slots=True)
class Step:
    """One allowed step; `asks` names what must be said with it."""

    source: State
    target: State
    roles: frozenset[Role] = CREW
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """A visit in `state` has no step to `wanted`; `allowed` are those it has for whoever asks."""

    state: str
    wanted: str
    allowed: tuple[str, ...]


STEPS: tuple[Step, ...] = (
    Step(State.PLANNED, State.UNDER_WAY),
    Step(State.PLANNED, State.DONE),
    Step(State.PLANNED, State.FAILED, asks=("failure",)),
    Step(State.PLANNED, State.CANCELLED, DESK, asks=("reason",)),
    Step(State.UNDER_WAY, State.DONE),
    Step(State.UNDER_WAY, State.FAILED, asks=("failure",)),
    Step(State.UNDER_WAY, State.PLANNED, asks=("planned_on",)),
    Step(State.UNDER_WAY, State.CANCELLED, DESK, asks=("reason",)),
    Step(State.FAILED, State.PLANNED, DESK, asks=("planned_on",)),
    Step(State.FAILED, State.CANCELLED, DESK, asks=("reason",)),
)
"""What is done or cancelled stays so; a visit may be done without having been said to be under way."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a kind of visit does and asks for.

    `usual` is done when nothing else is said, `may` are the things that may be done, of which one of `must` is.
    """

    asks: tuple[Ask, ...] = ()
    usual: tuple[Do, ...] = ()
    may: frozenset[Do] = frozenset()
    must: frozenset[Do] = frozenset()


WORK: Mapping[Kind, Work] = {
    Kind.INSTALL: Work(
        (Ask.INSTRUCTION_GIVEN, Ask.RECEIPT), (Do.INSTALL,), frozenset({Do.INSTALL, Do.SWAP}), frozenset({Do.INSTALL})
    ),
    Kind.SWAP: Work(
        (Ask.INSTRUCTION_GIVEN, Ask.RECEIPT, Ask.OLD_EQUIPMENT_TAKEN),
        (),
        frozenset({Do.SWAP, Do.TAKE_DOWN, Do.INSTALL}),
        frozenset({Do.SWAP, Do.TAKE_DOWN, Do.INSTALL}),
    ),
    Kind.TAKE_DOWN: Work(
        (Ask.RECEIPT, Ask.OLD_EQUIPMENT_TAKEN), (Do.TAKE_DOWN,), frozenset({Do.TAKE_DOWN}), frozenset({Do.TAKE_DOWN})
    ),
    Kind.REPAIR: Work((Ask.RECEIPT,)),
    Kind.TRAINING: Work((Ask.INSTRUCTION_GIVEN,)),
    Kind.CALIBRATION: Work((), (), frozenset({Do.CALIBRATE, Do.SWAP}), frozenset({Do.CALIBRATE})),
}
"""By kind. Of a swap, pieces are exchanged in the kit, or the whole kit is taken down and another one set up."""


def find(state: str, wanted: State, roles: AbstractSet[Role]) -> Step | NotAllowed:
    """The step to a state for somebody with these roles, or what is allowed instead."""
    steps = [step for step in STEPS if step.source == state and step.roles & roles]
    for step in steps:
        if step.target is wanted:
            return step
    return NotAllowed(state, wanted.value, tuple(step.target.value for step in steps))


def allowed(state: str, roles: AbstractSet[Role]) -> tuple[str, ...]:
    """States that a visit may go to, for somebody with these roles."""
    return tuple(step.target.value for step in STEPS if step.source == state and step.roles & roles)


def check_answers(
    kind: Kind, *, instruction_given: bool | None, receipt: str | None, old_equipment_taken: bool | None
) -> None:
    """Refuse what leaves open what this kind of visit asks; raises InvalidError naming the first such field."""
    asks = WORK[kind].asks
    if Ask.INSTRUCTION_GIVEN in asks and not instruction_given:
        raise InvalidError("instruction_given", f"must be so for a visit of the kind {kind}: it is not done without")
    if Ask.RECEIPT in asks and receipt is None:
        raise InvalidError("receipt", "in which role did somebody receive or hand over the equipment?")
    if Ask.OLD_EQUIPMENT_TAKEN in asks and old_equipment_taken is None:
        raise InvalidError("old_equipment_taken", "was the old equipment taken along?")


def check_work(kind: Kind, given: Sequence[Do]) -> None:
    """Refuse what this kind of visit does not do, or that the least of it is missing; raises InvalidError."""
    work = WORK[kind]
    for each in given:
        if each not in work.may:
            may = _listed(work.may) or "nothing"
            raise InvalidError("actions", f"{each} does not go with {kind}, which does {may} to the books")
    if work.must and not work.must & set(given):
        raise InvalidError("actions", f"{kind} needs one of {_listed(work.must)}")


def due_on(calendar: Calendar, ordered: date, days: int) -> date:
    """The last day within the target: so many working days after the day of the order."""
    return add_working_days(calendar, ordered, days)


def took_days(calendar: Calendar, ordered: date, done: date) -> int:
    """Working days from the order to the day on which it was done; none where clocks differed at midnight."""
    return max(working_days_between(calendar, ordered, done), 0)


def _listed(given: Collection[Do]) -> str:
    return ", ".join(sorted(given))
