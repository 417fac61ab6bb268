"""The console's menu leads nowhere that refuses, and every page that stands by itself is in it."""

from __future__ import annotations

import re

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from fleet.access.roles import Role
from fleet.api.console import router
from fleet.api.console.navigation import GROUPS
from tests.api import caller, make_token, running_app

PATHS = [each.path for _, entries in GROUPS for each in entries]
ELSEWHERE = ("/account", "/new-problem-tree")


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.GRAFANA])
async def test_each_role_reads_exactly_what_its_menu_shows(database: str, role: Role) -> None:
    token = await make_token(database, role)
    async with running_app(database) as app, caller(app, token) as client:
        shown = set(re.findall(r'<li><a href="(/[^"]*)"', (await client.get("/account")).text))
        for path in PATHS:
            status = (await client.get(path)).status_code
            assert status == (200 if path in shown else 403), path


def test_every_page_that_stands_by_itself_is_in_the_menu() -> None:
    alone = {
        context.path or ""
        for context in iter_route_contexts(router.routes)
        if isinstance(context.original_route, APIRoute) and "GET" in (context.methods or ())
    }
    alone = {path for path in alone if "{" not in path and not path.startswith("/login")}
    assert alone == {*PATHS, *ELSEWHERE}
