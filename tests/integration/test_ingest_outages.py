"""The broker or the database away for a while: what the clock says, what the connection survives."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import psycopg
import pytest

from fleet import metrics
from fleet.config import Settings
from fleet.embedded import broker as embedded_broker
from fleet.embedded.broker import BrokerServer
from fleet.ingest import connection, listening
from fleet.protocol.messages import Heartbeat, encode
from fleet.protocol.topics import Kind, Topics
from tests.servers import Server
from tests.support import add_kits, eventually, execute, rows, running_ingest, value, writer_pids

pytestmark = pytest.mark.broker
CLOCK = "SELECT clock_s FROM listening"
STATE = "SELECT state FROM listening"
SILENT = "SELECT silent FROM kit_facts WHERE kit = 'K-1'"


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Server[BrokerServer]]:
    """A broker that the test may stop."""
    kind = embedded_broker.BrokerKind(os.environ.get("FLEET_TEST_BROKER", "auto"))
    server = Server(embedded_broker.prepare(tmp_path / "mq", kind), tmp_path / "broker.log")
    server.start()
    yield server
    server.end(signal.SIGKILL)


@pytest.fixture
def settings(database: str, own_broker: Server[BrokerServer], tmp_path: Path) -> Settings:
    return Settings(database_url=database, mqtt_url=own_broker.prepared.mqtt5_url, data_dir=tmp_path / "data")


async def _beat(settings: Settings, seq: int, count: int = 1) -> None:
    endpoint = settings.endpoint()
    async with aiomqtt.Client(endpoint.host, endpoint.port, protocol=aiomqtt.ProtocolVersion.V5) as tablet:
        for number in range(seq, seq + count):
            body = encode(Heartbeat(datetime.now(UTC), "b", number))
            await tablet.publish(Topics().device("K-1", Kind.HEARTBEAT), body, qos=1)


async def test_an_outage_of_the_broker_stops_the_clock_and_grants_a_grace(
    settings: Settings, database: str, own_broker: Server[BrokerServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MAX_GAP_S", 2.0)
    add_kits(database, "K-1")
    execute(database, "UPDATE kit_latest SET watch_allowance_s = 3, watch_interval_s = 4")
    async with running_ingest(settings):
        await eventually(lambda: value(database, STATE) == "listening", 20)
        await _beat(settings, 1)
        await eventually(lambda: value(database, "SELECT heard_clock_s FROM kit_latest") is not None)
        own_broker.end(signal.SIGTERM)
        await eventually(lambda: value(database, STATE) == "down", what="the clock stands")
        stood = value(database, CLOCK)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await eventually(lambda: loop.time() - began_s > 4, what="the allowance is over, by the wall clock")
        assert (value(database, CLOCK), value(database, SILENT)) == (stood, False)
        own_broker.start()
        await eventually(lambda: value(database, CLOCK) > stood, 20, "the clock runs again")
        assert value(database, "SELECT resumed_clock_s FROM listening") == stood
        await eventually(lambda: value(database, CLOCK) > stood + 3.2, 20, "the allowance is over, the grace is not")
        assert value(database, CLOCK) > stood + 4 or value(database, SILENT) is False
        await eventually(lambda: value(database, SILENT), 20, "really silent")
        assert value(database, CLOCK) > stood + 4


async def test_a_broker_that_is_not_there_yet_is_waited_for(
    settings: Settings, database: str, own_broker: Server[BrokerServer], capfd: pytest.CaptureFixture[str]
) -> None:
    own_broker.end(signal.SIGTERM)
    async with running_ingest(settings):
        said = []
        await eventually(lambda: said.append(capfd.readouterr().out) or "".join(said).count("broker away") >= 2, 20)
        own_broker.start()
        await eventually(lambda: value(database, STATE) == "listening", 20)
    assert value(database, "SELECT resumed_clock_s FROM listening") == 0


async def test_the_connection_outlives_a_frozen_database_longer_than_its_keep_alive(
    settings: Settings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 2)
    monkeypatch.setattr(connection, "PING_EVERY_S", 0.5)
    monkeypatch.setattr(connection, "DEAD_AFTER_S", 3.0)
    add_kits(database, "K-1")
    loop = asyncio.get_running_loop()
    async with running_ingest(settings, connection.Window(messages=50)):
        await eventually(lambda: value(database, STATE) == "listening", 20)
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE heartbeats IN ACCESS EXCLUSIVE MODE")
            await _beat(settings, 1, 200)
            began_s = loop.time()
            await eventually(lambda: loop.time() - began_s > 5, what="two and a half keep-alives")
            attempts = _sessions(database)
        await eventually(lambda: value(database, "SELECT count(*) FROM heartbeats") == 200, 20)
        assert _sessions(database) == attempts
    times = rows(database, "SELECT seq, received_at FROM heartbeats ORDER BY received_at, seq")
    assert [seq for seq, _ in times] == list(range(1, 201)), "in order"


def _sessions(database: str) -> float:
    return sum(
        sample.value
        for family in metrics.BROKER_CONNECTS.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    )


async def test_a_frozen_backend_is_waited_for(settings: Settings, database: str) -> None:
    """The process that serves us stands still and its connection stands: nothing is lost, and the clock stands too."""
    add_kits(database, "K-1")
    async with running_ingest(settings):
        await eventually(lambda: value(database, STATE) == "listening", 20)
        (pid,) = writer_pids(database)
        os.kill(pid, signal.SIGSTOP)
        try:
            await _beat(settings, 1, 50)
            stood = value(database, CLOCK)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await eventually(lambda: loop.time() - began_s > 2)
            assert value(database, CLOCK) == stood
        finally:
            os.kill(pid, signal.SIGCONT)
        await eventually(lambda: value(database, "SELECT count(*) FROM heartbeats") == 50, 20)
        await eventually(lambda: value(database, CLOCK) > stood, 20)
