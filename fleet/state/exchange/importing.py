"""Entering many lines at once: examined as a whole, all or none, in one transaction and a few statements.

The good lines of a file go into a temporary table; the kind's own queries say what the books have against them, then
enter the rest. A dry run does all of that and takes it back, so that it tells exactly what an import would.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID, uuid4

from psycopg import AsyncConnection, Rollback, errors
from psycopg.rows import class_row, scalar_row

from fleet.access.principal import Principal
from fleet.db.queries import Queries, load_queries
from fleet.errors import ConflictError
from fleet.state.exchange.table import BadLine, Table
from fleet.state.texts import slug_of

L = TypeVar("L")
Connection = AsyncConnection[Any]

LINES_AT_ONCE = 200
"""Lines that are read before others get a turn; a server goes on answering during an import."""
STATEMENT_TIMEOUT_S = 120
_NAMES = load_queries("fleet.state.exchange", "names.sql")


@dataclass(frozen=True, slots=True)
class Options:
    """How to import: `dry_run` stores nothing, `update` changes what is known, `skip_bad` imports the good lines."""

    dry_run: bool = False
    update: bool = False
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What an import did; with `done` false nothing was stored, and unless it was a dry run `bad` tells why.

    The numbers of a dry run are those that an import would have had.
    """

    done: bool
    dry_run: bool = False
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    organisations_created: tuple[str, ...] = ()
    bad: tuple[BadLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """What was entered."""

    created: int
    updated: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One import as its queries need it."""

    connection: Connection
    by: Principal
    options: Options
    batch: UUID = field(default_factory=uuid4)

    @property
    def makes_names(self) -> bool:
        """Whether organisations, locations and kit types that are not known are entered: for the command line only."""
        return self.by.kind == "system"

    async def do(self, queries: Queries, *names: str, **values: Any) -> int:
        """Run queries one after the other; answers how many rows the last one touched."""
        count = 0
        for name in names:
            cursor = await self.connection.execute(queries[name], values or None)
            count = cursor.rowcount
        return count

    async def number(self, queries: Queries, name: str, **values: Any) -> int:
        """The only value of a query's only row."""
        async with self.connection.cursor(row_factory=scalar_row) as cursor:
            await cursor.execute(queries[name], values or None)
            return int(await cursor.fetchone() or 0)

    async def bad(self, queries: Queries, name: str, **values: Any) -> list[BadLine]:
        """The lines that a query has something against, with why."""
        async with self.connection.cursor(row_factory=class_row(BadLine)) as cursor:
            await cursor.execute(queries[name], values or None)
            return await cursor.fetchall()


class Importer(ABC, Generic[L]):
    """How lines of one kind are examined and entered.

    `queries` has `make_stage` and `copy_stage` (whose columns are `staged`, members of a line), `analyze_stage`,
    `lock`, `complaints` (line, key, reason), `drop_bad` and the count `staged`; `organisations` and `locations` are the
    members that name one, and then there is `forget_names` for those that only bad lines name.
    """

    kind: ClassVar[str]
    table: ClassVar[Table[Any]]
    queries: ClassVar[Queries]
    staged: ClassVar[tuple[str, ...]]
    organisations: ClassVar[tuple[str, ...]] = ()
    locations: ClassVar[tuple[str, ...]] = ()

    def row(self, line: L) -> tuple[Any, ...]:
        """A line as a row of the stage."""
        found: tuple[Any, ...] = attrgetter(*self.staged)(line)
        return found

    def prepared(self, lines: Iterable[L | BadLine], options: Options) -> Iterable[L | BadLine]:
        """The lines as they are to be staged."""
        return lines

    def values(self, run: Run) -> Mapping[str, Any]:
        """What `complaints` needs to know."""
        return {"update": run.options.update, "makes_names": run.makes_names}

    async def look(self, run: Run) -> None:
        """Note in the stage what `complaints` and `enter` both need to know."""

    @abstractmethod
    async def enter(self, run: Run) -> Counts:
        """Enter what is in the stage; the lines in question are good."""

    async def refused(self, run: Run) -> list[BadLine]:
        """Lines of the stage that were not entered after all: what they name is in the books, out of sight."""
        return []


async def import_lines(
    connection: Connection,
    importer: Importer[L],
    lines: Iterable[L | BadLine],
    options: Options,
    *,
    by: Principal,
) -> Report:
    """Enter the lines, or tell what is bad. In a transaction of its own, or within the caller's.

    Raises ConflictError when somebody changed the same things at the same moment, UsageError when the file breaks off.
    """
    run = Run(connection, by, options)
    report = Report(done=False)
    try:
        async with connection.transaction() as transaction:
            await run.do(_NAMES, "limit_statements", timeout=f"{STATEMENT_TIMEOUT_S}s")
            unreadable = await _stage(run, importer, importer.prepared(lines, options))
            await run.do(_NAMES, "prefer_indexes")
            report = await _imported(run, importer, unreadable)
            await run.do(_NAMES, "prefer_nothing")
            if not report.done:
                raise Rollback(transaction)
    except (errors.UniqueViolation, errors.ExclusionViolation) as error:
        told = (error.diag.message_detail or str(error)).splitlines()[0]
        raise ConflictError(f"the books changed meanwhile, or two lines exchange what is unique: {told}") from None
    return report


async def _imported(run: Run, importer: Importer[Any], unreadable: list[BadLine]) -> Report:
    options = run.options
    await run.do(importer.queries, "lock")
    await importer.look(run)
    found = await run.bad(importer.queries, "complaints", **importer.values(run))
    bad = _one_each(unreadable + found)
    if bad and not options.skip_bad:
        return Report(done=False, dry_run=options.dry_run, bad=bad)
    if found:
        await run.do(importer.queries, "drop_bad", lines=sorted({each.line for each in found}))
        if importer.organisations:
            await run.do(importer.queries, "forget_names")
    staged = await run.number(importer.queries, "staged")
    organisations = await _make_names(run)
    counts = await importer.enter(run)
    refused = await importer.refused(run)
    if refused:
        bad = _one_each([*bad, *refused])
        if not options.skip_bad:
            return Report(done=False, dry_run=options.dry_run, bad=bad)
    return Report(
        done=not options.dry_run,
        dry_run=options.dry_run,
        created=counts.created,
        updated=counts.updated,
        unchanged=staged - len(refused) - counts.created - counts.updated,
        organisations_created=organisations,
        bad=bad,
    )


async def _stage(run: Run, importer: Importer[L], lines: Iterable[L | BadLine]) -> list[BadLine]:
    """Copy the good lines to the stage, and what they name beside it; answers the bad ones."""
    bad: list[BadLine] = []
    organisations: set[str] = set()
    locations: set[str] = set()
    await run.do(importer.queries, "make_stage")
    async with run.connection.cursor() as cursor, cursor.copy(importer.queries["copy_stage"]) as copy:
        for count, line in enumerate(lines):
            if count % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if isinstance(line, BadLine):
                bad.append(line)
                continue
            organisations.update(getattr(line, name) for name in importer.organisations)
            locations.update(getattr(line, name) for name in importer.locations)
            await copy.write_row(importer.row(line))
    await _stage_names(run, organisations - {None}, locations - {None})
    await run.do(importer.queries, "analyze_stage")
    return bad


async def _stage_names(run: Run, organisations: set[str], locations: set[str]) -> None:
    await run.do(_NAMES, "make_organisations", "make_locations")
    for query, names in (("find_organisations", organisations), ("find_locations", locations)):
        given = sorted(names)
        await run.do(_NAMES, query, names=given, slugs=[slug_of(name) for name in given])


async def _make_names(run: Run) -> tuple[str, ...]:
    """Enter organisations and locations that lines name and the books do not know; the slugs of the organisations."""
    if not run.makes_names:
        return ()
    async with run.connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_NAMES["add_organisations"])
        made = tuple(sorted(await cursor.fetchall()))
    await run.do(_NAMES, "add_locations", "note_organisations", "note_locations")
    return made


def _one_each(bad: Iterable[BadLine]) -> tuple[BadLine, ...]:
    """In order of line, the first reason of each."""
    first: dict[int, BadLine] = {}
    for each in bad:
        first.setdefault(each.line, each)
    return tuple(first[number] for number in sorted(first))
