"""Reservations: a number of a model at a place, a certain piece or a kit is kept for a placement or a planned visit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from psycopg.errors import ExclusionViolation

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.ledger.assigning import check_may_own
from fleet.state.lifecycle import ComponentState, KitState
from fleet.state.logistics import stock
from fleet.state.logistics.common import check_visit, location_of, moment_of
from fleet.state.registry.checks import day
from fleet.state.registry.editing import Outdated, merged
from fleet.state.registry.models import find_model

_SQL = load_queries("fleet.state.logistics", "reservations.sql")

FREE_KITS = frozenset({KitState.IN_STOCK, KitState.PREPARING, KitState.READY})
"""States of a kit that can be kept for somebody."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is kept for whom; `reserved_until` is the last day. Past it the state reads `expired` and nothing is kept.

    `location` and `quantity` belong to a model; `serial` is null when the piece is somebody else's by now.
    """

    reservation_id: int
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
    state: str
    ended_at: datetime | None
    ended_reason: str | None
    actor: str
    revision: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewReservation:
    """What to keep: a model (from a location, of an organisation's stock, or else of the location's), a piece or a kit.

    For a placement (its number) or a visit (a number such as V-2041), or both. `beyond_stock` says that more than
    there is free now is meant, since more is to come until then.
    """

    model_id: int | None = None
    location: str | None = None
    organisation: str | None = None
    quantity: int = 1
    component_id: int | None = None
    kit: str | None = None
    placement_id: int | None = None
    visit: str | None = None
    reserved_from: date | None = None
    reserved_until: date | None = None
    beyond_stock: bool = False


@dataclass(frozen=True, slots=True)
class _Locked:
    reservation_id: int
    state: str
    revision: int


FILTERS = ("state", "organisation", "model_id", "location", "component_id", "kit", "placement_id", "visit")
EDITABLE = ("reserved_from", "reserved_until", "visit", "placement_id")


async def list_reservations(
    connection: Connection, *, after: int = 0, limit: int = 100, **chosen: Any
) -> list[Reservation]:
    """Reservations by number; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys((*FILTERS, "id")), **chosen, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["list"], values, Reservation)


async def find_reservation(connection: Connection, reservation_id: int) -> Reservation:
    """One reservation; raises NotFoundError."""
    found = await list_reservations(connection, id=reservation_id, limit=1)
    if not found:
        raise NotFoundError("reservation", str(reservation_id))
    return found[0]


async def reserve(connection: Connection, new: NewReservation, *, by: Principal) -> Reservation:
    """Keep something for somebody; raises InvalidError, ForbiddenError, and ConflictError when it is not to be had."""
    check(new)
    async with connection.transaction():
        today = (await moment_of(connection, None)).astimezone(UTC).date()
        if new.reserved_until is not None and new.reserved_until < today:
            raise InvalidError("reserved_until", "is over")
        if new.placement_id is not None:
            await _check_placement(connection, new.placement_id)
        values: dict[str, Any] = {**asdict(new), "actor": by.actor, "location_id": None, "kit_id": None}
        if new.model_id is not None:
            values |= await _of_model(connection, new, new.model_id)
        elif new.component_id is not None:
            values |= await _of_thing(connection, "piece", {"component_id": new.component_id}, by)
        else:
            values |= await _of_thing(connection, "kit", {"kit": new.kit}, by)
        try:
            async with connection.transaction():
                made = await fetch_value(connection, _SQL["add"], values)
        except ExclusionViolation:
            raise ConflictError("it is reserved already in that time") from None
        return await find_reservation(connection, made)


