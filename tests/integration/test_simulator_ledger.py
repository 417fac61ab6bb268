"""The simulator against a real broker, a real ingest and a real database: the ledger balances."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from fleet.config import Settings
from fleet.embedded.broker import BrokerKind, BrokerUrls, start_temporary
from simulator.errors import UnavailableError
from simulator.malformed import REASONS
from simulator.probe import probe
from simulator.report import Report, to_table
from simulator.run import Options, check_file, endpoint_of, simulate
from simulator.scenario import Scenario, parse
from simulator.store import queries
from tests.support import add_kits, eventually, execute, rows, running_ingest

EVERYTHING = """
[fleet]
kits = 12
duration_s = 9
ramp_s = 1
heartbeat_interval_s = 0.5
expected_interval_s = 60
[rates]
duplicate_share = 0.05
late_share = 0.05
late_s = 2
[connections]
backoff_s = 0.3
[[faults]]
kind = "restart"
at_s = 3
count = 2
[[faults]]
kind = "late"
at_s = 2
until_s = 5
count = 1
[[faults]]
kind = "out_of_order"
at_s = 2
until_s = 6
count = 1
[[faults]]
kind = "network_loss"
at_s = 2
until_s = 5
count = 1
[[faults]]
kind = "reconnect_storm"
at_s = 3
until_s = 6
period_s = 0.7
count = 1
[[faults]]
kind = "malformed"
at_s = 1
period_s = 0.2
count = 2
[[faults]]
kind = "clock_skew"
at_s = 2
until_s = 5
offset_s = 600
count = 1
[[faults]]
kind = "clock_skew"
at_s = 2
until_s = 5
offset_s = -5_000_000
count = 1
[[faults]]
kind = "update"
at_s = 2
step_s = 0.3
count = 1
[[faults]]
kind = "command"
at_s = 4
count = 2
[[faults]]
kind = "mass_disconnect"
at_s = 6
until_s = 7
share = 1.0
[expect]
derive = false
p99_commit_s = 10
settle_s = 20
"""


SHORT = """
[fleet]
kits = 5
duration_s = 3
ramp_s = 0.2
heartbeat_interval_s = 0.3
expected_interval_s = 60
[expect]
derive = false
settle_s = 2
"""


async def play(scenario: Scenario, settings: Settings, ledger_path: Path | None = None) -> Report:
    """Run a scenario with its kits in the books and ingest listening."""
    add_kits(settings.dsn(), *scenario.kit_ids())
    options = Options(endpoint=settings.endpoint(), dsn=settings.dsn(), ledger_path=ledger_path)
    async with running_ingest(settings):
        await listening(settings.dsn())
        return await simulate(scenario, options)


async def listening(dsn: str) -> None:
    """Wait until ingest is past its backlog."""
    await eventually(lambda: rows(dsn, "SELECT 1 FROM listening WHERE state = 'listening'"), what="ingest listens")


@pytest.mark.broker
@pytest.mark.storage
async def test_every_kind_of_fault_and_still_exactly_once(settings: Settings) -> None:
    report = await play(parse(EVERYTHING), settings)
    assert report.passed, to_table(report)
    assert report.database is not None
    assert report.database.checked == report.messages.acknowledged - report.messages.by_kind["malformed"]
    assert set(report.messages.acknowledged_by_kind) == {
        "heartbeat",
        "software",
        "pairing",
        "update",
        "reply",
        "malformed",
    }
    assert set(report.database.quarantined) == {str(reason) for reason in REASONS.values()}
    assert report.connections.planned_cuts > 12
    assert report.messages.resends
    assert report.latency.commit_s.count


async def test_a_row_taken_away_and_a_row_made_up_are_found(settings: Settings, tmp_path: Path) -> None:
    saved = tmp_path / "ledger.ndjson"
    report = await play(parse(SHORT), settings, saved)
    assert report.passed, to_table(report)
    assert (await asyncio.to_thread(check_file, saved, settings.dsn())).passed
    dsn = settings.dsn()
    execute(dsn, "DELETE FROM heartbeats WHERE (boot, seq) = (SELECT boot, seq FROM heartbeats ORDER BY time LIMIT 1)")
    execute(dsn, "UPDATE heartbeats SET seq = 999 WHERE (boot, seq) = (SELECT max(boot), 4 FROM heartbeats)")
    again = await asyncio.to_thread(check_file, saved, dsn)
    assert not again.passed
    assert again.database is not None
    assert (again.database.missing, again.database.foreign) == (2, 1)
    assert "999" in str(again.database.examples["never sent"])


async def test_kits_that_are_not_in_the_books_stop_the_run_at_once(settings: Settings) -> None:
    with pytest.raises(UnavailableError, match="5 of 5 kits are not in the books"):
        await simulate(parse(SHORT), Options(endpoint=settings.endpoint(), dsn=settings.dsn()))


async def test_a_run_that_is_stopped_early_is_checked_all_the_same(settings: Settings) -> None:
    scenario = parse(SHORT).with_changes(duration_s=600)
    add_kits(settings.dsn(), *scenario.kit_ids())
    stop = asyncio.Event()
    async with running_ingest(settings):
        await listening(settings.dsn())
        options = Options(endpoint=settings.endpoint(), dsn=settings.dsn())
        running = asyncio.create_task(simulate(scenario, options, stop=stop))
        await eventually(lambda: rows(settings.dsn(), "SELECT 1 FROM grafana_messages"))
        stop.set()
        report = await asyncio.wait_for(running, 30)
    assert report.passed, to_table(report)
    assert report.duration_s < 60
    offline = rows(settings.dsn(), "SELECT count(*) FROM grafana_kits WHERE online")
    assert offline == [(0,)]


async def test_queries_prepare_against_the_schema(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for name, query in queries().items():
            names = dict.fromkeys(("from", "to", "boot_prefix", "kits", "kit", "ts", "boot", "seq"))
            assert connection.execute(query, names).description, name


async def test_no_broker_and_an_old_one_are_one_line_each(broker: BrokerUrls) -> None:
    with pytest.raises(UnavailableError, match=r"no MQTT 5 broker answers"):
        await probe(endpoint_of("mqtt://127.0.0.1:1"), limit_s=0.3)
    await probe(endpoint_of(broker.mqtt5_url))


async def test_a_broker_of_the_old_protocol_is_named(tmp_path: Path) -> None:
    with start_temporary(tmp_path / "old", BrokerKind.RUMQTTD) as urls, pytest.raises(UnavailableError, match="MQTT 5"):
        await probe(endpoint_of(urls.mqtt_url), limit_s=2)
