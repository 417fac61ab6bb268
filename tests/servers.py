"""Server processes of the embedded kind that tests stop, kill and start again on their data."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Generic, TypeVar

from fleet.embedded.broker import BrokerServer
from fleet.embedded.postgres import PostgresServer
from fleet.embedded.process import start, wait_for

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin", "/opt/homebrew/bin")


def mosquitto(program: str = "mosquitto") -> str | None:
    """Where a program of Mosquitto is installed, if it is."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *_PLACES)))


Prepared = TypeVar("Prepared", PostgresServer, BrokerServer)


class Server(Generic[Prepared]):
    """One server; `prepared` is what it was made from and knows its addresses."""

    def __init__(self, prepared: Prepared, log: Path) -> None:
        self.prepared: Prepared = prepared
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        if isinstance(self.prepared, PostgresServer):
            self.prepared = self.prepared.clear()
        with self._log.open("ab") as log:
            self.process = start(self.prepared.command(), log)
        assert wait_for(self.prepared.is_ready, 30), self._log.read_text()[-2000:]

    def end(self, sign: signal.Signals) -> None:
        """Send a signal to all of it and wait for the end."""
        process, self.process = self.process, None
        if process is None:
            return
        if sign is signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)
        process.wait(timeout=30)
