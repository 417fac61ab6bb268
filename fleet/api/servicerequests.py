"""`service-requests`: cases for the desk, from the fault to the proof that it is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, Field

from fleet.alerts.requests import desk, reading
from fleet.alerts.requests.steps import NotAllowed
from fleet.api import idempotency
from fleet.api.auth import Call, ReadRequests, WriteRequests
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug
from fleet.api.problems import ProblemError, documented, step_not_allowed
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
from fleet.state.texts import bad_text

router = APIRouter(prefix=PREFIX, tags=["service requests"])

WaitingFor = Literal["citizen", "supplier", "transport", "other"]
OpenedBy = Literal["alert", "agent", "program"]
SlaState = Literal["none", "running", "paused", "met", "breached"]
MAX_TEXT = 2_000
SHOWN_ENTRIES = 200
SHOWN_EVIDENCE = 50
ME = "me"


def _paragraphs(text: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    problem = bad_text(text.replace("\n", " "), MAX_TEXT) if text else "is empty"
    if problem is not None:
        raise ValueError(problem)
    return text


Text = Annotated[str, AfterValidator(_paragraphs)]
"""What somebody says in a few lines; checked as every text that is stored."""
Account = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._@-]{1,62}$")]
Cause = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class ServiceRequest(Answer):
    """A case for the desk: about one `kit`, one `incident`, or a place (`subject`); `alerts` are those it stands on.

    `assignee` is an account, null while it is the line's. `sla_state` tells how it stands against its targets,
    `sla_breaches` which of them were missed. Once it has ended, `found_cause` and `remedy` say what was learned
    (`cause_missing`: nobody has said it yet), and `proven` (once closed) whether the kit itself showed that the fault
    is gone. `merged_into` speaks for it.
    """

    number: str
    kit: str | None
    incident: int | None
    subject: str | None
    organisation: str | None
    cause: str
    line: SupportLine
    priority: Priority
    state: RequestState
    waiting_for: WaitingFor | None
    assignee: str | None
    opened_by: OpenedBy
    description: str
    alerts: list[int]
    opened_at: Moment
    due_at: Moment
    response_due_at: Moment | None
    update_due_at: Moment | None
    responded_at: Moment | None
    sla_state: SlaState
    sla_breaches: list[str]
    resolved_at: Moment | None
    resolved_by: str | None
    resolution: str | None
    found_cause: str | None
    remedy: str | None
    cause_missing: bool
    closed_at: Moment | None
    proven: bool | None
    merged_into: str | None
    reopened: int
    revision: int
    allowed_steps: list[RequestState]


class LogEntry(Answer):
    """One entry of the log; `request` is whose it is, where others were merged into this one."""

    id: int
    request: str
    at: Moment
    recorded_at: Moment
    actor: str
    what: str
    body: dict[str, Any]


class Comment(Answer):
    """What somebody said, for the desk (`internal`) or to whoever reported it."""

    id: int
    request: str
    at: Moment
    actor: str
    text: str
    audience: Literal["internal", "reporter"]


class Reference(Answer):
    """Where something is kept: an address, or the id of a document."""

    id: int
    request: str
    at: Moment
    actor: str
    title: str
    url: str | None
    document: str | None


class Link(Answer):
    """How this request belongs together with another one."""

    kind: Literal["related", "caused_by", "causes", "duplicate_of", "duplicated_by"]
    number: str


class Evidence(Answer):
    """An alert that the request stands on, with what its rule saw."""

    id: int
    rule: str
    kit: str | None
    severity: str
    state: str
    opened_at: Moment
    cleared_at: Moment | None
    resolution: str | None
    suppressed_by: str | None
    evidence: dict[str, Any]


class ServiceRequestDetail(ServiceRequest):
    """A request with everything about it; `merged` were merged into it and are told with it. Newest first."""

    merged: list[str]
    evidence: list[Evidence]
    comments: list[Comment]
    references: list[Reference]
    links: list[Link]
    events: list[LogEntry]


class RequestQuery(PageQuery):
    """Filters by the fields of a request.

    `unresolved` stands for open, in progress and waiting; `assignee` may be `me`; `breached` are those that missed a
    target or are past their due time.
    """

    number: NumberText | None = None
    kit: KitId | None = None
    incident: Number | None = None
    organisation: Slug | None = None
    cause: Word | None = None
    found_cause: Word | None = None
    remedy: Word | None = None
    line: SupportLine | None = None
    priority: Priority | None = None
    state: RequestState | None = None
    waiting_for: WaitingFor | None = None
    opened_by: OpenedBy | None = None
    merged_into: NumberText | None = None
    assignee: Word | None = None
    assigned: bool | None = None
    breached: bool | None = None
    unresolved: bool | None = None
    cause_missing: bool | None = None
    alerts: Number | None = Field(None, description="Requests that stand on this alert")
    opened_at: Moment | None = None
    due_at: Moment | None = None
    opened_from: Moment | None = None
    opened_to: Moment | None = None
    due_from: Moment | None = None
    due_to: Moment | None = None
    sort: Literal["-number", "due_at"] = "-number"


class NewServiceRequest(Body):
    """A request about a kit; line and priority are the cause's where they are not given."""

    kit: KitId
    cause: Cause = Field(description="Of `GET /request-causes`, or a rule", examples=["cannot_measure"])
    description: Text = ""
    line: SupportLine | None = None
    priority: Priority | None = None
    assignee: Account | None = None


