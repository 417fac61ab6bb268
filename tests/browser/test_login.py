"""Logging in as people do it, in a real Chromium: password, second factor, and a provider on another site."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, Page, async_playwright, expect

from fleet.access.roles import Role
from fleet.access.users import RoleAt
from fleet.api import service
from fleet.api.app import create_app
from fleet.config import Settings
from fleet.embedded.ports import free_port
from tests.api import settings_for
from tests.browser.menus import leave
from tests.people import PASSWORD, add_organisations, admin_of, code, make_user
from tests.provider import real_provider, settings_with
from tests.support import eventually, value

pytestmark = pytest.mark.browser


@dataclass(frozen=True, slots=True)
class Screen:
    """A page of a running console that nobody is logged in to, and what the browser complained about."""

    page: Page
    url: str
    complaints: list[str]


@asynccontextmanager
async def screen(settings: Settings, *, width: int = 1280) -> AsyncIterator[Screen]:
    """Serve the console and open it in a browser."""
    app = create_app(settings)
    listener = service.listen("127.0.0.1", settings.http_port)
    server = service.make_server(app)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    complaints: list[str] = []
    try:
        await eventually(lambda: server.started, 15, "the server to start")
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=False)
            context = await browser.new_context(locale="en-GB", viewport={"width": width, "height": 800})
            page = await context.new_page()
            url = service.url_of(listener)

            def complain(message: ConsoleMessage) -> None:
                # What the provider's own pages lack is not our affair.
                if message.type == "error" and message.location["url"].startswith(url):
                    complaints.append(message.text)

            page.on("console", complain)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            yield Screen(page, url, complaints)
            await browser.close()
    finally:
        server.end()
        await asyncio.wait_for(serving, 15)


async def give_password(at: Screen, username: str, password: str = PASSWORD) -> None:
    """The first step, at the login page."""
    await at.page.goto(f"{at.url}/login")
    await at.page.get_by_label("Account name").fill(username)
    await at.page.get_by_label("Password").fill(password)
    await at.page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_new_administrator_gets_from_a_one_time_password_to_the_kits(database: str, width: int) -> None:
    await make_user(database, "admin-1", admin_of(None), password=None)
    new = "te og solskin på vej"
    async with screen(settings_for(database), width=width) as at:
        await give_password(at, "admin-1")
        await expect(at.page.get_by_role("alert")).to_contain_text("password of your own")
        await at.page.get_by_label("Present password").fill(PASSWORD)
        await at.page.get_by_label("New password", exact=True).fill(new)
        await at.page.get_by_label("New password once more").fill(new)
        await at.page.get_by_role("button", name="Change password").click()
        await expect(at.page.get_by_role("alert")).to_contain_text("second factor")
        factor = at.page.get_by_role("region", name="Second factor")
        await factor.get_by_label("Password").fill(new)
        await factor.get_by_role("button", name="Set up a second factor").click()
        qr = at.page.get_by_role("img", name="QR code for the app")
        await expect(qr).to_be_visible()
        box = await qr.bounding_box()
        assert box
        assert box["width"] > 150
        assert await at.page.evaluate("document.documentElement.scrollWidth") <= width
        secret = base64.b32decode((await at.page.locator("code").inner_text()).replace(" ", ""))
        await at.page.get_by_label("Code", exact=True).fill(code(secret))
        await at.page.get_by_role("button", name="Take into use").click()
        await expect(at.page.locator(".codes li")).to_have_count(10)
        recovery = await at.page.locator(".codes li").first.inner_text()
        assert await at.page.evaluate("document.documentElement.scrollWidth") <= width
        await at.page.get_by_role("link", name="Go on").click()
        await expect(at.page.locator("#list")).to_be_visible()
        await leave(at.page)
        await give_password(at, "admin-1", new)
        await at.page.get_by_label("Code", exact=True).fill(recovery)
        await at.page.get_by_role("button", name="Log in").click()
        await expect(at.page.locator("#list")).to_be_visible()
        assert at.complaints == []


async def test_a_provider_on_another_site_leads_back_into_the_console(database: str, tmp_path: Path) -> None:
    """The session's cookie is a strict one, which browsers keep back on the way from another site."""
    add_organisations(database, "a-by")
    await make_user(database, "support-07", RoleAt(Role.SUPPORT))
    with real_provider(tmp_path) as provider:
        provider.issuer = f"http://localhost:{provider.port}"
        provider.knows("s-1", roles=["fleet:support:a-by"])
        port = free_port()
        settings = settings_with(provider, database, http_port=port, http_public_url=f"http://127.0.0.1:{port}")
        async with screen(settings) as at:
            await at.page.goto(f"{at.url}/?q=K-1")
            await at.page.get_by_role("link", name="Log in with Region Nord").click()
            await at.page.get_by_placeholder("sub").fill("s-1")
            await at.page.get_by_role("button", name="Authorize").click()
            await expect(at.page).to_have_url(f"{at.url}/?q=K-1")
            await expect(at.page.locator("#list")).to_be_visible()
            assert [cookie["sameSite"] for cookie in await at.page.context.cookies(at.url)] == ["Strict"]
            assert at.complaints == []
    assert value(database, "SELECT method FROM sessions") == "oidc"


async def test_a_token_is_a_click_away_once_there_are_people(database: str) -> None:
    await make_user(database, "support-07", RoleAt(Role.SUPPORT))
    async with screen(settings_for(database)) as at:
        await at.page.goto(f"{at.url}/login")
        await expect(at.page.get_by_label("Token")).to_be_hidden()
        await at.page.get_by_text("Log in with a token").click()
        await at.page.get_by_label("Token").fill("flt_wrong")
        await at.page.get_by_role("button", name="Use the token").click()
        await expect(at.page.get_by_role("alert")).to_contain_text("was not accepted")
        await expect(at.page.get_by_label("Token")).to_be_visible()
