"""Maintenance windows over HTTP: planned, edited and ended, within what the caller may."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.books_world import made
from tests.people import add_organisations
from tests.support import add_kits, execute, rows, value

PATH = "/api/v1/maintenance-windows"


def at(hours: float) -> str:
    """A moment so many hours from now, to the second."""
    return f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


async def plan(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A window of two hours from now."""
    return dict(await made(await client.post(PATH, json={"title": "New firmware", "ends_at": at(2), **body})))


async def test_a_window_is_planned_edited_and_ended(database: str) -> None:
    add_kits(database, "K-1", "K-2")
    async with api(database) as client:
        window = await plan(client, kits=["K-2", "K-1"], rules=["version_drift", "silent"], collect=False)
        assert (window["state"], window["kits"], window["rules"]) == ("on", ["K-1", "K-2"], ["silent", "version_drift"])
        assert [each["ends_at"] for each in window["upcoming"]] == [window["ends_at"]]
        assert await pages(client, PATH, kit="K-1", state="on") == [window]
        assert await pages(client, PATH, kit="K-9") == []
        seen = await client.get(f"{PATH}/{window['id']}")
        assert seen.json() == window
        body = {"title": "Newer firmware", "kits": ["K-2"], "ends_at": at(3), "rules": None}
        edited = await client.patch(f"{PATH}/{window['id']}", json=body, headers={"If-Match": seen.headers["ETag"]})
        assert (edited.json()["kits"], edited.json()["rules"], edited.json()["revision"]) == (["K-2"], None, 2)
        late = await client.patch(f"{PATH}/{window['id']}", json=body, headers={"If-Match": seen.headers["ETag"]})
        problem(late, 412)
        assert await pages(client, PATH, kit="K-1") == []
        ended = await made(await client.post(f"{PATH}/{window['id']}/end", json={}))
        assert (ended["state"], ended["upcoming"]) == ("ended", [])
        assert ended["ended_at"] is not None
        again = await made(await client.post(f"{PATH}/{window['id']}/end", json={"series": True}))
        assert again == ended
        problem(await client.patch(f"{PATH}/{window['id']}", json={"title": "x"}), 409)
        assert await pages(client, f"{PATH}/{window['id']}/occurrences") == []
        problem(await client.get(f"{PATH}/999"), 404)
        problem(await client.get(f"{PATH}/999/occurrences"), 404)


async def test_a_recurring_window(database: str) -> None:
    async with api(database) as client:
        window = await plan(client, starts_at=at(24), ends_at=at(25), recurrence="FREQ=DAILY;COUNT=3")
        assert (window["state"], len(window["upcoming"])) == ("planned", 3)
        problem(await client.post(f"{PATH}/{window['id']}/end", json={}), 409)
        shorter = await client.patch(f"{PATH}/{window['id']}", json={"recurrence": "FREQ=DAILY;COUNT=2"})
        assert len(shorter.json()["upcoming"]) == 2
        once = await client.patch(f"{PATH}/{window['id']}", json={"recurrence": None})
        assert len(once.json()["upcoming"]) == 1
        ended = await made(await client.post(f"{PATH}/{window['id']}/end", json={"series": True}))
        assert ended["state"] == "ended"
        on = await plan(client, recurrence="FREQ=DAILY")
        left = await made(await client.post(f"{PATH}/{on['id']}/end", json={}))
        assert left["state"] == "planned"
        assert left["upcoming"][0] == on["upcoming"][1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"starts_at": at(-2), "ends_at": at(1)}, "starts_at"),
        ({"starts_at": at(-3), "ends_at": at(-2)}, "starts_at"),
        ({"ends_at": at(-1)}, "ends_at"),
        ({"ends_at": at(31 * 24)}, "ends_at"),
        ({"starts_at": at(1000 * 24), "ends_at": at(1000 * 24 + 1)}, "starts_at"),
        ({"starts_at": at(1), "ends_at": at(8 * 24), "recurrence": "FREQ=MONTHLY"}, "ends_at"),
        ({"recurrence": "FREQ=YEARLY"}, "recurrence"),
        ({"starts_at": at(1), "ends_at": at(27), "recurrence": "FREQ=DAILY"}, "recurrence"),
        ({"kits": ["K-9"]}, "kits"),
        ({"kits": []}, "kits"),
        ({"kit_type": "none"}, "kit_type"),
        ({"model_id": 99}, "model_id"),
        ({"rules": ["no_such_rule"]}, "rules"),
        ({"organisation": "nowhere"}, "organisation"),
        ({"title": ""}, "title"),
        ({"title": "for 010190-1234"}, "title"),
        ({"programme": "for 010190-1234"}, "programme"),
    ],
)
async def test_what_makes_no_window(database: str, body: dict[str, Any], field: str) -> None:
    async with api(database) as client:
        asked = {"title": "New firmware", "ends_at": at(2), **body}
        refused = problem(await client.post(PATH, json=asked), 422)
        assert refused["field"].startswith(field), refused
        assert value(database, "SELECT count(*) FROM maintenance_windows") == 0


