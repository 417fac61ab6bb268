"""Maintenance windows and shelves in a real Chromium: planned, ended, readable for everybody."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.menus import go
from tests.browser.test_console import desk
from tests.support import execute

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)


def _planned(database: str) -> None:
    """A window that is on, one that recurs, one that is over, and an alert that is kept quiet."""
    execute(
        database,
        """
        WITH planned AS (
            INSERT INTO maintenance_windows (title, starts_at, ends_at, recurrence, current_from, current_to, ended_at,
                collect, names_kits, rules, created_by)
            VALUES ('New firmware on all scales', now() - interval '1 hour', now() + interval '1 hour', NULL,
                    now() - interval '1 hour', now() + interval '1 hour', NULL, true, true, NULL, 'mdm'),
                   ('Network of the municipality', now() + interval '1 day', now() + interval '26 hours',
                    'FREQ=WEEKLY', now() + interval '1 day', now() + interval '26 hours', NULL, false, false,
                    '{silent,no_network}', 'mdm'),
                   ('Long ago', now() - interval '9 days', now() - interval '8 days', NULL, NULL, NULL,
                    now() - interval '8 days', true, false, NULL, 'mdm')
            RETURNING window_id, names_kits, starts_at
        ), named AS (
            INSERT INTO maintenance_window_kits
            SELECT window_id, kit_id FROM planned, kits WHERE names_kits AND kit = 'K-1'
        ), past AS (
            INSERT INTO maintenance_occurrences (window_id, collect, began_at, began_clock_s)
            SELECT window_id, true, starts_at, 0 FROM planned WHERE names_kits
        )
        INSERT INTO alerts (kit_id, rule, severity, state, opened_at, suppressed_by, flapping, evidence)
        SELECT kit_id, 'version_drift', 'minor', 'active', now(), 'maintenance:1', true, '{}'
        FROM kits WHERE kit = 'K-1'
        """,
    )


@pytest.mark.parametrize("width", WIDTHS)
async def test_the_pages_are_for_everybody(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        _planned(database)
        for path in ("/maintenance", "/maintenance/1", "/maintenance/2", "/kits/K-1"):
            await at.page.goto(at.url + path)
            if path == "/kits/K-1":
                await at.page.get_by_text("More …").click()
            assert await at.page.evaluate("document.documentElement.scrollWidth") <= width, path
            for control in await at.page.locator("a, button, input:not([type=hidden]), select, summary").all():
                name = await control.evaluate(
                    "e => e.ariaLabel || e.innerText || e.textContent"
                    " || [...(e.labels || [])].map(l => l.innerText).join()"
                )
                assert name.strip(), await control.evaluate("e => e.outerHTML")
            assert await at.page.locator("h1").count() == 1
        assert at.complaints == []


async def test_a_window_is_planned_and_ended(database: str) -> None:
    async with desk(database) as at:
        await go(at.page, "Set-up", "Maintenance windows")
        await expect(at.page.get_by_text("No maintenance is planned.")).to_be_visible()
        form = at.page.locator("form.step")
        await form.get_by_label("What is done").fill("New firmware")
        await form.get_by_label("Until", exact=True).fill("2020-01-01T10:00")
        await form.get_by_label("Only these kits").fill("K-1, K-2")
        await form.get_by_role("button", name="Plan").click()
        await expect(at.page.get_by_role("alert")).to_contain_text("ends_at")
        await expect(form.get_by_label("What is done")).to_have_value("New firmware")
        soon = await at.page.evaluate(
            "new Date(Date.now() + 36e5).toLocaleString('sv', {timeZone: 'Europe/Copenhagen'})"
            ".slice(0, 16).replace(' ', 'T')"
        )
        await form.get_by_label("Until", exact=True).fill(soon)
        await form.get_by_role("button", name="Plan").click()
        await expect(at.page.locator("h1")).to_contain_text("New firmware on")
        await at.page.goto(f"{at.url}/kits/K-2")
        await expect(at.page.locator("#verdict")).to_contain_text("Maintenance until")
        await at.page.locator("#verdict").get_by_role("link", name="Maintenance until").click()
        await at.page.get_by_role("button", name="End it now").click()
        await expect(at.page.locator("h1")).to_contain_text("New firmware over")
        assert [each for each in at.complaints if "422" not in each] == []


async def test_an_alert_is_shelved_and_taken_back_up(database: str) -> None:
    async with desk(database) as at:
        _planned(database)
        await at.page.reload()
        cases = at.page.locator("#cases")
        await expect(cases).to_contain_text("comes and goes")
        await expect(cases).to_contain_text("quiet: Maintenance 1")
        await cases.get_by_text("More …").click()
        await cases.get_by_label("Why").fill("the citizen is on holiday")
        await cases.get_by_role("button", name="Shelve").click()
        await expect(cases).to_contain_text("the citizen is on holiday")
        await cases.get_by_role("button", name="Take it back up").click()
        await expect(cases).not_to_contain_text("the citizen is on holiday")
        await cases.get_by_text("More …").click()
        await cases.get_by_label("Comment").fill("called the depot")
        await cases.get_by_role("button", name="I take care of it").last.click()
        await expect(cases).to_contain_text("called the depot")
        assert at.complaints == []
