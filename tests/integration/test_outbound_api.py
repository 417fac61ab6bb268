"""Webhooks, mail subscriptions and deliveries over HTTP, from making to what was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from fleet.access.roles import Role
from fleet.alerts.outbound.sealing import parsed
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.integration.test_outbound_webhooks import signed_by
from tests.outbound_world import outbound
from tests.receiver import receiving
from tests.support import execute, rows, value

HOOK = {"url": "https://desk.example.dk/fleet", "events": ["request.*"]}
MAIL = {"address": "vagt@example.dk", "events": ["alert.*"]}


@asynccontextmanager
async def allowed(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Let the API take addresses of this machine."""
    app = client._transport.app  # type: ignore[attr-defined]
    before = app.state.settings
    app.state.settings = before.model_copy(update={"outbound_networks": "127.0.0.0/8"})
    yield
    app.state.settings = before


async def test_a_webhook_from_making_to_what_is_sent(database: str) -> None:
    async with api(database) as client, receiving() as there, outbound(database) as here, allowed(client):
        made = await client.post("/api/v1/webhooks", json={**HOOK, "url": there.url, "description": "the desk"})
        assert made.status_code == 201, made.text
        hook = made.json()
        secret = parsed(hook["secret"])
        assert secret is not None
        shown = (await client.get(f"/api/v1/webhooks/{hook['id']}")).json()
        assert "secret" not in shown
        await here.fact("request.opened", number="SR-1")
        view = await here.view_of("webhook", hook["id"])
        await here.send(view)
        assert signed_by(there.taken[0], secret)
        replaced = (await client.post(f"/api/v1/webhooks/{hook['id']}/secret")).json()
        other = parsed(replaced["secret"])
        assert replaced["previous_secret_until"] is not None
        ping = await client.post(f"/api/v1/webhooks/{hook['id']}/ping")
        assert ping.status_code == 202
        await here.send(view)
        assert there.taken[1].json["type"] == "ping"
        assert other is not None
        assert signed_by(there.taken[1], other)
        assert signed_by(there.taken[1], secret)
        delivery = (await client.get(f"/api/v1/deliveries/{ping.json()['id']}")).json()
        assert (delivery["state"], delivery["status"], delivery["type"]) == ("delivered", 200, "ping")
        assert len(await pages(client, "/api/v1/deliveries", outlet_id=hook["id"], limit=1)) == 2
        # No secret and nothing of what was sent is in the audit.
        text = str(rows(database, "SELECT before, after FROM audit"))
        assert hook["secret"] not in text
        assert "sealed" not in text


async def test_a_repeat_makes_one_and_shows_no_secret_again(database: str) -> None:
    async with api(database) as client:
        headers = {"Idempotency-Key": "once"}
        first = (await client.post("/api/v1/webhooks", json=HOOK, headers=headers)).json()
        second = (await client.post("/api/v1/webhooks", json=HOOK, headers=headers)).json()
        assert first["secret"]
        assert second["secret"] is None
        assert first["id"] == second["id"]
        assert value(database, "SELECT count(*) FROM outlets") == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://desk.example.dk/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://user:word@desk.example.dk/"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["everything"]}, "events"),
        ({"events": ["Alert.opened"]}, "events"),
        ({"severities": ["mild"]}, "severities"),
        ({"organisation": "nobody"}, "organisation"),
    ],
)
async def test_what_no_webhook_may_be(database: str, body: dict[str, Any], field: str) -> None:
    async with api(database) as client:
        problem(await client.post("/api/v1/webhooks", json={**HOOK, **body}), 422, field)


async def test_editing_pausing_and_removing(database: str) -> None:
    async with api(database) as client:
        made = (await client.post("/api/v1/webhooks", json={**HOOK, "severities": ["critical"]})).json()
        path = f"/api/v1/webhooks/{made['id']}"
        tag = (await client.get(path)).headers["etag"]
        edited = await client.patch(path, json={"state": "paused", "severities": None}, headers={"If-Match": tag})
        assert edited.json()["state"] == "paused"
        assert edited.json()["severities"] is None
        problem(await client.patch(path, json={"description": "x"}, headers={"If-Match": tag}), 412)
        problem(await client.patch(path, json={"state": "disabled"}), 422, "state")
        problem(await client.patch(path, json={"url": "https://10.0.0.1/"}), 422, "url")
        problem(await client.post(f"{path}/ping"), 409)
        assert (await client.delete(path)).status_code == 204
        problem(await client.get(path), 404)
        problem(await client.delete(path), 404)
        assert value(database, "SELECT count(*) FROM outlet_queues") == 0


