"""The audit: who did and saw what; read, exported, and redacted where a text must not be kept.

Nothing here writes lines of changes, the tables do that themselves (`audited()`); reads of what is sensitive are noted
with `note`. The chain over the lines is in fleet/access/sealing.py.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from fleet.access.chain import Head
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import NotFoundError

_SQL = load_queries("fleet.access", "audit.sql")

EXPORT_PAGE = 1_000
LAST_ID = 2**63 - 1
FIRST_LOOK = 8
"""How many lines of each organisation are looked at to see how close together lines lie."""
WIDER = (1.5, 6.0, 24.0)
"""How much longer the stretches of time that are read next are than what would hold as many lines as still lack."""
LONGEST_STRETCH_S = 1e9


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the audit.

    `origin` is the caller's address; `subject` the key of what was changed or read, None when one line tells of many
    rows; `organisation` and `kit` whose it was then; `before` and `after` hold only what changed.
    """

    id: int
    at: datetime
    actor: str
    principal: str | None
    origin: str | None
    action: str
    subject_kind: str
    subject: str | None
    organisation: str | None
    kit: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    redacted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which lines; None leaves all. `since` is in, `until` is not."""

    actor: str | None = None
    principal: str | None = None
    action: str | None = None
    subject_kind: str | None = None
    subject: str | None = None
    kit: str | None = None
    organisation: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the chain stands; `unsealed` lines wait for their link (counted to a million), the oldest since when."""

    head: Head
    unsealed: int
    unsealed_since: datetime | None


@dataclass(frozen=True, slots=True)
class _Key:
    """Where a line stands, None where a look found none; `complete`: nothing was left out between those found."""

    at: datetime | None
    audit_id: int | None
    complete: bool


class Format(StrEnum):
    """How lines are exported: one JSON object a line, or CSV with a header."""

    NDJSON = "ndjson"
    CSV = "csv"


async def list_lines(
    connection: Connection, filters: Filters, *, before: tuple[datetime, int] | None = None, limit: int = 100
) -> list[Line]:
    """Lines, the newest first; `before` is time and number of the last one seen."""
    # Begun at the bound: the index would be entered at the end of all otherwise.
    first = ("infinity", LAST_ID) if filters.until is None else (filters.until, 0)
    return await _page(connection, filters, before or first, limit, down=True)


