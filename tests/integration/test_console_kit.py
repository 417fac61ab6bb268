"""A kit's page as an agent on the telephone reads it: what to do now, what is under way, its pieces in one list."""

from __future__ import annotations

import re

import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, running_app
from tests.books_world import tell
from tests.integration.test_visits_planning_pages import alert
from tests.support import add_kits, execute
from tests.visits_world import act, day, heard, plan, world

DANISH = {"Accept-Language": "da"}
INCIDENT = """
    WITH made AS (
        INSERT INTO incidents (rule, cohort_kind, cohort_value, state, opened_at, opened_clock_s, installed_kits)
        VALUES ('silent', 'operator', 'Telco', 'open', now(), 0, 2) RETURNING incident_id
    )
    INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s)
    SELECT incident_id, kit_id, now(), 0, 0 FROM made, kits
"""


def todo(page: str) -> str:
    """The list of what to do, without its tags."""
    found = re.search(r'<div class="todo">(.*?)</div>', page, re.DOTALL)
    return "" if found is None else " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


async def test_what_is_wrong_comes_with_what_to_do_about_it(database: str) -> None:
    async with world(database, "installed") as at:
        well = (await at.support.get("/kits/K-1")).text
        assert "Nothing shows a fault." in todo(well)
        assert 'href="/kits/K-1/call"' in well
        alert(database, "not_charging", "{}")
        wrong = todo((await at.support.get("/kits/K-1")).text)
        assert "Tablet does not charge: Ask for another plug and cable to be tried" in wrong
        assert "open a request" in wrong
        danish = todo((await at.support.get("/kits/K-1", headers=DANISH)).text)
        assert "Tabletten oplades ikke" in danish
        execute(database, "UPDATE alerts SET suppressed_by = 'shelved:2026-12-01'")
        assert "does not charge" not in todo((await at.support.get("/kits/K-1")).text)


async def test_what_is_known_or_under_way_is_told_first(database: str) -> None:
    async with world(database, "installed") as at:
        alert(database, "not_charging", "{}")
        execute(database, INCIDENT)
        known = todo((await at.support.get("/kits/K-1")).text)
        assert known.startswith("What to do now Tell the caller: the trouble is known")
        assert "charge" not in known
        execute(database, "UPDATE incident_members SET left_at = now(), outcome = 'returned'")
        asked = {"kit": "K-1", "cause": "tablet_fault"}
        number = (await at.support.post("/api/v1/service-requests", json=asked)).json()["number"]
        await plan(at.logistics, "repair", planned_on=day(5), crew="van-5")
        visit = await plan(at.logistics, "repair", planned_on=day(2), window_from="08:00", window_to="10:00")
        page = (await at.support.get("/kits/K-1")).text
        assert "A visit is planned" in todo(page)
        assert f"{number} is open" in todo(page)
        assert "open a request." not in todo(page)
        assert f"{day(2)} 08:00\u201310:00" in page
        assert "van-5" not in page
        await act(at.logistics, visit, "start")
        await act(at.logistics, visit, "fail", failure="nobody_home")
        assert "in vain: agree on a new day" in todo((await at.support.get("/kits/K-1")).text)


async def test_books_and_tablet_are_one_list_of_pieces(database: str) -> None:
    async with world(database, "installed") as at:
        heard(database)
        tell(database, "K-1", contact=("scale-1", "thermometer-9"))
        execute(
            database, "UPDATE latest_reports SET body = jsonb_set(body, '{0,paired}', 'false') WHERE kind = 'pairing'"
        )
        page = (await at.support.get("/kits/K-1")).text
        lines = re.findall(r"<tr[^>]*>.*?</tr>", page, re.DOTALL)
        for serial, said in (
            ("scale-1", "not paired"),
            ("oximeter-1", "not reported"),
            ("thermometer-9", "not in the books"),
            ("tablet-1", "in the kit"),
            ("sim-1", "in the kit"),
        ):
            (line,) = [each for each in lines if serial in each]
            assert said in line, line
            assert ('class="off"' in line) is (serial in ("scale-1", "thermometer-9"))


@pytest.mark.parametrize(
    ("role", "there", "missing"),
    [
        (Role.SUPPORT, ("call", "request", "visit"), ("credentials",)),
        (Role.MDM_ADMIN, ("credentials",), ("call", "request", "visit")),
        (Role.AUDITOR, ("call",), ("request", "visit", "credentials")),
    ],
)
async def test_each_finds_what_is_theirs_to_do(
    database: str, role: Role, there: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    async with world(database, "installed") as at:
        await plan(at.logistics, "repair", crew="van-7")
        token = await make_token(database, role)
        async with running_app(database) as app, caller(app, token) as client:
            page = (await client.get("/kits/K-1")).text
            for name in there:
                assert f'class="button{" primary" if name == "call" else ""}" href="/kits/K-1/{name}"' in page
            for name in missing:
                assert f'href="/kits/K-1/{name}"' not in re.sub(
                    r'<div class="todo">.*?</div>', "", page, flags=re.DOTALL
                )
            assert ("van-7" in page) is (role is not Role.MDM_ADMIN)


async def test_a_kit_that_is_with_nobody_is_not_expected_to_be_heard(database: str) -> None:
    add_kits(database, "K-1", state="in_stock")
    async with api(database) as client:
        assert "not with a citizen" in todo((await client.get("/kits/K-1")).text)
