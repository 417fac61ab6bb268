"""What the commands that administer share: a database with the current schema, and who acts."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection

from fleet.access.principal import SYSTEM
from fleet.cli import context
from fleet.db.connect import connect, first_line
from fleet.db.migrate import is_current
from fleet.errors import UnavailableError

T = TypeVar("T")
Connection = AsyncConnection[Any]


def with_database(work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
    """Run `work` on a connection to a database whose schema is current, as the command line in log and audit."""
    settings = context.settings("admin")

    async def run() -> T:
        async with database(settings.dsn()) as connection:
            return await work(connection)

    return asyncio.run(run())


@asynccontextmanager
async def database(dsn: str) -> AsyncIterator[Connection]:
    """A connection of the login itself, which row-level security does not bind."""
    connection = await connect(dsn, role="admin", statement_timeout_s=None)
    try:
        if not await is_current(connection):
            raise UnavailableError("the database's schema is not that of this version: run `fleet migrate`")
        await connection.execute(
            "SELECT set_config('fleet.actor', %s, false), set_config('fleet.principal', %s, false)",
            (actor(), SYSTEM.key),
        )
        yield connection
    except psycopg.OperationalError as error:
        raise UnavailableError(f"database: {first_line(error)}") from error
    finally:
        await connection.close()


def actor() -> str:
    """Who acts, for log and audit: the command line, and the account that runs it."""
    return f"{SYSTEM.actor} ({_account()})"


def _account() -> str:
    """The account that runs the command; a container may have a number without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
