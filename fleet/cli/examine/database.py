"""The database: reached, of a right version, migrated, allowed to us, durable, and in time with us."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from fleet.cli.examine.finding import Finding, fail, ok, warn
from fleet.db.connect import connect, first_line
from fleet.db.migrate import is_current
from fleet.db.queries import load_queries
from fleet.errors import UnavailableError

QUERIES = load_queries("fleet.cli.examine", "database.sql")
OLDEST, NEWEST = 16, 18
WANTED_CONNECTIONS = 40
CLOCK_WARN_S, CLOCK_FAIL_S = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """What the server says of itself."""

    version: str
    major: int
    now: datetime
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    max_connections: int
    in_recovery: bool
    encoding: str
    timescale_installed: bool
    timescale_loaded: bool
    timescale_used: bool
    may_create: bool | None


async def examine(dsn: str) -> list[Finding]:
    """Every check of the database at `dsn`."""
    try:
        connection = await connect(dsn, role="doctor")
    except UnavailableError as error:
        return [fail("database", f"{str(error).removeprefix('database: ')}; start it or mend FLEET_DATABASE_URL")]
    async with connection:
        try:
            return await _examine(connection)
        except psycopg.Error as error:
            return [fail("database", first_line(error))]


async def _examine(connection: AsyncConnection[Any]) -> list[Finding]:
    asked_at = datetime.now(UTC)
    async with connection.cursor(row_factory=class_row(Server)) as cursor:
        await cursor.execute(QUERIES["server"])
        server = await cursor.fetchone()
    assert server is not None
    half_way = asked_at + (datetime.now(UTC) - asked_at) / 2
    current = await is_current(connection)
    found = [*of_server(server), clock((server.now - half_way).total_seconds())]
    return found + await _of_schema(connection, server, current=current)


def of_server(server: Server) -> Iterator[Finding]:
    """What follows from the server's own words."""
    yield _version(server)
    yield _extension(server)
    if server.in_recovery:
        yield fail("database role", "this server is a read-only replica: name the primary in FLEET_DATABASE_URL")
    if server.encoding != "UTF8":
        yield fail("database encoding", f"{server.encoding}: create the database with ENCODING 'UTF8'")
    yield _durability(server)
    if server.max_connections < WANTED_CONNECTIONS:
        yield warn(
            "database connections",
            f"max_connections is {server.max_connections}: set it to {WANTED_CONNECTIONS} or more",
        )


def clock(ahead_s: float) -> Finding:
    """How far the database's clock is ahead of ours (negative: behind)."""
    told = f"the database's clock is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    if abs(ahead_s) >= CLOCK_FAIL_S:
        return fail("clock", f"{told}: set both by NTP")
    if abs(ahead_s) >= CLOCK_WARN_S:
        return warn("clock", f"{told}: set both by NTP")
    return ok("clock", "in time with the database")


def _version(server: Server) -> Finding:
    if server.major < OLDEST:
        return fail("database version", f"PostgreSQL {server.version}: {OLDEST} or later is needed, upgrade it")
    if server.major > NEWEST:
        return warn("database version", f"PostgreSQL {server.version} is newer than {NEWEST}, the last one tested")
    return ok("database version", f"PostgreSQL {server.version}")


def _extension(server: Server) -> Finding:
    what = "timescaledb"
    if server.timescale_used:
        return ok(what, "history is kept in hypertables")
    if not server.timescale_installed:
        return ok(what, "not installed: history is kept in native daily partitions")
    if not server.timescale_loaded:
        return warn(what, "installed and not loaded: add it to shared_preload_libraries before the first migrate")
    return ok(what, "available")


def _durability(server: Server) -> Finding:
    settings = {
        "fsync": server.fsync,
        "full_page_writes": server.full_page_writes,
        "synchronous_commit": server.synchronous_commit,
    }
    off = [name for name, value in settings.items() if value == "off"]
    if off:
        return fail("durability", f"{' and '.join(off)} off: committed messages can be lost, set to on")
    return ok("durability", "commits reach the disk")


async def _of_schema(connection: AsyncConnection[Any], server: Server, *, current: bool) -> list[Finding]:
    if not current:
        advice = "run fleet migrate"
        if not server.may_create:
            advice += " as a user who may CREATE in the schema"
        return [fail("schema", f"not that of this version: {advice}")]
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(QUERIES["closed_tables"])
        closed: list[str] = await cursor.fetchall()
        await cursor.execute(QUERIES["listening"])
        state = await cursor.fetchone()
    return [ok("schema", "current"), _permissions(closed), _ingest(state)]


def _permissions(closed: list[str]) -> Finding:
    if closed:
        return fail("permissions", f"no right to read and write {', '.join(closed)}: grant it to this user")
    return ok("permissions", "every table may be read and written")


def _ingest(state: str | None) -> Finding:
    if state == "listening":
        return ok("ingest", "listening")
    if state == "catching_up":
        return warn("ingest", "catching up with its backlog: wait, silence is not judged meanwhile")
    return warn("ingest", "not running: start fleet ingest (or fleet up)")
