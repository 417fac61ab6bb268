"""Opening a request and giving a password in a real Chromium, on a desk and on a phone, in both languages."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from fleet.access.roles import Role
from tests.browser.desk_world import desk
from tests.support import value

pytestmark = pytest.mark.browser

SIZES = ((1280, "en"), (390, "da"))


@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_the_pages_are_for_everybody(database: str, width: int, language: str) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await at.speak(language)
        walk = "tree=measurement-does-not-arrive"
        for path in ("/kits/K-1/request", f"/kits/K-1/request?{walk}", f"/kits/K-1/call?{walk}"):
            await at.look(path, width, language)
        await at.look(f"/service-requests/{at.request}", width, language)
        await at.look("/kits/K-1/credentials", width, language)
        await at.client.post("/api/v1/kits/K-1/credentials")
        await at.look("/kits/K-1/credentials?", width, language)
        assert at.complaints == []


async def test_what_is_open_is_joined_and_another_opened(database: str) -> None:
    async with desk(database, Role.SUPPORT) as at:
        await at.page.get_by_role("link", name="Open a request").click()
        await expect(at.page.get_by_role("radio").first).to_be_checked()
        await at.page.get_by_label("What is wrong").fill("new batteries do not help")
        await at.page.get_by_role("button", name="Send").click()
        await expect(at.page.get_by_role("heading", level=1)).to_contain_text(at.request)
        await expect(at.page.get_by_text("new batteries do not help")).to_be_visible()
        await at.page.goto(f"{at.url}/kits/K-1/request")
        await at.page.get_by_label("Open another request").check()
        await at.page.get_by_label("What is wrong").fill("the app closes by itself")
        await at.page.get_by_role("button", name="Send").click()
        await expect(at.page.get_by_role("alert")).to_contain_text("choose from the list")
        await expect(at.page.get_by_label("What is wrong")).to_have_value("the app closes by itself")
        await at.page.locator("#new-cause").select_option("app_fault")
        await at.page.get_by_role("button", name="Send").click()
        await expect(at.page.get_by_text("the app closes by itself")).to_be_visible()
        assert value(database, "SELECT count(*) FROM service_requests WHERE cause = 'app_fault'") == 1
        assert [each for each in at.complaints if "409" not in each] == []


async def test_a_password_is_shown_once(database: str) -> None:
    async with desk(database, Role.MDM_ADMIN) as at:
        await at.page.get_by_role("link", name="Credentials").click()
        await at.page.get_by_label("Why").fill("first use")
        await at.page.get_by_role("button", name="Give a password").click()
        await expect(at.page.locator(".secret")).to_have_text(re.compile(r"^\S{32}$"))
        await at.page.goto(f"{at.url}/kits/K-1/credentials")
        await expect(at.page.locator(".secret")).to_have_count(0)
        await expect(at.page.get_by_text("the broker is yet to be told")).to_be_visible()
        assert at.complaints == []
