"""Causes, remedies, lessons and escalation steps on their pages without a browser."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.access.roles import Role
from fleet.api.console.escalationpages import steps_of
from tests.api import api, caller, make_token, running_app
from tests.people import add_organisations
from tests.support import rows, value

CAUSE = {"name": "wet", "title_en": "Got wet", "title_da": "Blev våd", "explains": "yes", "active": "yes"}
STEPS = "/contracts/standard/escalations"


def steps(*given: tuple[str, str, str, str, str], revision: int = 1) -> dict[str, Any]:
    """The form of the steps."""
    names = ("target", "how", "value", "tell", "raises")
    return {"revision": revision, **{name: [each[at] for each in given] for at, name in enumerate(names)}}


async def test_a_line_is_added_and_edited(database: str) -> None:
    async with api(database) as client:
        assert "request-causes" not in (await client.get("/lists")).text
        assert (await client.post("/lists/causes", data=CAUSE)).status_code == 303
        page = await client.get("/lists", headers={"Accept-Language": "da"})
        assert "Blev våd" in page.text
        edited = {**CAUSE, "title_da": "Har været våd", "line": "logistics", "severity": "major", "revision": "1"}
        del edited["name"]
        assert (await client.post("/lists/causes/wet", data=edited)).status_code == 303
        found = "SELECT title_da, line, severity, opens, proof FROM request_causes WHERE cause = 'wet'"
        assert rows(database, found) == [("Har været våd", "logistics", "major", False, False)]
        stale = await client.post("/lists/causes/wet", data={**edited, "title_en": "Soaked"})
        assert stale.status_code == 422
        assert 'value="Soaked"' in stale.text
        assert "meanwhile" in stale.text
        remedy = {"name": "dried", "title_en": "Dried", "title_da": "Tørret", "active": "yes"}
        assert (await client.post("/lists/remedies", data=remedy)).status_code == 303
        out = {"title_en": "Dried", "title_da": "Tørret", "revision": "1"}
        assert (await client.post("/lists/remedies/dried", data=out)).status_code == 303
        assert value(database, "SELECT active FROM request_remedies WHERE remedy = 'dried'") is False
        assert "out of use" in (await client.get("/lists")).text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Wet!"}, "name"),
        ({"name": "other"}, "name"),
        ({"title_en": " "}, "title_en"),
        ({"title_da": "010190-1234"}, "title_da"),
        ({"line": "nobody"}, "line"),
        ({"explains": ""}, "opens"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(database: str, change: dict[str, str], field: str) -> None:
    async with api(database) as client:
        page = await client.post("/lists/causes", data={**CAUSE, **change})
        assert page.status_code == 422
        assert f'id="wrong-{field}"' in page.text
        assert 'value="Blev våd"' in page.text or field == "title_da"
        assert value(database, "SELECT count(*) FROM request_causes WHERE cause = 'wet'") == 0


async def test_who_is_bound_reads_only(database: str) -> None:
    add_organisations(database, "aalborg")
    token = await make_token(database, Role.SECRETARIAT, organisation="aalborg")
    desk = await make_token(database, Role.SUPPORT, organisation="aalborg")
    async with running_app(database) as app, caller(app, token) as bound, caller(app, desk) as support:
        assert "Add a cause" not in (await bound.get("/lists")).text
        assert "It is the same for all" in (await bound.post("/lists/causes", data=CAUSE)).text
        refused = await bound.post("/lists/causes/other", data={**CAUSE, "name": "", "revision": "1"})
        assert refused.status_code == 422
        assert (await bound.post(STEPS, data=steps(("solution", "percent", "80", "line", "no")))).status_code == 409
        assert (await support.get("/lists")).status_code == 200
        assert (await support.get("/lessons")).status_code == 200
        assert (await support.post("/lists/causes", data=CAUSE)).status_code == 403
        assert (await support.get(STEPS)).status_code == 403


async def test_lessons_are_counted_by_what_is_asked(database: str) -> None:
    async with api(database) as client:
        assert "Nothing has been solved yet." in (await client.get("/lessons")).text
        made = await client.post("/api/v1/kits", json={"kit": "K-1"})
        assert made.status_code == 201
        request = {"kit": "K-1", "cause": "other", "description": "it is dark"}
        number = (await client.post("/api/v1/service-requests", json=request)).json()["number"]
        solved = {"cause": "use_error", "remedy": "advice"}
        answer = await client.post(f"/api/v1/service-requests/{number}/resolve", json=solved)
        assert answer.status_code == 200, answer.text
        for by in ("cause", "kit_type", "os"):
            page = await client.get("/lessons", params={"by": by})
            assert page.status_code == 200
        assert "use_error" not in (await client.get("/lessons")).text


async def test_steps_of_a_contract_are_set(database: str) -> None:
    async with api(database) as client:
        page = await client.get(STEPS)
        assert page.status_code == 200
        revision = value(database, "SELECT revision FROM contracts WHERE slug = 'standard'")
        wrong = steps(
            ("solution", "percent", "900", "line", "no"),
            ("response", "before", "1:75", "line", "no"),
            ("solution", "percent", "80", "role:nobody", "no"),
            ("solution", "percent", "", "line", "no"),
            revision=revision,
        )
        page = await client.post(STEPS, data=wrong)
        assert page.status_code == 422
        assert all(f'id="wrong-value-{row}"' in page.text for row in (0, 1, 2))
        assert 'value="1:75"' in page.text
        right = steps(
            ("solution", "percent", "80 %", "role:service", "yes"),
            ("response", "before", "0:30", "assignee", "no"),
            ("solution", "percent", "", "line", "no"),
            revision=revision,
        )
        assert (await client.post(STEPS, data=right)).status_code == 303
        contract = (await client.get("/api/v1/contracts/standard")).json()
        told = [(each["percent"], each["before_min"], each["notify"], each["role"]) for each in contract["escalations"]]
        assert told == [(80, None, "role", "service"), (None, 30, "assignee", None)]
        again = await client.get(STEPS)
        assert 'value="0:30"' in again.text
        stale = await client.post(STEPS, data=right)
        assert stale.status_code == 409
        assert "meanwhile" in stale.text


def test_rows_without_a_number_are_left_out() -> None:
    row = {"target": "update", "how": "before", "value": "4", "tell": "line", "raises": "no"}
    made, errors = steps_of([row, {**row, "value": " "}])
    assert errors == {}
    assert [each["before_min"] for each in made] == [240]
