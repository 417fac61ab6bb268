"""Commands to tablets: asked for over HTTP, sent by the worker, answered by a simulated tablet on a real broker."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest
from pydantic import SecretStr

from fleet.access.roles import Role
from fleet.alerts.worker import Worker
from fleet.config import Settings
from fleet.protocol.topics import Topics
from simulator.run import Options, simulate
from simulator.scenario import parse
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.people import add_organisations
from tests.support import Process, add_kits, environment, eventually, execute, rows, running_ingest, value

TOPICS = Topics()
ONE_TABLET = """
[fleet]
kits = 1
heartbeat_interval_s = 3600
[expect]
derive = false
"""
LISTENING = "SELECT count(*) FROM listening WHERE state = 'listening'"
KIT = parse(ONE_TABLET).kit_ids()[0]


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncIterator[None]:
    """A worker in this process."""
    stop = asyncio.Event()
    task = asyncio.create_task(Worker(settings, stop).run())
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 15)


@asynccontextmanager
async def running_tablet(settings: Settings) -> AsyncIterator[None]:
    """One simulated tablet, connected and reporting nothing by itself after its start.

    It starts when ingest hears: not every broker says of a message that nobody subscribed.
    """
    await eventually(lambda: value(settings.dsn(), LISTENING), 20, "listening")
    stop = asyncio.Event()
    options = Options(endpoint=settings.endpoint())
    task = asyncio.create_task(simulate(parse(ONE_TABLET), options, stop=stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


@asynccontextmanager
async def listener(settings: Settings) -> AsyncIterator[aiomqtt.Client]:
    """A tablet of the test's own that only listens to its commands."""
    endpoint = settings.endpoint()
    async with aiomqtt.Client(endpoint.host, endpoint.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe(TOPICS.command(KIT, "+"), qos=1)
        yield client


async def ask(client: httpx.AsyncClient, name: str = "ping", **more: Any) -> dict[str, Any]:
    answer = await client.post(f"/api/v1/kits/{KIT}/commands", json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/commands/{body['id']}"
    return body


async def ended(client: httpx.AsyncClient, command: str, *states: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        body: dict[str, Any] = (await client.get(f"/api/v1/commands/{command}")).json()
        return body if body["state"] in states else None

    return await eventually(look, 20, f"{command} to be one of {states}")


def reports(dsn: str) -> dict[str, int]:
    """How many software, pairing and reply messages are stored."""
    found = rows(dsn, "SELECT kind, count(*) FROM grafana_messages WHERE kind <> 'connection' GROUP BY kind")
    return {kind: count for kind, count in found if kind != "heartbeat"}


def state_of(dsn: str, command: str) -> tuple[Any, ...]:
    return rows(dsn, "SELECT state, delivery, attempts FROM commands WHERE command_id = %s", command)[0]


@pytest.mark.broker
@pytest.mark.storage
async def test_a_ping_brings_software_and_pairing(settings: Settings, database: str) -> None:
    add_kits(database, KIT)
    async with running_ingest(settings), running_worker(settings), running_tablet(settings), api(database) as client:
        await eventually(lambda: reports(database) == {"software": 1, "pairing": 1}, 20, "the start's reports")
        asked = await ask(client)
        assert (asked["state"], asked["delivery"], asked["attempts"]) == ("pending", None, 0)
        done = await ended(client, asked["id"], "replied", "failed")
        assert (done["state"], done["reply_status"], done["delivery"]) == ("replied", "ok", "taken")
        assert done["sent_at"] is not None
        assert done["replied_at"] is not None
        assert reports(database) == {"software": 2, "pairing": 2, "reply": 1}
        listed = await pages(client, f"/api/v1/kits/{KIT}/commands", limit=1)
        assert [each["id"] for each in listed] == [asked["id"]]
    told = rows(database, "SELECT type FROM events WHERE type LIKE 'command.%%' ORDER BY event_id")
    assert {type_ for (type_,) in told} == {"command.requested", "command.sent", "command.replied"}
    audited = rows(database, "SELECT action, after ->> 'name' FROM audit WHERE subject = %s", asked["id"])
    assert audited == [("commands.created", "ping")]


@pytest.mark.broker
async def test_what_the_tablet_cannot_do_has_failed(settings: Settings, database: str) -> None:
    add_kits(database, KIT)
    async with running_ingest(settings), running_worker(settings), running_tablet(settings), api(database) as client:
        await eventually(lambda: reports(database) == {"software": 1, "pairing": 1}, 20, "the start's reports")
        asked = {name: await ask(client, name) for name in ("locate", "diagnostics")}
        failed = await ended(client, asked["locate"]["id"], "replied", "failed")
        assert (failed["state"], failed["result"]) == ("failed", {"error": "not supported"})
        told = await ended(client, asked["diagnostics"]["id"], "replied", "failed")
        assert (told["state"], "uptime_s" in told["result"]) == ("replied", True)


@pytest.mark.broker
async def test_a_command_waits_for_its_tablet(settings: Settings, database: str) -> None:
    """Nobody listens yet, not even ingest; it is sent once somebody does, with its expiry."""
    add_kits(database, KIT)
    async with running_worker(settings), api(database) as client:
        asked = await ask(client, arguments={"deep": True}, expires_in_s=60)
        await eventually(lambda: state_of(database, asked["id"])[2] >= 1, 10, "a first attempt")
        if state_of(database, asked["id"])[0] == "sent":
            pytest.skip("this broker does not tell that nobody listens")
        assert state_of(database, asked["id"])[:2] == ("pending", "no_subscriber")
        async with listener(settings) as tablet:
            async with asyncio.timeout(15):
                message = await anext(aiter(tablet.messages))
        assert message.topic.value == TOPICS.command(KIT, asked["id"])
        body = json.loads(bytes(message.payload or b""))
        assert (body["name"], body["arguments"]) == ("ping", {"deep": True})
        assert message.properties is not None
        assert 0 < message.properties.MessageExpiryInterval <= 60
        await eventually(lambda: state_of(database, asked["id"])[:2] == ("sent", "taken"), 10, "it is sent")


async def test_a_command_expires(settings: Settings, database: str) -> None:
    add_kits(database, KIT)
    nowhere = settings.model_copy(update={"mqtt_url": SecretStr("mqtt://127.0.0.1:9")})
    async with running_worker(nowhere), api(database) as client:
        asked = await ask(client)
        later = "UPDATE commands SET requested_at = requested_at - interval '1 hour', expires_at = clock_timestamp()"
        execute(database, later)
        done = await ended(client, asked["id"], "expired")
        assert (done["delivery"], done["attempts"]) == (None, 0)
        assert value(database, "SELECT count(*) FROM events WHERE type = 'command.expired'") == 1


@pytest.mark.broker
async def test_a_tablet_that_comes_back_is_asked_again(settings: Settings, database: str) -> None:
    """Taken by the broker and lost by the tablet: once the kit is heard again, after a while, it comes anew."""
    add_kits(database, KIT)
    async with running_worker(settings), api(database) as client, listener(settings) as tablet:
        asked = await ask(client)
        arrived = aiter(tablet.messages)
        async with asyncio.timeout(15):
            first = await anext(arrived)
            await eventually(lambda: state_of(database, asked["id"])[0] == "sent", 10, "it is sent")
            execute(database, "UPDATE commands SET next_attempt_at = clock_timestamp()")
            execute(database, "UPDATE kit_latest SET last_heard_at = clock_timestamp()")
            again = await anext(arrived)
        assert first.topic.value == again.topic.value == TOPICS.command(KIT, asked["id"])


@pytest.mark.faults
@pytest.mark.broker
async def test_a_killed_worker_loses_no_command(settings: Settings, database: str, tmp_path: Path) -> None:
    """Killed with commands on their way; the next one sends what was not noted, and a tablet knows what it did."""
    add_kits(database, KIT)
    env = environment(database_url=database, mqtt_url=settings.mqtt_url.get_secret_value() if settings.mqtt_url else "")
    async with running_ingest(settings), running_tablet(settings), api(database) as client:
        await eventually(lambda: reports(database) == {"software": 1, "pairing": 1}, 20, "the start's reports")
        asked: list[str] = []
        for round_ in range(3):
            worker = Process(["fleet", "worker"], env, tmp_path / f"worker-{round_}.log")
            try:
                asked += [(await ask(client))["id"] for _ in range(3)]
                await eventually(lambda n=round_: states(database).get("replied", 0) >= 3 * n + 1, 30, "some replied")
            finally:
                worker.kill(signal.SIGKILL)
        async with running_worker(settings):
            await eventually(lambda: states(database) == {"replied": len(asked)}, 40, "all replied")
    assert reports(database)["reply"] == len(asked)


def states(dsn: str) -> dict[str, int]:
    found = rows(dsn, "SELECT state, count(*) FROM commands GROUP BY state")
    return {str(state): int(count) for state, count in found}


async def test_who_may_ask_for_what(database: str) -> None:
    add_kits(database, KIT, "K-B", "K-OLD")
    execute(database, "UPDATE kits SET state = 'scrapped' WHERE kit = 'K-OLD'")
    add_organisations(database, "a", "b")
    for kit, slug in ((KIT, "a"), ("K-B", "b")):
        execute(
            database,
            "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %s)"
            " WHERE kit = %s",
            slug,
            kit,
        )
    secrets = {role: await make_token(database, role, organisation="a") for role in (Role.SUPPORT, Role.SECRETARIAT)}
    admin = await make_token(database, Role.ADMIN)
    async with running_app(database) as app:
        async with caller(app, secrets[Role.SECRETARIAT]) as client:
            problem(await client.post(f"/api/v1/kits/{KIT}/commands", json={"name": "ping"}), 403)
        async with caller(app, admin) as client:
            theirs = (await client.post("/api/v1/kits/K-B/commands", json={"name": "ping"})).json()["id"]
            problem(await client.post("/api/v1/kits/K-OLD/commands", json={"name": "ping"}), 409)
            assert (await client.get(f"/api/v1/commands/{theirs}")).status_code == 200
        async with caller(app, secrets[Role.SUPPORT]) as client:
            problem(await client.post("/api/v1/kits/K-B/commands", json={"name": "ping"}), 404)
            problem(await client.get("/api/v1/kits/K-B/commands"), 404)
            problem(await client.get(f"/api/v1/commands/{theirs}"), 404)
            await refusals(client)
            await once_and_not_too_many(client)


async def refusals(client: httpx.AsyncClient) -> None:
    for body, field in (
        ({"name": "format_disk"}, "name"),
        ({"name": "ping", "expires_in_s": 4}, "expires_in_s"),
        ({"name": "ping", "arguments": {"note": "0101701234"}}, "arguments"),
        ({"name": "ping", "arguments": {"note": "x" * 3000}}, "arguments"),
        ({"name": "ping", "arguments": []}, "arguments"),
        ({}, "name"),
    ):
        problem(await client.post(f"/api/v1/kits/{KIT}/commands", json=body), 422, field)


async def once_and_not_too_many(client: httpx.AsyncClient) -> None:
    path, key = f"/api/v1/kits/{KIT}/commands", {"Idempotency-Key": "one"}
    first, again = [await client.post(path, json={"name": "ping"}, headers=key) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]
    for _ in range(9):
        await ask(client, "reboot")
    full = problem(await client.post(path, json={"name": "ping"}), 409)
    assert "10 open commands" in full["detail"]
    listed = await pages(client, path, limit=3)
    assert len({each["id"] for each in listed}) == 10
    assert [each["requested_at"] for each in listed] == sorted((each["requested_at"] for each in listed), reverse=True)
    assert await pages(client, path, state="replied") == []
