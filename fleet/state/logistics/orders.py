"""Purchase orders: what was ordered from whom, in lines, and what of it is still to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg.errors import UniqueViolation

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.ledger.steps import ComponentStep, take_component_step
from fleet.state.lifecycle import ComponentState
from fleet.state.logistics.common import place_id, seller_id, taken
from fleet.state.registry import components
from fleet.state.registry.checks import checked, day
from fleet.state.registry.components import NewComponent
from fleet.state.registry.editing import Outdated, merged
from fleet.state.registry.models import find_model

_SQL = load_queries("fleet.state.logistics", "orders.sql")
MAX_LINES = 200


@dataclass(frozen=True, slots=True)
class Order:
    """A purchase order; `organisation` buys and gets the pieces (slugs). `expected_on` is when the next are to come.

    `quantity` and `received` are sums over its lines, in pieces.
    """

    order_id: int
    organisation: str | None
    organisation_id: int | None
    supplier: str
    reference: str | None
    supplier_reference: str | None
    ordered_on: date
    currency: str
    note: str
    state: str
    ended_at: datetime | None
    cancelled_reason: str | None
    quantity: int
    received: int
    expected_on: date | None
    revision: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OrderLine:
    """So many of a model at a price each; `location` is where they are to come, `state` open, received or cancelled."""

    order_line_id: int
    order_id: int
    organisation_id: int | None
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
    cancelled_at: datetime | None
    cancelled_reason: str | None
    state: str


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line to order; the warranty counts from when the pieces are received."""

    model_id: int
    quantity: int
    price: Decimal | None = None
    location: str | None = None
    warranty_months: int | None = None
    expected_on: date | None = None


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to enter; without `ordered_on` it is of today."""

    supplier: str
    lines: tuple[NewLine, ...]
    organisation: str | None = None
    reference: str | None = None
    supplier_reference: str | None = None
    ordered_on: date | None = None
    currency: str = "DKK"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """An order, locked by whoever holds this."""

    order_id: int
    state: str
    organisation_id: int | None
    revision: int


FILTERS = ("state", "organisation", "supplier", "reference", "model_id", "expected_before")
EDITABLE = ("reference", "supplier_reference", "note")
LINE_EDITABLE = ("location", "quantity", "price", "warranty_months", "expected_on")


async def list_orders(connection: Connection, *, after: int = 0, limit: int = 100, **chosen: Any) -> list[Order]:
    """Orders by number; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys((*FILTERS, "id")), **chosen, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["list"], values, Order)


async def find_order(connection: Connection, order_id: int) -> Order:
    """One order; raises NotFoundError."""
    found = await list_orders(connection, id=order_id, limit=1)
    if not found:
        raise NotFoundError("order", str(order_id))
    return found[0]


async def lines_of(connection: Connection, order_id: int) -> list[OrderLine]:
    """The lines of an order, in the order they were entered."""
    return await fetch_all(connection, _SQL["lines"], {"order_id": order_id}, OrderLine)


async def place_order(connection: Connection, new: NewOrder) -> Order:
    """Enter an order with its lines, with a supplier or a lessor.

    Raises InvalidError, and ConflictError when its reference is taken.
    """
    checked({"currency": new.currency, "note": new.note})
    if new.ordered_on is not None:
        _checked_day("ordered_on", new.ordered_on)
    async with connection.transaction():
        organisation_id = await organisations.id_of(connection, new.organisation)
        supplier_id = await seller_id(connection, new.supplier, field="supplier")
        values = {**asdict(new), "organisation_id": organisation_id, "supplier_id": supplier_id}
        try:
            async with connection.transaction():
                order_id = await fetch_value(connection, _SQL["add"], values)
        except UniqueViolation:
            raise ConflictError(f"there is an order with the reference {new.reference} already") from None
        await _add_lines(connection, order_id, organisation_id, new.lines)
        return await find_order(connection, order_id)


