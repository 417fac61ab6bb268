"""The pages of what goes out to others: how each receiver fares, what was given up, and sending it again."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.outbound import outlets
from fleet.api.auth import Call
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import sentence
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.outlets import Read, Write
from fleet.api.shapes import NumberPath
from fleet.errors import FleetError

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 200
SHOWN_DELIVERIES = 50
KINDS = ("webhook", "mail", "connector")

Kind = Annotated[Literal["webhook", "mail", "connector"], Path()]
Act = Literal["ping", "again", "again_all", "pause", "resume"]


class OutletForm(ConsoleForm):
    """What is to be done with a receiver; `delivery` names the one to send again."""

    act: Act
    delivery: int = Field(0, ge=0, le=2**63 - 1)


@router.get("/outlets")
async def outlets_page(request: Request, call: Read) -> Response:
    """All receivers by kind."""
    found = {kind: await outlets.list_outlets(call.connection, kind, limit=SHOWN) for kind in KINDS}
    return render(request, "outlets.html", found=found)


@router.get("/outlets/{kind}/{id}")
async def outlet_page(request: Request, call: Read, kind: Kind, id: NumberPath) -> Response:
    """One receiver with its latest deliveries."""
    return await _outlet(request, call, kind, id)


@router.post("/outlets/{kind}/{id}")
async def act_on_outlet(
    request: Request, call: Write, kind: Kind, id: NumberPath, form: Annotated[OutletForm, Form()]
) -> Response:
    """Try it, send again, pause or resume; when that is refused the page says why."""
    try:
        await _act(call, kind, id, form)
    except FleetError as error:
        return await _outlet(request, call, kind, id, refused=sentence(language_of(request), error))
    return RedirectResponse(f"/outlets/{kind}/{id}", HTTPStatus.SEE_OTHER)


async def _act(call: Call, kind: str, id: int, form: OutletForm) -> None:
    match form.act:
        case "ping":
            await outlets.ping(call.connection, kind, id)
        case "again":
            await outlets.redeliver(call.connection, form.delivery)
        case "again_all":
            await outlets.redeliver_all(call.connection, kind, id)
        case "pause" | "resume":
            state = "paused" if form.act == "pause" else "active"
            await outlets.edit(call.connection, kind, id, {"state": state})


async def _outlet(request: Request, call: Call, kind: str, id: int, *, refused: str | None = None) -> Response:
    found = await outlets.find(call.connection, kind, id)
    return render(
        request,
        "outlet.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT,
        path=f"/outlets/{kind}/{id}",
        outlet=found,
        deliveries=await outlets.deliveries(call.connection, outlet_id=id, limit=SHOWN_DELIVERIES),
        refused=refused,
        may_write=call.principal.may(Permission.WEBHOOKS_WRITE),
    )
