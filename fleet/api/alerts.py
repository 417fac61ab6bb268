"""`alerts`: rules that hold for a kit, and what is done about them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.alerts.quieting import handling
from fleet.api import idempotency
from fleet.api.auth import AcknowledgeAlerts, ReadAlerts
from fleet.api.problems import documented
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    Body,
    GivenMoment,
    KitId,
    Line,
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

router = APIRouter(prefix=PREFIX, tags=["alerts"])


class Alert(Answer):
    """A rule that holds for a kit, or for something else that `subject` names.

    `suppressed_by` names what speaks for it or keeps it quiet: `incident:7`, `maintenance:12`, `shelved:` with until
    when. A `flapping` one opened so often lately that it stays until it has been quiet for long.
    """

    id: int
    rule: str
    kit: str | None
    subject: str | None = Field(description="What it is about where that is no kit, for example a place and a model")
    severity: Severity
    state: Literal["active", "cleared"]
    acknowledged: bool
    acknowledged_at: Moment | None
    acknowledged_by: str | None
    acknowledgement: str | None = Field(description="What whoever takes care of it said")
    opened_at: Moment
    cleared_at: Moment | None
    suppressed_by: str | None
    flapping: bool
    shelved_until: Moment | None
    shelved_reason: str | None
    shelved_by: str | None
    resolution: str | None = Field(description="Why it cleared, for example `proof`")
    service_request: str | None
    evidence: dict[str, Any]
    rule_version: int | None = Field(description="The newest change of its rule that it was judged by; 0 is none")


class AlertQuery(PageQuery):
    """Filters by the fields of an alert; `opened_from` and `opened_to` give a range, `suppressed` is for any reason."""

    id: Number | None = None
    rule: Word | None = None
    kit: KitId | None = None
    severity: Severity | None = None
    state: Literal["active", "cleared"] | None = None
    acknowledged: bool | None = None
    suppressed_by: Word | None = None
    suppressed: bool | None = None
    shelved: bool | None = None
    flapping: bool | None = None
    opened_at: Moment | None = None
    cleared_at: Moment | None = None
    opened_from: Moment | None = None
    opened_to: Moment | None = None
    sort: Literal["-id"] = "-id"


class Acknowledgement(Body):
    """What whoever takes care says; nothing about a citizen."""

    comment: Annotated[Line, Field(min_length=1)] | None = None


NO_WORDS = Acknowledgement()
"""What is meant by no body at all."""


class ShelfOrder(Body):
    """Until when nothing is to be heard of it, 30 days ahead at most, and why."""

    until: GivenMoment
    reason: Annotated[Line, Field(min_length=1)]


@router.get("/alerts", responses=documented())
async def list_alerts(call: ReadAlerts, query: Annotated[AlertQuery, Query()]) -> Page[Alert]:
    """Alerts, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    chosen = query.model_dump(include=set(handling.FILTERS))
    found = await handling.list_alerts(call.connection, chosen, before=before[0], limit=query.limit + 1)
    rows, cursor = page(found, query.limit, "id")
    return Page(items=[Alert(**row) for row in rows], next=cursor)


@router.get("/alerts/{id}", responses=documented(404))
async def get_alert(call: ReadAlerts, id: NumberPath) -> Alert:
    """One alert."""
    found = await list_alerts(call, AlertQuery(id=id))
    if not found.items:
        raise NotFoundError("alert", str(id))
    return found.items[0]


@router.post("/alerts/{id}/acknowledge", responses=documented(404), response_model=Alert)
async def acknowledge_alert(
    call: AcknowledgeAlerts,
    request: Request,
    id: NumberPath,
    body: Acknowledgement = NO_WORDS,
    key: idempotency.Key = None,
) -> Response:
    """Tell the others that somebody takes care of it; nobody is reminded any more. It suppresses nothing.

    A repeat changes nothing, unless it brings a comment.
    """

    async def work() -> Alert:
        await handling.acknowledge(call.connection, id, actor=call.principal.actor, comment=body.comment)
        return await get_alert(call, id)

    return await idempotency.once(request, call, key, work)


@router.post("/alerts/{id}/unacknowledge", responses=documented(404), response_model=Alert)
async def unacknowledge_alert(
    call: AcknowledgeAlerts, request: Request, id: NumberPath, key: idempotency.Key = None
) -> Response:
    """Take back that somebody takes care of it; a repeat changes nothing."""

    async def work() -> Alert:
        await handling.unacknowledge(call.connection, id, actor=call.principal.actor)
        return await get_alert(call, id)

    return await idempotency.once(request, call, key, work)


@router.post("/alerts/{id}/shelve", responses=documented(404, 409), response_model=Alert)
async def shelve_alert(
    call: AcknowledgeAlerts, request: Request, id: NumberPath, body: ShelfOrder, key: idempotency.Key = None
) -> Response:
    """Keep it quiet until then: it stays active, says so, and opens no request.

    What its kit (or place) shows by the same rule afterwards is kept quiet too. It comes back by itself, and at once
    when it gets graver. A request that is open already stays as it is.
    """

    async def work() -> Alert:
        actor = call.principal.actor
        await handling.shelve(call.connection, id, until=body.until, reason=body.reason, actor=actor)
        return await get_alert(call, id)

    return await idempotency.once(request, call, key, work)


@router.post("/alerts/{id}/unshelve", responses=documented(404), response_model=Alert)
async def unshelve_alert(
    call: AcknowledgeAlerts, request: Request, id: NumberPath, key: idempotency.Key = None
) -> Response:
    """Let it be heard again before its time; the worker opens its request within a second. A repeat changes nothing."""

    async def work() -> Alert:
        await handling.unshelve(call.connection, id, actor=call.principal.actor)
        return await get_alert(call, id)

    return await idempotency.once(request, call, key, work)
