"""Bring what is stored of a subject up to what its history leads to; only what differs is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from psycopg import errors
from psycopg.rows import dict_row

from fleet.errors import ConflictError
from fleet.state.ledger.book import ComponentBook, KitBook, Place, Spell
from fleet.state.ledger.difference import Difference, Stored, difference
from fleet.state.ledger.log import ComponentRow, KitRow
from fleet.state.ledger.store import SQL, Connection

T = TypeVar("T")
Row = Mapping[str, Any]


async def project_kit(connection: Connection, row: KitRow, book: KitBook, *, reason: str | None = None) -> None:
    """Store what a kit's history leads to, and set its watch when its state changed.

    `reason` is told of a placement that ends by it. Raises ConflictError when the database knows of an overlap.
    """
    about = {"kit_id": row.kit_id}
    place = book.place or Place()
    with _told(f"kit {row.kit}"):
        stored = await _stored(connection, "kit_spells", about)
        await _project_placements(connection, stored["placement"], about, book, reason)
        await _write(connection, "stay", stored["stay"], book.stays, {"component_id": None, **about})
        await _write(connection, "custody", stored["custody"], book.custodies, about)
        values = {
            "state": book.state.value,
            "since": book.since,
            "location_id": place.location_id,
            "placement_id": place.placement_id,
            "organisation_id": book.organisation_id,
            "owner_id": book.owner_id,
        }
        await connection.execute(SQL["update_kit"], {**about, **values})
    if book.state != row.state:
        await connection.execute(SQL["set_watch"], about)


async def project_component(connection: Connection, row: ComponentRow, book: ComponentBook) -> None:
    """Store what a component's history leads to. Raises ConflictError when the database knows of an overlap."""
    about = {"component_id": row.component_id}
    place = book.place or Place()
    with _told(f"component {row.serial}"):
        stored = await _stored(connection, "component_spells", about)
        await _write(connection, "stay", stored["stay"], book.stays, {"kit_id": None, **about})
        await _write(connection, "membership", stored["membership"], book.memberships, about)
        values = {
            "state": book.state.value,
            "since": book.since,
            "location_id": place.location_id,
            "kit_id": book.kit_id,
            "organisation_id": book.organisation_id,
            "owner_id": book.owner_id,
        }
        await connection.execute(SQL["update_component"], {**about, **values})


async def _project_placements(
    connection: Connection, stored: Sequence[Stored[int]], about: Row, book: KitBook, reason: str | None
) -> None:
    found = difference(stored, book.placements)
    if found.removed:
        moved = [spell.value for spell in found.added]
        await connection.execute(SQL["displace_kit"], {"row_ids": list(found.removed), "moved": moved})
    for spell in (*(spell for _, spell in found.ended), *found.added):
        values = {**about, "value": spell.value, "start": spell.start, "end": spell.end, "reason": reason or book.state}
        placed = await connection.execute(SQL["place_kit"], values)
        if placed.rowcount == 0:
            raise ConflictError(f"placement {spell.value} has another kit by now")


async def _write(
    connection: Connection, what: str, stored: Sequence[Stored[T]], wanted: Iterable[Spell[T]], about: Row
) -> None:
    found: Difference[T] = difference(stored, wanted)
    if found.removed:
        await connection.execute(SQL[f"remove_{what}"], {"row_ids": list(found.removed)})
    for row_id, spell in found.ended:
        await connection.execute(SQL[f"end_{what}"], {"row_id": row_id, "start": spell.start, "end": spell.end})
    for spell in found.added:
        values = {**about, **_value(spell.value), "start": spell.start, "end": spell.end}
        await connection.execute(SQL[f"add_{what}"], values)


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, Place):
        return {"location_id": value.location_id, "placement_id": value.placement_id}
    return {"value": value}


async def _stored(connection: Connection, query: str, about: Row) -> dict[str, list[Stored[Any]]]:
    """What is stored of a subject over time, by what it is."""
    found: dict[str, list[Stored[Any]]] = defaultdict(list)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(SQL[query], about)
        for row in await cursor.fetchall():
            value = Place(row["location_id"], row["placement_id"]) if row["what"] == "stay" else row["value"]
            found[row["what"]].append(Stored(row["row_id"], Spell(value, row["start"], row["end"])))
    return found


_CONSTRAINTS = {
    "one_place_per_kit": "was at another place then",
    "one_place_per_component": "was at another place then",
    "one_kit_per_component": "was in another kit then",
    "one_custody_per_kit": "was another organisation's then",
    "placements_kit_id_during_excl": "was placed with another citizen then",
}


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What the database's constraints over time refuse, in words."""
    try:
        yield
    except errors.ExclusionViolation as error:
        why = _CONSTRAINTS.get(error.diag.constraint_name or "", "overlaps with what the books say of then")
        raise ConflictError(f"{name} {why}") from None
