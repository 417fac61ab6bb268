"""A visit is done: its steps of the books are taken with their guards, all of them or none, and its request is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.alerts.requests import desk
from fleet.alerts.requests.steps import NotAllowed as RequestNotAllowed
from fleet.alerts.sla.calendars import local_day
from fleet.alerts.visits import planning, steps, store
from fleet.alerts.visits.planning import AHEAD, OLDEST
from fleet.alerts.visits.steps import WORK, Do, Kind, NotAllowed, State
from fleet.alerts.visits.store import MAX_NOTE, SQL, Locked, Visit
from fleet.db.rows import Connection, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError
from fleet.state import lifecycle
from fleet.state.ledger.steps import Blocked, KitStep, Taken, take_kit_step
from fleet.state.ledger.swaps import Swap, swap
from fleet.state.lifecycle import ComponentState, KitState
from fleet.state.registry.calibrations import Calibration, calibrate
from fleet.state.registry.editing import Outdated
from fleet.state.texts import bad_text

MAX_ACTIONS = 50


@dataclass(frozen=True, slots=True)
class Action:
    """One thing done there, about the visit's kit unless another is named.

    A swap names what came out (`outgoing`, which is `state` then, at `location`) and what went in; a take-down says
    to which `location` the kit goes; a calibration names the piece.
    """

    do: Do
    kit: str | None = None
    outgoing: int | None = None
    incoming: int | None = None
    state: ComponentState | None = None
    location: str | None = None
    component_id: int | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """How the visit's request is resolved: cause and remedy of the lists."""

    cause: str
    remedy: str
    resolution: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What came of a visit: what was done in which order, and the answers to what its kind asks.

    Without `actions` what its kind usually does; `entered_already` says that the books know of it. `arrived_at` is
    when the crew came, from which on proof of function counts; `occurred_at` when it was done, now when not said.
    `entered_afterwards` says that the visit was planned when it had been done: it is not measured by its target.
    `override` takes steps although guards are not met, where the caller may, and says why in `reason`.
    """

    actions: Sequence[Action] = ()
    entered_already: bool = False
    entered_afterwards: bool = False
    arrived_at: datetime | None = None
    occurred_at: datetime | None = None
    instruction_given: bool | None = None
    receipt: str | None = None
    old_equipment_taken: bool | None = None
    override: bool = False
    reason: str | None = None
    note: str | None = None
    resolve: Resolution | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The books did not take an action; nothing was done. `at` counts the actions from 0, `subject` is kit or piece."""

    at: int
    action: Action
    subject: str
    outcome: Blocked | lifecycle.NotAllowed


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The visit's request cannot be resolved from where it is; nothing was done."""

    refusal: RequestNotAllowed


Outcome = Visit | NotAllowed | Outdated | Refused | Unresolved


class _StoppedError(Exception):
    """Ends the transaction with what stood in the way."""

    def __init__(self, why: Refused | Unresolved) -> None:
        super().__init__()
        self.why = why


async def complete(
    connection: Connection, number: str, done: Completion, *, by: Principal, revisions: frozenset[int] | None = None
) -> Outcome:
    """Do what was done there to the books, in one transaction, and end the visit.

    Raises NotFoundError, InvalidError naming what is missing, ForbiddenError, ConflictError.
    """
    try:
        async with connection.transaction():
            visit = await store.lock(connection, number)
            if revisions is not None and visit.revision not in revisions:
                return Outdated(visit.revision)
            actions = _checked(Kind(visit.kind), done)
            step = planning.step_of(visit, State.DONE, by)
            if isinstance(step, NotAllowed):
                return step
            await _take(connection, visit, done, actions, by)
            await _end(connection, visit, done)
            await store.note(connection, visit, "done", by=by)
            if done.resolve is not None:
                await _resolve(connection, visit, done.resolve, by)
            return await store.find_visit(connection, number)
    except _StoppedError as stopped:
        return stopped.why


def _checked(kind: Kind, done: Completion) -> Sequence[Action]:
    """What is to be done to the books; raises InvalidError for what its kind asks and is not told."""
    steps.check_answers(
        kind,
        instruction_given=done.instruction_given,
        receipt=done.receipt,
        old_equipment_taken=done.old_equipment_taken,
    )
    if done.note and (problem := bad_text(done.note.replace("\n", " "), MAX_NOTE)) is not None:
        raise InvalidError("note", problem)
    if done.entered_already:
        if done.actions:
            raise InvalidError("actions", "are none when the books know of it already")
        return ()
    actions = done.actions or [Action(each) for each in WORK[kind].usual]
    steps.check_work(kind, [each.do for each in actions])
    for each in actions:
        if each.do is Do.CALIBRATE and (each.component_id is None or each.calibration is None):
            raise InvalidError("component_id", "a calibration names the piece and tells what was found")
    return actions


