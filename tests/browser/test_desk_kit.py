"""A kit's page in a real Chromium as an agent on the telephone sees it: at one glance, on a desk and on a phone."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from fleet.access.roles import Role
from tests.browser.desk_world import desk

pytestmark = pytest.mark.browser

SIZES = ((1280, "en"), (390, "da"), (390, "en"))


@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_the_page_is_for_everybody(database: str, width: int, language: str) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await at.speak(language)
        await at.look("/kits/K-1", width, language)
        assert at.complaints == []


async def test_an_agent_sees_at_once_what_is_wrong_and_what_to_do(database: str) -> None:
    async with desk(database, Role.SUPPORT, viewport={"width": 390, "height": 844}) as at:
        glance = at.page.locator("#verdict")
        for said in ("No pairing: scale scale-1", "Next visit", "08:00\u201310:00", at.request, "What to do now"):
            await expect(glance).to_contain_text(said)
        await expect(glance).to_contain_text("if nothing comes, pair the device again")
        rows = at.page.locator("#facts tr", has_text="scale-1")
        await expect(rows).to_contain_text("not paired")
        await expect(at.page.get_by_role("link", name="Credentials")).to_have_count(0)
        # On a phone what to do comes before the first thing that is not needed during a call.
        below = await at.page.evaluate(
            "document.querySelector('.todo').getBoundingClientRect().top < document.querySelector('#facts')"
            ".getBoundingClientRect().top"
        )
        assert below


async def test_it_follows_a_visit_that_is_planned_elsewhere(database: str) -> None:
    async with desk(database) as at:
        await expect(at.page.locator("#verdict")).to_contain_text("van-1")
        number = (await at.client.get("/api/v1/visits")).json()["items"][0]["number"]
        await at.client.post(f"/api/v1/visits/{number}/cancel", json={"reason": "not needed"})
        await expect(at.page.locator("#verdict")).to_contain_text("none planned", timeout=10_000)
        assert at.complaints == []
