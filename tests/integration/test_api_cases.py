"""Alerts, service requests, incidents, rules, quarantine and statistics over HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import httpx
import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.people import add_organisations
from tests.support import add_kits, execute, rows, value

V1 = "/api/v1"


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client on a database with three kits, alerts, requests and an incident."""
    add_kits(database, "K-1", "K-2", "K-3")
    execute(
        database,
        """
        WITH incident AS (
            INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)
            VALUES ('silent', 'open', now(), 10, 3) RETURNING incident_id
        ), members AS (
            INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s)
            SELECT incident_id, kit_id, now(), 1, 30 FROM incident, kits
        ), alerts AS (
            INSERT INTO alerts (kit_id, rule, severity, state, opened_at, cleared_at, resolution, evidence)
            SELECT kit_id, r.rule, 'minor', r.state, now(),
                   CASE WHEN r.state = 'cleared' THEN now() END,
                   CASE WHEN r.state = 'cleared' THEN 'proof' END, '{"a": 1}'
            FROM kits, (VALUES ('silent', 'cleared'), ('version_drift', 'active')) r(rule, state)
            RETURNING alert_id, kit_id, rule
        ), requests AS (
            INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)
            SELECT 'SR-' || kit_id, kit_id, 'version_drift', 'service', 'normal', 'open', now(), now() FROM kits
            RETURNING request_id, kit_id
        ), mass AS (
            INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)
            SELECT 'SR-9', incident_id, 'silent', 'service', 'urgent', 'open', now(), now() FROM incident
        )
        INSERT INTO request_alerts SELECT request_id, alert_id FROM requests JOIN alerts USING (kit_id)
        WHERE rule = 'version_drift'
        """,
    )
    async with api(database) as client:
        yield client


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 6),
        ({"rule": "silent"}, 3),
        ({"kit": "K-2"}, 2),
        ({"kit": "K-2", "state": "active"}, 1),
        ({"severity": "critical"}, 0),
        ({"acknowledged": "false"}, 6),
        ({"suppressed_by": "incident:1"}, 0),
        ({"opened_from": "2020-01-01T00:00:00Z"}, 6),
        ({"opened_to": "2020-01-01T00:00:00Z"}, 0),
    ],
)
async def test_alerts_by_each_field(client: httpx.AsyncClient, query: dict[str, str], count: int) -> None:
    found = await pages(client, f"{V1}/alerts", limit=2, **query)
    assert len(found) == count
    assert [alert["id"] for alert in found] == sorted((alert["id"] for alert in found), reverse=True)


async def test_an_alert_by_its_own_values(client: httpx.AsyncClient) -> None:
    (alert, *_) = await pages(client, f"{V1}/alerts", state="cleared")
    for name in ("id", "rule", "kit", "severity", "state", "opened_at", "cleared_at"):
        assert alert in await pages(client, f"{V1}/alerts", **{name: alert[name]}), name
    assert (await client.get(f"{V1}/alerts/{alert['id']}")).json() == alert
    problem(await client.get(f"{V1}/alerts/77"), 404)


async def test_acknowledging_is_told_once(client: httpx.AsyncClient, database: str) -> None:
    (alert, *_) = await pages(client, f"{V1}/alerts", state="active")
    for _ in range(2):
        done = await client.post(f"{V1}/alerts/{alert['id']}/acknowledge")
        assert done.json()["acknowledged"] is True
    problem(await client.post(f"{V1}/alerts/77/acknowledge"), 404)
    told = rows(database, "SELECT type, kit FROM events")
    assert told == [("alert.acknowledged", alert["kit"])]


async def test_requests_by_each_field(client: httpx.AsyncClient) -> None:
    path = f"{V1}/service-requests"
    assert len(await pages(client, path, limit=3)) == 4
    (request,) = await pages(client, path, kit="K-1")
    for name in ("number", "kit", "cause", "line", "priority", "state", "opened_at", "due_at"):
        assert request in await pages(client, path, **{name: request[name]}), name
    assert await pages(client, path, alerts=request["alerts"][0]) == [request]
    (mass,) = await pages(client, path, incident=1)
    assert (mass["kit"], mass["incident"], mass["alerts"]) == (None, 1, [])
    assert len(await pages(client, path, unresolved="true")) == 4
    assert await pages(client, path, state="closed") == []


async def test_a_request_is_moved_on_by_allowed_steps(client: httpx.AsyncClient, database: str) -> None:
    path = f"{V1}/service-requests/SR-1"
    tag = (await client.get(path)).headers["etag"]
    moved = await client.patch(path, json={"state": "in_progress", "line": "supplier"}, headers={"If-Match": tag})
    assert (moved.json()["state"], moved.json()["line"]) == ("in_progress", "supplier")
    problem(await client.patch(path, json={"priority": "low"}, headers={"If-Match": tag}), 412)
    refused = problem(await client.patch(path, json={"state": "closed"}), 409)
    assert refused["allowed"] == ["open", "waiting", "resolved"]
    ended = {"state": "resolved", "resolution": "new SIM", "found_cause": "sim_fault", "remedy": "supplier_solved"}
    done = await client.patch(path, json=ended)
    assert done.json()["resolved_at"]
    problem(await client.patch(path, json={"state": "sold"}), 422, "state")
    problem(await client.patch(path, json={"due_at": "2026-01-01T00:00:00Z"}), 422, "due_at")
    problem(await client.patch(f"{V1}/service-requests/SR-77", json={}), 404)
    assert [row[0] for row in rows(database, "SELECT type FROM events")] == ["request.changed", "request.resolved"]


