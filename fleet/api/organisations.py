"""`organisations`: the tree of parties, and agreements across it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from fleet.access import organisations as parties
from fleet.api import idempotency
from fleet.api.auth import ReadOrganisations, WriteOrganisations
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    GivenMoment,
    Line,
    Moment,
    NewSlug,
    NumberPath,
    Page,
    PageQuery,
    decode_cursor,
    page,
)

router = APIRouter(prefix=PREFIX, tags=["organisations"])

SLUG = r"^[a-z0-9][a-z0-9-]{0,62}$"
Slug = Annotated[str, Field(pattern=SLUG)]
SlugPath = Annotated[str, Path(pattern=SLUG)]
Kind = Literal["region", "municipality", "hospital", "operator", "supplier", "lessor", "other"]
Name = Annotated[Line, Field(min_length=1)]


class Organisation(Answer):
    """A party; `parent` is the one above it, `kits` how many the books give it that the caller sees."""

    slug: str
    name: str
    kind: Kind
    parent: str | None
    active: bool
    kits: int
    revision: int
    created_at: Moment


class NewOrganisation(Body):
    """An organisation to enter."""

    slug: NewSlug
    name: Name
    kind: Kind = "other"
    parent: Slug | None = None


class OrganisationEdit(Body):
    """What people edit; a field that is not sent stays."""

    name: Name = ""
    kind: Kind = "other"
    parent: Slug | None = None
    active: bool = True


class OrganisationQuery(PageQuery):
    """Filters of organisations."""

    kind: Kind | None = None
    parent: Slug | None = None


class Agreement(Answer):
    """An operator that may see the organisation with all below it."""

    id: int
    operator: str
    organisation: str
    valid_from: Moment
    valid_until: Moment | None
    note: str


class NewAgreement(Body):
    """An agreement that begins now."""

    operator: Slug
    valid_until: GivenMoment | None = None
    note: Line = ""


@router.get("/organisations", responses=documented())
async def list_organisations(
    call: ReadOrganisations, query: Annotated[OrganisationQuery, Query()]
) -> Page[Organisation]:
    """Organisations by slug."""
    after = decode_cursor(query.cursor, str) or ("",)
    found = await parties.organisations(
        call.connection, after=after[0], limit=query.limit + 1, kind=query.kind, parent=query.parent
    )
    kept, cursor = page(found, query.limit, "slug")
    return Page(items=[Organisation.model_validate(each) for each in kept], next=cursor)


@router.post("/organisations", status_code=201, responses=documented(409), response_model=Organisation)
async def add_organisation(
    call: WriteOrganisations, request: Request, body: NewOrganisation, key: idempotency.Key = None
) -> Response:
    """Enter an organisation; below one of the caller's own unless the caller is bound to none."""

    async def work() -> Organisation:
        new = parties.NewOrganisation(**body.model_dump())
        return Organisation.model_validate(await parties.add(call.connection, new))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/organisations/{slug}", responses=documented(404))
async def get_organisation(call: ReadOrganisations, slug: SlugPath, response: Response) -> Organisation:
    """One organisation; its `ETag` is for `If-Match`."""
    return _tagged(await parties.find(call.connection, slug), response)


@router.patch("/organisations/{slug}", responses=documented(404, 412))
async def edit_organisation(
    call: WriteOrganisations, slug: SlugPath, edit: OrganisationEdit, response: Response, if_match: IfMatch = None
) -> Organisation:
    """Edit an organisation or move it in the tree."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await parties.edit(call.connection, slug, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, int):
        raise stale(outcome)
    return _tagged(outcome, response)


@router.get("/organisations/{slug}/agreements", responses=documented(404))
async def list_agreements(
    call: ReadOrganisations, slug: SlugPath, query: Annotated[PageQuery, Query()]
) -> Page[Agreement]:
    """Which operators see the organisation, the ended agreements too."""
    await parties.find(call.connection, slug)
    after = decode_cursor(query.cursor, int) or (0,)
    found = await parties.agreements(call.connection, slug, after=after[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "agreement_id")
    return Page(items=[_agreement(each) for each in kept], next=cursor)


@router.post("/organisations/{slug}/agreements", status_code=201, responses=documented(404), response_model=Agreement)
async def add_agreement(
    call: WriteOrganisations, request: Request, slug: SlugPath, body: NewAgreement, key: idempotency.Key = None
) -> Response:
    """Let an operator's people see the organisation from now on."""

    async def work() -> Agreement:
        await parties.find(call.connection, slug)
        made = await parties.agree(call.connection, slug, **body.model_dump())
        return _agreement(made)

    return await idempotency.once(request, call, key, work, status=201)


@router.delete("/organisations/{slug}/agreements/{id}", status_code=204, responses=documented(404))
async def end_agreement(call: WriteOrganisations, slug: SlugPath, id: NumberPath) -> None:
    """End an agreement now; doing it twice changes nothing."""
    await parties.end_agreement(call.connection, slug, id)


def _tagged(found: parties.Organisation, response: Response) -> Organisation:
    response.headers["ETag"] = etag(found.revision)
    return Organisation.model_validate(found)


def _agreement(found: parties.Agreement) -> Agreement:
    values: dict[str, Any] = {name: getattr(found, name) for name in Agreement.model_fields if name != "id"}
    return Agreement(id=found.agreement_id, **values)
