"""`fleet reader`: what a dashboard's database login sees."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from psycopg.rows import dict_row

from fleet.cli.database import Connection, with_database
from fleet.db.queries import load_queries
from fleet.errors import NotFoundError, UsageError

reader_app = typer.Typer(
    help="Database logins of dashboards: which organisation each of them sees.", no_args_is_help=True
)

_SQL = load_queries("fleet.cli", "readers.sql")
Login = Annotated[str, typer.Argument(metavar="LOGIN", help="Name of the database login.")]


@reader_app.command("grant")
def grant(
    login: Login,
    organisation: Annotated[str | None, typer.Option(help="It and what is below it.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--everything", help="The whole installation.")] = False,
) -> None:
    """Let a login, a member of fleet_grafana, read the grafana_* views within an organisation."""
    if (organisation is None) != everything:
        raise UsageError("give either --organisation or --everything")

    async def work(connection: Connection) -> None:
        values = {"login": login, "organisation": organisation}
        if not (await _one(connection, "login_exists", values))["found"]:
            raise NotFoundError("database login", login)
        if organisation is not None and not (await _one(connection, "organisation_exists", values))["found"]:
            raise NotFoundError("organisation", organisation)
        await connection.execute(_SQL["grant"], values)

    with_database(work)
    print(f"{login} sees {organisation or 'everything'}")


@reader_app.command("list")
def list_readers() -> None:
    """Show the logins and what they see."""

    async def work(connection: Connection) -> list[dict[str, Any]]:
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_SQL["list"])
            return await cursor.fetchall()

    for row in with_database(work):
        print(f"{row['role_name']:<40} {row['organisation'] or 'everything'}")


@reader_app.command("revoke")
def revoke(login: Login) -> None:
    """Let a login see nothing any more."""

    async def work(connection: Connection) -> int:
        return (await connection.execute(_SQL["revoke"], {"login": login})).rowcount

    if with_database(work) == 0:
        raise NotFoundError("reader", login)
    print(f"{login} sees nothing")


async def _one(connection: Connection, query: str, values: dict[str, Any]) -> dict[str, Any]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[query], values)
        row = await cursor.fetchone()
    assert row is not None
    return row
