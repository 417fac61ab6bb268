"""The page on which a visit is planned, and the visit's own page where it is changed: what they suggest and refuse."""

from __future__ import annotations

import re
from typing import Any

import httpx

from fleet.access.roles import Role
from tests.api import caller, make_token, running_app
from tests.books_world import API, made
from tests.support import execute, rows, value
from tests.visits_world import World, day, heard, plan, world

FORM = {"kind": "swap", "planned_on": day(1), "crew": "van-1"}
DANISH = {"Accept-Language": "da"}


async def spare(at: World, kind: str = "scale", number: int = 7) -> str:
    """A piece of a kind in the depot of `nord`; gives what a form sends to have one of its model."""
    body = {"model_id": at.models[kind], "serial": f"{kind}-{number}", "location": "depot", "organisation": "nord"}
    await made(await at.admin.post(f"{API}/components", json=body))
    return f"{at.models[kind]}:depot:nord"


async def asked(at: World, **more: Any) -> str:
    """A request about the kit; gives its number."""
    body = {"kit": "K-1", "cause": "tablet_fault", **more}
    return str((await made(await at.support.post(f"{API}/service-requests", json=body)))["number"])


def alert(database: str, rule: str, evidence: str) -> None:
    """The kit has an alert."""
    execute(
        database,
        "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " SELECT kit_id, %s, 'major', 'active', now(), %s::jsonb FROM kits",
        rule,
        evidence,
    )


async def send(at: World, client: httpx.AsyncClient | None = None, **fields: Any) -> httpx.Response:
    return await (client or at.logistics).post("/kits/K-1/visit", data={**FORM, **fields})


async def test_the_page_suggests_what_the_fault_asks_for_and_shows_where_it_is(database: str) -> None:
    async with world(database, "installed") as at:
        value_of = await spare(at)
        alert(database, "pairing_lost", '{"peripherals": [{"kind": "scale", "serial": "scale-1"}]}')
        page = (await at.logistics.get("/kits/K-1/visit")).text
        assert '<option value="swap" selected>' in page
        assert f'<option value="{value_of}" selected>' in page
        assert "depot (nord) · 1 free · Acme Acme scale" in page
        assert re.search(r"scale <span class=\"tag\">for the fault</span>", page)
        danish = (await at.logistics.get("/kits/K-1/visit", headers=DANISH)).text
        assert "1 ledige" in danish
        looked = await send(at, kind="take_down", note="third floor", look="yes")
        assert looked.status_code == 200
        assert "for the fault" not in looked.text
        assert ">third floor</textarea>" in looked.text
        assert value(database, "SELECT count(*) FROM visits") == 0


async def test_a_visit_is_planned_for_a_request_with_what_to_bring(database: str) -> None:
    async with world(database, "installed") as at:
        value_of, request = await spare(at), await asked(at)
        page = (await at.logistics.get("/kits/K-1/visit", params={"request": request})).text
        assert f'<option value="{request}" selected>' in page
        kinds: dict[str, Any] = {"wanted": ["scale", "sim"], "bring": [value_of, ""], "quantity": ["1", "1"]}
        answer = await send(at, **kinds, service_request=request, window_from="08:00", window_to="10:00", urgent="yes")
        assert answer.status_code == 303, answer.text
        visit = (await at.logistics.get(answer.headers["location"])).text
        assert "Acme Acme scale" in visit
        told = rows(database, "SELECT kind, urgent, crew, window_from::text FROM visits")
        assert told == [("swap", True, "van-1", "08:00:00")]
        assert value(database, "SELECT count(*) FROM reservations WHERE state = 'active'") == 1
        again = (await at.logistics.get("/kits/K-1/visit")).text
        assert "planned already" in again


async def test_what_is_wrong_is_said_beside_the_field_and_nothing_is_lost(database: str) -> None:
    async with world(database, "installed") as at:
        value_of = await spare(at)
        kept: dict[str, Any] = {"wanted": ["scale"], "bring": [value_of], "quantity": ["5"], "note": "bring a ladder"}
        for fields, name, english, danish in (
            ({"crew": "two words"}, "crew", "a code such as van-2", "en kode som bil-2"),
            ({"window_from": "10:00", "window_to": "09:00"}, "window_to", "later than", "senere end"),
            ({"window_from": "10:00"}, "window_to", "both from and until", "både fra og til"),
            ({"piece": "nothing-9"}, "piece", "no piece has the number", "ingen del har nummeret"),
            ({"note": "of 010190-1234"}, "note", "civil registration number", "personnummer"),
        ):
            for headers, said in (({}, english), (DANISH, danish)):
                answer = await at.logistics.post("/kits/K-1/visit", data={**FORM, **kept, **fields}, headers=headers)
                assert answer.status_code == 409, fields
                beside = re.search(rf'id="plan-{name}-wrong">([^<]+)<', answer.text)
                assert beside, answer.text
                assert said in beside[1]
                assert f'aria-describedby="plan-{name}-wrong"' in answer.text
                assert f'<option value="{value_of}" selected>' in answer.text
                assert 'name="quantity" inputmode="numeric" maxlength="5" autocomplete="off" value="5"' in answer.text
        refused = await send(at, **kept)
        assert "1 are free at depot, 5 are wanted" in refused.text
        assert value(database, "SELECT count(*) FROM visits") == 0


async def test_support_plans_and_leaves_to_logistics_what_is_reserved(database: str) -> None:
    async with world(database, "installed") as at:
        await spare(at)
        alert(database, "not_charging", "{}")
        page = (await at.support.get("/kits/K-1/visit")).text
        assert 'name="bring"' not in page
        assert "Suggested: tablet (for the fault)." in page
        assert (await send(at, at.support)).status_code == 303
        number = value(database, "SELECT number FROM visits")
        assert 'name="bring"' not in (await at.support.get(f"/visits/{number}")).text
        assert 'name="bring"' in (await at.logistics.get(f"/visits/{number}")).text
        token = await make_token(database, Role.AUDITOR)
        async with running_app(database) as app, caller(app, token) as auditor:
            assert (await auditor.get("/kits/K-1/visit")).status_code == 403