async def test_a_second_open_request_for_a_cause_is_refused(client: httpx.AsyncClient, database: str) -> None:
    ended = {"state": "resolved", "found_cause": "sim_fault", "remedy": "supplier_solved"}
    await client.patch(f"{V1}/service-requests/SR-1", json=ended)
    execute(
        database,
        "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)"
        " SELECT 'SR-8', kit_id, cause, line, priority, 'open', now(), now() FROM service_requests"
        " WHERE number = 'SR-1'",
    )
    problem(await client.patch(f"{V1}/service-requests/SR-1", json={"state": "open"}), 409)


async def test_an_incident_and_its_members(client: httpx.AsyncClient) -> None:
    (incident,) = await pages(client, f"{V1}/incidents", state="open", rule="silent")
    assert (incident["members"], incident["still_silent"], incident["service_request"]) == (3, 3, "SR-9")
    assert (incident["cohort_kind"], incident["cohort_value"]) == ("fleet", "")
    assert (await client.get(f"{V1}/incidents/{incident['id']}")).json() == incident
    assert await pages(client, f"{V1}/incidents", cohort_kind="operator") == []
    ((of_kit,),) = [(await client.get(f"{V1}/kits/K-1")).json()["incidents"]]
    assert (of_kit["id"], of_kit["rule"], of_kit["cohort_kind"]) == (incident["id"], "silent", "fleet")
    assert await pages(client, f"{V1}/incidents/{incident['id']}/members", present=False) == []
    members = await pages(client, f"{V1}/incidents/{incident['id']}/members", limit=2)
    assert [member["kit"] for member in members] == ["K-1", "K-2", "K-3"]
    assert await pages(client, f"{V1}/incidents/{incident['id']}/members", outcome="returned") == []
    problem(await client.get(f"{V1}/incidents/77"), 404)
    problem(await client.get(f"{V1}/incidents/77/members"), 404)


async def test_rules_have_titles_in_both_languages(client: httpx.AsyncClient) -> None:
    found = {rule["rule"]: rule for rule in await pages(client, f"{V1}/rules", limit=1)}
    assert found["silent"]["title"] == {"en": "Kit is silent", "da": "Telekit er tavst"}


async def test_quarantine_by_reason(client: httpx.AsyncClient, database: str) -> None:
    execute(
        database,
        "INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload)"
        " SELECT now(), 'fleet/v1/x', r, 'why', 3, '\\x00ff41'"
        " FROM unnest(ARRAY['bad_topic', 'oversized', 'bad_topic']) r",
    )
    found = await pages(client, f"{V1}/quarantine", limit=1, reason="bad_topic")
    assert len(found) == 2
    assert "payload_base64" not in found[0]
    one = (await client.get(f"{V1}/quarantine/{found[0]['id']}")).json()
    assert base64.b64decode(one["payload_base64"]) == b"\x00\xffA"
    told = "SELECT count(*) FROM audit WHERE action = 'quarantine.read' AND subject = %s"
    assert value(database, told, str(one["id"])) == 1
    problem(await client.get(f"{V1}/quarantine/77"), 404)
    assert len(await pages(client, f"{V1}/quarantine", topic="fleet/v1/x")) == 3
    problem(await client.get(f"{V1}/quarantine", params={"reason": "boredom"}), 422, "reason")


async def test_statistics_count_the_fleet(client: httpx.AsyncClient) -> None:
    counted = (await client.get(f"{V1}/statistics")).json()
    assert counted["kits"]["total"] == 3
    assert counted["kits"]["by_state"] == {"installed": 3}
    assert counted["kits"]["by_health"] == {"unknown": 3}
    assert counted["active_alerts"] == {"version_drift": 3}
    assert counted["unresolved_requests_by_line"] == {"service": 4}
    assert counted["open_incidents"] == 1
    assert counted["listening"]["state"] == "down"


async def test_organisations_are_listed_with_their_kits(client: httpx.AsyncClient) -> None:
    for slug in ("nord", "aalborg"):
        made = await client.post(f"{V1}/organisations", json={"slug": slug, "name": slug.title()})
        assert made.status_code == 201
    problem(await client.post(f"{V1}/organisations", json={"slug": "nord", "name": "N"}), 409)
    problem(await client.post(f"{V1}/organisations", json={"slug": "Nord", "name": "N"}), 422, "slug")
    await client.patch(f"{V1}/kits/K-1", json={"organisation": "nord"})
    found = await pages(client, f"{V1}/organisations", limit=1)
    assert [(each["slug"], each["kits"]) for each in found] == [("aalborg", 0), ("nord", 1)]


async def test_an_alert_about_a_place_is_taken_care_of_where_it_is(database: str) -> None:
    add_organisations(database, "north")
    alert = value(
        database,
        "INSERT INTO alerts (subject, organisation_id, rule, severity, state, opened_at, evidence)"
        " SELECT 'location:store', organisation_id, 'stock_low', 'minor', 'active', now(), '{}' FROM organisations"
        " RETURNING alert_id",
    )
    token = await make_token(database, Role.LOGISTICS, organisation="north")
    async with running_app(database) as app, caller(app, token) as local:
        for act in ("acknowledge", "unacknowledge"):
            done = await local.post(f"{V1}/alerts/{alert}/{act}")
            assert done.status_code == 200, done.text
    told = rows(database, "SELECT type, organisation_id IS NOT NULL FROM events ORDER BY event_id")
    assert told == [("alert.acknowledged", True), ("alert.unacknowledged", True)]
