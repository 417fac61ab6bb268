"""Models: what a piece is, by manufacturer and name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.registry.checks import checked
from fleet.state.registry.editing import Outdated, edit, merged

_SQL = load_queries("fleet.state.registry", "models.sql")


@dataclass(frozen=True, slots=True)
class Model:
    """A model of tablet, SIM or peripheral; `components` is how many of it the caller sees in the books.

    `calibration_interval_days` is how long a calibration holds, `firmware_source` where the expected firmware is told.
    """

    model_id: int
    kind: str
    manufacturer: str
    name: str
    calibration_interval_days: int | None
    firmware_source: str | None
    expected_firmware: str | None
    price: Decimal | None
    currency: str
    photo_url: str | None
    active: bool
    revision: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewModel:
    """A model to enter."""

    kind: str
    manufacturer: str
    name: str
    calibration_interval_days: int | None = None
    firmware_source: str | None = None
    expected_firmware: str | None = None
    price: Decimal | None = None
    currency: str = "DKK"
    photo_url: str | None = None


EDITABLE = (
    "manufacturer",
    "name",
    "calibration_interval_days",
    "firmware_source",
    "expected_firmware",
    "price",
    "currency",
    "photo_url",
    "active",
)
"""The kind stays: pieces of the model are in bundles by it."""


async def list_models(connection: Connection, *, after: int = 0, limit: int = 500, **chosen: Any) -> list[Model]:
    """Models by number; filters `kind`, `manufacturer`, `name` and `active`, None does not count."""
    filters = dict.fromkeys(("kind", "manufacturer", "name", "active")) | chosen
    return await fetch_all(connection, _SQL["list"], {**filters, "after": after, "limit": limit}, Model)


async def find_model(connection: Connection, model_id: int) -> Model:
    """One model; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"id": model_id}, Model)
    if found is None:
        raise NotFoundError("model", str(model_id))
    return found


async def model_named(connection: Connection, manufacturer: str, name: str) -> Model:
    """A model as people call it, whatever the capitals; raises InvalidError naming `model`."""
    found = await fetch_one(connection, _SQL["named"], {"manufacturer": manufacturer, "name": name}, Model)
    if found is None:
        raise InvalidError("model", f"there is no {manufacturer} {name}: enter the model first")
    return found


async def add_model(connection: Connection, new: NewModel) -> Model:
    """Enter a model; raises InvalidError, and ConflictError when manufacturer and name are taken."""
    values = checked(asdict(new))
    model_id = await fetch_value(connection, _SQL["add"], values)
    if model_id is None:
        raise ConflictError(f"model {new.manufacturer} {new.name} exists already")
    return await find_model(connection, model_id)


async def edit_model(
    connection: Connection, model_id: int, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Model | Outdated:
    """Change fields of `EDITABLE`; raises NotFoundError, InvalidError, ConflictError."""
    given = checked(changes)

    async def write(before: Model) -> None:
        values = {**merged(before, given, EDITABLE), "id": model_id}
        taken = await fetch_one(connection, _SQL["named"], values, Model)
        if taken is not None and taken.model_id != model_id:
            raise ConflictError(f"model {values['manufacturer']} {values['name']} exists already")
        await connection.execute(_SQL["edit"], values)

    return await edit(
        connection,
        "model",
        str(model_id),
        lock=lambda: fetch_one(connection, _SQL["lock"], {"id": model_id}, Model),
        write=write,
        read=lambda: find_model(connection, model_id),
        revisions=revisions,
    )
