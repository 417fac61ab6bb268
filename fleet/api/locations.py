"""`locations`: where pieces can be."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug, SlugPath
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Answer, Body, Line, Moment, NewSlug, Page, PageQuery, decode_cursor, page
from fleet.state.registry import locations
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["locations"])

ReadLocations = Annotated[Call, requires(Permission.LOCATIONS_READ)]
WriteLocations = Annotated[Call, requires(Permission.LOCATIONS_WRITE)]

Kind = Literal["depot", "repair_shop", "vehicle", "transit", "supplier", "lessor", "office", "other"]
Name = Annotated[Line, Field(min_length=1, max_length=200)]


class Location(Answer):
    """A place; never a citizen's home. Without an organisation everybody may use it."""

    slug: str
    name: str
    kind: Kind
    organisation: str | None
    active: bool
    revision: int
    created_at: Moment


class NewLocation(Body):
    """A place to enter."""

    slug: NewSlug
    name: Name
    kind: Kind
    organisation: Slug | None = None


class LocationEdit(Body):
    """What people edit; a field that is not sent stays."""

    name: Name = ""
    kind: Kind = "other"
    organisation: Slug | None = None
    active: bool = True


class LocationQuery(PageQuery):
    """Filters of locations."""

    kind: Kind | None = None
    organisation: Slug | None = None
    active: bool | None = None


@router.get("/locations", responses=documented())
async def list_locations(call: ReadLocations, query: Annotated[LocationQuery, Query()]) -> Page[Location]:
    """Places by slug."""
    after = decode_cursor(query.cursor, str) or ("",)
    chosen = query.model_dump(include={"kind", "organisation", "active"})
    found = await locations.list_locations(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "slug")
    return Page(items=[Location.model_validate(each) for each in kept], next=cursor)


@router.post("/locations", status_code=201, responses=documented(409), response_model=Location)
async def add_location(
    call: WriteLocations, request: Request, body: NewLocation, key: idempotency.Key = None
) -> Response:
    """Enter a place."""

    async def work() -> Location:
        new = locations.NewLocation(**body.model_dump())
        return Location.model_validate(await locations.add_location(call.connection, new))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/locations/{slug}", responses=documented(404))
async def get_location(call: ReadLocations, slug: SlugPath, response: Response) -> Location:
    """One place; its `ETag` is for `If-Match`."""
    found = await locations.find_location(call.connection, slug)
    response.headers["ETag"] = etag(found.revision)
    return Location.model_validate(found)


@router.patch("/locations/{slug}", responses=documented(404, 412))
async def edit_location(
    call: WriteLocations, slug: SlugPath, edit: LocationEdit, response: Response, if_match: IfMatch = None
) -> Location:
    """Edit a place; an inactive one takes nothing new."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await locations.edit_location(call.connection, slug, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return Location.model_validate(outcome)
