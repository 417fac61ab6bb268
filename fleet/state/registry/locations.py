"""Locations: where pieces can be, except in a citizen's home, which is a placement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from fleet.access import organisations
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, NotFoundError
from fleet.state.registry.checks import checked
from fleet.state.registry.editing import Outdated, edit, merged

_SQL = load_queries("fleet.state.registry", "locations.sql")


class LocationKind(StrEnum):
    """What a place is."""

    DEPOT = "depot"
    REPAIR_SHOP = "repair_shop"
    VEHICLE = "vehicle"
    TRANSIT = "transit"
    SUPPLIER = "supplier"
    LESSOR = "lessor"
    OFFICE = "office"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Location:
    """A place; `organisation` is whose it is (a slug), None for one that everybody may use."""

    location_id: int
    slug: str
    name: str
    kind: str
    organisation: str | None
    active: bool
    revision: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewLocation:
    """A place to enter."""

    slug: str
    name: str
    kind: str
    organisation: str | None = None


EDITABLE = ("name", "kind", "organisation", "active")


async def list_locations(connection: Connection, *, after: str = "", limit: int = 500, **chosen: Any) -> list[Location]:
    """Places by slug; filters `kind`, `organisation` and `active`, None does not count."""
    filters = dict.fromkeys(("kind", "organisation", "active")) | chosen
    return await fetch_all(connection, _SQL["list"], {**filters, "after": after, "limit": limit}, Location)


async def find_location(connection: Connection, slug: str) -> Location:
    """One place; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"slug": slug}, Location)
    if found is None:
        raise NotFoundError("location", slug)
    return found


async def location_called(connection: Connection, text: str) -> Location | None:
    """The place with this slug, or else the only one with this name."""
    found = await fetch_all(connection, _SQL["called"], {"text": text}, Location)
    exact = [each for each in found if each.slug == text]
    return exact[0] if exact else found[0] if len(found) == 1 else None


async def add_location(connection: Connection, new: NewLocation) -> Location:
    """Enter a place; raises InvalidError, and ConflictError when the slug is taken."""
    values = checked(asdict(new)) | {"organisation_id": await organisations.id_of(connection, new.organisation)}
    if not await fetch_value(connection, _SQL["add"], values):
        raise ConflictError(f"location {new.slug} exists already")
    return await find_location(connection, new.slug)


async def edit_location(
    connection: Connection, slug: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Location | Outdated:
    """Change fields of `EDITABLE`; raises NotFoundError, InvalidError."""
    given = checked(changes)

    async def write(before: Location) -> None:
        values = {**merged(before, given, EDITABLE), "slug": slug}
        values["organisation_id"] = await organisations.id_of(connection, values["organisation"])
        await connection.execute(_SQL["edit"], values)

    return await edit(
        connection,
        "location",
        slug,
        lock=lambda: fetch_one(connection, _SQL["lock"], {"slug": slug}, Location),
        write=write,
        read=lambda: find_location(connection, slug),
        revisions=revisions,
    )
