"""The page of a call: questions one by one, the record kept, and what is wrong with it told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from fleet.access.roles import Role
from tests.api import caller, make_token, running_app
from tests.support import add_kits, rows, value

FORM = {"channel": "phone", "caller": "nurse", "reason": "not_heard", "outcome": "advised", "minutes": "2,5"}


@pytest.fixture
async def browser(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """Logged in as a support agent."""
    add_kits(database, "K-1")
    token = await make_token(database, Role.SUPPORT)
    async with running_app(database) as app, caller(app) as client:
        page = await client.get("/login")
        form = {"csrf": _csrf(page), "token": token, "next": "/"}
        assert (await client.post("/login", data=form)).status_code == 303
        yield client


def _csrf(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


async def test_questions_are_asked_until_the_walk_ends(browser: httpx.AsyncClient) -> None:
    chosen = await browser.get("/kits/K-1/call")
    assert "/kits/K-1/call?tree=kit-is-silent" in chosen.text
    asked = await browser.get("/kits/K-1/call", params={"tree": "kit-is-silent"})
    assert "Does the tablet" in asked.text
    assert "screen%3Adark" in asked.text
    ended = await browser.get("/kits/K-1/call", params={"tree": "kit-is-silent", "said": "screen:dark,charger:dead"})
    assert 'name="forward"' in ended.text
    assert '<option value="forwarded" selected>' in ended.text


async def test_a_call_is_recorded_and_forwarded(browser: httpx.AsyncClient, database: str) -> None:
    csrf = _csrf(await browser.get("/kits/K-1/call"))
    walked = {"tree": "kit-is-silent", "said": "screen:dark,charger:dead", "forward": "yes"}
    answer = await browser.post("/kits/K-1/call", data={**FORM, **walked, "csrf": csrf})
    assert answer.status_code == 303
    page = await browser.get(answer.headers["location"])
    assert "The call is recorded." in page.text
    number = value(database, "SELECT number FROM service_requests")
    assert number in page.text
    assert rows(database, "SELECT minutes::float, outcome, caller FROM calls") == [(2.5, "forwarded", "nurse")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"minutes": "soon"}, "minutes"),
        ({"caller": ""}, "caller"),
        ({"note": "about 010190-1234"}, "note"),
        ({"tree": "kit-is-silent", "said": "screen:blue"}, "answers"),
    ],
)
async def test_what_is_wrong_is_told_and_nothing_recorded(
    browser: httpx.AsyncClient, database: str, change: dict[str, str], told: str
) -> None:
    csrf = _csrf(await browser.get("/kits/K-1/call"))
    answer = await browser.post("/kits/K-1/call", data={**FORM, **change, "csrf": csrf})
    assert answer.status_code == 422
    assert told in answer.text
    assert value(database, "SELECT count(*) FROM calls") == 0


@pytest.mark.parametrize("said", ["nonsense", "screen:", ":dark"])
async def test_an_address_that_says_nothing_is_refused(browser: httpx.AsyncClient, said: str) -> None:
    answer = await browser.get("/kits/K-1/call", params={"tree": "kit-is-silent", "said": said})
    assert answer.status_code == 422
