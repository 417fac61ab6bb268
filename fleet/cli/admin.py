"""`fleet token …`: administration by whoever can reach the database."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from fleet.access import tokens
from fleet.access.roles import Role
from fleet.cli.database import Connection, with_database
from fleet.errors import InvalidError
from fleet.state.texts import bad_text

token_app = typer.Typer(help="Tokens for programs and logins.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


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
    if (problem := bad_text(name)) is not None:
        raise InvalidError("name", problem)
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
