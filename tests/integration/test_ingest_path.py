"""A message's way from the broker into the database."""

from __future__ import annotations

from datetime import UTC, datetime

import aiomqtt
import pytest

from fleet.config import Settings
from fleet.protocol.messages import Heartbeat, encode
from fleet.protocol.topics import Kind, Topics
from tests.support import add_kits, eventually, rows, running_ingest

TOPICS = Topics()


@pytest.mark.broker
@pytest.mark.storage
async def test_a_heartbeat_becomes_history_and_latest_state(settings: Settings, database: str) -> None:
    add_kits(database, "K-1")
    ts = datetime.now(UTC)
    endpoint = settings.endpoint()
    async with running_ingest(settings):
        await eventually(lambda: rows(database, "SELECT 1 FROM listening WHERE state = 'listening'"))
        async with aiomqtt.Client(endpoint.host, endpoint.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.publish(
                TOPICS.device("K-1", Kind.HEARTBEAT), encode(Heartbeat(ts, "boot-1", 1, battery=81)), qos=1
            )
        await eventually(
            lambda: rows(database, "SELECT 1 FROM grafana_heartbeats WHERE kit = 'K-1' AND seq = 1 AND ts = %s", ts)
        )
    latest = rows(database, "SELECT battery, health FROM grafana_kits WHERE kit = 'K-1'")
    assert latest == [(81.0, "ok")]
