"""A `fleet api` of its own to measure, and a client that keeps its connection."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from fleet.embedded.ports import free_port
from fleet.embedded.process import wait_for
from fleet.errors import UnavailableError


@contextmanager
def serving(dsn: str) -> Iterator[int]:
    """Run `fleet api` on a database; gives its port once it answers."""
    port = free_port()
    names = {name: text for name, text in os.environ.items() if not name.startswith("FLEET_")}
    settings = {"FLEET_DATABASE_URL": dsn, "FLEET_HTTP_PORT": str(port), "FLEET_LOG_LEVEL": "warning"}
    process = subprocess.Popen([sys.executable, "-m", "fleet", "api"], env=names | settings)
    try:
        if not wait_for(lambda: _answers(port), 20, 0.1):
            raise UnavailableError("the API did not answer within 20 s")
        yield port
    finally:
        process.terminate()
        process.wait(20)


class Client:
    """One caller with one kept connection."""

    def __init__(self, port: int, secret: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {secret}"}

    def ask(self, path: str, body: Any = None) -> tuple[float, Any]:
        """GET, or POST a body; the seconds it took and the answer, None where it is a file.

        Raises UnavailableError when it is no success.
        """
        method, content = ("GET", None) if body is None else ("POST", json.dumps(body))
        headers = self._headers if content is None else {**self._headers, "Content-Type": "application/json"}
        started = perf_counter()
        self._connection.request(method, path, content, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        took_s = perf_counter() - started
        if answer.status not in (200, 201):
            raise UnavailableError(f"{method} {path} answered {answer.status}: {text[:200]!r}")
        return took_s, json.loads(text) if answer.getheader("Content-Type") == "application/json" else None

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def at_share(seconds: Sequence[float], share: float) -> float:
    """The value below which `share` of the measurements lie."""
    return round(sorted(seconds)[int(len(seconds) * share)], 5)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
