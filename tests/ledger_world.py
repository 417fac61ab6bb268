"""What the tests of the ledger share: organisations, models, kits and components made through the use cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from fleet.access.principal import SYSTEM
from fleet.db.connect import connect
from fleet.state.ledger.check import Found, check
from fleet.state.ledger.opening import open_components, open_kits
from tests.support import execute, rows, value

Connection = AsyncConnection[Any]
NOW = datetime.now(UTC).replace(microsecond=0)
BEGUN = NOW - timedelta(days=400)
"""When everything in these tests was entered."""
KINDS = ("tablet", "sim", "scale", "oximeter")


def ago(days: float) -> datetime:
    """So many days before now."""
    return NOW - timedelta(days=days)


@asynccontextmanager
async def books(database: str) -> AsyncIterator[Connection]:
    """A connection that row-level security does not bind."""
    connection = await connect(database, role="test")
    async with connection:
        yield connection


def add_catalogue(database: str) -> None:
    """Organisations (a region above two municipalities), places, one model of each kind."""
    execute(database, "INSERT INTO organisations (slug, name, kind) VALUES ('nord', 'Nord', 'region')")
    for slug in ("aalborg", "hjorring"):
        execute(
            database,
            "INSERT INTO organisations (slug, name, kind, parent_id)"
            " SELECT %s, %s, 'municipality', organisation_id FROM organisations WHERE slug = 'nord'",
            slug,
            slug,
        )
    execute(
        database,
        "INSERT INTO locations (slug, name, kind, organisation_id) SELECT s, s, 'depot', NULL FROM"
        " unnest(ARRAY['depot', 'workshop', 'van']) s",
    )
    for kind in KINDS:
        execute(
            database, "INSERT INTO models (kind, manufacturer, name) VALUES (%s, 'Maker', %s)", kind, f"Model {kind}"
        )


async def add_kits(
    connection: Connection, *kits: str, state: str = "preparing", organisation: str | None = None, at: datetime = BEGUN
) -> list[int]:
    """Kits at the depot, entered with their openings; gives their numbers."""
    async with connection.transaction():
        cursor = await connection.execute(
            "INSERT INTO kits (kit, state, state_since, organisation_id, owner_id, location_id)"
            " SELECT k, %(state)s, %(at)s, o.organisation_id, o.organisation_id, l.location_id"
            " FROM unnest(%(kits)s::text[]) k LEFT JOIN organisations o ON o.slug = %(organisation)s"
            " JOIN locations l ON l.slug = 'depot' RETURNING kit_id",
            {"kits": list(kits), "state": state, "organisation": organisation, "at": at},
        )
        numbers = [number for (number,) in await cursor.fetchall()]
        await connection.execute("INSERT INTO kit_latest (kit_id) SELECT unnest(%s::int[])", (numbers,))
        await open_kits(connection, numbers, actor=SYSTEM.actor)
    return numbers


async def add_pieces(
    connection: Connection,
    *serials: str,
    kind: str = "scale",
    state: str = "in_stock",
    organisation: str | None = None,
    at: datetime = BEGUN,
) -> list[int]:
    """Components at the depot, entered with their openings; gives their numbers."""
    async with connection.transaction():
        cursor = await connection.execute(
            "INSERT INTO components (model_id, serial, state, state_since, organisation_id, owner_id, location_id)"
            " SELECT m.model_id, s, %(state)s, %(at)s, o.organisation_id, o.organisation_id, l.location_id"
            " FROM unnest(%(serials)s::text[]) s JOIN models m ON m.kind = %(kind)s"
            " LEFT JOIN organisations o ON o.slug = %(organisation)s JOIN locations l ON l.slug = 'depot'"
            " RETURNING component_id",
            {"serials": list(serials), "kind": kind, "state": state, "organisation": organisation, "at": at},
        )
        numbers = [number for (number,) in await cursor.fetchall()]
        await open_components(connection, numbers, actor=SYSTEM.actor)
    return numbers


def add_placement(database: str, kit: str, reference: str = "REF-1") -> int:
    """A placement planned for a kit."""
    query = (
        "WITH r AS (INSERT INTO placement_references (organisation_id, reference)"
        " SELECT organisation_id, %s FROM organisations WHERE slug = 'nord' RETURNING *)"
        " INSERT INTO placements (kit_id, reference_id, organisation_id) SELECT k.kit_id, r.reference_id,"
        " r.organisation_id FROM r, kits k WHERE k.kit = %s RETURNING placement_id"
    )
    number: int = value(database, query, reference, kit)
    return number


def organisation_id(database: str, slug: str) -> int:
    """An organisation's number."""
    number: int = value(database, "SELECT organisation_id FROM organisations WHERE slug = %s", slug)
    return number


def events_of(database: str, kit_id: int) -> list[tuple[int, str, str | None]]:
    """Number, kind and state of a kit's events, in the order in which they were recorded."""
    query = "SELECT event_id, what, to_state FROM book_events WHERE kit_id = %s ORDER BY event_id"
    return [(number, what, state) for number, what, state in rows(database, query, kit_id)]


async def differences(connection: Connection) -> list[Found]:
    """What a check of all books finds."""
    return [found async for checked in check(connection) for found in checked.found]
