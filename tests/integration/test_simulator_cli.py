"""The command line: output, exit codes, one clear line per error."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.embedded.broker import BrokerUrls
from tests.support import environment, eventually


def simulator(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulator", *arguments],
        env=environment(**settings),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_kits_prints_csv(tmp_path: Path) -> None:
    done = simulator("kits", "demo", "--kits", "4", cwd=tmp_path)
    assert done.returncode == 0
    assert [row["kit"] for row in csv.DictReader(io.StringIO(done.stdout))] == [f"K-00000{n}" for n in range(1, 5)]


def test_scenarios_are_listed(tmp_path: Path) -> None:
    done = simulator("scenarios", cwd=tmp_path)
    assert {line.split()[0] for line in done.stdout.splitlines()} >= {"demo", "smoke", "load", "mass-outage"}


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["run", "nowhere.toml"], {}, "nowhere.toml"),
        (["run", "smoke"], {}, "FLEET_MQTT_URL is not set"),
        (["run", "smoke"], {"mqtt_url": "mqtt://127.0.0.1:1"}, "FLEET_DATABASE_URL is not set"),
        (["run", "smoke", "--no-check"], {"mqtt_url": "http://x"}, "scheme must be mqtt or mqtts"),
        (["run", "smoke", "--kits", "0"], {}, "fleet.kits"),
        (["run", "smoke", "--report", "/nowhere/r.json"], {}, "/nowhere/r.json"),
        (["check", "nothing.ndjson"], {"database_url": "postgresql://x"}, "nothing.ndjson"),
        (["run", "smoke", "--tempo", "9"], {}, "--tempo"),
    ],
)
def test_wrong_use_is_two_and_one_line(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    done = simulator(*arguments, cwd=tmp_path, **settings)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mqtt_url": "mqtt://127.0.0.1:1", "database_url": "postgresql://u:secret@127.0.0.1:1/d"}, "the database"),
        ({"mqtt_url": "mqtts://127.0.0.1:1", "mqtt_ca_file": "/nowhere.pem"}, "TLS files"),
    ],
)
def test_what_cannot_be_reached_is_one_and_one_line(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    check = [] if "database_url" in settings else ["--no-check"]
    done = simulator("run", "smoke", *check, cwd=tmp_path, **settings)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


async def test_a_run_without_end_stops_on_a_signal_and_reports(tmp_path: Path, broker: BrokerUrls) -> None:
    command = [sys.executable, "-m", "simulator", "run", "demo", "--kits", "5", "--json"]
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        running = subprocess.Popen(
            command, env=environment(mqtt_url=broker.mqtt5_url), cwd=tmp_path, stdout=stdout, stderr=stderr
        )
        try:
            await eventually(lambda: b"5/5 connected" in err.read_bytes(), 40, "five connected")
            os.kill(running.pid, signal.SIGTERM)
            code = running.wait(timeout=20)
        finally:
            running.kill()
            running.wait()
    assert code == 0, err.read_text()
    assert '"connects": 5' in out.read_text()
    assert "Traceback" not in err.read_text()
