"""The feed of changes: one reader per process, bounded queues to any number of streams.

Rows are read in the order (tx, event_id) below the snapshot's horizon, so a transaction that began early
and committed late is never skipped: nothing is handed on that something older could still precede.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import PoolClosed, PoolTimeout

from fleet import metrics
from fleet.access.entering import enter
from fleet.access.principal import Principal, Scope
from fleet.api.auth import Connection, Pool
from fleet.api.sight import Sight
from fleet.db.connect import first_line
from fleet.db.queries import load_queries
from fleet.log import get_logger

POLL_S = 0.5
MAX_WAIT_S = 4.0
READ_AT_ONCE = 500
QUEUE_ITEMS = 1000
MAX_SUBSCRIBERS = 200
MAX_CATCH_UP = 10_000
QUIET_S = 15.0
STREAM_LIVES_S = 300.0
START_WAIT_S = 3.0
RETRY_MS = 3000

READER = Principal("system", 0, "feed", ())

_SQL = load_queries("fleet.api", "feed.sql")
_LOG = get_logger("fleet.api.feed")
_ID = re.compile(r"(\d{1,20})-(\d{1,19})", re.ASCII)
_LAST = 2**63 - 1
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a reader stands: everything up to here was seen."""

    tx: int
    event_id: int

    def __str__(self) -> str:
        return f"{self.tx}-{self.event_id}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read a `Last-Event-ID`; None when it is none of ours."""
        found = _ID.fullmatch(text.strip())
        if found is None or int(found[1]) >= 2**63 or int(found[2]) > _LAST:
            return None
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the feed."""

    position: Position
    type: str
    data: dict[str, Any]
    organisations: tuple[int | None, ...] = ()
    """Whose it was when it happened: the responsible organisation and the owner."""

    def encode(self) -> bytes:
        """As a server-sent event."""
        return encode(self.type, self.data, self.position)


def encode(type_: str, data: dict[str, Any], position: Position | None) -> bytes:
    """One server-sent event; JSON never holds a raw line break, so `data` is one line."""
    id_ = f"id: {position}\n" if position is not None else ""
    return f"{id_}event: {type_}\ndata: {json.dumps(data, default=str)}\n\n".encode()


class Subscription:
    """One stream's bounded queue; `None` in it ends the stream."""

    def __init__(self, since: Position, sight: Sight) -> None:
        self.since = since
        self._sight = sight
        self.queue: asyncio.Queue[Change | None] = asyncio.Queue(QUEUE_ITEMS + 1)
        self.dropped = False

    def offer(self, change: Change) -> None:
        """Hand a change that may be seen on; a full queue ends the stream, which then resumes by its last id."""
        if self.dropped or not self._sight.sees(change.type, *change.organisations):
            return
        if self.queue.qsize() >= QUEUE_ITEMS:
            self.dropped = True
            metrics.EVENT_SUBSCRIBERS_DROPPED.inc()
            _LOG.warning("event stream dropped: its reader is too slow", queued=QUEUE_ITEMS)
            self.queue.put_nowait(None)
            return
        self.queue.put_nowait(change)

    def end(self) -> None:
        """Let the stream end after what is queued."""
        if not self.dropped:
            self.dropped = True
            self.queue.put_nowait(None)