async def test_a_window_that_is_on_does_not_move_into_the_past(database: str) -> None:
    async with api(database) as client:
        window = await plan(client)
        path = f"{PATH}/{window['id']}"
        problem(await client.patch(path, json={"starts_at": at(1)}), 422, "starts_at")
        problem(await client.patch(path, json={"ends_at": at(-0.5)}), 422, "ends_at")
        problem(await client.patch(path, json={"ends_at": None}), 422, "ends_at")
        longer = await client.patch(path, json={"ends_at": at(5)})
        assert longer.json()["state"] == "on"


async def test_the_number_of_windows_is_bounded(database: str) -> None:
    async with api(database) as client:
        await plan(client)
        execute(
            database,
            "INSERT INTO maintenance_windows (title, starts_at, ends_at, current_from, current_to, created_by)"
            " SELECT 'more', now(), now() + interval '1 hour', now(), now() + interval '1 hour', 'test'"
            " FROM generate_series(1, 199)",
        )
        body = {"title": "one more", "ends_at": at(1)}
        problem(await client.post(PATH, json=body), 409)
        execute(database, "UPDATE maintenance_windows SET current_from = NULL, current_to = NULL, ended_at = now()")
        assert (await client.post(PATH, json=body)).status_code == 201


async def test_who_is_bound_to_an_organisation_plans_for_what_is_below_it(database: str) -> None:
    add_organisations(database, "nord", kind="region")
    add_organisations(database, "aalborg", "hjorring", under="nord")
    add_organisations(database, "maker", kind="supplier")
    for kit, organisation in (("A-1", "aalborg"), ("B-1", "hjorring")):
        execute(
            database,
            "WITH k AS (INSERT INTO kits (kit, state, organisation_id, owner_id)"
            " SELECT %s, 'in_stock', organisation_id, organisation_id FROM organisations WHERE slug = %s"
            " RETURNING kit_id) INSERT INTO kit_latest (kit_id) SELECT kit_id FROM k",
            kit,
            organisation,
        )
    async with running_app(database) as app, AsyncExitStack() as stack:
        clients = {}
        for slug in ("nord", "aalborg", "hjorring"):
            token = await make_token(database, Role.SERVICE, organisation=slug)
            clients[slug] = await stack.enter_async_context(caller(app, token))
        mine = await plan(clients["aalborg"], organisation="aalborg")
        for body, status in (({}, 422), ({"organisation": "hjorring"}, 422), ({"organisation": "maker"}, 403)):
            asked = {"title": "theirs", "ends_at": at(1), **body}
            problem(await clients["aalborg"].post(PATH, json=asked), status)
        problem(await clients["aalborg"].post(PATH, json={**asked, "organisation": "aalborg", "kits": ["B-1"]}), 422)
        problem(await clients["hjorring"].get(f"{PATH}/{mine['id']}"), 404)
        problem(await clients["hjorring"].post(f"{PATH}/{mine['id']}/end", json={}), 404)
        above = await plan(clients["nord"], organisation="nord")
        assert {each["id"] for each in await pages(clients["aalborg"], PATH)} == {mine["id"]}
        detail = (await clients["aalborg"].get("/api/v1/kits/A-1")).json()
        standing = {each["id"]: each for each in detail["maintenance"]}
        assert standing.keys() == {mine["id"], above["id"]}
        assert standing[mine["id"]]["collect"] is True
        other = (await clients["hjorring"].get("/api/v1/kits/B-1")).json()
        assert [each["id"] for each in other["maintenance"]] == [above["id"]]


