"""What the desk reads of service requests: lists, histories, evidence, lessons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from fleet.access.principal import Principal
from fleet.alerts.requests import steps
from fleet.alerts.requests.log import Standing
from fleet.alerts.requests.whose import roles_over
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_dicts

Connection = AsyncConnection[Any]
Row = dict[str, Any]

_SQL = load_queries("fleet.alerts.requests", "reading.sql")
_STANDING = tuple(each.name for each in fields(Standing))
MOST_COUNTED = 20_000


async def rows(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Row]:
    """Rows of one of the lists in `reading.sql`."""
    return await fetch_dicts(connection, _SQL[query], values)


def allowed_steps(row: Mapping[str, Any], principal: Principal) -> tuple[str, ...]:
    """States that the request of a row of `requests` may go to, as far as the caller may."""
    roles = roles_over(principal, row["organisation_id"], row["owner_id"], row["parties"])
    standing = Standing(**{name: row[name] for name in _STANDING})
    return steps.allowed(standing, roles, row["moment"], timedelta(seconds=row["reopen_within_s"]))


async def history(
    connection: Connection,
    number: str,
    *,
    what: tuple[str, ...] | None = None,
    before: int = 2**63 - 1,
    limit: int = 100,
) -> list[Row]:
    """Entries of the log of a request and of those merged into it, the newest first; `number` says whose each is."""
    values = {"number": number, "what": None if what is None else list(what), "before": before, "limit": limit}
    return await fetch_dicts(connection, _SQL["history"], values)


async def counts(connection: Connection) -> dict[str, Row]:
    """Unresolved requests by line, with how many have no assignee and how many are late."""
    found = await fetch_dicts(connection, _SQL["counts"], {"limit": MOST_COUNTED})
    return {row["line"]: row for row in found}
