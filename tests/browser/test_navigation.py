"""The console's menu in a real Chromium: one row on a desk, one button on a phone, by mouse and by keyboard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import expect

from fleet.access.roles import Role
from tests.browser.desk_world import desk as furnished
from tests.browser.menus import go
from tests.browser.test_console import WIDTHS, desk

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", ["da", "en"])
async def test_the_menu_is_one_row_and_fits(database: str, width: int, language: str) -> None:
    async with desk(database, viewport={"width": width, "height": 800}) as at:
        await at.page.goto(f"{at.url}/language/{language}")
        header = at.page.locator("header")
        for page in ("/", "/service-requests", "/outlets"):
            await at.page.goto(at.url + page)
            box = await header.bounding_box()
            assert box
            assert box["height"] <= 76
            for group in await header.locator("summary:visible").all():
                await group.click()
                assert await at.page.evaluate("document.documentElement.scrollWidth") <= width, page
                assert await header.locator("details[open]").count() == 1
                if folder := os.environ.get("FLEET_SCREENSHOTS"):
                    name = f"menu-{await group.inner_text()}-{language}-{width}.png"
                    await at.page.screenshot(path=Path(folder) / name)
        await at.page.mouse.click(width / 2, 790)
        await expect(header.locator("details[open]")).to_have_count(0)
        assert at.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
async def test_one_goes_somewhere_and_sees_where_one_is(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 800}) as at:
        await go(at.page, "Logistics", "Stock-takes")
        await expect(at.page).to_have_url(f"{at.url}/stocktakes")
        await expect(at.page.locator("header [aria-current=page]").first).to_have_text("Stock-takes")
        assert await at.page.locator("header nav:visible [aria-current]").count() == 1


async def test_the_keyboard_is_enough(database: str) -> None:
    async with desk(database) as at:
        group = at.page.locator(".wide summary").filter(has_text="Desk")
        await group.focus()
        await at.page.keyboard.press("Enter")
        await at.page.keyboard.press("Tab")
        await expect(at.page.get_by_role("link", name="Service requests").first).to_be_focused()
        await at.page.keyboard.press("Escape")
        await expect(group).to_be_focused()
        await expect(at.page.locator("header details[open]")).to_have_count(0)
        await at.page.keyboard.press("Enter")
        for _ in range(4):
            await at.page.keyboard.press("Tab")
        await expect(at.page.locator("header details[open]")).to_have_count(0)


async def test_without_script_the_menu_opens_all_the_same(database: str) -> None:
    async with desk(database, java_script_enabled=False, viewport={"width": 390, "height": 800}) as at:
        await go(at.page, "Set-up", "Lists")
        await expect(at.page).to_have_url(f"{at.url}/lists")


async def test_support_is_shown_what_support_may_read(database: str) -> None:
    async with furnished(database, Role.SUPPORT) as at:
        header = at.page.locator("header")
        await expect(header.locator(".wide > ul > li > a", has_text="Scan")).to_be_visible()
        await expect(header.get_by_text("Stock")).to_have_count(0)
        await expect(header.get_by_text("Contracts")).to_have_count(0)
        await go(at.page, "Desk", "Visits")
        await expect(at.page.locator("h1")).to_have_text("Visits")