async def test_day_crew_note_and_what_to_bring_are_changed(database: str) -> None:
    async with world(database, "installed") as at:
        value_of = await spare(at)
        visit = await plan(at.logistics, "swap", crew="van-1", window_from="08:00", window_to="10:00", note="bell")
        path = f"/visits/{visit['number']}"
        page = (await at.logistics.get(path)).text
        for shown in (f'value="{day(1)}"', 'value="08:00"', 'value="van-1"', 'value="bell"'):
            assert shown in page
        same = {"act": "plan", "planned_on": day(1), "window_from": "08:00", "window_to": "10:00", "note": "bell"}
        assert (await at.logistics.post(path, data={**same, "crew": "van-1"})).status_code == 303
        assert value(database, "SELECT revision FROM visits") == 1
        changed = {**same, "crew": "", "window_from": "", "window_to": "", "planned_on": day(2), "revision": "1"}
        assert (await at.logistics.post(path, data=changed)).status_code == 303
        assert rows(database, "SELECT crew, window_from, planned_on::text FROM visits") == [(None, None, day(2))]
        late = await at.logistics.post(path, data={**changed, "crew": "van-3"})
        assert late.status_code == 409
        assert 'value="van-3"' in late.text
        brought = {"act": "bring", "wanted": ["scale"], "bring": [value_of], "quantity": ["1"]}
        assert (await at.logistics.post(path, data=brought)).status_code == 303
        line = value(database, "SELECT line_id FROM visit_lines")
        assert (await at.logistics.post(path, data={"act": "bring", "removed": [str(line)]})).status_code == 303
        assert value(database, "SELECT count(*) FROM visit_lines") == 0
        nothing = await at.logistics.post(path, data={"act": "bring"})
        assert 'id="bring-bring-wrong"' in nothing.text


async def test_several_pieces_are_swapped_and_a_calibration_is_told(database: str) -> None:
    async with world(database, "installed") as at:
        for kind in ("scale", "sim"):
            await spare(at, kind)
        visit = await plan(at.logistics, "swap")
        said = {"act": "complete", "instruction_given": "yes", "receipt": "citizen", "old_equipment_taken": "yes"}
        pairs = {
            "outgoing": [str(at.pieces["scale"]), str(at.pieces["sim"]), ""],
            "after": ["faulty", "faulty", "faulty"],
            "incoming": ["scale-7", "sim-7", ""],
        }
        body = {**said, **pairs, "location": "depot"}
        execute(database, "UPDATE components SET calibrated_on = '2026-11-01', calibration_due = '2029-11-01'")
        answer = await at.logistics.post(f"/visits/{visit['number']}", data=body)
        assert answer.status_code == 303, answer.text
        assert value(database, "SELECT count(*) FROM components WHERE kit_id IS NOT NULL AND serial LIKE '%%-7'") == 2
        visit = await plan(at.logistics, "calibration")
        piece = str(value(database, "SELECT component_id FROM components WHERE serial = 'oximeter-1'"))
        found = {"act": "complete", "calibrated": piece, "done_on": day(), "calibrated_until": day(365)}
        missing = await at.logistics.post(f"/visits/{visit['number']}", data=found)
        assert 'id="complete-workshop-wrong"' in missing.text
        answer = await at.logistics.post(f"/visits/{visit['number']}", data={**found, "workshop": "Metrics ApS"})
        assert answer.status_code == 303, answer.text
        due = "SELECT calibration_due::text FROM components WHERE serial = 'oximeter-1'"
        assert value(database, due) == day(365)


async def test_one_visit_is_printed_with_what_is_told_at_the_door(database: str) -> None:
    async with world(database, "installed") as at:
        visit = await plan(at.logistics, "swap", note="third floor")
        sheet = await at.logistics.get(f"/visits/{visit['number']}/print", headers=DANISH)
        assert sheet.status_code == 200
        for said in ("third floor", "Der er givet instruktion", "Gammelt udstyr taget med", "Serienumre ud og ind"):
            assert said in sheet.text
        assert "style-src 'sha256-" in sheet.headers["content-security-policy"]
        assert (await at.logistics.get("/visits/V-2026-999999/print")).status_code == 404


async def test_a_visit_to_a_home_asks_which_kit_was_set_up(database: str) -> None:
    async with world(database) as at:
        visit = await plan(at.logistics, kit=None, placement_id=at.placement)
        path = f"/visits/{visit['number']}"
        assert "The kit that was set up" in (await at.logistics.get(path)).text
        said = {"act": "complete", "instruction_given": "yes", "receipt": "citizen"}
        missing = await at.logistics.post(path, data=said, headers=DANISH)
        assert 'id="complete-new_kit-wrong"' in missing.text
        heard(database)
        answer = await at.logistics.post(path, data={**said, "new_kit": "K-1"})
        assert answer.status_code == 303, answer.text
        assert value(database, "SELECT state FROM kits") == "installed"


async def test_a_step_of_the_kit_says_what_is_wrong_beside_the_field(database: str) -> None:
    async with world(database, "installed") as at:
        sent = {"to": "paused", "reason": "of 010190-1234"}
        refused = await at.support.post("/kits/K-1/step", data=sent, headers=DANISH)
        assert refused.status_code == 409
        assert 'id="step-reason-wrong">ligner et personnummer' in refused.text
        assert 'value="of 010190-1234"' in refused.text
