"""A desk's console in a real Chromium: a kit of a municipality at a citizen's, with a fault, a request and stock."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Page, async_playwright

from fleet.access.roles import Role
from tests.api import make_token, serving
from tests.books_world import API, enter_pieces, enter_type, made, prepare, step, tell
from tests.support import execute
from tests.visits_world import day, heard, place

NAME_OF = (
    "e => e.ariaLabel || e.innerText || e.textContent || [...(e.labels || [])].map(l => l.innerText).join() || e.alt"
)


@dataclass(frozen=True, slots=True)
class Desk:
    """A logged-in page, a client with the same token, and what the browser complained about."""

    page: Page
    url: str
    client: httpx.AsyncClient
    database: str
    request: str
    complaints: list[str]

    async def look(self, path: str, width: int, language: str = "en") -> None:
        """Open a page and everything folded in it; it fits the screen, and every control has a name."""
        await self.page.goto(self.url + path)
        await self.page.evaluate("document.querySelectorAll('main details').forEach(each => each.open = true)")
        if folder := os.environ.get("FLEET_SCREENSHOTS"):
            name = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")
            await self.page.screenshot(path=Path(folder) / f"{name}-{language}-{width}.png", full_page=True)
        assert await self.page.evaluate("document.documentElement.scrollWidth") <= width, path
        controls = "a, button, input:not([type=hidden]), select, textarea, summary"
        for control in await self.page.locator(controls).all():
            assert (await control.evaluate(NAME_OF)).strip(), await control.evaluate("e => e.outerHTML")
        twice = "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, at, all) => all.indexOf(id) !== at)"
        assert await self.page.evaluate(twice) == []
        assert await self.page.locator("h1").count() == 1

    async def speak(self, language: str) -> None:
        """Choose the language of the pages."""
        await self.page.goto(f"{self.url}/language/{language}")


@asynccontextmanager
async def desk(database: str, role: Role = Role.ADMIN, **context: Any) -> AsyncIterator[Desk]:
    """Start the console on the world and log in with a token of a role."""
    token, admin = await make_token(database, role), await make_token(database, Role.ADMIN)
    complaints: list[str] = []
    async with (
        serving(database) as url,
        httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {admin}"}) as client,
        async_playwright() as playwright,
    ):
        request = await _world(client, database)
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=False)
        page = await (await browser.new_context(locale="en-GB", **context)).new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{url}/kits/K-1")
        await page.get_by_label("Token").fill(token)
        await page.get_by_role("button", name="Use the token").click()
        await page.wait_for_url(f"{url}/kits/K-1")
        yield Desk(page, url, client, database, request, complaints)
        await browser.close()


async def _world(client: httpx.AsyncClient, database: str) -> str:
    """The kit K-1 is installed and its scale is lost; gives the number of the request about it."""
    await made(await client.post(f"{API}/organisations", json={"slug": "nord", "name": "Nord", "kind": "municipality"}))
    models = await enter_type(client)
    pieces = await enter_pieces(client, models, organisation="nord")
    await enter_pieces(client, models, 7, organisation="nord")
    label = {"organisation": "nord", "label": "KOL 17"}
    await prepare(client, database, "K-1", pieces, **label)
    await place(client, "K-1")
    for each in ("ready", "dispatched"):
        await step(client, "K-1", each)
    heard(database)
    await step(client, "K-1", "installed")
    tell(database, "K-1", software={"app": "1"}, contact=("oximeter-1",))
    _complain(database)
    asked = {"kit": "K-1", "cause": "peripheral_fault", "description": "the scale shows nothing"}
    number = str((await made(await client.post(f"{API}/service-requests", json=asked)))["number"])
    late = {"kind": "repair", "kit": "K-1", "planned_on": day(2), "window_from": "08:00", "window_to": "10:00"}
    await made(await client.post(f"{API}/visits", json={**late, "crew": "van-1", "service_request": number}))
    window = {"title": "new app", "kits": ["K-1"], "ends_at": f"{day(2)}T00:00:00Z", "rules": ["version_drift"]}
    await made(await client.post(f"{API}/maintenance-windows", json=window))
    return number


def _complain(database: str) -> None:
    """Its scale is reported unpaired, and there is an alert of it."""
    execute(
        database,
        'UPDATE latest_reports SET body = body || \'[{"serial": "scale-1", "kind": "scale", "paired": false,'
        ' "model": "Acme scale", "battery": 12}]\' WHERE kind = \'pairing\'',
    )
    execute(
        database,
        "UPDATE kit_latest SET battery = 81, charging = true, network = '4g', operator = 'Operator',"
        " signal_dbm = -71, storage_free_mb = 4200, uptime_s = 90000",
    )
    execute(
        database,
        "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " SELECT kit_id, 'pairing_lost', 'major', 'active', now() - interval '3 hours',"
        ' \'{"peripherals": [{"kind": "scale", "serial": "scale-1"}]}\' FROM kits',
    )
