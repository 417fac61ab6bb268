"""The beginning of a transaction on somebody's behalf: whose it is and what row-level security lets it see."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from fleet.access.principal import Principal, Scope
from fleet.db.queries import load_queries

_SQL = load_queries("fleet.access", "entering.sql")


async def enter(
    connection: AsyncConnection[Any], principal: Principal, scope: Scope, *, origin: str | None = None
) -> None:
    """Bind the present transaction to `scope` and name who acts in it, for the log and the audit."""
    values = {
        "scope": scope.setting,
        "actor": principal.actor,
        "principal": principal.key,
        "origin": origin or "",
    }
    await connection.execute(_SQL["enter"], values)
