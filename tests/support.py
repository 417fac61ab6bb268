"""What tests share: waiting on conditions, real processes, small helpers for rows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from fleet.config import Settings
from fleet.ingest.connection import Window
from fleet.ingest.service import Ingest

T = TypeVar("T")
POLL_S = 0.02


async def eventually(condition: Callable[[], Awaitable[T] | T], deadline_s: float = 10.0, what: str = "") -> T:
    """Wait until `condition` answers something true and return it; fail with its last answer after the deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while True:
        answer = condition()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        if loop.time() > end:
            raise AssertionError(f"not within {deadline_s} s: {what or condition}; last answer {answer!r}")
        await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=POLL_S)


_kept: dict[str, psycopg.Connection[Any] | None] = {}
"""Connections to the databases of the test that runs; None where none was asked for yet."""


@contextmanager
def kept_connection(dsn: str) -> Iterator[None]:
    """Within the block `rows`, `value` and `execute` on this database share a connection, as if each had its own."""
    _kept[dsn] = None
    try:
        yield
    finally:
        connection = _kept.pop(dsn)
        if connection is not None:
            connection.close()


@contextmanager
def _connection(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    if dsn not in _kept or threading.current_thread() is not threading.main_thread():
        with psycopg.connect(dsn, autocommit=True) as own:
            yield own
        return
    connection = _kept[dsn]
    if connection is None or not _is_as_new(connection):
        connection = _kept[dsn] = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
    yield connection


def _is_as_new(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server is still there; nothing of earlier statements is left in the session then."""
    try:
        connection.execute("DISCARD ALL")
    except psycopg.OperationalError:
        connection.close()
        return False
    return True


def rows(dsn: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of one query, in a session of its own."""
    with _connection(dsn) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def value(dsn: str, query: str, *parameters: Any) -> Any:
    """The only value of a query's only row."""
    return rows(dsn, query, *parameters)[0][0]


def execute(dsn: str, query: str, *parameters: Any) -> None:
    """Run one statement, in a session of its own."""
    with _connection(dsn) as connection:
        connection.execute(query.encode(), parameters)


def waits_for_lock(dsn: str, statement: str) -> bool:
    """Whether a session on this database waits for a lock with a statement that begins so."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND query ILIKE %s"
    )
    return bool(value(dsn, query, f"{statement}%"))


def writer_pids(dsn: str) -> list[int]:
    """Server processes of the sessions that hold an ingest slot on this database."""
    query = (
        "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE l.locktype = 'advisory' AND l.classid = 7310 AND l.granted AND d.datname = current_database()"
    )
    return [pid for (pid,) in rows(dsn, query)]


def add_kits(dsn: str, *kits: str, state: str = "installed", expected_interval_s: int = 10) -> None:
    """Enter kits into the books with one statement, watched as the books would watch them."""
    allowance_s = max(30.0, expected_interval_s * (3 if expected_interval_s <= 3600 else 1.5))
    execute(
        dsn,
        "WITH new AS (INSERT INTO kits (kit, state, expected_interval_s) SELECT unnest(%s::text[]), %s, %s"
        " RETURNING kit_id)"
        " INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, watch_from_clock_s)"
        " SELECT kit_id, %s, %s, 0 FROM new",
        list(kits),
        state,
        expected_interval_s,
        allowance_s if state == "installed" else None,
        expected_interval_s,
    )


def environment(**settings: str) -> dict[str, str]:
    """An environment for a process of ours: no setting of the surroundings leaks in."""
    base = {name: text for name, text in os.environ.items() if not name.startswith("FLEET_")}
    return base | {f"FLEET_{name.upper()}": text for name, text in settings.items()}


class Process:
    """A real process of ours; its output goes to a file that is shown when a test fails."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._out = log.open("ab")
        self.popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=dict(env),
            stdout=self._out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=log.parent,
        )

    def kill(self, signal_: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal, by default the one that cannot be handled, and wait for the end."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(signal_)
        try:
            self.popen.wait(timeout=20)
        finally:
            if self.popen.poll() is None:
                self.popen.kill()
                self.popen.wait(timeout=5)
            self._out.close()

    def output(self) -> str:
        """Everything it has written so far."""
        return self.log.read_text(errors="replace")


@contextmanager
def process(*arguments: str, log: Path, **settings: str) -> Iterator[Process]:
    """Run `python -m …` until the block ends, then SIGTERM."""
    running = Process(list(arguments), environment(**settings), log)
    try:
        yield running
    finally:
        running.kill(signal.SIGTERM)


@asynccontextmanager
async def running_ingest(settings: Settings, window: Window | None = None) -> AsyncIterator[Ingest]:
    """An ingest in this process, stopped with a drain at the end of the block."""
    stop = asyncio.Event()
    ingest = Ingest(settings, stop, window)
    task = asyncio.create_task(ingest.run())
    try:
        yield ingest
    finally:
        stop.set()
        await asyncio.wait_for(task, 15)
