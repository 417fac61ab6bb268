"""Pages of a fleet of any size, in the order of ids or of when kits were heard, by filters and by verdict.

Three ways lead to a page, and the first that is short enough is taken. Where few kits pass what is indexed, all of them
are looked at. Where many do, the kits are walked in the order of the list, a page's worth at a time. Where many do and
the order is that of a column without an index (when a kit was heard), the latest state is read once, for a window of
time just long enough. Whatever way, `kit_facts` judges what is shown.
"""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row, scalar_row

from fleet.db.queries import load_queries
from fleet.errors import InvalidError
from fleet.state.reading import KitFacts
from fleet.state.verdict import Health

Connection = AsyncConnection[Any]

FEW = 5_000
"""So many kits are looked at one by one, at most, to find and sort a page."""
LOOKS = (2, 4)
"""How many candidates are walked per kit of the page, round by round, before the whole latest state is read instead."""
RARE = 0.1
"""A share of silent kits below which a walk would meet too few of them."""
SAMPLED = 100
"""Times of a sample of a hundredth that make a window: some thousands of kits."""
SCAN_BUDGET_S = 1.5
"""How long a page may look before it answers with what it found and a cursor to go on."""

_SQL = load_queries("fleet.state", "listing.sql")
_FIRST, _LAST = "", "~"
_EARLIEST, _LATEST = "-infinity", "infinity"
_MAX_ID = 2**31 - 1
_NEVER = "0"


class KitSort(StrEnum):
    """Orders of the list of kits; `-` is descending."""

    KIT = "kit"
    KIT_DOWN = "-kit"
    HEARD = "last_heard_at"
    HEARD_DOWN = "-last_heard_at"

    @property
    def down(self) -> bool:
        """Whether the last comes first."""
        return self in {KitSort.KIT_DOWN, KitSort.HEARD_DOWN}

    @property
    def by_time(self) -> bool:
        """Whether kits are in the order of when they were heard; never counts as earliest, ties go by id."""
        return self in {KitSort.HEARD, KitSort.HEARD_DOWN}


@dataclass(frozen=True, slots=True)
class KitFilter:
    """Which kits; None does not count. `q` is the beginning of a kit's id."""

    kit: str | None = None
    q: str | None = None
    state: str | None = None
    organisation: str | None = None
    owner: str | None = None
    location: str | None = None
    kit_type: str | None = None
    health: str | None = None

    @property
    def narrow(self) -> bool:
        """Whether anything but the verdict is chosen."""
        chosen = (self.kit, self.q, self.state, self.organisation, self.owner, self.location, self.kit_type)
        return any(each is not None for each in chosen)


@dataclass(frozen=True, slots=True)
class KitPosition:
    """Where a page ended: the key it is sorted by (an id, or seconds since 1970, 0 for never) and the kit's number."""

    key: str
    kit_id: int


@dataclass(frozen=True, slots=True)
class KitPage:
    """Kits in order; `end` is None when there are no more."""

    kits: list[KitFacts]
    end: KitPosition | None


@dataclass(frozen=True, slots=True)
class _Listed:
    kit_id: int | None
    kit: str | None
    heard_at: datetime | None


@dataclass(frozen=True, slots=True)
class _At:
    """A place in the list, with what comes next behind it. `time` counts only in the order of time."""

    kit: str
    time: datetime | str


@dataclass(frozen=True, slots=True)
class _Asked:
    """A page that is asked for; `values` are those of the queries, its place apart."""

    connection: Connection
    chosen: KitFilter
    sort: KitSort
    limit: int
    deadline: float
    values: Mapping[str, Any]

    async def rows(self, query: str, at: _At, **more: Any) -> list[_Listed]:
        """What a query finds beyond a place, one more than the page holds."""
        place = {"after": at.kit, "after_at": at.time, "limit": self.limit + 1}
        async with self.connection.cursor(row_factory=class_row(_Listed)) as cursor:
            # Not prepared: it is planned for the values at hand.
            await cursor.execute(_SQL[query], {**self.values, **place, **more}, prepare=False)
            return await cursor.fetchall()

    def late(self) -> bool:
        """Whether the page has looked long enough."""
        return clock.monotonic() >= self.deadline


@dataclass(frozen=True, slots=True)
class _Span:
    """Kits in order, more than the page holds or as many as there are; `end` is where to go on when time was over."""

    found: list[_Listed]
    end: KitPosition | None = None