async def find_line(connection: Connection, number: int) -> Line:
    """One line; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"id": number}, Line)
    if found is None:
        raise NotFoundError("audit line", str(number))
    return found


async def export_page(
    connection: Connection, filters: Filters, *, after: tuple[datetime, int] | None = None
) -> list[Line]:
    """The next `EXPORT_PAGE` lines, the oldest first, behind this time and number; fewer at the end."""
    return await _page(connection, filters, after or (filters.since or "-infinity", 0), EXPORT_PAGE, down=False)


async def export(connection: Connection, filters: Filters, form: Format) -> AsyncIterator[str]:
    """Every line in pieces of text; notes first that they were taken out."""
    await note_export(connection, filters, form)
    for piece in written([], form, header=True):
        yield piece
    after = None
    while page := await export_page(connection, filters, after=after):
        for piece in written(page, form):
            yield piece
        after = page[-1].at, page[-1].id


async def note_export(connection: Connection, filters: Filters, form: Format) -> None:
    """Tell in the audit that lines of it were exported, and which."""
    chosen = {name: str(value) for name, value in asdict(filters).items() if value is not None}
    await note(connection, "audit.exported", "audit", None, after={"format": form.value, **chosen})


def written(lines: Iterable[Line], form: Format, *, header: bool = False) -> Iterable[str]:
    """Lines as text; with `header` the head of a CSV comes first."""
    if form is Format.NDJSON:
        return (json.dumps(asdict(line), default=_plain, ensure_ascii=False) + "\n" for line in lines)
    out = io.StringIO()
    writer = csv.writer(out)
    if header:
        writer.writerow([each.name for each in fields(Line)])
    writer.writerows([_cell(value) for value in asdict(line).values()] for line in lines)
    return [out.getvalue()]


async def note(
    connection: Connection,
    action: str,
    subject_kind: str,
    subject: str | None,
    *,
    after: dict[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    """A line about something that no table tells by itself, such as a read of what is sensitive."""
    values = {"action": action, "subject_kind": subject_kind, "subject": subject, "reason": reason}
    await connection.execute(_SQL["note"], {**values, "after": None if after is None else Jsonb(after)})


async def standing(connection: Connection) -> Standing:
    """Where the chain stands."""
    (row,) = await fetch_dicts(connection, _SQL["head"], {})
    return Standing(Head(row["position"], bytes(row["hash"])), row["unsealed"], row["unsealed_since"])


async def redact_line(connection: Connection, number: int, keys: list[str], *, why: str) -> Line:
    """Empty texts of a line for good: `reason`, or what stands by these names in before and after.

    The chain keeps a digest of what stood there, without the salt to try guesses with. Raises NotFoundError.
    """
    await find_line(connection, number)
    await fetch_value(connection, _SQL["redact"], {"id": number, "keys": keys, "why": why})
    return await find_line(connection, number)


async def redact_book_event(connection: Connection, number: int, keys: list[str], *, why: str) -> None:
    """The same for an event of the books, and for the lines that tell of it; raises NotFoundError."""
    if not await fetch_dicts(connection, _SQL["sees_book_event"], {"id": number}):
        raise NotFoundError("book event", str(number))
    await fetch_value(connection, _SQL["redact_book_event"], {"id": number, "keys": keys, "why": why})


async def _page(
    connection: Connection, filters: Filters, place: tuple[datetime | str, int], limit: int, *, down: bool
) -> list[Line]:
    values = {**asdict(filters), "at": place[0], "id": place[1], "limit": limit, "down": down}
    (meant,) = await fetch_dicts(connection, _SQL["meant"], values)
    if (filters.organisation and meant["organisation_id"] is None) or (filters.kit and meant["kit_id"] is None):
        return []
    ids = [number for _, number in await _keys(connection, filters, values | meant)]
    lines = {line.id: line for line in await fetch_all(connection, _SQL["lines"], {"ids": ids}, Line)} if ids else {}
    return [lines[number] for number in ids if number in lines]


async def _keys(connection: Connection, filters: Filters, values: dict[str, Any]) -> list[tuple[datetime, int]]:
    """The keys of a page in order; by organisation where the order of time alone would meet too much of others."""
    chosen = any((filters.actor, filters.principal, filters.action, filters.subject_kind))
    if filters.subject or filters.kit or (values["everything"] and (filters.organisation or not chosen)):
        return (await _look(connection, "walk", values))[0]
    limit = values["limit"]
    found, complete = await _look(connection, "walk_within", {**values, "most": min(FIRST_LOOK, limit)})
    if len(found) == limit or complete:
        return found
    found += await _further(connection, values, found)
    return found


async def _further(
    connection: Connection, values: dict[str, Any], found: list[tuple[datetime, int]]
) -> list[tuple[datetime, int]]:
    """The keys behind those found, until the page is full: stretch by stretch of time, then whatever there is."""
    more: list[tuple[datetime, int]] = []
    lacking = values["limit"] - len(found)
    asked = dict(values)
    if found:
        (first, _), (last, number) = found[0], found[-1]
        asked |= {"at": last, "id": number}
        each_s = abs((last - first).total_seconds()) / len(found)
        for wider in WIDER if each_s else ():
            bounded, edge = _stretch(asked, min(each_s * lacking * wider, LONGEST_STRETCH_S))
            more += (await _look(connection, "walk_within", {**bounded, "limit": lacking, "most": lacking}))[0]
            lacking = values["limit"] - len(found) - len(more)
            if not lacking:
                return more
            asked |= {"at": edge, "id": 0}
    return more + (await _look(connection, "walk_within", {**asked, "limit": lacking, "most": lacking}))[0]


def _stretch(asked: dict[str, Any], length_s: float) -> tuple[dict[str, Any], datetime]:
    """What is asked for, bounded to a stretch of time from where it stands; and the end of it."""
    length = timedelta(seconds=length_s)
    if asked["down"]:
        edge = asked["at"] - length
        return {**asked, "since": max(edge, asked["since"] or edge)}, edge
    edge = asked["at"] + length
    return {**asked, "until": min(edge, asked["until"] or edge)}, edge


async def _look(connection: Connection, query: str, values: dict[str, Any]) -> tuple[list[tuple[datetime, int]], bool]:
    """The keys that a query finds, and whether there are no more behind them."""
    keys = await fetch_all(connection, _SQL[query], values, _Key)
    return [(key.at, key.audit_id) for key in keys if key.at and key.audit_id], all(key.complete for key in keys)


def _plain(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return value.isoformat() if isinstance(value, datetime) else value
