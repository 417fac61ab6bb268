"""`fleet token …` and `fleet kits …`: administration by whoever can reach the database."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from psycopg import AsyncConnection

from fleet.access import tokens
from fleet.access.roles import Role
from fleet.cli.database import Connection, with_database
from fleet.errors import FleetError, UsageError
from fleet.state.importing import ImportReport, export_kits, import_kits
from fleet.state.kitfile import MAX_FILE_BYTES, read_kit_file, write_kit_file

token_app = typer.Typer(help="Tokens for programs and logins.", no_args_is_help=True)
kits_app = typer.Typer(help="Kits into and out of the books.", no_args_is_help=True)

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SHOWN_BAD_LINES = 50


@token_app.command("create")
def token_create(
    name: Annotated[str, typer.Option(help="Who or what uses the token.")],
    role: Annotated[Role, typer.Option(help="What the token may do.")],
    organisation: Annotated[
        str | None, typer.Option(help="Short name of the organisation it is bound to; all without.", show_default=False)
    ] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=36500, help="Days until it ends.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it; it is shown this once only."""
    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None

    async def make(connection: Connection) -> tokens.NewToken:
        return await tokens.create(connection, name=name, role=role, organisation=organisation, expires_at=expires_at)

    new = with_database(make)
    if as_json:
        print(json.dumps({"token": new.secret, **_shown(new.token)}, default=str))
    else:
        print(new.secret)


@token_app.command("list")
def token_list(as_json: AsJson = False) -> None:
    """Show all tokens, never their secrets."""
    found = with_database(_all_tokens)
    if as_json:
        print(json.dumps({"items": [_shown(token) for token in found]}, default=str))
        return
    print(f"{'id':>4}  {'role':<12} {'ends with':<10} {'state':<8} {'last used':<17} name")
    for token in found:
        used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"
        ends = f"…{token.hint}"
        print(f"{token.token_id:>4}  {token.role:<12} {ends:<10} {_state(token):<8} {used:<17} {token.name}")


@token_app.command("revoke")
def token_revoke(token_id: Annotated[int, typer.Argument(metavar="ID", min=1)]) -> None:
    """End a token at once; ID as `fleet token list` shows it."""
    token = with_database(lambda connection: tokens.revoke(connection, token_id))
    print(f"token {token.token_id} ({token.name}) is revoked")


@kits_app.command("import")
def kits_import(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="- reads standard input.", allow_dash=True)],
    update: Annotated[bool, typer.Option("--update", help="Change kits that exist.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Import the good lines.")] = False,
    as_json: AsJson = False,
) -> None:
    """Enter kits from a CSV file with a header; nothing is entered when any line is bad."""
    read = read_kit_file(_read(file), name=str(file))

    async def enter(connection: Connection) -> ImportReport:
        return await import_kits(connection, read, actor="fleet kits import", update=update, skip_bad=skip_bad)

    report = with_database(enter)
    _show_bad(report)
    if as_json:
        print(json.dumps(asdict(report)))
    elif report.done:
        print(
            f"{report.created} kits entered, {report.updated} changed, {report.unchanged} as they were,"
            f" {len(report.bad)} lines left out"
        )
        if report.organisations_created:
            print(f"organisations entered: {', '.join(report.organisations_created)}")
    if not report.done:
        raise FleetError(f"nothing was imported: {len(report.bad)} bad lines (--skip-bad imports the others)")


@kits_app.command("export")
def kits_export(file: Annotated[Path | None, typer.Argument(metavar="[FILE]")] = None) -> None:
    """Write all kits as CSV that `import` reads, to FILE or standard output."""

    async def collect(connection: Connection) -> list[dict[str, Any]]:
        return [row async for row in export_kits(connection)]

    text = write_kit_file(with_database(collect))
    if file is None:
        sys.stdout.writelines(text)
        return
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            out.writelines(text)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"{file}: {error.strerror}") from None


async def _all_tokens(connection: Connection) -> list[tokens.Token]:
    found: list[tokens.Token] = []
    while page := await tokens.list_tokens(connection, after=found[-1].token_id if found else 0):
        found += page
    return found


def _shown(token: tokens.Token) -> dict[str, Any]:
    values = asdict(token)
    return {"id": values.pop("token_id"), **values}


def _state(token: tokens.Token) -> str:
    if token.revoked_at:
        return "revoked"
    return "expired" if token.expires_at and token.expires_at <= datetime.now(UTC) else "valid"


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        with file.open("rb") as source:
            return source.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None


def _show_bad(report: ImportReport) -> None:
    for bad in report.bad[:SHOWN_BAD_LINES]:
        print(f"line {bad.line} ({bad.kit or 'no kit'}): {bad.reason}", file=sys.stderr)
    if len(report.bad) > SHOWN_BAD_LINES:
        print(f"… and {len(report.bad) - SHOWN_BAD_LINES} more bad lines", file=sys.stderr)
