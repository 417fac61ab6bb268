"""The pages of service requests: the desk's list, and one request with what is done about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.requests import desk, reading
from fleet.alerts.requests.desk import Outcome
from fleet.alerts.requests.steps import NotAllowed
from fleet.api.auth import Call, ReadRequests, WriteRequests
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import Refusal, refusal
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.console.texts import named
from fleet.api.servicerequests import MAX_TEXT, ME, RequestQuery, detail_of, list_requests
from fleet.api.shapes import NumberText, Title
from fleet.errors import FleetError, InvalidError
from fleet.state.texts import bad_text

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 50
LISTED = 500
LINES = ("support", "service", "logistics", "supplier")
WAITING = ("citizen", "supplier", "transport", "other")
Act = Literal["take", "release", "comment", "start", "wait", "forward", "resolve", "reopen", "close", "merge"]


class ActForm(ConsoleForm):
    """What is done with a request; each act looks at its own fields."""

    act: Act
    text: str = Field("", max_length=MAX_TEXT)
    audience: Literal["internal", "reporter"] = "internal"
    reason: str = Field("", max_length=200)
    line: Literal["support", "service", "logistics", "supplier"] = "service"
    waiting_for: Literal["citizen", "supplier", "transport", "other"] = "citizen"
    cause: str = Field("", max_length=63)
    remedy: str = Field("", max_length=63)
    resolution: str = Field("", max_length=200)
    into: str = Field("", max_length=64)


@router.get("/service-requests")
async def requests_page(request: Request, call: ReadRequests, query: Annotated[RequestQuery, Query()]) -> Response:
    """Requests of a line, one's own, nobody's, or the late ones; without a filter all that are open, by due time."""
    asked = query.model_dump(exclude_none=True, exclude_defaults=True, mode="json", exclude={"cursor"})
    if not asked:
        query = query.model_copy(update={"unresolved": True, "sort": "due_at"})
    found = await list_requests(call, query.model_copy(update={"limit": SHOWN}))
    kept = query.model_dump(exclude_none=True, exclude_defaults=True, mode="json", exclude={"cursor", "limit"})
    return render(
        request,
        "requests.html",
        requests=found.items,
        next_query=urlencode({**kept, "cursor": found.next}) if found.next else None,
        views=_views(call, await reading.counts(call.connection)),
        query=query,
        titles=await _titles(call, "causes", "cause"),
    )


@router.get("/service-requests/{number}")
async def request_page(request: Request, call: ReadRequests, number: NumberText) -> Response:
    """One request: what it stands on, what was done, what can be done."""
    return await _page(request, call, number)


@router.post("/service-requests/{number}")
async def act(request: Request, call: WriteRequests, number: NumberText, form: Annotated[ActForm, Form()]) -> Response:
    """Do something with it; when it is refused the page says why, with the form as it was sent."""
    try:
        async with call.connection.transaction():
            outcome = await _ACTS[form.act](call, number, form)
    except FleetError as error:
        return await _page(request, call, number, refused=refusal(language_of(request), error), sent=form)
    if isinstance(outcome, NotAllowed):
        words = [named(language_of(request), "request", each) for each in (outcome.state, outcome.wanted)]
        return await _page(request, call, number, refused=Refusal(" → ".join(words)), sent=form)
    return RedirectResponse(f"/service-requests/{number}", HTTPStatus.SEE_OTHER)


async def _page(
    request: Request, call: Call, number: str, *, refused: Refusal | None = None, sent: ActForm | None = None
) -> Response:
    found = await detail_of(call, number)
    causes = await reading.rows(call.connection, "causes", _listed("cause"))
    remedies = await reading.rows(call.connection, "remedies", _listed("remedy"))
    return render(
        request,
        "request.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT,
        path=f"/service-requests/{number}",
        found=found,
        titles={each["cause"]: _title(each) for each in causes},
        remedy_titles={each["remedy"]: _title(each) for each in remedies},
        causes=[each["cause"] for each in causes if each["explains"] and each["active"]],
        remedies=[each["remedy"] for each in remedies if each["active"]],
        lines=LINES,
        waiting=WAITING,
        may_write=call.principal.may(Permission.REQUESTS_WRITE),
        a_person=call.principal.kind == "user",
        refused=refused,
        sent=sent,
    )


async def _take(call: Call, number: str, _: ActForm) -> Outcome:
    return await desk.assign(call.connection, number, call.principal.name, by=call.principal)


async def _release(call: Call, number: str, _: ActForm) -> Outcome:
    return await desk.assign(call.connection, number, None, by=call.principal)


async def _comment(call: Call, number: str, form: ActForm) -> Outcome:
    text = form.text.replace("\r\n", "\n").strip()
    _checked("text", text.replace("\n", " "), MAX_TEXT)
    return await desk.comment(call.connection, number, text, form.audience, by=call.principal)


async def _start(call: Call, number: str, _: ActForm) -> Outcome:
    return await desk.change_request(call.connection, number, {"state": "in_progress"}, by=call.principal)


async def _wait(call: Call, number: str, form: ActForm) -> Outcome:
    changes = {"state": "waiting", "waiting_for": form.waiting_for}
    return await desk.change_request(call.connection, number, changes, by=call.principal)


async def _forward(call: Call, number: str, form: ActForm) -> Outcome:
    reason = _checked("reason", form.reason)
    return await desk.forward(call.connection, number, form.line, reason, by=call.principal)


async def _resolve(call: Call, number: str, form: ActForm) -> Outcome:
    resolution = _checked("resolution", form.resolution) if form.resolution.strip() else None
    said = {"cause": form.cause, "remedy": form.remedy}
    return await desk.resolve(call.connection, number, **said, resolution=resolution, by=call.principal)


async def _reopen(call: Call, number: str, form: ActForm) -> Outcome:
    return await desk.reopen(call.connection, number, _checked("reason", form.reason), by=call.principal)


async def _close(call: Call, number: str, form: ActForm) -> Outcome:
    changes = {"state": "closed"}
    if form.reason.strip():
        changes["reason"] = _checked("reason", form.reason)
    return await desk.change_request(call.connection, number, changes, by=call.principal)


async def _merge(call: Call, number: str, form: ActForm) -> Outcome:
    return await desk.merge(call.connection, number, form.into.strip(), by=call.principal)


_ACTS: dict[Act, Callable[[Call, str, ActForm], Awaitable[Outcome]]] = {
    "take": _take,
    "release": _release,
    "comment": _comment,
    "start": _start,
    "wait": _wait,
    "forward": _forward,
    "resolve": _resolve,
    "reopen": _reopen,
    "close": _close,
    "merge": _merge,
}


def _views(call: Call, counts: dict[str, dict[str, Any]]) -> list[tuple[str, str, dict[str, Any], int | None]]:
    """The tabs: group and name of their text, their query, and how many are in them."""
    totals = {name: sum(each[name] for each in counts.values()) for name in ("requests", "unassigned", "breached")}
    by_due: dict[str, Any] = {"unresolved": "true", "sort": "due_at"}
    views: list[tuple[str, str, dict[str, Any], int | None]] = [("requests", "all", by_due, totals["requests"])]
    if call.principal.kind == "user":
        views.append(("requests", "mine", {**by_due, "assignee": ME}, None))
    views.append(("requests", "unassigned", {**by_due, "assigned": "false"}, totals["unassigned"]))
    views.append(("requests", "late", {**by_due, "breached": "true"}, totals["breached"]))
    for line in LINES:
        views.append(("line", line, {**by_due, "line": line}, counts[line]["requests"] if line in counts else 0))
    ended = {"unresolved": "false"}
    unexplained = ("requests", "unexplained", {"cause_missing": "true"}, None)
    return [*views, ("requests", "ended", ended, None), unexplained]


async def _titles(call: Call, query: str, name: str) -> dict[str, Title]:
    return {each[name]: _title(each) for each in await reading.rows(call.connection, query, _listed(name))}


def _listed(name: str) -> dict[str, Any]:
    return {"after": "", name: None, "active": None, "limit": LISTED}


def _title(row: dict[str, Any]) -> Title:
    return Title(en=row["title_en"], da=row["title_da"])


def _checked(field: str, text: str, limit: int = 200) -> str:
    """A text that may be stored; raises InvalidError."""
    said = text.strip()
    if problem := (bad_text(said, limit) if said else "is needed"):
        raise InvalidError(field, problem)
    return said
