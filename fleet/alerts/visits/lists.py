"""Why visits may fail, and within how many working days they are to be done: for all, and by contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from fleet.alerts.visits.store import SQL
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, ForbiddenError, NotFoundError
from fleet.state.registry.editing import Outdated

MOST_LINES = 20_000


@dataclass(frozen=True, slots=True)
class FailureReason:
    """A line of the list; one that is not active is not chosen any more."""

    failure: str
    title_en: str
    title_da: str
    active: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Working days from the order until a visit is to be done, and of urgent ones."""

    working_days: int
    urgent_days: int
    revision: int


@dataclass(frozen=True, slots=True)
class ContractTarget:
    """The same as a contract says it; None as for all."""

    slug: str
    working_days: int | None
    urgent_days: int | None
    revision: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Visits of a kind that were done in a month for an organisation, and the times somebody came in vain.

    `failures` are those times by reason, `median_days` working days from order to done, `kits` how many kits were
    visited. Of those `entered_afterwards`, which were done before they were asked for, no time is known.
    """

    month: str
    kind: str
    organisation: str | None
    done: int
    within_target: int
    entered_afterwards: int
    kits: int
    median_days: float | None
    failed: int
    failures: dict[str, int]


async def failures(
    connection: Connection, *, after: str = "", limit: int = 500, failure: str | None = None, active: bool | None = None
) -> list[FailureReason]:
    """Reasons by name."""
    values = {"after": after, "limit": limit, "failure": failure, "active": active}
    return await fetch_all(connection, SQL["failures"], values, FailureReason)


async def find_failure(connection: Connection, failure: str) -> FailureReason:
    """One reason; raises NotFoundError."""
    found = await failures(connection, failure=failure, limit=1)
    if not found:
        raise NotFoundError("reason", failure)
    return found[0]


async def add_failure(connection: Connection, line: Mapping[str, Any]) -> FailureReason:
    """A new reason. Raises ConflictError when there is one of that name, ForbiddenError."""
    async with connection.transaction():
        await _for_the_installation(connection)
        if await fetch_value(connection, SQL["add_failure"], line) is None:
            raise ConflictError(f"there is a reason named {line['failure']!r} already")
        return await find_failure(connection, line["failure"])


async def edit_failure(
    connection: Connection, failure: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None
) -> FailureReason | Outdated:
    """Another text, or out of use; visits that say it go on saying it. Raises NotFoundError, ForbiddenError."""
    async with connection.transaction():
        await find_failure(connection, failure)
        await _for_the_installation(connection)
        revision = await fetch_value(connection, SQL["lock_failure"], {"failure": failure})
        if revisions is not None and revision not in revisions:
            return Outdated(revision)
        before = asdict(await find_failure(connection, failure))
        await connection.execute(SQL["set_failure"], {**before, **changes})
        return await find_failure(connection, failure)


async def settings(connection: Connection) -> Settings:
    """The settings as they are."""
    found = await fetch_one(connection, SQL["settings"], {}, Settings)
    assert found is not None
    return found


async def set_settings(
    connection: Connection, changes: Mapping[str, Any], *, revisions: frozenset[int] | None
) -> Settings | Outdated:
    """Other targets, for visits that are planned from now on. Raises ForbiddenError."""
    async with connection.transaction():
        await _for_the_installation(connection)
        revision = await fetch_value(connection, SQL["lock_settings"], {})
        if revisions is not None and revision not in revisions:
            return Outdated(revision)
        await connection.execute(SQL["set_settings"], {**asdict(await settings(connection)), **changes})
        return await settings(connection)


async def contract_target(connection: Connection, slug: str) -> ContractTarget:
    """What a contract says of visits; raises NotFoundError."""
    found = await fetch_one(connection, SQL["contract_target"], {"slug": slug}, ContractTarget)
    if found is None:
        raise NotFoundError("contract", slug)
    return found


async def set_contract_target(
    connection: Connection, slug: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None
) -> ContractTarget | Outdated:
    """Other targets of a contract, for visits that are planned from now on. Raises NotFoundError, ForbiddenError."""
    async with connection.transaction():
        before = await contract_target(connection, slug)
        revision = await fetch_value(connection, SQL["lock_contract"], {"slug": slug})
        if revision is None:
            raise ForbiddenError("it is for all organisations: only who is bound to none of them may change it")
        if revisions is not None and revision not in revisions:
            return Outdated(revision)
        await connection.execute(SQL["set_contract_target"], {**asdict(before), **changes})
        return await contract_target(connection, slug)


async def statistics(
    connection: Connection, *, first: date, last: date, kind: str | None = None, organisation: str | None = None
) -> list[Figures]:
    """Lines by month, kind and organisation, for days from `first` to `last`."""
    values = {"first": first, "last": last, "kind": kind, "organisation": organisation, "limit": MOST_LINES}
    rows = await fetch_dicts(connection, SQL["statistics"], values)
    return [Figures(**row) for row in rows]


async def _for_the_installation(connection: Connection) -> None:
    if not await fetch_value(connection, SQL["sees_all"], {}):
        raise ForbiddenError("it is the same for all: it is set for the whole installation")
