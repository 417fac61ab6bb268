"""`service-requests`: cases for the desk."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from fleet.alerts.requests import desk
from fleet.api.auth import Call, ReadRequests, WriteRequests
from fleet.api.etags import IfMatch, etag, seen_tags, stale
from fleet.api.problems import documented, step_not_allowed
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    Body,
    KitId,
    Line,
    Moment,
    Number,
    NumberText,
    Page,
    PageQuery,
    Priority,
    RequestState,
    SupportLine,
    Word,
    decode_cursor,
    page,
)
from fleet.errors import NotFoundError

router = APIRouter(prefix=PREFIX)


class ServiceRequest(Answer):
    """A case for the desk: about one `kit` or one `incident`; `alerts` are those it stands on."""

    number: str
    kit: str | None
    incident: int | None
    cause: str
    line: SupportLine
    priority: Priority
    state: RequestState
    alerts: list[int]
    opened_at: Moment
    due_at: Moment
    resolved_at: Moment | None
    resolution: str | None
    allowed_steps: list[RequestState]


class RequestQuery(PageQuery):
    """Filters by the fields of a request; `unresolved` stands for open, in progress and waiting."""

    number: NumberText | None = None
    kit: KitId | None = None
    incident: Number | None = None
    cause: Word | None = None
    line: SupportLine | None = None
    priority: Priority | None = None
    state: RequestState | None = None
    unresolved: bool | None = None
    alerts: Number | None = Field(None, description="Requests that stand on this alert")
    opened_at: Moment | None = None
    due_at: Moment | None = None
    opened_from: Moment | None = None
    opened_to: Moment | None = None
    sort: Literal["-number"] = "-number"


class RequestChange(Body):
    """What may be changed; a field that is not sent stays."""

    state: RequestState = "open"
    line: SupportLine = "support"
    priority: Priority = "normal"
    resolution: Line | None = None


@router.get("/service-requests", tags=["service requests"], responses=documented())
async def list_requests(call: ReadRequests, query: Annotated[RequestQuery, Query()]) -> Page[ServiceRequest]:
    """Service requests, the newest first."""
    rows, cursor = await _requests(call, query)
    return Page(items=[_request(row) for row in rows], next=cursor)


@router.get("/service-requests/{number}", tags=["service requests"], responses=documented(404))
async def get_request(call: ReadRequests, number: NumberText, response: Response) -> ServiceRequest:
    """One service request; its `ETag` is for `If-Match`."""
    rows, _ = await _requests(call, RequestQuery(number=number))
    if not rows:
        raise NotFoundError("service request", number)
    response.headers["ETag"] = etag(rows[0]["revision"])
    return _request(rows[0])


@router.patch("/service-requests/{number}", tags=["service requests"], responses=documented(404, 409, 412))
async def change_request(
    call: WriteRequests, number: NumberText, change: RequestChange, response: Response, if_match: IfMatch = None
) -> ServiceRequest:
    """Move a request on, or to another line or priority; 409 tells the steps that are allowed."""
    changes = change.model_dump(include=change.model_fields_set)
    outcome = await desk.change_request(
        call.connection, number, changes, actor=call.principal.actor, revisions=seen_tags(if_match)
    )
    if isinstance(outcome, desk.StaleRequest):
        raise stale(outcome.revision)
    if isinstance(outcome, desk.StepNotAllowed):
        raise step_not_allowed("request", outcome.state, changes["state"], outcome.allowed)
    return await get_request(call, number, response)


async def _requests(call: Call, query: RequestQuery) -> tuple[list[dict[str, Any]], str | None]:
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    values = {**query.model_dump(exclude={"cursor", "sort"}), "before": before[0], "limit": query.limit + 1}
    return page(await desk.read(call.connection, "requests", values), query.limit, "request_id")


def _request(row: dict[str, Any]) -> ServiceRequest:
    values = {name: row[name] for name in ServiceRequest.model_fields if name in row}
    return ServiceRequest(**values, allowed_steps=list(desk.REQUEST_STEPS[row["state"]]))
