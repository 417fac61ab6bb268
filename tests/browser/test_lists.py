"""Problem trees, lists and escalation steps in a real Chromium: on a desk and a phone, in both languages."""

from __future__ import annotations

import pytest
from playwright.async_api import FilePayload, expect

from tests.browser.test_console import WIDTHS, desk
from tests.browser.test_handling import look, speak
from tests.unit.test_tree_lines import FINE

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_tree_is_mended_tried_and_published(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        broken = FINE.replace("line: service", "line: nobody").replace("next: good", "next: gone")
        for language in ("da", "en"):
            await speak(at, language)
            await at.page.goto(f"{at.url}/problem-trees")
            await look(at, f"trees-{language}", width)
            await at.page.goto(f"{at.url}/problem-trees/kit-is-silent")
            await look(at, f"tree-{language}", width)
            await at.page.goto(f"{at.url}/new-problem-tree")
            await at.page.locator("#body").fill(broken)
            await at.page.locator("button[value=check]").click()
            await expect(at.page.locator("#faults li")).to_have_count(1)
            await look(at, f"treeedit-faults-{language}", width)
        await at.page.get_by_role("button", name="line 18").click()
        chosen = "document.getElementById('body').value.slice(body.selectionStart, body.selectionEnd)"
        assert "line: nobody" in await at.page.evaluate(chosen)
        file: FilePayload = {"name": "tree.yaml", "mimeType": "text/yaml", "buffer": FINE.encode()}
        await at.page.get_by_label("Take the text from a file").set_input_files(file)
        await expect(at.page.locator("#body")).to_have_value(FINE)
        await at.page.get_by_label("For which kit").fill("K-1")
        await at.page.get_by_role("button", name="Begin to try").click()
        await at.page.get_by_role("button", name="No", exact=True).click()
        await expect(at.page.locator("aside")).to_contain_text("Look at it.")
        await look(at, "treeedit-tried-en", width)
        await at.page.get_by_role("button", name="Publish").click()
        await expect(at.page.locator("h1")).to_contain_text("Does it work")
        await expect(at.page.locator("h1")).to_contain_text("counts")
        assert [each for each in at.complaints if "422" not in each] == []


@pytest.mark.parametrize("width", WIDTHS)
async def test_lists_and_steps_are_maintained(database: str, width: int) -> None:
    async with desk(database, viewport={"width": width, "height": 900}) as at:
        for language in ("da", "en"):
            await speak(at, language)
            for path in ("lists", "lists/causes/other", "lessons", "contracts/standard/escalations"):
                await at.page.goto(f"{at.url}/{path}")
                await look(at, f"{path.replace('/', '-')}-{language}", width)
        await at.page.goto(f"{at.url}/lists")
        await at.page.get_by_text("Add a remedy").first.click()
        form = at.page.locator("form[action='/lists/remedies']")
        await form.get_by_label("Short name").fill("Dried!")
        await form.get_by_label("Text in English").fill("Dried")
        await form.get_by_label("Text in Danish").fill("Tørret")
        await form.get_by_role("button").click()
        await expect(at.page.locator("#wrong-name")).to_be_visible()
        await look(at, "lists-wrong-en", width)
        await form.get_by_label("Short name").fill("dried")
        await form.get_by_role("button").click()
        await expect(at.page.get_by_role("link", name="Dried")).to_be_visible()
        await at.page.goto(f"{at.url}/contracts/standard")
        await at.page.get_by_role("link", name="Change the steps").click()
        rows = at.page.locator("fieldset")
        count = await rows.count()
        await rows.nth(count - 1).get_by_label("When").fill("nine")
        await at.page.get_by_role("button", name="Save").click()
        await expect(at.page.locator(".wrong")).to_have_count(1)
        await rows.nth(count - 1).get_by_label("When").fill("95")
        await at.page.get_by_role("button", name="Save").click()
        await expect(at.page.get_by_text("95 % of the time")).to_be_visible()
        assert [each for each in at.complaints if "422" not in each] == []
