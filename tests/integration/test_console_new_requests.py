"""The page on which a request about a kit is opened: what is open is joined, what was asked goes along."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, running_app
from tests.integration.test_api_console import HTML, csrf_of, log_in
from tests.support import add_kits, execute, rows, value

V1 = "/api/v1"
PAGE = "/kits/K-1/request"
WALK = {"tree": "kit-is-silent", "said": "screen:dark,charger:dead"}
TEXTS = "SELECT body ->> 'text' FROM request_events WHERE what = 'comment' ORDER BY event_id"


@pytest.fixture
async def browser(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """A support agent who is logged in."""
    add_kits(database, "K-1", "K-2")
    token = await make_token(database, Role.SUPPORT)
    async with running_app(database) as app, caller(app) as client:
        await log_in(client, token)
        yield client


async def opened(database: str, cause: str = "cannot_measure", kit: str = "K-1") -> str:
    """A request that is open already; gives its number."""
    async with api(database) as client:
        made = await client.post(f"{V1}/service-requests", json={"kit": kit, "cause": cause})
        return str(made.json()["number"])


async def send(client: httpx.AsyncClient, *, language: str = "en", **fields: Any) -> httpx.Response:
    form = {"csrf": csrf_of(await client.get(PAGE)), **fields}
    return await client.post(PAGE, data=form, headers={"Accept-Language": language})


async def test_a_request_is_opened_for_a_cause(browser: httpx.AsyncClient, database: str) -> None:
    page = await browser.get(PAGE, headers=HTML)
    assert "Intet er åbent om dette telekit." in page.text
    assert "Borger kan ikke måle" in page.text
    said = {"cause": "tablet_fault", "text": "dark since\r\nyesterday", "line": "supplier", "priority": "urgent"}
    answer = await send(browser, into="new", **said)
    assert answer.status_code == 303
    told = "SELECT cause, line, priority, description FROM service_requests"
    assert rows(database, told) == [("tablet_fault", "supplier", "urgent", "dark since\nyesterday")]
    assert (await browser.get(answer.headers["location"])).status_code == 200


async def test_what_is_open_comes_first_and_is_joined(browser: httpx.AsyncClient, database: str) -> None:
    number = await opened(database)
    page = (await browser.get(PAGE)).text
    assert re.search(rf'name="into" value="{number}" checked', page)
    assert page.index(number) < page.index("Open another request")
    assert (await send(browser, into=number, text="called again")).status_code == 303
    assert rows(database, TEXTS) == [("called again",)]
    assert value(database, "SELECT count(*) FROM service_requests") == 1


async def test_the_same_cause_is_not_opened_twice(browser: httpx.AsyncClient, database: str) -> None:
    number = await opened(database)
    refused = await send(browser, into="new", cause="cannot_measure", text="still nothing")
    assert refused.status_code == 409
    assert f"{number} is open for this cause already" in refused.text
    assert re.search(rf'name="into" value="{number}" checked', refused.text)
    assert ">still nothing</textarea>" in refused.text
    assert value(database, "SELECT count(*) FROM service_requests") == 1


async def test_what_was_asked_and_known_goes_along(browser: httpx.AsyncClient, database: str) -> None:
    page = await browser.get(PAGE, params=WALK)
    assert page.status_code == 200
    cause = re.search(r'<option value="(\w+)" selected>', page.text)
    assert cause
    answer = await send(browser, into="new", cause=cause[1], text="caller is a nurse", **WALK)
    assert answer.status_code == 303
    ((text,),) = rows(database, TEXTS)
    assert text.startswith("The kit is not heard (kit-is-silent 1)\n- ")
    assert "(known already)" in text
    assert "(the caller says)" in text
    assert "Nothing is known about the kit yet." in text
    joined = value(database, "SELECT number FROM service_requests")
    again = await browser.get(PAGE, params=WALK)
    assert re.search(rf'name="into" value="{joined}" checked', again.text)


async def test_a_walk_that_fits_no_more_loses_nothing_that_was_typed(browser: httpx.AsyncClient, database: str) -> None:
    gone = {"tree": "kit-is-silent", "said": "charger:dead"}
    page = await browser.get(PAGE, params=gone)
    assert page.status_code == 409
    assert "do not fit what is known" in page.text
    refused = await send(browser, into="new", cause="other", text="a long story", **gone)
    assert refused.status_code == 409
    assert ">a long story</textarea>" in refused.text
    assert 'name="said" value=""' in refused.text
    assert value(database, "SELECT count(*) FROM service_requests") == 0


@pytest.mark.parametrize(
    ("fields", "name", "english", "danish"),
    [
        ({"into": "new"}, "cause", "choose from the list", "vælg på listen"),
        ({"into": "new", "cause": "of_nobodys_list"}, "cause", "choose from the list", "vælg på listen"),
        ({"into": "new", "cause": "other", "text": "of 010190-1234"}, "text", "civil registration", "personnummer"),
        ({"into": "new", "cause": "other", "line": "nobody"}, "line", "choose from the list", "vælg på listen"),
        ({"into": "JOIN"}, "text", "is needed", "skal udfyldes"),
        ({"into": "OTHER", "text": "hello"}, "into", "from the list", "på listen"),
    ],
)
async def test_what_is_wrong_is_said_beside_the_field(
    browser: httpx.AsyncClient, database: str, fields: dict[str, str], name: str, english: str, danish: str
) -> None:
    numbers = {"JOIN": await opened(database), "OTHER": await opened(database, kit="K-2")}
    asked = {**fields, "into": numbers.get(fields["into"], fields["into"])}
    for language, said in (("en", english), ("da", danish)):
        refused = await send(browser, language=language, **asked)
        assert refused.status_code == 409
        beside = re.search(rf'id="new-{name}-wrong">([^<]+)<', refused.text)
        assert beside, refused.text
        assert said in beside[1]
        if "text" in fields:
            assert f">{fields['text']}</textarea>" in refused.text
    assert value(database, "SELECT count(*) FROM service_requests") == 2


async def test_who_opens_no_requests_has_no_page(database: str) -> None:
    add_kits(database, "K-1")
    async with api(database, Role.SECRETARIAT) as client:
        assert (await client.get(PAGE)).status_code == 403
    async with api(database) as client:
        assert (await client.get("/kits/K-9/request")).status_code == 404


async def test_a_mass_event_is_told_before_anything_is_opened(browser: httpx.AsyncClient, database: str) -> None:
    execute(
        database,
        "WITH made AS ("
        "INSERT INTO incidents (rule, cohort_kind, cohort_value, state, opened_at, opened_clock_s, installed_kits)"
        " VALUES ('silent', 'operator', 'Telco', 'open', now(), 0, 2) RETURNING incident_id)"
        " INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s)"
        " SELECT incident_id, 1, now(), 0, 0 FROM made",
    )
    assert "part of a mass event" in (await browser.get(PAGE)).text
