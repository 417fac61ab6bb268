"""`reservations`: what is kept for a placement or a planned visit."""

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
from fleet.api.orders import ModelId
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
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
from fleet.state.logistics import reservations
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["reservations"])

ReadStock = Annotated[Call, requires(Permission.STOCK_READ)]
WriteStock = Annotated[Call, requires(Permission.STOCK_WRITE)]

State = Literal["active", "fulfilled", "released", "expired"]
Visit = Annotated[str, Field(min_length=1, max_length=64, description="A number, no words", examples=["V-2041"])]


class Reservation(Answer):
    """What is kept for whom; `reserved_until` is the last day, past which it reads `expired` and keeps nothing."""

    id: int
    organisation: str | None
    model_id: int | None
    kind: str | None
    manufacturer: str | None
    model: str | None
    location: str | None
    quantity: int
    component_id: int | None
    serial: str | None
    kit: str | None
    placement_id: int | None
    visit: str | None
    reserved_from: date
    reserved_until: date | None
    state: State
    ended_at: Moment | None
    ended_reason: str | None
    actor: str
    revision: int
    created_at: Moment


class NewReservation(Body):
    """What to keep: so many of a model at a location, a certain component, or a kit; for a placement or a visit.

    `organisation` is whose stock of the model, that of the location when not given. `beyond_stock` says that more than
    is free now is meant.
    """

    model_id: ModelId | None = None
    location: Slug | None = None
    organisation: Slug | None = None
    quantity: Annotated[int, Field(ge=1, le=10_000)] = 1
    component_id: Number | None = None
    kit: KitId | None = None
    placement_id: Number | None = None
    visit: Visit | None = None
    reserved_from: Day | None = None
    reserved_until: Day | None = None
    beyond_stock: bool = False


class ReservationEdit(Body):
    """What people edit of one that is active; a field that is not sent stays."""

    placement_id: Number | None = None
    visit: Visit | None = None
    reserved_from: Day | None = None
    reserved_until: Day | None = None


class ReservationEnd(Body):
    """How it ended: used, or not needed any more."""

    outcome: Literal["fulfilled", "released"]
    reason: Line | None = None


class ReservationQuery(PageQuery):
    """Filters of reservations."""

    state: State | None = None
    organisation: Slug | None = None
    model_id: ModelId | None = None
    location: Slug | None = None
    component_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    kit: KitId | None = None
    placement_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    visit: Word | None = None


@router.get("/reservations", responses=documented())
async def list_reservations(call: ReadStock, query: Annotated[ReservationQuery, Query()]) -> Page[Reservation]:
    """Reservations by number."""
    after = decode_cursor(query.cursor, int) or (0,)
    chosen = query.model_dump(include=set(reservations.FILTERS))
    found = await reservations.list_reservations(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "reservation_id")
    return Page(items=[_reservation(each) for each in kept], next=cursor)


@router.post("/reservations", status_code=201, responses=documented(409), response_model=Reservation)
async def reserve(call: WriteStock, request: Request, body: NewReservation, key: idempotency.Key = None) -> Response:
    """Keep something for somebody; what is not free is refused."""

    async def work() -> Reservation:
        new = reservations.NewReservation(**body.model_dump())
        return _reservation(await reservations.reserve(call.connection, new, by=call.principal))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/reservations/{id}", responses=documented(404))
async def get_reservation(call: ReadStock, id: NumberPath, response: Response) -> Reservation:
    """One reservation; its `ETag` is for `If-Match`."""
    found = await reservations.find_reservation(call.connection, id)
    response.headers["ETag"] = etag(found.revision)
    return _reservation(found)


@router.patch("/reservations/{id}", responses=documented(404, 409, 412))
async def change_reservation(
    call: WriteStock, id: NumberPath, edit: ReservationEdit, response: Response, if_match: IfMatch = None
) -> Reservation:
    """Change for whom and for which days; what is kept stays."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await reservations.change_reservation(call.connection, id, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return _reservation(outcome)


@router.post("/reservations/{id}/end", responses=documented(404, 409), response_model=Reservation)
async def end_reservation(
    call: WriteStock, request: Request, id: NumberPath, body: ReservationEnd, key: idempotency.Key = None
) -> Response:
    """Say that it was used or is not needed any more; the same twice changes nothing."""

    async def work() -> Reservation:
        return _reservation(await reservations.end_reservation(call.connection, id, **body.model_dump()))

    return await idempotency.once(request, call, key, work)


def _reservation(found: reservations.Reservation) -> Reservation:
    values: dict[str, Any] = {name: getattr(found, name) for name in Reservation.model_fields.keys() - {"id"}}
    return Reservation(id=found.reservation_id, **values)
