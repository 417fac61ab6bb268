"""The supervisor with small real processes: restarts, giving up, order of stopping, no orphans."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fleet.cli.supervise.logs import LogFolder
from fleet.cli.supervise.supervisor import Alive, Role, Supervisor
from fleet.embedded.guardian import Guardian
from fleet.embedded.process import Command, is_alive, wait_for
from fleet.errors import UnavailableError
from tests.support import environment, eventually

WAITS = ("sleep", "600")


def role(name: str, *argv: str, folder: Path, **more: Any) -> Role:
    command = Command(argv, folder=folder, **more)
    return Role(name, lambda: command)


async def never(alive: Alive) -> None:
    await asyncio.get_running_loop().create_future()


class Watched:
    """A supervisor and everything it told."""

    def __init__(self, folder: Path) -> None:
        self.pids: list[Mapping[str, int]] = []
        self.said: list[str] = []
        self.supervisor = Supervisor(LogFolder(folder / "logs"), self.pids.append, self.said.append)


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    made = Watched(folder)
    try:
        yield made
    finally:
        await made.supervisor.stop()


async def test_a_killed_role_is_back_within_a_second(tmp_path: Path) -> None:
    async with watched(tmp_path) as made:
        await made.supervisor.start(role("one", *WAITS, folder=tmp_path))
        for _ in range(5):
            pid = made.supervisor.pids["one"]
            killed_at = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda old=pid: made.supervisor.pids.get("one", old) != old, 5)
            assert time.monotonic() - killed_at < 1.0
        assert made.pids[-1] == made.supervisor.pids
        assert made.said == ["one ended (killed by SIGKILL): starting it again"]


async def test_each_role_has_a_process_group_and_a_clean_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODYS_PASSWORD", "secret")
    async with watched(tmp_path) as made:
        script = f"env > {tmp_path}/env.part; mv {tmp_path}/env.part {tmp_path}/env; exec sleep 600"
        await made.supervisor.start(role("one", "sh", "-c", script, folder=tmp_path, environment={"FLEET_X": "1"}))
        pid = made.supervisor.pids["one"]
        assert os.getpgid(pid) == pid
        await eventually((tmp_path / "env").exists)
    seen = (tmp_path / "env").read_text()
    assert "FLEET_X=1" in seen
    assert "PASSWORD" not in seen


async def test_a_role_that_cannot_start_is_given_up_with_what_it_wrote(tmp_path: Path) -> None:
    async with watched(tmp_path) as made:
        command = Command(("sh", "-c", "echo port 99 is taken; exit 2"), folder=tmp_path)
        failing = Role("one", lambda: command, ready=never)
        with pytest.raises(UnavailableError, match=r"one does not stay up \(exit code 2\): port 99 is taken"):
            await made.supervisor.start(failing)


async def test_a_role_that_fails_later_ends_everything_with_one_line(tmp_path: Path) -> None:
    async with watched(tmp_path) as made:
        await made.supervisor.start(role("other", *WAITS, folder=tmp_path))
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        await made.supervisor.start(role("one", "sh", "-c", f"read x < {gate}; echo bad; exit 2", folder=tmp_path))
        await asyncio.to_thread(gate.write_text, "go\n")
        reason = await asyncio.wait_for(made.supervisor.failed(), 10)
        assert str(reason).startswith("one does not stay up (exit code 2): bad (all of it in ")
        assert "\n" not in str(reason)


async def test_a_role_that_lives_and_does_not_serve_is_started_again(tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    serving.touch()
    async with watched(tmp_path) as made:
        made.supervisor.health_every_s = 0.05
        command = Command(WAITS, folder=tmp_path)
        await made.supervisor.start(Role("one", lambda: command, healthy=serving.exists))
        pid = made.supervisor.pids["one"]
        serving.unlink()
        await eventually(lambda: not is_alive(pid))
        serving.touch()
        await eventually(lambda: made.supervisor.pids.get("one", pid) != pid)
    assert made.said[0] == "one lives and does not serve: killing it"


async def test_roles_are_stopped_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    async with watched(tmp_path) as made:
        for name in ("first", "second"):
            script = f"trap 'echo {name} >> {tmp_path}/order; exit 0' TERM; touch {tmp_path}/{name}; sleep 600 & wait"
            await made.supervisor.start(role(name, "sh", "-c", script, folder=tmp_path))
            await eventually((tmp_path / name).exists)
    assert (tmp_path / "order").read_text().split() == ["second", "first"]


async def test_what_an_ended_role_left_behind_is_ended_too(tmp_path: Path) -> None:
    async with watched(tmp_path) as made:
        script = f"sleep 600 & echo $! > {tmp_path}/left.part; mv {tmp_path}/left.part {tmp_path}/left; wait"
        await made.supervisor.start(role("one", "sh", "-c", script, folder=tmp_path))
        await eventually((tmp_path / "left").exists)
        left = int((tmp_path / "left").read_text())
        assert is_alive(left)
        os.kill(made.supervisor.pids["one"], signal.SIGKILL)
        await eventually(lambda: not is_alive(left))


async def test_a_role_that_does_not_listen_is_killed_at_its_deadline(tmp_path: Path) -> None:
    async with watched(tmp_path) as made:
        script = f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 600; done"
        deaf = role("deaf", "sh", "-c", script, folder=tmp_path, stop=((signal.SIGTERM, 0.2),))
        await made.supervisor.start(deaf)
        await eventually((tmp_path / "deaf").exists)
        pid = made.supervisor.pids["deaf"]
    assert not is_alive(pid)


async def test_a_second_request_to_stop_hurries(tmp_path: Path) -> None:
    async with watched(tmp_path) as made:
        script = f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 600; done"
        await made.supervisor.start(role("deaf", "sh", "-c", script, folder=tmp_path, stop=((signal.SIGTERM, 600.0),)))
        await eventually((tmp_path / "deaf").exists)
        made.supervisor.hurry.set()
        await asyncio.wait_for(made.supervisor.stop(), 10)


_PARENT = """
import asyncio, json, sys
from pathlib import Path
from typing import Any
from fleet.cli.supervise.logs import LogFolder
from fleet.cli.supervise.supervisor import Alive, Role, Supervisor
from fleet.embedded.guardian import Guardian
from fleet.embedded.process import Command

