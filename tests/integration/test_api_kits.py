"""Kits over HTTP: find, read in one call, edit, move."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from fleet.access.roles import Role
from tests.api import api, pages, problem
from tests.support import execute, rows, value

KITS = "/api/v1/kits"
INSTALLED = {"to": "installed", "override": True, "reason": "proven over the phone"}


async def test_a_kit_is_entered_and_read_in_one_call(database: str) -> None:
    async with api(database) as client:
        made = await client.post(KITS, json={"kit": "K-1", "label": "Demo", "wanted_components": {"app": "2"}})
        assert made.status_code == 201
        assert made.headers["location"] == f"{KITS}/K-1"
        read = await client.get(f"{KITS}/K-1")
    assert read.headers["etag"] == made.headers["etag"] == '"1"'
    kit = read.json()
    assert kit == made.json()
    assert (kit["state"], kit["health"], kit["label"]) == ("in_stock", "unknown", "Demo")
    assert [reason["code"] for reason in kit["reasons"]] == ["never_heard", "not_installed"]
    assert kit["allowed_steps"] == ["preparing", "scrapped", "lost", "returned"]
    assert kit["components"] == [{"component": "app", "version": None, "wanted": "2", "drifted": False}]
    assert kit["last_heartbeat"] is None
    assert kit["alerts"] == kit["service_requests"] == kit["peripherals"] == kit["drift"] == []


async def test_the_one_call_tells_everything_that_was_reported(database: str) -> None:
    async with api(database) as client:
        await client.post(
            KITS, json={"kit": "K-1", "state": "installed", "wanted_components": {"app": "2", "os": "14"}}
        )
        _report(database)
        kit = (await client.get(f"{KITS}/K-1")).json()
    assert kit["health"] == "fault"
    reasons = {reason["code"]: reason["details"] for reason in kit["reasons"]}
    assert set(reasons) == {"pairing_lost", "version_drift", "battery_low"}
    assert reasons["pairing_lost"]["peripherals"] == [{"serial": "S2", "kind": "scale", "model": None}]
    assert kit["drift"] == [{"component": "app", "wanted": "2", "reported": "1"}]
    assert kit["silent_after_s"] == 900
    assert kit["last_heartbeat"]["battery"] == 9
    assert [p["serial"] for p in kit["peripherals"]] == ["S1", "S2"]
    (alert,) = kit["alerts"]
    (request,) = kit["service_requests"]
    assert alert["rule"] == "version_drift"
    assert request["alerts"] == [alert["id"]]
    assert alert["service_request"] == request["number"] == "SR-1"


def _report(database: str) -> None:
    now = datetime.now(UTC)
    execute(
        database,
        "UPDATE kit_latest SET last_heard_at = %s, heard_clock_s = 0, boot = 'b', seq = 1, time = %s,"
        " received_at = %s, battery = 9, charging = false",
        now,
        now,
        now,
    )
    execute(
        database,
        "INSERT INTO latest_reports SELECT kit_id, v.kind, 'b', 2, %s, %s, v.body::jsonb FROM kits, (VALUES"
        """ ('software', '{"app": "1", "os": "14"}'),"""
        """ ('pairing', '[{"serial": "S1", "kind": "oximeter", "paired": true, "battery": 80},"""
        """ {"serial": "S2", "kind": "scale", "paired": false}]')) v(kind, body)""",
        now,
        now,
    )
    execute(
        database,
        "WITH a AS (INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " SELECT kit_id, 'version_drift', 'minor', 'active', now(), '{}' FROM kits RETURNING alert_id, kit_id),"
        " r AS (INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)"
        " SELECT 'SR-1', kit_id, 'version_drift', 'service', 'normal', 'open', now(), now() FROM a"
        " RETURNING request_id) INSERT INTO request_alerts SELECT request_id, alert_id FROM r, a",
    )


