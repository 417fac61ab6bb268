"""The part of a visit's forms that says what to bring: suggested kinds of pieces, and where they are in stock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.visits.bringing import Bring
from fleet.alerts.visits.steps import Kind
from fleet.alerts.visits.suggesting import Because, Bundle, Wanted, at_fault, suggest
from fleet.api import alerts, servicerequests
from fleet.api.alerts import Alert, AlertQuery
from fleet.api.auth import Call
from fleet.api.console.login import ConsoleForm
from fleet.api.kitdetail import OPEN_SHOWN, KitSummary, summary
from fleet.api.servicerequests import RequestQuery, ServiceRequest
from fleet.api.visits import BringBody, Line
from fleet.errors import InvalidError, NotFoundError
from fleet.state import reading
from fleet.state.logistics import stock
from fleet.state.logistics.stock import Level
from fleet.state.registry import components, kittypes
from fleet.state.registry.components import Component

MAX_ROWS = 20
MAX_PLACES = 30
"""Places of one kind of piece that a list offers."""
READ_LEVELS = 200

_Rows = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=MAX_ROWS)]


class BringForm(ConsoleForm):
    """What is to be brought, as forms send it.

    `bring` and `quantity` go together row by row, and so does `wanted`, the kind of the row. `piece` is the serial
    number of a certain one.
    """

    wanted: _Rows = Field(default_factory=list)
    bring: _Rows = Field(default_factory=list)
    quantity: _Rows = Field(default_factory=list)
    piece: str = Field("", max_length=100)
    whole_kit: str = Field("", max_length=64)
    beyond_stock: str = Field("", max_length=10)


@dataclass(frozen=True, slots=True)
class Place:
    """Where pieces of a model can be taken from; `value` is what the form sends."""

    value: str
    level: Level


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of piece with where it is to be had; `chosen` is the place, empty when it is not brought."""

    kind: str
    because: Because
    quantity: str
    chosen: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What a visit is planned from: how the kit stands, its pieces, what its type asks for, what is open about it."""

    kit: KitSummary
    bundle: Sequence[Component]
    contents: Mapping[str, int]
    alerts: Sequence[Alert]
    requests: Sequence[ServiceRequest]

    def wanted(self, kind: Kind, until: date, request: str | None = None) -> list[Wanted]:
        """What to bring to a visit of a kind on a day, `request` being what it is for."""
        causes = [each.rule for each in self.alerts]
        causes += [each.cause for each in self.requests if each.number == request]
        evidence = [each.evidence for each in self.alerts] + [each.details for each in self.kit.reasons]
        faulty = {each.kind for each in self.bundle if each.state == "faulty"}
        due = {each.kind for each in self.bundle if each.calibration_due and each.calibration_due <= until}
        pieces = [each.kind for each in self.bundle]
        return suggest(kind, Bundle(self.contents, pieces, at_fault(causes, evidence) | faulty, due))


async def known(call: Call, kit: str) -> Known:
    """What is known of a kit; raises NotFoundError."""
    facts = await reading.get_kit(call.connection, kit)
    active = await alerts.list_alerts(call, AlertQuery(kit=kit, state="active", limit=OPEN_SHOWN))
    unresolved = await servicerequests.list_requests(call, RequestQuery(kit=kit, unresolved=True, limit=OPEN_SHOWN))
    return Known(
        KitSummary(**summary(facts)),
        await components.bundle_of(call.connection, facts.kit_id),
        await _contents(call, facts.kit_type),
        active.items,
        unresolved.items,
    )


async def _contents(call: Call, kit_type: str | None) -> Mapping[str, int]:
    """Kinds of pieces of a type; empty where there is none or it has no list."""
    if kit_type is None:
        return {}
    try:
        return (await kittypes.find_kit_type(call.connection, kit_type)).contents
    except NotFoundError:
        return {}


async def rows_of(call: Call, wanted: Sequence[Wanted], organisation: str | None, sent: BringForm | None) -> list[Row]:
    """A row for each kind, with places the nearest first; as it was sent when it was sent."""
    rows = []
    for each in wanted[:MAX_ROWS]:
        places = await _places(call, each.kind, organisation)
        quantity, chosen = _as_sent(each, sent) or _at_first(each, places)
        rows.append(Row(each.kind, each.because, quantity, chosen, places))
    return rows


async def given(call: Call, form: BringForm) -> list[Bring]:
    """What the form says to bring; raises InvalidError and ValidationError naming the field."""
    chosen = [_model(value, _number(form, at), form) for at, value in enumerate(form.bring) if value]
    if serial := form.piece.strip():
        chosen.append(BringBody(component_id=await piece(call, "piece", serial)))
    if form.whole_kit:
        chosen.append(BringBody.model_validate({"kit": form.whole_kit}))
    return [each.bring() for each in chosen]


async def piece(call: Call, field: str, serial: str) -> int:
    """The piece with a serial number; raises InvalidError when none or several have it."""
    found = await components.list_components(call.connection, serial=serial, limit=2)
    if len(found) != 1:
        raise InvalidError(field, f"{'several pieces have' if found else 'no piece has'} the number {serial!r}")
    return found[0].component_id


def lacking(wanted: Sequence[Wanted], lines: Sequence[Line]) -> list[Wanted]:
    """What is suggested and not on the list yet."""
    there = {line.device for line in lines}
    return [each if each.kind not in there else Wanted(each.kind, 0, Because.SPARE) for each in wanted]


async def _places(call: Call, kind: str, organisation: str | None) -> tuple[Place, ...]:
    """Where pieces of the kind are, or are to come, in stock that the caller may see and that has a place."""
    if not call.principal.may(Permission.STOCK_READ):
        return ()
    found = [
        each
        for each in await stock.levels(call.connection, kind=kind, limit=READ_LEVELS)
        if each.location is not None
        and (each.available > 0 or each.on_order > 0)
        and call.principal.holds(Permission.STOCK_READ, each.organisation_id)
    ]
    found.sort(key=lambda each: (each.available <= 0, each.organisation != organisation, -each.available))
    return tuple(Place(_value(each), each) for each in found[:MAX_PLACES])


def _value(level: Level) -> str:
    return f"{level.model_id}:{level.location}:{level.organisation or ''}"


def _as_sent(wanted: Wanted, sent: BringForm | None) -> tuple[str, str] | None:
    """Quantity and place of the row of this kind."""
    if sent is None or wanted.kind not in sent.wanted:
        return None
    at = sent.wanted.index(wanted.kind)
    chosen = sent.bring[at] if at < len(sent.bring) else ""
    return (sent.quantity[at] if at < len(sent.quantity) else "1"), chosen


def _at_first(wanted: Wanted, places: Sequence[Place]) -> tuple[str, str]:
    """Suggested is what is free at the nearest place."""
    free = next((place.value for place in places if place.level.available >= max(wanted.quantity, 1)), "")
    return str(max(wanted.quantity, 1)), free if wanted.quantity else ""


def _number(form: BringForm, at: int) -> str:
    return form.quantity[at] if at < len(form.quantity) else "1"


def _model(value: str, quantity: str, form: BringForm) -> BringBody:
    model_id, _, place = value.partition(":")
    location, _, organisation = place.partition(":")
    if not model_id.isdecimal() or not location:
        raise InvalidError("bring", "choose it from the list")
    if not quantity.strip().isdecimal():
        raise InvalidError("quantity", "a number from 1")
    body: dict[str, Any] = {
        "model_id": int(model_id),
        "location": location,
        "organisation": organisation or None,
        "quantity": int(quantity),
        "beyond_stock": bool(form.beyond_stock),
    }
    return BringBody.model_validate(body)
