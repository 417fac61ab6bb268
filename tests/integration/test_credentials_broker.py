"""A tablet's own credentials on a real Mosquitto: issued, let in, scrapped, thrown out; the worker killed meanwhile."""

from __future__ import annotations

import asyncio
import csv
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import psycopg
import pytest

from fleet.alerts.worker import Worker
from fleet.config import Settings
from fleet.protocol.topics import Kind, Topics
from fleet.updates.credentials.control import ControlLostError, RefusedError, open_control
from fleet.updates.credentials.dynsec import KitEntry, role_acls, role_name
from fleet.updates.credentials.passwords import hash_password
from tests.api import api
from tests.guarded_broker import KEY, GuardedBroker, Tablet, endpoint, guarded_broker, is_let_in, tablet
from tests.support import Process, add_kits, environment, eventually, execute, process, value

TOPICS = Topics()
SCRAP = {"to": "scrapped", "reason": "screen broken beyond repair"}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedBroker]:
    with guarded_broker(tmp_path / "broker") as broker:
        yield broker


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(Worker(settings, stop).run())
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 15)


def worker_process(broker: GuardedBroker, database: str, log: Path) -> Process:
    """A worker as a process of its own, to be killed."""
    given = {"database_url": database, "mqtt_url": broker.url("server"), "mqtt_admin_url": broker.url("admin")}
    return Process(["fleet", "worker"], environment(secret_key=KEY, **given), log)


async def issue(client: httpx.AsyncClient, database: str, kit: str) -> str:
    """A new password, once the broker has it."""
    answer = await client.post(f"/api/v1/kits/{kit}/credentials")
    assert answer.status_code == 201, answer.text
    assert answer.json()["applied_at"] is None
    await applied(client, database, kit)
    password: str = answer.json()["password"]
    return password


async def applied(client: httpx.AsyncClient, database: str, kit: str) -> dict[str, Any]:
    """The credentials, once the broker has them as the books say."""
    query = "SELECT applied_at IS NOT NULL FROM kit_credentials JOIN kits USING (kit_id) WHERE kit = %s"
    await eventually(lambda: value(database, query, kit), 20, f"the broker to be told of {kit}")
    body: dict[str, Any] = (await client.get(f"/api/v1/kits/{kit}/credentials")).json()
    return body


async def thrown_out(it: Tablet) -> None:
    await asyncio.wait_for(it.gone.wait(), 10)


@pytest.mark.broker
async def test_a_scrapped_kit_is_thrown_out_within_seconds_and_others_stay(
    guarded: GuardedBroker, database: str
) -> None:
    add_kits(database, "K-1", "K-2", state="in_stock")
    async with running_worker(guarded.settings(database)), api(database) as client:
        passwords = {kit: await issue(client, database, kit) for kit in ("K-1", "K-2")}
        async with tablet(guarded, "K-1", passwords["K-1"]) as one, tablet(guarded, "K-2", passwords["K-2"]) as two:
            answer = await client.post("/api/v1/kits/K-1/transitions", json=SCRAP)
            assert answer.status_code == 200, answer.text
            await thrown_out(one)
            assert not await is_let_in(guarded, "K-1", passwords["K-1"])
            await two.client.publish(TOPICS.device("K-2", Kind.HEARTBEAT), b"{}", qos=1)
            assert not two.gone.is_set()
        told = await applied(client, database, "K-1")
        assert (told["state"], told["revoked_because"]) == ("revoked", "kit_gone")
        assert await is_let_in(guarded, "K-2", passwords["K-2"])
        refused = await client.post("/api/v1/kits/K-1/credentials")
        assert refused.status_code == 409
    assert value(database, "SELECT credentials_revoked_at IS NOT NULL FROM kits WHERE kit = 'K-1'")
    assert value(database, "SELECT count(*) FROM events WHERE type = 'credentials.revoked' AND kit = 'K-1'") == 1


@pytest.mark.broker
async def test_a_worker_killed_before_and_amid_it_changes_nothing(
    guarded: GuardedBroker, database: str, tmp_path: Path
) -> None:
    add_kits(database, "K-1", state="in_stock")
    async with api(database) as client:
        first = worker_process(guarded, database, tmp_path / "first.log")
        password = await issue(client, database, "K-1")
        async with tablet(guarded, "K-1", password) as it:
            first.kill()
            assert (await client.post("/api/v1/kits/K-1/transitions", json=SCRAP)).status_code == 200
            assert not it.gone.is_set()
            with psycopg.connect(database) as holding:
                holding.execute("SELECT 1 FROM kit_credentials FOR UPDATE")
                # It tells the broker, and dies before it can note that.
                second = worker_process(guarded, database, tmp_path / "second.log")
                await thrown_out(it)
                second.kill()
            assert value(database, "SELECT applied_at IS NULL FROM kit_credentials")
        third = worker_process(guarded, database, tmp_path / "third.log")
        try:
            await applied(client, database, "K-1")
            assert not await is_let_in(guarded, "K-1", password)
        finally:
            third.kill()


