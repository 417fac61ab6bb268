"""Organisations: who owns kits, who has them, who works on them; a tree, and agreements across it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import CheckViolation

from fleet.db.queries import load_queries
from fleet.db.rows import fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError

_SQL = load_queries("fleet.access", "organisations.sql")

Connection = AsyncConnection[Any]


class OrganisationKind(StrEnum):
    """What a party is."""

    REGION = "region"
    MUNICIPALITY = "municipality"
    HOSPITAL = "hospital"
    OPERATOR = "operator"
    SUPPLIER = "supplier"
    LESSOR = "lessor"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Organisation:
    """A party; `parent` is the slug of the one above it, `kits` how many the books give it now."""

    slug: str
    name: str
    kind: str
    parent: str | None
    active: bool
    revision: int
    created_at: datetime
    kits: int


@dataclass(frozen=True, slots=True)
class NewOrganisation:
    """An organisation to enter, below `parent` (a slug)."""

    slug: str
    name: str
    kind: str = OrganisationKind.OTHER
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Lets an operator's people see an organisation with all below it, between two moments."""

    agreement_id: int
    operator: str
    organisation: str
    valid_from: datetime
    valid_until: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class _Found:
    organisation_id: int
    parent_id: int | None
    revision: int


async def organisations(
    connection: Connection,
    *,
    after: str = "",
    limit: int = 500,
    kind: str | None = None,
    parent: str | None = None,
) -> list[Organisation]:
    """Organisations by slug."""
    values = {"after": after, "limit": limit, "kind": kind, "parent": parent}
    return await fetch_all(connection, _SQL["list"], values, Organisation)


async def find(connection: Connection, slug: str) -> Organisation:
    """One organisation; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"slug": slug}, Organisation)
    if found is None:
        raise NotFoundError("organisation", slug)
    return found


async def id_of(connection: Connection, slug: str | None, *, field: str = "organisation") -> int | None:
    """The number of an organisation the caller sees; raises InvalidError naming `field`."""
    if slug is None:
        return None
    found: int | None = await fetch_value(connection, _SQL["id"], {"slug": slug})
    if found is None:
        raise InvalidError(field, f"there is none with the slug {slug!r}")
    return found


async def add(connection: Connection, new: NewOrganisation) -> Organisation:
    """Enter an organisation; raises ConflictError when the slug is taken."""
    parent_id = await id_of(connection, new.parent, field="parent")
    if not await fetch_value(connection, _SQL["add"], {**asdict(new), "parent_id": parent_id}):
        raise ConflictError(f"organisation {new.slug} exists already")
    return await find(connection, new.slug)


async def edit(
    connection: Connection, slug: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Organisation | int:
    """Change name, kind, parent or active; answers the present revision when it is none of `revisions`.

    Raises NotFoundError, and InvalidError when the organisation would be below itself.
    """
    async with connection.transaction():
        found = await fetch_one(connection, _SQL["lock"], {"slug": slug}, _Found)
        if found is None:
            raise NotFoundError("organisation", slug)
        if revisions is not None and found.revision not in revisions:
            return found.revision
        before = await find(connection, slug)
        after = {name: changes.get(name, getattr(before, name)) for name in ("name", "kind", "active")}
        values = {**after, "id": found.organisation_id, "parent_id": found.parent_id}
        if "parent" in changes:  # else it stays, seen by the caller or not
            values["parent_id"] = await id_of(connection, changes["parent"], field="parent")
        try:
            await connection.execute(_SQL["edit"], values)
        except CheckViolation:
            raise InvalidError("parent", f"{changes['parent']} is {slug} itself or below it") from None
        return await find(connection, slug)


async def agreements(connection: Connection, organisation: str, *, after: int = 0, limit: int = 500) -> list[Agreement]:
    """Who may see an organisation by agreement, the ended ones too."""
    values = {"slug": organisation, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["agreements"], values, Agreement)


async def agree(
    connection: Connection, organisation: str, *, operator: str, valid_until: datetime | None = None, note: str = ""
) -> Agreement:
    """Let an operator see an organisation with all below it from now on."""
    values = {
        "organisation_id": await id_of(connection, organisation),
        "operator_id": await id_of(connection, operator, field="operator"),
        "valid_until": valid_until,
        "note": note,
    }
    if values["organisation_id"] == values["operator_id"]:
        raise InvalidError("operator", "is the organisation itself")
    try:
        made = await fetch_one(connection, _SQL["agree"], values, Agreement)
    except CheckViolation:
        raise InvalidError("valid_until", "lies in the past") from None
    assert made is not None
    return made


async def end_agreement(connection: Connection, organisation: str, agreement_id: int) -> None:
    """End an agreement now; doing it twice changes nothing. Raises NotFoundError."""
    values = {"slug": organisation, "agreement_id": agreement_id}
    if await fetch_value(connection, _SQL["end_agreement"], values) is None:
        raise NotFoundError("agreement", str(agreement_id))
