"""Placements: which kit a citizen has, by a reference of the care system that stands in one erasable table.

Everything else, the log and the audit included, knows the reference by number only. Whoever reads or writes the text of
a reference leaves a line in the audit, with the number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.errors import UniqueViolation

from fleet.access import organisations
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.registry.checks import checked
from fleet.state.registry.editing import Outdated
from fleet.state.texts import could_hide_cpr

_SQL = load_queries("fleet.state", "placements.sql")
_REFERENCE = re.compile(r"[A-Za-z0-9._:-]{4,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Placement:
    """A kit with a citizen, planned, active or over.

    `reference_id` is the surrogate, `organisation` the municipality's slug; `begun` and `ended` are when the kit was
    installed and taken down, as it happened.
    """

    placement_id: int
    kit: str | None
    kit_id: int | None
    reference_id: int
    organisation: str
    organisation_id: int
    programme: str | None
    state: str
    planned_from: date | None
    planned_until: date | None
    begun: datetime | None
    ended: datetime | None
    ended_reason: str | None
    erased: bool
    revision: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewPlacement:
    """A placement to plan; the kit may be chosen later."""

    reference: str
    organisation: str
    kit: str | None = None
    programme: str | None = None
    planned_from: date | None = None
    planned_until: date | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """That a piece was with a citizen: the overlap of its time in a kit and the kit's time at the placement."""

    component_id: int | None
    serial: str | None
    kit: str
    placement_id: int
    reference_id: int
    organisation: str
    programme: str | None
    begun: datetime
    ended: datetime | None


EDITABLE = ("kit", "programme", "planned_from", "planned_until")


def check_reference(text: str) -> str:
    """The reference, if it may be stored; raises InvalidError naming `reference`.

    It is a pseudonym: no spaces, at least one digit (a name has none), and no civil registration number.
    """
    if could_hide_cpr(text):
        raise InvalidError("reference", "could be a civil registration number: give the care system's pseudonym")
    if not _REFERENCE.fullmatch(text):
        raise InvalidError("reference", "must be 4 to 64 of A-Z a-z 0-9 . _ : -")
    if not any(each.isdigit() for each in text):
        raise InvalidError("reference", "holds no digit and could be a name: give the care system's pseudonym")
    return text


async def list_placements(
    connection: Connection, *, after: int = 0, limit: int = 100, **chosen: Any
) -> list[Placement]:
    """Placements by number; filters `kit`, `organisation`, `programme`, `state`, `reference_id`, `at`."""
    filters = dict.fromkeys(("kit", "organisation", "programme", "state", "reference_id", "at")) | chosen
    return await fetch_all(connection, _SQL["list"], {**filters, "after": after, "limit": limit}, Placement)


