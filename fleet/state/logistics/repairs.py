"""Repairs, returns to a supplier and calibrations: opened when a piece goes away, closed whatever becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from psycopg.errors import UniqueViolation

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.ledger.moves import move_component
from fleet.state.ledger.steps import ComponentStep, take_component_step
from fleet.state.lifecycle import ComponentState
from fleet.state.logistics.common import location_of, moment_of, seller_id, taken
from fleet.state.registry import components
from fleet.state.registry.calibrations import Calibration, calibrate
from fleet.state.registry.checks import checked, day
from fleet.state.registry.components import Component
from fleet.state.registry.editing import Outdated, merged

_SQL = load_queries("fleet.state.logistics", "repairs.sql")
C = ComponentState


class RepairKind(StrEnum):
    """Why a piece is away."""

    REPAIR = "repair"
    SUPPLIER_RETURN = "supplier_return"
    CALIBRATION = "calibration"


class Outcome(StrEnum):
    """What came of it."""

    REPAIRED = "repaired"
    NO_FAULT_FOUND = "no_fault_found"
    CALIBRATED = "calibrated"
    CALIBRATION_FAILED = "calibration_failed"
    NOT_REPAIRED = "not_repaired"
    SCRAPPED = "scrapped"
    RETURNED = "returned"
    WITHDRAWN = "withdrawn"


AWAY: Mapping[RepairKind, ComponentState] = {
    RepairKind.REPAIR: C.IN_REPAIR,
    RepairKind.SUPPLIER_RETURN: C.AT_SUPPLIER,
    RepairKind.CALIBRATION: C.CALIBRATING,
}
"""What a piece is while its record is open."""

BACK: Mapping[Outcome, ComponentState | None] = {
    Outcome.REPAIRED: C.IN_STOCK,
    Outcome.NO_FAULT_FOUND: C.IN_STOCK,
    Outcome.CALIBRATED: C.IN_STOCK,
    Outcome.CALIBRATION_FAILED: C.FAULTY,
    Outcome.NOT_REPAIRED: C.FAULTY,
    Outcome.SCRAPPED: C.SCRAPPED,
    Outcome.RETURNED: C.RETURNED,
    Outcome.WITHDRAWN: None,
}
"""What a piece becomes by the outcome; a record that is withdrawn takes no step, whatever the piece is by now."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A piece away. `state` is what it is now, null when it is somebody else's; `organisation` whose it was then.

    `workshop` has it, under its `workshop_reference`; `expected_on` is when it should be back.
    """

    repair_id: int
    component_id: int
    component_kind: str
    manufacturer: str
    model: str
    serial: str
    state: str | None
    organisation: str | None
    kind: str
    fault: str
    workshop: str | None
    workshop_reference: str | None
    warranty_claim: bool
    warranty_until: date | None
    expected_on: date | None
    cost: Decimal | None
    currency: str
    note: str
    opened_at: datetime
    opened_by: str
    closed_at: datetime | None
    closed_by: str | None
    outcome: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class NewRepair:
    """A piece that goes away, to `location` where that is known; `occurred_at` is when, if not now."""

    component_id: int
    kind: RepairKind
    fault: str = ""
    workshop: str | None = None
    workshop_reference: str | None = None
    warranty_claim: bool = False
    expected_on: date | None = None
    note: str = ""
    location: str | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """What came of it and where the piece is now; a calibration tells when it was done, by which workshop."""

    outcome: Outcome
    location: str | None = None
    reason: str | None = None
    cost: Decimal | None = None
    occurred_at: datetime | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class ToClean:
    """A piece or a kit that waits to be cleaned; `since` is when it came to that."""

    subject: str
    id: int
    kind: str | None
    manufacturer: str | None
    model: str | None
    serial: str | None
    kit: str | None
    organisation: str | None
    location: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class ToCalibrate:
    """A piece whose calibration ends on `calibration_due`, and where it is: at a location, or in a kit.

    `kit_placement_id` is set while the kit is with a citizen, `repair_id` when a record is open for the piece.
    """

    component_id: int
    kind: str
    manufacturer: str
    model: str
    serial: str
    state: str
    organisation: str | None
    location: str | None
    kit: str | None
    kit_state: str | None
    kit_location: str | None
    kit_placement_id: int | None
    calibrated_on: date | None
    calibration_due: date
    repair_id: int | None


@dataclass(frozen=True, slots=True)
class _Locked:
    repair_id: int
    component_id: int
    kind: str
    opened_at: datetime
    closed_at: datetime | None
    revision: int


FILTERS = ("component_id", "kind", "open", "organisation", "workshop", "overdue")
EDITABLE = ("fault", "workshop", "workshop_reference", "warranty_claim", "expected_on", "cost", "currency", "note")


async def list_repairs(connection: Connection, *, after: int = 0, limit: int = 100, **chosen: Any) -> list[Repair]:
    """Records by number; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys((*FILTERS, "id")), **chosen, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["list"], values, Repair)


