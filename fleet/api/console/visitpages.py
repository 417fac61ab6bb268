"""The pages of visits, made for a phone: a crew's day, and one visit with what to bring and what came of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from fleet.access.roles import Permission
from fleet.alerts.requests import reading
from fleet.alerts.visits import lists, store
from fleet.alerts.visits.steps import Kind
from fleet.api import visitsheet
from fleet.api.auth import Call
from fleet.api.console import visitbring, visitforms
from fleet.api.console.refusals import Refusal, refusal
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.console.visitforms import ActForm
from fleet.api.problems import ProblemError
from fleet.api.shapes import NumberText, Title
from fleet.api.visitacts import DENMARK
from fleet.api.visits import ReadVisits, VisitDetail, VisitQuery, WriteVisits, detail_of, list_visits
from fleet.errors import FleetError, NotFoundError
from fleet.state.registry import components, locations

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 100
SUGGESTED = 200
AFTER = ("faulty", "cleaning", "lost")
RECEIPTS = ("citizen", "relative", "care_staff")
OF_PIECES = frozenset({Kind.SWAP, Kind.CALIBRATION})
"""Kinds whose end names pieces of the kit."""


@router.get("/visits")
async def visits_page(request: Request, call: ReadVisits, query: Annotated[VisitQuery, Query()]) -> Response:
    """Visits of a day and crew; of today when nothing is asked for."""
    asked = query.model_dump(exclude_none=True, exclude_defaults=True, mode="json", exclude={"cursor"})
    today = datetime.now(UTC).astimezone(DENMARK).date()
    if not asked.keys() - {"crew"}:
        query = query.model_copy(update={"day_from": today, "day_to": today})
    found = await list_visits(call, query.model_copy(update={"limit": SHOWN}))
    by_day: dict[date, list[Any]] = {}
    for each in sorted(found.items, key=lambda visit: (visit.planned_on, visit.window_from or "99")):
        by_day.setdefault(each.planned_on, []).append(each)
    return render(
        request,
        "visits.html",
        by_day=by_day,
        next_query=urlencode({**asked, "cursor": found.next}) if found.next else None,
        views=_views(today, query.crew),
        query=query,
        one_day=query.day_from if query.day_from == query.day_to else None,
    )


@router.get("/visits/{number}")
async def visit_page(request: Request, call: ReadVisits, number: NumberText) -> Response:
    """One visit: where, when, with what, and the form that ends it."""
    return await _page(request, call, number)


@router.get("/visits/{number}/print")
async def print_visit(request: Request, call: ReadVisits, number: NumberText) -> Response:
    """The sheet of one visit, with boxes to tick at the door."""
    visit = await detail_of(call, await store.find_visit(call.connection, number))
    stop = visitsheet.Stop(visit, tuple(visit.bring), tuple(visit.asks))
    page = visitsheet.html([stop], visit.planned_on, visit.crew, visitsheet.Language(language_of(request)))
    return Response(page, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": visitsheet.POLICY})


@router.post("/visits/{number}")
async def act(request: Request, call: WriteVisits, number: NumberText, form: Annotated[ActForm, Form()]) -> Response:
    """Do something with it; when it is refused the page says why, with the form as it was sent."""
    try:
        async with call.connection.transaction():
            await visitforms.do(call, number, form)
    except (ValidationError, ProblemError, FleetError) as error:
        told = refusal(language_of(request), error, visitforms.FORM_NAMES)
        return await _page(request, call, number, refused=told, sent=form)
    return RedirectResponse(f"/visits/{number}", HTTPStatus.SEE_OTHER)


async def _page(
    request: Request, call: Call, number: str, *, refused: Refusal | None = None, sent: ActForm | None = None
) -> Response:
    visit = await detail_of(call, await store.find_visit(call.connection, number))
    more = {} if refused is None else refused.more
    return render(
        request,
        "visit.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT,
        path=f"/visits/{number}",
        live=False,
        visit=visit,
        reasons={each.failure: _title(each) for each in await lists.failures(call.connection)},
        refused=refused,
        unmet=more.get("unmet", []),
        stopped=more if "action" in more else None,
        sent=sent,
        may_override=call.principal.may(Permission.KITS_OVERRIDE),
        receipts=RECEIPTS,
        after=AFTER,
        swap_rows=range(visitforms.SWAP_ROWS),
        today=datetime.now(DENMARK).date(),
        **await _choices(call, visit),
        **await _to_bring(call, visit, sent),
    )


async def _choices(call: Call, visit: VisitDetail) -> dict[str, Any]:
    """What the form offers; nothing where nothing can be done."""
    nothing: dict[str, Any] = {"bundle": [], "places": [], "failures": [], "causes": [], "remedies": []}
    if not visit.allowed_steps:
        return nothing
    reasons = await lists.failures(call.connection, active=True)
    chosen = {**nothing, "failures": [(each.failure, _title(each)) for each in reasons]}
    chosen["places"] = await locations.list_locations(call.connection, active=True, limit=SUGGESTED)
    if visit.kit is not None and visit.kind in OF_PIECES:
        chosen["bundle"] = await components.list_components(call.connection, kit=visit.kit, limit=SUGGESTED)
    if visit.service_request is not None and call.principal.may(Permission.REQUESTS_WRITE):
        causes = await reading.rows(call.connection, "causes", _listed("cause"))
        remedies = await reading.rows(call.connection, "remedies", _listed("remedy"))
        chosen["causes"] = [(each["cause"], _row_title(each)) for each in causes if each["explains"]]
        chosen["remedies"] = [(each["remedy"], _row_title(each)) for each in remedies]
    return chosen


async def _to_bring(call: Call, visit: VisitDetail, sent: ActForm | None) -> dict[str, Any]:
    """What is suggested and where it is in stock, while something can still be brought."""
    nothing: dict[str, Any] = {"wanted": [], "rows": [], "may_reserve": False}
    if not visit.allowed_steps or visit.kit is None:
        return nothing
    try:
        known = await visitbring.known(call, visit.kit)
    except NotFoundError:
        # A kit that was handed on is not the visit's organisation's to see any more.
        return nothing
    wanted = known.wanted(Kind(visit.kind), visit.planned_on, visit.service_request)
    wanted = visitbring.lacking(wanted, visit.bring)
    to_come = visit.planned_on >= datetime.now(DENMARK).date()
    may_reserve = call.principal.may(Permission.STOCK_WRITE) and to_come
    asked = sent if sent is not None and sent.act == "bring" else None
    rows = await visitbring.rows_of(call, wanted, known.kit.organisation, asked) if may_reserve else []
    return {"wanted": [each for each in wanted if each.quantity], "rows": rows, "may_reserve": may_reserve}


def _views(today: date, crew: str | None) -> list[tuple[str, str]]:
    """The tabs: name of their text, and their query."""
    days = {"today": (0, 0), "tomorrow": (1, 1), "week": (0, 6)}
    also = {"crew": crew} if crew else {}
    views = []
    for name, (first, last) in days.items():
        between = {"day_from": today + timedelta(days=first), "day_to": today + timedelta(days=last)}
        views.append((name, urlencode({**between, **also})))
    views.append(("failed", urlencode({"state": "failed", **also})))
    return [*views, ("overdue", urlencode({"overdue": "true", **also}))]


def _listed(name: str) -> dict[str, Any]:
    return {"after": "", name: None, "active": True, "limit": SUGGESTED}


def _title(reason: lists.FailureReason) -> Title:
    return Title(en=reason.title_en, da=reason.title_da)


def _row_title(row: dict[str, Any]) -> Title:
    return Title(en=row["title_en"], da=row["title_da"])
