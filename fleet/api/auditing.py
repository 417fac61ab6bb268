"""`audit`: who did and saw what; and the redaction of texts that must not be kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from fleet.access import audit
from fleet.access.audit import Filters, Format
from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.alerts.requests import desk
from fleet.api import idempotency
from fleet.api.auth import Call, RequiresBriefly, acting, requires
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.servicerequests import ServiceRequest, get_request
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    KitId,
    Line,
    Moment,
    NumberPath,
    NumberText,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.api.shapes import Query as QueryFields
from fleet.api.streaming import Pieces

router = APIRouter(prefix=PREFIX)

ReadAudit = Annotated[Call, requires(Permission.AUDIT_READ)]
ExportAudit = Annotated[Principal, Depends(RequiresBriefly(Permission.AUDIT_READ))]
RedactTexts = Annotated[Call, requires(Permission.AUDIT_REDACT)]

Why = Annotated[Line, Field(min_length=1, max_length=1000, description="Why; it is kept, so say nothing of the text")]
Key = Annotated[Line, Field(min_length=1, max_length=100)]
MEDIA_TYPES = {Format.NDJSON: "application/x-ndjson", Format.CSV: "text/csv; charset=utf-8"}


class AuditLine(Answer):
    """A line of the audit; `before` and `after` hold what changed, `subject` is null when it tells of many rows."""

    id: int
    at: Moment
    actor: str
    principal: str | None
    origin: str | None
    action: str
    subject_kind: str
    subject: str | None
    organisation: str | None
    kit: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    redacted_at: Moment | None


class AuditHead(Answer):
    """Where the chain stands; note `head` elsewhere and compare later with `fleet audit verify --head`.

    `unsealed` lines, the oldest since `unsealed_since`, wait for their link; that is a matter of seconds.
    """

    head: str = Field(examples=["4711:" + "0f" * 32])
    position: int
    hash: str
    unsealed: int
    unsealed_since: Moment | None


class AuditQuery(PageQuery):
    """Filters of the audit; `at_from` is in, `at_to` is not."""

    actor: Word | None = None
    principal: Word | None = None
    action: Word | None = None
    subject_kind: Word | None = None
    subject: Word | None = None
    kit: KitId | None = None
    organisation: Slug | None = None
    at_from: Moment | None = None
    at_to: Moment | None = None


class ExportQuery(QueryFields):
    """Filters as of the list, and the form."""

    format: Format = Format.NDJSON
    actor: Word | None = None
    principal: Word | None = None
    action: Word | None = None
    subject_kind: Word | None = None
    subject: Word | None = None
    kit: KitId | None = None
    organisation: Slug | None = None
    at_from: Moment | None = None
    at_to: Moment | None = None


class Redaction(Body):
    """Which texts go: `reason`, or what stands by these names before and after the change."""

    keys: Annotated[list[Key], Field(min_length=1, max_length=50, examples=[["reason"]])]
    reason: Why


class TextRedaction(Body):
    """Why a text goes."""

    reason: Why


class RedactedEvent(Answer):
    """An event of the books, and which texts of it are gone."""

    id: int
    keys: list[str]


@router.get("/audit", tags=["audit"], responses=documented())
async def list_audit(call: ReadAudit, query: Annotated[AuditQuery, Query()]) -> Page[AuditLine]:
    """Lines of the audit, the newest first."""
    before = decode_cursor(query.cursor, datetime, int)
    last = None if before is None else (before[0], before[1])
    found = await audit.list_lines(call.connection, _filters(query), before=last, limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "at", "id")
    return Page(items=[AuditLine.model_validate(each) for each in kept], next=cursor)


@router.get("/audit/head", tags=["audit"], responses=documented())
async def audit_head(call: ReadAudit) -> AuditHead:
    """Up to where the lines are chained."""
    standing = await audit.standing(call.connection)
    return AuditHead(
        head=str(standing.head),
        position=standing.head.position,
        hash=standing.head.hash.hex(),
        unsealed=standing.unsealed,
        unsealed_since=standing.unsealed_since,
    )


@router.get(
    "/audit/export",
    tags=["audit"],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Every line, the oldest first",
            "content": {name.split(";")[0]: {"schema": {"type": "string"}} for name in MEDIA_TYPES.values()},
        },
        **documented(),
    },
)
async def export_audit(principal: ExportAudit, request: Request, query: Annotated[ExportQuery, Query()]) -> Any:
    """Every line that fits as NDJSON or CSV; that it was taken out is noted."""
    filters, scope = _filters(query), principal.scope(Permission.AUDIT_READ)
    async with acting(request, principal, scope) as connection:
        await audit.note_export(connection, filters, query.format)
        first = await audit.export_page(connection, filters)

    async def pieces() -> AsyncIterator[str]:
        # A connection for each page, so that a slow reader holds none.
        lines = first
        for piece in audit.written([], query.format, header=True):
            yield piece
        while lines:
            for piece in audit.written(lines, query.format):
                yield piece
            async with acting(request, principal, scope) as connection:
                last = lines[-1].at, lines[-1].id
                lines = await audit.export_page(connection, filters, after=last)

    headers = {"Content-Disposition": f'attachment; filename="audit.{query.format}"', "Cache-Control": "no-store"}
    return Pieces(pieces(), media_type=MEDIA_TYPES[query.format], headers=headers)


@router.get("/audit/{id}", tags=["audit"], responses=documented(404))
async def get_audit_line(call: ReadAudit, id: NumberPath) -> AuditLine:
    """One line of the audit."""
    return AuditLine.model_validate(await audit.find_line(call.connection, id))


@router.post("/audit/{id}/redact", tags=["audit"], responses=documented(404), response_model=AuditLine)
async def redact_audit_line(
    call: RedactTexts, request: Request, id: NumberPath, body: Redaction, key: idempotency.Key = None
) -> Response:
    """Blacken texts of a line for good; the chain goes on to verify. Doing it twice changes nothing."""

    async def work() -> AuditLine:
        return AuditLine.model_validate(await audit.redact_line(call.connection, id, body.keys, why=body.reason))

    return await idempotency.once(request, call, key, work)


@router.post("/book-events/{id}/redact", tags=["audit"], responses=documented(404), response_model=RedactedEvent)
async def redact_book_event(
    call: RedactTexts, request: Request, id: NumberPath, body: Redaction, key: idempotency.Key = None
) -> Response:
    """Blacken texts of an event of the books, and of the lines of the audit that tell of it."""

    async def work() -> RedactedEvent:
        await audit.redact_book_event(call.connection, id, body.keys, why=body.reason)
        return RedactedEvent(id=id, keys=body.keys)

    return await idempotency.once(request, call, key, work)


@router.post(
    "/service-requests/{number}/redact", tags=["audit"], responses=documented(404), response_model=ServiceRequest
)
async def redact_request(
    call: RedactTexts, request: Request, number: NumberText, body: TextRedaction, key: idempotency.Key = None
) -> Response:
    """Blacken what people wrote about a service request, and the lines of the audit that tell of it."""

    async def work() -> ServiceRequest:
        await desk.redact_request(call.connection, number, why=body.reason)
        return await get_request(call, number, Response())

    return await idempotency.once(request, call, key, work)


def _filters(query: AuditQuery | ExportQuery) -> Filters:
    values = query.model_dump(exclude={"limit", "cursor", "format", "at_from", "at_to"})
    return Filters(**values, since=query.at_from, until=query.at_to)
