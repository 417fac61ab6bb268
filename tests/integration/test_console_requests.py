"""The pages of service requests: the desk's list, one request, and what is done from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fleet.access.roles import Role
from fleet.access.users import RoleAt
from tests.api import api, caller, make_token, running_app
from tests.integration.test_api_console import HTML, csrf_of, log_in
from tests.people import make_user
from tests.support import add_kits, execute, value

V1 = "/api/v1"


@pytest.fixture
async def number(database: str) -> str:
    """A request with an alert, a comment and a reference."""
    add_kits(database, "K-1", "K-2")
    async with api(database) as client:
        made = await client.post(
            f"{V1}/service-requests", json={"kit": "K-1", "cause": "cannot_measure", "description": "<i>scale</i>"}
        )
        number: str = made.json()["number"]
        path = f"{V1}/service-requests/{number}"
        await client.post(f"{path}/comments", json={"text": "called\ntwice", "audience": "reporter"})
        await client.post(f"{path}/references", json={"title": "photo", "url": "https://files.example.org/1"})
        other = await client.post(f"{V1}/service-requests", json={"kit": "K-2", "cause": "other"})
        await client.post(f"{path}/links", json={"kind": "related", "number": other.json()["number"]})
    execute(
        database,
        "WITH made AS (INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " VALUES (1, 'silent', 'major', 'active', now(), '{\"clock_s\": 5, \"allowance_s\": 180}') RETURNING alert_id)"
        " INSERT INTO request_alerts SELECT request_id, alert_id FROM service_requests, made WHERE number = %s",
        number,
    )
    return number


@pytest.fixture
async def browser(database: str, number: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody of the second line who is logged in."""
    token = await make_token(database, Role.SERVICE)
    async with running_app(database) as app, caller(app) as client:
        await log_in(client, token)
        yield client


async def done(client: httpx.AsyncClient, number: str, act: str, **fields: Any) -> httpx.Response:
    """Something done through a form of the page."""
    page = await client.get(f"/service-requests/{number}")
    form = {"csrf": csrf_of(page), "act": act, **fields}
    return await client.post(f"/service-requests/{number}", data=form)


async def test_the_list_has_the_desks_views(browser: httpx.AsyncClient, number: str) -> None:
    page = (await browser.get("/service-requests")).text
    assert f'href="/service-requests/{number}"' in page
    assert "Citizen cannot measure" in page
    danish = (await browser.get("/service-requests", headers=HTML)).text
    assert "Borger kan ikke måle" in danish
    assert "Servicesager" in danish
    for query, there in (
        ({"line": "support", "unresolved": "true"}, True),
        ({"line": "supplier", "unresolved": "true"}, False),
        ({"assigned": "false", "unresolved": "true", "sort": "due_at"}, True),
        ({"unresolved": "false"}, False),
        ({"breached": "true"}, False),
    ):
        assert (number in (await browser.get("/service-requests", params=query)).text) is there, query


async def test_a_request_shows_everything_about_it(browser: httpx.AsyncClient, number: str) -> None:
    page = (await browser.get(f"/service-requests/{number}")).text
    told = ("Kit is silent", "called\ntwice", "https://files.example.org/1", "&lt;i&gt;scale&lt;/i&gt;", "related to")
    for said in (*told, "allowance s 180", "to whoever reported it"):
        assert said in page, said
    danish = (await browser.get(f"/service-requests/{number}", headers=HTML)).text
    for said in ("Telekit er tavst", "Historik", "hænger sammen med"):
        assert said in danish, said
    assert (await browser.get("/service-requests/SR-77")).status_code == 404


async def test_what_is_done_from_the_page(browser: httpx.AsyncClient, number: str, database: str) -> None:
    assert (await done(browser, number, "comment", text="line one\r\nline two")).status_code == 303
    assert (await done(browser, number, "start")).status_code == 303
    assert (await done(browser, number, "wait", waiting_for="supplier")).status_code == 303
    assert "waits for the supplier" in (await browser.get(f"/service-requests/{number}")).text
    assert (await done(browser, number, "forward", line="service", reason="beyond us")).status_code == 303
    said = {"cause": "tablet_fault", "remedy": "restarted", "resolution": "held the button"}
    assert (await done(browser, number, "resolve", **said)).status_code == 303
    refused = await done(browser, number, "close")
    assert refused.status_code == 409
    assert "since the kit does not show it" in refused.text
    assert (await done(browser, number, "close", reason="goes back")).status_code == 303
    assert "closed without proof" in (await browser.get(f"/service-requests/{number}")).text
    assert (await done(browser, number, "reopen", reason="not at all")).status_code == 303
    assert "opened again 1 times" in (await browser.get(f"/service-requests/{number}")).text
    assert value(database, "SELECT state FROM service_requests WHERE number = %s", number) == "open"


@pytest.mark.parametrize(
    ("act", "fields"),
    [
        ("comment", {"text": "of 010190-1234"}),
        ("forward", {"line": "service", "reason": " "}),
        ("resolve", {"cause": "", "remedy": "advice"}),
        ("reopen", {"reason": "x"}),
        ("close", {"reason": "x"}),
        ("merge", {"into": "SR-77"}),
    ],
)
async def test_what_is_refused_is_told_on_the_page(
    browser: httpx.AsyncClient, number: str, act: str, fields: dict[str, str]
) -> None:
    refused = await done(browser, number, act, **fields)
    assert refused.status_code == 409
    assert 'role="alert"' in refused.text


async def test_somebody_takes_it_and_finds_it_as_theirs(database: str, number: str) -> None:
    await make_user(database, "anders1", RoleAt(Role.SUPPORT))
    async with running_app(database) as app, caller(app) as client:
        page = await client.get("/login")
        form = {"csrf": csrf_of(page), "username": "anders1", "password": "kaffe og regnvejr", "next": "/"}
        assert (await client.post("/login", data=form)).status_code == 303
        mine = {"assignee": "me", "unresolved": "true", "sort": "due_at"}
        assert number not in (await client.get("/service-requests", params=mine)).text
        assert (await done(client, number, "take")).status_code == 303
        assert number in (await client.get("/service-requests", params=mine)).text
        assert "Give it back to the line" in (await client.get(f"/service-requests/{number}")).text
        assert (await done(client, number, "release")).status_code == 303


async def test_who_only_looks_has_no_forms(database: str, number: str) -> None:
    token = await make_token(database, Role.AUDITOR)
    async with running_app(database) as app, caller(app) as client:
        await log_in(client, token)
        page = (await client.get(f"/service-requests/{number}")).text
        assert f'action="/service-requests/{number}"' not in page
