"""What every kind of outlet does with its queue: take what waits, note what became of it, give up in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from fleet import metrics
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one
from fleet.log import get_logger

log = get_logger(__name__)
Pool: TypeAlias = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]
SQL = load_queries("fleet.alerts.outbound", "sending.sql")

DISABLE_AFTER = timedelta(days=5)
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 3600.0
MAX_ERROR = 200


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where to send, with its secrets as they are stored (sealed)."""

    outlet_id: int
    kind: str
    organisation_id: int | None
    url: str | None
    address: str | None
    options: dict[str, Any]
    secret: bytes | None = field(repr=False)
    inbound_secret: bytes | None = field(repr=False)
    previous_secret: bytes | None = field(repr=False)
    hour_began: datetime | None
    sent_in_hour: int
    polled_until: datetime | None
    polled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A fact that waits to be sent; `message_id` is the same at every attempt."""

    delivery_id: int
    message_id: str
    type: str
    kit: str | None
    payload: dict[str, Any] = field(repr=False)
    attempts: int
    queued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not taken, told without address or contents.

    `gone` says that the other side wants nothing more, ever; `retry_after_s` is its wish.
    """

    reason: str
    status: int | None = None
    retry_after_s: float | None = None
    gone: bool = False


class TryLaterError(Exception):
    """The other side did not take it: the job is to come back after `delay_s`."""

    def __init__(self, delay_s: float) -> None:
        super().__init__("not taken")
        self.delay_s = delay_s


def backoff_s(failures: int, share: float = 1.0) -> float:
    """How long to wait after so many failures in a row: doubled each time from 5 s, an hour at most.

    `share`, 0 to 1, spreads the upper half, so that outlets that failed together do not come back together.
    """
    whole = min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 20), LONGEST_RETRY_S)
    return whole / 2 + whole / 2 * share


async def find(connection: Connection, outlet_id: int) -> Outlet | None:
    """An outlet that is active; None when it is not, or its user may no longer log in."""
    return await fetch_one(connection, SQL["outlet"], {"outlet_id": outlet_id}, Outlet)


async def waiting(connection: Connection, outlet_id: int, limit: int) -> list[Waiting]:
    """The next deliveries in their order."""
    return await fetch_all(connection, SQL["waiting"], {"outlet_id": outlet_id, "limit": limit}, Waiting)


async def taken(
    connection: Connection, outlet: Outlet, done: Sequence[Waiting], now: datetime, status: int | None = None
) -> None:
    """Note that these were taken."""
    if not done:
        return
    values = {"outlet_id": outlet.outlet_id, "delivery_ids": [each.delivery_id for each in done]}
    await connection.execute(SQL["taken"], {**values, "now": now, "status": status})
    metrics.DELIVERIES.labels(outlet.kind, "delivered").inc(len(done))


async def refused(
    connection: Connection, outlet: Outlet, tried: Sequence[Waiting], refusal: Refusal, now: datetime
) -> int:
    """Note a failed attempt, give up what is too old, disable what has failed for days; the failures in a row."""
    ids = [each.delivery_id for each in tried]
    values = {"outlet_id": outlet.outlet_id, "delivery_ids": ids, "now": now}
    error = refusal.reason[:MAX_ERROR]
    async with connection.transaction():
        cursor = await connection.execute(SQL["refused"], {**values, "status": refusal.status, "error": error})
        row = await cursor.fetchone()
        if row is None:  # it was taken away meanwhile
            return 0
        failures, failing_since = row
        hopeless = refusal.gone or now - failing_since >= DISABLE_AFTER
        given_up = await connection.execute(
            SQL["give_up"],
            {"outlet_id": outlet.outlet_id, "now": now, "everything": hopeless, "reason": "expired"},
        )
        if hopeless:
            reason = "gone" if refusal.gone else f"failing for {DISABLE_AFTER.days} days"
            await connection.execute(SQL["disable"], {"outlet_id": outlet.outlet_id, "reason": reason})
    metrics.DELIVERIES.labels(outlet.kind, "failed").inc()
    metrics.DELIVERIES.labels(outlet.kind, "dead").inc(max(given_up.rowcount, 0))
    log.warning(
        "delivery failed",
        outlet=outlet.outlet_id,
        kind=outlet.kind,
        status=refusal.status,
        reason=error,
        failures=failures,
        given_up=max(given_up.rowcount, 0),
        disabled=hopeless,
    )
    return int(failures)


async def give_up(
    connection: Connection, outlet: Outlet, these: Sequence[Waiting], refusal: Refusal, now: datetime
) -> None:
    """These alone can never be taken; what comes after them goes on."""
    values = {"delivery_ids": [each.delivery_id for each in these], "now": now}
    await connection.execute(
        SQL["give_up_these"], {**values, "status": refusal.status, "error": refusal.reason[:MAX_ERROR]}
    )
    metrics.DELIVERIES.labels(outlet.kind, "dead").inc(len(these))


async def put_off(connection: Connection, outlet: Outlet, next_at: datetime | None) -> None:
    """Nothing more is to be done for this outlet before `next_at`."""
    await connection.execute(SQL["put_off"], {"outlet_id": outlet.outlet_id, "next_at": next_at})
