"""Nobody gives away what they do not hold."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from fleet.access.principal import Principal
from fleet.access.roles import Role
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_value

_SQL = load_queries("fleet.access", "users.sql")


async def may_give(connection: AsyncConnection[Any], by: Principal, role: Role, organisation_id: int | None) -> bool:
    """Whether `by` may give `role` over an organisation (None is the whole installation) to somebody else.

    It takes that role or the administrator's, given for the organisation itself or one above it. What is held by
    agreement only cannot be given away: it would outlast the agreement.
    """
    roots = by.roots(role, Role.ADMIN)
    if roots is None:
        return True
    if organisation_id is None or not roots:
        return False
    values = {"organisation_id": organisation_id, "roots": sorted(roots)}
    return bool(await fetch_value(connection, _SQL["is_below"], values))
