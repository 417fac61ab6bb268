"""History of kits and components, what was so when, and corrections of what was told wrongly."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, ReadKits, requires
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    GivenMoment,
    KitPath,
    Line,
    Moment,
    Number,
    NumberPath,
    Page,
    PageQuery,
    decode_cursor,
    page,
)
from fleet.state.ledger import corrections, history

router = APIRouter(prefix=PREFIX)

ReadComponents = Annotated[Call, requires(Permission.COMPONENTS_READ)]
CorrectBooks = Annotated[Call, requires(Permission.BOOKS_CORRECT)]
What = Literal["opening", "status", "location", "edit", "swap", "assign", "correction"]


class Replaced(Answer):
    """Values of an event that were put in place of others; a field that is not there was not touched."""

    occurred_at: Moment | None = None
    to_state: str | None = None
    location: str | None = None
    location_name: str | None = None
    placement: int | None = None


class BookEvent(Answer):
    """One thing that was told of a kit or a component, as it was written.

    `component_id` went in or is the subject, `removed_id` came out. `now` is what corrections, named by
    `corrections`, say instead; `voided`: it did not happen. A correction tells in `before` and `now` what it replaced,
    and `voids` when it takes the event `corrects` back. A home is a `placement` by number, never its reference.
    """

    id: int
    occurred_at: Moment
    recorded_at: Moment
    what: What
    kit: str | None
    component_id: int | None
    serial: str | None
    kind: str | None
    removed_id: int | None
    removed_serial: str | None
    removed_kind: str | None
    from_state: str | None
    to_state: str | None
    location: str | None
    location_name: str | None
    placement: int | None
    organisation: str | None
    owner: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    actor: str
    reason: str | None
    backdated: bool
    override: bool
    batch: UUID | None
    corrects: int | None
    voids: bool
    voided: bool
    corrections: list[int]
    now: Replaced | None


class Stay(Answer):
    """A time in which nothing changed; `end` is null for the present. `event_id` is what began it, `actor` who told."""

    start: Moment
    end: Moment | None
    state: str
    location: str | None
    location_name: str | None
    placement: int | None
    kit: str | None
    organisation: str | None
    event_id: int | None
    actor: str | None
    reason: str | None


class StaysQuery(PageQuery):
    """A page, or everything as a table."""

    format: Literal["json", "csv"] = "json"


class CorrectionBody(Body):
    """What was wrong with an event: that it happened at all (`void`), or when, to which state, where; with a `reason`.

    What was entered together (a kit with its pieces) is taken back or dated together. A correction is corrected by
    voiding it.
    """

    reason: Annotated[Line, Field(min_length=1)]
    void: bool = False
    occurred_at: GivenMoment | None = None
    to_state: Annotated[str, Field(max_length=20)] | None = None
    location: Line | None = None
    placement: Number | None = None


class Corrected(Answer):
    """The corrections that were written, by number."""

    corrections: list[int]


_TABLE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "A page, or a table"}
}


@router.get("/kits/{kit}/history", tags=["kits"], responses=documented(404))
async def kit_history(call: ReadKits, kit: KitPath, query: Annotated[PageQuery, Query()]) -> Page[BookEvent]:
    """What was told of a kit, the last told first."""
    before = _before(query)
    return _page(await history.kit_history(call.connection, kit, before=before, limit=query.limit + 1), query)


@router.get("/components/{id}/history", tags=["components"], responses=documented(404))
async def component_history(
    call: ReadComponents, id: NumberPath, query: Annotated[PageQuery, Query()]
) -> Page[BookEvent]:
    """What was told of a component, the last told first."""
    before = _before(query)
    return _page(await history.component_history(call.connection, id, before=before, limit=query.limit + 1), query)


@router.get("/kits/{kit}/stays", tags=["kits"], response_model=Page[Stay], responses={**_TABLE, **documented(404, 409)})
async def kit_stays(call: ReadKits, kit: KitPath, query: Annotated[StaysQuery, Query()]) -> Any:
    """Where a kit was, in what condition and whose, from when to when, and who moved it; the present first."""
    after = decode_cursor(query.cursor, datetime)
    scope = call.principal.scope(Permission.KITS_READ)
    return _stays(await history.kit_stays(call.connection, kit, scope=scope), query, after)


@router.get(
    "/components/{id}/stays",
    tags=["components"],
    response_model=Page[Stay],
    responses={**_TABLE, **documented(404, 409)},
)
async def component_stays(call: ReadComponents, id: NumberPath, query: Annotated[StaysQuery, Query()]) -> Any:
    """Where a component was, alone or in a kit, in what condition and whose, and who moved it; the present first."""
    after = decode_cursor(query.cursor, datetime)
    scope = call.principal.scope(Permission.COMPONENTS_READ)
    return _stays(await history.component_stays(call.connection, id, scope=scope), query, after)


@router.post(
    "/book-events/{id}/corrections",
    tags=["books"],
    status_code=201,
    response_model=Corrected,
    responses=documented(404, 409),
)
async def correct(
    call: CorrectBooks, request: Request, id: NumberPath, body: CorrectionBody, key: idempotency.Key = None
) -> Response:
    """Correct what was told; 409 names the event that would become impossible by it."""

    async def work() -> Corrected:
        wanted = corrections.Correction(**body.model_dump())
        return Corrected(corrections=list(await corrections.correct(call.connection, id, wanted, by=call.principal)))

    return await idempotency.once(request, call, key, work, status=201)


def _before(query: PageQuery) -> int | None:
    after = decode_cursor(query.cursor, int)
    return None if after is None else int(after[0])


def _page(found: list[history.Told], query: PageQuery) -> Page[BookEvent]:
    kept, cursor = page(found, query.limit, "event_id")
    return Page(items=[_event(each) for each in kept], next=cursor)


def _event(told: history.Told) -> BookEvent:
    values = {field.name: getattr(told, field.name) for field in fields(told) if field.name != "event_id"}
    voids = told.corrects is not None and bool((told.after or {}).get("void"))
    after = None if told.corrects is not None else told.after
    return BookEvent(id=told.event_id, voids=voids, **{**values, "after": after, "corrections": list(told.corrections)})


def _stays(found: list[history.Stay], query: StaysQuery, after: tuple[Any, ...] | None) -> Response | Page[Stay]:
    if query.format == "csv":
        return Response(_table(found), media_type="text/csv; charset=utf-8")
    rest = [each for each in found if after is None or each.start < after[0]]
    kept, cursor = page(rest[: query.limit + 1], query.limit, "start")
    return Page(items=[Stay.model_validate(each) for each in kept], next=cursor)


def _table(found: Sequence[history.Stay]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    names = [field.name for field in fields(history.Stay)]
    writer.writerow(names)
    writer.writerows([_cell(getattr(each, name)) for name in names] for each in found)
    return out.getvalue()


def _cell(value: Any) -> str:
    """A spreadsheet takes a text that begins so for a formula."""
    text = value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
