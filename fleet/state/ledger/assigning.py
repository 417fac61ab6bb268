"""Whose a kit or a piece is: it takes its future along to another organisation, and leaves its past where it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.db.rows import fetch_value
from fleet.errors import ConflictError, ForbiddenError
from fleet.state.ledger.events import Event, What
from fleet.state.ledger.log import Log
from fleet.state.ledger.store import SQL, Connection, Entry, opened
from fleet.state.ledger.writing import Marks, write


async def assign_kit(
    connection: Connection,
    kit_id: int,
    *,
    organisation_id: int | None,
    owner_id: int | None,
    by: Principal,
    reason: str | None = None,
) -> None:
    """Give a kit, with all pieces in it, to an organisation and an owner (numbers); nothing new leaves no trace.

    Raises ForbiddenError when the caller may write for neither of them.
    """
    check_may_own(by, Permission.KITS_WRITE, organisation_id, owner_id)
    async with connection.transaction(), opened(connection, kits=[kit_id], bundles=True) as log:
        row = log.kits[kit_id]
        if (row.organisation_id, row.owner_id) == (organisation_id, owner_id):
            return
        entries = await assignments(connection, log, kit_id, organisation_id, owner_id, reason=reason)
        await write(connection, log, entries, Marks("kit.assigned", entries[0].after or {}), by=by)


async def assign_component(
    connection: Connection,
    component_id: int,
    *,
    organisation_id: int | None,
    owner_id: int | None,
    by: Principal,
    reason: str | None = None,
) -> None:
    """Give a piece to an organisation and an owner. Raises as `assign_kit`, and ConflictError when it is in a kit."""
    check_may_own(by, Permission.COMPONENTS_WRITE, organisation_id, owner_id)
    async with connection.transaction(), opened(connection, components=[component_id]) as log:
        row = log.components[component_id]
        if (row.organisation_id, row.owner_id) == (organisation_id, owner_id):
            return
        if row.kit_id is not None and row.organisation_id != organisation_id:
            raise ConflictError(f"component {row.serial} is in a kit and goes with it: take it out first")
        event = _assignment(log, organisation_id, owner_id, component_id=component_id)
        told = await _told(connection, organisation_id, owner_id)
        entry = Entry(event, after=told, reason=reason)
        await write(connection, log, [entry], Marks("component.assigned", told), by=by)


async def assignments(
    connection: Connection,
    log: Log,
    kit_id: int,
    organisation_id: int | None,
    owner_id: int | None,
    *,
    reason: str | None = None,
) -> list[Entry]:
    """The events by which a kit and the pieces in it become another's; the pieces keep who bought them.

    Who had it before is not told: that is the past, which the new organisation has no part in.
    """
    told = await _told(connection, organisation_id, owner_id)
    entries = [Entry(_assignment(log, organisation_id, owner_id, kit_id=kit_id), after=told, reason=reason)]
    for piece in log.pieces_of(kit_id):
        if piece.organisation_id != organisation_id:
            event = _assignment(log, organisation_id, piece.owner_id, component_id=piece.component_id)
            entries.append(Entry(event, after={"organisation": told["organisation"]}, reason=reason))
    return entries


def check_may_own(by: Principal, permission: Permission, organisation_id: int | None, owner_id: int | None) -> None:
    """Refuse to put something where the caller could not reach it; raises ForbiddenError."""
    if not by.holds(permission, organisation_id, owner_id):
        raise ForbiddenError("it would be outside of your organisations")


def _assignment(
    log: Log,
    organisation_id: int | None,
    owner_id: int | None,
    *,
    kit_id: int | None = None,
    component_id: int | None = None,
) -> Event:
    kits, components = ([kit_id] if kit_id else []), ([component_id] if component_id else [])
    return Event(
        event_id=0,
        occurred_at=max(log.now, log.newest(kits=kits, components=components) or log.now),
        what=What.ASSIGN,
        kit_id=kit_id,
        component_id=component_id,
        organisation_id=organisation_id,
        owner_id=owner_id,
    )


async def _told(connection: Connection, organisation_id: int | None, owner_id: int | None) -> Mapping[str, Any]:
    return {
        "organisation": await fetch_value(connection, SQL["organisation_slug"], {"organisation_id": organisation_id}),
        "owner": await fetch_value(connection, SQL["organisation_slug"], {"organisation_id": owner_id}),
    }