async def list_kits(
    connection: Connection,
    chosen: KitFilter,
    *,
    sort: KitSort = KitSort.KIT,
    after: KitPosition | None = None,
    limit: int = 100,
    budget_s: float = SCAN_BUDGET_S,
) -> KitPage:
    """A page of kits.

    A page may hold fewer than `limit` and still have an `end` to go on from: when `budget_s` was over, and where a
    kit was judged otherwise just now. Raises InvalidError for a position that no page gave.
    """
    meant = await _meant(connection, chosen, after)
    if meant is None:
        return KitPage([], None)
    deadline = clock.monotonic() + budget_s
    asked = _Asked(connection, chosen, sort, limit, deadline, _values(chosen, sort, meant))
    span = await _span(asked, _place(sort, after, meant["after_kit"]))
    shown = span.found[:limit]
    end = _position(sort, shown[-1]) if len(span.found) > limit else span.end
    return KitPage(await _facts(connection, shown, chosen.health), end)


async def _meant(connection: Connection, chosen: KitFilter, after: KitPosition | None) -> dict[str, Any] | None:
    """What the reader sees, and the numbers of what is named; None when something named is not there."""
    names = {"organisation": chosen.organisation, "owner": chosen.owner, "location": chosen.location}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["meant"], {**names, "after_id": after.kit_id if after else None})
        (meant,) = await cursor.fetchall()
    if any(name is not None and meant[f"{what}_id"] is None for what, name in names.items()):
        return None
    return meant


def _values(chosen: KitFilter, sort: KitSort, meant: Mapping[str, Any]) -> dict[str, Any]:
    silent = None if chosen.health is None else chosen.health == Health.SILENT
    return {
        **meant,
        "kit": chosen.kit,
        "q": chosen.q,
        "state": chosen.state,
        "kit_type": chosen.kit_type,
        "health": chosen.health,
        "silent": silent,
        "down": sort.down,
        "by_time": sort.by_time,
        "few": FEW,
    }


def _place(sort: KitSort, after: KitPosition | None, after_kit: str | None) -> _At:
    if after is None:
        return _At(_LAST, _LATEST) if sort.down else _At(_FIRST, _EARLIEST)
    if not sort.by_time:
        return _At(after.key, _EARLIEST)
    try:
        seconds = float(after.key)
        time = datetime.fromtimestamp(seconds, UTC) if seconds else _EARLIEST
    except (ValueError, OverflowError, OSError):
        raise InvalidError("cursor", "is not one that this list gave") from None
    # A kit that is not to be seen any more: on behind all that were heard at the very same time.
    return _At(after_kit or (_FIRST if sort.down else _LAST), time)


def _position(sort: KitSort, last: _Listed) -> KitPosition:
    assert last.kit_id is not None
    assert last.kit is not None
    if not sort.by_time:
        return KitPosition(last.kit, last.kit_id)
    return KitPosition(_NEVER if last.heard_at is None else _seconds(last.heard_at), last.kit_id)


def _ended(asked: _Asked, last: _Listed | None) -> KitPosition | None:
    return None if last is None else _position(asked.sort, last)


def _seconds(time: datetime) -> str:
    return f"{time.timestamp():.6f}"


async def _span(asked: _Asked, at: _At) -> _Span:
    if asked.chosen.health is None and not asked.sort.by_time:
        return _Span(await asked.rows(_within(asked, "walk_kits"), at))
    found = await _few(asked, at)
    if found is not None:
        return _Span(found)
    return await (_by_time(asked, at) if asked.sort.by_time else _by_kit(asked, at))


def _within(asked: _Asked, query: str) -> str:
    """The same walk for those who see some organisations only, unless few kits are meant whoever they belong to."""
    pointed = asked.chosen.kit is not None or asked.chosen.location is not None
    return query if asked.values["everything"] or pointed else f"{query}_within"


async def _few(asked: _Asked, at: _At) -> list[_Listed] | None:
    """The page out of all that pass, where those are few; None where they are many."""
    health, state = asked.chosen.health, asked.chosen.state
    if health == Health.SILENT:
        state = state or "installed"
    mark = None if health == Health.SILENT else health
    found: list[_Listed] | None = None
    if mark is not None or not (asked.chosen.narrow or asked.values["everything"]):
        found = await asked.rows("few_marked", at, mark=mark, state=state)
    if (found is None or _many(found)) and (asked.chosen.narrow or health == Health.SILENT):
        found = await asked.rows("few_kits", at, state=state)
    return None if found is None or _many(found) else found


