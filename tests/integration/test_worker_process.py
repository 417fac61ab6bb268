"""The worker as a real process: leading, standing by, dying, losing the database, stopping."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import urllib.request
from pathlib import Path

import psycopg
import pytest

from tests.support import Process, environment, eventually, execute, process, rows, value


def seed(dsn: str) -> None:
    """Kits of which some have long been silent and some drifted; the listening clock stands, fresh for hours."""
    execute(dsn, "UPDATE rules SET for_s = 0, keep_firing_for_s = 1")
    execute(
        dsn,
        "INSERT INTO kits (kit, state, expected_interval_s, wanted_components)"
        " SELECT 'K-' || g, 'installed', 60, '{\"app\": \"2\"}' FROM generate_series(1, 100) g",
    )
    execute(
        dsn,
        "INSERT INTO kit_latest (kit_id, last_heard_at, heard_clock_s, watch_allowance_s, watch_interval_s,"
        " watch_from_clock_s) SELECT kit_id, now(), 100000, 180, 60, 0 FROM kits",
    )
    execute(
        dsn,
        "INSERT INTO latest_reports SELECT kit_id, 'software', 'b', 1, now(), now(), '{\"app\": \"2\"}' FROM kits",
    )
    execute(
        dsn,
        "UPDATE listening SET clock_s = 100000, state = 'listening', updated_at = now() + interval '1 hour'",
    )


def break_kits(dsn: str, silent: range = range(1, 13), drifted: range = range(89, 101)) -> None:
    """Faults appear: some kits were last heard too long ago, others report an old version."""
    execute(
        dsn,
        "UPDATE kit_latest SET heard_clock_s = 10000 + 1000 * kit_id WHERE kit_id = ANY(%s)",
        list(silent),
    )
    execute(
        dsn,
        'WITH changed AS (UPDATE latest_reports SET body = \'{"app": "1"}\' WHERE kit_id = ANY(%s) RETURNING kit_id)'
        " INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM changed",
        list(drifted),
    )


def counts(dsn: str) -> tuple[int, ...]:
    """Alerts, open requests, links between the two, and events of opening."""
    return rows(
        dsn,
        "SELECT (SELECT count(*) FROM alerts), (SELECT count(*) FROM service_requests WHERE state = 'open'),"
        " (SELECT count(*) FROM request_alerts), (SELECT count(*) FROM events WHERE type LIKE '%%.opened')",
    )[0]


def all_found(dsn: str, faults: int = 24) -> bool:
    """Whether every fault has its alert and request, once."""
    return counts(dsn) == (faults, faults, faults, 2 * faults)


def worker(dsn: str, log: Path) -> Process:
    """A worker process."""
    return Process(["fleet", "worker"], environment(database_url=dsn, log_format="json"), log)


@pytest.mark.faults
@pytest.mark.parametrize("table", ["evaluation_queue", "alerts", "service_requests", "request_alerts", "events"])
async def test_killed_between_detecting_and_opening(database: str, tmp_path: Path, table: str) -> None:
    """The worker is stopped by a lock in the midst of its work and killed there."""
    seed(database)
    break_kits(database)
    running = worker(database, tmp_path / "killed.log")
    with psycopg.connect(database) as blocker:
        blocker.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE".encode())
        await eventually(lambda: rows(database, "SELECT 1 FROM pg_locks WHERE NOT granted"), 30, "a blocked worker")
        running.kill(signal.SIGKILL)
    with process("fleet", "worker", log=tmp_path / "next.log", database_url=database):
        await eventually(lambda: all_found(database), 30)


@pytest.mark.faults
async def test_killed_at_random_moments(database: str, tmp_path: Path) -> None:
    """Each time new faults wait for the new leader; whatever it did before it died is whole."""
    seed(database)
    chance = random.Random(20260301)
    rounds = 6
    for round_ in range(rounds):
        break_kits(database, range(2 * round_ + 1, 2 * round_ + 3), range(99 - 2 * round_, 101 - 2 * round_))
        running = worker(database, tmp_path / f"worker-{round_}.log")
        await eventually(lambda: leaders(running), 30, "a leader")  # noqa: B023
        # No condition to wait for: the moment itself is what is tried.
        await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=chance.uniform(0, 0.06))
        running.kill(signal.SIGKILL)
        alerts, requests, links, events = counts(database)
        assert alerts == requests == links
        assert events == 2 * alerts
    with process("fleet", "worker", log=tmp_path / "last.log", database_url=database):
        await eventually(lambda: all_found(database, 4 * rounds), 30)


async def test_two_at_once_open_each_exactly_once_and_the_second_takes_over(database: str, tmp_path: Path) -> None:
    seed(database)
    first, second = worker(database, tmp_path / "1.log"), worker(database, tmp_path / "2.log")
    try:
        await eventually(lambda: leaders(first, second), 30, "a leader")
        break_kits(database)
        await eventually(lambda: all_found(database), 20)
        (leading,) = leaders(first, second)
        standing_by = second if leading is first else first
        leading.kill(signal.SIGKILL)
        await eventually(lambda: "leading" in standing_by.output(), 10, "the other leads")
        execute(database, "UPDATE kit_latest SET heard_clock_s = 100000")
        await eventually(lambda: value(database, "SELECT count(*) FROM alerts WHERE state = 'cleared'") == 12)
        assert value(database, "SELECT count(*) FROM alerts") == 24
    finally:
        first.kill(signal.SIGTERM)
        second.kill(signal.SIGTERM)


def leaders(*workers: Process) -> list[Process]:
    """Those who said that they lead."""
    return [each for each in workers if "leading" in each.output()]


async def test_it_comes_back_when_its_connection_is_cut(database: str, tmp_path: Path) -> None:
    seed(database)
    with process("fleet", "worker", log=tmp_path / "worker.log", database_url=database, log_format="json") as running:
        await eventually(lambda: "leading" in running.output(), 30)
        for _ in range(3):
            said = running.output().count('"leading"')
            execute(
                database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'fleet-worker%%' AND datname = current_database()",
            )
            await eventually(lambda: running.output().count('"leading"') > said, 15)  # noqa: B023
        break_kits(database)
        await eventually(lambda: all_found(database), 20)
        assert "Traceback" not in running.output()


async def test_it_waits_for_a_schema(empty_database: str, tmp_path: Path) -> None:
    with process("fleet", "worker", log=tmp_path / "worker.log", database_url=empty_database) as running:
        await eventually(lambda: "fleet migrate" in running.output(), 30)
        assert running.popen.poll() is None


async def test_metrics_tell_and_sigterm_ends_it_cleanly(database: str, tmp_path: Path) -> None:
    seed(database)
    running = worker(database, tmp_path / "worker.log")
    try:
        await eventually(lambda: leaders(running), 30)
        break_kits(database)
        await eventually(lambda: all_found(database), 20)
        await eventually(lambda: 'fleet_alerts_active{rule="silent"} 12.0' in shown(running), 20)
        # The gauges are read every few seconds, in the midst of a tick as well.
        await eventually(lambda: "fleet_evaluation_queue_entries 0.0" in shown(running), 20)
        text = shown(running)
        for line in (
            "fleet_worker_leader 1.0",
            'fleet_alerts_opened_total{rule="version_drift"} 12.0',
            'fleet_service_requests_open{line="support",state="open"} 12.0',
            'fleet_kits{state="installed"} 100.0',
            'fleet_kits_installed{health="silent"} 12.0',
            'fleet_kits_installed{health="attention"} 12.0',
            'fleet_kits_installed{health="ok"} 76.0',
            "fleet_service_requests_overdue 0.0",
            "fleet_evaluation_queue_entries 0.0",
        ):
            assert line in text
    finally:
        running.kill(signal.SIGTERM)
    assert running.popen.returncode == 0
    assert "worker stopped" in running.output()


def shown(worker_: Process) -> str:
    """What the process shows at `/metrics`."""
    port = next(json.loads(line)["metrics_port"] for line in worker_.output().splitlines() if "metrics_port" in line)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        return str(response.read().decode())
