"""Entering many kits at once: all or nothing, set-based, as opening balances in the log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row, scalar_row
from psycopg.types.json import Jsonb

from fleet.db.queries import load_queries
from fleet.state.kitfile import BadLine, KitFile, KitLine, problem
from fleet.state.ledger.log import Books
from fleet.state.ledger.store import opened
from fleet.state.ledger.writing import project
from fleet.state.texts import slug_of

_SQL = load_queries("fleet.state", "importing.sql")

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did; with `done` false nothing was stored and `bad` tells why."""

    done: bool
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    organisations_created: tuple[str, ...] = ()
    bad: tuple[BadLine, ...] = ()


@dataclass(frozen=True, slots=True)
class _Existing:
    line: int
    kit: str


async def import_kits(
    connection: Connection,
    rows: Iterable[KitLine] | KitFile,
    *,
    actor: str,
    update: bool = False,
    skip_bad: bool = False,
) -> ImportReport:
    """Enter kits, and with `update` change those that exist, in one transaction.

    A kit that exists or stands twice is bad unless `update` (then what a later line says wins). Nothing is
    stored when any line is bad, unless `skip_bad`. Organisations that do not exist are entered.
    """
    read = rows if isinstance(rows, KitFile) else _checked(rows)
    bad = list(read.bad)
    lines = _merged(read.lines) if update else _unique(read.lines, bad)
    if bad and not skip_bad:
        return ImportReport(done=False, bad=tuple(sorted(bad, key=lambda each: each.line)))
    async with connection.transaction():
        await _stage(connection, lines)
        existing = [] if update else await _existing(connection)
        bad += [BadLine(each.line, each.kit, "kit: exists already") for each in existing]
        ordered = tuple(sorted(bad, key=lambda each: each.line))
        if bad and not skip_bad:
            return ImportReport(done=False, bad=ordered)
        await connection.execute(_SQL["drop_existing"]) if existing else None
        return replace(await _enter(connection, actor, update=update), bad=ordered)


async def export_kits(connection: Connection) -> AsyncIterator[dict[str, Any]]:
    """Every kit with the columns of the file, by id, through a cursor on the server."""
    async with connection.transaction(), connection.cursor("kits", row_factory=dict_row) as cursor:
        cursor.itersize = 5000
        await cursor.execute(_SQL["export"])
        async for row in cursor:
            yield row


def _checked(rows: Iterable[KitLine]) -> KitFile:
    """Lines made by code are numbered by position and checked like those of a file."""
    read = KitFile()
    for number, given in enumerate(rows, 1):
        line = given if given.line else replace(given, line=number)
        reason = problem(line)
        if reason is None:
            read.lines.append(line)
        else:
            read.bad.append(BadLine(line.line, line.kit, reason))
    return read


def _unique(lines: Iterable[KitLine], bad: list[BadLine]) -> list[KitLine]:
    seen: dict[str, KitLine] = {}
    for line in lines:
        first = seen.setdefault(line.kit, line)
        if first is not line:
            bad.append(BadLine(line.line, line.kit, f"kit: stands in line {first.line} already"))
    return list(seen.values())


_VALUES = tuple(f.name for f in fields(KitLine) if f.name not in {"kit", "line"})


def _merged(lines: Iterable[KitLine]) -> list[KitLine]:
    merged: dict[str, KitLine] = {}
    for line in lines:
        known = merged.get(line.kit)
        if known is None:
            merged[line.kit] = line
            continue
        said = {name: getattr(line, name) for name in _VALUES if getattr(line, name) is not None}
        merged[line.kit] = replace(known, **said)
    return list(merged.values())


async def _stage(connection: Connection, lines: list[KitLine]) -> None:
    await connection.execute(_SQL["make_stage"])
    async with connection.cursor() as cursor, cursor.copy(_SQL["copy_stage"]) as copy:
        for line in lines:
            await copy.write_row(_stage_row(line))
    await connection.execute(_SQL["index_stage"])
    await connection.execute(_SQL["analyze_stage"])
    await connection.execute(_SQL["lock_kits"])


def _stage_row(line: KitLine) -> tuple[Any, ...]:
    wanted = None if line.wanted_components is None else json.dumps(line.wanted_components)
    return (
        line.line,
        line.kit,
        line.label,
        line.state,
        *_named(line.organisation),
        *_named(line.owner),
        line.kit_type,
        *_named(line.location),
        line.expected_interval_s,
        line.tolerance,
        wanted,
    )


def _named(text: str | None) -> tuple[str | None, str | None]:
    """A slug or name, as both."""
    return (None, None) if text is None else (slug_of(text), text)


async def _existing(connection: Connection) -> list[_Existing]:
    async with connection.cursor(row_factory=class_row(_Existing)) as cursor:
        await cursor.execute(_SQL["existing"])
        return await cursor.fetchall()


async def _enter(connection: Connection, actor: str, *, update: bool) -> ImportReport:
    staged = await _count(connection, b"SELECT count(*) FROM kit_stage")
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["add_organisations"])
        organisations = tuple(sorted(await cursor.fetchall()))
    for query in ("add_kit_types", "add_locations", "place_stage"):
        await connection.execute(_SQL[query])
    updated = await _update(connection, actor) if update else 0
    created = await _insert(connection, actor)
    if created or updated:
        body = Jsonb({"created": created, "updated": updated})
        await connection.execute(_SQL["announce"], {"body": body})
    return ImportReport(
        done=True,
        created=created,
        updated=updated,
        unchanged=staged - created - updated,
        organisations_created=organisations,
    )


async def _insert(connection: Connection, actor: str) -> int:
    await connection.execute(_SQL["make_added"])
    created = await _count(connection, _SQL["insert_kits"])
    if created:
        # Statements of their own: the policies of these tables ask for the kit, which must be visible by then.
        for query in ("insert_latest", "insert_custodies", "insert_stays"):
            await connection.execute(_SQL[query])
        await connection.execute(_SQL["log_added"], {"actor": actor})
    return created


async def _update(connection: Connection, actor: str) -> int:
    await connection.execute(_SQL["make_before"])
    await connection.execute(_SQL["drop_unchanged"])
    await connection.execute(_SQL["analyze_change"])
    await connection.execute(_SQL["lock_latest"])
    await connection.execute(_SQL["log_pieces"], {"actor": actor})
    for query in ("close_stays", "open_changed_stays", "close_custodies", "open_changed_custodies"):
        await connection.execute(_SQL[query])
    cursor = await connection.execute(_SQL["update_kits"])
    await connection.execute(_SQL["set_watches"])
    await connection.execute(_SQL["log_changes"], {"actor": actor})
    await connection.execute(_SQL["enqueue_changes"])
    await _house(connection)
    return cursor.rowcount


async def _house(connection: Connection) -> None:
    """Placements begin and end with what the file says of their kits."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["housed"])
        housed = await cursor.fetchall()
    if housed:
        async with opened(connection, kits=housed) as log:
            await project(connection, log, Books({kit_id: log.kit(kit_id) for kit_id in housed}, {}))


async def _count(connection: Connection, query: bytes, values: dict[str, Any] | None = None) -> int:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(query, values)
        row = await cursor.fetchone()
    return int(row or 0)
