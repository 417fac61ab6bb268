"""`orders`: what was ordered from whom, in lines, and what was received of it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.catalogue import Amount, Currency
from fleet.api.components import Day, Identity, Serial
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    GivenMoment,
    Line,
    Moment,
    NumberPath,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.state.logistics import orders, receiving
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["orders"])

ReadOrders = Annotated[Call, requires(Permission.ORDERS_READ)]
WriteOrders = Annotated[Call, requires(Permission.ORDERS_WRITE)]

State = Literal["open", "received", "cancelled"]
ModelId = Annotated[int, Field(ge=1, le=2**31 - 1)]
LineId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Quantity = Annotated[int, Field(ge=1, le=1_000_000)]
Months = Annotated[int, Field(ge=0, le=240)]
Reference = Annotated[Line, Field(min_length=1, max_length=100)]
Reason = Annotated[Line, Field(min_length=1)]


class OrderLine(Answer):
    """So many of a model at `price` each; `location` is where they are to come, `received` how many came."""

    id: int
    model_id: int
    kind: str
    manufacturer: str
    model: str
    location: str | None
    quantity: int
    received: int
    price: Decimal | None
    warranty_months: int | None
    expected_on: date | None
    state: State
    cancelled_reason: str | None


class Order(Answer):
    """A purchase order; `quantity` and `received` are sums over its lines, `expected_on` when the next are to come."""

    id: int
    organisation: str | None
    supplier: str
    reference: str | None
    supplier_reference: str | None
    ordered_on: date
    currency: str
    note: str
    state: State
    ended_at: Moment | None
    cancelled_reason: str | None
    quantity: int
    received: int
    expected_on: date | None
    revision: int
    created_at: Moment


class OrderWithLines(Order):
    """An order with its lines."""

    lines: list[OrderLine]


class LineFields(Body):
    """What describes a line; the warranty counts from when pieces are received."""

    price: Amount | None = None
    location: Slug | None = None
    warranty_months: Months | None = None
    expected_on: Day | None = None


class NewOrderLine(LineFields):
    """A line to order."""

    model_id: ModelId
    quantity: Quantity


class OrderLineEdit(LineFields):
    """What people edit of a line that is to come; a field that is not sent stays, null empties it."""

    quantity: Quantity = 1


class NewOrder(Body):
    """An order to enter; `organisation` buys, and the pieces become its own."""

    supplier: Slug
    organisation: Slug | None = None
    reference: Reference | None = None
    supplier_reference: Reference | None = None
    ordered_on: Day | None = None
    currency: Currency = "DKK"
    note: Line = ""
    lines: Annotated[list[NewOrderLine], Field(min_length=1, max_length=orders.MAX_LINES)]


class MoreLines(Body):
    """Lines to order with an open order."""

    lines: Annotated[list[NewOrderLine], Field(min_length=1, max_length=orders.MAX_LINES)]


class OrderEdit(Body):
    """What people edit; a field that is not sent stays, null empties it."""

    reference: Reference | None = None
    supplier_reference: Reference | None = None
    note: Line = ""


class OrderCancellation(Body):
    """Why what is still to come is called off: of all lines, or of those named."""

    reason: Reason
    line_ids: Annotated[list[LineId], Field(min_length=1, max_length=orders.MAX_LINES)] | None = None


class Announcement(Body):
    """Serial numbers that the supplier has told ahead."""

    serials: Annotated[list[Serial], Field(min_length=1, max_length=receiving.MAX_PIECES)]


class AnnouncedPieces(Answer):
    """The pieces as they were entered, in state `ordered`, in the order of the serial numbers."""

    component_ids: list[int]


class ReceivedPiece(Body):
    """A piece that came, with what is printed on it and on its certificate."""

    serial: Serial
    asset_tag: Serial | None = None
    imei: Identity | None = None
    iccid: Identity | None = None
    bluetooth_address: Identity | None = None
    system_id: Identity | None = None
    firmware: Line | None = None
    calibrated_on: Day | None = None
    calibration_due: Day | None = None
    calibrated_by: Line | None = None
    calibration_certificate: Line | None = None


class ReceivedLine(Body):
    """What came of a line; `location` where it is not the delivery's."""

    line_id: LineId
    pieces: Annotated[list[ReceivedPiece], Field(min_length=1, max_length=receiving.MAX_PIECES)]
    location: Slug | None = None


