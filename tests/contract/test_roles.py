"""Roles against routes: what a role does not hold is refused at every route, what it holds is let through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from fleet.access.roles import MEANINGS, NOT_LENT, PERMISSIONS, TASKS, Permission, Role, allowed
from fleet.docs import roles as page_of_roles
from tests.api import caller, make_token, problem, running_app
from tests.contract.test_openapi import OPEN, OWN, gates, routes
from tests.people import browser, csrf_of, make_user

NOWHERE = "987654321"
"""A value for every part of a path: something that there is not."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A route with the permission it names."""

    method: str
    path: str
    permission: Permission

    @property
    def address(self) -> str:
        """A path to send a request to."""
        return re.sub(r"\{[^}]+\}", NOWHERE, self.path)

    @property
    def is_page(self) -> bool:
        """Whether people see it, in the console."""
        return not self.path.startswith("/api/")


def guarded(app: FastAPI) -> Iterator[Guarded]:
    """Every route with a permission; a route is either that, or open, or one's own account."""
    for path, route in routes(app):
        if path in OPEN or OWN.fullmatch(path):
            continue
        assert isinstance(route, APIRoute), path
        (gate,) = gates(route.dependant)
        assert gate.permission is not None, path
        for method in sorted(route.methods or ()):
            yield Guarded(method, path, gate.permission)


async def ask(client: httpx.AsyncClient, route: Guarded, **headers: str) -> httpx.Response:
    """A request without a body: who may not do it is told that before anything is said of the rest."""
    return await client.request(route.method, route.address, headers={"Accept-Language": "en", **headers})


def refused(answer: httpx.Response, route: Guarded) -> None:
    """The answer says which permission is missing."""
    if route.is_page:
        assert answer.status_code == 403, route
        assert route.permission in answer.text
    else:
        assert problem(answer, 403)["permission"] == route.permission, route


@pytest.mark.parametrize("role", Role)
async def test_a_route_lets_in_who_holds_its_permission_and_nobody_else(database: str, role: Role) -> None:
    token = await make_token(database, role)
    async with running_app(database) as app, caller(app, token) as client:
        for route in guarded(app):
            if not allowed(role, route.permission):
                refused(await ask(client, route), route)
            elif not route.path.endswith("/events"):  # which would go on for ever
                answer = await ask(client, route)
                assert answer.status_code not in (401, 403), (route, answer.text)
                assert answer.status_code < 500, (route, answer.text)


async def test_without_a_role_every_route_is_closed(database: str) -> None:
    await make_user(database, "ny-01")
    async with running_app(database) as app, browser(app) as person:
        await person.enter("ny-01")
        token = csrf_of(await person.get("/account"))
        for route in guarded(app):
            refused(await ask(person.client, route, **{"X-CSRF-Token": token}), route)
        assert (await person.get("/api/v1/me")).json()["permissions"] == []


async def test_without_a_login_every_route_is_closed(database: str) -> None:
    async with running_app(database) as app, caller(app) as client:
        seen = 0
        for route in guarded(app):
            answer = await ask(client, route)
            if route.is_page:
                assert answer.headers["location"].startswith("/login"), route
            else:
                assert problem(answer, 401)["reason"] == "no_token", route
            seen += 1
    assert seen > 50


def test_every_role_and_permission_is_explained() -> None:
    assert set(TASKS) == set(Role) == set(PERMISSIONS)
    assert set(MEANINGS) == set(Permission)
    assert all(text.endswith(".") and text.count(". ") == 0 for text in MEANINGS.values())
    page = page_of_roles.page()
    for permission in Permission:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{permission.value}` |")]
        assert row.count(" yes ") == sum(allowed(role, permission) for role in Role)
        assert ("own only" in row) == (permission in NOT_LENT)


def test_only_administrators_decide_who_may_do_what() -> None:
    for permission in (Permission.USERS_WRITE, Permission.TOKENS_WRITE, Permission.ORGANISATIONS_WRITE):
        assert [role for role in Role if allowed(role, permission)] == [Role.ADMIN]
