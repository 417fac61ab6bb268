"""`calls`: every contact at the first line; and what they say about support, `statistics/calls`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.calls import store
from fleet.alerts.calls.staffing import agents_needed
from fleet.alerts.calls.store import Caller, Channel, Outcome, Reason
from fleet.alerts.requests import desk
from fleet.alerts.trees.walk import By
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.organisations import Slug
from fleet.api.problems import documented, invalid
from fleet.api.problemtrees import Given, Way, walk_of
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    Body,
    GivenMoment,
    KitId,
    Line,
    Moment,
    NumberPath,
    NumberText,
    Page,
    PageQuery,
    decode_cursor,
    page,
)
from fleet.api.shapes import Query as QueryFields
from fleet.errors import ForbiddenError

router = APIRouter(prefix=PREFIX, tags=["calls"])

ReadCalls = Annotated[Call, requires(Permission.CALLS_READ)]
RedactCalls = Annotated[Call, requires(Permission.AUDIT_REDACT)]
WriteCalls = Annotated[Call, requires(Permission.CALLS_WRITE)]

LONGEST_COUNTED = timedelta(days=400)
WEEK = timedelta(days=7)


class PathStep(Answer):
    """One question on the way through the tree: who answered, and by which fact if it was telemetry."""

    node: str
    answer: str
    by: By
    fact: str | None


class CallRecord(Answer):
    """One contact. `organisation` is whose kit it was then; `voided_at` says that it was entered wrongly."""

    id: int
    at: Moment
    minutes: float
    channel: Channel
    caller: Caller
    reason: Reason
    outcome: Outcome
    kit: str | None
    organisation: str | None
    service_request: str | None
    tree: str | None
    tree_version: int | None
    path: list[PathStep]
    note: str
    actor: str
    recorded_at: Moment
    voided_at: Moment | None
    voided_by: str | None
    voided_reason: str | None


class Walked(Body):
    """The tree that was walked during the call, and what the caller answered: node → answer."""

    tree: Slug
    version: Annotated[int, Field(ge=1)] | None = None
    answers: Given = Field(default_factory=dict)


class NewCall(Body):
    """A contact as it is entered. Nobody is named: `caller` is a role.

    `organisation` is for a contact that is about no kit, the agent's own when not given; `service_request` the one that
    it led to or was about. With `forward` the request is opened that the tree's walk ended with, or the open one of its
    kit and cause is named.
    """

    at: GivenMoment | None = Field(None, description="When it began; now when not given")
    minutes: Annotated[float, Field(ge=0, le=600, strict=False)]
    channel: Annotated[Channel, Field(strict=False)] = Channel.PHONE
    caller: Annotated[Caller, Field(strict=False)]
    reason: Annotated[Reason, Field(strict=False)]
    outcome: Annotated[Outcome, Field(strict=False)]
    kit: KitId | None = None
    organisation: Slug | None = None
    service_request: NumberText | None = None
    walked: Walked | None = None
    forward: bool = False
    note: Annotated[str, Field(max_length=store.MAX_NOTE)] = ""


class CallQuery(PageQuery):
    """Filters of calls; `since` and `until` are about when the call was."""

    kit: KitId | None = None
    organisation: Slug | None = None
    channel: Channel | None = None
    caller: Caller | None = None
    reason: Reason | None = None
    outcome: Outcome | None = None
    tree: Slug | None = None
    service_request: NumberText | None = None
    voided: bool | None = None
    since: Moment | None = None
    until: Moment | None = None


class Voiding(Body):
    """Why it was entered wrongly."""

    reason: Annotated[Line, Field(min_length=1)]


class Counted(Answer):
    """So many calls of one kind and the minutes they took together."""

    word: str
    calls: int
    minutes: float


class HourOfWeek(Answer):
    """Calls by telephone in one hour of the week: how many in such an hour, and the agents that it takes."""

    weekday: int = Field(description="1 is Monday")
    hour: int
    calls_per_hour: float
    minutes: float = Field(description="Mean length of a call")
    agents: int = Field(description="Agents needed by Erlang's formula")


class CallStatistics(Answer):
    """What the contacts of a time were about, how long they took, and how many agents such a week needs."""

    since: Moment
    until: Moment
    calls: int
    kits: int
    mean_minutes: float | None
    median_minutes: float | None
    longest_minutes: float | None
    by_channel: list[Counted]
    by_caller: list[Counted]
    by_reason: list[Counted]
    by_outcome: list[Counted]
    by_tree: list[Counted]
    hours: list[HourOfWeek]


class StatisticsQuery(QueryFields):
    """The time to count, the last 28 days when not given; answered `share` of the calls within `seconds`."""

    since: Moment | None = None
    until: Moment | None = None
    organisation: Slug | None = None
    share: Annotated[float, Field(gt=0, lt=1)] = 0.8
    seconds: Annotated[float, Field(ge=0, le=3600)] = 20.0


@router.get("/calls", responses=documented())
async def list_calls(call: ReadCalls, query: Annotated[CallQuery, Query()]) -> Page[CallRecord]:
    """Calls, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    chosen = query.model_dump(exclude={"cursor", "limit", "service_request"})
    found = await store.list_calls(
        call.connection, before=before[0], limit=query.limit + 1, request=query.service_request, **chosen
    )
    kept, cursor = page(found, query.limit, "call_id")
    return Page(items=[_record(each) for each in kept], next=cursor)


