"""`stock` and `queues`: how many of what are where and should be, and what waits to be cleaned or calibrated."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.catalogue import Kind
from fleet.api.components import State
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.orders import ModelId, Quantity
from fleet.api.organisations import Slug
from fleet.api.problems import documented, invalid
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    Moment,
    NumberPath,
    Page,
    PageQuery,
    decode_cursor,
    encode_cursor,
    page,
)
from fleet.state.logistics import repairs, stock
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX)

ReadStock = Annotated[Call, requires(Permission.STOCK_READ)]
WriteStock = Annotated[Call, requires(Permission.STOCK_WRITE)]

MAX_DAYS_AHEAD = 3650
MAX_INT = 2**31 - 1
LAST_ORDINAL = date.max.toordinal()


class StockLevel(Answer):
    """Pieces of one model at one place that are one organisation's; those in kits are no stock.

    `available` is what is in stock and not reserved; below zero, more is promised than there is. `on_order` is to come
    there, the next of it on `expected_on`. Without a location the books do not say where they are.
    """

    model_id: int
    kind: str
    manufacturer: str
    model: str
    location: str | None
    organisation: str | None
    in_stock: int
    reserved: int
    available: int
    faulty: int
    cleaning: int
    calibrating: int
    in_repair: int
    at_supplier: int
    on_order: int
    expected_on: date | None


class StockMinimum(Answer):
    """How many of a model there should be at a place, and how many there are.

    Counted are pieces of the organisation, of those below it and of those it has agreements with. `short` is how many
    are lacking when what is on order counts as there; `to_order` would fill it up to the target.
    """

    id: int
    model_id: int
    kind: str
    manufacturer: str
    model: str
    location: str | None
    organisation: str | None
    minimum: int
    target: int | None
    in_stock: int
    reserved: int
    available: int
    on_order: int
    expected_on: date | None
    short: int
    to_order: int
    revision: int
    created_at: Moment


class NewStockMinimum(Body):
    """A minimum to set; without an organisation it is that of the location."""

    model_id: ModelId
    location: Slug
    organisation: Slug | None = None
    minimum: Quantity
    target: Quantity | None = None


class StockMinimumEdit(Body):
    """What people edit; a field that is not sent stays, null empties the target."""

    minimum: Quantity = 1
    target: Quantity | None = None


class StockQuery(PageQuery):
    """Filters of stock."""

    model_id: ModelId | None = None
    kind: Kind | None = None
    location: Slug | None = None
    organisation: Slug | None = None


class CleaningQuery(PageQuery):
    """Filters of what waits to be cleaned."""

    location: Slug | None = None
    organisation: Slug | None = None


class CalibrationQuery(PageQuery):
    """Filters of what is to be calibrated; a piece in a kit is where the kit is."""

    within_days: Annotated[int, Field(ge=0, le=MAX_DAYS_AHEAD)] = 30
    kind: Kind | None = None
    location: Slug | None = None
    organisation: Slug | None = None


class ToClean(Answer):
    """A piece (with `component_id`) or a kit that waits to be cleaned since then."""

    subject: Literal["component", "kit"]
    component_id: int | None
    kit: str | None
    kind: str | None
    manufacturer: str | None
    model: str | None
    serial: str | None
    organisation: str | None
    location: str | None
    since: Moment


class ToCalibrate(Answer):
    """A piece whose calibration ends on `calibration_due`, and where it is: at a location, or in a kit.

    `kit_placement_id` is set while the kit is with a citizen, `repair_id` when a record is open for the piece.
    """

    component_id: int
    kind: str
    manufacturer: str
    model: str
    serial: str
    state: State
    organisation: str | None
    location: str | None
    kit: str | None
    kit_state: str | None
    kit_location: str | None
    kit_placement_id: int | None
    calibrated_on: date | None
    calibration_due: date
    repair_id: int | None


@router.get("/stock", tags=["stock"], responses=documented())
async def list_stock(call: ReadStock, query: Annotated[StockQuery, Query()]) -> Page[StockLevel]:
    """Stock by model, place and organisation."""
    model_id, location_id, organisation_id = decode_cursor(query.cursor, int, int, int) or (0, 0, 0)
    if max(model_id, location_id, organisation_id) > MAX_INT:
        raise invalid("cursor", "is not one that this list gave", place="query")
    found = await stock.levels(
        call.connection,
        after=(model_id, location_id, organisation_id),
        limit=query.limit + 1,
        **query.model_dump(include=set(stock.FILTERS)),
    )
    kept, cursor = page(found, query.limit, "model_id", "location_key", "organisation_key")
    return Page(items=[_answer(StockLevel, each) for each in kept], next=cursor)


@router.get("/stock/minimums", tags=["stock"], responses=documented())
async def list_minimums(call: ReadStock, query: Annotated[StockQuery, Query()]) -> Page[StockMinimum]:
    """What there should be, with what there is, by number."""
    return await _minimums(call, query, below=False)


@router.get("/stock/reorder", tags=["stock"], responses=documented())
async def list_to_reorder(call: ReadStock, query: Annotated[StockQuery, Query()]) -> Page[StockMinimum]:
    """Minimums that what is available and what is on order together fall below."""
    return await _minimums(call, query, below=True)


@router.post("/stock/minimums", status_code=201, tags=["stock"], responses=documented(409), response_model=StockMinimum)
async def set_minimum(
    call: WriteStock, request: Request, body: NewStockMinimum, key: idempotency.Key = None
) -> Response:
    """Set a minimum for a model at a place."""

    async def work() -> StockMinimum:
        new = stock.NewMinimum(**body.model_dump())
        return _minimum(await stock.set_minimum(call.connection, new))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/stock/minimums/{id}", tags=["stock"], responses=documented(404))
async def get_minimum(call: ReadStock, id: NumberPath, response: Response) -> StockMinimum:
    """One minimum; its `ETag` is for `If-Match`."""
    found = await stock.find_minimum(call.connection, _small(id))
    response.headers["ETag"] = etag(found.revision)
    return _minimum(found)


@router.patch("/stock/minimums/{id}", tags=["stock"], responses=documented(404, 412))
async def change_minimum(
    call: WriteStock, id: NumberPath, edit: StockMinimumEdit, response: Response, if_match: IfMatch = None
) -> StockMinimum:
    """Change a minimum; model and place stay."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await stock.change_minimum(call.connection, _small(id), changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return _minimum(outcome)


