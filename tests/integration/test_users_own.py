"""What people do with their own account, and what the tables keep from others."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from fleet.access.roles import Role
from fleet.access.users import RoleAt
from tests.api import problem
from tests.people import PASSWORD, admin_of, browser, code, make_user
from tests.support import execute, rows, value
from tests.users_world import NEW, admins, users_app


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    async with users_app(database) as running:
        yield running


@pytest.fixture
async def clients(app: FastAPI, database: str) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with admins(app, database) as made:
        yield made


async def test_me_tells_a_token_too(clients: dict[str, httpx.AsyncClient]) -> None:
    me = (await clients["nord"].get("/api/v1/me")).json()
    assert (me["kind"], me["second_factor"], me["need"]) == ("token", False, None)
    assert me["roles"] == [{"role": "admin", "organisation": "nord", "reaches": 4}]
    assert "users.write" in me["permissions"]
    for path, sent in (
        ("password", {"current": "x", "new": NEW}),
        ("totp", {"password": "x"}),
        ("totp/confirm", {"code": "1"}),
        ("totp/remove", {"password": "x"}),
    ):
        problem(await clients["nord"].post(f"/api/v1/me/{path}", json=sent), 403)


async def test_a_second_factor_is_set_up_over_the_api(app: FastAPI, database: str) -> None:
    await make_user(database, "support-07", RoleAt(Role.SUPPORT, "a-by"), organisation="a-by")
    async with browser(app) as person:
        await person.enter("support-07")
        problem(await person.json("POST", "/me/totp", {"password": "wrong"}), 422, "password")
        problem(await person.json("POST", "/me/totp/confirm", {"code": "123456"}), 422, "code")
        sent = {"password": PASSWORD}
        first, again = [await person.json("POST", "/me/totp", sent, Idempotency_Key="one") for _ in range(2)]
        enrolment = first.json()["enrolment"]
        assert again.json() == {"enrolment": None}
        assert enrolment["qr"].startswith("data:image/svg+xml")
        assert enrolment["secret"].replace(" ", "") in enrolment["uri"]
        secret = base64.b32decode(enrolment["secret"].replace(" ", ""))
        problem(await person.json("POST", "/me/totp/confirm", {"code": "000000"}), 422, "code")
        confirmed = await person.json("POST", "/me/totp/confirm", {"code": code(secret)})
        assert len(confirmed.json()["recovery_codes"]) == 10
        assert (await person.get("/api/v1/me")).json()["second_factor"]
        removed = await person.json("POST", "/me/totp/remove", sent)
        assert removed.json() == {"need": None}
    kept = str(rows(database, "SELECT to_jsonb(k) FROM idempotency_keys k"))
    assert enrolment["secret"] not in kept
    assert secret not in b"".join(bytes(row[0]) for row in rows(database, "SELECT request_hash FROM idempotency_keys"))


async def test_no_hash_of_a_password_lies_among_the_repeats(app: FastAPI, database: str) -> None:
    await make_user(database, "support-07", RoleAt(Role.SUPPORT, "a-by"), organisation="a-by")
    async with browser(app) as person:
        await person.enter("support-07")
        sent = {"current": PASSWORD, "new": NEW}
        answers = [await person.json("POST", "/me/password", sent, Idempotency_Key="one") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        hashes = {bytes(row[0]) for row in rows(database, "SELECT request_hash FROM idempotency_keys")}
        other = await person.json("POST", "/me/totp", {"password": NEW}, Idempotency_Key="one")
        problem(other, 422, "Idempotency-Key")
    assert hashes == {hashlib.sha256(b"POST /api/v1/me/password\n").digest()}


async def test_troubles_with_the_own_password_name_their_field(app: FastAPI, database: str) -> None:
    await make_user(database, "support-07", RoleAt(Role.SUPPORT, "a-by"), organisation="a-by")
    async with browser(app) as person:
        await person.enter("support-07")
        for sent, field in (
            ({"current": "wrong", "new": NEW}, "current"),
            ({"current": PASSWORD, "new": "short"}, "new"),
            ({"current": PASSWORD, "new": PASSWORD}, "new"),
            ({"current": PASSWORD}, "new"),
        ):
            problem(await person.json("POST", "/me/password", sent), 422, field)
        for n in range(4):
            await person.json("POST", "/me/password", {"current": f"wrong {n}", "new": NEW})
        waits = await person.json("POST", "/me/password", {"current": PASSWORD, "new": NEW})
        problem(waits, 429)
        assert int(waits.headers["retry-after"]) > 0


async def test_the_tables_are_closed_to_other_organisations(database: str, app: FastAPI) -> None:
    """Row-level security by itself: what A's scope shows of users, roles, sessions and recovery codes."""
    ids = [await make_user(database, f"user-{slug}", admin_of(slug), organisation=slug) for slug in ("a-by", "b-by")]
    for user_id in ids:
        execute(database, "INSERT INTO recovery_codes VALUES (%s, 'x')", user_id)
        begin = "SELECT begin_session(%s, %s, NULL, 'password', 'open', '1 hour', NULL)"
        execute(database, begin, f"{user_id}".encode(), user_id)
    tables = ("users", "user_roles", "recovery_codes", "sessions")
    with psycopg.connect(database) as connection:
        connection.execute("SET LOCAL ROLE fleet_api")
        for scope, principal, seen in (
            ("{%d}", "", ids[:1]),
            ("*", "", ids),
            ("{}", f"user:{ids[1]}", ids[1:]),
            ("{}", "", []),
            ("{}", "user:", []),
            ("{}", f"token:{ids[1]}", []),
        ):
            home = value(database, "SELECT organisation_id FROM organisations WHERE slug = 'a-by'")
            connection.execute(
                "SELECT set_config('fleet.scope', %s, true), set_config('fleet.principal', %s, true)",
                (scope.replace("%d", str(home)), principal),
            )
            for table in tables:
                found = connection.execute(f"SELECT user_id FROM {table} ORDER BY user_id".encode()).fetchall()
                assert [row[0] for row in found] == seen, (scope, principal, table)


async def test_people_cannot_give_themselves_roles_even_by_sql(database: str, app: FastAPI) -> None:
    user_id = await make_user(database, "support-07", RoleAt(Role.SUPPORT, "a-by"), organisation="a-by")
    home = value(database, "SELECT organisation_id FROM users")
    for statement in (
        "INSERT INTO user_roles (user_id, role, organisation_id) VALUES (%(user)s, 'admin', %(home)s)",
        "UPDATE user_roles SET role = 'admin' WHERE user_id = %(user)s",
        "UPDATE users SET username = 'other' WHERE user_id = %(user)s",
        "SELECT user_grants(%(user)s) FROM login_attempts",
    ):
        with psycopg.connect(database) as connection:
            connection.execute("SET LOCAL ROLE fleet_api")
            connection.execute(
                "SELECT set_config('fleet.principal', %s, true), set_config('fleet.scope', '{}', true)",
                (f"user:{user_id}",),
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode(), {"user": user_id, "home": home})
