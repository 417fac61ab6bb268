"""The pages of mass events: which there are, what explains each, who is in it, and when many are one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.massevents import desk
from fleet.api import incidents
from fleet.api.auth import Call, ReadAlerts
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import CHANGED, sentence
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.incidents import IncidentQuery, MemberQuery, check_whole
from fleet.api.rules import RulePath, WriteRules
from fleet.api.shapes import NumberPath
from fleet.errors import FleetError
from fleet.state.registry.editing import Outdated

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 100
SHOWN_MEMBERS = 200
SHOWN_RULES = 100


class SettingsForm(ConsoleForm):
    """When many are a mass event; the share in per cent, the window in minutes."""

    revision: int = Field(0, ge=0)
    enabled: str = Field("", max_length=10)
    least: int = Field(ge=2, le=100_000)
    percent: float = Field(ge=0.1, le=100)
    minutes: float = Field(ge=1, le=60)


@router.get("/incidents")
async def incidents_page(request: Request, call: ReadAlerts) -> Response:
    """All mass events, the newest first."""
    return await _incidents(request, call)


@router.get("/incidents/{id}")
async def incident_page(request: Request, call: ReadAlerts, id: NumberPath) -> Response:
    """One mass event with its kits."""
    found = await incidents.get_incident(call, id)
    present = await incidents.list_members(call, id, MemberQuery(present=True, limit=SHOWN_MEMBERS))
    gone = await incidents.list_members(call, id, MemberQuery(present=False, limit=SHOWN_MEMBERS))
    return render(request, "incident.html", incident=found, present=present, gone=gone, shown=SHOWN_MEMBERS)


@router.post("/incidents/settings/{rule}")
async def save_settings(
    request: Request, call: WriteRules, rule: RulePath, form: Annotated[SettingsForm, Form()]
) -> Response:
    """Change when many are one; when that is refused the page says why."""
    changes = {
        "enabled": bool(form.enabled),
        "least": form.least,
        "share": form.percent / 100,
        "window_s": form.minutes * 60,
    }
    try:
        check_whole(call)
        outcome = await desk.edit_settings(call.connection, rule, changes, revisions=frozenset({form.revision}))
    except FleetError as error:
        return await _incidents(request, call, refused=sentence(language_of(request), error))
    if isinstance(outcome, Outdated):
        return await _incidents(request, call, refused=sentence(language_of(request), CHANGED))
    return RedirectResponse("/incidents", HTTPStatus.SEE_OTHER)


async def _incidents(request: Request, call: Call, *, refused: str | None = None) -> Response:
    found = await incidents.list_incidents(call, IncidentQuery(limit=SHOWN))
    settings = await desk.list_settings(call.connection, after="", limit=SHOWN_RULES)
    scope = call.principal.scope(Permission.RULES_WRITE) if call.principal.may(Permission.RULES_WRITE) else None
    return render(
        request,
        "incidents.html",
        incidents=found.items,
        settings=settings,
        may_write=scope is not None and scope.organisations is None,
        refused=refused,
    )