@router.delete("/stock/minimums/{id}", status_code=204, tags=["stock"], responses=documented(404))
async def remove_minimum(call: WriteStock, id: NumberPath) -> None:
    """Ask for no minimum any more."""
    await stock.remove_minimum(call.connection, _small(id))


@router.get("/queues/cleaning", tags=["queues"], responses=documented())
async def list_to_clean(call: ReadStock, query: Annotated[CleaningQuery, Query()]) -> Page[ToClean]:
    """Pieces and kits that wait to be cleaned, those that wait longest first."""
    after = _cleaning_cursor(query.cursor)
    chosen = query.model_dump(include={"location", "organisation"})
    found = await repairs.to_clean(call.connection, after=after, limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "since", "subject", "id")
    return Page(items=[_to_clean(each) for each in kept], next=cursor)


@router.get("/queues/calibration", tags=["queues"], responses=documented())
async def list_to_calibrate(call: ReadStock, query: Annotated[CalibrationQuery, Query()]) -> Page[ToCalibrate]:
    """Pieces whose calibration ends within so many days, the earliest first, and where they are."""
    given = decode_cursor(query.cursor, int, int)
    if given is not None and not 1 <= given[0] <= LAST_ORDINAL:
        raise invalid("cursor", "is not one that this list gave", place="query")
    found = await repairs.to_calibrate(
        call.connection,
        within_days=query.within_days,
        after=None if given is None else (date.fromordinal(given[0]), given[1]),
        limit=query.limit + 1,
        **query.model_dump(include={"kind", "location", "organisation"}),
    )
    kept = found[: query.limit]
    end = None
    if len(found) > query.limit:
        end = encode_cursor(kept[-1].calibration_due.toordinal(), kept[-1].component_id)
    return Page(items=[_answer(ToCalibrate, each) for each in kept], next=end)


async def _minimums(call: Call, query: StockQuery, *, below: bool) -> Page[StockMinimum]:
    after = decode_cursor(query.cursor, int) or (0,)
    found = await stock.minimums(
        call.connection,
        below=below,
        after=_small(after[0]),
        limit=query.limit + 1,
        **query.model_dump(include=set(stock.FILTERS)),
    )
    kept, cursor = page(found, query.limit, "minimum_id")
    return Page(items=[_minimum(each) for each in kept], next=cursor)


def _cleaning_cursor(cursor: str | None) -> tuple[Any, str, int] | None:
    given = decode_cursor(cursor, datetime, str, int)
    return None if given is None else (given[0], given[1], given[2])


def _small(number: int) -> int:
    """Numbers of this table are 32 bits wide; what is larger is none of them."""
    return min(number, MAX_INT)


def _minimum(found: stock.Minimum) -> StockMinimum:
    names = StockMinimum.model_fields.keys() - {"id"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    return StockMinimum(id=found.minimum_id, **values)


def _to_clean(found: repairs.ToClean) -> ToClean:
    names = ToClean.model_fields.keys() - {"component_id"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    return ToClean(component_id=found.id if found.subject == "component" else None, **values)


def _answer(shape: Any, found: Any) -> Any:
    return shape(**{name: getattr(found, name) for name in shape.model_fields})
