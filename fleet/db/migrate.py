"""Schema migrations: alembic runs numbered steps whose SQL lies beside them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection

from fleet.db.connect import conninfo, first_line
from fleet.errors import FleetError, UnavailableError

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_SERVER = 160000


def migrate(dsn: str) -> tuple[str | None, str]:
    """Bring the schema to this version, in one transaction; returns the version before and after.

    Several may run at once: an advisory lock lets one do it and the others find it done.
    """
    from alembic import command  # noqa: PLC0415 - half a second of imports that only this command needs

    try:
        with psycopg.connect(conninfo(dsn, role="migrate", statement_timeout_s=None), autocommit=True) as connection:
            if connection.info.server_version < OLDEST_SERVER:
                raise FleetError(f"PostgreSQL 16 or later is needed, this is {connection.info.server_version // 10000}")
            before = _current(connection)
            command.upgrade(_config(dsn), "head")
            return before, head()
    except psycopg.OperationalError as error:
        raise UnavailableError(f"database: {first_line(error)}") from error


@cache
def head() -> str:
    """The schema version this code needs: the last of the numbered steps.

    Alembic knows as well; importing it for this would hold up every command half a second.
    """
    return max(step.name.partition("_")[0] for step in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


async def is_current(connection: AsyncConnection[Any]) -> bool:
    """Whether the database has exactly the schema this code needs."""
    cursor = await connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return False
    cursor = await connection.execute("SELECT version_num FROM alembic_version")
    return [version for (version,) in await cursor.fetchall()] == [head()]


def _current(connection: psycopg.Connection[Any]) -> str | None:
    row = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return None
    versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return versions[0][0] if versions else None


def _config(dsn: str) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["dsn"] = dsn
    return config
