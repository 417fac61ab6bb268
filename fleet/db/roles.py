"""The database's roles: one for each process of ours, which it takes on when it connects.

`fleet_api` is bound by row-level security; `fleet_worker` and `fleet_ingest` see every row but have the privileges of
their work only. A login must be a member of the role it runs as; an owner or superuser may take any.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql
from psycopg.errors import DuplicateObject, InsufficientPrivilege, InternalError, UniqueViolation

from fleet.errors import FleetError

API = "fleet_api"
WORKER = "fleet_worker"
INGEST = "fleet_ingest"
GRAFANA = "fleet_grafana"
PROCESS_ROLES = (API, WORKER, INGEST)


def make(connection: Connection[Any]) -> None:
    """Make the roles that are missing and let the present login take them on; raises FleetError telling what to run."""
    try:
        for role in (*PROCESS_ROLES, GRAFANA):
            _make(connection, role)
        for role in PROCESS_ROLES:
            _let_login_be(connection, role)
        # The worker makes and drops partitions of the history, which it owns.
        connection.execute(
            sql.SQL("GRANT CREATE ON SCHEMA {} TO {}").format(_schema(connection), sql.Identifier(WORKER))
        )
    except InsufficientPrivilege:
        names = ", ".join((*PROCESS_ROLES, GRAFANA))
        raise FleetError(
            f"the database roles {names} are needed and this login may not make them: let an administrator run"
            f" CREATE ROLE for each of them and GRANT {', '.join(PROCESS_ROLES)} TO this login"
        ) from None


def _make(connection: Connection[Any], role: str) -> None:
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None:
        return
    try:
        # Roles belong to the server: another database of it may make them at the same moment.
        with connection.transaction():
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    except (DuplicateObject, UniqueViolation):
        return


def _let_login_be(connection: Connection[Any], role: str) -> None:
    row = connection.execute("SELECT pg_has_role(current_user, %s, 'SET')", (role,)).fetchone()
    if row is not None and row[0]:
        return
    try:
        with connection.transaction():
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
    except (UniqueViolation, InternalError):  # "tuple concurrently updated": another database did
        return


def _schema(connection: Connection[Any]) -> sql.Identifier:
    row = connection.execute("SELECT current_schema()").fetchone()
    assert row is not None
    return sql.Identifier(row[0])
