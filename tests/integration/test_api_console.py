"""The console: login, pages in both languages, forms that only the session's own page can send."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from fleet.access.roles import Role
from fleet.api.console import texts
from fleet.api.console.rendering import local_path
from fleet.api.console.texts import Language
from fleet.state.lifecycle import KitState
from fleet.state.verdict import Health, ReasonCode
from tests.api import caller, make_token, problem, running_app
from tests.support import add_kits, execute, value

CONSOLE = Path(texts.__file__).parent
HTML = {"Accept-Language": "da-DK, da;q=0.9, en;q=0.5"}


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    """The application on a database with two kits, one with everything on it."""
    add_kits(database, "K-1", "K-2")
    execute(
        database,
        """
        WITH heard AS (
            UPDATE kit_latest SET last_heard_at = now(), heard_clock_s = 0, boot = 'b', seq = 1, time = now(),
                received_at = now(), battery = 9, charging = false, clock_offset_s = -4000 WHERE kit_id = 1
        ), alert AS (
            INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)
            VALUES (1, 'version_drift', 'minor', 'active', now(), '{}') RETURNING alert_id
        ), request AS (
            INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)
            VALUES ('SR-1', 1, 'version_drift', 'service', 'normal', 'open', now(), now() - interval '1 hour')
        ), changed AS (
            INSERT INTO changes (kit_id, time, received_at, what, subject, before, after)
            VALUES (1, now(), now(), 'version', '<script>', '1', '2')
        ), pairing AS (
            INSERT INTO latest_reports
            VALUES (1, 'pairing', 'b', 2, now(), now(), '[{"serial": "S2", "kind": "scale", "paired": false}]')
        ), entered AS (
            INSERT INTO book_events (kit_id, what, to_state, actor) VALUES (1, 'opening', 'installed', 'x')
        )
        UPDATE kits SET label = '<b>Demo</b>' WHERE kit_id = 1
        """,
    )
    async with running_app(database) as running:
        yield running


async def log_in(client: httpx.AsyncClient, token: str, to: str = "/") -> httpx.Response:
    """Through the form, as a browser does."""
    page = await client.get("/login", params={"next": to})
    form = {"csrf": csrf_of(page), "token": token, "next": to}
    return await client.post("/login", data=form)


def csrf_of(page: httpx.Response) -> str:
    """The security token of a page's form."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


