"""The contracts in the database: what is promised to whom, with targets by priority and steps of escalation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg.errors import ForeignKeyViolation

from fleet.access import organisations
from fleet.alerts.rules import Priority
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.registry.editing import Outdated, edit, merged

_SQL = load_queries("fleet.alerts.sla", "contractbook.sql")

STANDARD = "standard"
"""The contract that applies where no other does."""
ALWAYS_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
MAX_STEPS = 20


@dataclass(frozen=True, slots=True)
class TargetRow:
    """What is promised of one priority, in minutes of the calendar's open hours; None promises nothing."""

    priority: str
    solution_min: int
    response_min: int | None = None
    update_min: int | None = None


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of escalation, at `percent` of the target's time or `before_min` open minutes before its end."""

    target: str
    percent: int | None = None
    before_min: int | None = None
    notify: str = "line"
    role: str | None = None
    raise_priority: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract; what of organisation, programme and kit type is None is for all. `targets` are by priority.

    `reopen_days` is how long after its end a request is opened again, None as for all; `update_min` stands in where a
    priority's target does not say one. `to_measure` is how many open requests are still to be measured anew after a
    change.
    """

    contract_id: int
    slug: str
    organisation: str | None
    name: str
    programme: str | None
    kit_type: str | None
    calendar: str
    valid_from: datetime
    valid_until: datetime | None
    reopen_days: int | None
    update_min: int | None
    targets: list[dict[str, Any]]
    escalations: list[dict[str, Any]]
    revision: int
    created_at: datetime
    to_measure: int


@dataclass(frozen=True, slots=True)
class NewContract:
    """A contract to enter."""

    slug: str
    name: str
    calendar: str
    valid_from: datetime
    targets: Sequence[Mapping[str, Any]]
    organisation: str | None = None
    programme: str | None = None
    kit_type: str | None = None
    valid_until: datetime | None = None
    reopen_days: int | None = None
    update_min: int | None = None
    escalations: Sequence[Mapping[str, Any]] = ()


EDITABLE = (
    "name",
    "calendar",
    "valid_from",
    "valid_until",
    "reopen_days",
    "update_min",
    "targets",
    "escalations",
)
"""Whom it is for stays: requests are under it for that reason."""
PARTS: Mapping[str, tuple[str, ...]] = {
    "targets": ("priority", "response_min", "update_min", "solution_min"),
    "escalations": ("step", "target", "percent", "before_min", "notify", "role", "raise_priority"),
}
"""What stands in tables of their own, with its columns."""
FILTERS = ("organisation", "programme", "kit_type", "calendar", "valid_at")


@dataclass(frozen=True, slots=True)
class Application:
    """Which contract applies to a kit: `contract` is None when the caller does not see it."""

    kit: str
    contract_id: int
    contract: str | None


async def list_contracts(connection: Connection, *, after: str = "", limit: int = 500, **chosen: Any) -> list[Contract]:
    """Contracts by slug; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys((*FILTERS, "slug")), **chosen, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["list"], values, Contract)


async def find_contract(connection: Connection, slug: str) -> Contract:
    """One contract; raises NotFoundError."""
    found = await list_contracts(connection, slug=slug, limit=1)
    if not found:
        raise NotFoundError("contract", slug)
    return found[0]


