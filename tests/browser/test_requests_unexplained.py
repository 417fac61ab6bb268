"""A request that the machine ended asks for its cause: in the list, on its page, until somebody gives it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from fleet.alerts.requests.log import Entry, What
from fleet.alerts.requests.writing import Change, append, lock
from fleet.db.connect import connect
from tests.browser.desk_world import desk
from tests.support import value

pytestmark = pytest.mark.browser


async def resolved_by_the_machine(database: str, number: str) -> None:
    """Its alerts cleared while somebody was at it."""
    async with await connect(database, role="test") as connection:
        request = (await lock(connection, numbers=[number]))[number]
        now = value(database, "SELECT now()")
        said = {"from": request.now.state, "to": "resolved", "resolution": "proof"}
        await append(connection, [Change(request, [Entry(What.STATE, "system", now, said)])], now)


@pytest.mark.parametrize("width", [390, 1280])
async def test_what_is_unexplained_asks_for_its_cause(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await resolved_by_the_machine(database, at.request)
        for language in ("da", "en"):
            await at.speak(language)
            await at.look(f"/service-requests/{at.request}", width, language)
            await at.look("/service-requests?cause_missing=true", width, language)
        await expect(at.page.get_by_role("link", name="Cause missing")).to_have_attribute("aria-current", "page")
        await expect(at.page.locator("#requests")).to_contain_text("cause missing")
        await at.page.get_by_role("link", name=at.request).click()
        await expect(at.page.locator("#step")).to_contain_text("Nobody has said what was the cause")
        await expect(at.page.get_by_role("button", name="Close")).to_have_count(0)
        await at.page.locator("select[name=cause]").select_option("use_error")
        await at.page.locator("select[name=remedy]").select_option("advice")
        await at.page.get_by_role("button", name="Solved").click()
        await expect(at.page.locator("#facts")).not_to_contain_text("cause missing")
        closing = at.page.locator("form", has=at.page.locator("input[value=close]"))
        await closing.locator("input[name=reason]").fill("seen to")
        await closing.get_by_role("button").click()
        await expect(at.page.locator("#facts")).to_contain_text("closed without proof")
        assert at.complaints == []
