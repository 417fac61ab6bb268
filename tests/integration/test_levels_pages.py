"""The pages of contracts and calendars: who sees the forms, what they refuse, in both languages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest

from fleet.access.roles import Role
from fleet.api.console.leveltexts import LEVELS
from fleet.api.console.rendering import _ENVIRONMENT
from fleet.api.console.texts import Language
from fleet.api.console.wording import Wording
from tests.api import caller, make_token, running_app
from tests.people import add_organisations
from tests.support import value

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@asynccontextmanager
async def browser(
    database: str, role: Role = Role.ADMIN, organisation: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is logged in."""
    token = await make_token(database, role, organisation=organisation)
    async with running_app(database) as app, caller(app) as client:
        page = await client.get("/login", params={"next": "/contracts"})
        await client.post("/login", data={"csrf": csrf_of(page), "token": token, "next": "/contracts"})
        yield client


def csrf_of(page: httpx.Response) -> str:
    """The security token of a page's form."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def targets(page: httpx.Response, **more: object) -> dict[str, object]:
    """The form of a contract as it stands, with changes."""
    revision = re.search(r'name="revision" value="(\d+)"', page.text)
    assert revision
    columns = {
        name: re.findall(rf'name="{name}" value="([^"]*)"', page.text) for name in ("response", "update", "solution")
    }
    return {"csrf": csrf_of(page), "revision": revision[1], **columns, **more}


async def test_targets_are_saved_once_and_refused_with_a_reason(database: str) -> None:
    async with browser(database) as client:
        page = await client.get("/contracts/standard")
        assert targets(page)["solution"] == ["4:00", "24:00", "72:00", "240:00"]
        form = targets(page, response=["0:30", "", "", ""], solution=["2", "24:00", "72:00", "240:00"])
        assert (await client.post("/contracts/standard", data=form)).status_code == 303
        saved = value(database, "SELECT array_agg(solution_min ORDER BY solution_min) FROM contract_targets")
        assert saved == [120, 1440, 4320, 14400]
        assert value(database, "SELECT response_min FROM contract_targets WHERE priority = 'urgent'") == 30
        again = await client.post("/contracts/standard", data=form)
        assert (again.status_code, "meanwhile" in again.text) == (422, True)
        for wrong in (["", "24", "72", "240"], ["0:00", "24", "72", "240"], ["4:75", "24", "72", "240"], ["4"]):
            refused = await client.post("/contracts/standard", data=targets(page, solution=wrong))
            assert refused.status_code == 422, wrong
        assert (await client.post("/contracts/standard", data=targets(page, csrf="x"))).status_code == 403


async def test_a_day_is_added_or_refused(database: str) -> None:
    async with browser(database) as client:
        page = await client.get(
            "/calendars/working-days", params={"from": "2026-12-21"}, headers={"Accept-Language": "da"}
        )
        assert "Juledag" in page.text
        form = {
            "csrf": csrf_of(page),
            "revision": "1",
            "day": "2026-12-23",
            "opens": "",
            "closes": "",
            "note": "flytning",
        }
        saved = await client.post("/calendars/working-days", data=form)
        assert (saved.status_code, saved.headers["location"]) == (303, "/calendars/working-days?from=2026-12-23")
        assert "flytning" in (await client.get(saved.headers["location"])).text
        for wrong in (
            {"day": "christmas"},
            {"opens": "08:00"},
            {"opens": "16:00", "closes": "08:00"},
            {"note": "\x07"},
        ):
            refused = await client.post("/calendars/working-days", data={**form, "revision": "2", **wrong})
            assert refused.status_code == 422, wrong
        assert (await client.post("/calendars/working-days", data=form)).status_code == 422
        assert (await client.get("/calendars/working-days", params={"from": "9999-12-31"})).status_code == 422
        assert "<form" not in (await client.get("/calendars/always")).text.split("<main")[1]


@pytest.mark.parametrize(
    ("role", "organisation"),
    [(Role.AUDITOR, None), (Role.SERVICE, None), (Role.ADMIN, "nord"), (Role.SECRETARIAT, "nord")],
)
async def test_who_may_change_nothing_is_shown_no_form(database: str, role: Role, organisation: str | None) -> None:
    add_organisations(database, "nord")
    async with browser(database, role, organisation) as client:
        for path in ("/contracts", "/contracts/standard", "/calendars/working-days"):
            page = await client.get(path)
            assert page.status_code == 200, path
            assert "<form" not in page.text.split("<main")[1], path


async def test_support_has_no_such_page(database: str) -> None:
    async with browser(database, Role.SUPPORT) as client:
        assert (await client.get("/contracts")).status_code == 403


def test_every_text_is_in_both_languages() -> None:
    for key, (english, danish) in LEVELS.items():
        assert english.strip(), key
        assert danish.strip(), key
        assert english.count("{}") == danish.count("{}"), key


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(
    ("state", "breaches", "shown"),
    [
        ("running", [], "due"),
        ("paused", ["response"], "late"),
        ("met", [], "in time"),
        ("breached", ["solution"], "late"),
    ],
)
def test_a_request_shows_how_it_stands(language: Language, state: str, breaches: list[str], shown: str) -> None:
    request = SimpleNamespace(
        response_due_at=NOW, responded_at=NOW, update_due_at=None, due_at=NOW, resolved_at=None,
        sla_state=state, sla_breaches=breaches,
    )  # fmt: skip
    page = _ENVIRONMENT.from_string('{% import "sla.html" as sla %}{{ sla.strip(w, request) }}')
    strip = page.render(w=Wording(language, NOW), request=request)
    assert "2026-11-25 12:00 UTC" in strip
    assert language is Language.DA or shown in strip
