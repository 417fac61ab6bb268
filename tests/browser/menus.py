"""Going somewhere through the console's menu, as people do, on a wide screen or a phone."""

from __future__ import annotations

from playwright.async_api import Page


async def go(page: Page, group: str, entry: str) -> None:
    """Open the group of the menu (on a phone the menu itself) and choose an entry."""
    await _open(page, group)
    await page.locator("header").get_by_role("link", name=entry, exact=True).click()


async def leave(page: Page, account: str = "Account", button: str = "Log out") -> None:
    """Log out from the menu."""
    await _open(page, account)
    await page.locator("header").get_by_role("button", name=button).click()


async def _open(page: Page, group: str) -> None:
    narrow = page.locator("header .narrow-menu > details > summary")
    wide = page.locator("header .wide summary").filter(has_text=group)
    await (narrow if await narrow.is_visible() else wide).click()
