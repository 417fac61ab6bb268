"""Kit types: which kinds of pieces a kit of a programme contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, NotFoundError
from fleet.state.registry.checks import checked
from fleet.state.registry.editing import Outdated, edit, merged

_SQL = load_queries("fleet.state.registry", "kittypes.sql")


@dataclass(frozen=True, slots=True)
class KitType:
    """A type; `contents` maps kind to quantity, empty means that there is no list to be complete by.

    `calibration_margin_days`: how long calibrations must hold beyond the planned end of a placement.
    """

    kit_type_id: int
    kit_type: str
    name_en: str
    name_da: str
    programme: str | None
    calibration_margin_days: int
    contents: dict[str, int]
    active: bool
    revision: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewKitType:
    """A kit type to enter."""

    kit_type: str
    name_en: str = ""
    name_da: str = ""
    programme: str | None = None
    calibration_margin_days: int = 0
    contents: Mapping[str, int] = field(default_factory=dict)


EDITABLE = ("name_en", "name_da", "programme", "calibration_margin_days", "contents", "active")


async def list_kit_types(connection: Connection, *, after: str = "", limit: int = 500, **chosen: Any) -> list[KitType]:
    """Kit types by name; filters `programme` and `active`, None does not count."""
    filters = dict.fromkeys(("programme", "active")) | chosen
    return await fetch_all(connection, _SQL["list"], {**filters, "after": after, "limit": limit}, KitType)


async def find_kit_type(connection: Connection, kit_type: str) -> KitType:
    """One kit type; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"kit_type": kit_type}, KitType)
    if found is None:
        raise NotFoundError("kit type", kit_type)
    return found


async def add_kit_type(connection: Connection, new: NewKitType) -> KitType:
    """Enter a kit type; raises InvalidError, and ConflictError when the name is taken."""
    values = _checked(asdict(new))
    async with connection.transaction():
        kit_type_id = await fetch_value(connection, _SQL["add"], values)
        if kit_type_id is None:
            raise ConflictError(f"kit type {new.kit_type} exists already")
        await _contents(connection, kit_type_id, values["contents"])
        return await find_kit_type(connection, new.kit_type)


async def edit_kit_type(
    connection: Connection, kit_type: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> KitType | Outdated:
    """Change fields of `EDITABLE`; raises NotFoundError, InvalidError."""
    given = _checked(changes)

    async def write(before: KitType) -> None:
        values = {**merged(before, given, EDITABLE), "kit_type": kit_type}
        contents = values.pop("contents")
        await connection.execute(_SQL["edit"], values)
        if contents != before.contents:
            await _contents(connection, before.kit_type_id, contents)

    return await edit(
        connection,
        "kit type",
        kit_type,
        lock=lambda: fetch_one(connection, _SQL["lock"], {"kit_type": kit_type}, KitType),
        write=write,
        read=lambda: find_kit_type(connection, kit_type),
        revisions=revisions,
    )


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    made = checked(values)
    for each in made.get("contents") or {}:
        checked({"kind": each})
    return made


async def _contents(connection: Connection, kit_type_id: int, contents: Mapping[str, int]) -> None:
    values = {"id": kit_type_id, "contents": Jsonb(dict(contents))}
    await connection.execute(_SQL["drop_contents"], values)
    await connection.execute(_SQL["put_contents"], values)
