"""Stock by model and place, and what is to be ordered, with the findings that say so."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from fleet.access.roles import Permission
from fleet.api import findings, stock
from fleet.api.auth import Call
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, render
from fleet.api.findings import FindingQuery, WriteFindings
from fleet.api.shapes import NumberPath
from fleet.api.stock import ReadStock, StockQuery
from fleet.state.findings import store
from fleet.state.findings.kinds import Kind
from fleet.state.registry import locations

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 200
SUGGESTED_PLACES = 200
ASIDE = ("faulty", "cleaning", "calibrating", "in_repair", "at_supplier")
"""Pieces that are there and cannot be used yet."""


@router.get("/stock")
async def stock_page(request: Request, call: ReadStock, query: Annotated[StockQuery, Query()]) -> Response:
    """What is where, and what falls below its minimum."""
    found = await stock.list_stock(call, query.model_copy(update={"limit": SHOWN}))
    asked = query.model_dump(exclude_none=True, exclude_defaults=True, mode="json", exclude={"cursor"})
    below = await stock.list_to_reorder(call, query.model_copy(update={"limit": SHOWN, "cursor": None}))
    return render(
        request,
        "stock.html",
        live=False,
        query=query,
        levels=found.items,
        next_query=urlencode({**asked, "cursor": found.next}) if found.next else None,
        below=below.items,
        findings=await _findings(call),
        aside=ASIDE,
        may_take=call.principal.may(Permission.FINDINGS_WRITE),
        places=await locations.list_locations(call.connection, active=True, limit=SUGGESTED_PLACES),
    )


@router.post("/stock/findings/{id}/acknowledge")
async def take_care(call: WriteFindings, id: NumberPath, _: Annotated[ConsoleForm, Form()]) -> Response:
    """Tell the others that somebody orders more."""
    await store.acknowledge(call.connection, id, actor=call.principal.actor)
    return RedirectResponse("/stock", HTTPStatus.SEE_OTHER)


async def _findings(call: Call) -> dict[tuple[int | None, str | None], Any]:
    """The findings about stock that stand, by model and place."""
    if not call.principal.may(Permission.FINDINGS_READ):
        return {}
    found = await findings.list_findings(call, FindingQuery(kind=Kind.BELOW_MINIMUM, standing=True, limit=SHOWN))
    return {(each.model_id, each.location): each for each in found.items}
