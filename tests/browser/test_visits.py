"""The pages of visits in a real Chromium, on a desk and on a phone: readable, named, and a visit is ended there."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from tests.browser.menus import go
from tests.browser.test_console import WIDTHS, Desk, desk
from tests.support import execute, value
from tests.visits_world import day

pytestmark = pytest.mark.browser


async def planned(at: Desk, database: str) -> str:
    """A visit of today that failed once, with something to bring, and a late one; gives the number of the first."""
    execute(database, "INSERT INTO organisations (slug, name, kind) VALUES ('aalborg', 'Aalborg', 'municipality')")
    execute(
        database,
        "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations WHERE slug = 'aalborg')",
    )
    execute(database, "INSERT INTO models (kind, manufacturer, name) VALUES ('scale', 'Maker', 'A scale with a name')")
    execute(
        database,
        "INSERT INTO locations (slug, name, kind, organisation_id)"
        " SELECT 'depot', 'Depot', 'depot', organisation_id FROM organisations WHERE slug = 'aalborg'",
    )
    bring = [{"model_id": 1, "location": "depot", "quantity": 2, "beyond_stock": True}]
    body = {"kit": "K-1", "planned_on": day(), "crew": "van-1", "window_from": "08:00", "window_to": "10:00"}
    late = {"kind": "swap", "kit": "K-2", "planned_on": day(), "ordered_at": f"{day(-60)}T08:00:00Z", "urgent": True}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {at.token}"}) as client:
        for more in (late, {**body, "kind": "repair", "bring": bring, "note": "the bell does not ring"}):
            answer = await client.post(f"{at.url}/api/v1/visits", json=more)
            assert answer.status_code == 201, answer.text
        number = str(answer.json()["number"])
        failed = {"failure": "nobody_home", "note": "rang twice", "planned_on": day()}
        answer = await client.post(f"{at.url}/api/v1/visits/{number}/fail", json=failed)
        assert answer.status_code == 200, answer.text
    return number


@pytest.mark.parametrize("width", WIDTHS)
async def test_the_pages_are_for_everybody(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        number = await planned(at, database)
        swap = value(database, "SELECT number FROM visits WHERE kind = 'swap'")
        for path in ("/visits", "/visits?overdue=true", f"/visits/{number}", f"/visits/{swap}"):
            await at.page.goto(at.url + path)
            await at.page.evaluate("document.querySelectorAll('main details').forEach(each => each.open = true)")
            if folder := os.environ.get("FLEET_SCREENSHOTS"):
                name = path.strip("/").replace("/", "-").replace("?", "-")
                await at.page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)
            assert await at.page.evaluate("document.documentElement.scrollWidth") <= width, path
            for control in await at.page.locator("a, button, input:not([type=hidden]), select, summary").all():
                name = await control.evaluate(
                    "e => e.ariaLabel || e.innerText || e.textContent"
                    " || [...(e.labels || [])].map(l => l.innerText).join()"
                )
                assert name.strip(), await control.evaluate("e => e.outerHTML")
            assert await at.page.locator("h1").count() == 1
        assert at.complaints == []


async def test_a_crew_looks_at_its_day_and_ends_a_visit(database: str) -> None:
    async with desk(database) as at:
        number = await planned(at, database)
        await go(at.page, "Desk", "Visits")
        await expect(at.page.locator("#visits")).to_contain_text("08:00")
        await at.page.get_by_label("Crew").fill("van-1")
        await at.page.get_by_role("button", name="Show").click()
        await expect(at.page.locator("#visits li")).to_have_count(1)
        await at.page.get_by_role("link", name=number).click()
        await expect(at.page.get_by_text("2 short")).to_be_visible()
        await expect(at.page.get_by_text("rang twice")).to_be_visible()
        await at.page.get_by_role("button", name="On our way").click()
        await expect(at.page.get_by_text("under way")).to_be_visible()
        await at.page.get_by_label("Received by").select_option("relative")
        await at.page.get_by_role("button", name="It is done").click()
        await expect(at.page.get_by_text("done after 0 working days")).to_be_visible()
        await at.page.goto(f"{at.url}/visits?day_from={day()}&day_to={day()}")
        await at.page.get_by_role("link", name="Sheet to print").click()
        await expect(at.page.get_by_role("heading", name="Visits")).to_be_visible()
        assert at.complaints == []
