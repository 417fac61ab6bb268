"""Orders and receiving: what is to come, and a delivery entered line by line, in part too, with a scanner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import orders as api
from fleet.api.auth import Call
from fleet.api.console import handlingwords
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.orders import OrderQuery, ReadOrders, WriteOrders
from fleet.api.shapes import NumberPath
from fleet.errors import ConflictError, InvalidError
from fleet.state.logistics import orders, receiving
from fleet.state.logistics.codes import readings
from fleet.state.logistics.orders import OrderLine
from fleet.state.logistics.receiving import Delivery, Piece, ReceivedLine
from fleet.state.registry import locations
from fleet.state.texts import bad_text

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 100
SHOWN_RECEIPTS = 20
SUGGESTED_PLACES = 200
ANNOUNCED_LINES = 50
"""Lines whose announced pieces are looked up."""
MAX_SERIAL = 100
MOST_TEXT = 120_000
UNCALIBRATED = frozenset({"tablet", "sim"})
Errors = dict[str, str | tuple[object, ...]]


class ReceiptForm(ConsoleForm):
    """A delivery: for each line the serial numbers, one in a row, and whether those that were announced came."""

    line: list[str] = Field(default_factory=list, max_length=orders.MAX_LINES)
    serials: list[Annotated[str, Field(max_length=MOST_TEXT)]] = Field(
        default_factory=list, max_length=orders.MAX_LINES
    )
    calibrated: list[str] = Field(default_factory=list, max_length=orders.MAX_LINES)
    announced: list[str] = Field(default_factory=list, max_length=orders.MAX_LINES)
    location: str = Field("", max_length=200)
    delivery_note: str = Field("", max_length=100)
    accept_excess: str = Field("", max_length=10)


class CancelForm(ConsoleForm):
    """Why what is still to come is called off."""

    reason: str = Field("", max_length=200)


@dataclass(frozen=True, slots=True)
class Coming:
    """A line as the form shows it: what is to come of it, what was announced, and what was typed."""

    line: OrderLine
    announced: Sequence[str]
    serials: str = ""
    calibrated: str = ""
    all_announced: bool = False

    @property
    def to_come(self) -> int:
        """How many are still to come."""
        return max(self.line.quantity - self.line.received, 0)

    @property
    def calibrates(self) -> bool:
        """Whether pieces of the kind may come with a calibration."""
        return self.line.kind not in UNCALIBRATED

    @property
    def key(self) -> str:
        """What its fields are called after."""
        return f"line-{self.line.order_line_id}"

    def came(self) -> list[str]:
        """The serial numbers that came."""
        typed = [(readings(row) or [row.strip()])[-1] for row in self.serials.splitlines() if row.strip()]
        also = set(self.announced) - set(typed) if self.all_announced else set()
        return [*(each for each in self.announced if each in also), *typed]


@router.get("/orders")
async def orders_page(request: Request, call: ReadOrders, query: Annotated[OrderQuery, Query()]) -> Response:
    """Orders, those that are open when nothing else is asked for."""
    query = query.model_copy(update={"state": query.state or "open", "limit": SHOWN})
    found = await api.list_orders(call, query)
    asked = query.model_dump(exclude_none=True, mode="json", exclude={"cursor", "limit"})
    return render(
        request,
        "orders.html",
        live=False,
        orders=found.items,
        state=query.state,
        today=date.today(),  # noqa: DTZ011 - days of delivery are told in days
        next_query=urlencode({**asked, "cursor": found.next}) if found.next else None,
    )


@router.get("/orders/{id}")
async def order_page(request: Request, call: ReadOrders, id: NumberPath) -> Response:
    """One order: its lines, what came when, and the form of a delivery."""
    return await _page(request, call, id)


@router.post("/orders/{id}/receive")
async def receive(
    request: Request, call: WriteOrders, id: NumberPath, form: Annotated[ReceiptForm, Form()]
) -> Response:
    """Enter a delivery, all of it or nothing; what is wrong stands beside its line, with all that was typed."""
    coming = await _coming(call, id, form)
    errors = await _errors(call, form, coming)
    refused = None
    if not errors:
        try:
            await receiving.receive(call.connection, id, _delivery(form, coming), by=call.principal)
            return RedirectResponse(f"/orders/{id}", HTTPStatus.SEE_OTHER)
        except (ConflictError, InvalidError) as error:
            refused = handlingwords.said(language_of(request), error)
    return await _page(request, call, id, coming=coming, errors=errors, refused=refused, sent=form)


@router.post("/orders/{id}/cancel")
async def cancel(request: Request, call: WriteOrders, id: NumberPath, form: Annotated[CancelForm, Form()]) -> Response:
    """Call off what is still to come."""
    reason = form.reason.strip()
    if not reason or bad_text(reason):
        errors: Errors = {"reason": "scan_bad_reason" if reason else "scan_needs_reason"}
        return await _page(request, call, id, errors=errors, cancelling=form)
    try:
        await orders.cancel(call.connection, id, reason=reason, by=call.principal)
    except ConflictError as error:
        return await _page(request, call, id, refused=handlingwords.said(language_of(request), error), cancelling=form)
    return RedirectResponse(f"/orders/{id}", HTTPStatus.SEE_OTHER)


async def _coming(call: Call, id: int, form: ReceiptForm) -> list[Coming]:
    """The lines of which something may come, with what the form says of each; all empty without a form."""
    await orders.find_order(call.connection, id)
    typed = dict(zip(form.line, zip(form.serials, form.calibrated, strict=False), strict=False))
    made: list[Coming] = []
    for line in await orders.lines_of(call.connection, id):
        key = str(line.order_line_id)
        if line.state == "cancelled" or (line.state != "open" and key not in typed):
            continue
        known: Mapping[int, str] = {}
        if len(made) < ANNOUNCED_LINES:
            known = await orders.announced(call.connection, [line.order_line_id])
        serials, calibrated = typed.get(key, ("", ""))
        announced = [serial for _, serial in sorted(known.items())]
        made.append(Coming(line, announced, serials, calibrated, key in form.announced))
    return made


async def _errors(call: Call, form: ReceiptForm, coming: Sequence[Coming]) -> Errors:
    errors: Errors = {}
    for each in coming:
        if wrong := _wrong(each, accept_excess=bool(form.accept_excess)):
            errors[each.key] = wrong
        if each.calibrated and _day(each.calibrated) is None:
            errors[f"{each.key}-calibrated"] = "order_no_day"
    place = form.location.strip()
    if place and await locations.location_called(call.connection, place) is None:
        errors["location"] = "scan_no_such_place"
    elif not place and any(each.came() and each.line.location is None for each in coming):
        errors["location"] = "order_needs_place"
    if bad_text(form.delivery_note.strip()):
        errors["delivery_note"] = "scan_bad_reason"
    came = sum(len(each.came()) for each in coming)
    if not came:
        errors["nothing"] = "order_nothing"
    elif came > receiving.MAX_PIECES:
        errors["nothing"] = ("order_too_many_at_once", receiving.MAX_PIECES)
    return errors


def _wrong(coming: Coming, *, accept_excess: bool) -> str | tuple[object, ...] | None:
    came = coming.came()
    for serial in came:
        if len(serial) > MAX_SERIAL or not serial.isprintable() or bad_text(serial):
            return ("order_bad_serial", serial[:MAX_SERIAL])
    if twice := sorted(serial for serial, times in Counter(came).items() if times > 1):
        return ("order_twice", ", ".join(twice[:5]))
    if len(came) > coming.to_come and not accept_excess:
        return ("order_excess", len(came), coming.to_come)
    return None


def _delivery(form: ReceiptForm, coming: Sequence[Coming]) -> Delivery:
    lines = [
        ReceivedLine(
            each.line.order_line_id,
            tuple(Piece(serial, calibrated_on=_day(each.calibrated)) for serial in each.came()),
        )
        for each in coming
        if each.came()
    ]
    return Delivery(
        tuple(lines),
        location=form.location.strip() or None,
        delivery_note=form.delivery_note.strip() or None,
        accept_excess=bool(form.accept_excess),
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


async def _page(
    request: Request,
    call: Call,
    id: int,
    *,
    coming: Sequence[Coming] | None = None,
    errors: Errors | None = None,
    refused: str | None = None,
    sent: ReceiptForm | None = None,
    cancelling: CancelForm | None = None,
) -> Response:
    may_write = call.principal.may(Permission.ORDERS_WRITE)
    order = await orders.find_order(call.connection, id)
    receipts = await receiving.receipts_of(call.connection, id, limit=orders.MAX_LINES)
    if coming is None:
        coming = await _coming(call, id, ReceiptForm()) if may_write else []
    values: dict[str, Any] = {"errors": errors or {}, "refused": refused, "sent": sent or ReceiptForm()}
    return render(
        request,
        "order.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.CONFLICT if refused else HTTPStatus.OK,
        path=f"/orders/{id}",
        live=False,
        order=order,
        lines=await orders.lines_of(call.connection, id),
        coming=coming,
        receipts=list(reversed(receipts))[:SHOWN_RECEIPTS],
        cancelling=cancelling or CancelForm(),
        may_write=may_write,
        places=await locations.list_locations(call.connection, active=True, limit=SUGGESTED_PLACES),
        **values,
    )