async def test_the_list_pages_in_every_order_and_misses_none(database: str) -> None:
    async with api(database) as client:
        names = [f"K-{number:03d}" for number in range(23)]
        for name in names:
            await client.post(KITS, json={"kit": name})
        execute(
            database,
            "UPDATE kit_latest SET last_heard_at = now() - kit_id %% 5 * interval '1 hour', heard_clock_s = 0"
            " WHERE kit_id %% 3 > 0",
        )
        by_kit = await pages(client, KITS, limit=4)
        down = await pages(client, KITS, limit=5, sort="-kit")
        heard = await pages(client, KITS, limit=3, sort="last_heard_at")
        heard_down = await pages(client, KITS, limit=7, sort="-last_heard_at")
    assert [kit["kit"] for kit in by_kit] == names
    assert [kit["kit"] for kit in down] == names[::-1]
    times = [kit["last_heard_at"] or "" for kit in heard]
    assert times == sorted(times)
    assert sorted(kit["kit"] for kit in heard) == names
    assert [kit["kit"] for kit in heard_down] == [kit["kit"] for kit in heard][::-1]


async def test_filters_find_by_health_state_organisation_and_prefix(database: str) -> None:
    async with api(database) as client:
        await client.post("/api/v1/organisations", json={"slug": "nord", "name": "Nord"})
        for kit, state in (("A-1", "installed"), ("A-2", "installed"), ("B-1", "in_stock")):
            await client.post(KITS, json={"kit": kit, "state": state, "organisation": "nord" if kit == "A-1" else None})
        execute(database, "UPDATE kit_latest SET heard_clock_s = 0, last_heard_at = now() WHERE kit_id = 1")
        execute(database, "UPDATE listening SET clock_s = 100")

        async def found(**query: str) -> list[str]:
            return [kit["kit"] for kit in await pages(client, KITS, **query)]

        assert await found(health="ok") == ["A-1"]
        assert await found(health="unknown") == ["A-2", "B-1"]
        assert await found(health="silent") == []
        assert await found(q="A") == ["A-1", "A-2"]
        assert await found(q="B-1") == ["B-1"]
        assert await found(kit="A-2") == ["A-2"]
        assert await found(state="in_stock") == ["B-1"]
        assert await found(organisation="nord") == ["A-1"]
        execute(database, "UPDATE listening SET clock_s = 1000")
        assert await found(health="silent", state="installed") == ["A-1"]


async def test_bad_queries_name_their_field(database: str) -> None:
    async with api(database) as client:
        problem(await client.get(KITS, params={"healthy": "ok"}), 422, "healthy")
        problem(await client.get(KITS, params={"limit": "501"}), 422, "limit")
        problem(await client.get(KITS, params={"sort": "label"}), 422, "sort")
        problem(await client.get(KITS, params={"cursor": "nonsense"}), 422, "cursor")
        problem(await client.get(f"{KITS}/K-1", params={"x": "1"}), 422, "x")
        problem(await client.get(f"{KITS}/K 1"), 422, "kit")
        problem(await client.get(f"{KITS}/K-1"), 404)
        for name in ("A", "B"):
            await client.post(KITS, json={"kit": name})
        cursor = (await client.get(KITS, params={"limit": 1})).json()["next"]
        problem(await client.get(KITS, params={"cursor": cursor, "sort": "-kit"}), 422, "cursor")


async def test_bad_bodies_name_their_field_and_store_nothing(database: str) -> None:
    bad = {
        "expected_interval_s": True,
        "tolerance": "3",
        "label": "a\x00b",
        "state": "sold",
        "colour": "red",
        "wanted_components": ["app"],
        "organisation": "nobody",
        "kit": "K 1",
    }
    async with api(database) as client:
        for field, wrong in bad.items():
            problem(await client.post(KITS, json={"kit": "K-1", field: wrong}), 422, field)
        problem(await client.post(KITS, json={}), 422, "kit")
        problem(await client.post(KITS, content=b"{", headers={"content-type": "application/json"}), 422, "body")
        named = "Borger 010203-1234"
        problem(await client.post(KITS, json={"kit": "K-1", "label": named}), 422, "label")
        problem(
            await client.post(
                KITS, content=b'{"kit": "K-1", "tolerance": NaN}', headers={"content-type": "application/json"}
            ),
            422,
            "tolerance",
        )
    assert value(database, "SELECT count(*) FROM kits") == 0


