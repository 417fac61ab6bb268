"""A real OpenID Connect provider in a process of its own, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from fleet.config import Settings
from fleet.embedded.ports import free_port
from fleet.embedded.process import wait_for
from tests.api import settings_for
from tests.support import Process, environment

PUBLIC = "http://fleet.test"


class RealProvider:
    """`oidc-provider-mock`: it keeps everything in memory, so a new start has new keys and knows nobody."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._log = folder / "provider.log"
        self._process: Process | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        arguments = ["oidc_provider_mock", "--port", str(self.port), "--require-nonce", "true"]
        self._process = Process(arguments, environment(), self._log)
        assert wait_for(self._answers, 20), self._log.read_text()[-2000:]

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def knows(self, subject: str, **claims: Any) -> None:
        """Enter somebody, or change what is told about them."""
        httpx.put(f"{self.issuer}/users/{subject}", json=claims).raise_for_status()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.issuer}/jwks", timeout=2).is_success
        except httpx.HTTPError:
            return False


@contextmanager
def real_provider(folder: Path) -> Iterator[RealProvider]:
    """A running provider."""
    made = RealProvider(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def settings_with(provider: RealProvider, database: str, **other: Any) -> Settings:
    """Settings of an API whose people log in there."""
    given = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": "fleet",
        "oidc_client_secret": "a secret & more",
        "oidc_name": "Region Nord",
        "http_public_url": PUBLIC,
    }
    return Settings(**{**settings_for(database).model_dump(exclude_unset=True), **given, **other})


async def grant(address: str, subject: str, **form: str) -> str:
    """What the person does at the provider; gives the path that the browser is sent back to."""
    async with httpx.AsyncClient(timeout=10) as person:
        answer = await person.post(address, data={"sub": subject, **form})
    assert answer.status_code == 302, answer.text
    location = str(answer.headers["location"])
    assert location.startswith(PUBLIC)
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}"
