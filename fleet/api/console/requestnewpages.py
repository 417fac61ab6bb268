"""The page on which a request about a kit is opened, or what is new is added to one that is open already."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field, ValidationError

from fleet.access.roles import Permission
from fleet.alerts.massevents.desk import incidents_of_kit
from fleet.alerts.requests import desk, reading
from fleet.alerts.requests.desk import AlreadyOpen
from fleet.api import problemtrees
from fleet.api.auth import Call, WriteRequests
from fleet.api.console import visitbring
from fleet.api.console.callpages import MAX_SAID, answers_of
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import Refusal, refusal
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.console.texts import Language
from fleet.api.console.visitbring import Known
from fleet.api.console.wording import Wording
from fleet.api.problemtrees import Walked
from fleet.api.servicerequests import MAX_TEXT, NewServiceRequest
from fleet.api.shapes import KitPath, Title
from fleet.api.shapes import Query as QueryFields
from fleet.errors import FleetError, InvalidError
from fleet.state.texts import bad_text

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

LISTED = 500
LINES = ("support", "service", "logistics", "supplier")
PRIORITIES = ("urgent", "high", "normal", "low")
NEW = "new"
_FORM_NAMES = {"description": "text", "assignee": "mine"}


class WalkQuery(QueryFields):
    """The walk through a problem tree that is attached, as the page of a call writes it."""

    tree: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = None
    said: Annotated[str, Field(max_length=MAX_SAID)] = ""


class RequestForm(ConsoleForm):
    """What is new about a kit: added to the request `into`, or a new one is opened."""

    into: str = Field(NEW, max_length=64)
    cause: str = Field("", max_length=63)
    text: str = Field("", max_length=MAX_TEXT + 1)
    line: str = Field("", max_length=20)
    priority: str = Field("", max_length=20)
    mine: str = Field("", max_length=10)
    tree: str = Field("", max_length=63)
    said: str = Field("", max_length=MAX_SAID)

    def description(self) -> str:
        """What was typed, with lines as they are stored."""
        return self.text.replace("\r\n", "\n").strip()


@router.get("/kits/{kit}/request")
async def new_page(
    request: Request, call: WriteRequests, kit: KitPath, query: Annotated[WalkQuery, Query()]
) -> Response:
    """What is open about the kit, and the form that adds to it or opens another request."""
    known = await visitbring.known(call, kit)
    form = RequestForm(tree=query.tree or "", said=query.said, into=known.requests[0].number if known.requests else NEW)
    try:
        walked = await _walked(call, kit, query.tree, query.said)
    except FleetError as error:
        return await _page(request, call, known, _without_walk(form), None, refused=_unwalked(request, error))
    if walked is not None and walked.request is not None:
        asked = walked.request
        same = next((each.number for each in known.requests if each.cause == asked.cause), None)
        form = form.model_copy(
            update={"cause": asked.cause, "line": asked.line, "priority": asked.priority, "into": same or NEW}
        )
    return await _page(request, call, known, form, walked)


@router.post("/kits/{kit}/request")
async def open_or_join(
    request: Request, call: WriteRequests, kit: KitPath, form: Annotated[RequestForm, Form()]
) -> Response:
    """Add to a request or open one; what is wrong is said beside the field, with the form as it was sent."""
    known = await visitbring.known(call, kit)
    try:
        walked = await _walked(call, kit, form.tree or None, form.said)
    except FleetError as error:
        return await _page(request, call, known, _without_walk(form), None, refused=_unwalked(request, error))
    evidence = "" if walked is None else _evidence(language_of(request), known, walked)
    try:
        async with call.connection.transaction():
            number = await (_open if form.into == NEW else _join)(call, known, form, evidence)
    except (ValidationError, FleetError) as error:
        told = refusal(language_of(request), error, _FORM_NAMES)
        return await _page(request, call, known, form, walked, refused=told)
    if isinstance(number, AlreadyOpen):
        joined = form.model_copy(update={"into": number.number})
        again = await visitbring.known(call, kit)
        return await _page(request, call, again, joined, walked, open_already=number.number)
    return RedirectResponse(f"/service-requests/{number}", HTTPStatus.SEE_OTHER)


async def _open(call: Call, known: Known, form: RequestForm, evidence: str) -> str | AlreadyOpen:
    body: dict[str, Any] = {"kit": known.kit.kit, "cause": form.cause}
    if said := form.description():
        body["description"] = said
    if form.mine and call.principal.kind == "user":
        body["assignee"] = call.principal.name
    body |= {name: value for name in ("line", "priority") if (value := getattr(form, name))}
    asked = desk.NewRequest(**NewServiceRequest.model_validate(body).model_dump())
    opened = await desk.open_request(call.connection, asked, by=call.principal)
    if isinstance(opened, str) and evidence:
        await desk.comment(call.connection, opened, evidence, "internal", by=call.principal)
    return opened


async def _join(call: Call, known: Known, form: RequestForm, evidence: str) -> str:
    """Add what was said and found to a request of the kit."""
    if form.into not in {each.number for each in known.requests}:
        raise InvalidError("into", "choose it from the list")
    said = form.description()
    if not said and not evidence:
        raise InvalidError("text", "is needed")
    for each in (said, evidence):
        if each and (problem := bad_text(each.replace("\n", " "), MAX_TEXT)) is not None:
            raise InvalidError("text", problem)
        if each:
            await desk.comment(call.connection, form.into, each, "internal", by=call.principal)
    return form.into


async def _page(
    request: Request,
    call: Call,
    known: Known,
    form: RequestForm,
    walked: Walked | None,
    *,
    refused: Refusal | None = None,
    open_already: str | None = None,
) -> Response:
    listed = {"after": "", "cause": None, "active": None, "limit": LISTED}
    causes = await reading.rows(call.connection, "causes", listed)
    titles = {each["cause"]: Title(en=each["title_en"], da=each["title_da"]) for each in causes}
    offered = [each["cause"] for each in causes if each["opens"] and each["active"]]
    if form.cause and form.cause not in offered:
        offered.append(form.cause)
    return render(
        request,
        "requestnew.html",
        status=HTTPStatus.OK if refused is None and open_already is None else HTTPStatus.CONFLICT,
        path=f"/kits/{known.kit.kit}/request",
        live=False,
        kit=known.kit,
        requests=known.requests,
        incidents=await incidents_of_kit(call.connection, known.kit.kit),
        titles=titles,
        causes=offered,
        lines=LINES,
        priorities=PRIORITIES,
        form=form,
        new=NEW,
        walked=walked,
        a_person=call.principal.kind == "user",
        refused=refused,
        open_already=open_already,
    )


async def _walked(call: Call, kit: str, tree: str | None, said: str) -> Walked | None:
    """The walk that is attached, for whoever may see calls."""
    if tree is None or not call.principal.may(Permission.CALLS_READ):
        return None
    return await problemtrees.walked(call, tree, kit=kit, answers=answers_of(said))


def _without_walk(form: RequestForm) -> RequestForm:
    """The form without a walk that cannot be repeated, so that it can be sent all the same."""
    return form.model_copy(update={"tree": "", "said": ""})


def _unwalked(request: Request, error: FleetError) -> Refusal:
    """The kit told something meanwhile that leads another way than the answers, or the address was no walk."""
    said = Wording(language_of(request), datetime.now(UTC)).t("request.walk_gone")
    return Refusal(f"{said} ({error})")


def _evidence(language: Language, known: Known, walked: Walked) -> str:
    """What was asked and answered, and what the kit showed then, in lines that fit a comment."""
    wording = Wording(language, datetime.now(UTC))
    lines = [f"{wording.title(walked.title)} ({walked.tree} {walked.version})", *_steps(wording, walked)]
    if walked.kind != "question":
        lines.append(wording.title(walked.text))
    lines.append(wording.t(f"verdict.{known.kit.health.value}"))
    lines += [f"- {wording.reason(each)}" for each in known.kit.reasons]
    kept: list[str] = []
    for line in lines:
        if sum(len(each) + 1 for each in kept) + len(line) <= MAX_TEXT:
            kept.append(line)
    return "\n".join(kept)


def _steps(wording: Wording, walked: Walked) -> Iterator[str]:
    for step in walked.path:
        by = wording.t(f"call_by_{step.by.value}")
        yield f"- {wording.title(step.question)} {wording.title(step.answer_text)} ({by})"
