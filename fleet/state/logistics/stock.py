"""Stock: how many of each model are where and whose, in what condition, what is to come, and what there should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from psycopg.errors import UniqueViolation

from fleet.access import organisations
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.logistics.common import location_of
from fleet.state.registry.editing import Outdated, merged
from fleet.state.registry.models import find_model

_SQL = load_queries("fleet.state.logistics", "stock.sql")
MAX_SHORTAGES = 10_000


@dataclass(frozen=True, slots=True)
class Level:
    """Pieces of one model at one place that are one organisation's; those in kits are no stock.

    `available` is what is in stock and not reserved, `on_order` what is to come there, the next of it on `expected_on`.
    Without a location the books do not say where they are. The keys are what a list is ordered by.
    """

    model_id: int
    kind: str
    manufacturer: str
    model: str
    location_id: int | None
    location: str | None
    organisation_id: int | None
    organisation: str | None
    in_stock: int
    reserved: int
    available: int
    faulty: int
    cleaning: int
    calibrating: int
    in_repair: int
    at_supplier: int
    on_order: int
    expected_on: date | None
    location_key: int
    organisation_key: int


@dataclass(frozen=True, slots=True)
class Minimum:
    """How many of a model there should be at a place, and how many there are.

    Counted are pieces of the organisation, of those below it and of those it has agreements with; without an
    organisation all. `short` is how many are lacking when what is on order is counted as there, `to_order` how many
    would fill it up to its `target` (or else the minimum).
    """

    minimum_id: int
    model_id: int
    kind: str
    manufacturer: str
    model: str
    location_id: int
    location: str | None
    organisation_id: int | None
    organisation: str | None
    minimum: int
    target: int | None
    in_stock: int
    reserved: int
    available: int
    on_order: int
    expected_on: date | None
    short: int
    to_order: int
    revision: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewMinimum:
    """A minimum to set; without an organisation it is that of the location."""

    model_id: int
    location: str
    minimum: int
    target: int | None = None
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class _Locked:
    minimum_id: int
    minimum: int
    target: int | None
    revision: int


FILTERS = ("model_id", "kind", "location", "organisation")
EDITABLE = ("minimum", "target")


async def levels(
    connection: Connection, *, after: tuple[int, int, int] = (0, 0, 0), limit: int = 500, **chosen: Any
) -> list[Level]:
    """Stock by model, place and organisation; filters of `FILTERS`, None does not count. `after` are the keys."""
    values = {**dict.fromkeys(FILTERS), **chosen, "limit": limit}
    keys = dict(zip(("after_model", "after_location", "after_organisation"), after, strict=True))
    return await fetch_all(connection, _SQL["levels"], values | keys, Level)


async def free(connection: Connection, model_id: int, location_id: int, organisation_id: int | None) -> int:
    """How many of a model that organisation has at a place that nobody has reserved; below zero when too many are."""
    values = {"model_id": model_id, "location_id": location_id, "organisation_id": organisation_id}
    return int(await fetch_value(connection, _SQL["free"], values))


async def minimums(
    connection: Connection, *, below: bool = False, after: int = 0, limit: int = 500, **chosen: Any
) -> list[Minimum]:
    """Minimums by number, or those that stock and orders fall `below`; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys((*FILTERS, "id")), **chosen, "below": below, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["shortages"], values, Minimum)


async def below_minimum(connection: Connection) -> list[Minimum]:
    """Every minimum that stock and orders together fall below, as far as the reader sees."""
    return await minimums(connection, below=True, limit=MAX_SHORTAGES)


async def find_minimum(connection: Connection, minimum_id: int) -> Minimum:
    """One minimum; raises NotFoundError."""
    found = await minimums(connection, id=minimum_id, limit=1)
    if not found:
        raise NotFoundError("stock minimum", str(minimum_id))
    return found[0]


async def set_minimum(connection: Connection, new: NewMinimum) -> Minimum:
    """Set a minimum; raises InvalidError, and ConflictError when that model, place and organisation have one."""
    _check(asdict(new))
    async with connection.transaction():
        try:
            await find_model(connection, new.model_id)
        except NotFoundError as error:
            raise InvalidError("model_id", str(error)) from None
        place = await location_of(connection, new.location)
        values = {
            **asdict(new),
            "location_id": place.location_id,
            "organisation_id": await organisations.id_of(connection, new.organisation or place.organisation),
        }
        try:
            async with connection.transaction():
                minimum_id = await fetch_value(connection, _SQL["add_minimum"], values)
        except UniqueViolation:
            raise ConflictError(f"there is a minimum for this model at {place.slug} already: change that") from None
        return await find_minimum(connection, minimum_id)


async def change_minimum(
    connection: Connection, minimum_id: int, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Minimum | Outdated:
    """Change fields of `EDITABLE`; raises NotFoundError, InvalidError."""
    async with connection.transaction():
        before = await _locked(connection, minimum_id)
        if revisions is not None and before.revision not in revisions:
            return Outdated(before.revision)
        values = merged(before, changes, EDITABLE)
        _check(values)
        await connection.execute(_SQL["edit_minimum"], {**values, "id": minimum_id})
        return await find_minimum(connection, minimum_id)


async def remove_minimum(connection: Connection, minimum_id: int) -> None:
    """Ask for no minimum any more; raises NotFoundError."""
    async with connection.transaction():
        await _locked(connection, minimum_id)
        await connection.execute(_SQL["remove_minimum"], {"id": minimum_id})


async def _locked(connection: Connection, minimum_id: int) -> _Locked:
    found = await fetch_one(connection, _SQL["lock_minimum"], {"id": minimum_id}, _Locked)
    if found is None:
        raise NotFoundError("stock minimum", str(minimum_id))
    return found


def _check(values: Mapping[str, Any]) -> None:
    if values["target"] is not None and values["target"] < values["minimum"]:
        raise InvalidError("target", "must not be below the minimum")
