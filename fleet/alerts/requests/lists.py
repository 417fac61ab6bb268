"""The lists that requests speak in, and how requests end and come back: the same for the whole installation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from psycopg import AsyncConnection

from fleet.alerts.requests import reading, writing
from fleet.alerts.requests.writing import Settings
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_value
from fleet.errors import ConflictError, ForbiddenError, NotFoundError
from fleet.state.registry.editing import Outdated

Connection = AsyncConnection[Any]
Kind = Literal["cause", "remedy"]

_SQL = load_queries("fleet.alerts.requests", "lists.sql")
_PLURAL = {"cause": "causes", "remedy": "remedies"}


async def find(connection: Connection, kind: Kind, name: str) -> dict[str, Any]:
    """One line of a list; raises NotFoundError."""
    values = {"after": "", kind: name, "active": None, "limit": 1}
    found = await reading.rows(connection, _PLURAL[kind], values)
    if not found:
        raise NotFoundError(kind, name)
    return found[0]


async def add(connection: Connection, kind: Kind, line: Mapping[str, Any]) -> dict[str, Any]:
    """A new line. Raises ConflictError when there is one of that name, ForbiddenError."""
    async with connection.transaction():
        await _for_the_installation(connection)
        if await fetch_value(connection, _SQL[f"add_{kind}"], line) is None:
            raise ConflictError(f"there is a {kind} named {line[kind]!r} already")
        return await find(connection, kind, line[kind])


async def edit(
    connection: Connection, kind: Kind, name: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None
) -> dict[str, Any] | Outdated:
    """Another text, or out of use; what requests say of it stays. Raises NotFoundError, ForbiddenError."""
    async with connection.transaction():
        await find(connection, kind, name)
        await _for_the_installation(connection)
        revision = await fetch_value(connection, _SQL[f"lock_{kind}"], {kind: name})
        if revisions is not None and revision not in revisions:
            return Outdated(revision)
        before = await find(connection, kind, name)
        await connection.execute(_SQL[f"set_{kind}"], {**before, **changes})
        return await find(connection, kind, name)


async def set_settings(
    connection: Connection, changes: Mapping[str, Any], *, revisions: frozenset[int] | None
) -> Settings | Outdated:
    """How requests end and come back, from now on. Raises ForbiddenError."""
    async with connection.transaction():
        await _for_the_installation(connection)
        revision = await fetch_value(connection, _SQL["lock_settings"], {})
        if revisions is not None and revision not in revisions:
            return Outdated(revision)
        before = await writing.settings(connection)
        await connection.execute(_SQL["set_settings"], {**asdict(before), **changes})
        return await writing.settings(connection)


async def _for_the_installation(connection: Connection) -> None:
    if not await fetch_value(connection, _SQL["sees_all"], {}):
        raise ForbiddenError("it is the same for all: it is set for the whole installation")