async def change_reservation(
    connection: Connection, reservation_id: int, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Reservation | Outdated:
    """Change fields of `EDITABLE` of one that is active; raises NotFoundError, InvalidError, ConflictError."""
    async with connection.transaction():
        held = await _locked(connection, reservation_id)
        if revisions is not None and held.revision not in revisions:
            return Outdated(held.revision)
        if held.state != "active":
            raise ConflictError(f"reservation {reservation_id} is {held.state}: make a new one")
        values = merged(await find_reservation(connection, reservation_id), changes, EDITABLE)
        if values["reserved_from"] is None:
            raise InvalidError("reserved_from", "cannot be empty")
        _check_for(values["visit"], values["placement_id"])
        _check_days(values["reserved_from"], values["reserved_until"])
        if changes.get("placement_id") is not None:
            await _check_placement(connection, changes["placement_id"])
        try:
            async with connection.transaction():
                await connection.execute(_SQL["edit"], {**values, "id": reservation_id})
        except ExclusionViolation:
            raise ConflictError("it is reserved already in that time") from None
        return await find_reservation(connection, reservation_id)


async def end_reservation(
    connection: Connection,
    reservation_id: int,
    *,
    outcome: Literal["fulfilled", "released"],
    reason: str | None = None,
) -> Reservation:
    """Say that it was used, or is not needed any more; the same twice changes nothing.

    Raises NotFoundError, and ConflictError when it ended in another way.
    """
    async with connection.transaction():
        held = await _locked(connection, reservation_id)
        if held.state not in ("active", outcome):
            raise ConflictError(f"reservation {reservation_id} is {held.state} already")
        if held.state == "active":
            values = {"id": reservation_id, "state": outcome, "reason": reason}
            await connection.execute(_SQL["end"], values)
        return await find_reservation(connection, reservation_id)


def check(new: NewReservation) -> None:
    """Refuse what nothing in the books makes right; raises InvalidError."""
    given = [new.model_id is not None, new.component_id is not None, new.kit is not None]
    if sum(given) != 1:
        raise InvalidError("model_id", "give either a model, a component or a kit")
    if new.model_id is None and (new.location is not None or new.organisation is not None or new.quantity != 1):
        raise InvalidError("location", "location, organisation and quantity go with a model only")
    if new.model_id is not None and new.location is None:
        raise InvalidError("location", "from which place?")
    _check_for(new.visit, new.placement_id)
    _check_days(new.reserved_from, new.reserved_until)


async def _of_model(connection: Connection, new: NewReservation, model_id: int) -> dict[str, Any]:
    """Where it is kept and whose it is, once enough of it is free."""
    try:
        await find_model(connection, model_id)
    except NotFoundError as error:
        raise InvalidError("model_id", str(error)) from None
    assert new.location is not None
    place = await location_of(connection, new.location)
    organisation_id = await organisations.id_of(connection, new.organisation or place.organisation)
    await connection.execute(_SQL["turn"], {"model_id": model_id, "location_id": place.location_id})
    there = await stock.free(connection, model_id, place.location_id, organisation_id)
    if there < new.quantity and not new.beyond_stock:
        detail = f"{max(there, 0)} are free at {place.slug}, {new.quantity} are wanted"
        raise ConflictError(f"{detail}; send beyond_stock if more are to come until then")
    return {"location_id": place.location_id, "organisation_id": organisation_id}


async def _of_thing(connection: Connection, query: str, about: Mapping[str, Any], by: Principal) -> dict[str, Any]:
    """Which piece or kit it is, once it can be kept for somebody."""
    rows = await fetch_dicts(connection, _SQL[query], about)
    ((field, given),) = about.items()
    if not rows:
        raise InvalidError(field, f"there is no {given}")
    found = rows[0]
    check_may_own(by, Permission.STOCK_WRITE, found["organisation_id"], found["owner_id"])
    free = FREE_KITS if query == "kit" else {ComponentState.IN_STOCK}
    if found["state"] not in free:
        raise ConflictError(f"{found['name']} is {found['state']}: only what is in stock can be reserved")
    number = {"kit_id": found["kit_id"]} if query == "kit" else {"component_id": found["component_id"]}
    return {**number, "organisation_id": found["organisation_id"]}


async def _check_placement(connection: Connection, placement_id: int) -> None:
    rows = await fetch_dicts(connection, _SQL["placement"], {"placement_id": placement_id})
    if not rows:
        raise InvalidError("placement_id", f"there is no placement {placement_id}")
    if rows[0]["state"] in ("ended", "cancelled"):
        raise ConflictError(f"placement {placement_id} is {rows[0]['state']}")


def _check_for(visit: str | None, placement_id: int | None) -> None:
    check_visit(visit)
    if visit is None and placement_id is None:
        raise InvalidError("visit", "for which placement or visit?")


def _check_days(first: date | None, last: date | None) -> None:
    for name, value in (("reserved_from", first), ("reserved_until", last)):
        try:
            if value is not None:
                day(value)
        except ValueError as error:
            raise InvalidError(name, str(error)) from None
    if first is not None and last is not None and last < first:
        raise InvalidError("reserved_until", "is before the first day")


async def _locked(connection: Connection, reservation_id: int) -> _Locked:
    found = await fetch_one(connection, _SQL["lock"], {"id": reservation_id}, _Locked)
    if found is None:
        raise NotFoundError("reservation", str(reservation_id))
    return found
