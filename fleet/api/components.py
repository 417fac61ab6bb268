"""`components`: every tablet, SIM and peripheral, described and found."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.catalogue import Amount, Currency, Kind
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    GivenDay,
    KitId,
    Line,
    Moment,
    NumberPath,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.state.registry import calibrations, components
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["components"])

ReadComponents = Annotated[Call, requires(Permission.COMPONENTS_READ)]
WriteComponents = Annotated[Call, requires(Permission.COMPONENTS_WRITE)]

State = Literal[
    "ordered",
    "in_stock",
    "in_kit",
    "faulty",
    "cleaning",
    "calibrating",
    "in_repair",
    "at_supplier",
    "scrapped",
    "lost",
    "returned",
]
Day = GivenDay
Serial = Annotated[str, Field(min_length=1, max_length=100)]
Identity = Annotated[str, Field(min_length=1, max_length=40)]


class Component(Answer):
    """A piece as the books have it; in a kit it is where the kit is."""

    id: int
    kind: str
    model_id: int
    manufacturer: str
    model: str
    serial: str
    asset_tag: str | None
    state: State
    state_since: Moment
    organisation: str | None
    owner: str | None
    location: str | None
    kit: str | None
    kit_location: str | None
    supplier: str | None
    order_line_id: int | None
    purchased_on: date | None
    price: Decimal | None
    currency: str
    warranty_until: date | None
    lessor: str | None
    lease_contract: str | None
    lease_until: date | None
    calibrated_on: date | None
    calibration_due: date | None
    calibrated_by: str | None
    calibration_certificate: str | None
    imei: str | None
    iccid: str | None
    bluetooth_address: str | None
    system_id: str | None
    firmware: str | None
    note: str
    revision: int
    created_at: Moment
    updated_at: Moment


class ComponentFields(Body):
    """What describes a piece."""

    asset_tag: Serial | None = None
    supplier: Slug | None = None
    purchased_on: Day | None = None
    price: Amount | None = None
    currency: Currency = "DKK"
    warranty_until: Day | None = None
    lessor: Slug | None = None
    lease_contract: Line | None = None
    lease_until: Day | None = None
    imei: Identity | None = None
    iccid: Identity | None = None
    bluetooth_address: Identity | None = None
    system_id: Identity | None = None
    firmware: Line | None = None
    note: Line = ""


class NewComponent(ComponentFields):
    """A piece to enter; its first event says where it is and whose."""

    model_id: Annotated[int, Field(ge=1, le=2**31 - 1)]
    serial: Serial
    state: Literal["ordered", "in_stock"] = "in_stock"
    organisation: Slug | None = None
    owner: Slug | None = None
    location: Line | None = None
    calibrated_on: Day | None = None
    calibration_due: Day | None = None
    calibrated_by: Line | None = None
    calibration_certificate: Line | None = None


class ComponentEdit(ComponentFields):
    """What people edit; a field that is not sent stays, null empties it. State and place are steps."""


class CalibrationBody(Body):
    """A calibration that was done; without `due` the model's interval counts."""

    done_on: Day
    by: Annotated[Line, Field(min_length=1, description="The workshop; not a person's name")]
    due: Day | None = None
    certificate: Line | None = None
    result: Literal["pass", "fail"] = "pass"


class ComponentQuery(PageQuery):
    """Filters of components; `tail` is the last four characters of the serial number."""

    serial: Word | None = None
    tail: Annotated[Word, Field(min_length=1, max_length=4)] | None = None
    asset_tag: Word | None = None
    imei: Word | None = None
    iccid: Word | None = None
    kind: Kind | None = None
    model_id: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    state: State | None = None
    organisation: Slug | None = None
    owner: Slug | None = None
    location: Slug | None = None
    kit: KitId | None = None
    calibration_due_before: date | None = None
    warranty_before: date | None = None
    lease_before: date | None = None


@router.get("/components", responses=documented())
async def list_components(call: ReadComponents, query: Annotated[ComponentQuery, Query()]) -> Page[Component]:
    """Components by number."""
    after = decode_cursor(query.cursor, int) or (0,)
    chosen = query.model_dump(include=set(components.FILTERS))
    found = await components.list_components(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "component_id")
    return Page(items=[component(each) for each in kept], next=cursor)


@router.post("/components", status_code=201, responses=documented(409), response_model=Component)
async def add_component(
    call: WriteComponents, request: Request, body: NewComponent, key: idempotency.Key = None
) -> Response:
    """Enter a piece."""

    async def work() -> Component:
        new = components.NewComponent(**body.model_dump())
        return component(await components.add_component(call.connection, new, by=call.principal))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/components/{id}", responses=documented(404))
async def get_component(call: ReadComponents, id: NumberPath, response: Response) -> Component:
    """One piece; its `ETag` is for `If-Match`."""
    return _tagged(await components.find_component(call.connection, id), response)


@router.patch("/components/{id}", responses=documented(404, 409, 412))
async def edit_component(
    call: WriteComponents, id: NumberPath, edit: ComponentEdit, response: Response, if_match: IfMatch = None
) -> Component:
    """Edit what describes a piece; what it was before stays in its history."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await components.edit_component(
        call.connection, id, changes, by=call.principal, revisions=seen_revisions(if_match)
    )
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    return _tagged(outcome, response)


@router.post("/components/{id}/calibrations", status_code=201, responses=documented(404), response_model=Component)
async def calibrate(
    call: WriteComponents, request: Request, id: NumberPath, body: CalibrationBody, key: idempotency.Key = None
) -> Response:
    """Record a calibration; one that failed is kept in the history and changes no date."""

    async def work() -> Component:
        done = calibrations.Calibration(**body.model_dump())
        return component(await calibrations.calibrate(call.connection, id, done, by=call.principal))

    return await idempotency.once(request, call, key, work, status=201)


def component(found: components.Component) -> Component:
    """As it is answered."""
    values: dict[str, Any] = {name: getattr(found, name) for name in Component.model_fields if name != "id"}
    return Component(id=found.component_id, **values)


def _tagged(found: components.Component, response: Response) -> Component:
    response.headers["ETag"] = etag(found.revision)
    return component(found)
