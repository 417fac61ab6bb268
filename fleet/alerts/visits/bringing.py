"""What to bring to a visit: each line is a reservation from the stock of a depot or vehicle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.alerts.visits import store
from fleet.alerts.visits.steps import TO_DO
from fleet.alerts.visits.store import SQL, Line, Locked
from fleet.db.rows import Connection, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.logistics import reservations
from fleet.state.logistics.reservations import NewReservation, Reservation

MAX_LINES = 50


@dataclass(frozen=True, slots=True)
class Bring:
    """What to bring: so many of a model from a location, a certain component, or a kit.

    `beyond_stock` says that more than is free now is meant, since more is to come until then.
    """

    model_id: int | None = None
    location: str | None = None
    organisation: str | None = None
    quantity: int = 1
    component_id: int | None = None
    kit: str | None = None
    beyond_stock: bool = False


async def add(connection: Connection, visit: Locked, wanted: Bring, *, by: Principal) -> int:
    """Reserve one more thing until the planned day; gives the line's number.

    Raises InvalidError, ForbiddenError for whoever has no say about stock, ConflictError when it is not to be had.
    """
    if not by.may(Permission.STOCK_WRITE):
        raise ForbiddenError(f"your role lacks {Permission.STOCK_WRITE}, without which nothing is reserved")
    if visit.state not in TO_DO:
        raise ConflictError(f"visit {visit.number} is {visit.state}: nothing is brought any more")
    if len(await store.lines_of(connection, [visit.visit_id])) >= MAX_LINES:
        raise ConflictError(f"{MAX_LINES} lines at most")
    if visit.planned_on < (await store.moment(connection)).date():
        raise InvalidError("planned_on", "is over: plan the visit anew before something is reserved for it")
    new = NewReservation(
        model_id=wanted.model_id,
        location=wanted.location,
        organisation=wanted.organisation,
        quantity=wanted.quantity,
        component_id=wanted.component_id,
        kit=wanted.kit,
        visit=visit.number,
        reserved_until=visit.planned_on,
        beyond_stock=wanted.beyond_stock,
    )
    made = await reservations.reserve(connection, new, by=by)
    values = {**_told(made), "visit_id": visit.visit_id, "reservation_id": made.reservation_id}
    return int(await fetch_value(connection, SQL["add_line"], values))


async def remove(connection: Connection, visit: Locked, line_id: int) -> None:
    """Do not bring it after all: what was reserved is free again. Raises NotFoundError, ConflictError."""
    values = {"visit_id": visit.visit_id, "line_id": line_id}
    reservation_id = await fetch_value(connection, SQL["find_line"], values)
    if reservation_id is None:
        raise NotFoundError("line", str(line_id))
    if visit.state not in TO_DO:
        raise ConflictError(f"visit {visit.number} is {visit.state}: what was brought stays told")
    await reservations.end_reservation(connection, reservation_id, outcome="released")
    await connection.execute(SQL["remove_line"], values)


async def change(
    connection: Connection, number: str, *, added: list[Bring], removed: list[int], by: Principal
) -> list[Line]:
    """Take lines away and add others, all of it or nothing; gives what to bring then. Raises as `add` and `remove`."""
    async with connection.transaction():
        visit = await store.lock(connection, number)
        for line_id in removed:
            await remove(connection, visit, line_id)
        for wanted in added:
            await add(connection, visit, wanted, by=by)
        await connection.execute(SQL["touch"], {"visit_id": visit.visit_id})
        return await store.lines_of(connection, [visit.visit_id])


def _told(made: Reservation) -> Mapping[str, Any]:
    """A line in words that stay when the stock is somebody else's."""
    if made.kit is not None:
        return {"what": "kit", "model_id": None, "name": made.kit, "device": None, "quantity": 1, "location": None}
    model = f"{made.manufacturer} {made.model}"
    piece = made.component_id is not None
    return {
        "what": "component" if piece else "model",
        "model_id": None if piece else made.model_id,
        "name": f"{model} {made.serial}" if piece else model,
        "device": made.kind,
        "quantity": made.quantity,
        "location": made.location,
    }
