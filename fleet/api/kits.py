"""`kits`: find one, see at a glance whether it works, edit and move it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.api import idempotency
from fleet.api.auth import ReadKits, ReadTelemetry, WriteKits
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.kitdetail import Heartbeat, KitDetail, KitSummary, State, kit_detail, summary
from fleet.api.problems import documented, invalid
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    KitId,
    KitPath,
    Line,
    Moment,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    encode_cursor,
    page,
)
from fleet.state import kits as books
from fleet.state import listing, reading
from fleet.state.registry.editing import Outdated
from fleet.state.texts import MAX_INTERVAL_S
from fleet.state.verdict import Health

router = APIRouter(prefix=PREFIX, tags=["kits"])

MAX_RANGE = timedelta(days=31)

Interval = Annotated[int, Field(ge=1, le=MAX_INTERVAL_S, description="Seconds between messages")]
Tolerance = Annotated[float, Field(ge=1, le=books.MAX_TOLERANCE, description="Intervals that may be missed")]
Versions = Annotated[dict[str, str], Field(max_length=100, examples=[{"app": "4.2.0", "os": "14"}])]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class KitQuery(PageQuery):
    """Filters of the list of kits.

    A page filtered by `health` may hold fewer kits than `limit` and still have a `next`.
    """

    kit: KitId | None = None
    q: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Beginning of a kit's id")
    state: State | None = None
    health: Health | None = None
    organisation: Slug | None = None
    owner: Slug | None = None
    location: Slug | None = None
    kit_type: Word | None = None
    sort: listing.KitSort = listing.KitSort.KIT


class NewKitBody(Body):
    """A kit to enter; any state, as an opening balance."""

    kit: KitId
    label: Line = ""
    state: State = "in_stock"
    organisation: Slug | None = None
    owner: Slug | None = None
    kit_type: Line | None = None
    location: Line | None = None
    expected_interval_s: Interval = books.DEFAULT_INTERVAL_S
    tolerance: Tolerance | None = None
    wanted_components: Versions = Field(default_factory=dict)


class KitEdit(Body):
    """What people edit; a field that is not sent stays, null empties it where it may be empty."""

    label: Line = ""
    kit_type: Line | None = None
    organisation: Slug | None = None
    owner: Slug | None = None
    expected_interval_s: Interval = books.DEFAULT_INTERVAL_S
    tolerance: Tolerance | None = None
    wanted_components: Versions = Field(default_factory=dict)


class ChangeItem(Answer):
    """A change the kit `reported` (a version, a peripheral) or people entered in the `books`."""

    source: Literal["reported", "books"]
    at: Moment
    time: Moment
    what: str
    subject: str | None
    before: Any
    after: Any
    actor: str | None
    reason: str | None


class HeartbeatQuery(PageQuery):
    """A range of time, 31 days at most; without it the last 24 hours."""

    start: Moment | None = Field(None, alias="from")
    end: Moment | None = Field(None, alias="to")


@router.get("/kits", responses=documented())
async def list_kits(call: ReadKits, query: Annotated[KitQuery, Query()]) -> Page[KitSummary]:
    """Kits with their verdict."""
    at = decode_cursor(query.cursor, str, str, int)
    if at is not None and at[0] != query.sort:
        raise invalid("cursor", f"is of a list sorted by {at[0][:20]}", place="query")
    after = None if at is None else listing.KitPosition(_sort_key(query.sort, at[1]), at[2])
    chosen = listing.KitFilter(**query.model_dump(include={each.name for each in fields(listing.KitFilter)}))
    found = await listing.list_kits(call.connection, chosen, sort=query.sort, after=after, limit=query.limit)
    end = found.end and encode_cursor(query.sort.value, found.end.key, found.end.kit_id)
    return Page(items=[KitSummary(**summary(facts)) for facts in found.kits], next=end)


@router.post("/kits", status_code=201, response_model=KitDetail, responses=documented(409))
async def create_kit(call: WriteKits, request: Request, body: NewKitBody, key: idempotency.Key = None) -> Response:
    """Enter a kit."""

    async def work() -> KitDetail:
        new = books.NewKit(**body.model_dump())
        await books.create_kit(call.connection, new, by=call.principal)
        return await kit_detail(call, body.kit)

    return await idempotency.once(request, call, key, work, status=201, headers=_created, once_only="placement")


@router.get("/kits/{kit}", responses=documented(404))
async def get_kit(call: ReadKits, kit: KitPath, response: Response) -> KitDetail:
    """Everything about one kit; its `ETag` is for `If-Match`."""
    detail = await kit_detail(call, kit)
    response.headers["ETag"] = etag(detail.revision)
    return detail


@router.patch("/kits/{kit}", responses=documented(404, 412))
async def edit_kit(
    call: WriteKits, kit: KitPath, edit: KitEdit, response: Response, if_match: IfMatch = None
) -> KitDetail:
    """Edit a kit; with `If-Match` only when nobody else did meanwhile."""
    revisions = seen_revisions(if_match)
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await books.edit_kit(call.connection, kit, changes, by=call.principal, revisions=revisions)
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    return await get_kit(call, kit, response)


@router.get("/kits/{kit}/changes", responses=documented(404))
async def list_changes(call: ReadKits, kit: KitPath, query: Annotated[PageQuery, Query()]) -> Page[ChangeItem]:
    """What changed, the newest first: as the kit reported and as people entered."""
    after = decode_cursor(query.cursor, datetime, str, int) or (None, None, None)
    values = dict(zip(("after_at", "after_source", "after_id"), after, strict=True))
    rows = await reading.changes(call.connection, kit, **values, limit=query.limit + 1)
    kept, cursor = page(rows, query.limit, "at", "source", "id")
    items = [ChangeItem(**{name: row[name] for name in ChangeItem.model_fields}) for row in kept]
    return Page(items=items, next=cursor)


@router.get("/kits/{kit}/heartbeats", responses=documented(404))
async def list_heartbeats(
    call: ReadTelemetry, kit: KitPath, query: Annotated[HeartbeatQuery, Query()]
) -> Page[Heartbeat]:
    """Heartbeats of a range of time, the newest first."""
    start, end = _range(query)
    after = decode_cursor(query.cursor, datetime, str, int) or (None, None, None)
    values = dict(zip(("after_time", "after_boot", "after_seq"), after, strict=True))
    rows = await reading.heartbeats(call.connection, kit, start=start, end=end, **values, limit=query.limit + 1)
    kept, cursor = page(rows, query.limit, "time", "boot", "seq")
    return Page(items=[Heartbeat(**row) for row in kept], next=cursor)


def _sort_key(sort: listing.KitSort, key: str) -> str:
    if sort in {listing.KitSort.HEARD, listing.KitSort.HEARD_DOWN}:
        try:
            return f"{float(key):.6f}"
        except ValueError:
            raise invalid("cursor", "is not one that this list gave", place="query") from None
    return key


def _range(query: HeartbeatQuery) -> tuple[datetime, datetime]:
    end = query.end or datetime.now(UTC) + timedelta(minutes=3)
    start = query.start or end - timedelta(days=1)
    if start >= end:
        raise invalid("from", "must be before to", place="query")
    if end - start > MAX_RANGE:
        raise invalid("from", f"at most {MAX_RANGE.days} days before to", place="query")
    return start, end


def _tagged(body: Mapping[str, Any]) -> dict[str, str]:
    return {"ETag": etag(body["revision"])}


def _created(body: Mapping[str, Any]) -> dict[str, str]:
    return {**_tagged(body), "Location": f"{PREFIX}/kits/{body['kit']}"}
