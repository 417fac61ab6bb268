"""Going somewhere through the console's menu, as people do, on a wide screen or a phone."""

from __future__ import annotations

from playwright.async_api import Page


async def go(page: Page, group: str, entry: str) -> None:
    """Open the group of the menu (on a phone the menu itself) and choose an entry."""
    menu = page.locator("header")
    narrow = menu.locator(".narrow-menu > details > summary")
    await (narrow if await narrow.is_visible() else menu.locator(".wide summary").filter(has_text=group)).click()
    await menu.get_by_role("link", name=entry, exact=True).click()


async def leave(page: Page, account: str = "Account", button: str = "Log out") -> None:
    """Log out from the menu."""
    await page.locator("header .wide summary").filter(has_text=account).click()
    await page.locator("header").get_by_role("button", name=button).click()