async def contract_of_kit(connection: Connection, kit: str) -> Application:
    """The contract under which a request of the kit would be opened now; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["of_kit"], {"kit": kit}, Application)
    if found is None:
        raise NotFoundError("kit", kit)
    return found


async def add_contract(connection: Connection, new: NewContract) -> Contract:
    """Enter a contract; raises InvalidError, and ConflictError when the slug is taken."""
    values = asdict(new)
    async with connection.transaction():
        check(values)
        organisation_id = await organisations.id_of(connection, new.organisation)
        values |= {"organisation_id": organisation_id}
        values["calendar_id"] = await _calendar(connection, new.calendar, organisation_id)
        if new.kit_type is not None and await fetch_value(connection, _SQL["kit_type"], values) is None:
            raise InvalidError("kit_type", f"there is no {new.kit_type!r}")
        contract_id = await fetch_value(connection, _SQL["add"], values)
        if contract_id is None:
            raise ConflictError(f"contract {new.slug} exists already")
        await _write_parts(connection, contract_id, values, list(PARTS))
        return await find_contract(connection, new.slug)


async def edit_contract(
    connection: Connection, slug: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Contract | Outdated:
    """Change fields of `EDITABLE`; those that ended stay as they were.

    The worker measures its open requests anew, some at a time: `to_measure` says how many are left.

    Raises NotFoundError, InvalidError, and ForbiddenError for one that is for all.
    """

    async def write(before: Contract) -> None:
        values = merged(before, changes, EDITABLE)
        check({**values, "slug": slug})
        organisation_id = await organisations.id_of(connection, before.organisation)
        values |= {"contract_id": before.contract_id, "organisation_id": organisation_id}
        values["calendar_id"] = await _calendar(connection, values["calendar"], organisation_id)
        await connection.execute(_SQL["edit"], values)
        await _write_parts(connection, before.contract_id, values, [name for name in PARTS if name in changes])

    return await edit(
        connection,
        "contract",
        slug,
        lock=lambda: _lock(connection, slug),
        write=write,
        read=lambda: find_contract(connection, slug),
        revisions=revisions,
    )


async def delete_contract(connection: Connection, slug: str) -> None:
    """Delete a contract under which nothing was opened; raises NotFoundError, ForbiddenError, ConflictError."""
    async with connection.transaction():
        held = await _lock(connection, slug)
        if held is None:
            raise NotFoundError("contract", slug)
        if slug == STANDARD:
            raise ConflictError("the standard contract applies where no other does: edit it instead")
        try:
            await connection.execute(_SQL["delete"], {"contract_id": held.contract_id})
        except ForeignKeyViolation:
            raise ConflictError(f"requests were opened under {slug}: end it with valid_until instead") from None


def check(values: Mapping[str, Any]) -> None:
    """Refuse what is no contract; raises InvalidError naming the field."""
    if values["valid_from"] is None:
        raise InvalidError("valid_from", "cannot be empty")
    if values["valid_until"] is not None and values["valid_until"] <= values["valid_from"]:
        raise InvalidError("valid_until", "it ends before it begins")
    if values["slug"] == STANDARD:
        _check_standard(values)
    given = [each["priority"] for each in values["targets"]]
    if sorted(given) != sorted(Priority):
        raise InvalidError("targets", f"each priority once: {', '.join(Priority)}")
    if len(values["escalations"]) > MAX_STEPS:
        raise InvalidError("escalations", f"{MAX_STEPS} steps at most")
    for each in values["escalations"]:
        if (each["percent"] is None) == (each["before_min"] is None):
            raise InvalidError("escalations", "either percent or before_min, for each step")
        if (each["notify"] == "role") == (each["role"] is None):
            raise InvalidError("escalations", "a role when a role is told, and only then")


def _check_standard(values: Mapping[str, Any]) -> None:
    if values["valid_until"] is not None:
        raise InvalidError("valid_until", "the standard contract does not end: it applies where no other does")
    if values["valid_from"] > ALWAYS_BEFORE:
        raise InvalidError("valid_from", "the standard contract is valid since ever: it applies where no other does")


async def _calendar(connection: Connection, slug: str, organisation_id: int | None) -> int:
    """The number of a calendar that a contract of the organisation may go by: of all, its own, or of those above."""
    found: int | None = await fetch_value(
        connection, _SQL["calendar"], {"slug": slug, "organisation_id": organisation_id}
    )
    if found is None:
        raise InvalidError("calendar", f"{slug!r} is none of the organisation or of those above it, nor for all")
    return found


async def _write_parts(
    connection: Connection, contract_id: int, values: Mapping[str, Any], names: Sequence[str]
) -> None:
    whose = {"contract_id": contract_id, "organisation_id": values["organisation_id"]}
    for name in names:
        rows = [{"step": number, **each} for number, each in enumerate(values[name], 1)]
        columns = {field: [row[field] for row in rows] for field in PARTS[name]}
        await connection.execute(_SQL[f"clear_{name}"], whose)
        await connection.execute(_SQL[f"write_{name}"], {**whose, **columns})


async def _lock(connection: Connection, slug: str) -> Contract | None:
    if not await fetch_dicts(connection, _SQL["lock"], {"slug": slug}):
        if await list_contracts(connection, slug=slug, limit=1):
            raise ForbiddenError("it is for all organisations: only who is bound to none of them may change it")
        return None
    return await find_contract(connection, slug)
