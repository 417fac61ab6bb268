"""What people do about an alert: take care of it, take that back, shelve it for a time.

Acknowledging says that somebody takes care: it suppresses nothing, and ends reminders. Shelving says that the alert is
not wanted for now: it stays, says so, and comes back by itself, or at once when it gets graver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fleet.alerts.quieting.suppress import shelved
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError

_SQL = load_queries("fleet.alerts.quieting", "handling.sql")

LONGEST_SHELF = timedelta(days=30)
FILTERS = (
    "id",
    "rule",
    "kit",
    "severity",
    "state",
    "acknowledged",
    "suppressed_by",
    "suppressed",
    "shelved",
    "flapping",
    "opened_at",
    "cleared_at",
    "opened_from",
    "opened_to",
)


@dataclass(frozen=True, slots=True)
class _Locked:
    alert_id: int
    kit_id: int | None
    subject: str | None
    organisation_id: int | None
    rule: str
    severity: str
    state: str
    acknowledged: bool


async def list_alerts(
    connection: Connection, chosen: Mapping[str, Any], *, before: int, limit: int
) -> list[dict[str, Any]]:
    """Alerts, the newest first; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys(FILTERS), **chosen, "before": before, "limit": limit}
    return await fetch_dicts(connection, _SQL["alerts"], values)


async def acknowledge(connection: Connection, alert_id: int, *, actor: str, comment: str | None = None) -> None:
    """Note that somebody takes care, and what they say; raises NotFoundError.

    Once more without a comment changes nothing; with one it replaces who and what.
    """
    async with connection.transaction():
        alert = await _locked(connection, alert_id)
        if not alert.acknowledged or comment is not None:
            await connection.execute(_SQL["acknowledge"], {"id": alert_id, "actor": actor, "comment": comment})


async def unacknowledge(connection: Connection, alert_id: int, *, actor: str) -> None:
    """Take it back: nobody takes care; raises NotFoundError."""
    async with connection.transaction():
        await _locked(connection, alert_id)
        await connection.execute(_SQL["unacknowledge"], {"id": alert_id, "actor": actor})


async def shelve(connection: Connection, alert_id: int, *, until: datetime, reason: str, actor: str) -> None:
    """Keep an active alert, and those of its rule and kit (or place) after it, quiet until then.

    Its open request stays as it is. Raises NotFoundError, InvalidError, ConflictError.
    """
    async with connection.transaction():
        alert = await _locked(connection, alert_id)
        now = await fetch_value(connection, _SQL["now"], {})
        if until <= now:
            raise InvalidError("until", "is past")
        if until > now + LONGEST_SHELF:
            raise InvalidError("until", f"must be within {LONGEST_SHELF.days} days")
        if alert.state != "active":
            raise ConflictError("the alert is over")
        values = {"kit_id": alert.kit_id, "subject": alert.subject, "rule": alert.rule, "severity": alert.severity}
        values |= {"organisation_id": None if alert.subject is None else alert.organisation_id, "actor": actor}
        await connection.execute(_SQL["shelve"], {**values, "until": until, "reason": reason})
        await connection.execute(_SQL["suppress"], {"id": alert_id, "by": shelved(until), "actor": actor})


async def unshelve(connection: Connection, alert_id: int, *, actor: str) -> None:
    """Let the alert be heard again, which the worker does within a second; raises NotFoundError."""
    async with connection.transaction():
        await _locked(connection, alert_id)
        if await fetch_value(connection, _SQL["unshelve"], {"id": alert_id}) is not None:
            await connection.execute(_SQL["tell_unshelved"], {"id": alert_id, "actor": actor})


async def _locked(connection: Connection, alert_id: int) -> _Locked:
    found = await fetch_one(connection, _SQL["lock"], {"id": alert_id}, _Locked)
    if found is None:
        raise NotFoundError("alert", str(alert_id))
    return found
