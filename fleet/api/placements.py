"""`placements`: which kit a citizen has; references are in bodies only, so that no access log holds one."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.components import Day
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    KitId,
    Line,
    Moment,
    NumberPath,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    encode_cursor,
    page,
)
from fleet.state import placements
from fleet.state.ledger.history import known_component
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["placements"])

ReadPlacements = Annotated[Call, requires(Permission.PLACEMENTS_READ)]
WritePlacements = Annotated[Call, requires(Permission.PLACEMENTS_WRITE)]
ErasePlacements = Annotated[Call, requires(Permission.PLACEMENTS_ERASE)]

State = Literal["planned", "active", "ended", "cancelled"]
Reference = Annotated[
    Word,
    Field(
        min_length=1,
        max_length=64,
        description="The care system's pseudonym; never a name or a civil registration number",
        examples=["KOL-NORD-8841"],
    ),
]
Reason = Annotated[Line, Field(min_length=1)]


class Placement(Answer):
    """A kit with a citizen; `reference` is null once it was erased."""

    id: int
    kit: str | None
    reference: str | None
    reference_id: int
    organisation: str
    programme: str | None
    state: State
    planned_from: date | None
    planned_until: date | None
    begun: Moment | None
    ended: Moment | None
    ended_reason: str | None
    revision: int
    created_at: Moment


class NewPlacement(Body):
    """A placement to plan; the kit may be chosen later."""

    reference: Reference
    organisation: Slug
    kit: KitId | None = None
    programme: Line | None = None
    planned_from: Day | None = None
    planned_until: Day | None = None


class PlacementEdit(Body):
    """What people edit; a field that is not sent stays."""

    kit: KitId | None = None
    programme: Line | None = None
    planned_from: Day | None = None
    planned_until: Day | None = None


class Cancellation(Body):
    """Why a planned placement is called off."""

    reason: Reason


class PlacementQuery(PageQuery):
    """Filters of placements; `at` finds those that were active then."""

    kit: KitId | None = None
    organisation: Slug | None = None
    programme: Word | None = None
    state: State | None = None
    reference_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    at: Moment | None = None


class LookUp(Body):
    """A reference to look for."""

    reference: Reference


class Erasure(Body):
    """Why a reference is erased."""

    reason: Reason


class Holding(Answer):
    """That a piece was with a citizen, from when until when; `reference_id` is the surrogate."""

    component_id: int | None
    serial: str | None
    kit: str
    placement_id: int
    reference_id: int
    organisation: str
    programme: str | None
    begun: Moment
    ended: Moment | None


class Known(Answer):
    """Everything that is stored about one reference."""

    reference_id: int
    reference: str | None
    placements: list[Placement]
    components: list[Holding]


class RecallQuery(PageQuery):
    """Which pieces: a model, and from which to which serial number."""

    model_id: Annotated[int, Field(ge=1, le=2**31 - 1)]
    serial_from: Word | None = None
    serial_to: Word | None = None


@router.get("/placements", responses=documented())
async def list_placements(call: ReadPlacements, query: Annotated[PlacementQuery, Query()]) -> Page[Placement]:
    """Placements by number; each reference shown is noted in the audit."""
    after = decode_cursor(query.cursor, int) or (0,)
    chosen = query.model_dump(include={"kit", "organisation", "programme", "state", "reference_id", "at"})
    found = await placements.list_placements(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "placement_id")
    return Page(items=await _shown(call, kept, why="list"), next=cursor)


@router.post("/placements", status_code=201, responses=documented(409), response_model=Placement)
async def plan(call: WritePlacements, request: Request, body: NewPlacement, key: idempotency.Key = None) -> Response:
    """Plan a placement; it becomes active when its kit is installed and ends when that is taken down."""

    async def work() -> Placement:
        made = await placements.plan(call.connection, placements.NewPlacement(**body.model_dump()))
        return await _one(call, made)

    return await idempotency.once(request, call, key, work, status=201, once_only="reference")


@router.post("/placements/look-up", responses=documented())
async def look_up(call: ReadPlacements, body: LookUp) -> Page[Placement]:
    """The placements of a reference; in the body, because addresses are logged."""
    found: list[placements.Placement] = []
    for number in await placements.reference_numbers(call.connection, body.reference):
        found += await placements.list_placements(call.connection, reference_id=number)
    return Page(items=await _shown(call, found, why="look-up"))


@router.get("/placements/{id}", responses=documented(404))
async def get_placement(call: ReadPlacements, id: NumberPath, response: Response) -> Placement:
    """One placement; its `ETag` is for `If-Match`."""
    found = await placements.find_placement(call.connection, id)
    response.headers["ETag"] = etag(found.revision)
    return await _one(call, found)


@router.patch("/placements/{id}", responses=documented(404, 409, 412))
async def change_plan(
    call: WritePlacements, id: NumberPath, edit: PlacementEdit, response: Response, if_match: IfMatch = None
) -> Placement:
    """Change the plan; the kit only while it is planned."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await placements.change_plan(call.connection, id, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return await _one(call, outcome)