@router.get("/calls/{id}", responses=documented(404))
async def get_call(call: ReadCalls, id: NumberPath) -> CallRecord:
    """One call."""
    return _record(await store.find(call.connection, id))


@router.post("/calls", status_code=201, responses=documented(404), response_model=CallRecord)
async def record_call(call: WriteCalls, request: Request, body: NewCall, key: idempotency.Key = None) -> Response:
    """Record a contact, also one that was solved at once."""

    async def work() -> CallRecord:
        return _record(await record(call, body))

    return await idempotency.once(request, call, key, work, status=201)


@router.post("/calls/{id}/void", responses=documented(404, 409), response_model=CallRecord)
async def void_call(
    call: WriteCalls, request: Request, id: NumberPath, body: Voiding, key: idempotency.Key = None
) -> Response:
    """Take back a call that was entered wrongly: it is not counted, and what was charged for it is countered."""

    async def work() -> CallRecord:
        return _record(await store.void(call.connection, id, reason=body.reason, by=call.principal))

    return await idempotency.once(request, call, key, work)


@router.post("/calls/{id}/redact", responses=documented(404), response_model=CallRecord)
async def redact_call(call: RedactCalls, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Blacken the note of a call that holds what must not be kept; what it was about stays."""

    async def work() -> CallRecord:
        return _record(await store.redact(call.connection, id))

    return await idempotency.once(request, call, key, work)


@router.get("/statistics/calls", tags=["statistics"], responses=documented())
async def call_statistics(call: ReadCalls, query: Annotated[StatisticsQuery, Query()]) -> CallStatistics:
    """What contacts were about, how long they took, and the staffing that follows."""
    until = query.until or datetime.now(UTC)
    since = query.since or until - 4 * WEEK
    if not since < until <= since + LONGEST_COUNTED:
        raise invalid("since", f"must lie before `until`, at most {LONGEST_COUNTED.days} days", place="query")
    values = {"since": since, "until": until, "organisation": query.organisation}
    lengths = await store.lengths(call.connection, values)
    counted = await store.counted(call.connection, values)
    return CallStatistics(
        since=since,
        until=until,
        calls=lengths["calls"],
        kits=lengths["kits"],
        mean_minutes=lengths["mean"],
        median_minutes=lengths["median"],
        longest_minutes=lengths["longest"],
        **{f"by_{what}": _words(counted, what) for what in ("channel", "caller", "reason", "outcome", "tree")},
        hours=[_hour(row, (until - since) / WEEK, query) for row in await store.by_hour(call.connection, values)],
    )


async def record(call: Call, body: NewCall) -> store.Call:
    """Record what was entered, with the way through the tree as it was walked; all of it or nothing."""
    now = datetime.now(UTC)
    way = Way()
    if body.walked is not None:
        said = body.walked
        way = await walk_of(call, said.tree, kit=body.kit, answers=said.answers, version=said.version)
    async with call.connection.transaction():
        number = await _forwarded(call, body, way) if body.forward else body.service_request
        new = store.NewCall(
            at=body.at or now,
            request=number,
            tree=way.tree,
            tree_version=way.version,
            path=way.path,
            **{name: getattr(body, name) for name in _AS_SAID},
        )
        return await store.record(call.connection, new, by=call.principal, now=now)


_AS_SAID = ("minutes", "channel", "caller", "reason", "outcome", "kit", "organisation", "note")


async def _forwarded(call: Call, body: NewCall, way: Way) -> str:
    """The number of the request that the walk ended with: a new one, or the one that is open already."""
    if way.request is None or body.kit is None:
        raise invalid("forward", "needs a kit and a walk that ends with a request")
    if body.outcome is not Outcome.FORWARDED:
        raise invalid("outcome", "is `forwarded` when the call is forwarded")
    if not call.principal.may(Permission.REQUESTS_WRITE):
        raise ForbiddenError(f"your role lacks {Permission.REQUESTS_WRITE}")
    asked = desk.NewRequest(
        kit=body.kit,
        cause=way.request.cause,
        description=way.request.text.da,
        line=way.request.line,
        priority=way.request.priority,
    )
    opened = await desk.open_request(call.connection, asked, by=call.principal)
    return opened.number if isinstance(opened, desk.AlreadyOpen) else opened


def _record(found: store.Call) -> CallRecord:
    names = CallRecord.model_fields.keys() - {"id", "service_request", "path"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    path = [PathStep(**step) for step in found.path]
    return CallRecord(id=found.call_id, service_request=found.request, path=path, **values)


def _words(counted: list[dict[str, Any]], what: str) -> list[Counted]:
    return [
        Counted(word=row["word"], calls=row["calls"], minutes=row["minutes"]) for row in counted if row["what"] == what
    ]


def _hour(row: dict[str, Any], weeks: float, query: StatisticsQuery) -> HourOfWeek:
    per_hour, minutes = row["calls"] / max(weeks, 1.0), row["minutes"] / row["calls"]
    return HourOfWeek(
        weekday=row["weekday"],
        hour=row["hour"],
        calls_per_hour=round(per_hour, 2),
        minutes=round(minutes, 2),
        agents=agents_needed(per_hour, minutes, share=query.share, seconds=query.seconds),
    )