async def test_what_was_given_up_is_sent_again(database: str) -> None:
    async with api(database) as client, receiving() as there, outbound(database) as here:
        hook = await here.webhook(there.url)
        for number in range(3):
            await here.fact(number=number)
        await here.relay()
        execute(database, "UPDATE deliveries SET state = 'dead', ended_at = now()")
        dead = await pages(client, "/api/v1/deliveries", state="dead")
        assert len(dead) == 3
        one = await client.post(f"/api/v1/deliveries/{dead[0]['id']}/redeliver")
        assert one.json()["state"] == "pending"
        problem(await client.post(f"/api/v1/deliveries/{dead[0]['id']}/redeliver"), 409)
        again = await client.post(f"/api/v1/webhooks/{hook.outlet_id}/redeliver")
        assert again.json() == {"deliveries": 2}
        await here.send(hook)
        assert [each["data"]["number"] for each in there.bodies()] == [0, 1, 2]


async def test_a_mail_subscription(database: str) -> None:
    async with api(database) as client:
        made = await client.post(
            "/api/v1/mail-subscriptions",
            json={**MAIL, "quiet_from": "22:00", "quiet_until": "07:00", "severities": ["critical"], "language": "en"},
        )
        assert made.status_code == 201, made.text
        found = made.json()
        assert (found["pace"], found["time_zone"], found["urgent_passes"]) == ("now", "Europe/Copenhagen", False)
        path = f"/api/v1/mail-subscriptions/{found['id']}"
        edited = (await client.patch(path, json={"pace": "daily", "quiet_from": None})).json()
        assert (edited["pace"], edited["quiet_from"], edited["quiet_until"]) == ("daily", None, "07:00")
        assert [each["id"] for each in await pages(client, "/api/v1/mail-subscriptions")] == [found["id"]]
        assert (await client.post(f"{path}/ping")).status_code == 202
        problem(await client.get(f"/api/v1/webhooks/{found['id']}"), 404)
        assert (await client.delete(path)).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"address": "nobody"}, "address"),
        ({"address": "a@b.dk\r\nBcc: c@d.dk"}, "address"),
        ({"address": "010190-1234@example.dk"}, "address"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"quiet_from": "25:00"}, "quiet_from"),
        ({"username": "nobody-here"}, "username"),
    ],
)
async def test_what_no_subscription_may_be(database: str, body: dict[str, Any], field: str) -> None:
    async with api(database) as client:
        problem(await client.post("/api/v1/mail-subscriptions", json={**MAIL, **body}), 422, field)


async def test_nobody_makes_one_for_others(database: str) -> None:
    execute(database, "INSERT INTO organisations (slug, name) VALUES ('north', 'North'), ('south', 'South')")
    async with running_app(database) as app:
        north = caller(app, await make_token(database, Role.ADMIN, organisation="north"))
        south = caller(app, await make_token(database, Role.ADMIN, organisation="south"))
        async with north, south:
            problem(await north.post("/api/v1/webhooks", json=HOOK), 403)
            problem(await north.post("/api/v1/webhooks", json={**HOOK, "organisation": "south"}), 422, "organisation")
            made = await north.post("/api/v1/webhooks", json={**HOOK, "organisation": "north"})
            assert made.status_code == 201, made.text
            path = f"/api/v1/webhooks/{made.json()['id']}"
            problem(await south.get(path), 404)
            problem(await south.patch(path, json={"state": "paused"}), 404)
            problem(await south.post(f"{path}/ping"), 404)
            problem(await south.post(f"{path}/secret"), 404)
            problem(await south.delete(path), 404)


async def test_deliveries_go_past_their_time(database: str) -> None:
    from fleet.alerts import retention

    async with outbound(database) as here:
        await here.webhook("https://desk.example.dk")
        for _ in range(3):
            await here.fact()
        await here.relay()
    execute(
        database,
        "UPDATE deliveries SET state = 'delivered', ended_at = now() - interval '31 days' WHERE delivery_id < 3",
    )
    assert retention.due(database)["deliveries"] == 2
    assert retention.apply(database)["deliveries"] == 2
    assert value(database, "SELECT count(*) FROM deliveries") == 1