async def test_who_may_plan(database: str) -> None:
    for role, status in ((Role.SUPPORT, 403), (Role.SECRETARIAT, 403), (Role.SERVICE, 201), (Role.MDM_ADMIN, 201)):
        async with api(database, role) as client:
            assert (await client.post(PATH, json={"title": "x", "ends_at": at(1)})).status_code == status
            assert (await client.get(PATH)).status_code == 200


async def test_the_same_request_plans_once(database: str) -> None:
    async with api(database) as client:
        body = {"title": "once", "ends_at": at(1)}
        first, second = [await client.post(PATH, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert first.json() == second.json()
        told = rows(database, "SELECT action FROM audit WHERE subject_kind = 'maintenance_windows'")
        assert told == [("maintenance_windows.created",)]


@pytest.fixture
def alert(database: str) -> int:
    """An active alert of a kit."""
    add_kits(database, "K-1")
    query = (
        "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " SELECT kit_id, 'silent', 'minor', 'active', now(), '{}' FROM kits RETURNING alert_id"
    )
    return int(value(database, query))


async def test_somebody_takes_care_and_says_so(database: str, alert: int) -> None:
    path = f"/api/v1/alerts/{alert}"
    async with api(database) as client:
        taken = (await client.post(f"{path}/acknowledge", json={"comment": "called the depot"})).json()
        assert (taken["acknowledged"], taken["acknowledgement"]) == (True, "called the depot")
        assert taken["acknowledged_by"].startswith("token")
        assert taken["suppressed_by"] is None
        again = (await client.post(f"{path}/acknowledge")).json()
        assert again == taken
        problem(await client.post(f"{path}/acknowledge", json={"comment": "asked 010190-1234"}), 422, "comment")
        back = (await client.post(f"{path}/unacknowledge")).json()
        assert (back["acknowledged"], back["acknowledgement"], back["acknowledged_by"]) == (False, None, None)
        assert (await client.post(f"{path}/unacknowledge")).json() == back
        problem(await client.post("/api/v1/alerts/99/unacknowledge"), 404)
    told = rows(database, "SELECT type FROM events WHERE type LIKE 'alert.%%acknowledged' ORDER BY event_id")
    assert [kind for (kind,) in told] == ["alert.acknowledged", "alert.unacknowledged"]


async def test_an_alert_is_shelved_and_taken_back(database: str, alert: int) -> None:
    path, until = f"/api/v1/alerts/{alert}", at(48)
    async with api(database) as client:
        shelf = {"until": until, "reason": "the citizen is away"}
        shelved = (await client.post(f"{path}/shelve", json=shelf)).json()
        assert (shelved["state"], shelved["suppressed_by"]) == ("active", f"shelved:{until}")
        assert (shelved["shelved_until"], shelved["shelved_reason"]) == (until, "the citizen is away")
        for query in ({"shelved": "true"}, {"suppressed": "true"}, {"suppressed_by": f"shelved:{until}"}):
            assert await pages(client, "/api/v1/alerts", **query) == [shelved]
        assert await pages(client, "/api/v1/alerts", shelved="false") == []
        assert await pages(client, "/api/v1/alerts", flapping="true") == []
        problem(await client.post(f"{path}/shelve", json={**shelf, "until": at(31 * 24)}), 422, "until")
        problem(await client.post(f"{path}/shelve", json={**shelf, "until": at(-1)}), 422, "until")
        problem(await client.post(f"{path}/shelve", json={"until": until}), 422, "reason")
        back = (await client.post(f"{path}/unshelve")).json()
        assert back["shelved_until"] is None
        execute(database, "UPDATE alerts SET state = 'cleared', cleared_at = now(), resolution = 'proof'")
        problem(await client.post(f"{path}/shelve", json=shelf), 409)