class NewReceipt(Body):
    """A delivery, entered as a whole or not at all; `accept_excess` says that more than was ordered is meant."""

    lines: Annotated[list[ReceivedLine], Field(min_length=1, max_length=orders.MAX_LINES)]
    location: Slug | None = None
    delivery_note: Reference | None = None
    received_at: GivenMoment | None = None
    accept_excess: bool = False


class Receipt(Answer):
    """So many pieces received against a line; `component_ids` are their numbers in the books."""

    id: int
    line_id: int
    quantity: int
    component_ids: list[int]
    location: str | None
    received_at: Moment
    delivery_note: str | None
    actor: str
    recorded_at: Moment


class Received(Answer):
    """What a delivery led to, one receipt for each line, and the order as it stands now."""

    receipts: list[Receipt]
    order: OrderWithLines


class OrderQuery(PageQuery):
    """Filters of orders; `expected_before` finds those of which something is to come before that day."""

    state: State | None = None
    organisation: Slug | None = None
    supplier: Slug | None = None
    reference: Word | None = None
    model_id: ModelId | None = None
    expected_before: date | None = None


@router.get("/orders", responses=documented())
async def list_orders(call: ReadOrders, query: Annotated[OrderQuery, Query()]) -> Page[Order]:
    """Orders by number."""
    after = decode_cursor(query.cursor, int) or (0,)
    chosen = query.model_dump(include=set(orders.FILTERS))
    found = await orders.list_orders(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "order_id")
    return Page(items=[Order(**_header(each)) for each in kept], next=cursor)


@router.post("/orders", status_code=201, responses=documented(409), response_model=OrderWithLines)
async def place_order(call: WriteOrders, request: Request, body: NewOrder, key: idempotency.Key = None) -> Response:
    """Enter an order with its lines."""

    async def work() -> OrderWithLines:
        lines = tuple(orders.NewLine(**each.model_dump()) for each in body.lines)
        new = orders.NewOrder(**{**body.model_dump(exclude={"lines"}), "lines": lines})
        return await _whole(call, await orders.place_order(call.connection, new))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/orders/{id}", responses=documented(404))
async def get_order(call: ReadOrders, id: NumberPath, response: Response) -> OrderWithLines:
    """One order with its lines; its `ETag` is for `If-Match`, and rises with changes of its lines too."""
    return await _tagged(call, await orders.find_order(call.connection, id), response)


@router.patch("/orders/{id}", responses=documented(404, 409, 412))
async def edit_order(
    call: WriteOrders, id: NumberPath, edit: OrderEdit, response: Response, if_match: IfMatch = None
) -> OrderWithLines:
    """Edit what describes an order, also after its end."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await orders.edit_order(call.connection, id, changes, revisions=seen_revisions(if_match))
    return await _tagged(call, outcome, response)


@router.post("/orders/{id}/lines", status_code=201, responses=documented(404, 409), response_model=OrderWithLines)
async def add_lines(
    call: WriteOrders, request: Request, id: NumberPath, body: MoreLines, key: idempotency.Key = None
) -> Response:
    """Order more with an open order."""

    async def work() -> OrderWithLines:
        new = [orders.NewLine(**each.model_dump()) for each in body.lines]
        return await _whole(call, await orders.add_lines(call.connection, id, new))

    return await idempotency.once(request, call, key, work, status=201)


@router.patch("/orders/{id}/lines/{line_id}", responses=documented(404, 409, 412))
async def edit_line(
    call: WriteOrders,
    *,
    id: NumberPath,
    line_id: NumberPath,
    edit: OrderLineEdit,
    response: Response,
    if_match: IfMatch = None,
) -> OrderWithLines:
    """Edit a line that is still to come; its quantity cannot go below what was received. `ETag` is the order's."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await orders.edit_line(call.connection, id, line_id, changes, revisions=seen_revisions(if_match))
    return await _tagged(call, outcome, response)


