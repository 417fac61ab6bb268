"""`fleet doctor` names what is wrong, on real servers and in each judgement of its own."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import mqtt5
import pytest

from fleet.cli.doctor import data_dir, open_files
from fleet.cli.examine import broker as of_broker
from fleet.cli.examine import database as of_database
from fleet.cli.examine.broker import of_answer
from fleet.cli.examine.database import Server, clock, of_server
from fleet.cli.examine.finding import Level
from fleet.embedded.broker import BrokerUrls
from fleet.embedded.ports import free_port
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.topics import Topics

GOOD = Server(
    version="17.2",
    major=17,
    now=datetime(2026, 1, 1, tzinfo=UTC),
    fsync="on",
    synchronous_commit="on",
    full_page_writes="on",
    max_connections=100,
    in_recovery=False,
    encoding="UTF8",
    timescale_installed=False,
    timescale_loaded=False,
    timescale_used=False,
    may_create=True,
)


@pytest.mark.storage
async def test_a_migrated_database_is_good_and_its_settings_for_tests_are_not(database: str) -> None:
    found = {each.what: each for each in await of_database.examine(database)}
    assert {found[what].level for what in ("database version", "schema", "permissions", "clock")} == {Level.OK}
    assert found["ingest"].level is Level.WARN


async def test_a_database_without_a_schema_is_to_be_migrated(empty_database: str) -> None:
    found = {each.what: each for each in await of_database.examine(empty_database)}
    assert found["schema"].level is Level.FAIL
    assert "fleet migrate" in found["schema"].detail


async def test_a_database_that_is_not_there_is_one_finding() -> None:
    (found,) = await of_database.examine(f"postgresql://fleet:x@127.0.0.1:{free_port()}/fleet")
    assert found.level is Level.FAIL
    assert "FLEET_DATABASE_URL" in found.detail


@pytest.mark.parametrize(
    ("change", "what", "level"),
    [
        ({"major": 15}, "database version", Level.FAIL),
        ({"major": 19}, "database version", Level.WARN),
        ({"fsync": "off"}, "durability", Level.FAIL),
        ({"synchronous_commit": "off"}, "durability", Level.FAIL),
        ({"encoding": "LATIN1"}, "database encoding", Level.FAIL),
        ({"in_recovery": True}, "database role", Level.FAIL),
        ({"max_connections": 20}, "database connections", Level.WARN),
        ({"timescale_installed": True}, "timescaledb", Level.WARN),
        ({"timescale_used": True}, "timescaledb", Level.OK),
    ],
)
def test_what_a_server_says_is_judged(change: dict[str, object], what: str, level: Level) -> None:
    values = {name: getattr(GOOD, name) for name in Server.__slots__} | change
    found = {each.what: each.level for each in of_server(Server(**values))}
    assert found[what] is level
    assert {each.level for each in of_server(GOOD)} == {Level.OK}


@pytest.mark.parametrize(
    ("ahead_s", "level"), [(0.2, Level.OK), (-0.9, Level.OK), (1.5, Level.WARN), (-40.0, Level.FAIL)]
)
def test_clocks_apart_are_told(ahead_s: float, level: Level) -> None:
    assert clock(ahead_s).level is level


@pytest.mark.broker
async def test_a_broker_of_ours_is_good(broker: BrokerUrls) -> None:
    found = await of_broker.examine(Endpoint.parse(broker.mqtt5_url), Topics().everything)
    assert {each.level for each in found} == {Level.OK}, found
    assert {"broker", "broker subscription"} <= {each.what for each in found}


async def test_a_broker_that_is_not_there_is_one_finding() -> None:
    (found,) = await of_broker.examine(Endpoint("127.0.0.1", free_port()), Topics().everything)
    assert found.level is Level.FAIL
    assert "FLEET_MQTT_URL" in found.detail


async def test_what_is_no_broker_is_one_finding(database: str) -> None:
    """PostgreSQL, say."""
    port = Endpoint.parse("mqtt://" + database.rpartition("@")[2].partition("/")[0]).port
    (found,) = await of_broker.examine(Endpoint("127.0.0.1", port), Topics().everything)
    assert found.level is Level.FAIL


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (mqtt5.ConnAckPacket(max_qos=mqtt5.QoS.AT_MOST_ONCE), "broker QoS"),
        (mqtt5.ConnAckPacket(retain_available=False), "broker retain"),
        (mqtt5.ConnAckPacket(wildcard_subscription_available=False), "broker wildcards"),
        (mqtt5.ConnAckPacket(session_expiry_interval=60), "broker sessions"),
        (mqtt5.ConnAckPacket(receive_max=5), "broker window"),
        (mqtt5.ConnAckPacket(max_packet_size=4096), "broker packet size"),
    ],
)
def test_what_a_broker_withholds_is_told(answer: mqtt5.ConnAckPacket, what: str) -> None:
    assert [each.what for each in of_answer(answer)] == [what]


def test_a_data_folder_must_be_ours_to_write_and_its_secrets_ours_to_read(tmp_path: Path) -> None:
    assert [each.level for each in data_dir(tmp_path / "new")] == [Level.OK]
    (tmp_path / "file").write_text("")
    assert [each.level for each in data_dir(tmp_path / "file" / "data")] == [Level.FAIL]
    secret = tmp_path / "admin.token"
    secret.write_text("x")
    secret.chmod(0o644)
    (found,) = data_dir(tmp_path)
    assert "others may read admin.token" in found.detail
    assert stat.S_IMODE(secret.stat().st_mode) == 0o644


def test_few_open_files_are_told() -> None:
    assert open_files(256, 1024).level is Level.WARN
    assert open_files(256, 20_000).level is Level.OK
    assert open_files(-1, -1).level is Level.OK
