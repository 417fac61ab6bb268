"""The page of a kit's credentials: a password shown once, why in the audit, and nothing done twice."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, running_app
from tests.integration.test_api_console import HTML, csrf_of, log_in
from tests.support import add_kits, rows, value

PAGE = "/kits/K-1/credentials"
SECRET = re.compile(r'<code class="secret">([^<]{32})</code>')


@pytest.fixture
async def browser(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """An MDM administrator who is logged in."""
    add_kits(database, "K-1")
    token = await make_token(database, Role.MDM_ADMIN)
    async with running_app(database) as app, caller(app) as client:
        await log_in(client, token)
        yield client


async def send(client: httpx.AsyncClient, act: str, generation: int, reason: str = "routine") -> httpx.Response:
    form = {"csrf": csrf_of(await client.get(PAGE)), "act": act, "generation": str(generation), "reason": reason}
    return await client.post(PAGE, data=form)


async def test_a_password_is_shown_once_and_not_given_twice(browser: httpx.AsyncClient, database: str) -> None:
    assert "This kit never got a password." in (await browser.get(PAGE)).text
    first = await send(browser, "issue", 0, "first use")
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-store"
    found = SECRET.search(first.text)
    assert found
    page = (await browser.get(PAGE)).text
    assert found[1] not in page
    assert "the broker is yet to be told" in page
    # Loading the answer again sends the same form.
    again = await send(browser, "issue", 0, "first use")
    assert again.status_code == 409
    assert "it was changed meanwhile" in again.text
    assert value(database, "SELECT generation FROM kit_credentials") == 1
    renewed = await send(browser, "issue", 1, "tablet was replaced")
    second = SECRET.search(renewed.text)
    assert second
    assert second[1] != found[1]
    told = rows(
        database, "SELECT reason FROM audit WHERE action ~ 'kit_credentials.(created|changed)' ORDER BY audit_id"
    )
    assert told == [("first use",), ("tablet was replaced",)]


async def test_it_is_taken_back_for_a_reason(browser: httpx.AsyncClient, database: str) -> None:
    await send(browser, "issue", 0)
    for reason, said in (("", "is needed"), ("of 010190-1234", "civil registration number")):
        refused = await send(browser, "withdraw", 1, reason)
        assert refused.status_code == 409
        beside = re.search(r'id="withdraw-reason-wrong">([^<]+)<', refused.text)
        assert beside
        assert said in beside[1]
        assert f'value="{reason}"' in refused.text
    assert value(database, "SELECT state FROM kit_credentials") == "issued"
    assert (await send(browser, "withdraw", 1, "tablet is stolen")).status_code == 303
    danish = (await browser.get(PAGE, headers=HTML)).text
    assert "giver ikke adgang" in danish
    assert "inddraget i hånden" in danish
    assert 'name="act" value="withdraw"' not in danish
    query = "SELECT reason FROM audit WHERE action = 'kit_credentials.changed' ORDER BY audit_id DESC LIMIT 1"
    assert value(database, query) == "tablet is stolen"


async def test_a_kit_that_is_gone_gets_none(browser: httpx.AsyncClient, database: str) -> None:
    async with api(database) as client:
        await client.post("/api/v1/kits/K-1/transitions", json={"to": "lost", "reason": "not found"})
        await client.post("/api/v1/kits/K-1/transitions", json={"to": "scrapped", "reason": "given up"})
    assert value(database, "SELECT state FROM kits") == "scrapped"
    assert "gone for good" in (await browser.get(PAGE)).text
    assert (await send(browser, "issue", 0)).status_code == 409


async def test_the_reason_is_taken_by_the_api_too(database: str) -> None:
    add_kits(database, "K-1")
    async with api(database) as client:
        path = "/api/v1/kits/K-1/credentials"
        assert (await client.post(path, params={"reason": "rolled out"})).status_code == 201
        assert (await client.delete(path, params={"reason": "of 010190-1234"})).status_code == 422
        assert (await client.delete(path, params={"reason": "stolen"})).status_code == 204
    told = rows(database, "SELECT reason FROM audit WHERE subject_kind = 'kit_credentials' ORDER BY audit_id")
    assert told == [("rolled out",), ("stolen",)]


async def test_only_who_gives_passwords_sees_it(database: str) -> None:
    add_kits(database, "K-1")
    for role in (Role.SUPPORT, Role.SERVICE, Role.AUDITOR):
        async with api(database, role) as client:
            assert (await client.get(PAGE)).status_code == 403
            assert (await client.post(PAGE, data={"act": "issue", "reason": "x"})).status_code == 403
    async with api(database) as client:
        assert (await client.get("/kits/K-9/credentials")).status_code == 404