async def test_nobody_overwrites_what_somebody_else_changed(database: str) -> None:
    async with api(database) as client:
        tag = (await client.post(KITS, json={"kit": "K-1"})).headers["etag"]
        first = await client.patch(f"{KITS}/K-1", json={"label": "one"}, headers={"If-Match": tag})
        assert (first.status_code, first.headers["etag"]) == (200, '"2"')
        late = await client.patch(f"{KITS}/K-1", json={"label": "two"}, headers={"If-Match": tag})
        problem(late, 412)
        assert late.headers["etag"] == '"2"'
        problem(await client.patch(f"{KITS}/K-1", json={"label": "x"}, headers={"If-Match": "2"}), 422, "If-Match")
        problem(await client.patch(f"{KITS}/K-1", json={"label": None}), 422, "label")
        problem(await client.patch(f"{KITS}/K-2", json={"label": "x"}), 404)
        anyway = await client.patch(f"{KITS}/K-1", json={"tolerance": 2, "expected_interval_s": 60})
        assert anyway.json()["revision"] == 3
        same = await client.patch(f"{KITS}/K-1", json={"tolerance": 2.0}, headers={"If-Match": "*"})
        assert same.json()["revision"] == 3
    assert rows(database, "SELECT what FROM book_events ORDER BY 1") == [("edit",), ("edit",), ("opening",)]


async def test_only_steps_of_the_table_are_taken(database: str) -> None:
    async with api(database) as client:
        await client.post(KITS, json={"kit": "K-1", "state": "dispatched"})
        await client.post("/api/v1/locations", json={"slug": "home-17", "name": "Home 17", "kind": "other"})
        steps = f"{KITS}/K-1/transitions"
        refused = problem(await client.post(steps, json={"to": "ready"}), 409)
        assert refused["allowed"] == ["installed", "retrieved", "lost"]
        assert refused["state"] == "dispatched"
        # Syntax comes before state: scrapping needs a reason, also where it is not allowed.
        problem(await client.post(steps, json={"to": "scrapped"}), 422, "reason")
        problem(await client.post(steps, json={"to": "sold"}), 422, "to")
        problem(await client.post(f"{KITS}/K-9/transitions", json={"to": "ready"}), 404)
        problem(await client.post(steps, json={"to": "installed", "location": "Hoem 17"}), 422, "location")
        unproven = problem(await client.post(steps, json={"to": "installed", "location": "Home 17"}), 409)
        assert [each["code"] for each in unproven["unmet"]] == ["not_heard_since_arrival"]
        override = {"to": "installed", "location": "Home 17", "override": True}
        problem(await client.post(steps, json=override), 422, "reason")
        moved = await client.post(steps, json={**override, "reason": "no network there before the visit ends"})
        assert moved.status_code == 200
        assert (moved.json()["state"], moved.json()["location"]) == ("installed", "home-17")
        assert moved.json()["location_name"] == "Home 17"
        lost = await client.post(steps, json={"to": "lost", "reason": "not found at the address"})
        assert lost.json()["silent_after_s"] is None


async def test_the_watch_follows_state_and_expectation(database: str) -> None:
    watch = "SELECT watch_allowance_s, watch_interval_s, watch_from_clock_s FROM kit_latest"
    async with api(database) as client:
        await client.post(KITS, json={"kit": "K-1", "state": "dispatched", "expected_interval_s": 5})
        assert rows(database, watch) == [(None, None, None)]
        execute(database, "UPDATE listening SET clock_s = 50")
        await client.post(f"{KITS}/K-1/transitions", json=INSTALLED)
        assert rows(database, watch) == [(30, 5, 50)]
        execute(database, "UPDATE listening SET clock_s = 80")
        await client.patch(f"{KITS}/K-1", json={"expected_interval_s": 7200})
        assert rows(database, watch) == [(10800, 7200, 50)]
        await client.patch(f"{KITS}/K-1", json={"tolerance": 4})
        assert rows(database, watch) == [(28800, 7200, 50)]
        await client.post(f"{KITS}/K-1/transitions", json={"to": "paused"})
        assert rows(database, watch) == [(None, None, None)]
        await client.post(f"{KITS}/K-1/transitions", json={"to": "installed"})
        assert rows(database, watch) == [(28800, 7200, 80)]
    assert value(database, "SELECT count(*) FROM evaluation_queue") == 5