async def main(folder, needed):
    supervisor = Supervisor(LogFolder(folder), lambda pids: None, print, Guardian(needed))
    for name in ("one", "two"):
        await supervisor.start(Role(name, lambda: Command(("sleep", "600"), folder=folder)))
    print(json.dumps(supervisor.pids), flush=True)
    await supervisor.failed()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "guardian"))
"""


def test_a_killed_supervisor_leaves_no_orphans(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path), ""], stdout=subprocess.PIPE, env=environment(), text=True
    )
    assert parent.stdout is not None
    pids = json.loads(parent.stdout.readline()).values()
    assert all(is_alive(pid) for pid in pids)
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    assert wait_for(lambda: not any(is_alive(pid) for pid in pids), 5)


async def test_the_guardian_ends_what_lives_when_its_parent_is_gone(tmp_path: Path) -> None:
    guardian = Guardian(needed=True)
    process = await asyncio.create_subprocess_exec(*WAITS, process_group=0)
    guardian.watch(process.pid)
    guardian.close()
    assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGTERM


async def test_the_guardian_leaves_alone_what_was_forgotten() -> None:
    guardian = Guardian(needed=True)
    process = await asyncio.create_subprocess_exec(*WAITS, process_group=0)
    guardian.watch(process.pid)
    guardian.forget(process.pid)
    guardian.close()
    assert process.returncode is None
    assert is_alive(process.pid)
    process.kill()
    await process.wait()