class RequestChange(Body):
    """What may be changed; a field that is not sent stays.

    `waiting_for` goes with `waiting`, `reason` with what is closed although the kit does not show that it is well. What
    is resolved or closed says `found_cause` and `remedy`, of `GET /request-causes` and `GET /request-remedies`; they
    may also be given later of what ended without.
    """

    state: RequestState = "open"
    line: SupportLine = "support"
    priority: Priority = "normal"
    resolution: Line | None = None
    found_cause: Cause | None = None
    remedy: Cause | None = None
    waiting_for: WaitingFor | None = None
    reason: Line | None = None


class EntryQuery(PageQuery):
    """Which entries of a log."""

    what: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")] | None = None


@router.get("/service-requests", responses=documented())
async def list_requests(call: ReadRequests, query: Annotated[RequestQuery, Query()]) -> Page[ServiceRequest]:
    """Service requests, the newest first, or by due time."""
    rows, cursor = await _requests(call, query)
    return Page(items=[_request(row, call) for row in rows], next=cursor)


@router.post("/service-requests", status_code=201, responses=documented(409), response_model=ServiceRequestDetail)
async def open_request(
    call: WriteRequests, request: Request, body: NewServiceRequest, key: idempotency.Key = None
) -> Response:
    """Open a request; one of the kit and cause that ended a moment ago is opened again instead.

    409 names the one that is open already.
    """

    async def work() -> ServiceRequestDetail:
        outcome = await desk.open_request(call.connection, desk.NewRequest(**body.model_dump()), by=call.principal)
        if isinstance(outcome, desk.AlreadyOpen):
            detail = f"{outcome.number} is open for this kit and cause"
            raise ProblemError(HTTPStatus.CONFLICT, "request-open", detail, more={"number": outcome.number})
        return await detail_of(call, outcome)

    return await idempotency.once(request, call, key, work, status=201, headers=_headers)


@router.get("/service-requests/{number}", responses=documented(404))
async def get_request(call: ReadRequests, number: NumberText, response: Response) -> ServiceRequestDetail:
    """One service request with everything about it; its `ETag` is for `If-Match`."""
    found = await detail_of(call, number)
    response.headers["ETag"] = etag(found.revision)
    return found


@router.patch("/service-requests/{number}", responses=documented(404, 409, 412))
async def change_request(
    call: WriteRequests, number: NumberText, change: RequestChange, response: Response, if_match: IfMatch = None
) -> ServiceRequestDetail:
    """Move a request on, or to another line or priority; 409 tells the steps that are allowed."""
    changes = change.model_dump(include=change.model_fields_set)
    outcome = await desk.change_request(
        call.connection, number, changes, by=call.principal, revisions=seen_revisions(if_match)
    )
    raise_refusal(outcome)
    return await get_request(call, number, response)