async def test_a_scrapped_tablet_takes_its_password_along(guarded: GuardedBroker, database: str) -> None:
    add_kits(database, "K-1", state="in_stock")
    execute(
        database,
        "WITH m AS (INSERT INTO models (kind, manufacturer, name) VALUES ('tablet', 'Maker', 'T') RETURNING model_id)"
        " INSERT INTO components (model_id, serial, state, kit_id)"
        " SELECT m.model_id, 'S-1', 'in_kit', kit_id FROM m, kits",
    )
    async with running_worker(guarded.settings(database)), api(database) as client:
        async with tablet(guarded, "K-1", await issue(client, database, "K-1")) as it:
            (piece,) = (await client.get("/api/v1/components?serial=S-1")).json()["items"]
            step = {"to": "scrapped", "reason": "run over by a van"}
            answer = await client.post(f"/api/v1/components/{piece['id']}/transitions", json=step)
            assert answer.status_code == 200, answer.text
            await thrown_out(it)
        assert (await applied(client, database, "K-1"))["revoked_because"] == "tablet_gone"
        assert await is_let_in(guarded, "K-1", await issue(client, database, "K-1"))


async def test_a_new_password_throws_out_whoever_has_the_old_one(guarded: GuardedBroker, database: str) -> None:
    add_kits(database, "K-1")
    async with running_worker(guarded.settings(database)), api(database) as client:
        old = await issue(client, database, "K-1")
        async with tablet(guarded, "K-1", old) as it:
            new = await issue(client, database, "K-1")
            await thrown_out(it)
        assert not await is_let_in(guarded, "K-1", old)
        assert await is_let_in(guarded, "K-1", new)
        assert (await client.delete("/api/v1/kits/K-1/credentials")).status_code == 204
        assert (await client.delete("/api/v1/kits/K-1/credentials")).status_code == 204
        assert (await applied(client, database, "K-1"))["revoked_because"] == "withdrawn"
        assert not await is_let_in(guarded, "K-1", new)


async def test_what_was_wanted_while_the_broker_was_away_reaches_it(guarded: GuardedBroker, database: str) -> None:
    add_kits(database, "K-1", "K-2", state="in_stock")
    async with running_worker(guarded.settings(database)), api(database) as client:
        password = await issue(client, database, "K-1")
        guarded.end()
        assert (await client.post("/api/v1/kits/K-1/transitions", json=SCRAP)).status_code == 200
        other = (await client.post("/api/v1/kits/K-2/credentials")).json()["password"]
        guarded.start()
        await applied(client, database, "K-1")
        await applied(client, database, "K-2")
        assert not await is_let_in(guarded, "K-1", password)
        assert await is_let_in(guarded, "K-2", other)


@pytest.mark.broker
async def test_a_broker_restored_from_a_backup_is_put_right(
    guarded: GuardedBroker, database: str, tmp_path: Path
) -> None:
    add_kits(database, "K-1", "K-2", "K-3", "K-4", state="in_stock")
    async with running_worker(guarded.settings(database)), api(database) as client:
        old = {kit: await issue(client, database, kit) for kit in ("K-1", "K-2", "K-3")}
        shutil.copy(guarded.file, tmp_path / "backup.json")
        assert (await client.post("/api/v1/kits/K-1/transitions", json=SCRAP)).status_code == 200
        await applied(client, database, "K-1")
        new = {kit: await issue(client, database, kit) for kit in ("K-2", "K-4")}
        guarded.end()
        shutil.copy(tmp_path / "backup.json", guarded.file)
        guarded.start()
        await eventually(lambda: set(lost(database)) == {"K-2", "K-4"}, 30, "what the backup does not know")
        await applied(client, database, "K-1")
        for kit, password in old.items():
            assert await is_let_in(guarded, kit, password) == (kit == "K-3"), kit
        assert not await is_let_in(guarded, "K-2", new["K-2"])
        assert await is_let_in(guarded, "K-2", await issue(client, database, "K-2"))


