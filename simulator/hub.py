"""What all publishers share: the broker's address, the ledger, the clock, and how many may dial at once."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from random import Random
from types import TracebackType
from typing import Protocol, Self

from fleet.protocol.endpoint import Endpoint
from fleet.protocol.topics import Topics
from simulator.errors import UnavailableError
from simulator.ledger import Ledger
from simulator.scenario import Connections

CONNECT_TIMEOUT_S = 20.0


class Member(Protocol):
    """Who must be looked after while connected."""

    def tend(self, now_s: float) -> None:
        """Keep the connection alive, and give it up when nothing is heard any more."""


class Hub:
    """Use as an async context; a failure of any background task ends it."""

    def __init__(
        self, endpoint: Endpoint, topics: Topics, ledger: Ledger, settings: Connections, *, seed: int = 0
    ) -> None:
        self.endpoint = endpoint
        self.topics = topics
        self.ledger = ledger
        self.settings = settings
        self.tls: ssl.SSLContext | None = tls_of(endpoint)
        self.dials = asyncio.Semaphore(settings.dials_at_once)
        self.jitter = Random(seed)  # noqa: S311 - chance, not secrecy
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.connected = 0
        self._wires = 0
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self.members: list[Member] = []
        self.heard: Callable[[str, float], None] = lambda _kit, _at_s: None
        self._stack = AsyncExitStack()
        self._loop = asyncio.get_running_loop()
        # Not the loop's time: uvloop keeps that to the millisecond, which is what an acknowledgement takes.
        self._zero_s = time.monotonic() - (datetime.now(UTC) - ledger.started_at).total_seconds()

    def clock(self) -> float:
        """Seconds since the start of the run, steady."""
        return time.monotonic() - self._zero_s

    def now(self) -> datetime:
        """The time of day that `clock` stands for."""
        return self.ledger.started_at + timedelta(seconds=round(self.clock(), 3))

    async def __aenter__(self) -> Self:
        self.tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._tending = self.tasks.create_task(self._tend())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tending.cancel()
        await self._stack.__aexit__(kind, error, trace)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(min(5.0, self.settings.keep_alive_s / 8))
            now_s = self._loop.time()
            for member in self.members:
                member.tend(now_s)

    def wire_opened(self) -> None:
        """One more socket."""
        self._wires += 1
        self._all_closed.clear()

    def wire_closed(self) -> None:
        """One less."""
        self._wires -= 1
        if not self._wires:
            self._all_closed.set()

    async def all_closed(self, limit_s: float) -> bool:
        """Wait until no socket is open; False when the time was not enough."""
        try:
            async with asyncio.timeout(limit_s):
                await self._all_closed.wait()
        except TimeoutError:
            return False
        return True

    def failed(self, error: OSError) -> None:
        """Count a connection that could not be made, by what went wrong."""
        self.counts["connect_failures"] += 1
        reason = getattr(error, "reason", None)
        self.failures[str(reason or error.strerror or error or type(error).__name__)[:120]] += 1

    def backoff_s(self, attempt: int) -> float:
        """A random part of a time that doubles with each attempt, so that reconnects spread."""
        ceiling = min(self.settings.max_backoff_s, self.settings.backoff_s * 2 ** min(attempt, 16))
        return self.jitter.uniform(0, ceiling)


def tls_of(endpoint: Endpoint) -> ssl.SSLContext | None:
    """The TLS context; raises UnavailableError when its files cannot be used."""
    try:
        return endpoint.tls_context()
    except OSError as error:
        raise UnavailableError(f"the TLS files for {endpoint} cannot be used: {error}") from None
