"""Keeps roles running: starts each as a process, starts it again when it ended, stops all in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet.cli.supervise.logs import LogFolder
from fleet.cli.supervise.restarts import Ending, Record
from fleet.embedded.guardian import Guardian
from fleet.embedded.process import Command, kill_group, spawn
from fleet.errors import UnavailableError

_HURRIED_S = 2.0
_MOST_MISSES = 3

Alive = Callable[[], bool]
Ready = Callable[[Alive], Awaitable[None]]


async def _at_once(alive: Alive) -> None:
    """For a role whose readiness nobody waits for."""


@dataclass(frozen=True, slots=True)
class Role:
    """One process: `command` is asked before every start, `ready` returns when it serves.

    Both raise UnavailableError when that cannot be. A role that is not `healthy` for a while although its
    process lives is killed, and so started again.
    """

    name: str
    command: Callable[[], Command]
    ready: Ready = _at_once
    ready_within_s: float = 60.0
    healthy: Callable[[], bool] | None = None


@dataclass(slots=True)
class _Running:
    role: Role
    first_ready: asyncio.Future[None]
    keeper: asyncio.Task[None] | None = None
    process: asyncio.subprocess.Process | None = None
    command: Command | None = None


@dataclass(slots=True)
class Supervisor:
    """Runs roles until stopped; `on_pids` hears of every new process, `say` tells people."""

    logs: LogFolder
    on_pids: Callable[[Mapping[str, int]], None]
    say: Callable[[str], None]
    guardian: Guardian = field(default_factory=Guardian)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    health_every_s: float = 5.0
    _running: dict[str, _Running] = field(default_factory=dict)
    _given_up: asyncio.Event = field(default_factory=asyncio.Event)
    _reason: UnavailableError | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each role that lives."""
        return {
            name: running.process.pid
            for name, running in self._running.items()
            if running.process is not None and running.process.returncode is None
        }

    async def start(self, role: Role) -> None:
        """Start `role` and return when it is ready; raises UnavailableError when it is given up before."""
        running = _Running(role, asyncio.get_running_loop().create_future())
        self._running[role.name] = running
        running.keeper = asyncio.create_task(self._keep(running), name=f"keep {role.name}")
        given_up = asyncio.create_task(self._given_up.wait())
        ready_or_not: set[asyncio.Future[Any]] = {running.first_ready, given_up}
        try:
            await asyncio.wait(ready_or_not, timeout=role.ready_within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            given_up.cancel()
        if self._reason is not None:
            raise self._reason
        if not running.first_ready.done():
            raise UnavailableError(self._told(role.name, f"is not ready after {role.ready_within_s:.0f} s"))

    async def failed(self) -> UnavailableError:
        """Wait until a role is given up; gives the reason."""
        await self._given_up.wait()
        assert self._reason is not None
        return self._reason

    async def stop(self) -> None:
        """Stop the roles, the last started first, each with its own deadlines."""
        for running in reversed(self._running.values()):
            if running.keeper is not None:
                running.keeper.cancel()
                await asyncio.wait({running.keeper})
            await self._end(running)
        self._running.clear()
        self.guardian.close()

    async def _keep(self, running: _Running) -> None:
        record = Record()
        while True:
            ending = await self._live(running)
            record = record.after(ending)
            delay_s = record.delay_s(ending)
            if delay_s is None:
                self._give_up(running.role.name, ending)
                return
            if record.is_first:
                self.say(f"{running.role.name} ended ({_how(ending)}): starting it again")
            await asyncio.sleep(delay_s)

    async def _live(self, running: _Running) -> Ending:
        """One life of the role's process, from its start to its end."""
        begun = time.monotonic()
        try:
            running.command = await asyncio.to_thread(running.role.command)
            with self.logs.open(running.role.name) as log:
                process = await spawn(running.command, log)
        except (UnavailableError, OSError) as error:
            self._note(running.role.name, str(error))
            return Ending(1, time.monotonic() - begun)
        running.process = process
        self.guardian.watch(process.pid)
        self.on_pids(self.pids)
        beside = {
            asyncio.create_task(self._await_ready(running, process)),
            asyncio.create_task(self._watch_health(running, process)),
        }
        try:
            code = await process.wait()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
        self._sweep(process.pid)
        return Ending(code, time.monotonic() - begun)

    async def _await_ready(self, running: _Running, process: asyncio.subprocess.Process) -> None:
        try:
            await running.role.ready(lambda: process.returncode is None)
        except UnavailableError as error:
            self._note(running.role.name, str(error))
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            return
        if not running.first_ready.done():
            running.first_ready.set_result(None)

    async def _watch_health(self, running: _Running, process: asyncio.subprocess.Process) -> None:
        healthy, misses = running.role.healthy, 0
        while healthy is not None:
            await asyncio.sleep(self.health_every_s)
            misses = 0 if await asyncio.to_thread(healthy) else misses + 1
            if misses == _MOST_MISSES:
                self.say(f"{running.role.name} lives and does not serve: killing it")
                kill_group(process.pid)

    def _note(self, role: str, text: str) -> None:
        with self.logs.open(role) as log:
            log.write(f"{text}\n".encode())

    def _give_up(self, role: str, ending: Ending) -> None:
        if self._reason is None:
            self._reason = UnavailableError(self._told(role, f"does not stay up ({_how(ending)})"))
        self._given_up.set()

    def _told(self, role: str, what: str) -> str:
        said = " | ".join(self.logs.last_lines(role))
        return f"{role} {what}: {said or 'it wrote nothing'} (all of it in {self.logs.path(role)})"

    async def _end(self, running: _Running) -> None:
        process, command = running.process, running.command
        if process is None or command is None or process.returncode is not None:
            return
        for sign, deadline_s in command.stop:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sign)
            if await self._ends_within(process, deadline_s):
                break
        else:
            process.kill()
            await process.wait()
        self._sweep(process.pid)

    def _sweep(self, pid: int) -> None:
        """End what an ended process left behind in its group."""
        kill_group(pid)
        self.guardian.forget(pid)

    async def _ends_within(self, process: asyncio.subprocess.Process, deadline_s: float) -> bool:
        """Whether the process ends in time; somebody in a hurry shortens the time."""
        waiting = asyncio.create_task(process.wait())
        hurrying = asyncio.create_task(self.hurry.wait())
        await asyncio.wait({waiting, hurrying}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and hurrying.done():
            await asyncio.wait({waiting}, timeout=min(deadline_s, _HURRIED_S))
        ended = waiting.done()
        waiting.cancel()
        hurrying.cancel()
        return ended


def _how(ending: Ending) -> str:
    if ending.code >= 0:
        return f"exit code {ending.code}"
    return f"killed by {signal.Signals(-ending.code).name}"
