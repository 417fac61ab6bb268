"""The page of one kit and the step taken from it: the form is made of what the lifecycle's table says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.visits import store
from fleet.api import kits, steps
from fleet.api.auth import Call, MoveKits, ReadKits
from fleet.api.console import glance
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import refusal
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.kitdetail import kit_detail
from fleet.api.shapes import KitPath, PageQuery
from fleet.api.visitacts import DENMARK
from fleet.api.visits import Visit, visit_of
from fleet.errors import ConflictError, FleetError
from fleet.state.ledger.options import kit_options
from fleet.state.ledger.steps import Blocked, KitStep, take_kit_step
from fleet.state.lifecycle import KitState, NotAllowed
from fleet.state.registry import locations

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN_CHANGES = 15
SUGGESTED_LOCATIONS = 200
SHOWN_VISITS = 100
OVERDUE_FOR = timedelta(days=90)
"""A visit that was to be so long ago and was not is nobody's next one any more."""


class StepForm(ConsoleForm):
    """A step as the form sends it; what was left empty says nothing."""

    to: str = Field("", max_length=40)
    location: str = Field("", max_length=200)
    reason: str = Field("", max_length=200)
    override: str = Field("", max_length=10)

    def step(self) -> KitStep:
        """What was asked for; raises ValueError for a state that there is not."""
        return KitStep(
            to=KitState(self.to),
            location=self.location.strip() or None,
            reason=self.reason.strip() or None,
            override=bool(self.override),
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a step was not taken: no such step, what stands in its way, wrong `fields`, or something else in `detail`."""

    detail: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    state: str | None = None
    target: str | None = None
    unmet: tuple[steps.Missing, ...] = ()


@router.get("/kits/{kit}")
async def kit_page(request: Request, call: ReadKits, kit: KitPath) -> Response:
    """Everything about one kit, and the steps that the caller may take."""
    return await _page(request, call, kit)


@router.post("/kits/{kit}/step")
async def take_step(request: Request, call: MoveKits, kit: KitPath, form: Annotated[StepForm, Form()]) -> Response:
    """Take a step; when something stands in the way the page says what, with the form as it was sent."""
    try:
        outcome = await take_kit_step(call.connection, kit, form.step(), by=call.principal)
    except FleetError as error:
        told = refusal(language_of(request), error)
        refused = Refused(detail=told.said, fields=told.fields)
    except ValueError as error:
        refused = Refused(detail=str(error))
    else:
        match outcome:
            case Blocked():
                refused = Refused(unmet=tuple(steps.missing(each) for each in outcome.unmet))
            case NotAllowed():
                refused = Refused(state=outcome.source, target=outcome.target)
            case _:
                return RedirectResponse(f"/kits/{kit}", HTTPStatus.SEE_OTHER)
    return await _page(request, call, kit, refused=refused, sent=form)


async def _page(
    request: Request,
    call: Call,
    kit: str,
    *,
    refused: Refused | None = None,
    sent: StepForm | None = None,
) -> Response:
    detail = await kit_detail(call, kit)
    today = datetime.now(DENMARK).date()
    visit = glance.next_visit(await _visits(call, kit, today), today)
    changes = await kits.list_changes(call, kit, PageQuery(limit=SHOWN_CHANGES))
    return render(
        request,
        "kit.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT,
        path=f"/kits/{kit}",
        kit=detail,
        visit=visit,
        todo=glance.todo(detail, visit),
        pieces=glance.pieces(detail),
        changes=changes.items,
        may_acknowledge=call.principal.may(Permission.ALERTS_ACKNOWLEDGE),
        refused=refused,
        sent=sent or StepForm(),
        **await _choices(call, kit),
    )


async def _visits(call: Call, kit: str, today: date) -> list[Visit]:
    """Visits to the kit of late and to come, as far as the caller may see them."""
    since = today - OVERDUE_FOR
    found = await store.list_visits(call.connection, kit=kit, day_from=since, limit=SHOWN_VISITS)
    seen = Permission.VISITS_READ
    return [visit_of(each) for each in found if call.principal.holds(seen, each.organisation_id, each.owner_id)]


async def _choices(call: Call, kit: str) -> dict[str, Any]:
    """What the form offers; nothing to those who may take no step."""
    if not call.principal.may(Permission.KITS_MOVE):
        return {"options": [], "places": []}
    try:
        found = await kit_options(call.connection, kit, by=call.principal)
    except ConflictError:
        # A log that cannot be read stops steps and nothing else; `fleet books check` tells what is wrong with it.
        found = []
    options = [(each, [steps.missing(item) for item in each.unmet]) for each in found]
    places = await locations.list_locations(call.connection, active=True, limit=SUGGESTED_LOCATIONS)
    return {"options": options, "places": places}
