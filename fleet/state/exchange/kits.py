"""Kits into the books: new ones as their opening balance says they stand, and with `update` known ones changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, ClassVar

from psycopg.types.json import Jsonb

from fleet.access.roles import Permission
from fleet.db.queries import load_queries
from fleet.state.exchange import cells
from fleet.state.exchange.importing import Counts, Importer, Options, Run
from fleet.state.exchange.table import BadLine, Table
from fleet.state.kits import bad_value


@dataclass(frozen=True, slots=True)
class KitLine:
    """One kit to import; None says nothing.

    `organisation` (whose it is), `owner` (who bought it) and `location` are slugs or names; `since` is when a new kit
    came into its state.
    """

    kit: str
    label: str | None = None
    state: str | None = None
    organisation: str | None = None
    kit_type: str | None = None
    expected_interval_s: int | None = None
    tolerance: float | None = None
    wanted_components: dict[str, str] | None = None
    owner: str | None = None
    location: str | None = None
    since: datetime | None = None
    line: int = 0


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no number") from None


def _seconds(text: str) -> int:
    try:
        return cells.whole(text)
    except ValueError as error:
        raise ValueError(f"{error} of seconds") from None


def _checked(name: str, parse: Callable[[str], Any] = str) -> cells.Parser:
    """A cell of the column `name`, held to the rules that kits have everywhere."""

    def read(text: str) -> Any:
        value = parse(text)
        reason = bad_value(name, value)
        if reason is not None:
            raise ValueError(reason)
        return value

    return read


TABLE = Table(
    columns={
        "kit": _checked("kit"),
        "label": cells.line,
        "state": _checked("state"),
        "organisation": cells.named,
        "kit_type": cells.line,
        "expected_interval_s": _checked("expected_interval_s", _seconds),
        "tolerance": _checked("tolerance", _number),
        "wanted_components": _checked("wanted_components", cells.versions),
        "owner": cells.named,
        "location": cells.named,
        "since": cells.moment,
    },
    key=("kit",),
    make=KitLine,
)


class KitImporter(Importer[KitLine]):
    """A kit that is known, or stands twice, is bad; with `update` it is changed, and what a later line says wins.

    A new state or place of a known kit is an opening balance too: nobody asks its guards, so it takes the permission
    to correct the books.
    """

    kind = "kits"
    table: ClassVar[Table[KitLine]] = TABLE
    queries = load_queries("fleet.state.exchange", "kits.sql")
    staged = ("line", *TABLE.columns)
    organisations = ("organisation", "owner")
    locations = ("location",)

    def prepared(self, lines: Iterable[KitLine | BadLine], options: Options) -> Iterable[KitLine | BadLine]:
        """With `update`, one line for each kit."""
        return _merged(lines) if options.update else lines

    def values(self, run: Run) -> dict[str, Any]:
        """Also whose kits may get another state or place without a step."""
        corrects = run.by.scope(Permission.BOOKS_CORRECT).organisations
        return {
            "update": run.options.update,
            "makes_names": run.makes_names,
            "corrects_all": corrects is None,
            "corrects": sorted(corrects or ()),
        }

    def row(self, line: KitLine) -> tuple[Any, ...]:
        """As JSON what the stage keeps as JSON."""
        wanted = None if line.wanted_components is None else Jsonb(line.wanted_components)
        return tuple(wanted if name == "wanted_components" else getattr(line, name) for name in self.staged)

    async def enter(self, run: Run) -> Counts:
        """Change what is known, then add what is not."""
        if run.makes_names:
            await run.do(self.queries, "add_kit_types")
        updated = await self._update(run) if run.options.update else 0
        await run.do(self.queries, "make_added")
        created = await run.number(self.queries, "insert_kits")
        if created:
            # Statements of their own: the policies of these tables ask for the kit, which must be visible by then.
            await run.do(self.queries, "insert_latest", "insert_custodies", "insert_stays")
            await run.do(self.queries, "log_added", actor=run.by.actor, batch=run.batch)
        await run.do(self.queries, "announce_changed" if run.options.update else "announce")
        return Counts(created, updated)

    async def refused(self, run: Run) -> list[BadLine]:
        """Kits that exist where the caller sees nothing."""
        return await run.bad(self.queries, "not_entered")

    async def _update(self, run: Run) -> int:
        about = {"actor": run.by.actor, "batch": run.batch}
        await run.do(self.queries, "make_change", "drop_unchanged", "analyze_change", "lock_latest")
        await run.do(
            self.queries, "end_placements", "begin_placements", "close_stays", "cut_stays", "open_changed_stays"
        )
        await run.do(self.queries, "close_custodies", "cut_custodies", "open_changed_custodies")
        await run.do(self.queries, "log_pieces", **about)
        updated = await run.do(self.queries, "update_kits")
        await run.do(self.queries, "set_watches")
        await run.do(self.queries, "log_changes", **about)
        await run.do(self.queries, "enqueue_changes")
        return updated


_VALUES = tuple(f.name for f in fields(KitLine) if f.name not in {"kit", "line"})


def _merged(lines: Iterable[KitLine | BadLine]) -> Iterable[KitLine | BadLine]:
    merged: dict[str, KitLine] = {}
    for line in lines:
        if isinstance(line, BadLine):
            yield line
            continue
        known = merged.get(line.kit)
        said = {name: getattr(line, name) for name in _VALUES if getattr(line, name) is not None}
        merged[line.kit] = line if known is None else replace(known, line=line.line, **said)
    yield from merged.values()
