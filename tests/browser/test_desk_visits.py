"""Planning a visit in a real Chromium, on a desk and on a phone, in both languages: readable, named, and it is done."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from fleet.access.roles import Role
from tests.browser.desk_world import desk
from tests.support import value
from tests.visits_world import day

pytestmark = pytest.mark.browser

SIZES = ((1280, "en"), (390, "da"))


@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_the_pages_are_for_everybody(database: str, width: int, language: str) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await at.speak(language)
        number = value(database, "SELECT number FROM visits")
        for path in ("/kits/K-1/visit", f"/kits/K-1/visit?request={at.request}&kind=install", f"/visits/{number}"):
            await at.look(path, width, language)
        for kind in ("swap", "calibration", "take_down"):
            body = {"kind": kind, "kit": "K-1", "planned_on": day(3)}
            made = (await at.client.post("/api/v1/visits", json=body)).json()["number"]
            await at.look(f"/visits/{made}", width, language)
        await at.page.goto(f"{at.url}/visits/{number}/print")
        assert at.complaints == []


async def test_a_visit_is_planned_by_keyboard_and_nothing_is_lost(database: str) -> None:
    async with desk(database, Role.LOGISTICS) as at:
        await at.page.goto(f"{at.url}/service-requests/{at.request}")
        await at.page.get_by_role("link", name="Plan a visit").click()
        await expect(at.page.get_by_label("Kind of visit")).to_have_value("swap")
        await at.page.get_by_label("Until").fill("10:00")
        await at.page.get_by_label("Crew").fill("van-1")
        await at.page.get_by_label("Note").fill("third floor")
        await at.page.get_by_label("Crew").press("Enter")
        # Enter presses the first button of the form, which must not be one that throws away what was typed.
        await expect(at.page.get_by_label("Note")).to_have_value("third floor")
        await at.page.get_by_role("button", name="Plan the visit").click()
        await expect(at.page.get_by_role("alert")).to_contain_text("Nothing was done.")
        await at.page.get_by_role("alert").get_by_role("link").first.click()
        await expect(at.page.get_by_label("From", exact=False).first).to_be_visible()
        await at.page.locator("#plan-window_from").fill("08:00")
        await at.page.get_by_role("button", name="Plan the visit").click()
        await expect(at.page.get_by_text("third floor").first).to_be_visible()
        await expect(at.page.get_by_text("Acme scale").first).to_be_visible()
        assert value(database, "SELECT count(*) FROM visits WHERE kind = 'swap'") == 1
        assert [each for each in at.complaints if "409" not in each] == []