async def _take(
    connection: Connection, visit: Locked, done: Completion, actions: Sequence[Action], by: Principal
) -> None:
    now = await store.moment(connection)
    at = done.occurred_at or now
    if not now - OLDEST <= at <= now + AHEAD:
        raise InvalidError("occurred_at", f"must lie within the last {OLDEST.days} days")
    if _before_its_order(visit, at) and not done.entered_afterwards:
        raise InvalidError(
            "occurred_at",
            f"is before {visit.number} was asked for ({visit.ordered_at:%Y-%m-%d %H:%M} UTC): say entered_afterwards"
            " where it was planned when it had been done",
        )
    if done.arrived_at is not None and done.arrived_at > at + AHEAD:
        raise InvalidError("arrived_at", "is after it was done")
    for number, action in enumerate(actions):
        outcome = await _do(connection, visit, action, done, by)
        if isinstance(outcome, Blocked | lifecycle.NotAllowed):
            subject = action.kit or visit.kit or str(action.component_id or "")
            raise _StoppedError(Refused(number, action, subject, outcome))


def _before_its_order(visit: Locked, done_at: datetime) -> bool:
    """Allowing for clocks that differ."""
    return done_at + AHEAD < visit.ordered_at


async def _do(
    connection: Connection, visit: Locked, action: Action, done: Completion, by: Principal
) -> Taken | Blocked | lifecycle.NotAllowed | None:
    if action.do is Do.CALIBRATE:
        await _calibrate(connection, action, by)
        return None
    kit = action.kit or visit.kit
    if kit is None:
        raise InvalidError("kit", f"visit {visit.number} has no kit yet: name it")
    common: dict[str, Any] = {"occurred_at": done.occurred_at, "override": done.override, "reason": done.reason}
    if action.do is Do.SWAP:
        pieces: dict[str, Any] = {name: getattr(action, name) for name in ("incoming", "outgoing", "state", "location")}
        return await swap(connection, kit, Swap(**pieces, **common), by=by)
    if action.do is Do.TAKE_DOWN:
        step = KitStep(KitState.RETRIEVED, location=action.location, **common)
    else:
        # Another kit than the visit's goes to the home that is planned for it.
        home = visit.placement_id if visit.kit in (kit, None) else None
        step = KitStep(KitState.INSTALLED, placement=home, arrived_at=done.arrived_at, **common)
    return await take_kit_step(connection, kit, step, by=by)


async def _calibrate(connection: Connection, action: Action, by: Principal) -> None:
    assert action.component_id is not None
    assert action.calibration is not None
    if not by.may(Permission.COMPONENTS_WRITE):
        raise ForbiddenError(f"your role lacks {Permission.COMPONENTS_WRITE}")
    await calibrate(connection, action.component_id, action.calibration, by=by)


async def _end(connection: Connection, visit: Locked, done: Completion) -> None:
    """The visit is over: what was kept for it was used, and it took so many working days from its order."""
    done_at = done.occurred_at or await store.moment(connection)
    calendar = await planning.working_days(connection)
    day = local_day(calendar, done_at)
    took_days = steps.took_days(calendar, local_day(calendar, visit.ordered_at), day)
    values = {
        "visit_id": visit.visit_id,
        "done_at": done_at,
        "arrived_at": done.arrived_at,
        "done_on": day,
        "took_days": None if _before_its_order(visit, done_at) else took_days,
        "instruction_given": done.instruction_given,
        "receipt": done.receipt,
        "old_equipment_taken": done.old_equipment_taken,
        "note": visit.note if done.note is None else done.note,
    }
    await connection.execute(SQL["done"], values)
    await connection.execute(SQL["end_reservations"], {"visit_id": visit.visit_id, "outcome": "fulfilled"})


async def _resolve(connection: Connection, visit: Locked, said: Resolution, by: Principal) -> None:
    """Say that the request is solved; its kit's proof closes it, as always."""
    if not by.may(Permission.REQUESTS_WRITE):
        raise ForbiddenError(f"your role lacks {Permission.REQUESTS_WRITE}")
    if visit.request_id is None:
        raise InvalidError("resolve", f"visit {visit.number} is for no service request")
    number = await fetch_value(connection, SQL["request_number"], {"request_id": visit.request_id})
    if number is None:
        raise ConflictError("its service request is not yours to resolve")
    outcome = await desk.resolve(
        connection, number, cause=said.cause, remedy=said.remedy, resolution=said.resolution, by=by
    )
    if isinstance(outcome, RequestNotAllowed):
        raise _StoppedError(Unresolved(outcome))
