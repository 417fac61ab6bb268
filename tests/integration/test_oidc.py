"""Logging in at a real OpenID Connect provider, with everything that can go wrong between three parties."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from fleet.access import oidc
from fleet.access.oidc import challenge_of
from fleet.access.roles import Role
from fleet.api.app import create_app
from tests.api import caller, make_token, problem, running_app
from tests.people import Browser, add_organisations, browser
from tests.provider import RealProvider, grant, real_provider, settings_with
from tests.support import rows, value

START = "/login/provider"


@pytest.fixture(scope="module")
def one_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealProvider]:
    """A provider for all of these tests; who stops it starts it again."""
    with real_provider(tmp_path_factory.mktemp("provider")) as made:
        yield made


@pytest.fixture
def provider(one_provider: RealProvider) -> RealProvider:
    """The provider, which knows one person with a role."""
    one_provider.knows("s-1", roles=["fleet:support:a-by"])
    return one_provider


@asynccontextmanager
async def serving(provider: RealProvider, database: str, **settings: Any) -> AsyncIterator[FastAPI]:
    """The application with that provider."""
    app = create_app(settings_with(provider, database, **settings))
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def app(provider: RealProvider, database: str) -> AsyncIterator[FastAPI]:
    """The application on two municipalities."""
    add_organisations(database, "a-by", "b-by")
    async with serving(provider, database) as running:
        yield running


async def through(person: Browser, subject: str, to: str = "/") -> httpx.Response:
    """All steps of a login; gives the page that the browser ends on."""
    sent = await person.get(START, next=to)
    assert sent.status_code == 303, sent.text
    return await person.client.get(await grant(sent.headers["location"], subject))


async def test_who_the_provider_knows_gets_in_with_the_roles_it_tells(
    app: FastAPI, provider: RealProvider, database: str
) -> None:
    async with browser(app, address="192.0.2.7") as person:
        assert "Log in with Region Nord" in (await person.get("/login")).text
        entered = await through(person, "s-1", "/?q=K-1")
        assert entered.status_code == 200
        # No redirect: the browser would keep the strict cookie back on its way from the provider.
        assert 'content="0; url=/?q=K-1"' in entered.text
        assert "samesite=strict" in entered.headers["set-cookie"].lower()
        me = (await person.get("/api/v1/me")).json()
        assert me["roles"] == [{"role": "support", "organisation": "a-by", "reaches": 1}]
        assert me["single_sign_on"]
        assert me["need"] is None
        assert (await person.get("/")).status_code == 200
        assert "kept where you log in" in (await person.get("/account")).text
    (told,) = rows(database, "SELECT principal, origin, after ->> 'method' FROM audit WHERE action = 'users.logged_in'")
    assert told == ("user:1", "192.0.2.7", "oidc")
    assert value(database, "SELECT created_by FROM users") == "single sign-on"


async def test_nothing_of_the_person_is_kept(app: FastAPI, provider: RealProvider, database: str) -> None:
    personal = {"name": "CIVIL NAME", "email": "civil@example.dk", "preferred_username": "civil.name"}
    provider.knows("s-2", roles=["fleet:support:a-by"], **personal)
    async with browser(app) as person:
        with capture_logs() as lines:
            await through(person, "s-2")
    kept = str([rows(database, f"SELECT to_jsonb(t) FROM {table} t") for table in ("users", "audit", "sessions")])
    for text in personal.values():
        assert text not in kept
        assert text not in str(lines)
    assert value(database, "SELECT username FROM users").startswith("oidc-")


async def test_the_name_may_come_from_a_claim(provider: RealProvider, database: str) -> None:
    add_organisations(database, "a-by")
    names = {"n-1": "support-07", "n-2": "Support-07", "n-3": "u0101801234", "n-4": "no name", "n-5": 7}
    async with serving(provider, database, oidc_username_claim="account") as app:
        for subject, name in names.items():
            provider.knows(subject, roles=["fleet:support:a-by"], account=name)
            async with browser(app) as person:
                assert (await through(person, subject)).status_code == 200
    made = [name for (name,) in rows(database, "SELECT username FROM users ORDER BY user_id")]
    assert made[0] == "support-07"
    assert all(name.startswith("oidc-") for name in made[1:])
    assert len(set(made)) == 5


async def test_roles_follow_the_provider_at_each_login(app: FastAPI, provider: RealProvider, database: str) -> None:
    for told, expected in (
        (["fleet:support:a-by"], [("support", "a-by")]),
        (
            ["fleet:support:a-by", "fleet:service:b-by", "fleet:support:nowhere"],
            [("service", "b-by"), ("support", "a-by")],
        ),
        (["fleet:admin:*"], [("admin", None)]),
        ("fleet:auditor:b-by", [("auditor", "b-by")]),
    ):
        provider.knows("s-3", roles=told)
        async with browser(app) as person:
            await through(person, "s-3")
            me = (await person.get("/api/v1/me")).json()
            assert me["need"] is None, "the provider asks for second factors itself"
        held = rows(
            database,
            "SELECT role, slug FROM user_roles r LEFT JOIN organisations o USING (organisation_id) ORDER BY role",
        )
        assert held == expected
    assert value(database, "SELECT count(*) FROM users") == 1
    home = "SELECT slug FROM users JOIN organisations USING (organisation_id)"
    assert value(database, home) == "b-by"


@pytest.mark.parametrize("told", [[], ["fleet:support:nowhere"], ["staff"], None])
async def test_without_a_role_nobody_gets_in(app: FastAPI, provider: RealProvider, database: str, told: Any) -> None:
    provider.knows("s-4", **({} if told is None else {"roles": told}))
    async with browser(app) as person:
        refused = await through(person, "s-4")
        assert refused.status_code == 403
        assert "no access here" in refused.text
        assert (await person.get("/")).status_code == 303
    assert value(database, "SELECT count(*) FROM users") == 0


async def test_other_names_for_roles_and_another_claim(provider: RealProvider, database: str) -> None:
    add_organisations(database, "a-by")
    provider.knows("s-5", realm_access={"roles": ["CN=Support,OU=Kommune", "else"]})
    role_map = "CN=Support,OU=Kommune=support:a-by"
    async with (
        serving(provider, database, oidc_roles_claim="realm_access.roles", oidc_role_map=role_map) as app,
        browser(app) as person,
    ):
        await through(person, "s-5")
        assert (await person.get("/api/v1/me")).json()["roles"][0]["organisation"] == "a-by"


async def test_who_is_disabled_here_stays_out(app: FastAPI, provider: RealProvider, database: str) -> None:
    token = await make_token(database, Role.ADMIN)
    async with browser(app) as person, caller(app, token) as admin:
        await through(person, "s-1")
        (user,) = (await admin.get("/api/v1/users")).json()["items"]
        address = f"/api/v1/users/{user['id']}"
        assert user["single_sign_on"]
        problem(await admin.post(f"{address}/reset-password"), 409)
        problem(await admin.patch(address, json={"roles": []}), 409)
        problem(await person.json("POST", "/me/password", {"current": "x", "new": "y"}), 409)
        assert (await admin.patch(address, json={"disabled": True})).json()["disabled"]
        assert (await person.get("/")).status_code == 303
        assert (await through(person, "s-1")).status_code == 403
        assert (await person.log_in(user["username"], "")).status_code == 403


async def test_the_code_is_exchanged_with_proof(app: FastAPI, provider: RealProvider) -> None:
    """PKCE, client authentication and nonce, as they go over the wire."""
    seen: list[httpx.Request] = []

    async def note(request: httpx.Request) -> None:
        await request.aread()
        seen.append(request)

    app.state.provider._http.event_hooks["request"].append(note)
    async with browser(app) as person:
        sent = await person.get(START)
        asked = {name: values[0] for name, values in parse_qs(urlsplit(sent.headers["location"]).query).items()}
        await person.client.get(await grant(sent.headers["location"], "s-1"))
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"] == "openid"
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 32
    (exchange,) = [request for request in seen if request.method == "POST"]
    form = {name: values[0] for name, values in parse_qs(exchange.content.decode()).items()}
    assert challenge_of(form["code_verifier"]) == asked["code_challenge"]
    assert form["redirect_uri"] == asked["redirect_uri"] == "http://fleet.test/login/provider/return"
    pair = base64.b64decode(exchange.headers["authorization"].removeprefix("Basic ")).decode()
    assert pair == "fleet:a+secret+%26+more"
    assert "client_secret" not in form
    # Discovery and keys are asked for once, then kept.
    async with browser(app) as person:
        await through(person, "s-1")
    assert [request.url.path for request in seen if request.method == "GET"] == [
        "/.well-known/openid-configuration",
        "/jwks",
    ]


async def test_an_answer_counts_for_its_login_and_browser_only(app: FastAPI, database: str) -> None:
    async with browser(app) as person, browser(app) as other:
        sent = await person.get(START)
        back = await grant(sent.headers["location"], "s-1")
        # Another browser; one with a login of its own; another state; nothing at all.
        assert "took too long" in (await other.client.get(back)).text
        await other.get(START)
        assert "took too long" in (await other.client.get(back)).text
        for wrong in (back.replace("state=", "state=x"), "/login/provider/return", f"{back}&iss=https://evil.example"):
            async with browser(app) as third:
                third.client.cookies = httpx.Cookies(person.client.cookies)
                assert (await third.client.get(wrong)).status_code in (403, 502)
                assert (await third.get("/")).status_code == 303
        assert value(database, "SELECT count(*) FROM users") == 0
        assert (await person.client.get(back)).status_code == 200
        again = await person.client.get(back)
        assert again.status_code == 403, "the browser's part is gone"


async def test_a_code_is_worth_nothing_twice(app: FastAPI, database: str) -> None:
    async with browser(app) as person, browser(app) as thief:
        sent = await person.get(START)
        thief.client.cookies = httpx.Cookies(person.client.cookies)
        back = await grant(sent.headers["location"], "s-1")
        assert (await person.client.get(back)).status_code == 200
        assert (await thief.client.get(back)).status_code == 502
        assert (await thief.get("/")).status_code == 303


async def test_answers_made_up_are_bounded(app: FastAPI) -> None:
    async with browser(app, address="192.0.2.7") as person:
        for _ in range(21):
            sent = await person.get(START)
            state = parse_qs(urlsplit(sent.headers["location"]).query)["state"][0]
            assert (await person.get("/login/provider/return", code="made-up", state=state)).status_code == 502
        await person.get(START)
        refused = await person.get("/login/provider/return", code="made-up", state="x")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0


async def test_over_tls_the_login_under_way_is_for_this_host_only(provider: RealProvider, database: str) -> None:
    async with (
        serving(provider, database, http_public_url="https://fleet.test") as app,
        browser(app, base="https://fleet.test") as person,
    ):
        (cookie,) = [each for each in (await person.get(START)).headers.get_list("set-cookie") if "fleet_login" in each]
        assert cookie.startswith("__Host-fleet_login=")
        for flag in ("; secure", "; httponly", "; samesite=lax", "; path=/"):
            assert flag in cookie.lower()


async def test_a_refusal_at_the_provider_is_told(app: FastAPI) -> None:
    async with browser(app) as person:
        sent = await person.get(START)
        refused = await person.client.get(await grant(sent.headers["location"], "s-1", action="deny"))
        assert refused.status_code == 403
        # The provider leaves the state out of this answer, so it cannot be told apart from a stale one.
        assert "Log in again" in refused.text or "did not let you in" in refused.text
        state = parse_qs(urlsplit((await person.get(START)).headers["location"]).query)["state"][0]
        denied = await person.get("/login/provider/return", error="access_denied", state=state)
        assert "did not let you in" in denied.text


async def test_new_keys_of_the_provider_are_fetched(app: FastAPI, provider: RealProvider) -> None:
    async with browser(app) as person:
        await through(person, "s-1")
        provider.stop()
        provider.start()
        provider.knows("s-1", roles=["fleet:support:a-by"])
        assert (await through(person, "s-1")).status_code == 200
        assert (await person.get("/api/v1/me")).json()["name"].startswith("oidc-")


async def test_a_provider_that_is_down_stops_nobody_else(app: FastAPI, provider: RealProvider, database: str) -> None:
    try:
        async with browser(app) as person:
            sent = await person.get(START)
            back = await grant(sent.headers["location"], "s-1")
            provider.stop()
            down = await person.client.get(back)
            assert down.status_code == 503
            assert "does not answer" in down.text
            token = await make_token(database, Role.SUPPORT)
            assert (await person.submit("/login", "/login", token=token)).status_code == 303
        async with serving(provider, database) as fresh, browser(fresh) as person:
            assert (await person.get(START)).status_code == 503
    finally:
        provider.start()


async def test_a_provider_that_hangs_is_given_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "ASK_WITHIN_S", 0.3)
    left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    hanging = RealProvider(Path("/nonexistent"))
    hanging.issuer = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    async with silent, serving(hanging, database) as app, browser(app) as person, asyncio.timeout(5):
        assert (await person.get(START)).status_code == 503
        await left.wait()


async def test_a_provider_that_talks_nonsense_is_told(database: str) -> None:
    answers = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\n{"issuer": "https://other/"}',
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (oidc.MAX_ANSWER_BYTES + 1),
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    talking = RealProvider(Path("/nonexistent"))
    talking.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, serving(talking, database) as app, browser(app) as person:
        while answers:
            assert (await person.get(START)).status_code == 502, len(answers)


async def test_nobody_is_asked_unless_it_is_configured(database: str) -> None:
    async with running_app(database) as app, browser(app) as person:
        assert (await person.get(START)).status_code == 404
        assert (await person.get("/login/provider/return")).status_code == 404
        assert app.state.provider is None


async def test_the_way_back_leads_nowhere_else(app: FastAPI) -> None:
    async with browser(app) as person:
        entered = await through(person, "s-1", "//evil.example")
        assert 'content="0; url=/"' in entered.text
        assert "evil" not in entered.text


async def test_the_same_person_twice_at_once_is_one_account(app: FastAPI, database: str) -> None:
    async with browser(app) as one, browser(app) as two:
        backs = [await grant((await each.get(START)).headers["location"], "s-1") for each in (one, two)]
        answers = await asyncio.gather(one.client.get(backs[0]), two.client.get(backs[1]))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert value(database, "SELECT count(*) FROM users") == 1
