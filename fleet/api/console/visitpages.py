"""The pages of visits, made for a phone: a crew's day, and one visit with what to bring and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field, ValidationError

from fleet.access.roles import Permission
from fleet.alerts.requests import reading
from fleet.alerts.visits import lists, planning, store
from fleet.alerts.visits.steps import Kind
from fleet.api.auth import Call
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, render
from fleet.api.problems import ProblemError
from fleet.api.shapes import NumberText, Title
from fleet.api.visitacts import DENMARK, CompletionBody, FailureBody, completed
from fleet.api.visits import (
    ReadVisits,
    VisitDetail,
    VisitEdit,
    VisitQuery,
    WriteVisits,
    detail_of,
    done,
    list_visits,
)
from fleet.errors import FleetError, InvalidError
from fleet.state.registry import components, locations

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 100
SUGGESTED = 200
CALIBRATED_BY_HAND = frozenset({Kind.CALIBRATION})
"""Kinds whose end tells more than the form asks; the API takes it."""
AFTER = ("faulty", "cleaning", "lost")
RECEIPTS = ("citizen", "relative", "care_staff")
Act = Literal["start", "complete", "fail", "plan", "cancel"]


class ActForm(ConsoleForm):
    """What is done with a visit; each act looks at its own fields."""

    act: Act
    instruction_given: str = Field("", max_length=10)
    receipt: str = Field("", max_length=20)
    old_equipment_taken: str = Field("", max_length=10)
    arrived: str = Field("", max_length=10)
    outgoing: str = Field("", max_length=20)
    incoming: str = Field("", max_length=100)
    after: str = Field("faulty", max_length=20)
    new_kit: str = Field("", max_length=64)
    location: str = Field("", max_length=200)
    entered_already: str = Field("", max_length=10)
    override: str = Field("", max_length=10)
    reason: str = Field("", max_length=200)
    note: str = Field("", max_length=store.MAX_NOTE)
    cause: str = Field("", max_length=63)
    remedy: str = Field("", max_length=63)
    failure: str = Field("", max_length=63)
    planned_on: str = Field("", max_length=10)
    window_from: str = Field("", max_length=5)
    window_to: str = Field("", max_length=5)
    crew: str = Field("", max_length=40)


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


@router.post("/visits/{number}")
async def act(request: Request, call: WriteVisits, number: NumberText, form: Annotated[ActForm, Form()]) -> Response:
    """Do something with it; when it is refused the page says why, with the form as it was sent."""
    try:
        async with call.connection.transaction():
            await _ACTS[form.act](call, number, form)
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{first['loc'][0]}: {first['msg']}"
        return await _page(request, call, number, refused=said, sent=form)
    except ProblemError as problem:
        return await _page(request, call, number, refused=problem.detail, more=problem.more, sent=form)
    except FleetError as error:
        return await _page(request, call, number, refused=str(error), sent=form)
    return RedirectResponse(f"/visits/{number}", HTTPStatus.SEE_OTHER)


async def _page(
    request: Request,
    call: Call,
    number: str,
    *,
    refused: str | None = None,
    more: Any = None,
    sent: ActForm | None = None,
) -> Response:
    visit = await detail_of(call, await store.find_visit(call.connection, number))
    return render(
        request,
        "visit.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT,
        path=f"/visits/{number}",
        live=False,
        visit=visit,
        reasons={each.failure: _title(each) for each in await lists.failures(call.connection)},
        refused=refused,
        unmet=(more or {}).get("unmet", []),
        stopped=more if more and "action" in more else None,
        sent=sent,
        may_override=call.principal.may(Permission.KITS_OVERRIDE),
        receipts=RECEIPTS,
        after=AFTER,
        by_hand=visit.kind in CALIBRATED_BY_HAND,
        **await _choices(call, visit),
    )


async def _choices(call: Call, visit: VisitDetail) -> dict[str, Any]:
    """What the form offers; nothing where nothing can be done."""
    nothing: dict[str, Any] = {"bundle": [], "places": [], "failures": [], "causes": [], "remedies": []}
    if not visit.allowed_steps:
        return nothing
    reasons = await lists.failures(call.connection, active=True)
    chosen = {**nothing, "failures": [(each.failure, _title(each)) for each in reasons]}
    chosen["places"] = await locations.list_locations(call.connection, active=True, limit=SUGGESTED)
    if visit.kit is not None and visit.kind is Kind.SWAP:
        chosen["bundle"] = await components.list_components(call.connection, kit=visit.kit, limit=SUGGESTED)
    if visit.service_request is not None and call.principal.may(Permission.REQUESTS_WRITE):
        causes = await reading.rows(call.connection, "causes", _listed("cause"))
        remedies = await reading.rows(call.connection, "remedies", _listed("remedy"))
        chosen["causes"] = [(each["cause"], _row_title(each)) for each in causes if each["explains"]]
        chosen["remedies"] = [(each["remedy"], _row_title(each)) for each in remedies]
    return chosen


async def _start(call: Call, number: str, _: ActForm) -> None:
    done(await planning.start(call.connection, number, by=call.principal))


async def _complete(call: Call, number: str, form: ActForm) -> None:
    visit = await store.find_visit(call.connection, number)
    body: dict[str, Any] = {
        "actions": await _actions(call, Kind(visit.kind), form),
        "entered_already": bool(form.entered_already),
        "instruction_given": bool(form.instruction_given),
        "receipt": form.receipt or None,
        "old_equipment_taken": {"yes": True, "no": False}.get(form.old_equipment_taken),
        "arrived_at": _arrived(form.arrived),
        "override": bool(form.override),
        "reason": form.reason.strip() or None,
        "note": " ".join(form.note.split()) or None,
    }
    if form.cause or form.remedy:
        body["resolve"] = {"cause": form.cause, "remedy": form.remedy}
    await completed(call, number, CompletionBody.model_validate(body).completion())


async def _actions(call: Call, kind: Kind, form: ActForm) -> list[dict[str, Any]]:
    """What the form says was done to the books; none where the kind's usual is meant."""
    location = form.location.strip() or None
    if form.entered_already:
        return []
    if kind is Kind.TAKE_DOWN:
        return [{"do": "take_down", "location": location}]
    if kind is not Kind.SWAP:
        return []
    if new := form.new_kit.strip():
        return [{"do": "take_down", "location": location}, {"do": "install", "kit": new}]
    swap: dict[str, Any] = {"do": "swap", "location": location}
    if form.outgoing.isdecimal():
        swap |= {"outgoing": int(form.outgoing), "state": form.after}
    if form.incoming.strip():
        swap["incoming"] = await _piece(call, form.incoming.strip())
    return [swap]


