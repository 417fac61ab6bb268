"""Logging in: password, code, session, and what those meet who guess."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from fleet.access import passwords, totp
from fleet.access.roles import Role
from fleet.access.sessions import IDLE_S, LIVES_S
from fleet.access.users import RoleAt
from fleet.api.app import create_app
from tests.api import problem, running_app, settings_for
from tests.people import (
    PASSWORD,
    SECRET,
    admin_of,
    browser,
    code,
    forget_last_code,
    make_user,
)
from tests.support import execute, rows, value

SUPPORT = RoleAt(Role.SUPPORT)
WRONG = "forkert adgangskode"


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    """The application with one support agent."""
    await make_user(database, "support-07", SUPPORT)
    async with running_app(database) as running:
        yield running


async def test_a_name_and_a_password_open_a_session(app: FastAPI, database: str) -> None:
    async with browser(app, address="192.0.2.7") as person:
        with capture_logs() as lines:
            done = await person.log_in("Support-07", to="/?q=K-1")
        assert (done.status_code, done.headers["location"]) == (303, "/?q=K-1")
        cookie = done.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert (await person.get("/")).status_code == 200
        me = (await person.get("/api/v1/me")).json()
    assert (me["kind"], me["name"], me["need"]) == ("user", "support-07", None)
    assert me["roles"] == [{"role": "support", "organisation": None, "reaches": None}]
    assert PASSWORD not in str(lines)
    assert value(database, "SELECT last_login_at IS NOT NULL FROM users")
    (told,) = rows(database, "SELECT actor, origin, after ->> 'method' FROM audit WHERE action = 'users.logged_in'")
    assert told == ("user 1 support-07", "192.0.2.7", "password")
    assert person.cookie.encode() not in bytes(value(database, "SELECT secret_hash FROM sessions"))


async def test_what_a_person_does_bears_their_name(app: FastAPI, database: str) -> None:
    await make_user(database, "logistik-1", RoleAt(Role.LOGISTICS))
    async with browser(app) as person:
        await person.enter("logistik-1")
        made = await person.json("POST", "/locations", {"slug": "depot", "name": "Depot", "kind": "depot"})
        assert made.status_code == 201
    told = rows(database, "SELECT actor, principal FROM audit WHERE action = 'locations.created'")
    assert told == [("user 2 logistik-1", "user:2")]


async def test_a_one_time_password_is_changed_before_anything_else(app: FastAPI, database: str) -> None:
    await make_user(database, "ny-01", SUPPORT, password=None)
    async with browser(app) as person:
        await person.log_in("ny-01")
        sent = await person.get("/")
        assert (sent.status_code, sent.headers["location"]) == (303, "/account")
        assert problem(await person.get("/api/v1/kits"), 403)["need"] == "new_password"
        assert "Choose a password" in (await person.get("/account")).text
        for new, again, said in (
            ("kort", "kort", "at least 12"),
            ("ny-01 er mit navn", "ny-01 er mit navn", "account name"),
            ("password1234", "password1234", "tried first"),
            (PASSWORD, PASSWORD, "already"),
            ("te og solskin på vej", "te og solskin", "differ"),
        ):
            answer = await person.submit("/account", "/account/password", current=PASSWORD, new=new, again=again)
            assert answer.status_code == 422
            assert said in answer.text, said
        new = "te og solskin på vej"
        assert (
            "is wrong" in (await person.submit("/account", "/account/password", current=WRONG, new=new, again=new)).text
        )
        done = await person.submit("/account", "/account/password", current=PASSWORD, new=new, again=new)
        assert "is changed" in done.text
        assert (await person.get("/")).status_code == 200
    async with browser(app) as person:
        assert (await person.log_in("ny-01")).status_code == 403
        await person.enter("ny-01", new)


async def test_a_one_time_password_expires(app: FastAPI, database: str) -> None:
    await make_user(database, "ny-01", SUPPORT, password=None)
    execute(database, "UPDATE users SET password_expires_at = now() WHERE username = 'ny-01'")
    async with browser(app) as person:
        assert "has expired" in (await person.log_in("ny-01")).text
        assert "has expired" not in (await person.log_in("ny-01", WRONG)).text
        assert (await person.get("/")).status_code == 303


async def test_an_administrator_sets_up_a_second_factor_first(app: FastAPI, database: str) -> None:
    await make_user(database, "admin-1", admin_of(None))
    async with browser(app) as person:
        await person.log_in("admin-1")
        assert (await person.get("/")).headers["location"] == "/account"
        assert problem(await person.get("/api/v1/kits"), 403)["need"] == "second_factor"
        page = await person.submit("/account", "/account/second-factor", password=PASSWORD)
        assert "<svg" in page.text
        secret = _secret_of(page.text)
        wrong = await person.submit("/account", "/account/second-factor/confirm", code="000000")
        assert wrong.status_code == 422
        assert _secret_of(wrong.text) == secret
        assert (await person.get("/")).status_code == 303
        used = code(secret)
        kept = await person.submit("/account", "/account/second-factor/confirm", code=used)
        recovery = re.findall(r"<code>([A-Z2-7-]{19})</code>", kept.text)
        assert len(recovery) == totp.RECOVERY_CODES
        assert (await person.get("/")).status_code == 200
        refused = await person.submit("/account", "/account/second-factor/remove", password=PASSWORD)
        assert refused.status_code == 403
    stored = bytes(value(database, "SELECT totp_secret FROM users WHERE username = 'admin-1'"))
    assert secret not in stored
    assert secret.hex() not in str(rows(database, "SELECT to_jsonb(a) FROM audit a"))
    async with browser(app) as person:
        first = await person.log_in("admin-1", to="/?q=K")
        assert first.headers["location"].endswith("/login/code?next=%2F%3Fq%3DK")
        assert (await person.get("/")).status_code == 303
        problem(await person.get("/api/v1/me"), 401)
        # The code of the confirmation does not count again, a recovery code counts once.
        assert (await person.give_code(used)).status_code == 403
        assert (await person.give_code(recovery[0].lower().replace("-", " "), to="/?q=K")).headers[
            "location"
        ] == "/?q=K"
        assert (await person.get("/api/v1/me")).json()["recovery_codes_left"] == totp.RECOVERY_CODES - 1
    async with browser(app) as person:
        await person.log_in("admin-1")
        assert (await person.give_code(recovery[0])).status_code == 403
        await person.give_code(code(secret, steps=1))
        assert (await person.get("/")).status_code == 200


def _secret_of(page: str) -> bytes:
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert found, page
    return base64.b32decode(found[1].replace(" ", ""))


async def test_a_code_counts_once_even_at_the_same_moment(app: FastAPI, database: str) -> None:
    await make_user(database, "admin-1", admin_of(None), second_factor=True)
    given = code()
    async with browser(app) as one, browser(app) as two:
        await one.log_in("admin-1")
        await two.log_in("admin-1")
        answers = await asyncio.gather(one.give_code(given), two.give_code(given))
    assert sorted(answer.status_code for answer in answers) == [303, 403]


async def test_the_session_is_a_new_one_after_each_step(app: FastAPI, database: str) -> None:
    await make_user(database, "admin-1", admin_of(None), second_factor=True)
    async with browser(app) as person:
        seen = []
        await person.get("/login")
        seen.append(person.cookie)
        await person.log_in("admin-1")
        seen.append(person.cookie)
        await person.give_code(code())
        seen.append(person.cookie)
        assert len(set(seen)) == 3
        for planted in seen[:2]:
            async with browser(app) as other:
                other.client.cookies.set("fleet_session", planted)
                assert (await other.get("/")).status_code == 303
    assert rows(database, "SELECT stage, revoked_at IS NULL FROM sessions ORDER BY session_id") == [
        ("code", False),
        ("open", True),
    ]


async def test_logging_out_ends_the_session_wherever_its_cookie_is(app: FastAPI) -> None:
    async with browser(app) as person, browser(app) as copy:
        await person.enter("support-07")
        copy.client.cookies.set("fleet_session", person.cookie)
        assert (await copy.get("/")).status_code == 200
        assert (await person.submit("/account", "/logout")).headers["location"] == "/login"
        assert (await copy.get("/")).status_code == 303
        problem(await copy.get("/api/v1/kits"), 401)


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE sessions SET last_used_at = now() - interval '{IDLE_S + 1} seconds'",
        f"UPDATE sessions SET expires_at = expires_at - interval '{LIVES_S + 1} seconds'",
        "UPDATE sessions SET revoked_at = now()",
        "UPDATE users SET disabled_at = now()",
        "DELETE FROM users",
    ],
)
async def test_a_session_ends(app: FastAPI, database: str, change: str) -> None:
    async with browser(app) as person:
        await person.enter("support-07")
        assert (await person.get("/")).status_code == 200
        execute(database, change)
        assert (await person.get("/")).status_code == 303


async def test_use_keeps_a_session_awake_with_little_writing(app: FastAPI, database: str) -> None:
    async with browser(app) as person:
        await person.enter("support-07")
        execute(database, f"UPDATE sessions SET last_used_at = now() - interval '{IDLE_S - 60} seconds'")
        await person.get("/")
        assert value(database, "SELECT last_used_at > now() - interval '1 minute' FROM sessions")
        before = value(database, "SELECT xmin::text FROM sessions")
        await person.get("/")
        assert value(database, "SELECT xmin::text FROM sessions") == before


async def test_a_page_that_keeps_itself_current_does_not_keep_the_session(app: FastAPI, database: str) -> None:
    async with browser(app) as person:
        await person.enter("support-07")
        execute(database, f"UPDATE sessions SET last_used_at = now() - interval '{IDLE_S - 60} seconds'")
        before = value(database, "SELECT last_used_at FROM sessions")
        assert (await person.client.get("/", headers={"X-By-Itself": "1"})).status_code == 200
        assert value(database, "SELECT last_used_at FROM sessions") == before
        execute(database, "UPDATE sessions SET last_used_at = last_used_at - interval '2 minutes'")
        assert (await person.client.get("/", headers={"X-By-Itself": "1"})).status_code == 303


async def test_an_unfinished_login_can_do_nothing_but_finish(app: FastAPI, database: str) -> None:
    await make_user(database, "admin-1", admin_of(None), second_factor=True)
    async with browser(app) as person:
        await person.log_in("admin-1")
        for path in ("/api/v1/me", "/api/v1/kits", "/api/v1/users", "/api/v1/events"):
            problem(await person.get(path), 401)
        assert (await person.get("/account")).headers["location"].startswith("/login")
        execute(database, "UPDATE sessions SET expires_at = now()")
        late = await person.give_code(code())
        assert late.status_code == 403
        assert "took too long" in late.text


async def test_an_outdated_hash_is_renewed_at_login(app: FastAPI, database: str) -> None:
    from argon2 import PasswordHasher

    weaker = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    execute(database, "UPDATE users SET password_hash = %s", weaker)
    async with browser(app) as person:
        await person.enter("support-07")
        await person.enter("support-07")
    assert not passwords.is_outdated(value(database, "SELECT password_hash FROM users"))


async def test_a_changed_key_locks_no_recovery_code_out(app: FastAPI, database: str) -> None:
    user_id = await make_user(database, "admin-1", admin_of(None), second_factor=True)
    (recovery,) = totp.new_recovery_codes()[:1]
    execute(database, "INSERT INTO recovery_codes VALUES (%s, %s)", user_id, totp.hash_recovery_code(recovery))
    execute(database, "UPDATE users SET totp_secret = 'sealed with another key' WHERE user_id = %s", user_id)
    async with browser(app) as person:
        await person.log_in("admin-1")
        with capture_logs() as lines:
            assert (await person.give_code(code())).status_code == 403
        assert any("FLEET_SECRET_KEY" in line["event"] for line in lines)
        assert (await person.give_code(recovery)).headers["location"] == "/"


async def test_without_a_key_nobody_sets_up_a_second_factor(database: str) -> None:
    await make_user(database, "support-07", SUPPORT)
    keyless = create_app(settings_for(database).model_copy(update={"secret_key": None}))
    async with keyless.router.lifespan_context(keyless), browser(keyless) as person:
        await person.enter("support-07")
        answer = await person.submit("/account", "/account/second-factor", password=PASSWORD)
        assert answer.status_code == 503
        assert "FLEET_SECRET_KEY" in answer.text


async def test_over_tls_cookies_are_for_tls_and_this_host_only(database: str) -> None:
    await make_user(database, "support-07", SUPPORT)
    settings = settings_for(database).model_copy(update={"http_public_url": "https://fleet.test"})
    app = create_app(settings)
    async with app.router.lifespan_context(app), browser(app, base="https://fleet.test") as person:
        done = await person.log_in("support-07")
        cookies = {cookie.split("=")[0]: cookie.lower() for cookie in done.headers.get_list("set-cookie")}
        assert set(cookies) == {"__Host-fleet_session", "__Host-fleet_known"}
        for cookie in cookies.values():
            assert "; secure" in cookie
            assert "; httponly" in cookie
            assert re.search("; path=/(;|$)", cookie)
            assert "domain" not in cookie
        language = (await person.get("/language/da")).headers["set-cookie"]
        assert "; secure" in language.lower()


async def test_the_login_page_offers_what_there_is(database: str) -> None:
    async with running_app(database) as app:
        async with browser(app) as person:
            assert "<details open>" in (await person.get("/login")).text
        await make_user(database, "support-07", SUPPORT)
        async with browser(app) as person:
            page = (await person.get("/login")).text
    assert "<details>" in page
    assert "/login/provider" not in page


async def test_the_account_page_shows_what_fits(app: FastAPI, database: str) -> None:
    await make_user(database, "service-1", RoleAt(Role.SERVICE), second_factor=True)
    async with browser(app) as person:
        await person.enter("support-07")
        assert "Set up a second factor" in (await person.get("/account")).text
        await person.enter("service-1", secret=SECRET)
        page = (await person.get("/account")).text
        assert "another phone" in page
        assert "Remove" in page
        removed = await person.submit("/account", "/account/second-factor/remove", password=PASSWORD)
        assert "is removed" in removed.text
        await person.enter("service-1")
    assert value(database, "SELECT totp_secret IS NULL FROM users WHERE username = 'service-1'")


async def test_a_form_from_elsewhere_changes_nothing(app: FastAPI, database: str) -> None:
    async with browser(app) as person:
        await person.enter("support-07")
        before = value(database, "SELECT password_hash FROM users")
        new = "te og solskin på vej"
        form = {"csrf": "x", "current": PASSWORD, "new": new, "again": new}
        assert (await person.client.post("/account/password", data=form)).status_code == 403
        assert (await person.client.post("/logout", data={"csrf": ""})).status_code == 403
        assert (await person.client.post("/login", data={"csrf": "", "username": "support-07"})).status_code == 403
        assert (await person.client.post("/login/code", data={"csrf": "", "code": "1"})).status_code == 403
        assert value(database, "SELECT password_hash FROM users") == before


async def test_a_new_password_ends_every_other_session(app: FastAPI, database: str) -> None:
    new = "te og solskin på vej"
    async with browser(app) as here, browser(app) as there:
        await here.enter("support-07")
        await there.enter("support-07")
        await here.submit("/account", "/account/password", current=PASSWORD, new=new, again=new)
        assert (await here.get("/")).status_code == 200
        assert (await there.get("/")).status_code == 303


async def test_login_needs_no_more_than_it_needs(app: FastAPI, database: str) -> None:
    """Whatever the API's role is made to run, it reads no hash or secret of all accounts at once."""
    import psycopg

    forget_last_code(database)
    with psycopg.connect(database) as connection:
        for column in ("password_hash", "totp_secret", "totp_pending", "*"):
            with connection.transaction(force_rollback=True):
                connection.execute("SET LOCAL ROLE fleet_api")
                connection.execute("SELECT set_config('fleet.scope', '*', true)")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT {column} FROM users".encode())
        for table in ("sessions", "login_attempts"):
            with connection.transaction(force_rollback=True):
                connection.execute("SET LOCAL ROLE fleet_api")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT * FROM {table}".encode())
