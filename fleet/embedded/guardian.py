"""Ends child processes with their parent where the system itself does not offer that (it does on Linux).

A small process reads, through a pipe, which process groups live; the pipe's end is the parent's end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import IO

_GRACE_S = 5.0


@dataclass(slots=True)
class Guardian:
    """The parent's side; started with the first process to watch, where it is needed."""

    needed: bool = sys.platform != "linux"
    _process: subprocess.Popen[str] | None = None

    def watch(self, pid: int) -> None:
        """End the process group `pid` when we are gone."""
        if not self.needed:
            return
        if self._process is None or self._process.poll() is not None:
            argv = [sys.executable, "-P", "-m", "fleet.embedded.guardian"]
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, process_group=0)
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """The process group ended."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Nothing is left to watch."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait(10)
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.write(line)
            self._process.stdin.flush()


def guard(lines: IO[str]) -> None:
    """Follow `lines` to their end, then end what is left: SIGTERM first, SIGKILL after a grace time."""
    pids: set[int] = set()
    for line in lines:
        (pids.add if line[0] == "+" else pids.discard)(int(line[1:]))
    for sign in (signal.SIGTERM, signal.SIGKILL):
        pids = {pid for pid in pids if _signalled(pid, sign)}
        end = time.monotonic() + _GRACE_S
        while any(_signalled(pid, 0) for pid in pids) and time.monotonic() < end:
            time.sleep(0.1)


def _signalled(pid: int, sign: int) -> bool:
    try:
        os.killpg(pid, sign)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    guard(sys.stdin)
