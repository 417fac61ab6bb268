"""`repairs`: pieces that are away to be mended, calibrated or given back, until that is closed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import components, idempotency
from fleet.api.auth import Call, requires
from fleet.api.catalogue import Amount, Currency
from fleet.api.components import CalibrationBody, Day
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.orders import Reference
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    GivenMoment,
    Line,
    Moment,
    Number,
    NumberPath,
    Page,
    PageQuery,
    decode_cursor,
    page,
)
from fleet.state.logistics import repairs
from fleet.state.registry.calibrations import Calibration
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["repairs"])

ReadStock = Annotated[Call, requires(Permission.STOCK_READ)]
WriteStock = Annotated[Call, requires(Permission.STOCK_WRITE)]

Kind = Literal["repair", "supplier_return", "calibration"]
Outcome = Literal[
    "repaired",
    "no_fault_found",
    "calibrated",
    "calibration_failed",
    "not_repaired",
    "scrapped",
    "returned",
    "withdrawn",
]


class Repair(Answer):
    """A piece away, or that was. `state` is what it is now, null when it is somebody else's by now."""

    id: int
    component_id: int
    component_kind: str
    manufacturer: str
    model: str
    serial: str
    state: components.State | None
    organisation: str | None
    kind: Kind
    fault: str
    workshop: str | None
    workshop_reference: str | None
    warranty_claim: bool
    warranty_until: date | None
    expected_on: date | None
    cost: Decimal | None
    currency: str
    note: str
    opened_at: Moment
    opened_by: str
    closed_at: Moment | None
    closed_by: str | None
    outcome: Outcome | None
    revision: int


class RepairFields(Body):
    """What describes a repair; `expected_on` is when the piece should be back."""

    fault: Line = ""
    workshop: Slug | None = None
    workshop_reference: Reference | None = None
    warranty_claim: bool = False
    expected_on: Day | None = None
    note: Line = ""


class NewRepair(RepairFields):
    """A piece that goes away; by its kind it becomes `in_repair`, `at_supplier` or `calibrating`."""

    component_id: Number
    kind: Kind
    location: Slug | None = None
    occurred_at: GivenMoment | None = None


class RepairEdit(RepairFields):
    """What people edit, also after it was closed; a field that is not sent stays."""

    cost: Amount | None = None
    currency: Currency = "DKK"


class RepairClosing(Body):
    """What came of it, and where the piece is now.

    `repaired`, `no_fault_found`, `calibrated`: in stock. `calibration_failed`, `not_repaired`: faulty. `scrapped`,
    `returned` (kept by the supplier): out of the books, with a reason. `withdrawn` closes the record and leaves the
    piece as it is. A calibration is noted with the piece.
    """

    outcome: Outcome
    location: Slug | None = None
    reason: Line | None = None
    cost: Amount | None = None
    occurred_at: GivenMoment | None = None
    calibration: CalibrationBody | None = None


class RepairQuery(PageQuery):
    """Filters of repairs; `overdue` are open ones that should be back by now."""

    component_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    kind: Kind | None = None
    open: bool | None = None
    organisation: Slug | None = None
    workshop: Slug | None = None
    overdue: bool | None = None


@router.get("/repairs", responses=documented())
async def list_repairs(call: ReadStock, query: Annotated[RepairQuery, Query()]) -> Page[Repair]:
    """Repairs by number."""
    after = decode_cursor(query.cursor, int) or (0,)
    chosen = query.model_dump(include=set(repairs.FILTERS))
    found = await repairs.list_repairs(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "repair_id")
    return Page(items=[_repair(each) for each in kept], next=cursor)


@router.post("/repairs", status_code=201, responses=documented(409), response_model=Repair)
async def open_repair(call: WriteStock, request: Request, body: NewRepair, key: idempotency.Key = None) -> Response:
    """Send a piece away; one record can be open for it at a time."""

    async def work() -> Repair:
        new = repairs.NewRepair(**{**body.model_dump(), "kind": repairs.RepairKind(body.kind)})
        return _repair(await repairs.open_repair(call.connection, new, by=call.principal))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/repairs/{id}", responses=documented(404))
async def get_repair(call: ReadStock, id: NumberPath, response: Response) -> Repair:
    """One repair; its `ETag` is for `If-Match`."""
    found = await repairs.find_repair(call.connection, id)
    response.headers["ETag"] = etag(found.revision)
    return _repair(found)


@router.patch("/repairs/{id}", responses=documented(404, 412))
async def edit_repair(
    call: WriteStock, id: NumberPath, edit: RepairEdit, response: Response, if_match: IfMatch = None
) -> Repair:
    """Edit what describes a repair, also after it was closed: bills come late."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await repairs.edit_repair(call.connection, id, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return _repair(outcome)


@router.post("/repairs/{id}/close", responses=documented(404, 409), response_model=Repair)
async def close_repair(
    call: WriteStock, request: Request, id: NumberPath, body: RepairClosing, key: idempotency.Key = None
) -> Response:
    """Close a repair: the piece comes back, or leaves the books."""

    async def work() -> Repair:
        done = None if body.calibration is None else Calibration(**body.calibration.model_dump())
        values = {**body.model_dump(exclude={"calibration"}), "outcome": repairs.Outcome(body.outcome)}
        closing = repairs.Closing(**values, calibration=done)
        return _repair(await repairs.close_repair(call.connection, id, closing, by=call.principal))

    return await idempotency.once(request, call, key, work)


def _repair(found: repairs.Repair) -> Repair:
    values: dict[str, Any] = {name: getattr(found, name) for name in Repair.model_fields.keys() - {"id"}}
    return Repair(id=found.repair_id, **values)
