"""Components: every tablet, SIM and peripheral; entered, described, found. Moving them is the ledger's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from psycopg.errors import UniqueViolation
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.registry import locations
from fleet.state.registry.checks import check_fits, checked
from fleet.state.registry.editing import Outdated
from fleet.state.registry.models import Model, find_model

_SQL = load_queries("fleet.state.registry", "components.sql")
MAX_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Component:
    """A piece as the books have it.

    Organisations are slugs: `organisation` whose it is now, `owner` who bought it. In a kit it has no `location` of its
    own; `kit_location` is where the kit is, null in a citizen's home.
    """

    component_id: int
    model_id: int
    kind: str
    manufacturer: str
    model: str
    serial: str
    asset_tag: str | None
    state: str
    state_since: datetime
    organisation: str | None
    owner: str | None
    organisation_id: int | None
    owner_id: int | None
    location: str | None
    kit: str | None
    kit_location: str | None
    supplier: str | None
    order_line_id: int | None
    purchased_on: date | None
    price: Decimal | None
    currency: str
    warranty_until: date | None
    lessor: str | None
    lease_contract: str | None
    lease_until: date | None
    calibrated_on: date | None
    calibration_due: date | None
    calibrated_by: str | None
    calibration_certificate: str | None
    imei: str | None
    iccid: str | None
    bluetooth_address: str | None
    system_id: str | None
    firmware: str | None
    note: str
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewComponent:
    """A piece to enter; `location` is a slug. Without an owner it is the organisation's own."""

    model_id: int
    serial: str
    asset_tag: str | None = None
    state: Literal["ordered", "in_stock"] = "in_stock"
    organisation: str | None = None
    owner: str | None = None
    location: str | None = None
    supplier: str | None = None
    order_line_id: int | None = None
    purchased_on: date | None = None
    price: Decimal | None = None
    currency: str = "DKK"
    warranty_until: date | None = None
    lessor: str | None = None
    lease_contract: str | None = None
    lease_until: date | None = None
    calibrated_on: date | None = None
    calibration_due: date | None = None
    calibrated_by: str | None = None
    calibration_certificate: str | None = None
    imei: str | None = None
    iccid: str | None = None
    bluetooth_address: str | None = None
    system_id: str | None = None
    firmware: str | None = None
    note: str = ""


EDITABLE = (
    "asset_tag",
    "supplier",
    "purchased_on",
    "price",
    "currency",
    "warranty_until",
    "lessor",
    "lease_contract",
    "lease_until",
    "imei",
    "iccid",
    "bluetooth_address",
    "system_id",
    "firmware",
    "note",
)
"""What describes a piece. State, place, kit and organisation are steps; calibrations are records of their own."""


async def list_components(
    connection: Connection, *, after: int = 0, limit: int = 100, **chosen: Any
) -> list[Component]:
    """Components by number; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys(FILTERS), **chosen, "after": after, "limit": limit}
    if values["serial"] is not None:
        values["serial"] = values["serial"].strip()
    if values["tail"] is not None:
        values["tail"] = values["tail"].strip().upper()
    (meant,) = await fetch_dicts(connection, _SQL["meant"], values)
    if any(values[name] is not None and meant[number] is None for name, number in _NAMED.items()):
        return []
    if values["kind"] is None and values["model_id"] is None:
        meant["models"] = None
    found = await fetch_dicts(connection, _SQL[_span(values, meant)], {**values, **meant})
    return await components_numbered(connection, [row["component_id"] for row in found])


_NAMED = {
    "organisation": "organisation_id",
    "owner": "owner_id",
    "location": "location_id",
    "kit": "kit_id",
    "kind": "models",
    "model_id": "models",
}
"""Filters by name, and which number the name stands for."""
_POINTED = (
    "serial",
    "tail",
    "asset_tag",
    "imei",
    "iccid",
    "kit",
    "location",
    "calibration_due_before",
    "warranty_before",
    "lease_before",
)
"""Filters with an index of their own, which few pieces pass as a rule, whoever they belong to."""


def _span(values: Mapping[str, Any], meant: Mapping[str, Any]) -> str:
    """The query that finds the pieces of a page without looking at many others."""
    if any(values[name] is not None for name in _POINTED):
        return "span"
    if not meant["everything"]:
        return "span_within"
    return "span" if meant["models"] is None else "span_by_model"


async def components_numbered(connection: Connection, ids: Sequence[int]) -> list[Component]:
    """The components with these numbers, in their order."""
    if not ids:
        return []
    async with connection.cursor(row_factory=class_row(Component)) as cursor:
        await cursor.execute(_SQL["of_span"], {"ids": list(ids)})
        return await cursor.fetchall()


FILTERS = (
    "serial",
    "tail",
    "asset_tag",
    "imei",
    "iccid",
    "kind",
    "model_id",
    "state",
    "organisation",
    "owner",
    "location",
    "kit",
    "calibration_due_before",
    "warranty_before",
    "lease_before",
)


async def find_component(connection: Connection, component_id: int) -> Component:
    """One component; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"id": component_id}, Component)
    if found is None:
        raise NotFoundError("component", str(component_id))
    return found


async def bundle_of(connection: Connection, kit_id: int) -> list[Component]:
    """The components that are in a kit now."""
    return await fetch_all(connection, _SQL["bundle"], {"kit_id": kit_id}, Component)