async def find_repair(connection: Connection, repair_id: int) -> Repair:
    """One record; raises NotFoundError."""
    found = await list_repairs(connection, id=repair_id, limit=1)
    if not found:
        raise NotFoundError("repair", str(repair_id))
    return found[0]


async def open_repair(connection: Connection, new: NewRepair, *, by: Principal) -> Repair:
    """Send a piece away, through the ledger; one that is away already only gets its record.

    Raises InvalidError, NotFoundError, ForbiddenError, and ConflictError when it has an open record or cannot go.
    """
    _check(asdict(new))
    async with connection.transaction():
        workshop_id = await _workshop_id(connection, new.kind, new.workshop)
        at = await moment_of(connection, new.occurred_at)
        piece = await _piece(connection, new.component_id)
        values = {
            **asdict(new),
            "model_id": piece.model_id,
            "serial": piece.serial,
            "organisation_id": piece.organisation_id,
            "owner_id": piece.owner_id,
            "workshop_id": workshop_id,
            "opened_at": at,
            "actor": by.actor,
        }
        try:
            async with connection.transaction():
                repair_id = await fetch_value(connection, _SQL["open"], values)
        except UniqueViolation:
            raise ConflictError(f"component {piece.serial} has an open record already: close that first") from None
        await _take(connection, piece, ComponentStep(AWAY[new.kind], new.location, occurred_at=new.occurred_at), by=by)
        return await find_repair(connection, repair_id)


