"""Connections and pools: one place for time-outs, time zone and names shown in `pg_stat_activity`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from fleet.errors import UnavailableError

CONNECT_TIMEOUT_S = 10


def conninfo(dsn: str, *, role: str, run_as: str | None = None, statement_timeout_s: float | None = 30) -> str:
    """The DSN with our session settings added; what the DSN itself sets is kept.

    `role` is the process's name in `pg_stat_activity`, `run_as` the database role it takes on (fleet/db/roles.py).
    """
    given = conninfo_to_dict(dsn)
    options = [str(given.get("options", "")), "-c timezone=UTC", "-c idle_in_transaction_session_timeout=60s"]
    if run_as is not None:
        options.append(f"-c role={run_as}")
    if statement_timeout_s is not None:
        options.append(f"-c statement_timeout={int(statement_timeout_s * 1000)}")
    defaults: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": f"fleet-{role}",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,  # ms; a vanished host would be waited for a quarter of an hour
    }
    return make_conninfo(**{**defaults, **given, "options": " ".join(filter(None, options))})


async def connect(
    dsn: str, *, role: str, run_as: str | None = None, statement_timeout_s: float | None = 30
) -> AsyncConnection[tuple[Any, ...]]:
    """One connection in autocommit; transactions are opened by the use case."""
    try:
        return await AsyncConnection.connect(
            conninfo(dsn, role=role, run_as=run_as, statement_timeout_s=statement_timeout_s), autocommit=True
        )
    except psycopg.OperationalError as error:
        raise UnavailableError(f"database: {first_line(error)}") from error


@asynccontextmanager
async def open_pool(
    dsn: str, *, role: str, run_as: str | None = None, max_size: int = 10
) -> AsyncIterator[AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]]:
    """A bounded pool in autocommit; waiting for a connection ends after ten seconds with `PoolTimeout`."""
    pool = AsyncConnectionPool(
        conninfo(dsn, role=role, run_as=run_as),
        kwargs={"autocommit": True},
        min_size=1,
        max_size=max_size,
        timeout=10,
        # A pool that gives up soon asks again at the next request, instead of after a long backed-off wait.
        reconnect_timeout=3,
        open=False,
        check=AsyncConnectionPool.check_connection,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close(timeout=5)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for one-line messages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
