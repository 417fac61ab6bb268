"""The ingest process against a real broker: acknowledgement, window, standby, drain, refusals, its clock."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiomqtt
import psycopg
import pytest

from fleet.config import Settings
from fleet.ingest.connection import Window
from fleet.protocol.messages import Connection, ConnectionState, Heartbeat, encode
from fleet.protocol.topics import Kind, Topics
from tests.support import (
    Process,
    add_kits,
    environment,
    eventually,
    execute,
    process,
    rows,
    running_ingest,
    value,
    waits_for_lock,
    writer_pids,
)

pytestmark = pytest.mark.broker
TOPICS = Topics()
LISTENING = "SELECT count(*) FROM listening WHERE state = 'listening'"
BEATS = "SELECT count(*) FROM heartbeats"


@asynccontextmanager
async def client(settings: Settings, **options: Any) -> AsyncIterator[aiomqtt.Client]:
    """A tablet's connection."""
    endpoint = settings.endpoint()
    options.setdefault("username", endpoint.username)
    options.setdefault("password", endpoint.password)
    async with aiomqtt.Client(
        endpoint.host, endpoint.port, protocol=aiomqtt.ProtocolVersion.V5, max_inflight_messages=500, **options
    ) as connected:
        yield connected


async def send(tablet: aiomqtt.Client, kit: str, first: int, last: int, *, pad: int = 0) -> None:
    """Heartbeats `first` to `last`, each acknowledged by the broker."""
    for seq in range(first, last + 1):
        body = encode(Heartbeat(datetime.now(UTC), "b", seq)).ljust(pad)
        await tablet.publish(TOPICS.device(kit, Kind.HEARTBEAT), body, qos=1)


async def listening(database: str) -> None:
    """Wait until ingest is past its backlog."""
    await eventually(lambda: value(database, LISTENING), 20, "listening")


def urls_of(settings: Settings) -> dict[str, str]:
    """The servers, as settings of a process."""
    assert settings.mqtt_url is not None
    return {"database_url": settings.dsn(), "mqtt_url": settings.mqtt_url.get_secret_value()}


def seqs(database: str) -> list[int]:
    return [seq for (seq,) in rows(database, "SELECT seq FROM heartbeats ORDER BY seq")]


async def test_every_kind_of_message_on_its_way(settings: Settings, database: str) -> None:
    add_kits(database, "K-1")
    now = datetime.now(UTC).isoformat()
    head = f'{{"ts":"{now}","boot":"b","seq":1'
    bodies = {
        "heartbeat": head + "}",
        "software": head + ',"components":{"os":"14"}}',
        "pairing": head + ',"peripherals":[{"serial":"S","kind":"scale","paired":true}]}',
        "update": head + ',"campaign":"c","state":"offered"}',
        "connection": f'{{"ts":"{now}","state":"online"}}',
        "replies/c-1": f'{{"ts":"{now}","status":"ok","result":{{}}}}',
        "desired": '{"version":1}',
        "commands/c-2": '{"name":"ping"}',
        "unheard-of": "{}",
    }
    async with running_ingest(settings):
        await listening(database)
        async with client(settings) as tablet:
            for topic, body in bodies.items():
                await tablet.publish(f"fleet/v1/kits/K-1/{topic}", body, qos=1)
            await tablet.publish("fleet/v1/kits/K-9/heartbeat", bodies["heartbeat"], qos=1)
            await tablet.publish("fleet/v1/kits/K-1/heartbeat", head.replace('"seq":1', '"seq":2') + "}", qos=0)
        kinds = "SELECT kind, count(*) FROM grafana_messages GROUP BY 1 ORDER BY 1"
        expected = [("connection", 1), ("heartbeat", 2), ("pairing", 1), ("reply", 1), ("software", 1), ("update", 1)]
        await eventually(lambda: rows(database, kinds) == expected, what="all six kinds, none of ours")
        reasons = "SELECT reason FROM grafana_quarantine ORDER BY 1"
        await eventually(lambda: rows(database, reasons) == [("bad_topic",), ("unknown_kit",)])


