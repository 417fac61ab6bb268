"""Where history lives: partitions or chunks for every accepted time, made by anyone, dropped as whole days."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fleet.db import storage
from fleet.protocol.times import MAX_AGE, MAX_AHEAD
from tests.support import execute, rows, value

pytestmark = pytest.mark.storage


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as open_connection:
        yield open_connection


@pytest.fixture
def native(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database whose history is in native partitions, whatever the server offers."""
    for table in storage.HISTORY_TABLES:
        columns = f"CREATE TABLE plain_{table} (LIKE {table}) PARTITION BY RANGE (time)"
        for statement in (columns, f"DROP TABLE {table} CASCADE", f"ALTER TABLE plain_{table} RENAME TO {table}"):
            connection.execute(statement.encode())
    return connection


def _store(connection: psycopg.Connection[Any], time: datetime, seq: int = 1) -> None:
    connection.execute(
        "INSERT INTO heartbeats (time, received_at, seq, kit_id, boot) VALUES (%s, now(), %s, 1, 'b')", (time, seq)
    )
    connection.execute(
        "INSERT INTO reports (time, received_at, seq, kit_id, kind, boot, body)"
        " VALUES (%s, now(), %s, 1, 'software', 'b', '{}')",
        (time, seq),
    )


@pytest.mark.parametrize("held", [timedelta(0), timedelta(hours=20)], ids=["at once", "held for most of a day"])
def test_every_accepted_time_has_a_place(connection: psycopg.Connection[Any], held: timedelta) -> None:
    received_at = datetime.now(UTC) - held
    for number, time in enumerate((received_at - MAX_AGE, received_at, received_at + MAX_AHEAD)):
        _store(connection, time, number)
    assert connection.execute("SELECT count(*) FROM heartbeats").fetchone() == (3,)


def test_partitions_are_made_once(native: psycopg.Connection[Any]) -> None:
    today = date(2026, 3, 1)
    made = storage.ensure_partitions(native, today)
    assert len(made) == 2 * ((storage.KEPT_BEHIND + storage.MADE_AHEAD).days + 1)
    assert made[0] == "heartbeats_20260129"
    assert storage.ensure_partitions(native, today) == []
    assert storage.ensure_partitions(native, today + timedelta(days=1)) == ["heartbeats_20260309", "reports_20260309"]


def test_partitions_are_days_in_utc_wherever_the_session_is(native: psycopg.Connection[Any]) -> None:
    native.execute("SET timezone = 'Asia/Tokyo'")
    storage.ensure_partitions(native, date(2026, 3, 1))
    _store(native, datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC))
    assert native.execute("SELECT count(*) FROM heartbeats_20260301").fetchone() == (1,)


def test_several_at_once_make_each_once(native: psycopg.Connection[Any], database: str) -> None:
    def ensure(_: int) -> list[str]:
        with psycopg.connect(database, autocommit=True) as own:
            return storage.ensure_partitions(own, date(2026, 3, 1))

    with ThreadPoolExecutor(4) as threads:
        made = [name for names in threads.map(ensure, range(4)) for name in names]
    assert len(made) == len(set(made)) == 78


def test_making_partitions_does_not_wait_for_writers(native: psycopg.Connection[Any], database: str) -> None:
    today = datetime.now(UTC).date()
    storage.ensure_partitions(native, today)
    with psycopg.connect(database) as writer:
        _store(writer, datetime.now(UTC))
        native.execute("SET lock_timeout = '3s'")
        assert storage.ensure_partitions(native, today + timedelta(days=1))


def test_old_days_are_dropped_whole(connection: psycopg.Connection[Any], database: str) -> None:
    now = datetime.now(UTC)
    for days in (0, 1, 10, 20, 29):
        _store(connection, now - timedelta(days=days), days)
    dropped = storage.drop_history(connection, (now - timedelta(days=10)).date())
    assert dropped
    for table in storage.HISTORY_TABLES:
        assert rows(database, f"SELECT seq FROM {table} ORDER BY 1") == [(0,), (1,), (10,)]
    assert storage.drop_history(connection, (now - timedelta(days=10)).date()) == []


def test_partitions_that_were_dropped_come_again(native: psycopg.Connection[Any]) -> None:
    today = datetime.now(UTC).date()
    storage.ensure_partitions(native, today)
    dropped = storage.drop_history(native, today - timedelta(days=20))
    assert sorted(storage.ensure_partitions(native, today)) == sorted(dropped)


def test_the_last_resort_is_the_unique_index(database: str) -> None:
    time = datetime.now(UTC)
    with psycopg.connect(database, autocommit=True) as connection:
        _store(connection, time)
        with pytest.raises(psycopg.errors.UniqueViolation):
            _store(connection, time)


def test_the_edition_is_told(connection: psycopg.Connection[Any], database: str) -> None:
    edition = storage.detect(connection)
    assert edition.server_version >= 160000
    hyper = value(database, "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")
    assert edition.extension_available == bool(hyper)
    assert (edition.license is None) == (not edition.extension_available)


def test_the_latest_state_is_updated_in_place(database: str) -> None:
    execute(database, "INSERT INTO kits (kit, state) VALUES ('K', 'installed')")
    execute(database, "INSERT INTO kit_latest (kit_id) SELECT kit_id FROM kits")
    indexed = rows(
        database,
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
        " WHERE i.indrelid = 'kit_latest'::regclass",
    )
    assert indexed == [("kit_id",)]
