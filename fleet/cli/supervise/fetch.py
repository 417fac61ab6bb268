"""Small HTTP reads from our own roles; blocking, for use in a thread."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 5.0


def fetch(url: str, token: str | None = None) -> tuple[int, bytes]:
    """Status and body of a GET; raises OSError or HTTPException when there is no answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def fetch_json(url: str, token: str) -> Any:
    """The JSON of a GET, or None when it is refused, broken or not answered."""
    try:
        status, body = fetch(url, token)
        return json.loads(body) if status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return fetch(url)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def samples(text: str, name: str) -> dict[str, float]:
    """The samples of one metric in Prometheus' text format, by their label part."""
    found = {}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        metric, _, labels = series.partition("{")
        if metric == name:
            found[labels.rstrip("}")] = float(value)
    return found