async def edit_order(
    connection: Connection, order_id: int, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Order | Outdated:
    """Change fields of `EDITABLE`, also after its end; raises NotFoundError, InvalidError, ConflictError."""
    checked({"note": changes.get("note")})
    async with connection.transaction():
        held = await hold(connection, order_id)
        if revisions is not None and held.revision not in revisions:
            return Outdated(held.revision)
        before = await find_order(connection, order_id)
        values = {**merged(before, changes, EDITABLE), "id": order_id}
        try:
            async with connection.transaction():
                await connection.execute(_SQL["edit"], values)
        except UniqueViolation:
            raise ConflictError(f"there is an order with the reference {values['reference']} already") from None
        return await _touched(connection, order_id)


async def add_lines(connection: Connection, order_id: int, new: Sequence[NewLine]) -> Order:
    """Order more with an open order; raises NotFoundError, InvalidError, ConflictError."""
    async with connection.transaction():
        held = await hold(connection, order_id)
        _check_open(held)
        await _add_lines(connection, order_id, held.organisation_id, new)
        return await _touched(connection, order_id)


async def edit_line(
    connection: Connection,
    order_id: int,
    line_id: int,
    changes: Mapping[str, Any],
    *,
    revisions: frozenset[int] | None = None,
) -> Order | Outdated:
    """Change fields of `LINE_EDITABLE` of a line that is still to come; the quantity not below what was received."""
    async with connection.transaction():
        held = await hold(connection, order_id)
        if revisions is not None and held.revision not in revisions:
            return Outdated(held.revision)
        before = line_among(await lines_of(connection, order_id), line_id)
        if before.state != "open":
            raise ConflictError(f"line {line_id} is {before.state}")
        values = _checked_line(merged(before, changes, LINE_EDITABLE))
        if values["quantity"] < max(before.received, 1):
            raise ConflictError(f"{before.received} of line {line_id} were received already")
        values |= {"line_id": line_id, "location_id": await place_id(connection, values["location"])}
        await connection.execute(_SQL["edit_line"], values)
        await settle(connection, order_id)
        return await _touched(connection, order_id)


async def cancel(
    connection: Connection, order_id: int, *, reason: str, by: Principal, line_ids: Sequence[int] | None = None
) -> Order:
    """Call off what is still to come, of some lines or of all; announced pieces leave the books as returned.

    An order with nothing more to come ends by it. Doing it twice changes nothing. Raises NotFoundError, ConflictError.
    """
    async with connection.transaction():
        held = await hold(connection, order_id)
        lines = await lines_of(connection, order_id)
        chosen = lines if line_ids is None else [line_among(lines, each) for each in line_ids]
        if held.state == "received" and line_ids is None:
            raise ConflictError(f"order {order_id} was received: nothing is to come")
        open_ids = [line.order_line_id for line in chosen if line.state == "open"]
        if not open_ids:
            return await find_order(connection, order_id)
        step = ComponentStep(ComponentState.RETURNED, reason=reason)
        for component_id, serial in (await announced(connection, open_ids)).items():
            taken(await take_component_step(connection, component_id, step, by=by), f"component {serial}")
        await connection.execute(_SQL["cancel_lines"], {"line_ids": open_ids, "reason": reason})
        await settle(connection, order_id)
        return await _touched(connection, order_id)


async def announce(
    connection: Connection, order_id: int, line_id: int, serials: Sequence[str], *, by: Principal
) -> list[int]:
    """Enter the pieces whose serial numbers the supplier has told, as ordered; gives their numbers.

    Raises NotFoundError, InvalidError, and ConflictError when they are more than are still to come.
    """
    async with connection.transaction():
        held = await hold(connection, order_id)
        _check_open(held)
        order = await find_order(connection, order_id)
        line = line_among(await lines_of(connection, order_id), line_id)
        known = await announced(connection, [line_id])
        if line.state != "open" or line.received + len(known) + len(serials) > line.quantity:
            to_come = max(line.quantity - line.received, 0)
            raise ConflictError(f"{to_come} of line {line_id} are to come, {len(known)} of them announced already")
        new = [entered(order, line, serial, state="ordered") for serial in serials]
        return await components.add_components(connection, new, by=by)


def entered(order: Order, line: OrderLine, serial: str, **more: Any) -> NewComponent:
    """A piece as a line of an order describes it."""
    return NewComponent(
        model_id=line.model_id,
        serial=serial,
        organisation=order.organisation,
        supplier=order.supplier,
        order_line_id=line.order_line_id,
        purchased_on=order.ordered_on,
        price=line.price,
        currency=order.currency,
        **more,
    )


async def announced(connection: Connection, line_ids: Sequence[int]) -> dict[int, str]:
    """The pieces of these lines that were announced and did not come yet: number → serial."""
    rows = await fetch_dicts(connection, _SQL["announced"], {"line_ids": list(line_ids)})
    return {row["component_id"]: row["serial"] for row in rows}


async def hold(connection: Connection, order_id: int) -> Held:
    """Lock an order until the transaction ends; whoever changes its lines holds it. Raises NotFoundError."""
    found = await fetch_one(connection, _SQL["lock"], {"id": order_id}, Held)
    if found is None:
        raise NotFoundError("order", str(order_id))
    return found


async def settle(connection: Connection, order_id: int) -> None:
    """End an order when nothing more is to come."""
    await connection.execute(_SQL["settle"], {"id": order_id})


def line_among(lines: Sequence[OrderLine], line_id: int) -> OrderLine:
    """The line of this number; raises NotFoundError."""
    for line in lines:
        if line.order_line_id == line_id:
            return line
    raise NotFoundError("order line", str(line_id))


async def touch(connection: Connection, order_id: int) -> None:
    """A change of a line is one of the order: its revision rises."""
    await connection.execute(_SQL["touch"], {"id": order_id})


async def _touched(connection: Connection, order_id: int) -> Order:
    await touch(connection, order_id)
    return await find_order(connection, order_id)


async def _add_lines(
    connection: Connection, order_id: int, organisation_id: int | None, new: Sequence[NewLine]
) -> None:
    if len(await lines_of(connection, order_id)) + len(new) > MAX_LINES:
        raise InvalidError("lines", f"at most {MAX_LINES}")
    for line in new:
        values = _checked_line(asdict(line))
        await _check_model(connection, line.model_id)
        values |= {
            "order_id": order_id,
            "organisation_id": organisation_id,
            "location_id": await place_id(connection, line.location),
        }
        await connection.execute(_SQL["add_line"], values)


async def _check_model(connection: Connection, model_id: int) -> None:
    try:
        await find_model(connection, model_id)
    except NotFoundError as error:
        raise InvalidError("model_id", str(error)) from None


def _checked_line(values: dict[str, Any]) -> dict[str, Any]:
    if values["expected_on"] is not None:
        _checked_day("expected_on", values["expected_on"])
    return checked(values)


def _checked_day(field: str, value: date) -> None:
    try:
        day(value)
    except ValueError as error:
        raise InvalidError(field, str(error)) from None


def _check_open(held: Held) -> None:
    if held.state != "open":
        raise ConflictError(f"order {held.order_id} is {held.state}: place a new one")
