"""The quarantine as people see it: why a message was refused, and to few what stood in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import NotFoundError

_SQL = load_queries("fleet.state", "quarantine.sql")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that could not be taken; `redacted_at` is when what stood in it was removed."""

    id: int
    received_at: datetime
    topic: str
    reason: str
    detail: str
    size_bytes: int
    redacted_at: datetime | None


async def list_quarantined(
    connection: Connection, *, before: int, limit: int, reason: str | None = None, topic: str | None = None
) -> list[Quarantined]:
    """Messages, the newest first, by number below `before`."""
    values = {"before": before, "limit": limit, "reason": reason, "topic": topic}
    return await fetch_all(connection, _SQL["list"], values, Quarantined)


async def reveal(connection: Connection, number: int) -> tuple[Quarantined, bytes]:
    """A message with the first 4 KiB of what stood in it; notes the read in the audit. Raises NotFoundError."""
    found = await fetch_dicts(connection, _SQL["reveal"], {"id": number})
    if not found:
        raise NotFoundError("quarantined message", str(number))
    row = found[0]
    payload = bytes(row.pop("payload"))
    del row["note_audit"]
    return Quarantined(**row), payload


async def redact(connection: Connection, number: int, *, why: str) -> Quarantined:
    """Remove what stood in a message, and what its topic and our remark quote of it, for good.

    Doing it twice changes nothing. Raises NotFoundError.
    """
    await fetch_value(connection, _SQL["redact"], {"id": number, "why": why})
    found = await fetch_one(connection, _SQL["find"], {"id": number}, Quarantined)
    if found is None:
        raise NotFoundError("quarantined message", str(number))
    return found
