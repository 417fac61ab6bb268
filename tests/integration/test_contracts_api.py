"""Calendars and contracts over HTTP: kept, checked, shown as hours, applied to kits, and counted by month."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from fleet.access.roles import Role
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.people import add_organisations
from tests.sla_world import BEGIN, desk, hours
from tests.support import execute, rows, value

API = "/api/v1"
OFFICE = [["08:00", "16:00"]]
WEEK = dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), OFFICE)
TARGETS = [
    {"priority": "urgent", "response_min": 30, "update_min": 60, "solution_min": 240},
    {"priority": "high", "response_min": 60, "solution_min": 480},
    {"priority": "normal", "solution_min": 1440},
    {"priority": "low", "solution_min": 4800},
]
STEPS = [
    {"target": "solution", "percent": 75, "notify": "assignee"},
    {"target": "response", "before_min": 10, "notify": "role", "role": "secretariat", "raise_priority": True},
]


def contract(slug: str, **more: Any) -> dict[str, Any]:
    """A contract to send."""
    body = {"slug": slug, "name": slug, "calendar": "working-days", "valid_from": "2026-01-01T00:00:00Z"}
    return {**body, "targets": TARGETS, **more}


async def made(client: httpx.AsyncClient, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What was made."""
    response = await client.post(f"{API}{path}", json=body)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


