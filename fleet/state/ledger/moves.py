"""To another place, without a step of the lifecycle: location and status are two kinds of event."""

from __future__ import annotations

from datetime import datetime

from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.errors import ConflictError, ForbiddenError, InvalidError
from fleet.state.ledger import places
from fleet.state.ledger.book import Place, value_at
from fleet.state.ledger.events import Event, What
from fleet.state.ledger.log import ComponentRow, KitRow
from fleet.state.ledger.steps import check_reason, component_of, location_place, where
from fleet.state.ledger.store import Connection, Entry, kit_id_of, opened
from fleet.state.ledger.writing import Marks, Moment, moment, write


async def move_kit(
    connection: Connection,
    kit: str,
    *,
    by: Principal,
    location: str | None = None,
    placement: int | None = None,
    occurred_at: datetime | None = None,
    reason: str | None = None,
) -> tuple[int, ...]:
    """Say that a kit is at a location (slug or name), or arrived at the home of a placement (number).

    Raises InvalidError, NotFoundError, ForbiddenError, and ConflictError when it cannot be there in its state.
    """
    if (location is None) == (placement is None):
        raise InvalidError("location", "give a location or a placement")
    _check(location, reason)
    kit_id = await kit_id_of(connection, kit)
    async with connection.transaction(), opened(connection, kits=[kit_id]) as log:
        row = log.kits[kit_id]
        _check_may(by, Permission.KITS_MOVE, row)
        when = moment(log, occurred_at, kits=[kit_id])
        if placement is not None:
            place: Place | None = places.home(await places.placement(connection, placement, kit_id))
        else:
            place = await location_place(connection, location)
        if value_at(log.kit(kit_id).stays, when.at) == place:
            return ()
        entry = Entry(_event(row, when, place, kit_id=kit_id), backdated=when.backdated, reason=reason)
        return await write(connection, log, [entry], Marks("kit.located", {"location": location}), by=by)


async def move_component(
    connection: Connection,
    component_id: int,
    *,
    location: str,
    by: Principal,
    occurred_at: datetime | None = None,
    reason: str | None = None,
) -> tuple[int, ...]:
    """Say that a component is at a location (slug or name). Raises as `move_kit`; in a kit it is where the kit is."""
    _check(location, reason)
    async with connection.transaction(), opened(connection, components=[component_id]) as log:
        row = component_of(log, component_id)
        _check_may(by, Permission.COMPONENTS_MOVE, row)
        when = moment(log, occurred_at, components=[component_id])
        book = log.component(component_id)
        if value_at(book.memberships, when.at) is not None:
            raise ConflictError(f"component {row.serial} is in a kit: move the kit, or take it out first")
        place = await location_place(connection, location)
        if value_at(book.stays, when.at) == place:
            return ()
        entry = Entry(_event(row, when, place, component_id=component_id), backdated=when.backdated, reason=reason)
        marks = Marks("component.located", {"serial": row.serial, "location": location})
        return await write(connection, log, [entry], marks, by=by)


def _check(location: str | None, reason: str | None) -> None:
    places.check_location(location)
    check_reason(frozenset(), "", reason, override=False)


def _check_may(by: Principal, permission: Permission, row: KitRow | ComponentRow) -> None:
    if not by.holds(permission, row.organisation_id, row.owner_id):
        raise ForbiddenError(f"the permission {permission} is needed there")


def _event(
    row: KitRow | ComponentRow,
    when: Moment,
    place: Place | None,
    *,
    kit_id: int | None = None,
    component_id: int | None = None,
) -> Event:
    return Event(
        event_id=0,
        occurred_at=when.at,
        what=What.LOCATION,
        kit_id=kit_id,
        component_id=component_id,
        organisation_id=row.organisation_id,
        owner_id=row.owner_id,
        **where(place),
    )
