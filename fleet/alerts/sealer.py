"""The chain over the audit, kept up by the leading worker on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fleet import metrics
from fleet.access import audit, sealing
from fleet.access.audit import Standing
from fleet.db import roles
from fleet.db.connect import connect
from fleet.log import get_logger

log = get_logger(__name__)

EVERY_S = 2.0
TOLD_EVERY_S = 3600.0
"""How often the head of the chain goes to the log, where it stands outside of the database that it speaks for."""
STATEMENT_TIMEOUT_S = 60.0


async def keep_sealed(dsn: str, goes_on: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
    """Chain new lines every few seconds for as long as `goes_on`."""
    connection = await connect(dsn, role="worker-sealer", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    shown_s = told_s = -TOLD_EVERY_S
    try:
        while goes_on():
            done = await sealing.seal(connection)
            now_s = time.monotonic()
            if not done.more or now_s - shown_s > EVERY_S:
                _show(await audit.standing(connection))
                shown_s = now_s
            if done.head.position and now_s - told_s > TOLD_EVERY_S:
                log.info("audit head", head=str(done.head))
                told_s = now_s
            await pause(0.0 if done.more else EVERY_S)
    finally:
        forget()
        await connection.close()


def forget() -> None:
    """Show nothing: another process chains and shows it."""
    for gauge in (metrics.AUDIT_UNSEALED, metrics.AUDIT_UNSEALED_AGE_SECONDS, metrics.AUDIT_POSITION):
        gauge.set(0)


def _show(standing: Standing) -> None:
    since = standing.unsealed_since
    age_s = 0.0 if since is None else max(0.0, (datetime.now(UTC) - since).total_seconds())
    metrics.AUDIT_UNSEALED.set(standing.unsealed)
    metrics.AUDIT_UNSEALED_AGE_SECONDS.set(age_s)
    metrics.AUDIT_POSITION.set(standing.head.position)
