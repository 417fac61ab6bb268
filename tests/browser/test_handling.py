"""Scanning and moving, counting and receiving in a real Chromium: on a desk and a phone, with and without script."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser.menus import go
from tests.browser.test_console import WIDTHS, Desk, desk
from tests.support import execute

pytestmark = pytest.mark.browser
NAME = "e => e.ariaLabel || e.innerText || e.textContent || [...(e.labels || [])].map(l => l.innerText).join()"
CONTROLS = "a, button, input:not([type=hidden]), select, textarea, summary"


async def look(at: Desk, name: str, width: int) -> None:
    """The page as it stands: nothing sticks out, every control has a name, one heading; kept as a picture if wished."""
    await at.page.evaluate("document.querySelectorAll('main details').forEach(each => each.open = true)")
    if folder := os.environ.get("FLEET_SCREENSHOTS"):
        await at.page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)
    assert await at.page.evaluate("document.documentElement.scrollWidth") <= width, name
    for control in await at.page.locator(CONTROLS).all():
        assert (await control.evaluate(NAME)).strip(), await control.evaluate("e => e.outerHTML")
    assert await at.page.locator("h1").count() == 1


async def furnish(at: Desk, database: str) -> dict[str, int]:
    """A municipality with two places and pieces in stock; gives the numbers of the pieces by serial."""
    execute(database, "INSERT INTO organisations (slug, name, kind) VALUES ('aalborg', 'Aalborg', 'municipality')")
    execute(database, "INSERT INTO organisations (slug, name, kind) VALUES ('maker', 'Maker', 'supplier')")
    execute(database, "UPDATE kits SET organisation_id = 1, state = 'in_stock'")
    execute(database, "INSERT INTO models (kind, manufacturer, name) VALUES ('scale', 'Maker', 'A scale with a name')")
    execute(database, "INSERT INTO models (kind, manufacturer, name) VALUES ('tablet', 'Maker', 'Tablet 10')")
    for slug in ("depot", "shelf"):
        execute(
            database,
            "INSERT INTO locations (slug, name, kind, organisation_id) VALUES (%s, %s, 'depot', 1)",
            slug,
            f"The {slug} of Aalborg",
        )
    made = {}
    for number, serial in enumerate(("SC-0001", "SC-0002", "SD-0002", "TAB-9001")):
        body = {"model_id": 2 if number == 3 else 1, "serial": serial, "organisation": "aalborg", "location": "depot"}
        made[serial] = (await ask(at, "/components", body))["id"]
    return made


async def ask(at: Desk, path: str, body: Any) -> Any:
    """Have the API do something."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {at.token}"}) as client:
        answer = await client.post(f"{at.url}/api/v1{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


async def speak(at: Desk, language: str) -> None:
    """Choose the language of the console."""
    await at.page.goto(f"{at.url}/language/{language}")


async def type_codes(page: Page, *codes: str) -> None:
    """As a hand scanner does: code after code, each with an Enter, without waiting for anything."""
    for code in codes:
        await page.keyboard.type(code)
        await page.keyboard.press("Enter")


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_scanner_fills_the_list_and_all_is_moved(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await furnish(at, database)
        for language in ("da", "en"):
            await speak(at, language)
            await at.page.goto(f"{at.url}/scan")
            await look(at, f"scan-empty-{language}", width)
            await expect(at.page.locator("#code")).to_be_focused()
            await type_codes(at.page, "SC-0001", "K-1", "TAB-9001", "0002", "who-knows")
            await expect(at.page.locator("#scanned tbody tr")).to_have_count(3)
            await expect(at.page.locator(".unclear")).to_have_count(2)
            await expect(at.page.locator("#code")).to_be_focused()
            await at.page.locator("[name=do]").select_option("move")
            await at.page.locator("[name=location]").fill("shelf")
            await at.page.locator("[value=try]").first.click()
            await expect(at.page.locator("#scanned .tag.good")).to_have_count(3)
            await expect(at.page.locator("[name=location]")).to_have_value("shelf")
            await look(at, f"scan-tried-{language}", width)
            await at.page.locator("[name=do]").select_option("step:lost")
            await at.page.locator("[value=do]").first.click()
            await expect(at.page.locator("#wrong-reason")).to_be_visible()
            await look(at, f"scan-wrong-{language}", width)
        await at.page.get_by_role("button", name="SC-0002").click()
        await expect(at.page.locator("#scanned tbody tr")).to_have_count(4)
        await at.page.get_by_label("What to do").select_option("move")
        await at.page.get_by_role("button", name="Do it").click()
        await expect(at.page.locator("#said")).to_contain_text("Done: 4, refused: 0.")
        await expect(at.page.locator("#scanned tbody")).to_contain_text("shelf")
        assert [each for each in at.complaints if "422" not in each] == []


async def test_what_is_typed_meanwhile_stays(database: str) -> None:
    async with desk(database) as at:
        await furnish(at, database)
        await at.page.goto(f"{at.url}/scan")
        await type_codes(at.page, "SC-0001")
        await expect(at.page.locator("#scanned tbody tr")).to_have_count(1)
        await at.page.get_by_label("Reason", exact=True).fill("to be counted")
        await at.page.locator("#code").focus()
        await type_codes(at.page, "TAB-9001")
        await expect(at.page.locator("#scanned tbody tr")).to_have_count(2)
        await expect(at.page.get_by_label("Reason", exact=True)).to_have_value("to be counted")
        await at.page.context.set_offline(True)
        await type_codes(at.page, "SC-0002", "SD-0002")
        await expect(at.page.locator("#waiting")).to_contain_text("SC-0002, SD-0002")
        await at.page.context.set_offline(False)
        await expect(at.page.locator("#scanned tbody tr")).to_have_count(4, timeout=15_000)
        await expect(at.page.locator("#waiting")).to_be_hidden()


async def test_it_works_without_script(database: str) -> None:
    async with desk(database, java_script_enabled=False) as at:
        await furnish(at, database)
        await at.page.goto(f"{at.url}/scan")
        for number, code in enumerate(("SC-0001", "TAB-9001"), 1):
            await at.page.locator("#code").fill(code)
            await at.page.locator("#code").press("Enter")
            await expect(at.page.locator("#scanned tbody tr")).to_have_count(number)
        await at.page.get_by_role("button", name="Take SC-0001 off the list").click()
        await expect(at.page.locator("#scanned tbody tr")).to_have_count(1)
        await at.page.get_by_label("What to do").select_option("move")
        await at.page.get_by_label("To which place").fill("shelf")
        await at.page.get_by_role("button", name="Do it").click()
        await expect(at.page.locator("#said")).to_contain_text("Done: 1, refused: 0.")


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_place_is_counted(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await furnish(at, database)
        await at.page.goto(f"{at.url}/stocktakes")
        await at.page.get_by_label("Place").fill("depot")
        await at.page.get_by_role("button", name="Begin to count").click()
        await expect(at.page.locator("h1")).to_contain_text("Stock-take: depot")
        address = at.page.url
        for language in ("da", "en"):
            await speak(at, language)
            await at.page.goto(f"{at.url}/stocktakes")
            await look(at, f"stocktakes-{language}", width)
            await at.page.goto(address)
            await expect(at.page.locator("#code")).to_be_focused()
            await type_codes(at.page, "SC-0001", "0002", "who-knows", "K-1")
            await expect(at.page.locator(".unclear")).to_have_count(1)
            await expect(at.page.locator("#found")).to_contain_text("who-knows")
            await look(at, f"stocktake-{language}", width)
        await at.page.get_by_label("What to do: TAB-9001").select_option("write off as lost")
        await type_codes(at.page, "SD-0002")
        await expect(at.page.get_by_label("What to do: SD-0002")).to_have_count(0)
        await expect(at.page.get_by_label("What to do: TAB-9001")).to_have_value(re.compile("=lost$"))
        await at.page.get_by_label("All that is here was scanned").check()
        await at.page.get_by_role("button", name="Close and keep the result").click()
        await expect(at.page.locator("#wrong-reason")).to_be_visible()
        await at.page.get_by_label("Reason, where something").fill("counted twice")
        await at.page.get_by_role("button", name="Close and keep the result").click()
        await expect(at.page.locator("h1")).to_contain_text("closed")
        await expect(at.page.locator("#found")).to_contain_text("written off as lost")
        await look(at, "stocktake-closed-en", width)
        assert [each for each in at.complaints if "422" not in each] == []


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_delivery_is_received_with_a_scanner(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        await furnish(at, database)
        await ask(at, "/stock/minimums", {"model_id": 1, "location": "depot", "minimum": 9, "target": 20})
        line = {"quantity": 3, "location": "depot", "expected_on": "2026-11-01"}
        order = {
            "supplier": "maker",
            "organisation": "aalborg",
            "reference": "R-77",
            "lines": [{**line, "model_id": 1}, {**line, "model_id": 2, "location": None}],
        }
        made = await ask(at, "/orders", order)
        await ask(at, f"/orders/{made['id']}/lines/{made['lines'][1]['id']}/pieces", {"serials": ["TAB-1", "TAB-2"]})
        for language in ("da", "en"):
            await speak(at, language)
            for path in ("stock", "orders"):
                await at.page.goto(f"{at.url}/{path}")
                await look(at, f"{path}-{language}", width)
            await at.page.goto(f"{at.url}/orders/{made['id']}")
            await at.page.locator("[name=serials]").first.focus()
            await type_codes(at.page, "N-1", "N-2", "N-1")
            await at.page.locator("[name=announced]").check()
            await at.page.locator("form[action$=receive] button").click()
            await expect(at.page.locator(".wrong")).to_have_count(2)
            await expect(at.page.locator("[name=serials]").first).to_have_value("N-1\nN-2\nN-1\n")
            await look(at, f"order-{language}", width)
        await at.page.locator("[name=serials]").first.fill("N-1\nN-2\n")
        await at.page.get_by_label("Where they are now").fill("shelf")
        await at.page.get_by_role("button", name="Receive a delivery").click()
        await expect(at.page.get_by_text("2 of 3")).to_have_count(2)
        await expect(at.page.get_by_role("link", name="Print labels: 2")).to_have_count(2)
        await look(at, "order-received-en", width)
        await go(at.page, "Logistics", "Stock")
        await expect(at.page.locator("#levels")).to_be_visible()
        assert [each for each in at.complaints if "422" not in each] == []