@asynccontextmanager
async def of(database: str, *organisations: str | None) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Administrators of organisations on one application; None is of the whole installation."""
    tokens = [await make_token(database, Role.ADMIN, organisation=each) for each in organisations]
    async with running_app(database) as app, AsyncExitStack() as stack:
        yield [await stack.enter_async_context(caller(app, token)) for token in tokens]


async def test_a_calendar_is_kept_and_shown_as_hours(database: str) -> None:
    async with api(database) as client:
        body = {
            "slug": "nord-desk",
            "name": "Nord",
            "hours": {**WEEK, "fri": [["08:00", "12:00"], ["12:30", "14:00"]]},
            "optional_days": {"december_24": "closed", "december_31": "half"},
            "days": [{"day": "2026-12-28", "hours": [["10:00", "11:00"]], "note": "stock-take"}],
        }
        calendar = await made(client, "/calendars", body)
        assert calendar["time_zone"] == "Europe/Copenhagen"
        query = {"from": "2026-12-23", "to": "2027-01-01"}
        shown = (await client.get(f"{API}/calendars/nord-desk/hours", params=query)).json()
        days = {each["day"]: each for each in shown["days"]}
        assert {day: (each["why"], each["hours"]) for day, each in days.items() if each["why"] != "ordinary"} == {
            "2026-12-24": ("optional", []),
            "2026-12-25": ("holiday", []),
            "2026-12-28": ("exception", [["10:00", "11:00"]]),
            "2026-12-31": ("optional", [["08:00", "12:00"]]),
            "2027-01-01": ("holiday", []),
        }
        assert days["2026-12-25"]["name"]["da"] == "Juledag"
        assert days["2026-12-23"]["open"] == [{"opens": "2026-12-23T07:00:00Z", "closes": "2026-12-23T15:00:00Z"}]
        assert (shown["working_days"], shown["open_s"]) == (5, 3600 * (3 * 8 + 1 + 4))
        spring = {"from": "2026-03-29", "to": "2026-03-29"}
        always = (await client.get(f"{API}/calendars/always/hours", params=spring)).json()
        assert (always["open_s"], always["days"][0]["why"]) == (23 * 3600, "always")


async def test_a_calendar_is_edited_by_whoever_saw_it_last(database: str) -> None:
    async with api(database) as client:
        await made(client, "/calendars", {"slug": "desk", "name": "Desk", "hours": WEEK})
        first = await client.get(f"{API}/calendars/desk")
        seen = {"If-Match": first.headers["etag"]}
        assert (await client.patch(f"{API}/calendars/desk", json={"name": "Other"}, headers=seen)).is_success
        problem(await client.patch(f"{API}/calendars/desk", json={"name": "Third"}, headers=seen), 412)
        problem(await client.post(f"{API}/calendars", json={"slug": "desk", "name": "D", "hours": WEEK}), 409)
        problem(await client.delete(f"{API}/calendars/working-days"), 409)
        assert (await client.delete(f"{API}/calendars/desk")).status_code == 204
        problem(await client.get(f"{API}/calendars/desk"), 404)
        assert [each["slug"] for each in await pages(client, f"{API}/calendars", limit=1)] == ["always", "working-days"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hours": {}}, "hours"),
        ({"hours": {"mon": [["08:00", "08:01"]]}}, "hours"),
        ({"time_zone": "localtime"}, "time_zone"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"hours": {"mon": [["16:00", "08:00"]]}}, "hours"),
        ({"hours": {"mon": [["08:00", "12:00"], ["12:00", "13:00"]]}}, "hours"),
        ({"hours": {"mon": [["08:00", "25:00"]]}}, "mon"),
        ({"hours": {"mandag": OFFICE}}, "mandag"),
        ({"time_zone": "Europe/Aalborg"}, "time_zone"),
        ({"holidays": "SE"}, "holidays"),
        ({"optional_days": {"may_1": "open"}}, "may_1"),
        ({"days": [{"day": "2026-12-24"}, {"day": "2026-12-24"}]}, "days"),
        ({"days": [{"day": 20261224}]}, "day"),
    ],
)
async def test_what_is_no_calendar_is_refused(database: str, changes: dict[str, Any], field: str) -> None:
    async with api(database) as client:
        response = await client.post(f"{API}/calendars", json={"slug": "d", "name": "D", "hours": WEEK, **changes})
        assert response.status_code == 422, response.text
        assert field in response.text


async def test_what_an_earlier_release_took_may_stay(database: str) -> None:
    short = {"mon": [["08:00", "09:00"]]}
    async with api(database) as client:
        await made(client, "/calendars", {"slug": "old", "name": "Old", "hours": WEEK})
        zone = "UPDATE calendars SET time_zone = 'CET', hours = %s WHERE slug = 'old'"
        execute(database, zone, Jsonb(short))
        assert (await client.patch(f"{API}/calendars/old", json={"name": "Older"})).is_success
        problem(await client.patch(f"{API}/calendars/old", json={"time_zone": "EET"}), 422, "time_zone")
        problem(await client.patch(f"{API}/calendars/old", json={"hours": {"tue": [["08:00", "09:00"]]}}), 422, "hours")


async def test_days_that_are_too_many_are_refused(database: str) -> None:
    async with api(database) as client:
        for first, last in (("2026-01-02", "2026-01-01"), ("2026-01-01", "2028-01-01")):
            query = {"from": first, "to": last}
            problem(await client.get(f"{API}/calendars/always/hours", params=query), 422, "to")
        query = {"from": "9999-12-30", "to": "9999-12-31"}
        problem(await client.get(f"{API}/calendars/always/hours", params=query), 422, "from")


async def test_a_contract_is_kept_with_its_parts(database: str) -> None:
    async with api(database) as client:
        body = contract("nord-copd", programme="copd", escalations=STEPS, reopen_days=14, update_min=480)
        first = await made(client, "/contracts", body)
        assert [each["priority"] for each in first["targets"]] == ["urgent", "high", "normal", "low"]
        assert first["targets"][2] == {**TARGETS[2], "response_min": None, "update_min": None}
        assert first["escalations"][1] == {**STEPS[1], "percent": None}
        seen = await client.get(f"{API}/contracts/nord-copd")
        assert seen.json() == first
        edited = await client.patch(
            f"{API}/contracts/nord-copd",
            json={"escalations": STEPS[:1], "valid_until": "2027-01-01T00:00:00Z"},
            headers={"If-Match": seen.headers["etag"]},
        )
        assert edited.is_success, edited.text
        assert (edited.json()["targets"], len(edited.json()["escalations"])) == (first["targets"], 1)
        problem(
            await client.patch(f"{API}/contracts/nord-copd", json={}, headers={"If-Match": seen.headers["etag"]}), 412
        )
        assert [each["slug"] for each in await pages(client, f"{API}/contracts", programme="copd")] == ["nord-copd"]
        assert [each["slug"] for each in await pages(client, f"{API}/contracts", valid_at="2027-02-01T00:00:00Z")] == [
            "standard"
        ]
        problem(await client.delete(f"{API}/calendars/working-days"), 409)
        assert (await client.delete(f"{API}/contracts/nord-copd")).status_code == 204
        audited = value(database, "SELECT count(*) FROM audit WHERE subject_kind = 'contracts'")
        assert audited == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"targets": TARGETS[:3]}, "targets"),
        ({"targets": [*TARGETS[:3], TARGETS[0]]}, "targets"),
        ({"valid_until": "2025-01-01T00:00:00Z"}, "valid_until"),
        ({"calendar": "nobodys"}, "calendar"),
        ({"kit_type": "nobodys"}, "kit_type"),
        ({"organisation": "nobodys"}, "organisation"),
        ({"escalations": [{"target": "solution"}]}, "escalations"),
        ({"escalations": [{"target": "solution", "percent": 50, "before_min": 5}]}, "escalations"),
        ({"escalations": [{"target": "solution", "percent": 50, "notify": "role"}]}, "escalations"),
        ({"escalations": [{"target": "solution", "percent": 50, "role": "boss"}]}, "escalations.role"),
        ({"update_min": True}, "update_min"),
    ],
)
async def test_what_is_no_contract_is_refused(database: str, changes: dict[str, Any], field: str) -> None:
    async with api(database) as client:
        problem(await client.post(f"{API}/contracts", json=contract("c", **changes)), 422, field)


async def test_the_standard_contract_stays(database: str) -> None:
    async with api(database) as client:
        path = f"{API}/contracts/standard"
        problem(await client.delete(path), 409)
        problem(await client.patch(path, json={"valid_until": "2027-01-01T00:00:00Z"}), 422, "valid_until")
        problem(await client.patch(path, json={"valid_from": None}), 422, "valid_from")
        problem(await client.patch(path, json={"valid_from": "2027-01-01T00:00:00Z"}), 422, "valid_from")
        edited = await client.patch(path, json={"calendar": "working-days", "targets": TARGETS})
        assert edited.json()["targets"][0] == TARGETS[0]


async def test_the_contract_of_a_kit_is_told(database: str) -> None:
    add_organisations(database, "nord", kind="region")
    add_organisations(database, "aalborg", "thisted", under="nord")
    execute(
        database,
        "INSERT INTO kits (kit, state, organisation_id) SELECT 'K', 'in_stock', organisation_id"
        " FROM organisations WHERE slug = 'aalborg'",
    )
    async with of(database, None, "aalborg", "thisted") as (client, municipality, other):
        await made(client, "/contracts", contract("of-nord", organisation="nord"))
        answer = (await client.get(f"{API}/contracts/of-nord/applies-to", params={"kit": "K"})).json()
        assert answer == {"contract": "of-nord", "kit": "K", "applies": True, "instead": None}
        answer = (await client.get(f"{API}/contracts/standard/applies-to", params={"kit": "K"})).json()
        assert (answer["applies"], answer["instead"]) == (False, "of-nord")
        answer = (await municipality.get(f"{API}/contracts/standard/applies-to", params={"kit": "K"})).json()
        assert (answer["applies"], answer["instead"]) == (False, None), "the region's is not shown below"
        problem(await municipality.get(f"{API}/contracts/of-nord", params={}), 404)
        problem(await client.get(f"{API}/contracts/standard/applies-to", params={"kit": "K-0"}), 404)
        problem(await other.get(f"{API}/contracts/standard/applies-to", params={"kit": "K"}), 404)


async def test_what_is_for_all_is_shown_to_all_and_changed_by_none_of_them(database: str) -> None:
    add_organisations(database, "nord", kind="region")
    add_organisations(database, "aalborg", "thisted", under="nord")
    async with of(database, "nord", "aalborg", "thisted") as (region, one, other):
        assert (await one.get(f"{API}/contracts/standard")).is_success
        for path in ("contracts/standard", "calendars/always"):
            problem(await one.patch(f"{API}/{path}", json={"name": "Mine"}), 403)
            problem(await one.delete(f"{API}/{path}"), 403)
        await made(region, "/calendars", {"slug": "of-nord", "name": "N", "hours": WEEK, "organisation": "nord"})
        await made(one, "/calendars", {"slug": "of-one", "name": "O", "hours": WEEK, "organisation": "aalborg"})
        problem(await other.get(f"{API}/calendars/of-one"), 404)
        problem(await other.patch(f"{API}/calendars/of-one", json={"name": "Mine"}), 404)
        problem(await one.post(f"{API}/calendars", json={"slug": "x", "name": "X", "hours": WEEK}), 403)
        problem(await one.post(f"{API}/contracts", json=contract("x")), 403)
        # The region gives a municipality its own calendar, and not that of another.
        await made(region, "/contracts", contract("c-1", organisation="thisted", calendar="of-nord"))
        body = contract("c-2", organisation="thisted", calendar="of-one")
        problem(await region.post(f"{API}/contracts", json=body), 422, "calendar")


async def test_an_edited_calendar_moves_what_is_open(database: str) -> None:
    async with api(database) as client, desk(database) as at:
        await made(client, "/calendars", {"slug": "desk", "name": "Desk", "hours": WEEK})
        await client.patch(f"{API}/contracts/standard", json={"calendar": "desk", "targets": TARGETS})
        number = await at.open("K", priority="high")
        await at.look(BEGIN)
        assert (await at.row(number))["due_at"] == hours(24), "Wednesday at nine, eight open hours"
        days = [{"day": "2026-11-26", "note": "closed"}]
        edited = await client.patch(f"{API}/calendars/desk", json={"days": days})
        assert (edited.status_code, edited.json()["to_measure"]) == (200, 1)
        again = await client.patch(f"{API}/contracts/standard", json={"name": "For all"})
        assert (again.status_code, again.json()["to_measure"]) == (200, 1)
        await at.look(hours(1))
        assert (await client.get(f"{API}/contracts/standard")).json()["to_measure"] == 0
        assert (await client.get(f"{API}/calendars/desk")).json()["to_measure"] == 0
        assert (await at.row(number))["due_at"] == hours(48)
        problem(await client.delete(f"{API}/contracts/standard"), 409)


async def test_fulfilment_is_counted_by_month_contract_and_priority(database: str) -> None:
    async with api(database, Role.SECRETARIAT) as client, desk(database) as at:
        late, good, running = await at.open("K-1"), await at.open("K-2"), await at.open("K-3")
        await at.note(late, "state", hours(30), to="resolved")
        await at.note(good, "state", hours(3), to="resolved")
        for number in (late, good, running):
            await at.measure(number, hours(20))
        await at.measure(late, hours(40))
        merged = await at.open("K-4")
        await at.note(merged, "state", hours(1), to="closed")
        execute(database, "UPDATE service_requests SET resolution = 'merged:7' WHERE request_id = %s", merged)
        # That the late one was merged after its end does not take it out.
        execute(
            database,
            "UPDATE service_requests SET merged_into = (SELECT number FROM service_requests WHERE request_id = %s),"
            " resolution = 'merged:3' WHERE request_id = %s",
            running,
            late,
        )
        query = {"from": "2026-11", "to": "2026-11"}
        (line,) = (await client.get(f"{API}/statistics/sla", params=query)).json()["items"]
        assert line == {
            "month": "2026-11",
            "contract": "standard",
            "priority": "high",
            "requests": 3,
            "open": 1,
            "response_met": 2,
            "response_late": 0,
            "update_late": 0,
            "solution_met": 1,
            "solution_late": 1,
            "solution_fulfilled": 0.5,
        }
        assert (await client.get(f"{API}/statistics/sla", params={"to": "2026-10"})).json() == {"items": []}
        problem(await client.get(f"{API}/statistics/sla", params={"from": "2020-01", "to": "2026-01"}), 422, "from")
        problem(await client.get(f"{API}/statistics/sla", params={"from": "2026-12", "to": "2026-11"}), 422, "from")


async def test_support_sees_no_contracts_and_a_service_operator_changes_none(database: str) -> None:
    async with api(database, Role.SUPPORT) as client:
        problem(await client.get(f"{API}/contracts"), 403)
    async with api(database, Role.SERVICE) as client:
        assert (await client.get(f"{API}/contracts")).is_success
        problem(await client.post(f"{API}/contracts", json=contract("x")), 403)
    assert rows(database, "SELECT slug FROM contracts") == [("standard",)]
