"""`alerts`, `service-requests`, `incidents` and `rules`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.alerts import desk
from fleet.api import idempotency
from fleet.api.auth import AcknowledgeAlerts, Call, ReadAlerts, ReadRequests, WriteRequests
from fleet.api.etags import IfMatch, etag, seen_tags, stale
from fleet.api.problems import ProblemError, documented
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    Body,
    KitId,
    Line,
    Moment,
    Number,
    NumberPath,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.errors import NotFoundError

router = APIRouter(prefix=PREFIX)

Severity = Literal["critical", "major", "minor", "warning"]
SupportLine = Literal["support", "service", "logistics", "supplier"]
Priority = Literal["urgent", "high", "normal", "low"]
RequestState = Literal["open", "in_progress", "waiting", "resolved", "closed"]
NumberText = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


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


class Incident(Answer):
    """A mass event: one case for many kits; `still_silent` counts the members it still speaks for."""

    id: int
    rule: str
    state: Literal["open", "cleared"]
    opened_at: Moment
    cleared_at: Moment | None
    installed_kits: int
    members: int
    still_silent: int
    service_request: str | None


class IncidentQuery(PageQuery):
    """Filters of incidents."""

    id: Number | None = None
    rule: Word | None = None
    state: Literal["open", "cleared"] | None = None
    sort: Literal["-id"] = "-id"


Outcome = Literal["returned", "released", "not_watched"]


class Member(Answer):
    """A kit of an incident; `outcome` tells how it left."""

    kit: str
    joined_at: Moment
    left_at: Moment | None
    outcome: Outcome | None


class MemberQuery(PageQuery):
    """Filters of an incident's members."""

    kit: KitId | None = None
    outcome: Outcome | None = None


class Title(Answer):
    """A text in the languages of the console."""

    en: str
    da: str


class Rule(Answer):
    """What is watched for; the delays are seconds."""

    rule: str
    severity: Severity
    line: SupportLine
    priority: Priority
    for_s: float
    keep_firing_for_s: float
    enabled: bool
    title: Title


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


@router.get("/incidents", tags=["incidents"], responses=documented())
async def list_incidents(call: ReadAlerts, query: Annotated[IncidentQuery, Query()]) -> Page[Incident]:
    """Mass events, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    values = {**query.model_dump(exclude={"cursor", "sort"}), "before": before[0], "limit": query.limit + 1}
    rows, cursor = page(await desk.read(call.connection, "incidents", values), query.limit, "id")
    return Page(items=[Incident(**row) for row in rows], next=cursor)


@router.get("/incidents/{id}", tags=["incidents"], responses=documented(404))
async def get_incident(call: ReadAlerts, id: NumberPath) -> Incident:
    """One incident."""
    found = await list_incidents(call, IncidentQuery(id=id))
    if not found.items:
        raise NotFoundError("incident", str(id))
    return found.items[0]


@router.get("/incidents/{id}/members", tags=["incidents"], responses=documented(404))
async def list_members(call: ReadAlerts, id: NumberPath, query: Annotated[MemberQuery, Query()]) -> Page[Member]:
    """The kits of an incident."""
    if not await desk.incident_exists(call.connection, id):
        raise NotFoundError("incident", str(id))
    after = decode_cursor(query.cursor, int) or (0,)
    values = {"id": id, "after": after[0], "kit": query.kit, "outcome": query.outcome, "limit": query.limit + 1}
    rows, cursor = page(await desk.read(call.connection, "members", values), query.limit, "kit_id")
    items = [Member(**{name: row[name] for name in Member.model_fields}) for row in rows]
    return Page(items=items, next=cursor)


@router.get("/rules", tags=["rules"], responses=documented())
async def list_rules(call: ReadAlerts, query: Annotated[PageQuery, Query()]) -> Page[Rule]:
    """What the worker watches for."""
    after = decode_cursor(query.cursor, str) or ("",)
    values = {"after": after[0], "limit": query.limit + 1}
    rows, cursor = page(await desk.read(call.connection, "rules", values), query.limit, "rule")
    return Page(items=[_rule(row) for row in rows], next=cursor)


def step_not_allowed(what: str, state: str, to: str, allowed: tuple[str, ...]) -> ProblemError:
    """409 that tells the steps that are allowed."""
    steps = ", ".join(allowed) or "none"
    refused = f"it is {state} already" if state == to else f"a {what} that is {state} cannot become {to}"
    detail = f"{refused}; allowed: {steps}"
    more = {"state": state, "allowed": list(allowed)}
    return ProblemError(HTTPStatus.CONFLICT, "step-not-allowed", detail, more=more)


async def _requests(call: Call, query: RequestQuery) -> tuple[list[dict[str, Any]], str | None]:
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    values = {**query.model_dump(exclude={"cursor", "sort"}), "before": before[0], "limit": query.limit + 1}
    return page(await desk.read(call.connection, "requests", values), query.limit, "request_id")


def _request(row: dict[str, Any]) -> ServiceRequest:
    values = {name: row[name] for name in ServiceRequest.model_fields if name in row}
    return ServiceRequest(**values, allowed_steps=list(desk.REQUEST_STEPS[row["state"]]))


def _rule(row: dict[str, Any]) -> Rule:
    title = Title(en=row.pop("title_en"), da=row.pop("title_da"))
    return Rule(**row, title=title)
