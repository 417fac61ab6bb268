"""Contracts and calendars in a real Chromium: changed from the page, fitting a phone, everything with a name."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest
from playwright.async_api import expect

from tests.browser.menus import go
from tests.browser.test_console import WIDTHS, Desk, desk
from tests.support import execute, value

pytestmark = pytest.mark.browser

PATHS = ("/contracts", "/contracts/nord", "/calendars/nord-desk?from=2026-12-21", "/calendars/always")
HOURS = {day: [["08:00", "12:00"], ["12:30", "16:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
CALENDAR = {
    "slug": "nord-desk",
    "name": "Support North",
    "hours": HOURS,
    "optional_days": {"december_24": "closed", "december_31": "half"},
    "days": [{"day": "2026-12-28", "hours": [["10:00", "12:00"]], "note": "stock-take"}],
}
CONTRACT = {
    "slug": "nord",
    "name": "COPD North",
    "programme": "copd",
    "calendar": "nord-desk",
    "valid_from": "2026-01-01T00:00:00Z",
    "targets": [
        {"priority": "urgent", "response_min": 30, "update_min": 60, "solution_min": 240},
        {"priority": "high", "response_min": 120, "solution_min": 480},
        {"priority": "normal", "solution_min": 1440},
        {"priority": "low", "solution_min": 4800},
    ],
    "escalations": [
        {"target": "solution", "percent": 75, "notify": "assignee"},
        {"target": "solution", "before_min": 30, "notify": "role", "role": "secretariat", "raise_priority": True},
    ],
}


async def fill(at: Desk) -> None:
    """A contract with a calendar of its own."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {at.token}"}) as client:
        for path, body in (("calendars", CALENDAR), ("contracts", CONTRACT)):
            assert (await client.post(f"{at.url}/api/v1/{path}", json=body)).status_code == 201


def count_some(database: str) -> None:
    """Requests that were opened under the standard contract this month."""
    execute(
        database,
        "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, contract_id,"
        " resolved_at, sla_state, sla_breaches, responded_at)"
        " SELECT 'SR-' || g, 1, 'silent' || g, 'support', 'high', 'resolved', %s, now(), contract_id, now(), 'met',"
        " CASE WHEN g = 1 THEN '{solution}' ELSE '{}' END::text[], now()"
        " FROM contracts, generate_series(1, 3) g WHERE slug = 'standard'",
        datetime.now(UTC),
    )


async def test_targets_are_changed_from_the_page(database: str) -> None:
    async with desk(database) as at:
        await fill(at)
        await at.page.goto(at.url)
        await go(at.page, "Set-up", "Contracts")
        await at.page.get_by_role("link", name="COPD North").click()
        await at.page.get_by_label("urgent: solution").fill("4:75")
        await at.page.get_by_role("button", name="Save targets").click()
        await expect(at.page.get_by_role("alert")).to_contain_text("hours and minutes such as 4:30")
        await at.page.get_by_label("urgent: solution").fill("2:30")
        await at.page.get_by_label("normal: first response").fill("8")
        await at.page.get_by_role("button", name="Save targets").click()
        await expect(at.page.get_by_label("normal: first response")).to_have_value("8:00")
        query = "SELECT solution_min FROM contract_targets WHERE priority = 'urgent' AND update_min = 60"
        assert value(database, query) == 150
        assert [each for each in at.complaints if "422" not in each] == []


async def test_a_day_is_closed_from_the_page(database: str) -> None:
    async with desk(database) as at:
        await fill(at)
        await at.page.goto(f"{at.url}/calendars/nord-desk")
        await at.page.get_by_label("Day", exact=True).fill("2026-12-23")
        await at.page.get_by_label("Why").fill("moving house")
        await at.page.get_by_role("button", name="Add the day").click()
        row = at.page.get_by_role("row").filter(has_text="2026-12-23")
        await expect(row).to_contain_text("closed")
        await expect(row).to_contain_text("moving house")
        await expect(at.page.get_by_role("row").filter(has_text="2026-12-25")).to_contain_text("Christmas Day")
        assert at.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
async def test_the_pages_fit_and_have_names(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await fill(at)
        count_some(database)
        for path in (*PATHS, "/contracts/standard"):
            await at.page.goto(at.url + path)
            assert await at.page.evaluate("document.documentElement.scrollWidth") <= width, path
            for control in await at.page.locator("a, button, input:not([type=hidden]), select").all():
                name = await control.evaluate(
                    "e => e.ariaLabel || e.innerText || e.textContent"
                    " || [...(e.labels || [])].map(l => l.innerText).join()"
                )
                assert name.strip(), await control.evaluate("e => e.outerHTML")
            assert await at.page.locator("h1").count() == 1
        assert at.complaints == []
