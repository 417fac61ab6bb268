"""The pages: each asks the same calls as the API and shows the answer."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from fleet.access.roles import Permission
from fleet.api import alerts, incidents, kits, servicerequests
from fleet.api.alerts import AlertQuery
from fleet.api.auth import Call, ReadKits, pool_of
from fleet.api.console.rendering import (
    LANGUAGE_COOKIE,
    HtmlRoute,
    local_path,
    render,
)
from fleet.api.console.texts import Language
from fleet.api.incidents import IncidentQuery
from fleet.api.kits import KitQuery
from fleet.api.servicerequests import RequestQuery
from fleet.api.statistics import Statistics, StatisticsCache
from fleet.log import get_logger
from fleet.state.lifecycle import KitState
from fleet.state.verdict import Health

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN_CASES = 8
STALE_LISTENING_S = 10.0
YEAR_S = 365 * 24 * 3600

_LOG = get_logger("fleet.api.console")


@router.get("/")
async def kits_page(request: Request, call: ReadKits, query: Annotated[KitQuery, Query()]) -> Response:
    """All kits, with what is wrong and what is open."""
    found = await kits.list_kits(call, query)
    kept = query.model_dump(exclude_none=True, exclude_defaults=True, mode="json", exclude={"cursor"})
    return render(
        request,
        "kits.html",
        kits=found.items,
        next_query=urlencode({**kept, "cursor": found.next}) if found.next else None,
        query=query,
        filters=kept,
        states=list(KitState),
        healths=list(Health),
        **await _around(request, call),
    )


@router.get("/language/{language}")
async def choose_language(
    request: Request, language: Language, next: Annotated[str, Query(max_length=2000)] = "/"
) -> Response:
    """Remember the language of this browser."""
    response = RedirectResponse(local_path(next), 303)
    secure: bool = request.app.state.settings.secure_cookies
    response.set_cookie(
        LANGUAGE_COOKIE, language.value, max_age=YEAR_S, secure=secure, httponly=True, samesite="strict"
    )
    return response


async def _around(request: Request, call: Call) -> dict[str, Any]:
    """What stands around the list: counts, open cases and whether we hear at all."""
    cache: StatisticsCache = request.app.state.statistics
    counted = await cache.get(pool_of(request), call.principal.scope(Permission.KITS_READ))
    unresolved = await servicerequests.list_requests(call, RequestQuery(unresolved=True, limit=SHOWN_CASES))
    active = await alerts.list_alerts(call, AlertQuery(state="active", limit=SHOWN_CASES))
    standing = await incidents.list_incidents(call, IncidentQuery(state="open", limit=SHOWN_CASES))
    return {
        "statistics": counted,
        "requests": unresolved.items,
        "alerts": active.items,
        "incidents": standing.items,
        "not_listening": _not_listening(counted),
    }


def _not_listening(counted: Statistics) -> str | None:
    """The key of why we do not hear the kits; None while we do."""
    listening = counted.listening
    if listening.age_s > STALE_LISTENING_S:
        return "listening.stale"
    return None if listening.state == "listening" else f"listening.{listening.state}"
