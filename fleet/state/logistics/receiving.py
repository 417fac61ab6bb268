"""Receiving: what came, against which line of an order, all of a delivery or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_value
from fleet.errors import ConflictError, InvalidError
from fleet.state.ledger.steps import ComponentStep, take_component_step
from fleet.state.lifecycle import ComponentState
from fleet.state.logistics import orders
from fleet.state.logistics.common import location_of, moment_of, months_after, taken
from fleet.state.logistics.orders import Order, OrderLine
from fleet.state.registry import components
from fleet.state.registry.calibrations import Calibration, calibrate
from fleet.state.registry.locations import Location

_SQL = load_queries("fleet.state.logistics", "receiving.sql")
MAX_PIECES = 1000


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece that came, with what is printed on it and on its certificate."""

    serial: str
    asset_tag: str | None = None
    imei: str | None = None
    iccid: str | None = None
    bluetooth_address: str | None = None
    system_id: str | None = None
    firmware: str | None = None
    calibrated_on: date | None = None
    calibration_due: date | None = None
    calibrated_by: str | None = None
    calibration_certificate: str | None = None


@dataclass(frozen=True, slots=True)
class ReceivedLine:
    """What came of a line; `location` (a slug) where it is not the delivery's."""

    line_id: int
    pieces: tuple[Piece, ...]
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery; `accept_excess` says that more than was ordered is meant. `received_at` is now when not given.

    Where the pieces are: the location of the received line, else of the delivery, else of the order's line.
    """

    lines: tuple[ReceivedLine, ...]
    location: str | None = None
    delivery_note: str | None = None
    received_at: datetime | None = None
    accept_excess: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """So many pieces received against a line; `component_ids` are their numbers in the books."""

    receipt_id: int
    order_id: int
    order_line_id: int
    quantity: int
    component_ids: list[int]
    location: str | None
    received_at: datetime
    delivery_note: str | None
    actor: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What came of one line, and where it is now; `told_at` is when it came, where somebody said so."""

    order: Order
    line: OrderLine
    pieces: tuple[Piece, ...]
    place: Location
    at: datetime
    told_at: datetime | None
    delivery_note: str | None

    @property
    def warranty_until(self) -> date | None:
        months = self.line.warranty_months
        return None if months is None else months_after(self.at.astimezone(UTC).date(), months)


_IDENTITIES = ("asset_tag", "imei", "iccid", "bluetooth_address", "system_id", "firmware")


async def receive(connection: Connection, order_id: int, delivery: Delivery, *, by: Principal) -> list[Receipt]:
    """Enter a delivery, all or nothing: pieces announced for a line become stock, others are entered as stock.

    The order ends when nothing more is to come. Raises NotFoundError, InvalidError, and ConflictError when more came
    than was ordered, or a serial number is in the books already.
    """
    _check(delivery)
    async with connection.transaction():
        held = await orders.hold(connection, order_id)
        if held.state == "cancelled":
            raise ConflictError(f"order {order_id} is cancelled: place a new one")
        order = await orders.find_order(connection, order_id)
        lines = await orders.lines_of(connection, order_id)
        at = await moment_of(connection, delivery.received_at, field="received_at")
        made: list[int] = []
        for came in delivery.lines:
            line = orders.line_among(lines, came.line_id)
            check_quantity(line, len(came.pieces), accept_excess=delivery.accept_excess)
            place = await _place(connection, came.location or delivery.location or line.location)
            arrival = _Arrival(order, line, came.pieces, place, at, delivery.received_at, delivery.delivery_note)
            made.append(await _note(connection, arrival, await _enter(connection, arrival, by=by), by=by))
        await orders.settle(connection, order_id)
        await orders.touch(connection, order_id)
        return await receipts_of(connection, order_id, limit=len(made), receipt_ids=made)


