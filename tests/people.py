"""What the tests of users and logins share: accounts made directly, and a browser that logs in through the forms."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI

from fleet.access import passwords, totp, users
from fleet.access.principal import SYSTEM
from fleet.access.roles import Role
from fleet.access.totp import Sealer
from fleet.access.users import NewUser, RoleAt
from fleet.db.connect import connect
from tests.api import settings_for
from tests.support import execute, value

PASSWORD = "kaffe og regnvejr"
SECRET = b"12345678901234567890"
"""What the apps of those with a second factor hold."""


def add_organisations(database: str, *slugs: str, under: str | None = None, kind: str = "municipality") -> None:
    """Enter organisations below another."""
    execute(
        database,
        "INSERT INTO organisations (slug, name, kind, parent_id) SELECT s, s, %s,"
        " (SELECT organisation_id FROM organisations WHERE slug = %s) FROM unnest(%s::text[]) s",
        kind,
        under,
        list(slugs),
    )


async def make_user(
    database: str,
    username: str,
    *roles: RoleAt,
    organisation: str | None = None,
    password: str | None = PASSWORD,
    second_factor: bool = False,
) -> int:
    """A user with a password of their own (or still the one-time one, which is then PASSWORD too); gives the id."""
    connection = await connect(database, role="test")
    async with connection:
        password_hash = passwords.hash_password(password or PASSWORD)
        made = await users.add(connection, NewUser(username, organisation, roles), password_hash, by=SYSTEM)
        if password is not None:
            await users.set_own_password(connection, made.user_id, password_hash, but=None)
        if second_factor:
            key = settings_for(database).secret_key
            assert key is not None
            sealed = Sealer(key.get_secret_value()).seal(SECRET, made.user_id)
            await users.confirm_second_factor(connection, made.user_id, sealed, 0, [])
    return made.user_id


def admin_of(organisation: str | None) -> RoleAt:
    """The administrator's role there."""
    return RoleAt(Role.ADMIN, organisation)


def code(secret: bytes = SECRET, steps: int = 0) -> str:
    """What the app shows, so many steps from now."""
    return totp.code_at(secret, totp.step_of(datetime.now(UTC)) + steps)


def csrf_of(page: httpx.Response) -> str:
    """The security token of a page's forms."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


class Browser:
    """A client that goes through the forms as a browser does."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **query: str) -> httpx.Response:
        """Ask for a page."""
        return await self.client.get(path, params=query)

    async def submit(self, page: str, to: str, **fields: str) -> httpx.Response:
        """Send a form of `page` to `to`."""
        shown = await self.client.get(page)
        return await self.client.post(to, data={"csrf": csrf_of(shown), **fields})

    async def log_in(self, username: str, password: str = PASSWORD, to: str = "/") -> httpx.Response:
        """The first step."""
        return await self.submit("/login", "/login", username=username, password=password, next=to)

    async def give_code(self, given: str, to: str = "/") -> httpx.Response:
        """The second step."""
        return await self.submit("/login/code", "/login/code", code=given, next=to)

    async def enter(self, username: str, password: str = PASSWORD, *, secret: bytes | None = None) -> None:
        """All steps; ends logged in."""
        answer = await self.log_in(username, password)
        if secret is not None:
            answer = await self.give_code(code(secret))
        assert answer.status_code == 303, answer.text
        assert not answer.headers["location"].startswith("/login"), answer.headers

    async def json(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Call the API with the session, as a script of a page does."""
        token = csrf_of(await self.client.get("/account"))
        sent = {"X-CSRF-Token": token, **{name.replace("_", "-"): text for name, text in headers.items()}}
        return await self.client.request(method, f"/api/v1{path}", json=body, headers=sent)

    @property
    def cookie(self) -> str:
        """The session's cookie."""
        return next(found.value or "" for found in self.client.cookies.jar if found.name.endswith("fleet_session"))


@asynccontextmanager
async def browser(
    app: FastAPI, *, address: str = "127.0.0.1", base: str = "http://fleet.test"
) -> AsyncIterator[Browser]:
    """A browser at an address, without cookies yet."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        yield Browser(client)


def forget_last_code(database: str) -> None:
    """Let the present code be taken once more, so that a test need not wait for the next."""
    execute(database, "UPDATE users SET totp_last_step = 0 WHERE totp_last_step IS NOT NULL")


def let_wait_pass(database: str) -> None:
    """As if the time to wait were over."""
    execute(database, "UPDATE login_attempts SET blocked_until = now() - interval '1 second'")


def audited(database: str, action: str) -> int:
    """How many lines the audit has of an action."""
    count: int = value(database, "SELECT count(*) FROM audit WHERE action = %s", action)
    return count