async def add_component(connection: Connection, new: NewComponent, *, by: Principal) -> Component:
    """Enter one component with its opening event; raises InvalidError, ConflictError."""
    (component_id,) = await add_components(connection, [new], by=by)
    return await find_component(connection, component_id)


async def add_components(connection: Connection, new: Sequence[NewComponent], *, by: Principal) -> list[int]:
    """Enter components, all or none, each with its opening event; answers their numbers in the order given.

    Raises InvalidError, ConflictError naming the serial number, asset tag or identity that is taken.
    """
    if len(new) > MAX_BATCH:
        raise InvalidError("components", f"at most {MAX_BATCH} at once")
    async with connection.transaction():
        lookup = _Lookup(connection)
        prepared = [await lookup.row(each) for each in new]
        made: list[int] = []
        for values in prepared:
            try:
                async with connection.transaction():
                    made.append(await fetch_value(connection, _SQL["add"], {**values, "actor": by.actor}))
            except UniqueViolation as error:
                raise _taken(error, values) from None
        await connection.execute(_SQL["open_stays"], {"ids": made})
        return made


class _Lookup:
    """Names to numbers, each asked once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._models: dict[int, Model] = {}
        self._organisations: dict[tuple[str, str], int | None] = {}
        self._locations: dict[str, int] = {}

    async def row(self, new: NewComponent) -> dict[str, Any]:
        """The columns of a new component."""
        values = checked(asdict(new))
        model = await self._model(new.model_id)
        check_fits(model.kind, values)
        values |= {
            "organisation_id": await self._organisation("organisation", new.organisation),
            "owner_id": await self._organisation("owner", new.owner or new.organisation),
            "supplier_id": await self._organisation("supplier", new.supplier),
            "lessor_id": await self._organisation("lessor", new.lessor),
            "location_id": await self._location(new.location),
        }
        if values["calibrated_on"] and not values["calibration_due"]:
            values["calibration_due"] = due(values["calibrated_on"], model)
        return values

    async def _model(self, model_id: int) -> Model:
        if model_id not in self._models:
            try:
                self._models[model_id] = await find_model(self._connection, model_id)
            except NotFoundError as error:
                raise InvalidError("model_id", str(error)) from None
        return self._models[model_id]

    async def _organisation(self, field: str, slug: str | None) -> int | None:
        if slug is None:
            return None
        if (field, slug) not in self._organisations:
            self._organisations[field, slug] = await organisations.id_of(self._connection, slug, field=field)
        return self._organisations[field, slug]

    async def _location(self, slug: str | None) -> int | None:
        if slug is None:
            return None
        if slug not in self._locations:
            found = await locations.location_called(self._connection, slug)
            if found is None:
                raise InvalidError("location", f"there is no {slug!r}: enter the location first")
            self._locations[slug] = found.location_id
        return self._locations[slug]


def due(done_on: date, model: Model) -> date | None:
    """Until when a calibration of this model holds; None when its models are not calibrated."""
    if model.calibration_interval_days is None:
        return None
    return done_on + timedelta(days=model.calibration_interval_days)


async def edit_component(
    connection: Connection,
    component_id: int,
    changes: Mapping[str, Any],
    *,
    by: Principal,
    revisions: frozenset[int] | None = None,
) -> Component | Outdated:
    """Change fields of `EDITABLE`, with an event that says what was before.

    Raises NotFoundError, InvalidError, ConflictError. An edit that changes nothing leaves no trace.
    """
    given = checked({name: changes[name] for name in EDITABLE if name in changes})
    async with connection.transaction():
        before = await locked(connection, component_id)
        if revisions is not None and before.revision not in revisions:
            return Outdated(before.revision)
        check_fits(before.kind, given)
        after = replace(before, **given)
        return await _store(connection, before, after, by=by, reason=None)


async def locked(connection: Connection, component_id: int) -> Component:
    """One component, locked until the transaction ends; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["lock"], {"id": component_id}, Component)
    if found is None:
        raise NotFoundError("component", str(component_id))
    return found


async def _store(
    connection: Connection, before: Component, after: Component, *, by: Principal, reason: str | None
) -> Component:
    names = [f.name for f in fields(Component) if getattr(before, f.name) != getattr(after, f.name)]
    if not names:
        return before
    values = asdict(after) | {
        "id": before.component_id,
        "supplier_id": await organisations.id_of(connection, after.supplier, field="supplier"),
        "lessor_id": await organisations.id_of(connection, after.lessor, field="lessor"),
    }
    try:
        async with connection.transaction():
            await connection.execute(_SQL["edit"], values)
    except UniqueViolation as error:
        raise _taken(error, values) from None
    event = {
        "id": before.component_id,
        "before": Jsonb({name: _plain(getattr(before, name)) for name in names}),
        "after": Jsonb({name: _plain(getattr(after, name)) for name in names}),
        "actor": by.actor,
        "reason": reason,
    }
    await connection.execute(_SQL["log"], event)
    return await find_component(connection, before.component_id)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


_TAKEN = {
    "components_model_id_serial_key": "serial",
    "components_asset_tag_key": "asset_tag",
    "components_by_imei": "imei",
    "components_by_iccid": "iccid",
}


def _taken(error: UniqueViolation, values: Mapping[str, Any]) -> ConflictError:
    """Says which identity is in the books already; not whose it is, which the caller may not see."""
    name = _TAKEN.get(error.diag.constraint_name or "", "serial")
    return ConflictError(f"{name} {values.get(name)} is in the books already")