@router.get("/service-requests/{number}/events", responses=documented(404))
async def list_entries(call: ReadRequests, number: NumberText, query: Annotated[EntryQuery, Query()]) -> Page[LogEntry]:
    """The log of a request and of those merged into it, the newest first."""
    await _one(call, number)
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    what = None if query.what is None else (query.what,)
    rows = await reading.history(call.connection, number, what=what, before=before[0], limit=query.limit + 1)
    kept, cursor = page(rows, query.limit, "id")
    return Page(items=[_entry(row) for row in kept], next=cursor)


def raise_refusal(outcome: desk.Outcome) -> None:
    """The problem of what a use case refused; nothing when it was done."""
    if isinstance(outcome, desk.StaleRequest):
        raise stale(outcome.revision)
    if isinstance(outcome, NotAllowed):
        raise step_not_allowed("request", outcome.state, outcome.wanted, outcome.allowed)


async def detail_of(call: Call, number: str) -> ServiceRequestDetail:
    """A request with everything about it; raises NotFoundError."""
    row = await _one(call, number)
    entries = [_entry(each) for each in await reading.history(call.connection, number, limit=SHOWN_ENTRIES)]
    said = await reading.history(call.connection, number, what=("comment", "reference", "linked"), limit=SHOWN_ENTRIES)
    merged, _ = await _requests(call, RequestQuery(merged_into=number, limit=SHOWN_EVIDENCE))
    values = {"number": number, "limit": SHOWN_EVIDENCE}
    evidence = await reading.rows(call.connection, "evidence", values)
    return ServiceRequestDetail(
        **_request(row, call).model_dump(),
        merged=[each["number"] for each in merged],
        evidence=[Evidence(**each) for each in evidence],
        comments=[_comment(each) for each in said if each["what"] == "comment"],
        references=[_reference(each) for each in said if each["what"] == "reference"],
        links=_links(each for each in said if each["what"] == "linked" and each["number"] == number),
        events=entries,
    )


async def _one(call: Call, number: str) -> dict[str, Any]:
    rows, _ = await _requests(call, RequestQuery(number=number))
    if not rows:
        raise NotFoundError("service request", number)
    return rows[0]


async def _requests(call: Call, query: RequestQuery) -> tuple[list[dict[str, Any]], str | None]:
    by_due = query.sort == "due_at"
    values = {**query.model_dump(exclude={"cursor", "sort"}), "limit": query.limit + 1, "by_due": by_due}
    if query.assignee == ME:
        # A program has no requests of its own.
        values["assignee"] = call.principal.name if call.principal.kind == "user" else ""
    values |= {"due_after": None, "before": MAX_ID}
    if by_due:
        if (place := decode_cursor(query.cursor, datetime, int)) is not None:
            values |= {"due_after": place[0], "before": place[1]}
        rows = await reading.rows(call.connection, "requests", values)
        return page(rows, query.limit, "due_at", "request_id")
    values["before"] = (decode_cursor(query.cursor, int) or (MAX_ID,))[0]
    return page(await reading.rows(call.connection, "requests", values), query.limit, "request_id")


def _request(row: dict[str, Any], call: Call) -> ServiceRequest:
    values = {name: row[name] for name in ServiceRequest.model_fields if name in row}
    return ServiceRequest(**values, allowed_steps=list(reading.allowed_steps(row, call.principal)))


def _entry(row: Mapping[str, Any]) -> LogEntry:
    return LogEntry(request=row["number"], **{name: row[name] for name in LogEntry.model_fields if name in row})


def _comment(row: Mapping[str, Any]) -> Comment:
    about = {name: row[name] for name in ("id", "at", "actor")}
    return Comment(request=row["number"], text=row["body"]["text"], audience=row["body"]["audience"], **about)


def _reference(row: Mapping[str, Any]) -> Reference:
    about = {name: row[name] for name in ("id", "at", "actor")}
    told = {name: row["body"].get(name) for name in ("url", "document")}
    return Reference(request=row["number"], title=row["body"]["title"], **told, **about)


def _links(rows: Iterable[Mapping[str, Any]]) -> list[Link]:
    """Each once, also where somebody vouched for it later."""
    told = dict.fromkeys((row["body"]["kind"], row["body"]["to"]) for row in rows)
    return [Link(kind=kind, number=number) for kind, number in told]


def _headers(body: Mapping[str, Any]) -> dict[str, str]:
    return {"ETag": etag(body["revision"]), "Location": f"{PREFIX}/service-requests/{body['number']}"}
