"""What people see in the terminal: lines that stay, and below them a few that are refreshed in place."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(slots=True)
class Screen:
    """On a terminal the block is redrawn; elsewhere each block becomes one plain line."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    _block: Sequence[str] = ()

    @property
    def live(self) -> bool:
        """Whether lines can be redrawn."""
        return self.out.isatty()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._write(f"{self._erased()}{line}\n{self._drawn()}")

    def progress(self, line: str) -> None:
        """What is being waited for; seen on a terminal only."""
        if self.live:
            self.show([line])

    def settle(self) -> None:
        """Leave the block as it stands; what follows is printed below it."""
        self._block = ()

    def show(self, block: Sequence[str]) -> None:
        """Replace the refreshed lines by `block`."""
        if not self.live:
            self._write("; ".join(" ".join(line.split()) for line in block) + "\n")
            return
        erased = self._erased()
        self._block = self._cut(block)
        self._write(erased + self._drawn())

    def _erased(self) -> str:
        return f"\x1b[{len(self._block)}F\x1b[J" if self._block else ""

    def _drawn(self) -> str:
        return "".join(f"{line}\n" for line in self._block)

    def _cut(self, block: Sequence[str]) -> list[str]:
        """A line that wraps could not be redrawn."""
        size = shutil.get_terminal_size()
        return [line[: size.columns - 1] for line in block[: size.lines - 1]]

    def _write(self, text: str) -> None:
        # The reader of our output may be gone; that is no reason to stop serving.
        with contextlib.suppress(OSError):
            self.out.write(text)
            self.out.flush()