async def find_placement(connection: Connection, placement_id: int) -> Placement:
    """One placement; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"id": placement_id}, Placement)
    if found is None:
        raise NotFoundError("placement", str(placement_id))
    return found


async def references(connection: Connection, ids: list[int], *, why: str) -> dict[int, str | None]:
    """The texts of references by number, None where erased; notes the read in the audit."""
    if not ids:
        return {}
    rows = await fetch_dicts(connection, _SQL["reveal"], {"ids": sorted(set(ids)), "why": why})
    return {row["reference_id"]: row["reference"] for row in rows}


async def reference_of(connection: Connection, placement_id: int, *, why: str) -> str | None:
    """The reference of a placement, None where it was erased or is not seen; notes the read in the audit."""
    rows = await fetch_dicts(connection, _SQL["reveal_placement"], {"id": placement_id, "why": why})
    return rows[0]["reference"] if rows else None


async def reference_numbers(connection: Connection, reference: str) -> list[int]:
    """The numbers under which a reference is known to the caller, by organisation; notes the look-up."""
    rows = await fetch_dicts(connection, _SQL["look_up"], {"reference": reference})
    return [row["reference_id"] for row in rows]


async def plan(connection: Connection, new: NewPlacement) -> Placement:
    """Plan a placement; raises InvalidError, and ConflictError when the kit has one planned already."""
    check_reference(new.reference)
    checked({"programme": new.programme})
    _check_dates(new.planned_from, new.planned_until)
    async with connection.transaction():
        organisation_id = await organisations.id_of(connection, new.organisation)
        about = {"reference": new.reference, "organisation_id": organisation_id}
        reference_id = await fetch_value(connection, _SQL["known"], about)
        if reference_id is None:
            reference_id = await fetch_value(connection, _SQL["enter_reference"], about)
        values = {
            "kit_id": await _kit_id(connection, new.kit),
            "reference_id": reference_id,
            "organisation_id": organisation_id,
            "programme": new.programme,
            "planned_from": new.planned_from,
            "planned_until": new.planned_until,
        }
        placement_id = await _unless_taken(connection, "plan", values, new.kit)
        return await find_placement(connection, placement_id)


async def change_plan(
    connection: Connection, placement_id: int, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Placement | Outdated:
    """Change fields of `EDITABLE`; the kit only while the placement is planned.

    Raises NotFoundError, InvalidError, ConflictError.
    """
    given = checked(changes)
    async with connection.transaction():
        before = await _locked(connection, placement_id)
        if revisions is not None and before.revision not in revisions:
            return Outdated(before.revision)
        if "kit" in given and given["kit"] != before.kit and before.state != "planned":
            raise ConflictError(f"the placement is {before.state}: its kit is changed by taking it down")
        after = {name: given.get(name, getattr(before, name)) for name in EDITABLE}
        _check_dates(after["planned_from"], after["planned_until"])
        kit_id = await _kit_id(connection, after["kit"])
        await _unless_taken(connection, "change", {**after, "kit_id": kit_id, "id": placement_id}, after["kit"])
        return await find_placement(connection, placement_id)


async def cancel(connection: Connection, placement_id: int, *, reason: str) -> Placement:
    """Call off a planned placement; raises NotFoundError, ConflictError once it was active."""
    async with connection.transaction():
        before = await _locked(connection, placement_id)
        if before.state == "cancelled":
            return before
        if before.state != "planned":
            raise ConflictError(f"the placement is {before.state}: it ends when its kit is taken down")
        await connection.execute(_SQL["cancel"], {"id": placement_id, "reason": reason})
        return await find_placement(connection, placement_id)


async def holdings_of_component(
    connection: Connection, component_id: int, *, after: int = 0, limit: int = 500
) -> list[Holding]:
    """Who had this piece, by placement."""
    values = {"component_id": component_id, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["holdings_of_component"], values, Holding)


async def recall(
    connection: Connection,
    model_id: int,
    *,
    serial_from: str | None = None,
    serial_to: str | None = None,
    after: tuple[int, int] = (0, 0),
    limit: int = 500,
) -> list[Holding]:
    """Who has or had the pieces of a model, between two serial numbers; `after` is the last component and placement."""
    values = {
        "model_id": model_id,
        "serial_from": serial_from,
        "serial_to": serial_to,
        "after_component": after[0],
        "after_placement": after[1],
        "limit": limit,
    }
    return await fetch_all(connection, _SQL["recall"], values, Holding)


async def erase(connection: Connection, reference_id: int, *, reason: str) -> None:
    """Forget the text of a reference for good; its number, and what happened to equipment, stay.

    With it goes what people wrote about the end of its placements.
    Refused while a placement of it is active: the equipment is still in that home and must be found again. Raises
    NotFoundError, ConflictError.
    """
    async with connection.transaction():
        state = await fetch_dicts(connection, _SQL["lock_reference"], {"id": reference_id})
        if not state:
            raise NotFoundError("reference", str(reference_id))
        if state[0]["active"]:
            raise ConflictError("a kit is still there: take it down first, then erase")
        if state[0]["erased_at"] is None:
            await connection.execute(_SQL["erase"], {"id": reference_id, "reason": reason})
            await connection.execute(_SQL["forget_texts"], {"id": reference_id, "reason": reason})


async def about_reference(connection: Connection, reference_id: int) -> dict[str, Any]:
    """Everything that is stored about one reference, for whoever asks what is known of them."""
    found = await list_placements(connection, reference_id=reference_id, limit=500)
    texts = await references(connection, [reference_id], why="export")
    if reference_id not in texts:
        raise NotFoundError("reference", str(reference_id))
    held = await fetch_all(connection, _SQL["holdings_of_reference"], {"reference_id": reference_id}, Holding)
    return {"reference_id": reference_id, "reference": texts[reference_id], "placements": found, "components": held}


async def _locked(connection: Connection, placement_id: int) -> Placement:
    found = await fetch_one(connection, _SQL["lock"], {"id": placement_id}, Placement)
    if found is None:
        raise NotFoundError("placement", str(placement_id))
    return found


async def _kit_id(connection: Connection, kit: str | None) -> int | None:
    if kit is None:
        return None
    found: int | None = await fetch_value(connection, _SQL["kit_id"], {"kit": kit})
    if found is None:
        raise InvalidError("kit", f"there is no {kit!r}")
    return found


async def _unless_taken(connection: Connection, query: str, values: Mapping[str, Any], kit: str | None) -> int:
    try:
        async with connection.transaction():
            return int(await fetch_value(connection, _SQL[query], values))
    except UniqueViolation:
        raise ConflictError(f"kit {kit} has another placement planned: change or cancel that one") from None


def _check_dates(begins: date | None, ends: date | None) -> None:
    for name, value in (("planned_from", begins), ("planned_until", ends)):
        if value is not None and not 1990 <= value.year <= 2199:
            raise InvalidError(name, "must lie between 1990 and 2199")
    if begins is not None and ends is not None and ends < begins:
        raise InvalidError("planned_until", "is before planned_from")