class Feed:
    """Reads the table and hands changes to the subscriptions of this process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._subscriptions: set[Subscription] = set()
        self._position: Position | None = None
        self._known = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Poll until stopped; a database that is away is tried again."""
        wait_s = POLL_S
        while not self.stopped:
            try:
                full = await self.poll()
                wait_s = POLL_S
            except (psycopg.Error, PoolTimeout, PoolClosed) as error:
                if wait_s == POLL_S:
                    _LOG.warning("the feed cannot be read", error=first_line(error))
                full, wait_s = False, min(2 * wait_s, MAX_WAIT_S)
            if not full:
                await self._pause(wait_s)

    async def _pause(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._stopping.wait()

    def stop(self) -> None:
        """End the reading and every stream, and accept no more; for shutting down."""
        self._stopping.set()
        for subscription in self._subscriptions:
            subscription.end()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def has_room(self) -> bool:
        """Whether one more stream may begin."""
        return not self.stopped and len(self._subscriptions) < MAX_SUBSCRIBERS

    async def is_reading(self) -> bool:
        """Whether the feed knows where it stands; waits a little for it after a start."""
        try:
            async with asyncio.timeout(START_WAIT_S):
                await self._known.wait()
        except TimeoutError:
            return False
        return True

    async def stream(self, last: Position | None, sight: Sight) -> AsyncIterator[bytes]:
        """Server-sent events within `sight` after `last`, or from now on; a comment when it is quiet.

        Ends when the process stops, the reader is too slow or the database is away, and after STREAM_LIVES_S, so that
        who may no longer read is found out; readers come back.
        """
        ends_at = time.monotonic() + STREAM_LIVES_S
        with self.subscribed(sight) as subscription, contextlib.suppress(*AWAY):
            yield f"retry: {RETRY_MS}\n\n".encode()
            async for chunk in self._catch_up(last, subscription.since, sight):
                yield chunk
            while time.monotonic() < ends_at:
                try:
                    async with asyncio.timeout(QUIET_S):
                        change = await subscription.queue.get()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if change is None:
                    return
                # A reader that comes from another process may be ahead of this one.
                if last is None or change.position > last:
                    yield change.encode()

    @contextlib.contextmanager
    def subscribed(self, sight: Sight) -> Iterator[Subscription]:
        """A queue of everything that comes from now on; `poll` must have run once."""
        assert self._position is not None
        subscription = Subscription(self._position, sight)
        self._subscriptions.add(subscription)
        metrics.EVENT_SUBSCRIBERS.set(len(self._subscriptions))
        if self.stopped:
            subscription.end()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            metrics.EVENT_SUBSCRIBERS.set(len(self._subscriptions))

    async def _catch_up(self, last: Position | None, until: Position, sight: Sight) -> AsyncIterator[bytes]:
        """What lies between `last` and `until`; `reset` when that cannot be told any more."""
        missed = [] if last is None or last >= until else await self._missed(last, until)
        if missed is None:
            yield encode("reset", {"reason": "too much was missed: read everything again"}, until)
            return
        for change in missed:
            if sight.sees(change.type, *change.organisations):
                yield change.encode()
        # Tells where the stream stands, so that a reader that is cut off while all is quiet can resume.
        yield encode("ready", {}, until if last is None or last < until else last)

    async def _missed(self, last: Position, until: Position) -> list[Change] | None:
        found: list[Change] = []
        async with self._reading() as connection:
            if not await _has_before(connection, last):
                return None
            while True:
                rows = await _read(connection, last)
                found += [change for change in rows if change.position <= until]
                if len(rows) < READ_AT_ONCE or rows[-1].position >= until:
                    return found
                if len(found) > MAX_CATCH_UP:
                    return None
                last = rows[-1].position

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        """Reads for everybody: what a stream may show is decided change by change."""
        async with self._pool.connection() as connection, connection.transaction():
            await enter(connection, READER, Scope(None))
            yield connection

    async def poll(self) -> bool:
        """Hand on what is new; true when there may be more at once."""
        async with self._reading() as connection:
            if self._position is None:
                self._position = await _horizon(connection)
                self._known.set()
            changes = await _read(connection, self._position)
        if changes:
            self._position = changes[-1].position
            metrics.EVENTS_SENT.inc(len(changes))
        for change in changes:
            for subscription in self._subscriptions:
                subscription.offer(change)
        return len(changes) == READ_AT_ONCE


async def _horizon(connection: Connection) -> Position:
    cursor = await connection.execute(_SQL["horizon"])
    row = await cursor.fetchone()
    assert row is not None
    return Position(int(row[0]) - 1, _LAST)


async def _read(connection: Connection, after: Position) -> list[Change]:
    values = {"tx": str(after.tx), "event_id": after.event_id, "limit": READ_AT_ONCE}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["after"], values)
        rows = await cursor.fetchall()
    return [_change(row) for row in rows]


def _change(row: dict[str, Any]) -> Change:
    at = row["at"].isoformat().replace("+00:00", "Z")
    data = {"at": at, "kit": row["kit"], **row["body"]}
    position = Position(int(row["tx"]), row["event_id"])
    return Change(position, row["type"], data, (row["organisation_id"], row["owner_id"]))


async def _has_before(connection: Connection, position: Position) -> bool:
    values = {"tx": str(position.tx), "event_id": position.event_id}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["has_before"], values)
        row = await cursor.fetchone()
    return row is not None and bool(row["found"])
