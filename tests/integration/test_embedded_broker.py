"""Brokers of our own: both kinds speak both versions, Mosquitto loses nothing over a restart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleet.embedded import broker
from fleet.embedded.broker import BrokerKind
from fleet.embedded.process import finish, is_alive, start, wait_for
from tests.support import environment

V311 = aiomqtt.ProtocolVersion.V311
V5 = aiomqtt.ProtocolVersion.V5
KINDS = [BrokerKind.MOSQUITTO, BrokerKind.RUMQTTD]
TOPIC = "fleet/v1/kits/K-1/heartbeat"


@asynccontextmanager
async def client(url: str, version: aiomqtt.ProtocolVersion) -> AsyncIterator[aiomqtt.Client]:
    parts = urlsplit(url)
    async with aiomqtt.Client(parts.hostname or "", parts.port or 0, protocol=version, timeout=10) as connected:
        yield connected


@asynccontextmanager
async def session(url: str) -> AsyncIterator[aiomqtt.Client]:
    """A client whose session waits for it for an hour."""
    parts = urlsplit(url)
    kept = Properties(PacketTypes.CONNECT)
    kept.SessionExpiryInterval = 3600
    async with aiomqtt.Client(
        parts.hostname or "",
        parts.port or 0,
        protocol=V5,
        identifier="keeper",
        clean_start=False,
        properties=kept,
        max_queued_incoming_messages=None,
    ) as connected:
        yield connected


async def payloads(subscriber: aiomqtt.Client, count: int) -> list[bytes]:
    found: list[bytes] = []
    async for message in subscriber.messages:
        assert isinstance(message.payload, bytes)
        found.append(message.payload)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("sends", "hears"), [(V311, V5), (V5, V311), (V5, V5)])
async def test_both_versions_hear_each_other(
    tmp_path: Path, kind: BrokerKind, sends: aiomqtt.ProtocolVersion, hears: aiomqtt.ProtocolVersion
) -> None:
    with broker.start_temporary(tmp_path, kind) as urls:
        of = {V311: urls.mqtt_url, V5: urls.mqtt5_url}
        async with client(of[hears], hears) as subscriber, client(of[sends], sends) as publisher:
            await subscriber.subscribe("fleet/v1/kits/+/heartbeat", qos=1)
            await publisher.publish(TOPIC, b"one", qos=1)
            assert await payloads(subscriber, 1) == [b"one"]


@pytest.mark.parametrize("kind", KINDS)
def test_addresses_are_the_same_in_the_next_run(tmp_path: Path, kind: BrokerKind) -> None:
    with broker.start_temporary(tmp_path, kind) as first:
        pass
    with broker.start_temporary(tmp_path, kind) as second:
        assert (second.mqtt_url, second.mqtt5_url) == (first.mqtt_url, first.mqtt5_url)
        assert second.pid != first.pid


async def test_mosquitto_keeps_sessions_and_a_long_queue_over_a_restart(tmp_path: Path) -> None:
    count = 3000
    with broker.start_temporary(tmp_path, BrokerKind.MOSQUITTO) as urls:
        async with session(urls.mqtt5_url) as subscriber:
            await subscriber.subscribe("fleet/v1/kits/+/heartbeat", qos=1)
        async with client(urls.mqtt5_url, V5) as publisher:
            for number in range(count):
                await publisher.publish(TOPIC, str(number).encode(), qos=1)
    with broker.start_temporary(tmp_path, BrokerKind.MOSQUITTO) as urls:
        async with session(urls.mqtt5_url) as subscriber:
            found = await payloads(subscriber, count)
    assert [int(payload) for payload in found] == list(range(count))


async def test_mosquitto_listens_on_loopback_only(tmp_path: Path) -> None:
    with broker.start_temporary(tmp_path, BrokerKind.MOSQUITTO):
        config = (tmp_path / "mosquitto" / "mosquitto.conf").read_text()
    listeners = [line for line in config.splitlines() if line.startswith("listener ")]
    assert [line.split()[2] for line in listeners] == ["127.0.0.1"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_broker_ends_with_its_parent(tmp_path: Path, kind: BrokerKind) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path), kind], stdout=subprocess.PIPE, env=environment(), text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    assert wait_for(lambda: not is_alive(pid), 10)


_PARENT = """
import signal
import sys
from pathlib import Path
from fleet.embedded import broker
with broker.start_temporary(Path(sys.argv[1]), sys.argv[2]) as urls:
    print(urls.pid, flush=True)
    signal.pause()
"""


def test_a_killed_broker_can_be_started_again_at_once(tmp_path: Path) -> None:
    server = broker.prepare(tmp_path, BrokerKind.MOSQUITTO)
    for _ in range(2):
        process = start(server.command())
        assert wait_for(server.is_ready, 10)
        process.kill()
        process.wait(10)
    process = start(server.command())
    try:
        assert wait_for(server.is_ready, 10)
    finally:
        finish(process, server.command().stop)
