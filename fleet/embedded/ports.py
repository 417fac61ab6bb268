"""Ports on loopback: free ones, and the same ones again in the next run."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleet.embedded.files import write_private
from fleet.errors import UnavailableError

LOOPBACK = "127.0.0.1"
# Below the ranges from which systems take the local ports of outgoing connections (Linux 32768, macOS
# 49152 and up): a restarted server then finds its port free however many clients this machine runs.
_LOWEST, _HIGHEST = 15_000, 32_000


def cannot_listen(host: str, port: int) -> str | None:
    """Why no server could listen there now; None when it could."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of loopback now."""
    return cannot_listen(LOOPBACK, port) is None


def free_port(taken: Callable[[int], bool] = lambda port: False) -> int:
    """Some port that is free on loopback and of which `taken` says no."""
    for _ in range(1000):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - no secret
        if not taken(port) and is_free(port):
            return port
    raise UnavailableError(f"no free port on {LOOPBACK} between {_LOWEST} and {_HIGHEST}")


@dataclass(frozen=True, slots=True)
class PortBook:
    """Remembers by name, in a small JSON file, which ports the last run used."""

    path: Path

    def take(self, name: str, *, anew: bool = False) -> int:
        """The port `name` had when it is free (and not `anew`), else a new free one, written down."""
        book = self._read()
        remembered = book.get(name)
        if remembered is not None and not anew and is_free(remembered):
            return remembered
        book[name] = free_port(taken=lambda port: port in book.values())
        write_private(self.path, json.dumps(book, indent=2) + "\n")
        return book[name]

    def _read(self) -> dict[str, int]:
        try:
            content = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        if not isinstance(content, dict):
            return {}
        return {name: port for name, port in content.items() if isinstance(port, int) and 0 < port < 65536}