def lost(database: str) -> list[str]:
    """Kits of which only a new password or the broker's file can help."""
    query = (
        "SELECT k.kit FROM kit_credentials JOIN kits k USING (kit_id)"
        " WHERE applied_at IS NULL AND next_attempt_at = 'infinity'"
    )
    with psycopg.connect(database) as connection:
        return [kit for (kit,) in connection.execute(query.encode()).fetchall()]


async def test_whom_the_books_do_not_know_is_shut_out_and_rights_are_put_right(tmp_path: Path, database: str) -> None:
    add_kits(database, "K-1")
    with guarded_broker(tmp_path / "broker", [KitEntry("K-9", 1, hash_password("nine"))]) as broker:
        assert await is_let_in(broker, "K-9", "nine")
        async with open_control(endpoint(broker, "admin")) as control:
            await control.order(
                (
                    {"command": "setDefaultACLAccess", "acls": [{"acltype": "subscribe", "allow": True}]},
                    {"command": "addRoleACL", "rolename": role_name("K-9"), "acltype": "subscribePattern"}
                    | {"topic": "#", "priority": 0, "allow": True},
                )
            )
            async with running_worker(broker.settings(database)):
                await eventually(lambda: broker.clients()["K-9"].get("disabled", False), 20)

                async def right() -> bool:
                    _, role = await control.client_and_role("K-9", role_name("K-9"))
                    allowed = {each["topic"] for each in (role or {})["acls"] if each["allow"]}
                    return allowed == {each["topic"] for each in role_acls(TOPICS, "K-9") if each["allow"]}

                assert await eventually(right, 20)
                assert (await control.default_access())["subscribe"] is False
        assert not await is_let_in(broker, "K-9", "nine")


@pytest.mark.broker
async def test_a_kit_enters_as_itself_and_touches_its_own_topics_only(tmp_path: Path) -> None:
    kits = [KitEntry(kit, 1, hash_password(kit.lower())) for kit in ("K-1", "K-2")]
    with guarded_broker(tmp_path / "broker", kits) as broker:
        assert not await is_let_in(broker, "K-1", "k-2")
        assert not await is_let_in(broker, "K-1", "k-1", client_id="K-2")
        async with tablet(broker, "K-1", "k-1") as it:
            await it.client.subscribe(TOPICS.desired("K-1"), qos=1)
            for kind in Kind:
                await it.client.publish(TOPICS.device("K-1", kind, "c-1"), b"{}", qos=1)
        for topic in (TOPICS.device("K-2", Kind.HEARTBEAT), TOPICS.command("K-1", "c"), TOPICS.desired("K-1"), "other"):
            assert await denied(broker, topic), topic
        for pattern in (
            TOPICS.everything,
            "#",
            TOPICS.command("K-2", "+"),
            f"$share/fleet/{TOPICS.everything}",
            f"$share/fleet/{TOPICS.command('K-1', '+')}",
            "$SYS/#",
            "$CONTROL/#",
        ):
            async with tablet(broker, "K-1", "k-1") as it:
                (code,) = await it.client.subscribe(pattern, qos=1)
                assert not granted(code), pattern
        # Our own account hears every kit and sends to every one.
        async with aiomqtt.Client(
            "127.0.0.1", broker.port, username="server", password="revres", protocol=aiomqtt.ProtocolVersion.V5
        ) as server:
            (code,) = await server.subscribe(TOPICS.everything, qos=1)
            assert granted(code)
            async with tablet(broker, "K-2", "k-2") as it:
                await server.publish(TOPICS.command("K-2", "c-7"), b"{}", qos=1)
                await eventually(lambda: it.heard == [TOPICS.command("K-2", "c-7")])


def granted(code: Any) -> bool:
    """Whether a subscription was."""
    return not code.is_failure


async def denied(broker: GuardedBroker, topic: str) -> bool:
    """Whether a message of K-1 is refused, by its answer or by the end of the connection."""
    async with tablet(broker, "K-1", "k-1") as it:
        refused = it.client._client.publish(topic, b"{}", qos=1)
        await eventually(lambda: it.gone.is_set() or refused.is_published(), 10)
        async with aiomqtt.Client(
            "127.0.0.1", broker.port, username="server", password="revres", protocol=aiomqtt.ProtocolVersion.V5
        ) as server:
            await server.subscribe(topic, qos=1)
            return it.gone.is_set() or not await delivered(server, it, topic)


async def delivered(server: aiomqtt.Client, it: Tablet, topic: str) -> bool:
    """Whether a second message on the topic comes through, seen by one of ours that comes after it."""
    await it.client.publish(topic, b"kit", qos=1)
    await server.publish(topic if topic.startswith(TOPICS.root) else f"{TOPICS.root}/end", b"end", qos=1)
    async for message in server.messages:
        return message.payload == b"kit"
    return False


