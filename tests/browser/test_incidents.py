"""The pages of mass events in a real Chromium: what explains one, its kits, and when many are one."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.menus import go
from tests.browser.test_console import desk
from tests.support import execute, value

pytestmark = pytest.mark.browser

INCIDENT = """
WITH incident AS (
    INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits, cohort_kind, cohort_value)
    VALUES ('silent', 'open', now(), 10, 40, 'operator', 'TDC') RETURNING incident_id
), request AS (
    INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)
    SELECT 'SR-9', incident_id, 'silent', 'service', 'urgent', 'open', now(), now() FROM incident
)
INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s, left_at, outcome)
SELECT incident_id, kit_id, now(), 1, 30, CASE kit_id WHEN 2 THEN now() END, CASE kit_id WHEN 2 THEN 'returned' END
FROM incident, kits
"""


async def test_a_mass_event_is_explained_and_set(database: str, tmp_path: Path) -> None:
    async with desk(database) as at:
        execute(database, INCIDENT)
        await at.page.goto(at.url)
        await go(at.page, "Desk", "Mass events")
        row = at.page.get_by_role("row", name="Mobile network TDC")
        await expect(row).to_contain_text("2 / 40")
        await at.page.screenshot(path=tmp_path / "incidents.png", full_page=True)
        await row.get_by_role("link").click()
        await expect(at.page.get_by_role("heading", level=1)).to_contain_text("Mobile network TDC")
        await expect(at.page.get_by_role("region", name="No longer part of it")).to_contain_text("works again")
        await at.page.screenshot(path=tmp_path / "incident.png", full_page=True)
        await at.page.goto(f"{at.url}/incidents")
        await at.page.get_by_text("Kit is silent:").click()
        form = at.page.locator("form[action='/incidents/settings/silent']")
        await form.get_by_label("More kits than").fill("40")
        await form.get_by_label("More per cent than").fill("12.5")
        await form.get_by_role("button", name="Save").click()
        await expect(at.page.get_by_text("Kit is silent: 40")).to_be_visible()
        assert at.complaints == []
    assert value(database, "SELECT (least, share) = (40, 0.125) FROM incident_settings WHERE rule = 'silent'")


async def test_it_stands_above_the_kits_in_danish_too(database: str) -> None:
    async with desk(database, viewport={"width": 390, "height": 800}) as at:
        execute(database, INCIDENT)
        await at.page.goto(f"{at.url}/language/da?next=/")
        await expect(at.page.locator("#notices")).to_contain_text("Mobilnet TDC: 1 af 40 telekit")
        for path in ("/incidents", "/incidents/1"):
            await at.page.goto(at.url + path)
            assert await at.page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert at.complaints == []
