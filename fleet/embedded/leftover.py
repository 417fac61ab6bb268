"""A PostgreSQL that an earlier run left behind: recognised by its data folder, then stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from fleet.embedded.process import is_alive, wait_for
from fleet.errors import UnavailableError

_PROC = Path("/proc")


def clear_leftover(data: Path) -> int | None:
    """Stop what still runs in the folder `data` and remove its stale lock file.

    Returns the process id that was stopped. A living process that merely got the recorded number is left
    alone: its number says nothing, only the folder it works in does.
    """
    lock = data / "postmaster.pid"
    pid = _recorded(lock)
    stopped = None
    if pid is not None and is_alive(pid) and _works_in(pid, data):
        _stop(pid, data)
        stopped = pid
    # Sessions of a killed postmaster end by themselves a moment later; until then they hold the data.
    if not wait_for(lambda: not _all_in(data), 10.0):
        raise UnavailableError(f"another PostgreSQL still works in {data} (process {_all_in(data)[0]}): stop it first")
    lock.unlink(missing_ok=True)
    return stopped


def _recorded(lock: Path) -> int | None:
    try:
        return int(lock.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _stop(pid: int, data: Path) -> None:
    for sign, deadline_s in ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            try:
                os.kill(pid, sign)
            except PermissionError:
                raise UnavailableError(f"process {pid} of another user works in {data}: stop it first") from None
        if wait_for(lambda: not is_alive(pid), deadline_s):
            return
    raise UnavailableError(f"process {pid} in {data} does not end: stop it first")


def _works_in(pid: int, data: Path) -> bool:
    """PostgreSQL changes into its data folder at start."""
    if sys.platform == "linux":
        return _folder_of(pid) == os.path.realpath(data)
    command = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    ).stdout
    return "postgres" in command and str(data) in command


def _folder_of(pid: int) -> str | None:
    try:
        return str((_PROC / str(pid) / "cwd").readlink())
    except OSError:
        return None


def _all_in(data: Path) -> list[int]:
    if sys.platform != "linux":
        return []
    wanted = os.path.realpath(data)
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _folder_of(pid) == wanted]