async def test_many_at_once_come_with_the_brokers_file(guarded: GuardedBroker, database: str, tmp_path: Path) -> None:
    add_kits(database, *(f"K-{number}" for number in range(1, 8)))
    urls = {"database_url": database, "mqtt_url": guarded.url("server"), "mqtt_admin_url": guarded.url("admin")}
    csv_file = tmp_path / "passwords.csv"
    async with running_worker(guarded.settings(database)), api(database) as client:
        by_hand = await issue(client, database, "K-7")
        for arguments in (["credentials", str(csv_file), "--missing", "--by-file"], ["config", str(guarded.file)]):
            with process("fleet", "broker", *arguments, log=tmp_path / "cli.log", **urls) as running:
                assert await asyncio.to_thread(running.popen.wait, 60) == 0, running.output()
            if arguments[0] == "credentials":
                guarded.end()
        with csv_file.open(newline="") as lines:
            passwords = {row["kit"]: row["password"] for row in csv.DictReader(lines)} | {"K-7": by_hand}
        guarded.start()
        await eventually(lambda: value(database, "SELECT bool_and(applied_at IS NOT NULL) FROM kit_credentials"), 30)
        for kit, password in passwords.items():
            assert await is_let_in(guarded, kit, password), kit
        assert not await is_let_in(guarded, "K-1", passwords["K-2"])
        async with tablet(guarded, "K-1", passwords["K-1"]) as it:
            assert (await client.delete("/api/v1/kits/K-1/credentials")).status_code == 204
            await thrown_out(it)
    assert len(passwords) == 7


async def test_an_account_of_our_own_is_no_kits(guarded: GuardedBroker, database: str) -> None:
    add_kits(database, "server", "admin")
    async with running_worker(guarded.settings(database)), api(database) as client:
        for kit in ("server", "admin"):
            await client.post(f"/api/v1/kits/{kit}/credentials")
        refused = "SELECT count(*) FROM kit_credentials WHERE problem LIKE '%%server''s own%%'"
        await eventually(lambda: value(database, refused) == 2, 20)
    assert await is_let_in(guarded, "server", "revres")


async def test_accounts_that_may_not_administer_and_brokers_without_the_plugin_are_told(
    guarded: GuardedBroker,
) -> None:
    with pytest.raises((ControlLostError, RefusedError)):
        async with open_control(endpoint(guarded, "server")) as control:
            await control.default_access()


async def test_another_key_is_told_and_mended_by_the_right_one(
    guarded: GuardedBroker, database: str, tmp_path: Path
) -> None:
    add_kits(database, "K-1")
    async with api(database) as client:
        wrong = guarded.settings(database, secret_key="another key of some forty characters, you see")
        async with running_worker(wrong):
            password = (await client.post("/api/v1/kits/K-1/credentials")).json()["password"]
            await eventually(lambda: "FLEET_SECRET_KEY" in (value(database, PROBLEM) or ""), 20)
        execute(database, "UPDATE kit_credentials SET next_attempt_at = now()")
        async with running_worker(guarded.settings(database)):
            await applied(client, database, "K-1")
            assert await is_let_in(guarded, "K-1", password)
    assert value(database, "SELECT sealed IS NULL AND problem IS NULL FROM kit_credentials")


PROBLEM = "SELECT problem FROM kit_credentials"


async def test_ingest_and_the_sender_work_as_the_servers_account(
    guarded: GuardedBroker, database: str, tmp_path: Path
) -> None:
    add_kits(database, "K-1")
    given = {"database_url": database, "mqtt_url": guarded.url("server")}
    with process("fleet", "ingest", log=tmp_path / "ingest.log", **given):
        async with running_worker(guarded.settings(database)), api(database) as client:
            await eventually(lambda: value(database, "SELECT count(*) FROM listening WHERE state = 'listening'"), 20)
            async with tablet(guarded, "K-1", await issue(client, database, "K-1")) as it:
                body = b'{"ts": "2026-11-25T12:00:00Z", "boot": "b", "seq": 1}'
                await it.client.publish(TOPICS.device("K-1", Kind.HEARTBEAT), body, qos=1)
                await eventually(lambda: value(database, "SELECT count(*) FROM heartbeats") == 1)
                assert (await client.post("/api/v1/kits/K-1/commands", json={"name": "ping"})).status_code == 201
                await eventually(lambda: it.heard, 10, "the command")
