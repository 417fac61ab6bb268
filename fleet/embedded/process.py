"""Child processes that end with their parent, in process groups of their own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fleet.embedded.accounts import Account

FOLDER = "{folder}"
"""Stands in a command's arguments for the folder it works in."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, as whom, and how it is asked to stop; it works in `folder`.

    `stop` are the signals tried in order, each with the seconds it is given; SIGKILL comes last.
    `orphaned` is what Linux sends it when the parent is gone.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    account: Account | None = None
    stop: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10.0),)
    orphaned: signal.Signals = signal.SIGTERM


def base_environment() -> dict[str, str]:
    """What every child may know of our environment: nothing that could be a secret of something else."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def launch(command: Command) -> tuple[list[str], dict[str, Any]]:
    """The arguments with which `subprocess` or `asyncio` starts `command`.

    Start it on the main thread: Linux takes the end of the starting thread for the parent's end.
    """
    options: dict[str, Any] = {
        "env": {**base_environment(), **command.environment},
        "stdin": subprocess.DEVNULL,
        "process_group": 0,
        "preexec_fn": _end_with_parent(command.orphaned),
    }
    if command.folder is not None:
        options["cwd"] = command.folder
    if command.account is not None:
        options |= {"user": command.account.uid, "group": command.account.gid, "extra_groups": []}
    return [part.replace(FOLDER, _name_of_folder(command)) for part in command.argv], options


def _name_of_folder(command: Command) -> str:
    """The folder as the child can name it, which works in it.

    An account that may not enter one of the folders above still may work in this one, since the change of
    folder comes before that of the user: nothing of others has to change its permissions.
    """
    if command.account is not None and Path("/proc/self/cwd").exists():
        return "/proc/self/cwd"
    return str(command.folder)


def _end_with_parent(sign: signal.Signals) -> Callable[[], None] | None:
    """Runs in the child after it has changed its user, which would undo it (prctl(2))."""
    if _LIBC is None:
        return None
    parent, prctl, number = os.getpid(), _LIBC.prctl, int(sign)

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def run(command: Command, *, timeout_s: float, stdin: IO[Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end and collect what it prints."""
    argv, options = launch(command)
    if stdin is not None:
        options["stdin"] = stdin
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False, **options)


def start(command: Command, log: IO[Any] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start `command` without waiting; what it prints goes to `log`."""
    argv, options = launch(command)
    return subprocess.Popen(argv, stdout=log, stderr=log, **options)


async def spawn(
    command: Command, log: IO[Any] | int = subprocess.DEVNULL, *, out: IO[Any] | int | None = None
) -> asyncio.subprocess.Process:
    """Start `command` in the running loop; what it prints goes to `log`, or to `out` what is no error."""
    argv, options = launch(command)
    return await asyncio.create_subprocess_exec(*argv, stdout=log if out is None else out, stderr=log, **options)


def finish(process: subprocess.Popen[bytes], stop: Sequence[tuple[signal.Signals, float]]) -> int:
    """Stop a process: each signal with its deadline, then SIGKILL; returns the exit code."""
    for sign, deadline_s in stop:
        process.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(deadline_s)
    kill_group(process.pid)
    return process.wait()


def kill_group(pid: int) -> None:
    """SIGKILL to the process group of `pid`, gone or not."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], deadline_s: float, interval_s: float = 0.02) -> bool:
    """Ask `condition` until it is true or the deadline has passed."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(interval_s)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process with that number lives (a zombie does not)."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return not Path("/proc/self/stat").exists()
    return state[0] not in ("Z", "X")
