"""What the sending to an outlet works with."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fleet.alerts.outbound import queue
from fleet.alerts.outbound.posting import Poster
from fleet.alerts.outbound.queue import Outlet, Pool, Refusal, TryLaterError, Waiting
from fleet.alerts.outbound.sealing import OutletSealer
from fleet.config import Settings


@dataclass(frozen=True, slots=True)
class Work:
    """Connections, the way out, keys; `going` says no when the process is to stop."""

    settings: Settings
    pool: Pool
    poster: Poster
    sealer: OutletSealer | None
    going: Callable[[], bool]

    def purpose(self, outlet: Outlet) -> str:
        """What a secret of the outlet is sealed for."""
        return purpose_of(outlet.kind)

    def open(self, sealed: bytes | None, purpose: str) -> bytes | None:
        """A secret, where it can be opened."""
        if sealed is None or self.sealer is None:
            return None
        return self.sealer.open(sealed, purpose)

    async def failed(self, outlet: Outlet, tried: Sequence[Waiting], refusal: Refusal) -> TryLaterError:
        """Note what was refused; gives what to raise, which says when to come back."""
        async with self.pool.connection() as connection:
            failures = await queue.refused(connection, outlet, tried, refusal, datetime.now(UTC))
        pause_s = queue.backoff_s(max(failures, 1), random.random())  # noqa: S311 - jitter
        return TryLaterError(max(pause_s, refusal.retry_after_s or 0))


def purpose_of(kind: str, part: str = "secret") -> str:
    """What a secret is sealed for; it opens for nothing else."""
    return f"outlet:{kind}:{part}"
