"""One batch, one transaction: history, latest state, changes, quarantine and the listening clock.

The transaction runs on the connection that holds the slot's advisory lock: who loses the lock has lost the connection
and can write nothing more, so there is one writer at any time and what it remembers of the kits (`Mark`) is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import date
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import CheckViolation

from fleet.db import roles, storage
from fleet.db.binary import jsonb, timestamptz
from fleet.db.connect import conninfo
from fleet.db.queries import load_queries
from fleet.ingest.decode import Refusal, Report
from fleet.ingest.listening import ListeningClock
from fleet.ingest.plan import SEQUENCED, Identity, Plan, Run, identity, judge, sort_out
from fleet.protocol.messages import Heartbeat
from fleet.protocol.topics import Kind
from fleet.state import latest

QUERIES = load_queries("fleet.ingest", "store.sql")
LATEST = load_queries("fleet.state", "latest.sql")
SLOT_LOCKS = 7_310
KNOWN_KITS = 100_000
HEARTBEAT_TYPES = [
    "int8", "int8", "int8", "float8", "float8", "float8", "int4", "float4", "int2", "bool", "text", "text", "text",
]  # fmt: skip
REPORT_TYPES = ["int8", "int8", "int8", "float8", "int4", "text", "text", "bytea"]
QUARANTINE_TYPES = ["timestamptz", "text", "text", "text", "int4", "bytea"]


class NotLeaderError(Exception):
    """Another process holds the slot."""


class Writer:
    """The one connection that may write for a slot, and what it remembers of the kits."""

    def __init__(self, dsn: str, slot: int) -> None:
        self._dsn = conninfo(dsn, role="ingest", run_as=roles.INGEST, statement_timeout_s=30)
        self._admin_dsn = dsn
        self._slot = slot
        self._connection: AsyncConnection[Any] | None = None
        self._marks: dict[str, latest.Mark] = {}

    async def open(self) -> None:
        """Connect and take the slot's lock; raises `NotLeaderError` when another process has it."""
        await self.close()
        connection = await AsyncConnection.connect(self._dsn, autocommit=True)
        try:
            cursor = await connection.execute(QUERIES["try_lock"], {"class": SLOT_LOCKS, "slot": self._slot})
            row = await cursor.fetchone()
            if not row or not row[0]:
                raise NotLeaderError
            await connection.execute(QUERIES["plan_by_index"])
            await latest.prepare(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection

    async def close(self) -> None:
        """Give the lock up and forget what was remembered."""
        self._marks.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @property
    def connection(self) -> AsyncConnection[Any]:
        """The open connection; raises OperationalError when there is none."""
        if self._connection is None or self._connection.closed:
            raise psycopg.OperationalError("the writing connection is closed")
        return self._connection

    async def ensure_partitions(self, oldest: date | None = None) -> list[str]:
        """Make the partitions of the accepted range of times that are missing, and those back to `oldest`."""
        return await asyncio.to_thread(_ensure_partitions, self._admin_dsn, oldest)

    async def read_clock(self) -> ListeningClock:
        """The listening clock as the writer before us left it."""
        cursor = await self.connection.execute(LATEST["read_listening"])
        row = await cursor.fetchone()
        assert row is not None, "migration 0001 inserts the row"
        return ListeningClock.taken_over(*row)

    async def stop_clock(self) -> None:
        """Note that the clock stands; its value and when it last ran stay as the last batch left them."""
        await self.connection.execute(LATEST["stop_listening"])

    async def check(self) -> None:
        """Raise OperationalError when the connection, and with it the lock, is gone."""
        await self.connection.execute(b"SELECT 1")

    async def store(
        self,
        reports: Sequence[Report],
        refusals: Sequence[Refusal],
        clock: ListeningClock,
        *,
        write_clock: bool,
        doubt_all: bool = False,
    ) -> Plan:
        """Store one batch in one transaction and return what it was found to be.

        Raises psycopg.Error; then nothing is stored and nothing remembered.
        """
        async with self._remembering(), self.connection.transaction():
            await self._load_marks(reports)
            plan = sort_out(reports, self._marks, doubt_all=doubt_all)
            if plan.doubtful:
                judge(plan, *await _find_stored(self.connection, plan.doubtful), self._marks)
            await _append_history(self.connection, plan.new)
            await latest.fold(self.connection, plan.fold(clock.clock_s))
            await _insert_refusals(self.connection, [*refusals, *plan.refusals])
            if write_clock:
                await _write_clock(self.connection, clock)
        return plan

    @asynccontextmanager
    async def _remembering(self) -> AsyncIterator[None]:
        """What was learnt during a transaction is forgotten when it fails."""
        try:
            yield
        except BaseException:
            self._marks.clear()
            raise

    async def _load_marks(self, reports: Sequence[Report]) -> None:
        missing = {report.kit for report in reports} - self._marks.keys()
        if not missing:
            return
        if len(self._marks) + len(missing) > KNOWN_KITS:
            self._marks.clear()
            missing = {report.kit for report in reports}
        self._marks.update(await latest.load_marks(self.connection, missing))


async def _find_stored(
    connection: AsyncConnection[Any], doubtful: Sequence[tuple[int, Report]]
) -> tuple[set[Identity], dict[Run, int]]:
    """Which identities the history has, whatever time they were given, and how far it has come in the others' runs."""
    heartbeats = [(kit_id, report) for kit_id, report in doubtful if report.kind is Kind.HEARTBEAT]
    others = [(kit_id, report) for kit_id, report in doubtful if report.kind is not Kind.HEARTBEAT]
    found: set[Identity] = set()
    tops: dict[Run, int] = {}
    if heartbeats:
        # Nearly every repeat is found at its own time, in one partition.
        times = [report.payload.ts for _, report in heartbeats]
        found |= await _identities(connection, "find_heartbeats_at", {**_keys(heartbeats), "times": times})
        rest = [entry for entry in heartbeats if identity(*entry) not in found]
        tops |= await _tops(connection, "find_heartbeat_tops", rest)
        found |= await _at_any_time(connection, "find_heartbeats", rest, tops)
    tops |= await _tops(connection, "find_report_tops", others)
    found |= await _at_any_time(connection, "find_reports", others, tops)
    return found, tops


async def _tops(connection: AsyncConnection[Any], query: str, messages: Sequence[tuple[int, Report]]) -> dict[Run, int]:
    runs = {identity(*entry)[:3]: entry for entry in messages if entry[1].kind in SEQUENCED}
    if not runs:
        return {}
    cursor = await connection.execute(QUERIES[query], _keys(list(runs.values())))
    return {(kit_id, Kind(kind), boot): seq for kit_id, kind, boot, seq in await cursor.fetchall()}


async def _at_any_time(
    connection: AsyncConnection[Any], query: str, messages: Sequence[tuple[int, Report]], tops: dict[Run, int]
) -> set[Identity]:
    maybe = [e for e in messages if e[1].kind not in SEQUENCED or e[1].seq <= tops.get(identity(*e)[:3], -1)]
    return await _identities(connection, query, _keys(maybe)) if maybe else set()


async def _identities(connection: AsyncConnection[Any], query: str, parameters: dict[str, Any]) -> set[Identity]:
    cursor = await connection.execute(QUERIES[query], parameters)
    return {(kit_id, Kind(kind), boot, seq) for kit_id, kind, boot, seq in await cursor.fetchall()}


def _keys(messages: Sequence[tuple[int, Report]]) -> dict[str, list[Any]]:
    return {
        "kit_ids": [kit_id for kit_id, _ in messages],
        "kinds": [report.kind.value for _, report in messages],
        "boots": [report.boot for _, report in messages],
        "seqs": [report.seq for _, report in messages],
    }


async def _append_history(connection: AsyncConnection[Any], messages: Sequence[tuple[int, Report]]) -> None:
    heartbeats = [entry for entry in messages if entry[1].kind is Kind.HEARTBEAT]
    others = [entry for entry in messages if entry[1].kind is not Kind.HEARTBEAT]
    async with connection.cursor() as cursor:
        if heartbeats:
            await _copy(cursor, "copy_heartbeats", HEARTBEAT_TYPES, [_heartbeat_row(*e) for e in heartbeats])
        if others:
            await _copy(cursor, "copy_reports", REPORT_TYPES, [_report_row(*e) for e in others])


async def _copy(cursor: AsyncCursor[Any], query: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    async with cursor.copy(QUERIES[query]) as copy:
        copy.set_types(types)
        for row in rows:
            await copy.write_row(row)


def _heartbeat_row(kit_id: int, report: Report) -> tuple[Any, ...]:
    heartbeat = report.payload
    assert isinstance(heartbeat, Heartbeat)
    return (
        timestamptz(report.stamp.time),
        timestamptz(report.received_at),
        report.seq,
        heartbeat.storage_free_mb,
        heartbeat.uptime_s,
        report.stamp.offset_s,
        kit_id,
        heartbeat.battery,
        heartbeat.signal_dbm,
        heartbeat.charging,
        report.boot,
        heartbeat.network,
        heartbeat.operator,
    )


def _report_row(kit_id: int, report: Report) -> tuple[Any, ...]:
    return (
        timestamptz(report.stamp.time),
        timestamptz(report.received_at),
        report.seq,
        report.stamp.offset_s,
        kit_id,
        report.kind.value,
        report.boot,
        jsonb(msgspec.json.encode(latest.body_of(report.payload, report.stamp))),
    )


async def _insert_refusals(connection: AsyncConnection[Any], refusals: Sequence[Refusal]) -> None:
    if refusals:
        async with connection.cursor() as cursor:
            await cursor.executemany(
                QUERIES["insert_quarantine"], [msgspec.structs.asdict(refusal) for refusal in refusals]
            )


async def _write_clock(connection: AsyncConnection[Any], clock: ListeningClock) -> None:
    await connection.execute(LATEST["write_listening"], asdict(clock))


def _ensure_partitions(dsn: str, oldest: date | None) -> list[str]:
    with psycopg.connect(conninfo(dsn, role="partitions", run_as=roles.INGEST), autocommit=True) as connection:
        return storage.ensure_partitions(connection, oldest=oldest)


def is_datas_fault(error: psycopg.Error) -> bool:
    """Whether the batch itself is refused (SQLSTATE classes 22 and 23), so that trying again cannot help.

    A missing partition has a state of class 23 as well, but is our fault.
    """
    if is_missing_partition(error):
        return False
    state = error.sqlstate
    return state[:2] in ("22", "23") if state else isinstance(error, psycopg.DataError)


def is_missing_partition(error: psycopg.Error) -> bool:
    """Whether a history table has no partition for a row's time."""
    return isinstance(error, CheckViolation) and not error.diag.constraint_name