async def test_a_retained_online_of_long_ago_is_not_heard(settings: Settings, database: str) -> None:
    add_kits(database, "K-1")
    async with client(settings) as tablet:
        body = encode(Connection(ConnectionState.ONLINE, datetime.now(UTC)))
        await tablet.publish(TOPICS.device("K-1", Kind.CONNECTION), body, qos=1, retain=True)
    async with running_ingest(settings):
        await eventually(lambda: value(database, "SELECT online FROM kit_latest"), what="the retained message")
        await listening(database)
    assert rows(database, "SELECT last_heard_at, heard_clock_s FROM kit_latest") == [(None, None)]


async def test_a_will_is_presence_and_not_heard(settings: Settings, database: str) -> None:
    add_kits(database, "K-1")
    online = datetime.now(UTC)
    topic = TOPICS.device("K-1", Kind.CONNECTION)
    will = aiomqtt.Will(topic, encode(Connection(ConnectionState.OFFLINE, online)), qos=1, retain=True)
    async with running_ingest(settings):
        await listening(database)
        async with client(settings, will=will) as tablet:
            await tablet.publish(topic, encode(Connection(ConnectionState.ONLINE, online)), qos=1, retain=True)
            heard = "SELECT last_heard_at FROM kit_latest WHERE online"
            (before,) = (await eventually(lambda: rows(database, heard)))[0]
            tablet._client._sock_close()  # the network is gone
        await eventually(lambda: value(database, "SELECT NOT online FROM kit_latest"), what="offline by the will")
    assert value(database, "SELECT last_heard_at FROM kit_latest") == before


