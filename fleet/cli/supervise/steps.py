"""What is done once, between starting servers and roles: migrate, make the token, seed the demo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from fleet.access import tokens
from fleet.access.principal import Grant, Principal
from fleet.access.roles import Role
from fleet.cli.supervise.fetch import answers
from fleet.cli.supervise.logs import LogFolder
from fleet.cli.supervise.plan import Plan
from fleet.db.connect import connect
from fleet.embedded.files import write_private
from fleet.embedded.process import Command, kill_group, spawn
from fleet.errors import UnavailableError

T = TypeVar("T")
HOLDER = "fleet up"
_STEP_WITHIN_S = 300.0


async def run_step(name: str, command: Command, logs: LogFolder) -> None:
    """Run a command to its end; raises UnavailableError with what it said when it fails."""
    with logs.open(name) as log:
        process = await spawn(command, log)
        await _ended(name, process, process.wait(), logs)


async def printed(name: str, command: Command, logs: LogFolder) -> str:
    """Run a command to its end and give what it prints; raises UnavailableError when it fails."""
    with logs.open(name) as log:
        process = await spawn(command, log, out=asyncio.subprocess.PIPE)
        output, _ = await _ended(name, process, process.communicate(), logs)
    return output.decode()


async def _ended(name: str, process: asyncio.subprocess.Process, end: Coroutine[Any, Any, T], logs: LogFolder) -> T:
    """What `end` gives; the process does not outlive this."""
    try:
        result = await asyncio.wait_for(end, _STEP_WITHIN_S)
    except TimeoutError:
        raise UnavailableError(f"{name} is not done after {_STEP_WITHIN_S:.0f} s: {logs.path(name)}") from None
    finally:
        if process.returncode is None:
            kill_group(process.pid)
            await process.wait()
    if process.returncode != 0:
        said = " | ".join(logs.last_lines(name)).removeprefix("fleet: ") or f"exit code {process.returncode}"
        raise UnavailableError(f"{name} failed: {said}")
    return result


async def administrator_token(plan: Plan) -> str:
    """The administrator's token of the last run where it still counts, else a new one, kept for the next."""
    path = plan.data_dir / "admin.token"
    connection = await connect(plan.database_url, role="up")
    async with connection:
        kept = _kept(path)
        if kept is not None:
            holder = await tokens.authenticate(connection, kept)
            if isinstance(holder, Principal) and Grant(Role.ADMIN) in holder.grants:
                return kept
        made = await tokens.create(connection, name=HOLDER, role=Role.ADMIN)
    write_private(path, made.secret + "\n")
    return made.secret


def _kept(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


async def becomes_true(url: str, within_s: float) -> bool:
    """Whether a GET of `url` is answered with 200 before the time is over."""
    end = time.monotonic() + within_s
    while not await asyncio.to_thread(answers, url):
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.1)
    return True