async def receipts_of(
    connection: Connection,
    order_id: int,
    *,
    after: int = 0,
    limit: int = 100,
    receipt_ids: Sequence[int] | None = None,
) -> list[Receipt]:
    """What was received for an order, by number."""
    values = {
        "order_id": order_id,
        "after": after,
        "limit": limit,
        "receipt_ids": None if receipt_ids is None else list(receipt_ids),
    }
    return await fetch_all(connection, _SQL["list"], values, Receipt)


def check_quantity(line: OrderLine, came: int, *, accept_excess: bool) -> None:
    """Refuse more than was ordered unless that is meant; raises ConflictError."""
    if line.state == "cancelled":
        raise ConflictError(f"line {line.order_line_id} is cancelled: nothing of it was to come")
    to_come = max(line.quantity - line.received, 0)
    if came > to_come and not accept_excess:
        raise ConflictError(
            f"line {line.order_line_id}: {came} came and {to_come} were to come; send accept_excess if that is meant"
        )


def _check(delivery: Delivery) -> None:
    if sum(len(line.pieces) for line in delivery.lines) > MAX_PIECES:
        raise InvalidError("lines", f"at most {MAX_PIECES} pieces at once")
    ids = [line.line_id for line in delivery.lines]
    if len(set(ids)) < len(ids):
        raise InvalidError("line_id", "a line stands twice")
    for line in delivery.lines:
        serials = [each.serial.strip() for each in line.pieces]
        if len(set(serials)) < len(serials):
            raise InvalidError("serial", f"line {line.line_id} has one twice")


async def _place(connection: Connection, text: str | None) -> Location:
    if text is None:
        raise InvalidError("location", "where are they? neither the delivery nor the line of the order says so")
    return await location_of(connection, text)


async def _enter(connection: Connection, arrival: _Arrival, *, by: Principal) -> list[int]:
    """The numbers of the pieces: those announced are moved through the ledger, the others entered."""
    line_ids = [arrival.line.order_line_id]
    numbers = {serial: number for number, serial in (await orders.announced(connection, line_ids)).items()}
    came = {numbers[each.serial.strip()]: each for each in arrival.pieces if each.serial.strip() in numbers}
    for number, piece in sorted(came.items()):
        await _take_in(connection, number, piece, arrival, by=by)
    new = [
        orders.entered(
            arrival.order,
            arrival.line,
            location=arrival.place.slug,
            warranty_until=arrival.warranty_until,
            **asdict(each),
        )
        for each in arrival.pieces
        if each.serial.strip() not in numbers
    ]
    return sorted(came) + await components.add_components(connection, new, by=by)


async def _take_in(
    connection: Connection, component_id: int, piece: Piece, arrival: _Arrival, *, by: Principal
) -> None:
    step = ComponentStep(ComponentState.IN_STOCK, location=arrival.place.slug, occurred_at=arrival.told_at)
    taken(await take_component_step(connection, component_id, step, by=by), f"component {piece.serial}")
    changes = {name: getattr(piece, name) for name in _IDENTITIES if getattr(piece, name) is not None}
    if arrival.warranty_until is not None:
        changes["warranty_until"] = arrival.warranty_until
    await components.edit_component(connection, component_id, changes, by=by)
    if piece.calibrated_on is not None:
        done = Calibration(
            piece.calibrated_on,
            piece.calibrated_by or arrival.order.supplier,
            piece.calibration_due,
            piece.calibration_certificate,
        )
        await calibrate(connection, component_id, done, by=by)


async def _note(connection: Connection, arrival: _Arrival, component_ids: list[int], *, by: Principal) -> int:
    values = {
        "order_id": arrival.line.order_id,
        "line_id": arrival.line.order_line_id,
        "organisation_id": arrival.line.organisation_id,
        "location_id": arrival.place.location_id,
        "component_ids": component_ids,
        "received_at": arrival.at,
        "delivery_note": arrival.delivery_note,
        "actor": by.actor,
    }
    counted = {"line_id": arrival.line.order_line_id, "quantity": len(component_ids)}
    await connection.execute(_SQL["count"], counted)
    return int(await fetch_value(connection, _SQL["note"], values))