async def test_a_repeated_post_with_a_key_happens_once(database: str) -> None:
    async with api(database) as client:
        headers = {"Idempotency-Key": "abc"}
        answers = await asyncio.gather(*(client.post(KITS, json={"kit": "K-1"}, headers=headers) for _ in range(4)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert {answer.headers["etag"] for answer in answers} == {'"1"'}
        problem(await client.post(KITS, json={"kit": "K-2"}, headers=headers), 422, "Idempotency-Key")
        problem(await client.post(KITS, json={"kit": "K-1"}), 409)
        headers = {"Idempotency-Key": "step"}
        for _ in range(2):
            moved = await client.post(f"{KITS}/K-1/transitions", json={"to": "preparing"}, headers=headers)
            assert moved.status_code == 200


async def test_a_failed_post_keeps_no_answer(database: str) -> None:
    async with api(database) as client:
        headers = {"Idempotency-Key": "abc"}
        problem(await client.post(KITS, json={"kit": "K-1", "organisation": "nord"}, headers=headers), 422)
        await client.post("/api/v1/organisations", json={"slug": "nord", "name": "Nord"})
        again = await client.post(KITS, json={"kit": "K-1", "organisation": "nord"}, headers=headers)
    assert again.status_code == 201


async def test_changes_tell_books_and_reports_newest_first(database: str) -> None:
    async with api(database) as client:
        await client.post(KITS, json={"kit": "K-1", "state": "dispatched"})
        execute(
            database,
            "INSERT INTO changes (kit_id, time, received_at, what, subject, before, after)"
            " SELECT 1, now(), clock_timestamp(), 'version', 'app', '1', n::text FROM generate_series(1, 5) n",
        )
        await client.post(f"{KITS}/K-1/transitions", json=INSTALLED)
        found = await pages(client, f"{KITS}/K-1/changes", limit=2)
        problem(await client.get(f"{KITS}/K-2/changes"), 404)
    assert [item["what"] for item in found] == ["status", *["version"] * 5, "opening"]
    assert found[0]["before"] == {"state": "dispatched"}
    assert found[0]["reason"] == INSTALLED["reason"]
    assert [item["after"] for item in found[1:6]] == ["5", "4", "3", "2", "1"]


async def test_heartbeats_of_a_range_of_time(database: str) -> None:
    async with api(database) as client:
        await client.post(KITS, json={"kit": "K-1"})
        execute(
            database,
            "INSERT INTO heartbeats (time, received_at, seq, kit_id, boot, battery)"
            " SELECT now() - n * interval '1 hour', now(), 100 - n, 1, 'b', n FROM generate_series(0, 47) n",
        )
        path = f"{KITS}/K-1/heartbeats"
        day = await pages(client, path, limit=10)
        assert [beat["battery"] for beat in day] == list(range(24))
        now = datetime.now(UTC)
        query = {"from": (now - timedelta(hours=40)).isoformat(), "to": (now - timedelta(hours=30)).isoformat()}
        assert len(await pages(client, path, **query)) == 10
        problem(await client.get(path, params={"from": (now - timedelta(days=40)).isoformat()}), 422, "from")
        problem(await client.get(path, params={"from": "2026-01-01T00:00:00"}), 422, "from")


async def test_roles_may_do_what_their_task_needs(database: str) -> None:
    async with api(database, Role.SUPPORT) as client:
        assert (await client.get(KITS)).status_code == 200
        refused = problem(await client.post(KITS, json={"kit": "K-1"}), 403)
    assert refused["permission"] == "kits.write"
