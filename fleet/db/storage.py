"""Where history lives: the one module that knows TimescaleDB from plain PostgreSQL.

History tables are hypertables where the extension is available (either edition) and native daily
partitions otherwise. Everything else in the house speaks to them as ordinary tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import Connection, Cursor, sql
from psycopg.rows import scalar_row

HISTORY_TABLES = ("heartbeats", "reports")
KEPT_BEHIND = timedelta(days=31)
"""Partitions exist this far back: the accepted age of a message and a day more."""
MADE_AHEAD = timedelta(days=7)
MAKE_PARTITIONS_LOCK = 7_310_002


class Storage(StrEnum):
    """How the history of this database is stored."""

    NATIVE = "native"
    TIMESCALE = "timescale"


@dataclass(frozen=True, slots=True)
class Edition:
    """What the server offers; `license` is `apache` or `timescale` (Community) with the extension."""

    server_version: int
    extension_available: bool
    license: str | None


def detect(connection: Connection[Any]) -> Edition:
    """Ask the server which edition it is."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        available = cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')"
            " AND current_setting('shared_preload_libraries') LIKE '%timescaledb%'"
        ).fetchone()
        license_ = cursor.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return Edition(connection.info.server_version, bool(available), license_ or None)


def choose(connection: Connection[Any]) -> Storage:
    """The storage for a new database, made ready: the extension is created where it is available."""
    if not detect(connection).extension_available:
        return Storage.NATIVE
    connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return Storage.TIMESCALE


def partition_clause(storage: Storage) -> str:
    """What follows the column list when a history table is created."""
    return "PARTITION BY RANGE (time)" if storage is Storage.NATIVE else ""


def make_history(connection: Connection[Any], storage: Storage) -> None:
    """Turn the freshly made history tables into hypertables, or make their first partitions."""
    if storage is Storage.NATIVE:
        ensure_partitions(connection)
        return
    for table in HISTORY_TABLES:
        connection.execute(
            "SELECT create_hypertable(%s::text::regclass, 'time',"
            " chunk_time_interval => interval '1 day', create_default_indexes => false)",
            (table,),
        )


def give_history(connection: Connection[Any], role: str) -> None:
    """Make `role` the owner of the history, so that it may add and drop days; ingest appends, this login reads."""
    owner, ingest = sql.Identifier(role), sql.Identifier("fleet_ingest")
    for table in HISTORY_TABLES:
        days = connection.execute(
            "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = %s::text::regclass AND c.relnamespace = current_schema()::regnamespace",
            (table,),
        ).fetchall()
        for name in (table, *(day for (day,) in days)):
            connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(sql.Identifier(name), owner))
        named = sql.Identifier(table)
        connection.execute(sql.SQL("GRANT SELECT, INSERT ON {} TO {}").format(named, ingest))
        connection.execute(sql.SQL("GRANT SELECT ON {} TO CURRENT_USER").format(named))


def ensure_partitions(
    connection: Connection[Any], today: date | None = None, *, oldest: date | None = None
) -> list[str]:
    """Make every missing daily partition of the accepted range, or back to `oldest`; returns the names of those made.

    Does nothing on TimescaleDB, which makes chunks by itself. Attaching takes no lock that stops writers.
    """
    today = today or datetime.now(UTC).date()
    with connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (MAKE_PARTITIONS_LOCK,))
        partitioned = set(
            cursor.execute(
                "SELECT c.relname::text FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid"
                " WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s)",
                (list(HISTORY_TABLES),),
            )
        )
        present = set(
            cursor.execute(
                "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " JOIN pg_class parent ON parent.oid = i.inhparent WHERE parent.relname = ANY(%s)",
                (list(partitioned),),
            )
        )
        made = []
        for table in sorted(partitioned):
            for day in _days(today, oldest):
                name = f"{table}_{day:%Y%m%d}"
                if name not in present:
                    _attach(connection, table, name, day)
                    made.append(name)
    return made


def old_history(connection: Connection[Any], before: date) -> list[str]:
    """The parts of the history that lie before `before` as whole days, by name."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        found: list[str] = []
        for table in HISTORY_TABLES:
            if _partitioned(cursor, table):
                query = (
                    "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                    " WHERE i.inhparent = %s::text::regclass AND c.relname < %s"
                )
                found += cursor.execute(query, (table, f"{table}_{before:%Y%m%d}")).fetchall()
            else:
                query = "SELECT show_chunks(%s::text::regclass, older_than => %s::timestamptz)::text"
                found += cursor.execute(query, (table, _midnight(before))).fetchall()
    return found


def drop_history(connection: Connection[Any], before: date) -> list[str]:
    """Drop what is older than `before` as whole days; returns what was dropped."""
    dropped = old_history(connection, before)
    with connection.cursor(row_factory=scalar_row) as cursor:
        for table in HISTORY_TABLES:
            if not _partitioned(cursor, table):
                query = "SELECT drop_chunks(%s::text::regclass, older_than => %s::timestamptz)"
                cursor.execute(query, (table, _midnight(before)))
                continue
            for name in dropped:
                if name.startswith(f"{table}_"):
                    cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    return dropped


def _partitioned(cursor: Cursor[Any], table: str) -> bool:
    """The table itself tells: one made before the extension came is partitioned still."""
    relation = "SELECT relkind::text FROM pg_class WHERE oid = %s::text::regclass"
    return cursor.execute(relation, (table,)).fetchone() == "p"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _days(today: date, oldest: date | None) -> list[date]:
    first = min(today - KEPT_BEHIND, oldest or today)
    return [first + timedelta(days=n) for n in range((today + MADE_AHEAD - first).days + 1)]


def _attach(connection: Connection[Any], table: str, name: str, day: date) -> None:
    owns = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::text::regclass"
    if connection.execute(owns, (table,)).fetchone() != (True,):
        # Ingest may not make tables; the worker's function does it for both.
        connection.execute("SELECT attach_history_day(%s, %s)", (table, day))
        return
    names = {"table": sql.Identifier(table), "partition": sql.Identifier(name)}
    bounds = {
        "first": sql.Literal(f"{day}T00:00:00Z"),
        "next": sql.Literal(f"{day + timedelta(days=1)}T00:00:00Z"),
    }
    connection.execute(
        sql.SQL("CREATE TABLE {partition} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)").format(**names)
    )
    connection.execute(
        sql.SQL("ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ({first}) TO ({next})").format(
            **names, **bounds
        )
    )