@router.post(
    "/orders/{id}/lines/{line_id}/pieces",
    status_code=201,
    responses=documented(404, 409),
    response_model=AnnouncedPieces,
)
async def announce_pieces(
    call: WriteOrders,
    *,
    request: Request,
    id: NumberPath,
    line_id: NumberPath,
    body: Announcement,
    key: idempotency.Key = None,
) -> Response:
    """Enter pieces whose serial numbers are known before they come; receiving them makes them stock."""

    async def work() -> AnnouncedPieces:
        made = await orders.announce(call.connection, id, line_id, body.serials, by=call.principal)
        return AnnouncedPieces(component_ids=made)

    return await idempotency.once(request, call, key, work, status=201)


@router.post("/orders/{id}/cancel", responses=documented(404, 409), response_model=OrderWithLines)
async def cancel_order(
    call: WriteOrders, request: Request, id: NumberPath, body: OrderCancellation, key: idempotency.Key = None
) -> Response:
    """Call off what is still to come; doing it twice changes nothing."""

    async def work() -> OrderWithLines:
        done = await orders.cancel(call.connection, id, reason=body.reason, line_ids=body.line_ids, by=call.principal)
        return await _whole(call, done)

    return await idempotency.once(request, call, key, work)


@router.get("/orders/{id}/receipts", responses=documented(404))
async def list_receipts(call: ReadOrders, id: NumberPath, query: Annotated[PageQuery, Query()]) -> Page[Receipt]:
    """Who received what when, by number."""
    await orders.find_order(call.connection, id)
    after = decode_cursor(query.cursor, int) or (0,)
    found = await receiving.receipts_of(call.connection, id, after=after[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "receipt_id")
    return Page(items=[_receipt(each) for each in kept], next=cursor)


@router.post("/orders/{id}/receipts", status_code=201, responses=documented(404, 409), response_model=Received)
async def receive(
    call: WriteOrders, request: Request, id: NumberPath, body: NewReceipt, key: idempotency.Key = None
) -> Response:
    """Enter a delivery: pieces that were announced become stock, others are entered. More than ordered is refused."""

    async def work() -> Received:
        made = await receiving.receive(call.connection, id, _delivery(body), by=call.principal)
        order = await _whole(call, await orders.find_order(call.connection, id))
        return Received(receipts=[_receipt(each) for each in made], order=order)

    return await idempotency.once(request, call, key, work, status=201)


def _delivery(body: NewReceipt) -> receiving.Delivery:
    lines = tuple(
        receiving.ReceivedLine(
            each.line_id, tuple(receiving.Piece(**piece.model_dump()) for piece in each.pieces), each.location
        )
        for each in body.lines
    )
    return receiving.Delivery(lines, **body.model_dump(exclude={"lines"}))


async def _whole(call: Call, found: orders.Order) -> OrderWithLines:
    lines = await orders.lines_of(call.connection, found.order_id)
    return OrderWithLines(**_header(found), lines=[_line(each) for each in lines])


async def _tagged(call: Call, outcome: orders.Order | Outdated, response: Response) -> OrderWithLines:
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return await _whole(call, outcome)


def _header(found: orders.Order) -> dict[str, Any]:
    names = Order.model_fields.keys() - {"id"}
    return {"id": found.order_id, **{name: getattr(found, name) for name in names}}


def _line(found: orders.OrderLine) -> OrderLine:
    names = OrderLine.model_fields.keys() - {"id"}
    return OrderLine(id=found.order_line_id, **{name: getattr(found, name) for name in names})


def _receipt(found: receiving.Receipt) -> Receipt:
    names = Receipt.model_fields.keys() - {"id", "line_id"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    return Receipt(id=found.receipt_id, line_id=found.order_line_id, **values)
