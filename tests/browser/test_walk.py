"""Every page that can be reached, as each desk sees it: it fits, is named, and no link leads nowhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fleet.access.roles import Role
from tests.books_world import API, made
from tests.browser.desk_world import NAME_OF, Desk, desk
from tests.browser.test_console import WIDTHS
from tests.browser.test_levels import CALENDAR, CONTRACT
from tests.support import execute

pytestmark = pytest.mark.browser

CONTROLS = "a, button, input:not([type=hidden]), select, textarea, summary"
NAMES = f"all => all.map(e => [({NAME_OF})(e).trim(), e.outerHTML])"
LINKS = "[...document.querySelectorAll('a[href]')].map(e => e.href)"
MOST_PAGES = 90
# Of many pages of one kind the first shows how they look; what a page is filtered by is not another page.
ALIKE = re.compile(r"^(/rules/|/problem-trees/|/lists/[a-z]+/|/kits/[^/]+/call[?]|[^?]+).*")

INCIDENT = """
WITH incident AS (
    INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits, cohort_kind, cohort_value)
    VALUES ('silent', 'open', now(), 10, 40, 'operator', 'TDC') RETURNING incident_id
)
INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s)
SELECT incident_id, kit_id, now(), 1, 30 FROM incident, kits
"""


async def furnish(at: Desk) -> None:
    """Besides the desk's world: an order, a stock-take, a mass event, a contract, places where facts go."""
    execute(at.database, INCIDENT)
    supplier = {"slug": "maker", "name": "Maker", "kind": "supplier"}
    await made(await at.client.post(f"{API}/organisations", json=supplier))
    for path, body in (("calendars", CALENDAR), ("contracts", CONTRACT)):
        await made(await at.client.post(f"{API}/{path}", json=body))
    line = {"model_id": 1, "quantity": 3, "expected_on": "2026-11-01"}
    order = {"supplier": "maker", "organisation": "nord", "reference": "R-77", "lines": [line]}
    await made(await at.client.post(f"{API}/orders", json=order))
    execute(
        at.database,
        "INSERT INTO outlets (kind, events, url, address, secret) VALUES"
        " ('webhook', '{request.*}', 'https://desk.example.dk/in', NULL, 'x'),"
        " ('mail', '{*}', NULL, 'a@example.dk', NULL)",
    )


@pytest.mark.parametrize(("role", "language"), [(Role.SUPPORT, "en"), (Role.LOGISTICS, "en"), (Role.ADMIN, "da")])
async def test_every_page_is_fit_to_be_seen_and_every_link_leads_somewhere(
    database: str, role: Role, language: str
) -> None:
    async with desk(database, role, viewport={"width": WIDTHS[0], "height": 900}) as at:
        await furnish(at)
        await at.speak(language)
        waiting, seen, looks = ["/"], {"/"}, set[str]()
        while waiting and len(looks) < MOST_PAGES:
            path = waiting.pop(0)
            answer = await at.page.context.request.get(at.url + path)
            assert answer.status < 400, path
            kind = ALIKE.sub(r"\1", path)
            if "text/html" not in answer.headers["content-type"] or kind in looks:
                continue
            looks.add(kind)
            for link in await links(at, path, f"{role}-{language}"):
                if link not in seen:
                    seen.add(link)
                    waiting.append(link)
        assert not waiting, f"more than {MOST_PAGES} pages"
        assert at.complaints == []


async def links(at: Desk, path: str, name: str) -> list[str]:
    """Look at a page in both widths; gives where its links lead, without what changes the language or what is shown."""
    await at.page.goto(at.url + path)
    await at.page.evaluate("document.querySelectorAll('main details').forEach(each => each.open = true)")
    for width in WIDTHS:
        await at.page.set_viewport_size({"width": width, "height": 900})
        if folder := os.environ.get("FLEET_SCREENSHOTS"):
            file = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-") or "kits"
            await at.page.screenshot(path=Path(folder) / f"{name}-{file[:60]}-{width}.png", full_page=True)
        assert await at.page.evaluate("document.documentElement.scrollWidth") <= width, path
    for said, control in await at.page.locator(CONTROLS).evaluate_all(NAMES):
        assert said, (path, control)
    assert await at.page.locator("h1").count() == 1, path
    found = [urlsplit(each) for each in await at.page.evaluate(LINKS) if each.startswith(f"{at.url}/")]
    return [
        each._replace(scheme="", netloc="", fragment="").geturl() for each in found if "/language/" not in each.path
    ]
