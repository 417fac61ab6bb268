"""`run.json`: where everything is, for scripts; always whole, gone after a clean stop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.embedded.files import write_private


@dataclass(slots=True)
class RunFile:
    """Written once the addresses are published, then again whenever a process changes."""

    path: Path
    _addresses: dict[str, Any] = field(default_factory=dict)
    _pids: dict[str, int] = field(default_factory=dict)

    def remove(self) -> None:
        """Take the file away: nothing runs any more."""
        self._addresses = {}
        self.path.unlink(missing_ok=True)

    def publish(self, addresses: Mapping[str, Any]) -> None:
        """Tell `addresses` (URLs and the token) from now on."""
        self._addresses = dict(addresses)
        self._write()

    def update_pids(self, pids: Mapping[str, int]) -> None:
        """Tell which process runs each role."""
        self._pids = dict(pids)
        self._write()

    def _write(self) -> None:
        if self._addresses:
            write_private(self.path, json.dumps({**self._addresses, "pids": self._pids}, indent=2) + "\n")
