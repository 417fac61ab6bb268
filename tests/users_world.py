"""Organisations whose administrators make users of each other's neighbours, or may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from fleet.access.roles import Role
from tests.api import caller, make_token, running_app
from tests.people import add_organisations
from tests.support import execute

USERS = "/api/v1/users"
NEW = "te og solskin på vej"


@asynccontextmanager
async def users_app(database: str) -> AsyncIterator[FastAPI]:
    """The application on a tree: a region with two municipalities, and an operator with an agreement for one."""
    add_organisations(database, "nord", kind="region")
    add_organisations(database, "a-by", "b-by", under="nord")
    add_organisations(database, "a-skole", under="a-by", kind="other")
    add_organisations(database, "drift", kind="operator")
    execute(
        database,
        "INSERT INTO agreements (operator_id, organisation_id) SELECT p.organisation_id, o.organisation_id"
        " FROM organisations p, organisations o WHERE (p.slug, o.slug) = ('drift', 'a-by')",
    )
    async with running_app(database) as running:
        yield running


@asynccontextmanager
async def admins(app: FastAPI, database: str) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Administrators' clients by organisation; `all` is bound to none."""
    async with AsyncExitStack() as stack:
        made = {}
        for slug in ("all", "nord", "a-by", "b-by", "drift"):
            token = await make_token(database, Role.ADMIN, organisation=None if slug == "all" else slug)
            made[slug] = await stack.enter_async_context(caller(app, token))
        yield made


def body(username: str, organisation: str | None = "a-by", role: str = "support") -> dict[str, Any]:
    """A user with one role where it belongs."""
    roles = [{"role": role, "organisation": organisation}]
    return {"username": username, "organisation": organisation, "roles": roles}