async def test_a_stranger_is_led_to_the_login_and_back(app: FastAPI, database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with caller(app) as client:
        sent_away = await client.get("/kits/K-1", params={"x": ""})
        assert sent_away.status_code == 303
        assert sent_away.headers["location"].startswith("/login?next=%2Fkits%2FK-1")
        refused = await log_in(client, "flt_wrong")
        assert refused.status_code == 403
        assert "not accepted" in refused.text
        done = await log_in(client, f"  {token}\n", "/kits/K-1")
        assert (done.status_code, done.headers["location"]) == (303, "/kits/K-1")
        cookie = done.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert token not in done.text + cookie
        assert (await client.get("/kits/K-1")).status_code == 200


async def test_the_pages_say_what_the_api_says(app: FastAPI, database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with caller(app) as client:
        await log_in(client, token)
        english = (await client.get("/kits/K-1")).text
        danish = (await client.get("/kits/K-1", headers=HTML)).text
        everything = (await client.get("/", params={"q": "", "health": "", "state": ""})).text
        faulty = (await client.get("/", params={"health": "fault"})).text
    for said in ("The kit has a fault.", "No pairing: scale S2", "Battery low: 9 %", "Clock is 67 min behind", "SR-1"):
        assert said in english
    for said in (
        "Telekittet har en fejl.",
        "Ikke parret: vægt S2",
        "Lavt batteri: 9 %",
        "Servicesag".lower(),
        "overskredet",
    ):
        assert said in danish
    assert '<html lang="da">' in danish
    assert "<script>" not in english.replace('<script src="', "")
    assert "&lt;b&gt;Demo&lt;/b&gt;" in english
    assert all(f'href="/kits/{kit}"' in everything for kit in ("K-1", "K-2"))
    assert 'href="/kits/K-2"' not in faulty


async def test_errors_are_pages_too(app: FastAPI, database: str) -> None:
    for role, path, status in (
        (Role.GRAFANA, "/", 403),
        (Role.SUPPORT, "/kits/K-9", 404),
        (Role.SUPPORT, "/?limit=x", 422),
    ):
        async with caller(app) as client:
            await log_in(client, await make_token(database, role))
            answer = await client.get(path)
        assert answer.status_code == status
        assert "That did not work" in answer.text


async def test_a_session_needs_its_own_token_to_change_anything(app: FastAPI, database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with caller(app) as client:
        await log_in(client, token)
        page = await client.get("/kits/K-1")
        problem(await client.post("/api/v1/alerts/1/acknowledge"), 403)
        forged = await client.post("/alerts/1/acknowledge", data={"csrf": "x"})
        assert forged.status_code == 403
        assert not value(database, "SELECT acknowledged FROM alerts")
        done = await client.post("/alerts/1/acknowledge", data={"csrf": csrf_of(page)})
        assert (done.status_code, done.headers["location"]) == (303, "/kits/K-1")
        assert value(database, "SELECT acknowledged FROM alerts")
        answer = await client.post("/api/v1/alerts/1/acknowledge", headers={"X-CSRF-Token": csrf_of(page)})
        assert answer.status_code == 200


async def test_a_login_cannot_be_forged(app: FastAPI, database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with caller(app) as client:
        assert (await client.post("/login", data={"token": token, "csrf": ""})).status_code == 403
        assert (await client.get("/")).status_code == 303


async def test_a_session_ends_with_logout_and_with_its_token(app: FastAPI, database: str) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with caller(app) as client:
        await log_in(client, token)
        page = await client.get("/")
        await client.post("/logout", data={"csrf": csrf_of(page)})
        assert (await client.get("/")).status_code == 303
        await log_in(client, token)
        assert (await client.get("/")).status_code == 200
        execute(database, "UPDATE tokens SET revoked_at = now()")
        assert (await client.get("/")).status_code == 303


async def test_the_language_is_remembered(app: FastAPI) -> None:
    async with caller(app) as client:
        assert "Log in" in (await client.get("/login")).text
        chosen = await client.get("/language/da", params={"next": "//evil.example"})
        assert chosen.headers["location"] == "/"
        assert "Log ind" in (await client.get("/login")).text


async def test_it_needs_nothing_from_elsewhere(app: FastAPI) -> None:
    async with caller(app) as client:
        for name in ("console.css", "console.js", "signs.svg", "icon.svg"):
            answer = await client.get(f"/static/{name}")
            assert answer.status_code == 200
            assert "max-age" in answer.headers["cache-control"]
            assert not re.search(r"(?<!xmlns=\")https?://", answer.text), name
        assert (await client.get("/static/../texts.py")).status_code == 404


@pytest.mark.parametrize("address", ["//x", "/\\x", "https://x", "", None, "/a\nb", "x"])
def test_nobody_is_sent_elsewhere(address: str | None) -> None:
    assert local_path(address) == "/"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, Language.EN),
        ("da", Language.DA),
        ("en;q=0.5, da;q=0.9", Language.DA),
        ("fr, da-DK;q=0.3", Language.DA),
        ("da;q=0, en", Language.EN),
        ("da;q=x", Language.EN),
        ("*", Language.EN),
    ],
)
def test_the_browser_is_asked_for_its_language(header: str | None, language: Language) -> None:
    assert texts.choose(header) is language


def test_every_text_of_the_pages_is_there_and_none_is_left_over() -> None:
    """Texts with a dot are looked up by a slug of the API; the others stand by name in a page or in the code."""
    modules = [path for path in CONSOLE.glob("*.py") if path.name == "texts.py" or not path.name.endswith("texts.py")]
    code = "".join(path.read_text().partition("TEXTS: dict")[0] for path in modules)
    code += (CONSOLE / "texts.py").read_text().partition("_COLUMN = ")[2]
    pages = "".join(path.read_text() for path in CONSOLE.glob("templates/*.html"))
    asked = set(re.findall(r"""\bt\(["']([a-z_.0-9]+)["'][,)]""", pages + code))
    asked |= set(re.findall(r"""text\(language, ["']([a-z_.0-9]+)["']""", code))
    assert asked <= texts.TEXTS.keys()
    asked |= set(re.findall(r"""["']([a-z_.0-9]+)["']""", code))
    made = tuple(set(re.findall(r"""\bt\(["']([a-z_]+_)["'] ~""", pages) + re.findall(r'f"([a-z_]+_)\{', code)))
    assert {key for key in texts.TEXTS if "." not in key and not key.startswith(made)} <= asked


def test_every_slug_of_a_kit_has_its_word() -> None:
    groups = {"health": Health, "verdict": Health, "state": KitState, "reason": ReasonCode}
    for group, slugs in groups.items():
        assert {f"{group}.{slug}" for slug in slugs} <= texts.TEXTS.keys()


def test_texts_take_the_same_values_in_both_languages() -> None:
    for key, (english, danish) in texts.TEXTS.items():
        assert english.count("{}") == danish.count("{}"), key
        assert english.strip(), key
        assert danish.strip(), key