@router.post("/placements/{id}/cancel", responses=documented(404, 409))
async def cancel(call: WritePlacements, id: NumberPath, body: Cancellation) -> Placement:
    """Call off a planned placement; doing it twice changes nothing."""
    return await _one(call, await placements.cancel(call.connection, id, reason=body.reason))


@router.get("/placement-references/{id}", responses=documented(404))
async def export_reference(call: ErasePlacements, id: NumberPath) -> Known:
    """Everything that is stored about a reference, by its number: the answer to a request for access."""
    known = await placements.about_reference(call.connection, id)
    return Known(
        reference_id=id,
        reference=known["reference"],
        placements=[_placement(each, known["reference"]) for each in known["placements"]],
        components=[Holding.model_validate(each) for each in known["components"]],
    )


@router.post("/placement-references/{id}/erase", status_code=204, responses=documented(404, 409))
async def erase_reference(call: ErasePlacements, id: NumberPath, body: Erasure) -> None:
    """Forget the text of a reference for good; refused while a kit is there. Doing it twice changes nothing."""
    await placements.erase(call.connection, id, reason=body.reason)


@router.get("/components/{id}/placements", responses=documented(404))
async def who_had_component(
    call: ReadPlacements, id: NumberPath, query: Annotated[PageQuery, Query()]
) -> Page[Holding]:
    """Who had this piece, and when."""
    await known_component(call.connection, id)
    after = decode_cursor(query.cursor, int) or (0,)
    found = await placements.holdings_of_component(call.connection, id, after=after[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "placement_id")
    return Page(items=[Holding.model_validate(each) for each in kept], next=cursor)


@router.get("/recalls", responses=documented())
async def recall(call: ReadPlacements, query: Annotated[RecallQuery, Query()]) -> Page[Holding]:
    """Who has or had the pieces of a model, between two serial numbers."""
    after = decode_cursor(query.cursor, int, int) or (0, 0)
    found = await placements.recall(
        call.connection,
        query.model_id,
        serial_from=query.serial_from,
        serial_to=query.serial_to,
        after=(after[0], after[1]),
        limit=query.limit + 1,
    )
    kept = found[: query.limit]
    end = encode_cursor(kept[-1].component_id, kept[-1].placement_id) if len(found) > query.limit else None
    return Page(items=[Holding.model_validate(each) for each in kept], next=end)


async def _one(call: Call, found: placements.Placement) -> Placement:
    return (await _shown(call, [found], why="placement"))[0]


async def _shown(call: Call, found: list[placements.Placement], *, why: str) -> list[Placement]:
    texts = await placements.references(call.connection, [each.reference_id for each in found], why=why)
    return [_placement(each, texts.get(each.reference_id)) for each in found]


def _placement(found: placements.Placement, reference: str | None) -> Placement:
    names = Placement.model_fields.keys() - {"id", "reference"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    return Placement(id=found.placement_id, reference=reference, **values)
