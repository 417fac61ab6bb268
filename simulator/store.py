"""Reads the server's `grafana_*` views; nothing is ever written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.rows import class_row, scalar_row

from simulator.errors import UnavailableError

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_CHUNK = 10_000


@cache
def queries() -> dict[str, bytes]:
    """Every query of `checks.sql` by name."""
    parts = _NAME.split(resources.files(__package__).joinpath("checks.sql").read_text(encoding="utf-8"))
    return {name: body.strip().rstrip(";").encode() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One row of `grafana_messages`."""

    kit: str
    kind: str
    boot: str | None
    seq: int | None
    command: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """One row of `grafana_alerts`."""

    kit: str
    rule: str
    state: str
    opened_at: datetime
    cleared_at: datetime | None
    suppressed_by: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """One row of `grafana_service_requests`."""

    number: str
    kit: str | None
    incident: int | None
    cause: str
    state: str
    opened_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Incident:
    """One row of `grafana_incidents`."""

    id: int
    rule: str
    state: str
    opened_at: datetime
    cleared_at: datetime | None
    members: int
    cohort: str = "fleet="


class Store:
    """A read-only connection; every database error becomes UnavailableError with one line."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.Connection.connect(
            dsn, connect_timeout=10, application_name="simulator", options="-c default_transaction_read_only=on"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def known_kits(self, kits: list[str]) -> int:
        """How many of `kits` are in the books."""
        with self._connection.transaction(), self._connection.cursor(row_factory=scalar_row) as cursor:
            return int(cursor.execute(queries()["kits_known"], {"kits": kits}).fetchone() or 0)

    def messages(
        self, *, since: datetime, until: datetime, boot_prefix: str, kits: list[str]
    ) -> Iterator[StoredMessage]:
        """Stored messages of our boots and replies of our kits, streamed."""
        wanted = {"from": since, "to": until, "boot_prefix": boot_prefix, "kits": kits}
        with (
            self._connection.transaction(),
            self._connection.cursor("ledger", row_factory=class_row(StoredMessage)) as cursor,
        ):
            cursor.itersize = _CHUNK
            yield from cursor.execute(queries()["stored"], wanted)

    def quarantined(self, since: datetime) -> dict[tuple[str, str], int]:
        """Rows in quarantine by topic and reason."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            rows = cursor.execute(queries()["quarantined"], {"from": since})
            return {(topic, reason): count for topic, reason, count in rows}

    def alerts(self, window: dict[str, Any]) -> list[Alert]:
        """Alerts of our kits opened in the window (`from`, `to`, `kits`)."""
        with self._connection.transaction(), self._connection.cursor(row_factory=class_row(Alert)) as cursor:
            return cursor.execute(queries()["alerts"], window).fetchall()

    def requests(self, window: dict[str, Any]) -> list[Request]:
        """Service requests of our kits, and of any incident, opened in the window."""
        with self._connection.transaction(), self._connection.cursor(row_factory=class_row(Request)) as cursor:
            return cursor.execute(queries()["requests"], window).fetchall()

    def incidents(self, window: dict[str, Any]) -> list[Incident]:
        """Incidents opened in the window."""
        with self._connection.transaction(), self._connection.cursor(row_factory=class_row(Incident)) as cursor:
            return cursor.execute(queries()["incidents"], window).fetchall()


def open_store(dsn: str) -> Store:
    """Connect; raises UnavailableError with one line."""
    try:
        return Store(dsn)
    except psycopg.Error as error:
        raise database_error(error) from None


def database_error(error: psycopg.Error) -> UnavailableError:
    """The database's complaint as one line, without the address (it may hold a password)."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return UnavailableError(f"the database cannot be read: {lines[-1].strip()}")
