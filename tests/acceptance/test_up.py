"""`fleet up` as people and scripts use it: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet.cli.supervise.fetch import answers, fetch_json
from fleet.embedded.broker import BrokerUrls
from fleet.embedded.process import is_alive
from tests.support import Process, environment, eventually, process, value

ROLES = {"postgres", "broker", "ingest", "worker", "api"}
START_S = 90.0


def run_json(data_dir: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((data_dir / "run.json").read_text())
    except FileNotFoundError:
        return {}
    return content


async def running(data_dir: Path, up: Process, roles: set[str] = ROLES) -> dict[str, Any]:
    """What run.json says once every one of `roles` runs."""

    def complete() -> dict[str, Any]:
        assert up.popen.poll() is None, up.output()
        run = run_json(data_dir)
        ours = run.get("pid") == up.popen.pid and roles <= set(run["pids"])
        return run if ours else {}

    return await eventually(complete, START_S, "run.json")


def fleet(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "fleet", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def one_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


async def test_a_first_run_serves_a_demo_and_a_second_one_finds_its_data(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with process(
        "fleet", "up", "--simulate", "3", log=tmp_path / "one.log", data_dir=str(data_dir), http_port="0"
    ) as up:
        first = await running(data_dir, up, ROLES | {"simulator"})
        assert answers(f"{first['http_url']}/readyz")
        assert all(answers(url) for url in first["metrics_urls"].values())
        assert set(first["metrics_urls"]) == {"ingest", "worker", "api"}
        assert stat.S_IMODE((data_dir / "run.json").stat().st_mode) == 0o600
        count = "SELECT count(DISTINCT kit) FROM grafana_heartbeats"
        await eventually(lambda: value(first["database_url"], count) == 3, 60)
        kits = fetch_json(f"{first['http_url']}/api/v1/kits", first["token"])
        assert [kit["kit"] for kit in kits["items"]] == ["K-000001", "K-000002", "K-000003"]
        up.popen.send_signal(signal.SIGINT)
        assert up.popen.wait(60) == 0, up.output()
    said = up.output()
    assert said.splitlines()[0].split() == ["console", first["http_url"]]
    assert said.splitlines()[1].split() == ["login", first["token"]]
    assert run_json(data_dir) == {}
    assert not any(is_alive(pid) for pid in first["pids"].values())

    with process("fleet", "up", log=tmp_path / "two.log", data_dir=str(data_dir), http_port="0") as up:
        second = await running(data_dir, up)
        same = ("http_url", "mqtt_url", "database_url", "token", "metrics_urls")
        assert {name: second[name] for name in same} == {name: first[name] for name in same}
        assert "simulator" not in second["pids"]
        assert value(second["database_url"], count) == 3
    assert up.popen.returncode == 0, up.output()


async def test_killed_roles_come_back_and_a_killed_fleet_up_leaves_nothing_behind(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with process("fleet", "up", log=tmp_path / "one.log", data_dir=str(data_dir), http_port="0") as up:
        run = await running(data_dir, up)
        for role, pid in run["pids"].items():
            os.kill(pid, signal.SIGKILL)

            def replaced(role: str = role, pid: int = pid) -> bool:
                return run_json(data_dir)["pids"].get(role, pid) != pid

            await eventually(replaced, 5, f"{role} back")
        await eventually(lambda: answers(f"{run['http_url']}/readyz"), 60, "ready again")
        pids = run_json(data_dir)["pids"]
        assert set(pids) == ROLES
        up.kill()
        await eventually(lambda: not any(is_alive(pid) for pid in pids.values()), 20, "all gone")
    with process("fleet", "up", log=tmp_path / "two.log", data_dir=str(data_dir), http_port="0") as up:
        again = await running(data_dir, up)
        assert again["token"] == run["token"]
        refused = fleet("up", "--data-dir", str(data_dir))
        assert refused.returncode == 1
        assert f"running in {data_dir} already (process {up.popen.pid})" in one_line(refused.stderr)


async def test_external_servers_are_used_where_urls_are_set(tmp_path: Path, database: str, broker: BrokerUrls) -> None:
    data_dir = tmp_path / "data"
    with process(
        "fleet",
        "up",
        log=tmp_path / "up.log",
        data_dir=str(data_dir),
        http_port="0",
        database_url=database,
        mqtt_url=broker.mqtt5_url,
    ) as up:
        run = await running(data_dir, up, {"ingest", "worker", "api"})
        assert set(run["pids"]) == {"ingest", "worker", "api"}
        assert run["database_url"] == database
        assert run["mqtt_url"] == broker.mqtt5_url
        await eventually(lambda: answers(f"{run['http_url']}/readyz"), 30)
        healthy = fleet("doctor", "--json", data_dir=str(data_dir), database_url=database, mqtt_url=broker.mqtt5_url)
        found = {each["what"]: each["level"] for each in json.loads(healthy.stdout)["findings"]}
        assert found["schema"] == found["ingest"] == found["broker"] == found["broker subscription"] == "ok"
        # A server for tests is not a durable one, and doctor says so.
        assert found["durability"] in {"ok", "fail"}


async def test_a_busy_default_port_is_replaced_and_told(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 8000))
            holder.listen()
        except OSError:
            pass  # somebody else holds it, which is as good
        with process("fleet", "up", "--duration", "1", log=tmp_path / "up.log", data_dir=str(data_dir)) as up:
            assert up.popen.wait(START_S) == 0, up.output()
    assert "port 8000 is in use: the console is on port" in up.output().splitlines()[0]


def test_a_busy_port_that_was_asked_for_is_refused(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        refused = fleet("up", "--http-port", str(port), data_dir=str(tmp_path / "data"))
    assert refused.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in one_line(refused.stderr)


def test_a_data_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = fleet("up", data_dir=str(tmp_path / "file" / "data"))
    assert refused.returncode == 1
    assert "cannot create the folder" in one_line(refused.stderr)


@pytest.mark.parametrize("arguments", [["--simulate", "-1"], ["--broker", "other"], ["--http-port", "70000"]])
def test_wrong_use_is_told_and_nothing_is_made(tmp_path: Path, arguments: list[str]) -> None:
    refused = fleet("up", *arguments, data_dir=str(tmp_path / "data"))
    assert refused.returncode == 2
    assert arguments[0] in refused.stderr
    assert list(tmp_path.iterdir()) == []