async def edit_repair(
    connection: Connection, repair_id: int, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Repair | Outdated:
    """Change fields of `EDITABLE`, also after it was closed: bills come late. Raises NotFoundError, InvalidError."""
    async with connection.transaction():
        held = await _locked(connection, repair_id)
        if revisions is not None and held.revision not in revisions:
            return Outdated(held.revision)
        before = await find_repair(connection, repair_id)
        values = merged(before, changes, EDITABLE)
        _check(values)
        # What was entered before only suppliers were taken stays as it is.
        kind = RepairKind(before.kind) if values["workshop"] != before.workshop else RepairKind.REPAIR
        values["workshop_id"] = await _workshop_id(connection, kind, values["workshop"])
        await connection.execute(_SQL["edit"], {**values, "id": repair_id})
        return await find_repair(connection, repair_id)


async def _workshop_id(connection: Connection, kind: RepairKind, workshop: str | None) -> int | None:
    """The number of who has the piece: for a repair anybody; what is returned goes to a supplier or a lessor."""
    if workshop is not None and kind is RepairKind.SUPPLIER_RETURN:
        return await seller_id(connection, workshop, field="workshop")
    return await organisations.id_of(connection, workshop, field="workshop")


async def close_repair(connection: Connection, repair_id: int, closing: Closing, *, by: Principal) -> Repair:
    """Close a record: the piece comes back, or leaves the books, through the ledger.

    A calibration that was done is noted with the piece, passed or failed. A piece that is by now what the outcome makes
    it takes no step. Raises InvalidError, NotFoundError, and ConflictError when it is closed or the step cannot be.
    """
    check_closing(closing)
    async with connection.transaction():
        held = await _locked(connection, repair_id)
        if held.closed_at is not None:
            raise ConflictError(f"repair {repair_id} is closed already")
        at = await moment_of(connection, closing.occurred_at)
        if at < held.opened_at:
            raise InvalidError("occurred_at", "lies before it was opened")
        piece = await _piece(connection, held.component_id)
        if closing.calibration is not None:
            await calibrate(connection, piece.component_id, closing.calibration, by=by)
        target = BACK[closing.outcome]
        if target is not None:
            step = ComponentStep(target, closing.location, closing.reason, closing.occurred_at)
            await _take(connection, piece, step, by=by)
        values = {"id": repair_id, "closed_at": at, "actor": by.actor, "outcome": closing.outcome, "cost": closing.cost}
        await connection.execute(_SQL["close"], values)
        return await find_repair(connection, repair_id)


def check_closing(closing: Closing) -> None:
    """Refuse an outcome without what it needs; raises InvalidError."""
    passed = {Outcome.CALIBRATED: "pass", Outcome.CALIBRATION_FAILED: "fail"}.get(closing.outcome)
    done = closing.calibration
    if passed is not None and done is None:
        raise InvalidError("calibration", "when was it calibrated, and by whom?")
    if done is not None and done.result != (passed or "pass"):
        raise InvalidError("calibration", f"does not go with the outcome {closing.outcome}")
    if closing.outcome is Outcome.WITHDRAWN and (closing.location is not None or done is not None):
        raise InvalidError("outcome", "a record that is withdrawn changes nothing of the piece")
    checked({"price": closing.cost})


async def to_clean(
    connection: Connection, *, after: tuple[datetime, str, int] | None = None, limit: int = 100, **chosen: Any
) -> list[ToClean]:
    """Pieces and kits in cleaning, those that wait longest first; filters `location`, `organisation`."""
    since, subject, number = after or (None, "", 0)
    values = {
        **dict.fromkeys(("location", "organisation")),
        **chosen,
        "since": since or "-infinity",
        "subject": subject,
        "after": number,
        "limit": limit,
    }
    return await fetch_all(connection, _SQL["cleaning"], values, ToClean)


async def to_calibrate(
    connection: Connection,
    *,
    within_days: int = 30,
    after: tuple[date, int] | None = None,
    limit: int = 100,
    **chosen: Any,
) -> list[ToCalibrate]:
    """Pieces whose calibration ends within so many days, the earliest first.

    Filters `kind`, `location` (of the piece or of its kit), `organisation`.
    """
    due, number = after or (None, 0)
    values = {
        **dict.fromkeys(("kind", "location", "organisation")),
        **chosen,
        "within_days": within_days,
        "due": due or "-infinity",
        "after": number,
        "limit": limit,
    }
    return await fetch_all(connection, _SQL["calibration"], values, ToCalibrate)


async def _take(connection: Connection, piece: Component, step: ComponentStep, *, by: Principal) -> None:
    """The step, or only the move where the piece is by now what the step would make it."""
    number, place = piece.component_id, None
    if step.location is not None:
        # A place that is not known is a slip of the pen here, and no place to be made.
        place = (await location_of(connection, step.location)).slug
    if piece.state != step.to:
        outcome = await take_component_step(connection, number, replace(step, location=place), by=by)
        taken(outcome, f"component {piece.serial}")
    elif place is not None and place != piece.location:
        await move_component(connection, number, location=place, occurred_at=step.occurred_at, by=by)


async def _piece(connection: Connection, component_id: int) -> Component:
    try:
        return await components.find_component(connection, component_id)
    except NotFoundError as error:
        raise InvalidError("component_id", str(error)) from None


async def _locked(connection: Connection, repair_id: int) -> _Locked:
    found = await fetch_one(connection, _SQL["lock"], {"id": repair_id}, _Locked)
    if found is None:
        raise NotFoundError("repair", str(repair_id))
    return found


def _check(values: Mapping[str, Any]) -> None:
    checked({"note": values["note"], "price": values.get("cost"), "currency": values.get("currency")})
    if values["expected_on"] is not None:
        try:
            day(values["expected_on"])
        except ValueError as error:
            raise InvalidError("expected_on", str(error)) from None
