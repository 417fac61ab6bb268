"""What is done with one of `visits`: begun, done with its steps of the books, failed, called off; and a day's sheet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.visits import bringing, completing, planning, store
from fleet.alerts.visits.bringing import MAX_LINES
from fleet.alerts.visits.completing import MAX_ACTIONS, Action, Completion, Refused, Resolution, Unresolved
from fleet.alerts.visits.steps import Do
from fleet.api import idempotency, visitsheet
from fleet.api.auth import Call, requires
from fleet.api.components import CalibrationBody
from fleet.api.problems import ProblemError, documented, step_not_allowed
from fleet.api.servicerequests import Cause
from fleet.api.shapes import PREFIX, Body, GivenDay, GivenMoment, KitId, Line, Number, NumberText
from fleet.api.shapes import Query as QueryFields
from fleet.api.steps import OutState, guards_not_met
from fleet.api.visits import (
    BringBody,
    Crew,
    Failure,
    Note,
    ReadVisits,
    Receipt,
    TimeOfDay,
    VisitDetail,
    WriteVisits,
    detail_of,
    done,
    line_of,
    tagged,
    visit_of,
)
from fleet.state.ledger.steps import Blocked
from fleet.state.lifecycle import ComponentState
from fleet.state.registry.calibrations import Calibration

router = APIRouter(prefix=PREFIX, tags=["visits"])

RedactVisits = Annotated[Call, requires(Permission.AUDIT_REDACT)]
DENMARK = ZoneInfo("Europe/Copenhagen")
MOST_ON_A_SHEET = 200


class ActionBody(Body):
    """One thing done there, about the visit's kit unless another is named.

    `install`: with its proof of function. `swap`: `outgoing` comes out, is `state` then and goes to `location`,
    `incoming` goes in. `take_down`: the kit is retrieved, to `location`. `calibrate`: `component_id` as it was found.
    """

    do: Annotated[Do, Field(strict=False)]
    kit: KitId | None = None
    outgoing: Number | None = None
    incoming: Number | None = None
    state: OutState | None = None
    location: Line | None = None
    component_id: Number | None = None
    calibration: CalibrationBody | None = None

    def action(self) -> Action:
        """As the use case takes it."""
        plain = self.model_dump(exclude={"state", "calibration"})
        calibration = None if self.calibration is None else Calibration(**self.calibration.model_dump())
        state = None if self.state is None else ComponentState(self.state)
        return Action(**plain, state=state, calibration=calibration)


class ResolutionBody(Body):
    """What was found and what helped, of `GET /request-causes` and `GET /request-remedies`."""

    cause: Cause
    remedy: Cause
    resolution: Line | None = None


class CompletionBody(Body):
    """What came of a visit: what was done, in that order, and the answers to what its kind asks.

    Without `actions` what its kind usually does: an installation installs, a take-down takes down. `entered_already`
    says that the books know of it. `resolve` says that its service request is solved; the kit's proof closes that.
    """

    actions: Annotated[list[ActionBody], Field(max_length=MAX_ACTIONS)] = Field(default_factory=list)
    entered_already: bool = False
    entered_afterwards: bool = Field(
        False, description="The visit was planned when it had been done: its time is not measured"
    )
    arrived_at: Annotated[
        GivenMoment | None, Field(description="When the crew came: what is heard later is proof of function")
    ] = None
    occurred_at: GivenMoment | None = None
    instruction_given: bool | None = None
    receipt: Receipt | None = None
    old_equipment_taken: bool | None = None
    override: bool = Field(False, description="Although guards are not met; needs a reason and a role that may")
    reason: Line | None = None
    note: Note | None = None
    resolve: ResolutionBody | None = None

    def completion(self) -> Completion:
        """As the use case takes it."""
        plain = self.model_dump(exclude={"actions", "resolve"})
        resolve = None if self.resolve is None else Resolution(**self.resolve.model_dump())
        return Completion(**plain, actions=[each.action() for each in self.actions], resolve=resolve)


class FailureBody(Body):
    """Why somebody came in vain, of `GET /visit-failures`; with `planned_on` it is planned again at once."""

    failure: Failure
    note: Note = ""
    occurred_at: GivenMoment | None = None
    planned_on: GivenDay | None = None
    window_from: TimeOfDay | None = None
    window_to: TimeOfDay | None = None
    crew: Crew | None = None


class CancelBody(Body):
    """Why it is not needed any more."""

    reason: Annotated[Line, Field(min_length=1)]


class BringChange(Body):
    """Lines to take away (by `id`) and things to bring as well; all of it or nothing."""

    remove: Annotated[list[Number], Field(max_length=MAX_LINES)] = Field(default_factory=list)
    add: Annotated[list[BringBody], Field(max_length=MAX_LINES)] = Field(default_factory=list)


class SheetQuery(QueryFields):
    """Whose sheet, of which day: of all crews when none is named, of today when no day is."""

    crew: Crew | None = None
    day: Annotated[GivenDay | None, Field(description="In Denmark")] = None
    language: visitsheet.Language = visitsheet.Language.DA


@router.post("/visits/{number}/start", responses=documented(404, 409), response_model=VisitDetail)
async def start_visit(call: WriteVisits, request: Request, number: NumberText, key: idempotency.Key = None) -> Response:
    """The crew is on its way."""

    async def work() -> VisitDetail:
        return await detail_of(call, done(await planning.start(call.connection, number, by=call.principal)))

    return await idempotency.once(request, call, key, work, headers=tagged)


@router.post("/visits/{number}/complete", responses=documented(404, 409), response_model=VisitDetail)
async def complete_visit(
    call: WriteVisits, request: Request, number: NumberText, body: CompletionBody, key: idempotency.Key = None
) -> Response:
    """It is done: its steps of the books are taken with their guards, all of them or none.

    409 tells the guards that are not met, of the action `action` (counted from 0) and about which kit or piece.
    """

    async def work() -> VisitDetail:
        return await detail_of(call, await completed(call, number, body.completion()))

    return await idempotency.once(request, call, key, work, headers=tagged)


@router.post("/visits/{number}/fail", responses=documented(404, 409), response_model=VisitDetail)
async def fail_visit(
    call: WriteVisits, request: Request, number: NumberText, body: FailureBody, key: idempotency.Key = None
) -> Response:
    """Somebody came in vain; it is planned again now or later, or called off."""

    async def work() -> VisitDetail:
        failed = planning.Failure(**body.model_dump())
        return await detail_of(call, done(await planning.fail(call.connection, number, failed, by=call.principal)))

    return await idempotency.once(request, call, key, work, headers=tagged)


@router.post("/visits/{number}/cancel", responses=documented(404, 409), response_model=VisitDetail)
async def cancel_visit(
    call: WriteVisits, request: Request, number: NumberText, body: CancelBody, key: idempotency.Key = None
) -> Response:
    """It is not needed any more; what was reserved for it is free again."""

    async def work() -> VisitDetail:
        outcome = await planning.cancel(call.connection, number, reason=body.reason, by=call.principal)
        return await detail_of(call, done(outcome))

    return await idempotency.once(request, call, key, work, headers=tagged)


@router.post("/visits/{number}/bring", responses=documented(404, 409), response_model=VisitDetail)
async def change_bring(
    call: WriteVisits, request: Request, number: NumberText, body: BringChange, key: idempotency.Key = None
) -> Response:
    """Bring other things; each is reserved, and what is not brought after all is free again."""

    async def work() -> VisitDetail:
        added = [each.bring() for each in body.add]
        await bringing.change(call.connection, number, added=added, removed=body.remove, by=call.principal)
        return await detail_of(call, await store.find_visit(call.connection, number))

    return await idempotency.once(request, call, key, work, headers=tagged)


@router.post("/visits/{number}/redact", responses=documented(404), response_model=VisitDetail)
async def redact_visit(
    call: RedactVisits, request: Request, number: NumberText, key: idempotency.Key = None
) -> Response:
    """Blacken what people wrote about a visit that must not be kept; what was done stays."""

    async def work() -> VisitDetail:
        return await detail_of(call, await store.redact(call.connection, number))

    return await idempotency.once(request, call, key, work, headers=tagged)


@router.get(
    "/visit-sheets",
    response_class=Response,
    responses={
        200: {"description": "To be printed", "content": {"text/html": {"schema": {"type": "string"}}}},
        **documented(),
    },
)
async def print_sheet(call: ReadVisits, query: Annotated[SheetQuery, Query()]) -> Response:
    """What a crew does on a day and brings along, as a page to be printed; 200 visits at most."""
    day = query.day or datetime.now(UTC).astimezone(DENMARK).date()
    found = await store.list_visits(call.connection, limit=MOST_ON_A_SHEET, crew=query.crew, day_from=day, day_to=day)
    stops = [await _stop(call, each) for each in found if each.state in ("planned", "under_way")]
    page = visitsheet.html(stops, day, query.crew, query.language)
    headers = {"Content-Security-Policy": visitsheet.POLICY}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


async def completed(call: Call, number: str, completion: Completion) -> store.Visit:
    """The visit when it was done; raises the problem otherwise."""
    outcome = await completing.complete(call.connection, number, completion, by=call.principal)
    match outcome:
        case Refused():
            raise _refused(outcome)
        case Unresolved():
            refusal = outcome.refusal
            raise step_not_allowed("request", refusal.state, refusal.wanted, refusal.allowed)
    return done(outcome)


def _refused(refused: Refused) -> ProblemError:
    """409 with the action that the books did not take."""
    outcome = refused.outcome
    if isinstance(outcome, Blocked):
        problem = guards_not_met(outcome)
    else:
        problem = step_not_allowed("thing", outcome.source, outcome.target, outcome.allowed)
    about: dict[str, Any] = {"action": refused.at, "do": refused.action.do.value, "subject": refused.subject}
    problem.more = {**problem.more, **about}
    return problem


async def _stop(call: Call, found: store.Visit) -> visitsheet.Stop:
    lines = await store.lines_of(call.connection, [found.visit_id])
    shown = [line_of(each, await store.shortage(call.connection, each)) for each in lines]
    return visitsheet.Stop(visit_of(found), tuple(shown))
