"""What can be taken out of the books, as CSV that an import reads back, or as NDJSON.

A kind is one query with the columns of its file, in a transaction that says what its reader may see; it is read
through a cursor on the server, so that neither side holds more than a few thousand rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from fleet.access.roles import Permission
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_value
from fleet.errors import InvalidError, NotFoundError
from fleet.state.exchange.cells import cell

ROWS_AT_ONCE = 2000
MAX_SPAN = timedelta(days=400)
USUAL_SPAN = timedelta(days=31)
_SQL = load_queries("fleet.state.exchange", "exports.sql")


class Format(StrEnum):
    """How an export is written."""

    CSV = "csv"
    NDJSON = "ndjson"


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of export; `query` knows `%(organisation)s`, a slug or null, when it is `by_organisation`.

    What is `by_span` is of one kit within a range of time: `%(kit)s`, `%(start)s`, `%(end)s`. Reading what is
    `sensitive` is noted in the audit, one line for each export, with this action.
    """

    kind: str
    permission: Permission
    query: bytes
    by_organisation: bool = True
    sensitive: str | None = None
    by_span: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """One kit within a range of time; `start` is in, `end` is not."""

    kit: str
    start: datetime
    end: datetime


EXPORTS = (
    Export("organisations", Permission.ORGANISATIONS_READ, _SQL["organisations"], by_organisation=False),
    Export("locations", Permission.LOCATIONS_READ, _SQL["locations"]),
    Export("models", Permission.CATALOGUE_READ, _SQL["models"], by_organisation=False),
    Export("kit-types", Permission.CATALOGUE_READ, _SQL["kit_types"], by_organisation=False),
    Export("components", Permission.COMPONENTS_READ, _SQL["components"]),
    Export("kits", Permission.KITS_READ, _SQL["kits"]),
    Export("placements", Permission.PLACEMENTS_READ, _SQL["placements"], sensitive="placement.exported"),
    Export("book-events", Permission.KITS_READ, _SQL["book_events"]),
    Export("stays", Permission.KITS_READ, _SQL["stays"]),
    Export("latest-states", Permission.TELEMETRY_READ, _SQL["latest_states"]),
    Export("heartbeats", Permission.TELEMETRY_READ, _SQL["heartbeats"], by_organisation=False, by_span=True),
    Export("quarantine", Permission.QUARANTINE_READ, _SQL["quarantine"], by_organisation=False),
    Export(
        "quarantine-payloads",
        Permission.QUARANTINE_PAYLOAD,
        _SQL["quarantine_payloads"],
        by_organisation=False,
        sensitive="quarantine.exported",
    ),
    Export("users", Permission.USERS_READ, _SQL["users"], sensitive="users.exported"),
)
"""The exports of the books."""


def span_of(kit: str, start: datetime | None, end: datetime | None) -> Span:
    """A kit within a range of time, by itself the last 31 days; raises InvalidError for one too long or reversed."""
    end = end or datetime.now(UTC) + timedelta(minutes=3)
    start = start or end - USUAL_SPAN
    if start >= end:
        raise InvalidError("from", "must be before to")
    if end - start > MAX_SPAN:
        raise InvalidError("from", f"at most {MAX_SPAN.days} days before to")
    return Span(kit, start, end)


async def find_kit(connection: Connection, kit: str) -> None:
    """Raises NotFoundError unless the reader knows the kit, now or of a time that was theirs."""
    if await fetch_value(connection, _SQL["kit_known"], {"kit": kit}) is None:
        raise NotFoundError("kit", kit)


async def note_export(connection: Connection, export: Export, *, organisation: str | None) -> None:
    """Note the reading of what is sensitive, before it is read; to be committed by then."""
    if export.sensitive is not None:
        values = {"action": export.sensitive, "kind": export.kind, "organisation": organisation}
        await connection.execute(_SQL["note"], values)


async def written(
    connection: Connection,
    export: Export,
    form: Format,
    *,
    organisation: str | None = None,
    span: Span | None = None,
) -> AsyncGenerator[str, None]:
    """The file, piece by piece; what is `by_span` takes a `span`."""
    values: dict[str, Any] | None = {"organisation": organisation} if export.by_organisation else None
    if export.by_span:
        assert span is not None
        values = {"kit": span.kit, "start": span.start, "end": span.end}
    async with connection.transaction(), connection.cursor("export") as cursor:
        await cursor.execute(export.query, values)
        names = [column.name for column in cursor.description or ()]
        if form is Format.CSV:
            yield _csv([names])
        while rows := await cursor.fetchmany(ROWS_AT_ONCE):
            yield _csv([map(cell, row) for row in rows]) if form is Format.CSV else _ndjson(names, rows)


def _csv(rows: Iterable[Iterable[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _ndjson(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    encode = msgspec.json.Encoder().encode
    return b"".join(encode(dict(zip(names, row, strict=True))) + b"\n" for row in rows).decode()
