"""The pages of visits without a browser: what the forms do, and what they say when the books refuse."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support import value
from tests.visits_world import World, day, heard, plan, world


async def post(at: World, visit: Any, act: str, **fields: str) -> httpx.Response:
    """Send a form of the visit's page as logistics; its session is the token's."""
    return await at.logistics.post(f"/visits/{visit['number']}", data={"act": act, **fields})


async def test_the_page_of_a_day_and_of_one_visit(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.logistics, planned_on=day(), crew="van-1", window_from="08:00", window_to="09:30")
        page = await at.logistics.get("/visits", headers={"Accept-Language": "da"})
        assert page.status_code == 200
        assert "Opsætning" in page.text
        assert "08:00\u201309:30" in page.text
        assert visit["number"] not in (await at.logistics.get("/visits", params={"crew": "van-2"})).text
        one = await at.logistics.get(f"/visits/{visit['number']}", headers={"Accept-Language": "da"})
        assert "Der er givet instruktion" in one.text
        assert (await at.logistics.get("/visits/V-2026-999999")).status_code == 404


async def test_what_stands_in_the_way_is_told_with_the_form_as_it_was_sent(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.logistics)
        said = {"instruction_given": "yes", "receipt": "citizen", "note": "second floor"}
        refused = await post(at, visit, "complete", **said)
        assert refused.status_code == 409
        assert "Action 1, K-1:" in refused.text
        assert 'value="second floor"' in refused.text
        assert value(database, "SELECT state FROM visits") == "planned"
        missing = await post(at, visit, "complete", receipt="citizen")
        assert "instruction_given" in missing.text
        assert (await post(at, visit, "complete", **{**said, "arrived": "9"})).status_code == 409
        heard(database)
        done = await post(at, visit, "complete", **said)
        assert done.status_code == 303
        assert value(database, "SELECT state FROM kits") == "installed"


async def test_pieces_are_swapped_by_their_serial_numbers(database: str) -> None:
    async with world(database, "installed") as at:
        body = {"model_id": at.models["scale"], "serial": "scale-7", "location": "depot", "organisation": "nord"}
        answer = await at.admin.post("/api/v1/components", json={**body, "calibrated_on": "2026-11-01"})
        assert answer.status_code == 201
        visit = await plan(at.logistics, "swap")
        page = await at.logistics.get(f"/visits/{visit['number']}")
        assert f'value="{at.pieces["scale"]}"' in page.text
        said = {"instruction_given": "yes", "receipt": "citizen", "old_equipment_taken": "yes", "location": "depot"}
        pair = {"outgoing": str(at.pieces["scale"]), "after": "faulty"}
        unknown = await post(at, visit, "complete", **said, **pair, incoming="scale-99")
        assert "no piece has the number" in unknown.text
        assert (await post(at, visit, "complete", **said, **pair, incoming="scale-7")).status_code == 303
        kit = "SELECT kit FROM components JOIN kits USING (kit_id) WHERE serial = 'scale-7'"
        assert value(database, kit) == "K-1"


async def test_a_visit_fails_is_planned_again_and_called_off(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.logistics)
        assert "failure" in (await post(at, visit, "fail")).text
        assert (await post(at, visit, "fail", failure="no_access", note="locked")).status_code == 303
        assert value(database, "SELECT state FROM visits") == "failed"
        assert (await post(at, visit, "plan", planned_on=day(3), crew="van-9")).status_code == 303
        assert value(database, "SELECT crew FROM visits WHERE state = 'planned'") == "van-9"
        assert (await post(at, visit, "cancel", reason="not needed")).status_code == 303
        gone = await post(at, visit, "start")
        assert gone.status_code == 409


async def test_the_page_of_its_request_leads_to_it(database: str) -> None:
    async with world(database, "installed") as at:
        asked = {"kit": "K-1", "cause": "peripheral_fault"}
        request = (await at.support.post("/api/v1/service-requests", json=asked)).json()["number"]
        visit = await plan(at.logistics, "repair", service_request=request)
        page = await at.logistics.get(f"/service-requests/{request}")
        assert f'href="/visits/{visit["number"]}"' in page.text
        mine = (await at.logistics.get(f"/visits/{visit['number']}")).text
        assert f'href="/service-requests/{request}"' in mine
        solved = {"cause": "peripheral_fault", "remedy": "repaired"}
        assert (await post(at, visit, "complete", receipt="citizen", **solved)).status_code == 303
        assert value(database, "SELECT state FROM service_requests") == "resolved"
