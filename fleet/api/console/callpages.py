"""The page of a call about a kit: guided questions, what telemetry knows already, and the record that is kept of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field, ValidationError

from fleet.access.roles import Permission
from fleet.alerts.calls.store import Caller, Channel, Outcome, Reason
from fleet.api import calls, problemtrees
from fleet.api.auth import Call
from fleet.api.calls import CallQuery, NewCall, ReadCalls, Walked, WriteCalls
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, render
from fleet.api.kitdetail import kit_detail
from fleet.api.problems import EXPECTED, ProblemError
from fleet.api.problemtrees import TreeQuery, TreeSummary
from fleet.api.shapes import KitPath
from fleet.api.shapes import Query as QueryFields
from fleet.errors import FleetError, InvalidError

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN_CALLS = 5
MAX_SAID = 4000
ABOUT = {
    "kit-is-silent": Reason.NOT_HEARD,
    "measurement-does-not-arrive": Reason.MEASUREMENT_MISSING,
    "battery-does-not-last": Reason.BATTERY,
    "app-does-not-work": Reason.APP,
    "clock-is-wrong": Reason.CLOCK,
    "kit-is-damaged-or-missing": Reason.DAMAGED,
}
"""What a call with one of the shipped trees is about, as the form suggests it."""


class WalkQuery(QueryFields):
    """The tree and the answers so far, `node:answer` joined by commas, so that each question is an address."""

    tree: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = None
    said: Annotated[str, Field(max_length=MAX_SAID)] = ""
    recorded: int | None = None


class CallForm(ConsoleForm):
    """A call as the form sends it."""

    tree: str = Field("", max_length=63)
    said: str = Field("", max_length=MAX_SAID)
    minutes: str = Field("3", max_length=6)
    channel: str = Field("phone", max_length=20)
    caller: str = Field("", max_length=20)
    reason: str = Field("", max_length=30)
    outcome: str = Field("", max_length=30)
    forward: str = Field("", max_length=10)
    note: str = Field("", max_length=2000)

    def call(self, kit: str) -> NewCall:
        """As the API takes it; raises InvalidError naming the field."""
        body: dict[str, Any] = {
            "kit": kit,
            "minutes": self.minutes.replace(",", "."),
            "channel": self.channel,
            "caller": self.caller,
            "reason": self.reason,
            "outcome": Outcome.FORWARDED if self.forward else self.outcome,
            "forward": bool(self.forward),
            "note": " ".join(self.note.split()),
        }
        if self.tree:
            body["walked"] = Walked(tree=self.tree, answers=answers_of(self.said))
        try:
            return NewCall.model_validate(body)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidError(str(first["loc"][0]), first["msg"]) from None


@router.get("/kits/{kit}/call")
async def call_page(request: Request, call: ReadCalls, kit: KitPath, query: Annotated[WalkQuery, Query()]) -> Response:
    """Choose a tree, answer what telemetry does not know, and record the call."""
    return await _page(request, call, kit, query)


@router.post("/kits/{kit}/call")
async def record_call(request: Request, call: WriteCalls, kit: KitPath, form: Annotated[CallForm, Form()]) -> Response:
    """Record the call; what is wrong with it is told on the page, with the form as it was sent."""
    try:
        made = await calls.record(call, form.call(kit))
    except EXPECTED as error:
        if not isinstance(error, FleetError | ProblemError):
            raise
        query = WalkQuery(tree=form.tree or None, said=form.said)
        return await _page(request, call, kit, query, refused=str(error), sent=form)
    return RedirectResponse(f"/kits/{kit}/call?recorded={made.call_id}", HTTPStatus.SEE_OTHER)


async def _page(
    request: Request,
    call: Call,
    kit: str,
    query: WalkQuery,
    *,
    refused: str | None = None,
    sent: CallForm | None = None,
) -> Response:
    detail = await kit_detail(call, kit)
    walked = None
    if query.tree is not None:
        walked = await problemtrees.walked(call, query.tree, kit=kit, answers=answers_of(query.said))
    offered = await problemtrees.list_trees(call, TreeQuery())
    recent = await calls.list_calls(call, CallQuery(kit=kit, limit=SHOWN_CALLS))
    return render(
        request,
        "call.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.UNPROCESSABLE_ENTITY,
        path=f"/kits/{kit}/call",
        live=False,
        kit=detail,
        walked=walked,
        said=query.said,
        recorded=query.recorded is not None,
        trees=_fitting_first(offered.items, {alert.rule for alert in detail.alerts}),
        calls=recent.items,
        may_record=call.principal.may(Permission.CALLS_WRITE),
        may_forward=call.principal.may(Permission.REQUESTS_WRITE),
        refused=refused,
        sent=sent or _suggested(walked),
        choices={"channel": list(Channel), "caller": list(Caller), "reason": list(Reason), "outcome": list(Outcome)},
    )


def answers_of(said: str) -> dict[str, str]:
    """The answers of an address; raises InvalidError for what is none."""
    pairs = [each.split(":", 1) for each in said.split(",") if each]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise InvalidError("said", "must be `node:answer`, joined by commas")
    return dict(pairs)


def _fitting_first(trees: list[TreeSummary], rules: set[str]) -> list[tuple[TreeSummary, bool]]:
    """Each tree, and whether it is about what the kit has an alert of; those first."""
    marked = [(tree, bool(rules & set(tree.causes))) for tree in trees]
    return sorted(marked, key=lambda each: not each[1])


def _suggested(walked: problemtrees.Walked | None) -> CallForm:
    """The form as the walk would fill it."""
    if walked is None:
        return CallForm()
    outcome = Outcome.FORWARDED if walked.request else Outcome.ADVISED if walked.kind == "advice" else Outcome.SOLVED
    reason = ABOUT.get(walked.tree, Reason.OTHER)
    return CallForm(tree=walked.tree, reason=reason, outcome=outcome)