async def test_nothing_is_acknowledged_before_it_is_committed(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    """While the batch cannot be committed the broker keeps it: killed and started again, ingest is given it again."""
    add_kits(database, "K-1")
    urls = urls_of(settings)
    first = Process(["fleet", "ingest"], environment(**urls), tmp_path / "first.log")
    try:
        await listening(database)
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE kit_latest IN SHARE MODE")
            async with client(settings) as tablet:
                await send(tablet, "K-1", 1, 50)
            await eventually(lambda: waits_for_lock(database, "UPDATE kit_latest"), what="the batch waits")
            first.kill()
    finally:
        first.kill()
    assert seqs(database) == []
    with process("fleet", "ingest", log=tmp_path / "second.log", **urls):
        await eventually(lambda: seqs(database) == list(range(1, 51)), 20, "redelivered")


async def test_a_standby_takes_over_within_seconds_and_never_writes_beside(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    add_kits(database, "K-1")
    urls = urls_of(settings)
    leader = Process(["fleet", "ingest"], environment(**urls), tmp_path / "leader.log")
    try:
        await listening(database)
        with process("fleet", "ingest", log=tmp_path / "standby.log", **urls) as standby:
            await eventually(lambda: "ingest up" in standby.output(), 20)
            async with client(settings) as tablet:
                await send(tablet, "K-1", 1, 20)
                await eventually(lambda: len(seqs(database)) == 20)
                assert "leading" not in standby.output()
                assert len(writer_pids(database)) == 1
                leader.kill()
                await send(tablet, "K-1", 21, 40)
            await eventually(lambda: seqs(database) == list(range(1, 41)), 5, "the standby has taken over")
            assert len(writer_pids(database)) == 1
    finally:
        leader.kill()


async def test_while_the_database_is_frozen_memory_is_flat_and_nothing_is_lost(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    """Reading pauses at the window; the connection outlives it, and everything is stored in order afterwards."""
    add_kits(database, "K-1", *(f"K-{n}" for n in range(2, 6)))
    urls = urls_of(settings)
    with process("fleet", "ingest", log=tmp_path / "ingest.log", **urls) as ingest:
        await listening(database)
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE heartbeats IN ACCESS EXCLUSIVE MODE")
            async with client(settings) as tablet:
                await asyncio.gather(*(send(tablet, f"K-{n}", 1, 2400, pad=4000) for n in range(1, 6)))
            before = _rss_bytes(ingest.popen.pid)
            async with client(settings) as tablet:
                await asyncio.gather(*(send(tablet, f"K-{n}", 2401, 4800, pad=4000) for n in range(1, 6)))
            after = _rss_bytes(ingest.popen.pid)
        await eventually(lambda: value(database, BEATS) == 5 * 4800, 60, "all stored")
        assert value(database, "SELECT count(DISTINCT (kit_id, seq)) FROM heartbeats") == 5 * 4800
        assert rows(database, "SELECT DISTINCT seq FROM kit_latest") == [(4800,)]
        assert "broker away" not in ingest.output()
    assert after < 250e6
    assert after - before < 60e6


def _rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_small_window_pauses_reading_and_lets_everything_through(settings: Settings, database: str) -> None:
    add_kits(database, "K-1")
    async with running_ingest(settings, Window(messages=50, payload_bytes=100_000)):
        await listening(database)
        async with client(settings) as tablet:
            await asyncio.gather(*(send(tablet, "K-1", first, first + 99, pad=500) for first in range(1, 1000, 100)))
        await eventually(lambda: seqs(database) == list(range(1, 1001)), 30, "all stored")


async def test_sigterm_under_load_drains_and_loses_nothing(settings: Settings, database: str, tmp_path: Path) -> None:
    add_kits(database, "K-1")
    urls = urls_of(settings)
    first = Process(["fleet", "ingest"], environment(**urls), tmp_path / "first.log")
    sent = 0
    enough = asyncio.Event()

    async def keep_sending(tablet: aiomqtt.Client) -> None:
        nonlocal sent
        while not enough.is_set():
            await send(tablet, "K-1", sent + 1, sent + 10)
            sent += 10

    try:
        await listening(database)
        async with client(settings) as tablet:
            sending = asyncio.create_task(keep_sending(tablet))
            await eventually(lambda: value(database, BEATS) > 200, 20)
            first.popen.send_signal(signal.SIGTERM)
            await eventually(lambda: first.popen.poll() is not None, 5, "it ends, though messages keep coming")
            before = sent
            with process("fleet", "ingest", log=tmp_path / "second.log", **urls):
                await eventually(lambda: sent > before + 100, 20)
                enough.set()
                await sending
                await eventually(lambda: seqs(database) == list(range(1, sent + 1)), 30, "all stored")
    finally:
        first.kill()
    assert first.popen.returncode == 0
    assert "unacknowledged=0" in first.output()
    assert "Traceback" not in first.output()


async def test_sigterm_ends_it_also_while_the_database_is_blocked(
    settings: Settings, database: str, tmp_path: Path
) -> None:
    add_kits(database, "K-1")
    urls = urls_of(settings)
    ingest = Process(["fleet", "ingest"], environment(**urls), tmp_path / "ingest.log")
    try:
        await listening(database)
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE heartbeats IN ACCESS EXCLUSIVE MODE")
            async with client(settings) as tablet:
                await send(tablet, "K-1", 1, 10)
            ingest.popen.send_signal(signal.SIGTERM)
            await eventually(lambda: ingest.popen.poll() is not None, 15, "it ends at its deadline")
            assert ingest.popen.returncode == 0
    finally:
        ingest.kill()
    with process("fleet", "ingest", log=tmp_path / "second.log", **urls):
        await eventually(lambda: seqs(database) == list(range(1, 11)), 20, "redelivered")


async def test_the_clock_stands_while_batches_cannot_be_committed(settings: Settings, database: str) -> None:
    add_kits(database, "K-1")
    reading = "SELECT clock_s FROM listening"
    async with running_ingest(settings):
        await eventually(lambda: value(database, reading) > 1, 20, "the clock runs")
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE listening IN EXCLUSIVE MODE")
            stood = value(database, reading)
            await eventually(lambda: waits_for_lock(database, "UPDATE listening"), what="a marker waits for its commit")
            started = asyncio.get_running_loop().time()
            await eventually(lambda: asyncio.get_running_loop().time() - started > 3)
            assert value(database, reading) == stood
        await eventually(lambda: value(database, reading) > stood, what="it runs again")


async def test_after_a_stop_the_next_process_goes_on_with_the_clock(settings: Settings, database: str) -> None:
    reading = "SELECT clock_s FROM listening"
    async with running_ingest(settings):
        await eventually(lambda: value(database, reading) > 1, 20)
    stood = value(database, reading)
    assert value(database, "SELECT state FROM listening") == "down"
    execute(database, "UPDATE listening SET updated_at = updated_at - interval '1 hour'")
    async with running_ingest(settings):
        await eventually(lambda: value(database, reading) > stood, 20)
        assert stood - 0.001 <= value(database, "SELECT resumed_clock_s FROM listening") <= stood + 0.001
