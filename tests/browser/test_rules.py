"""The pages of the rules in a real Chromium: they fit a phone, read well, and a trial leads to a change."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.test_console import WIDTHS, desk
from tests.integration.test_api_rules import history
from tests.integration.test_dry_runs import add, window

pytestmark = pytest.mark.browser
NAME = "e => e.textContent.trim() || [...(e.labels || [])].map(l => l.textContent).join()"


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_rule_is_tried_and_saved(database: str, width: int) -> None:
    await history(database, "K-9", 12, 6)
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await at.page.goto(f"{at.url}/rules")
        assert await at.page.evaluate("document.documentElement.scrollWidth") <= width
        await at.page.get_by_role("link", name="Storage is low").click()
        await at.page.get_by_label("Free storage below (MB)").first.fill("800")
        await at.page.get_by_label("Must hold for (seconds)").first.fill("0")
        await at.page.get_by_role("button", name="Try on the history").click()
        await expect(at.page.get_by_role("heading", name="What would have been")).to_be_visible()
        assert await at.page.evaluate("document.documentElement.scrollWidth") <= width
        for control in await at.page.locator("a, button, input:not([type=hidden]), select").all():
            name = await control.evaluate(
                "e => e.textContent.trim() || [...(e.labels || [])].map(l => l.textContent).join()"
            )
            assert name.strip(), await control.evaluate("e => e.outerHTML")
        await at.page.get_by_role("button", name="Save").first.click()
        await expect(at.page.get_by_role("heading", name="Changes")).to_be_visible()
        await expect(at.page.get_by_label("Free storage below (MB)").first).to_have_value("800")
        assert at.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_trial_says_what_would_have_been_kept_quiet(database: str, width: int) -> None:
    add(database, kits=30, prefix="T-")
    window(database, collect=False, begin="20 h", end="19 h")
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await at.page.goto(f"{at.url}/rules/storage_low")
        await at.page.get_by_label("Free storage below (MB)").first.fill("800")
        await at.page.get_by_label("Days to try it on").select_option("1")
        await at.page.get_by_role("button", name="Try on the history").click()
        kept = at.page.get_by_role("table", name="What would have been kept quiet")
        await expect(kept.get_by_role("rowheader", name="mass event fleet")).to_be_visible()
        await expect(at.page.locator("dl.facts", has_text="Would be told of")).to_contain_text("30")
        assert await at.page.evaluate("document.documentElement.scrollWidth") <= width
        await at.page.goto(f"{at.url}/rules/silent")
        await expect(at.page.get_by_text("Set it otherwise for some")).to_be_visible()
        assert at.complaints == []
