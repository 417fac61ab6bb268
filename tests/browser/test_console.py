"""The console in a real Chromium: logs in, stays current by itself, fits a phone, works without script."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from fleet.access.roles import Role
from tests.api import make_token, serving
from tests.browser.menus import leave
from tests.support import add_kits, execute, value

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)


@dataclass(frozen=True, slots=True)
class Desk:
    """A logged-in page of a running console, and what the browser complained about."""

    page: Page
    url: str
    token: str
    complaints: list[str]


@asynccontextmanager
async def desk(database: str, **context: Any) -> AsyncIterator[Desk]:
    """Start the console on two kits and log in."""
    add_kits(database, "K-1", "K-2")
    token = await make_token(database, Role.ADMIN)
    complaints: list[str] = []
    async with serving(database) as url, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=False)
        page = await (await browser.new_context(locale="en-GB", **context)).new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{url}/kits/K-1")
        await page.get_by_label("Token").fill(token)
        await page.get_by_role("button", name="Use the token").click()
        await expect(page).to_have_url(f"{url}/kits/K-1")
        yield Desk(page, url, token, complaints)
        await browser.close()


async def test_the_page_follows_what_happens(database: str) -> None:
    async with desk(database) as at:
        await at.page.goto(at.url)
        await expect(at.page.locator("#list")).to_contain_text("K-2")
        await at.page.evaluate("window.same = true")
        # The stream tells it; the page's own look now and then would take longer than this test waits.
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {at.token}"}) as client:
            await client.post(f"{at.url}/api/v1/kits", json={"kit": "K-3", "label": "just entered"})
        await expect(at.page.locator("#list")).to_contain_text("just entered", timeout=10_000)
        assert await at.page.evaluate("window.same")
        assert at.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
async def test_nothing_sticks_out_of_the_screen(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 800}) as at:
        execute(database, "UPDATE kits SET label = repeat('averylonglabel', 12), organisation_id = NULL")
        _much(database)
        number = value(database, "SELECT min(number) FROM service_requests")
        requests = ("/service-requests", f"/service-requests/{number}")
        for path in ("/", "/kits/K-1", "/?health=unknown", "/kits/none", *requests):
            await at.page.goto(at.url + path)
            assert await at.page.evaluate("document.documentElement.scrollWidth") <= width, path


def _much(database: str) -> None:
    """Everything a page can show of a kit, with long values."""
    execute(
        database,
        """
        WITH heard AS (
            UPDATE kit_latest SET last_heard_at = now(), heard_clock_s = 0, boot = 'b', seq = 1, time = now(),
                received_at = now(), battery = 9, operator = repeat('Operator', 8), network = '4g'
        ), reported AS (
            INSERT INTO latest_reports VALUES
            (1, 'pairing', 'b', 2, now(), now(), jsonb_build_array(jsonb_build_object('serial', repeat('S', 128),
                'kind', 'blood_pressure', 'model', repeat('M', 200), 'paired', false, 'last_contact', now()))),
            (1, 'software', 'b', 3, now(), now(), jsonb_build_object('app', repeat('1.', 60), repeat('n', 64), '1'))
        ), alert AS (
            INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)
            VALUES (1, 'version_drift', 'minor', 'active', now(), '{}')
        ), request AS (
            INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)
            VALUES ('SR-1', 1, 'version_drift', 'service', 'urgent', 'open', now(), now() - interval '1 hour')
        )
        INSERT INTO book_events (kit_id, what, to_state, actor, reason)
        VALUES (1, 'opening', 'installed', 'x', repeat('because', 20))
        """,
    )


async def test_a_step_is_taken_from_the_page_and_what_is_missing_is_told(database: str) -> None:
    async with desk(database) as at:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {at.token}"}) as client:
            await client.post(f"{at.url}/api/v1/kits", json={"kit": "K-3", "state": "dispatched"})
        await at.page.goto(f"{at.url}/kits/K-3")
        form = at.page.locator("#step")
        await form.get_by_label("To").select_option("installed")
        await form.get_by_role("button", name="Take the step").click()
        await expect(at.page.get_by_role("alert")).to_contain_text("not heard live since it arrived")
        await form.get_by_label("Reason", exact=True).fill("proven over the phone")
        await form.get_by_label("All the same").check()
        await form.get_by_role("button", name="Take the step").click()
        await expect(at.page.locator("#verdict")).to_contain_text("installed")
        await expect(at.page.locator("#cases")).to_contain_text("proven over the phone")
        assert [each for each in at.complaints if "409" not in each] == []


async def test_an_alert_is_taken_care_of_with_one_click(database: str) -> None:
    async with desk(database) as at:
        _much(database)
        await at.page.reload()
        await at.page.get_by_role("button", name="I take care of it").click()
        await expect(at.page.locator("#cases")).to_contain_text("taken care of")
        assert at.complaints == []


async def test_it_works_without_script_and_in_danish(database: str) -> None:
    async with desk(database, java_script_enabled=False) as at:
        await at.page.get_by_role("link", name="Dansk").click()
        await expect(at.page.locator("html")).to_have_attribute("lang", "da")
        await at.page.get_by_role("link", name="Alle telekit").click()
        await at.page.get_by_label("Telekittets nummer begynder med").fill("K-2")
        await at.page.get_by_role("button", name="Vis").click()
        await expect(at.page.locator("tbody tr")).to_have_count(1)
        await leave(at.page, "Konto", "Log ud")
        await expect(at.page).to_have_url(f"{at.url}/login")


async def test_everything_has_a_name_for_those_who_do_not_see(database: str) -> None:
    async with desk(database) as at:
        _much(database)
        number = value(database, "SELECT min(number) FROM service_requests")
        for path in ("/", "/kits/K-1", "/service-requests", f"/service-requests/{number}"):
            await at.page.goto(at.url + path)
            for control in await at.page.locator("a, button, input:not([type=hidden]), select, textarea").all():
                name = await control.evaluate(
                    "e => e.ariaLabel || e.textContent || [...(e.labels || [])].map(l => l.textContent).join()"
                )
                assert name.strip(), await control.evaluate("e => e.outerHTML")
            assert await at.page.locator("h1").count() == 1
            assert await at.page.locator("main").count() == 1
