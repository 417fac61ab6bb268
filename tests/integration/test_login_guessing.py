"""Whoever guesses names, passwords or codes waits longer and longer, learns nothing, and keeps nobody out."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator
from statistics import median

import httpx
import pytest
from fastapi import FastAPI

from fleet.access.roles import Role
from fleet.access.users import RoleAt
from tests.api import running_app, serving
from tests.people import (
    PASSWORD,
    SECRET,
    Browser,
    admin_of,
    audited,
    browser,
    code,
    csrf_of,
    forget_last_code,
    let_wait_pass,
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


def bare(text: str) -> str:
    """A page without what is its own each time."""
    return re.sub(r'value="[^"]*"', "", text)


async def test_all_wrong_logins_look_the_same(app: FastAPI, database: str) -> None:
    await make_user(database, "gone-01", SUPPORT)
    execute(database, "UPDATE users SET disabled_at = now() WHERE username = 'gone-01'")
    answers = []
    for name, password in (
        ("support-07", WRONG),
        ("nobody-99", WRONG),
        ("gone-01", PASSWORD),
        ("\x00' --", "x"),
        ("", ""),
    ):
        async with browser(app) as person:
            answers.append(await person.log_in(name, password))
            assert (await person.get("/")).status_code == 303
    assert {answer.status_code for answer in answers} == {403}
    assert len({bare(answer.text) for answer in answers}) == 1
    assert audited(database, "users.login_refused") == 5
    assert "nobody-99" not in str(rows(database, "SELECT * FROM audit WHERE action = 'users.login_refused'"))


async def test_an_unknown_name_takes_as_long(app: FastAPI, database: str) -> None:
    async def took(name: str) -> float:
        async with browser(app) as person:
            page = await person.get("/login")
            form = {
                "csrf": re.findall(r'name="csrf" value="([^"]+)"', page.text)[0],
                "username": name,
                "password": WRONG,
            }
            begin = time.perf_counter()
            await person.client.post("/login", data=form)
            return time.perf_counter() - begin

    known, unknown = [], []
    for number in range(4):
        known.append(await took("support-07"))
        unknown.append(await took(f"nobody-{number}"))
    assert 0.4 < median(known) / median(unknown) < 2.5


async def test_who_guesses_waits_longer_and_longer_known_or_not(app: FastAPI, database: str) -> None:
    for name in ("support-07", "nobody-99"):
        waits = []
        async with browser(app) as person:
            for _ in range(5):
                assert (await person.log_in(name, WRONG)).status_code == 403
            for _ in range(3):
                refused = await person.log_in(name)
                assert refused.status_code == 429
                assert "Too many failed logins" in refused.text
                waits.append(int(refused.headers["retry-after"]))
                let_wait_pass(database)
                assert (await person.log_in(name.upper(), WRONG)).status_code == 403
        assert waits[0] < waits[1] < waits[2]
    let_wait_pass(database)
    async with browser(app) as person:
        await person.enter("support-07")
        assert (await person.log_in("support-07", WRONG)).status_code == 403


async def test_failures_count_over_all_processes_and_addresses(app: FastAPI, database: str) -> None:
    async with running_app(database) as other:
        for number in range(5):
            async with browser((app, other)[number % 2], address=f"192.0.2.{number}") as person:
                await person.log_in("support-07", WRONG)
        async with browser(other, address="192.0.2.99") as person:
            assert (await person.log_in("support-07")).status_code == 429


async def test_an_address_that_tries_many_names_waits(app: FastAPI) -> None:
    async with browser(app, address="2001:db8::1") as person:
        for number in range(21):
            assert (await person.log_in(f"nobody-{number}", WRONG)).status_code == 403
    async with browser(app, address="2001:db8::ffff:2") as neighbour:
        assert (await neighbour.log_in("support-07")).status_code == 429
        by_token = await neighbour.submit("/login", "/login", token="flt_x")
        assert by_token.status_code == 429
    async with browser(app, address="2001:db8:0:1::1") as elsewhere:
        await elsewhere.enter("support-07")


async def test_strangers_who_guess_keep_nobody_out_of_their_usual_browser(app: FastAPI, database: str) -> None:
    await make_user(database, "admin-1", admin_of(None), second_factor=True)
    async with browser(app, address="192.0.2.7") as person:
        await person.enter("support-07")
        await person.enter("admin-1", secret=SECRET)
        forget_last_code(database)
        for name, secret in (("support-07", None), ("admin-1", SECRET)):
            for number in range(6):
                async with browser(app, address=f"198.51.100.{number}") as stranger:
                    await stranger.log_in(name, WRONG)
            async with browser(app, address="192.0.2.7") as elsewhere:
                assert (await elsewhere.log_in(name)).status_code == 429
            await person.enter(name, secret=secret)
        # It is no way around the waiting: the browser is counted by itself, and of other accounts it is not known.
        for _ in range(5):
            assert (await person.log_in("support-07", WRONG)).status_code == 403
        assert (await person.log_in("support-07")).status_code == 429
    async with browser(app, address="192.0.2.8") as thief:
        thief.client.cookies.set("fleet_known", "eyJ4IjoieSJ9.x.y")
        assert (await thief.log_in("support-07")).status_code == 429


async def test_a_browser_is_known_by_a_cookie_that_says_nothing(app: FastAPI) -> None:
    async with browser(app) as person:
        await person.log_in("support-07", WRONG)
        assert "fleet_known" not in person.client.cookies
        done = await person.log_in("support-07")
        (cookie,) = [each for each in done.headers.get_list("set-cookie") if each.startswith("fleet_known")]
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        said = base64.urlsafe_b64decode(cookie.removeprefix("fleet_known=").split(".")[0].strip('"') + "==")
        assert b"support" not in said
        await person.submit("/account", "/logout")
        assert "fleet_known" in person.client.cookies


@pytest.mark.parametrize(
    ("trusted", "seen"), [("127.0.0.1", "192.0.2.7"), ("127.0.0.0/8, 192.0.2.0/24", "198.51.100.1"), ("", "127.0.0.1")]
)
async def test_behind_a_trusted_proxy_the_address_is_that_of_whom_it_tells(
    database: str, trusted: str, seen: str
) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1, 192.0.2.7"}
    async with serving(database, trusted) as url, httpx.AsyncClient(base_url=url, headers=headers) as client:
        assert (await Browser(client).log_in("nobody-99", WRONG)).status_code == 403
    assert value(database, "SELECT origin FROM audit WHERE action = 'users.login_refused'") == seen


async def test_many_at_once_get_no_more_tries(app: FastAPI, database: str) -> None:
    async with browser(app) as person:
        page = await person.get("/login")
        form = {"csrf": csrf_of(page), "username": "support-07"}
        async with asyncio.timeout(60):
            answers = await asyncio.gather(
                *(person.client.post("/login", data={**form, "password": f"{WRONG} {n}"}) for n in range(12))
            )
    assert sum(answer.status_code == 403 for answer in answers) == 5
    assert audited(database, "users.login_refused") == 5


async def test_the_attempts_that_are_kept_are_bounded(database: str) -> None:
    execute(
        database,
        "INSERT INTO login_attempts (key, last_at)"
        " SELECT sha256(n::text::bytea), now() - make_interval(secs => n) FROM generate_series(1, 50) n",
    )
    execute(database, "INSERT INTO login_attempts (key, last_at) VALUES ('old', now() - interval '3 days')")
    assert value(database, "SELECT forget_old_attempts(20)") == 31
    assert value(database, "SELECT max(now() - last_at) < interval '1 minute' FROM login_attempts")
    assert value(database, "SELECT forget_old_attempts(20)") == 0


async def test_codes_cannot_be_guessed_by_logging_in_again(app: FastAPI, database: str) -> None:
    await make_user(database, "admin-1", admin_of(None), second_factor=True)
    refused = 0
    async with browser(app) as person:
        for _ in range(8):
            if (await person.log_in("admin-1")).status_code == 429:
                break
            answer = await person.give_code("000000")
            refused += answer.status_code == 403
        assert refused == 5
        assert (await person.give_code(code())).status_code == 429
        let_wait_pass(database)
        await person.enter("admin-1", secret=SECRET)


async def test_guessing_the_password_in_a_stolen_session_is_bounded(app: FastAPI) -> None:
    async with browser(app) as thief:
        await thief.enter("support-07")
        new = "te og solskin på vej"
        answers = [
            await thief.submit("/account", "/account/password", current=f"{WRONG} {n}", new=new, again=new)
            for n in range(6)
        ]
        assert [answer.status_code for answer in answers] == [422] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) > 0
