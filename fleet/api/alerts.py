"""`alerts`: rules that hold for a kit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.alerts import desk
from fleet.api import idempotency
from fleet.api.auth import AcknowledgeAlerts, ReadAlerts
from fleet.api.problems import documented
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    KitId,
    Moment,
    Number,
    NumberPath,
    Page,
    PageQuery,
    Severity,
    Word,
    decode_cursor,
    page,
)
from fleet.errors import NotFoundError

router = APIRouter(prefix=PREFIX)


class Alert(Answer):
    """A rule that holds for a kit; `suppressed_by` names the incident that speaks for it."""

    id: int
    rule: str
    kit: str
    severity: Severity
    state: Literal["active", "cleared"]
    acknowledged: bool
    opened_at: Moment
    cleared_at: Moment | None
    suppressed_by: str | None
    resolution: str | None = Field(description="Why it cleared, for example `proof`")
    service_request: str | None
    evidence: dict[str, Any]


class AlertQuery(PageQuery):
    """Filters by the fields of an alert; `opened_from` and `opened_to` give a range."""

    id: Number | None = None
    rule: Word | None = None
    kit: KitId | None = None
    severity: Severity | None = None
    state: Literal["active", "cleared"] | None = None
    acknowledged: bool | None = None
    suppressed_by: Word | None = None
    opened_at: Moment | None = None
    cleared_at: Moment | None = None
    opened_from: Moment | None = None
    opened_to: Moment | None = None
    sort: Literal["-id"] = "-id"


@router.get("/alerts", tags=["alerts"], responses=documented())
async def list_alerts(call: ReadAlerts, query: Annotated[AlertQuery, Query()]) -> Page[Alert]:
    """Alerts, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    values = {**query.model_dump(exclude={"cursor", "sort"}), "before": before[0], "limit": query.limit + 1}
    rows, cursor = page(await desk.read(call.connection, "alerts", values), query.limit, "id")
    return Page(items=[Alert(**row) for row in rows], next=cursor)


@router.get("/alerts/{id}", tags=["alerts"], responses=documented(404))
async def get_alert(call: ReadAlerts, id: NumberPath) -> Alert:
    """One alert."""
    found = await list_alerts(call, AlertQuery(id=id))
    if not found.items:
        raise NotFoundError("alert", str(id))
    return found.items[0]


@router.post("/alerts/{id}/acknowledge", tags=["alerts"], responses=documented(404), response_model=Alert)
async def acknowledge_alert(
    call: AcknowledgeAlerts, request: Request, id: NumberPath, key: idempotency.Key = None
) -> Response:
    """Tell the others that somebody takes care of it; a repeat changes nothing."""

    async def work() -> Alert:
        await desk.acknowledge(call.connection, id, actor=call.principal.actor)
        return await get_alert(call, id)

    return await idempotency.once(request, call, key, work)