async def _piece(call: Call, serial: str) -> int:
    """The piece with a serial number; raises InvalidError when none or several have it."""
    found = await components.list_components(call.connection, serial=serial, limit=2)
    if len(found) != 1:
        raise InvalidError("incoming", f"{'several pieces have' if found else 'no piece has'} the number {serial!r}")
    return found[0].component_id


def _arrived(text: str) -> str | None:
    """A time of today, by Danish clocks."""
    if not text:
        return None
    try:
        at = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of day, whose zone comes with the day
    except ValueError:
        raise InvalidError("arrived_at", "must be a time such as 09:30") from None
    now = datetime.now(DENMARK)
    return datetime.combine(now.date(), at, DENMARK).astimezone(UTC).isoformat()


async def _fail(call: Call, number: str, form: ActForm) -> None:
    said = {**_when(form), "failure": form.failure, "note": " ".join(form.note.split())}
    failed = planning.Failure(**FailureBody.model_validate(said).model_dump())
    done(await planning.fail(call.connection, number, failed, by=call.principal))


async def _plan(call: Call, number: str, form: ActForm) -> None:
    edit = VisitEdit.model_validate(_when(form))
    changes = edit.model_dump(include=edit.model_fields_set)
    done(await planning.change(call.connection, number, changes, by=call.principal))


async def _cancel(call: Call, number: str, form: ActForm) -> None:
    done(await planning.cancel(call.connection, number, reason=form.reason.strip(), by=call.principal))


_ACTS: dict[Act, Callable[[Call, str, ActForm], Awaitable[None]]] = {
    "start": _start,
    "complete": _complete,
    "fail": _fail,
    "plan": _plan,
    "cancel": _cancel,
}


def _when(form: ActForm) -> dict[str, str]:
    """Day, window and crew as far as they were filled in."""
    names = ("planned_on", "window_from", "window_to", "crew")
    return {name: getattr(form, name).strip() for name in names if getattr(form, name).strip()}


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