def _many(found: Sequence[_Listed]) -> bool:
    return bool(found) and found[0].kit_id is None


async def _by_kit(asked: _Asked, at: _At) -> _Span:
    """Walk in order as long as most of those met pass; else read the latest state as a whole."""
    health = asked.chosen.health
    assert health is not None
    if health == Health.SILENT and await _value(asked, "silent_share") < RARE:
        return _Span(await asked.rows("scan", at))
    found, last = await _walk(asked, at, health)
    if last is None or health == Health.UNKNOWN:
        return _Span(found, _ended(asked, last))
    return _Span(found + await asked.rows("scan", _behind(last)))


async def _by_time(asked: _Asked, at: _At) -> _Span:
    """Those that were never heard, by id, before (`down`: behind) those that were, window by window."""
    health, down = asked.chosen.health, asked.sort.down
    span = _Span([])
    if health != Health.UNKNOWN and (down and at.time != _EARLIEST):
        span = await _windows(asked, at)
        at = _At(_LAST, _EARLIEST)
    if health in (None, Health.UNKNOWN) and at.time in (_EARLIEST, _LATEST) and not _full(asked, span):
        found, last = await _walk(asked, at, Health.UNKNOWN)
        span = _Span(span.found + found, _ended(asked, last))
        at = _At(_LAST, _EARLIEST)
    if health != Health.UNKNOWN and not down and not _full(asked, span):
        later = await _windows(asked, at)
        span = _Span(span.found + later.found, later.end)
    return span


def _full(asked: _Asked, span: _Span) -> bool:
    return len(span.found) > asked.limit or span.end is not None


async def _walk(asked: _Asked, at: _At, health: str) -> tuple[list[_Listed], _Listed | None]:
    """The next by id that are judged so, and the last that was met, None when they are enough or all."""
    found: list[_Listed] = []
    last: _Listed | None = None
    looks = list(LOOKS)
    while looks or (health == Health.UNKNOWN and not asked.late()):
        look = asked.limit * looks.pop(0) + 1 if looks else FEW
        if health == Health.SILENT:
            walked = await asked.rows(_within(asked, "walk_kits"), at, limit=look, state="installed")
        else:
            walked = await asked.rows(_within(asked, "walk_marked"), at, limit=look, mark=health)
        found += await _fitting(asked, walked, health)
        if len(walked) < look or len(found) > asked.limit:
            return found, None
        last = walked[-1]
        at = _behind(last)
    return found, last


def _behind(last: _Listed) -> _At:
    return _At(last.kit or _LAST, _EARLIEST)


async def _fitting(asked: _Asked, walked: Sequence[_Listed], health: str) -> list[_Listed]:
    """Those of the walked that pass all filters."""
    if health == Health.UNKNOWN and not asked.chosen.narrow:
        return list(walked)
    values = {**asked.values, "kit_ids": [each.kit_id for each in walked], "health": health}
    async with asked.connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["fitting"], values, prepare=False)
        fit = set(await cursor.fetchall())
    return [each for each in walked if each.kit_id in fit]


async def _windows(asked: _Asked, at: _At) -> _Span:
    """Kits in the order of when they were heard, from a place on."""
    found: list[_Listed] = []
    far = _EARLIEST if asked.sort.down else _LATEST
    while True:
        edge = await _edge(asked, at)
        found += await asked.rows("window", at, edge=edge or far)
        if edge is None or len(found) > asked.limit:
            return _Span(found)
        at = _At(_FIRST if asked.sort.down else _LAST, edge)
        if asked.late():
            return _Span(found, KitPosition(_seconds(edge), _MAX_ID))


async def _edge(asked: _Asked, at: _At) -> datetime | None:
    """How far the next window reaches; None when few are left."""
    edge: datetime | None = await _value(asked, "edge", after_at=at.time, sampled=SAMPLED)
    return edge


async def _value(asked: _Asked, query: str, **more: Any) -> Any:
    async with asked.connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL[query], {**asked.values, **more}, prepare=False)
        return await cursor.fetchone()


async def _facts(connection: Connection, listed: Sequence[_Listed], health: str | None) -> list[KitFacts]:
    if not listed:
        return []
    ids = [each.kit_id for each in listed]
    async with connection.cursor(row_factory=class_row(KitFacts)) as cursor:
        await cursor.execute(_SQL["facts"], {"kit_ids": ids, "health": health})
        rows = {row.kit_id: row for row in await cursor.fetchall()}
    return [rows[kit_id] for kit_id in ids if kit_id in rows]
