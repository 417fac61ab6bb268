"""Calls and problem trees over the API: recorded, walked, counted, charged, taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml

from fleet.access.principal import SYSTEM, Grant, Principal
from fleet.access.roles import Role
from fleet.alerts.calls import store
from fleet.alerts.charging import charge
from fleet.alerts.trees.store import shipped
from fleet.db import roles
from fleet.db.connect import connect
from fleet.state.kits import NewKit, create_kit
from tests.api import api, make_token, problem, running_app
from tests.api import caller as client_of
from tests.people import add_organisations
from tests.support import execute, rows, value

CALLS = "/api/v1/calls"
REQUESTS = "/api/v1/service-requests"
TREES = "/api/v1/problem-trees"
AGENT = Principal("user", 7, "agent", (Grant(Role.SUPPORT),))
CALL = {"minutes": 3.5, "caller": "citizen", "reason": "not_heard", "outcome": "solved"}


async def add_kit(database: str, kit: str = "K-1", organisation: str = "aalborg", **more: Any) -> None:
    if not value(database, "SELECT count(*) FROM organisations WHERE slug = %s", organisation):
        add_organisations(database, organisation)
    connection = await connect(database, role="test")
    async with connection:
        await create_kit(connection, NewKit(kit, state="installed", organisation=organisation, **more), by=SYSTEM)


def heard(database: str, kit: str = "K-1", **columns: Any) -> None:
    given = {
        "last_heard_at": datetime.now(UTC),
        "heard_clock_s": 0.0,
        "boot": "b",
        "seq": 1,
        "charging": False,
        **columns,
    }
    settings = ", ".join(f"{name} = %s" for name in given)
    execute(
        database,
        f"UPDATE kit_latest SET {settings} WHERE kit_id = (SELECT kit_id FROM kits WHERE kit = %s)",
        *given.values(),
        kit,
    )


async def ok(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


async def charge_all(database: str) -> None:
    connection = await connect(database, role="test", run_as=roles.WORKER)
    async with connection:
        await charge(connection, datetime.now(UTC))


async def test_a_tree_of_an_earlier_release_that_is_refused_today_costs_nobody_the_others(database: str) -> None:
    body = "tree: old\nversion: 1\ntitle: &t {en: x, da: x}\nfor: []\nstart: a\nnodes: {a: {advice: *t}}"
    execute(database, "INSERT INTO problem_trees (tree, version, body, created_by) VALUES ('old', 1, %s, 'x')", body)
    async with api(database, Role.SERVICE) as client:
        listed = await ok(await client.get(TREES))
        assert {tree["tree"] for tree in listed["items"]} == shipped().keys()
        kept = await ok(await client.get(f"{TREES}/old"))
    assert kept["body"] == body


async def test_a_contact_is_recorded_also_when_it_is_about_no_kit(database: str) -> None:
    async with api(database, Role.SUPPORT) as client:
        made = await ok(await client.post(CALLS, json={**CALL, "reason": "question", "note": "Åbningstider"}), 201)
        assert (made["kit"], made["organisation"], made["channel"]) == (None, None, "phone")
        assert await ok(await client.get(f"{CALLS}/{made['id']}")) == made
        assert value(database, "SELECT count(*) FROM events WHERE type = 'call.recorded'") == 0


async def test_a_call_belongs_to_whom_the_kit_belongs_to_then(database: str) -> None:
    await add_kit(database)
    async with api(database, Role.SUPPORT) as client:
        made = await ok(await client.post(CALLS, json={**CALL, "kit": "K-1"}), 201)
        assert (made["kit"], made["organisation"]) == ("K-1", "aalborg")
        listed = await ok(await client.get(CALLS, params={"kit": "K-1", "reason": "not_heard"}))
        assert [each["id"] for each in listed["items"]] == [made["id"]]
        none = await ok(await client.get(CALLS, params={"kit": "K-1", "reason": "battery"}))
        assert none["items"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"minutes": 601}, "minutes"),
        ({"minutes": -1}, "minutes"),
        ({"caller": "Hansen"}, "caller"),
        ({"outcome": "forwarded"}, "request"),
        ({"note": "ringer om 010190-1234"}, "note"),
        ({"at": "2020-01-01T00:00:00Z"}, "at"),
        ({"at": "2999-01-01T00:00:00Z"}, "at"),
        ({"more": 1}, "more"),
    ],
)
async def test_what_is_wrong_with_a_call_is_named(database: str, change: dict[str, Any], field: str) -> None:
    async with api(database, Role.SUPPORT) as client:
        problem(await client.post(CALLS, json={**CALL, **change}), 422, field)
        assert value(database, "SELECT count(*) FROM calls") == 0


async def test_a_kit_or_request_that_nobody_knows_is_not_found(database: str) -> None:
    async with api(database, Role.SUPPORT) as client:
        problem(await client.post(CALLS, json={**CALL, "kit": "K-9"}), 404)
        body = {**CALL, "outcome": "forwarded", "service_request": "SR-2026-000999"}
        problem(await client.post(CALLS, json=body), 404)


async def test_a_call_is_charged_once_and_countered_when_it_is_taken_back(database: str) -> None:
    await add_kit(database)
    async with api(database) as client:
        made = await ok(await client.post(CALLS, json={**CALL, "kit": "K-1"}), 201)
        await charge_all(database)
        await charge_all(database)
        listed = await ok(await client.get("/api/v1/billable-events", params={"kind": "call"}))
        assert [(each["organisation"], each["kit"], each["quantity"]) for each in listed["items"]] == [
            ("aalborg", "K-1", 1)
        ]
        voided = await ok(await client.post(f"{CALLS}/{made['id']}/void", json={"reason": "wrong kit"}))
        assert voided["voided_reason"] == "wrong kit"
        problem(await client.post(f"{CALLS}/{made['id']}/void", json={"reason": "again"}), 409)
        await charge_all(database)
        await charge_all(database)
        assert rows(database, "SELECT quantity FROM billable_events ORDER BY entry_id") == [(1,), (-1,)]


async def test_a_call_taken_back_before_it_was_charged_is_never_charged(database: str) -> None:
    await add_kit(database)
    async with api(database) as client:
        made = await ok(await client.post(CALLS, json={**CALL, "kit": "K-1"}), 201)
        await ok(await client.post(f"{CALLS}/{made['id']}/void", json={"reason": "wrong kit"}))
        await charge_all(database)
        assert value(database, "SELECT count(*) FROM billable_events") == 0
        assert value(database, "SELECT count(*) FROM call_billing_queue") == 0


async def test_a_note_that_must_not_be_kept_is_blackened(database: str) -> None:
    async with api(database) as client:
        made = await ok(await client.post(CALLS, json={**CALL, "note": "something too much"}), 201)
        for _ in range(2):
            redacted = await ok(await client.post(f"{CALLS}/{made['id']}/redact"))
            assert redacted["note"] == "[redacted]"
        told = "SELECT count(*) FROM audit WHERE before::text || after::text LIKE %s"
        assert value(database, told, "%too much%") == 0
        problem(await client.post(f"{CALLS}/999/redact"), 404)


async def test_calls_are_counted(database: str) -> None:
    await add_kit(database)
    now = datetime.now(UTC)
    monday = (now - timedelta(days=now.weekday() + 7)).replace(hour=9, minute=30)
    async with api(database) as client:
        for minutes, reason in ((2, "battery"), (4, "battery"), (30, "app")):
            call = {**CALL, "kit": "K-1", "minutes": minutes, "reason": reason, "at": monday.isoformat()}
            made = await ok(await client.post(CALLS, json=call), 201)
        await ok(await client.post(f"{CALLS}/{made['id']}/void", json={"reason": "entered twice"}))
        told = await ok(await client.get("/api/v1/statistics/calls"))
        assert (told["calls"], told["kits"], told["mean_minutes"], told["longest_minutes"]) == (2, 1, 3.0, 4.0)
        assert told["by_reason"] == [{"word": "battery", "calls": 2, "minutes": 6.0}]
        (hour,) = told["hours"]
        assert (hour["weekday"], hour["calls_per_hour"], hour["minutes"], hour["agents"]) == (1, 0.5, 3.0, 1)
        problem(
            await client.get("/api/v1/statistics/calls", params={"since": (now + timedelta(hours=1)).isoformat()}),
            422,
            "since",
        )


async def test_a_tree_is_walked_with_what_telemetry_knows(database: str) -> None:
    await add_kit(database)
    async with api(database, Role.SUPPORT) as client:
        asked = await ok(await client.post(f"{TREES}/kit-is-silent/walk", json={"kit": "K-1"}))
        assert (asked["kind"], asked["node"]) == ("question", "screen")
        assert [(step["node"], step["by"]) for step in asked["path"]] == [
            ("incident", "telemetry"),
            ("maintenance", "telemetry"),
            ("heard", "telemetry"),
        ]
        answers = {"screen": "dark", "charger": "dead"}
        ended = await ok(await client.post(f"{TREES}/kit-is-silent/walk", json={"kit": "K-1", "answers": answers}))
        assert ended["kind"] == "request"
        assert ended["request"]["cause"] == "silent"
        assert ended["request"]["line"] == "logistics"
        assert ended["evidence"]["facts"]["heard_lately"] is False
        heard(database)
        works = await ok(await client.post(f"{TREES}/kit-is-silent/walk", json={"kit": "K-1"}))
        assert (works["kind"], works["node"]) == ("advice", "works")
        problem(await client.post(f"{TREES}/kit-is-silent/walk", json={"answers": {"screen": "blue"}}), 422, "answers")
        problem(await client.post(f"{TREES}/nothing/walk", json={}), 404)
        problem(await client.post(f"{TREES}/kit-is-silent/walk", json={"kit": "K-9"}), 404)


async def test_a_call_keeps_the_way_that_was_walked(database: str) -> None:
    await add_kit(database)
    async with api(database, Role.SUPPORT) as client:
        walked = {"tree": "kit-is-silent", "answers": {"screen": "dark", "charger": "starts"}}
        made = await ok(await client.post(CALLS, json={**CALL, "kit": "K-1", "walked": walked}), 201)
        assert (made["tree"], made["tree_version"]) == ("kit-is-silent", 1)
        assert [(step["node"], step["answer"], step["by"]) for step in made["path"]][-2:] == [
            ("screen", "dark", "caller"),
            ("charger", "starts", "caller"),
        ]
        told = await ok(await client.get("/api/v1/statistics/calls"))
        assert told["by_tree"] == [{"word": "kit-is-silent", "calls": 1, "minutes": 3.5}]


async def test_a_call_is_forwarded_with_the_request_that_the_tree_ends_with(database: str) -> None:
    await add_kit(database)
    answers = {"screen": "dark", "charger": "dead"}
    body = {**CALL, "kit": "K-1", "outcome": "forwarded", "forward": True}
    async with api(database, Role.SUPPORT) as client:
        made = await ok(
            await client.post(CALLS, json={**body, "walked": {"tree": "kit-is-silent", "answers": answers}}), 201
        )
        request = await ok(await client.get(f"/api/v1/service-requests/{made['service_request']}"))
        assert (request["kit"], request["cause"], request["line"]) == ("K-1", "silent", "logistics")
        again = await ok(
            await client.post(CALLS, json={**body, "walked": {"tree": "kit-is-silent", "answers": answers}}), 201
        )
        assert again["service_request"] == made["service_request"]
        found = await ok(await client.get(CALLS, params={"service_request": made["service_request"]}))
        assert len(found["items"]) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"walked": None}, "forward"),
        ({"walked": {"tree": "kit-is-silent", "answers": {"screen": "dark", "charger": "starts"}}}, "forward"),
        ({"outcome": "solved"}, "outcome"),
    ],
)
async def test_nothing_is_forwarded_that_does_not_end_with_a_request(
    database: str, change: dict[str, Any], field: str
) -> None:
    await add_kit(database)
    walked = {"tree": "kit-is-silent", "answers": {"screen": "dark", "charger": "dead"}}
    body = {**CALL, "kit": "K-1", "outcome": "forwarded", "forward": True, "walked": walked}
    async with api(database, Role.SUPPORT) as client:
        problem(await client.post(CALLS, json={**body, **change}), 422, field)
        assert rows(database, "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM service_requests)") == [
            (0, 0)
        ]


async def test_trees_are_maintained_version_by_version(database: str) -> None:
    second = shipped()["clock-is-wrong"].replace("version: 1", "version: 2").replace("clock right?", "time right?")
    async with api(database) as client:
        names = {each["tree"] for each in (await ok(await client.get(TREES)))["items"]}
        assert names == shipped().keys()
        chosen = await ok(await client.get(TREES, params={"cause": "clock_skew"}))
        assert [each["tree"] for each in chosen["items"]] == ["clock-is-wrong"]
        versions = f"{TREES}/clock-is-wrong/versions"
        problem(await client.post(versions, json={"body": shipped()["clock-is-wrong"]}), 409)
        problem(await client.post(versions, json={"body": second.replace("next: fine", "next: gone")}), 422, "nodes")
        problem(await client.post(versions, json={"body": shipped()["kit-is-silent"]}), 422, "tree")
        await ok(await client.post(versions, json={"body": second}), 201)
        newest = await ok(await client.get(f"{TREES}/clock-is-wrong"))
        assert (newest["version"], newest["source"] == "shipped") == (2, False)
        asked = await ok(await client.post(f"{TREES}/clock-is-wrong/walk", json={}))
        assert asked["text"]["en"] == "Is the tablet's time right?"
        old = await ok(await client.post(f"{TREES}/clock-is-wrong/walk", json={"version": 1}))
        assert old["text"]["en"] == "Is the tablet's clock right?"
        assert [each["version"] for each in (await ok(await client.get(versions)))["items"]] == [2, 1]


async def test_a_retired_tree_is_not_offered_and_its_past_stays(database: str) -> None:
    async with api(database) as client:
        retired = await ok(await client.post(f"{TREES}/clock-is-wrong/retire"))
        assert (retired["version"], retired["retired"]) == (2, True)
        names = {each["tree"] for each in (await ok(await client.get(TREES)))["items"]}
        assert names == shipped().keys() - {"clock-is-wrong"}
        problem(await client.post(f"{TREES}/clock-is-wrong/walk", json={}), 404)
        await ok(await client.post(f"{TREES}/clock-is-wrong/walk", json={"version": 1}))
        third = shipped()["clock-is-wrong"].replace("version: 1", "version: 3")
        await ok(await client.post(f"{TREES}/clock-is-wrong/versions", json={"body": third}), 201)
        assert "clock-is-wrong" in {each["tree"] for each in (await ok(await client.get(TREES)))["items"]}


async def test_a_call_about_no_kit_is_of_whom_the_agent_works_for(database: str) -> None:
    add_organisations(database, "odense")
    add_organisations(database, "helpdesk", kind="operator")
    for organisation in ("odense", "helpdesk"):
        token = await make_token(database, Role.SUPPORT, organisation=organisation)
        async with running_app(database) as app, client_of(app, token) as client:
            made = await ok(await client.post(CALLS, json={**CALL, "reason": "question"}), 201)
            assert made["organisation"] == organisation
    await charge_all(database)
    assert rows(database, "SELECT o.slug FROM billable_events JOIN organisations o USING (organisation_id)") == [
        ("odense",)
    ]


async def test_another_municipality_sees_and_voids_nothing(database: str) -> None:
    await add_kit(database)
    add_organisations(database, "odense")
    other = await make_token(database, Role.SUPPORT, organisation="odense")
    async with api(database) as client:
        made = await ok(await client.post(CALLS, json={**CALL, "kit": "K-1"}), 201)
    async with running_app(database) as app, client_of(app, other) as client:
        assert (await ok(await client.get(CALLS)))["items"] == []
        problem(await client.get(f"{CALLS}/{made['id']}"), 404)
        problem(await client.post(f"{CALLS}/{made['id']}/void", json={"reason": "no"}), 404)
        problem(await client.post(CALLS, json={**CALL, "kit": "K-1"}), 404)
        assert (await ok(await client.get("/api/v1/statistics/calls")))["calls"] == 0


def test_shipped_trees_are_whole_yaml() -> None:
    for name, body in shipped().items():
        assert yaml.safe_load(body)["tree"] == name


async def test_a_call_stands_in_the_log_of_its_request_and_is_its_first_response(database: str) -> None:
    await add_kit(database)
    execute(database, "UPDATE contract_targets SET response_min = 60")
    long_ago = datetime.now(UTC) - timedelta(hours=5)
    async with api(database, Role.SUPPORT) as program, await connect(database, role="test") as books:
        asked = {"kit": "K-1", "cause": "cannot_measure"}
        path = f"{REQUESTS}/{(await ok(await program.post(REQUESTS, json=asked), 201))['number']}"
        found = await ok(await program.get(path))
        assert found["responded_at"] is None, "a program opened it: nobody answered"
        call = {**CALL, "kit": "K-1", "service_request": found["number"], "at": long_ago.isoformat()}
        made = await ok(await program.post(CALLS, json=call), 201)
        found = await ok(await program.get(path))
        assert (found["events"][0]["what"], found["events"][0]["body"]["call"]) == ("call", made["id"])
        assert found["responded_at"] is None
        said = store.NewCall(
            long_ago, 3.5, store.Channel.PHONE, store.Caller.NURSE, store.Reason.BATTERY, store.Outcome.ADVISED,
            kit="K-1", request=found["number"],
        )  # fmt: skip
        theirs = await store.record(books, said, by=AGENT, now=datetime.now(UTC))
        found = await ok(await program.get(path))
        entry = found["events"][0]
        assert entry["body"] == {"call": theirs.call_id, "outcome": "advised", "reason": "battery", "minutes": 3.5}
        assert found["responded_at"] == entry["at"] > found["opened_at"], "when it was entered, not when it rang"
        await store.void(books, theirs.call_id, reason="of another request", by=AGENT)
        found = await ok(await program.get(path))
        assert found["events"][0]["body"] == {"call": theirs.call_id, "voided": True}
        assert found["responded_at"] is None


async def test_a_call_that_rang_before_the_kit_moved_is_of_whose_it_was(database: str) -> None:
    await add_kit(database)
    add_organisations(database, "vejle", kind="municipality")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    moved = datetime.now(UTC) - timedelta(hours=6)
    kit_id = value(database, "SELECT kit_id FROM kits")
    vejle = value(database, "SELECT organisation_id FROM organisations WHERE slug = 'vejle'")
    execute(database, "UPDATE custodies SET during = tstzrange(NULL, %s) WHERE kit_id = %s", moved, kit_id)
    execute(
        database,
        "INSERT INTO custodies (kit_id, organisation_id, during) VALUES (%s, %s, tstzrange(%s, NULL))",
        kit_id, vejle, moved,
    )  # fmt: skip
    execute(database, "UPDATE kits SET organisation_id = %s WHERE kit_id = %s", vejle, kit_id)
    execute(database, "UPDATE billing_start SET first_day = first_day - 30")
    call = {**CALL, "kit": "K-1"}
    async with running_app(database) as app:
        async with client_of(app, await make_token(database, Role.SUPPORT)) as everywhere:
            before = await ok(await everywhere.post(CALLS, json={**call, "at": yesterday.isoformat()}), 201)
            assert (before["organisation"], before["kit"]) == ("aalborg", "K-1")
            assert (await ok(await everywhere.post(CALLS, json=call), 201))["organisation"] == "vejle"
        async with client_of(app, await make_token(database, Role.SUPPORT, organisation="vejle")) as theirs:
            problem(await theirs.post(CALLS, json={**call, "at": yesterday.isoformat()}), 422, "at")
            assert (await ok(await theirs.post(CALLS, json=call), 201))["organisation"] == "vejle"
    await charge_all(database)
    charged = rows(
        database,
        "SELECT o.slug, count(*) FROM billable_events b JOIN organisations o USING (organisation_id)"
        " GROUP BY 1 ORDER BY 1",
    )
    assert charged == [("aalborg", 1), ("vejle", 2)]
