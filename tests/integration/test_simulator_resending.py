"""Brokers acknowledge before disk: what one forgets when it is killed, the tablets' re-sending closes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiomqtt
import pytest
from pydantic import SecretStr

from fleet.config import Settings
from fleet.embedded import broker as embedded_broker
from fleet.embedded.broker import BrokerKind, BrokerServer
from fleet.embedded.process import finish, start
from simulator.report import Report, to_table
from simulator.run import Options, endpoint_of, simulate
from simulator.scenario import Scenario, parse
from tests.support import add_kits, eventually, rows, running_ingest, value

STEADY = """
[fleet]
kits = 8
duration_s = 14
ramp_s = 0.5
heartbeat_interval_s = 0.2
expected_interval_s = 60
[connections]
backoff_s = 0.2
max_backoff_s = 1
[expect]
derive = false
settle_s = 30
"""


class KilledBroker:
    """A Mosquitto that can be killed and started again with what it had saved."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "broker.log"
        self.server: BrokerServer = embedded_broker.prepare(folder, BrokerKind.MOSQUITTO)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return start(self.server.command(), log)

    async def restart(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.wait, 10)
        self.process = self._start()
        await self.server.wait_ready(20)


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[KilledBroker]:
    folder = tmp_path / "killable"
    folder.mkdir()
    broker = KilledBroker(folder)
    try:
        yield broker
    finally:
        finish(broker.process, broker.server.command().stop)


async def listening(dsn: str) -> None:
    await eventually(lambda: rows(dsn, "SELECT 1 FROM listening WHERE state = 'listening'"), 20, "ingest listens")


async def more_stored(dsn: str, number: int) -> None:
    await eventually(lambda: value(dsn, "SELECT count(*) FROM grafana_messages") >= number, 20, f"{number} stored")


async def killed_in_between(scenario: Scenario, settings: Settings, killable: KilledBroker) -> Report:
    """Ingest goes, the broker holds what comes, is killed and started again, and ingest returns."""
    here = settings.model_copy(update={"mqtt_url": SecretStr(killable.server.mqtt5_url)})
    dsn = settings.dsn()
    add_kits(dsn, *scenario.kit_ids())
    await killable.server.wait_ready(20)
    running: asyncio.Task[Report] | None = None
    try:
        async with running_ingest(here):
            await eventually(lambda: rows(dsn, "SELECT 1 FROM listening WHERE state = 'listening'"), 20)
            running = asyncio.create_task(simulate(scenario, Options(endpoint=here.endpoint(), dsn=dsn)))
            await eventually(lambda: value(dsn, "SELECT count(*) FROM grafana_messages") >= 60, 20)
        await eventually(queued(killable.server), 20, "the broker holds messages")
        await killable.restart()
        async with running_ingest(here):
            return await asyncio.wait_for(running, 90)
    finally:
        if running is not None:
            running.cancel()
            await asyncio.wait({running})


def queued(server: BrokerServer) -> Callable[[], Awaitable[bool]]:
    """Whether the broker has taken a good number of messages that nobody has fetched."""
    first: list[int] = []

    async def asked() -> bool:
        endpoint = endpoint_of(server.mqtt5_url)
        async with aiomqtt.Client(endpoint.host, endpoint.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.subscribe("fleet/v1/kits/+/heartbeat")
            async for _ in client.messages:
                first.append(1)
                if len(first) >= 80:
                    return True
        return False

    return asked


@pytest.mark.faults
async def test_a_killed_broker_loses_nothing(settings: Settings, killable: KilledBroker) -> None:
    report = await killed_in_between(parse(STEADY), settings, killable)
    assert report.passed, to_table(report)
    assert report.connections.losses >= 8
    assert report.messages.resends > 50


@pytest.mark.faults
async def test_tablets_that_trust_the_first_acknowledgement_lose_and_the_ledger_finds_it(
    settings: Settings, killable: KilledBroker
) -> None:
    careless = STEADY.replace("[connections]", "[connections]\nkeep_after_ack_s = 0").replace(
        "settle_s = 30", "settle_s = 3"
    )
    report = await killed_in_between(parse(careless), settings, killable)
    assert not report.passed
    assert report.database is not None
    assert report.database.missing > 0
