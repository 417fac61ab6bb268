"""Where a step leads to: a location by its slug or name, or a placement by its number."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.db.rows import fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError
from fleet.state.ledger.book import Place
from fleet.state.ledger.store import SQL, Connection
from fleet.state.registry.locations import location_called
from fleet.state.texts import bad_text, looks_like_cpr


@dataclass(frozen=True, slots=True)
class Placement:
    """What a step needs of a placement; `planned_kit_id` is the kit that it is for, if one was chosen."""

    placement_id: int
    planned_kit_id: int | None
    organisation_id: int
    state: str


def check_location(text: str | None) -> None:
    """Refuse a text that no location may have; raises InvalidError."""
    if text is None:
        return
    problem = bad_text(text)
    if problem is None and not text.strip():
        problem = "is empty"
    if problem is None and looks_like_cpr(text):
        problem = "looks like a civil registration number, which may not be stored"
    if problem is not None:
        raise InvalidError("location", problem)


async def location_id(connection: Connection, text: str) -> int:
    """The location called `text`, by its slug or else its name.

    One that is not known is refused: a typo would be a depot, and somebody's name a place. Raises InvalidError.
    """
    check_location(text)
    name = text.strip()
    found = await location_called(connection, name)
    if found is not None:
        return found.location_id
    if await fetch_value(connection, SQL["location_known"], {"text": name}):
        raise InvalidError("location", f"{name!r} is no longer in use, or several are called so: give its slug")
    raise InvalidError("location", f"there is none called {name!r}: enter it with POST /api/v1/locations first")


async def placement(connection: Connection, number: int, kit_id: int) -> Placement:
    """A placement that kit may come to, locked; raises InvalidError, and ConflictError when it is not to be had."""
    found = await fetch_one(connection, SQL["placement"], {"placement_id": number}, Placement)
    if found is None:
        raise InvalidError("placement", f"there is no placement {number}")
    if found.planned_kit_id not in (None, kit_id):
        raise ConflictError(f"placement {number} is for another kit")
    if found.state in ("ended", "cancelled"):
        raise ConflictError(f"placement {number} is {found.state}: plan a new one")
    return found


async def planned_placement(connection: Connection, kit_id: int) -> Placement | None:
    """The placement that is planned for a kit, locked."""
    return await fetch_one(connection, SQL["planned_placement"], {"kit_id": kit_id}, Placement)


def home(found: Placement) -> Place:
    """The home of a placement."""
    return Place(placement_id=found.placement_id)
