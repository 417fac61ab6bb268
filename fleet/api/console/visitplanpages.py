"""The page on which a visit to a kit is planned: what is known of the kit, when, who, and what to bring."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field, ValidationError

from fleet.access.roles import Permission
from fleet.alerts.sla.calendars import add_working_days
from fleet.alerts.visits import planning, store
from fleet.alerts.visits.steps import Kind
from fleet.alerts.visits.suggesting import at_fault
from fleet.api.auth import Call
from fleet.api.console import visitbring
from fleet.api.console.refusals import Refusal, refusal
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.console.visitbring import BringForm, Known
from fleet.api.console.visitforms import plain
from fleet.api.problems import ProblemError
from fleet.api.shapes import KitPath, NumberText
from fleet.api.shapes import Query as QueryFields
from fleet.api.visitacts import DENMARK
from fleet.api.visits import NewVisit, VisitQuery, WriteVisits, list_visits
from fleet.errors import FleetError

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

TO_COME = ("planned", "under_way", "failed")
SHOWN_VISITS = 50
SET_UP = frozenset({"ordered", "in_stock", "preparing", "ready", "dispatched"})
KEPT_WHOLE = frozenset({"in_stock", "preparing", "ready"})
"""States in which the kit itself is reserved for the visit."""
ASKED = frozenset({"instruction"})


class PlanQuery(QueryFields):
    """What the visit is for, and of which kind it is to be."""

    request: NumberText | None = None
    kind: Kind | None = None


class PlanForm(BringForm):
    """A visit as the form sends it; `look` only asks what to bring to a visit of this kind."""

    kind: str = Field("", max_length=20)
    planned_on: str = Field("", max_length=10)
    window_from: str = Field("", max_length=5)
    window_to: str = Field("", max_length=5)
    crew: str = Field("", max_length=40)
    urgent: str = Field("", max_length=10)
    service_request: str = Field("", max_length=64)
    note: str = Field("", max_length=store.MAX_NOTE)
    look: str = Field("", max_length=10)

    def new(self, kit: str) -> planning.NewVisit:
        """As the use case takes it, without what to bring; raises ValidationError."""
        said = {
            name: value.strip()
            for name in ("planned_on", "window_from", "window_to", "crew", "service_request")
            if (value := getattr(self, name)).strip()
        }
        body = {**said, "kind": self.kind, "kit": kit, "urgent": bool(self.urgent), "note": plain(self.note)}
        return NewVisit.model_validate(body).new()


@router.get("/kits/{kit}/visit")
async def plan_page(
    request: Request, call: WriteVisits, kit: KitPath, query: Annotated[PlanQuery, Query()]
) -> Response:
    """Plan a visit to the kit, for a request when one is named."""
    known = await visitbring.known(call, kit)
    return await _page(request, call, known, await _at_first(call, known, query), filled=False)


@router.post("/kits/{kit}/visit")
async def plan(request: Request, call: WriteVisits, kit: KitPath, form: Annotated[PlanForm, Form()]) -> Response:
    """Plan it, or say why not with the form as it was sent."""
    known = await visitbring.known(call, kit)
    if form.look:
        return await _page(request, call, known, form.model_copy(update={"wanted": []}))
    try:
        async with call.connection.transaction():
            new = replace(form.new(kit), bring=await visitbring.given(call, form))
            made = await planning.plan(call.connection, new, by=call.principal)
    except (ValidationError, ProblemError, FleetError) as error:
        return await _page(request, call, known, form, refused=refusal(language_of(request), error))
    return RedirectResponse(f"/visits/{made.number}", HTTPStatus.SEE_OTHER)


async def _page(
    request: Request,
    call: Call,
    known: Known,
    form: PlanForm,
    *,
    refused: Refusal | None = None,
    filled: bool = True,
) -> Response:
    kind = Kind(form.kind) if form.kind in set(Kind) else Kind.REPAIR
    wanted = known.wanted(kind, _day(form.planned_on), form.service_request or None)
    may_reserve = call.principal.may(Permission.STOCK_WRITE)
    sent = form if filled else None
    return render(
        request,
        "visitplan.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT,
        path=f"/kits/{known.kit.kit}/visit",
        live=False,
        known=known,
        kit=known.kit,
        form=form,
        kinds=list(Kind),
        planned=await _planned(call, known.kit.kit),
        wanted=[each for each in wanted if each.quantity],
        rows=await visitbring.rows_of(call, wanted, known.kit.organisation, sent) if may_reserve else [],
        may_reserve=may_reserve,
        keep_whole=kind is Kind.INSTALL and known.kit.state in KEPT_WHOLE,
        refused=refused,
    )


async def _planned(call: Call, kit: str) -> list[Any]:
    """Visits to the kit that are still to be done: one of them may be what is wanted."""
    found = await list_visits(call, VisitQuery(kit=kit, limit=SHOWN_VISITS))
    return [each for each in found.items if each.state.value in TO_COME]


async def _at_first(call: Call, known: Known, query: PlanQuery) -> PlanForm:
    """The form as it is most likely meant: the next working day, for the request that is open."""
    named = query.request or (known.requests[0].number if len(known.requests) == 1 else "")
    kind = query.kind or _likely(known, named)
    today = datetime.now(DENMARK).date()
    day = add_working_days(await planning.working_days(call.connection), today, 1)
    whole = known.kit.kit if kind is Kind.INSTALL and known.kit.state in KEPT_WHOLE else ""
    return PlanForm(kind=kind, planned_on=day.isoformat(), service_request=named, whole_kit=whole)


def _likely(known: Known, request: str) -> Kind:
    """Of which kind the visit is, from where the kit is in its life and what is wrong with it."""
    causes = [each.cause for each in known.requests if each.number == request]
    rules = [each.rule for each in known.alerts]
    if known.kit.state in SET_UP:
        return Kind.INSTALL
    if ASKED & set(causes):
        return Kind.TRAINING
    if at_fault([*causes, *rules], [each.evidence for each in known.alerts]):
        return Kind.SWAP
    return Kind.CALIBRATION if "calibration_due" in rules else Kind.REPAIR


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.now(DENMARK).date()
