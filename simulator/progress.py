"""What is going on, on stderr: one changing line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

from simulator.engine import Engine
from simulator.hub import Hub

ON_TERMINAL_S = 0.5
ELSEWHERE_S = 10.0


class Progress:
    """Prints until cancelled."""

    def __init__(self, hub: Hub, engine: Engine, *, until_s: float, out: TextIO | None = None) -> None:
        self._hub = hub
        self._engine = engine
        self._until_s = until_s
        self._out = out or sys.stderr
        self._tty = self._out.isatty()

    async def show(self) -> None:
        """Print every now and then."""
        try:
            while True:
                await asyncio.sleep(ON_TERMINAL_S if self._tty else ELSEWHERE_S)
                self.say(self.line())
        finally:
            if self._tty:
                self._out.write("\r\x1b[K")
                self._out.flush()

    def say(self, line: str) -> None:
        """One line, over the last one on a terminal."""
        self._out.write(f"\r\x1b[K{line}" if self._tty else f"simulator: {line}\n")
        self._out.flush()

    def line(self) -> str:
        """The state in a line."""
        hub = self._hub
        end = "" if self._until_s == float("inf") else f"/{self._until_s:.0f}"
        counts = hub.ledger.counts
        return (
            f"{hub.clock():.0f}{end} s  {hub.connected}/{len(self._engine.publishers)} connected  "
            f"{counts['sends']} sent  {counts['acks']} acknowledged  {self._engine.unsettled()} waiting  "
            f"{hub.counts['losses']} connections lost"
        )
