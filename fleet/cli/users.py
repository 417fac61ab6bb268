"""`fleet user …`: people who log in, administered by whoever can reach the database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fleet.access import lockout, users
from fleet.access.principal import SYSTEM
from fleet.access.roles import Role
from fleet.access.users import NewUser, RoleAt, User
from fleet.cli.admin import AsJson
from fleet.cli.database import Connection, with_database
from fleet.errors import InvalidError
from fleet.state.texts import bad_text

user_app = typer.Typer(help="People who log in to the console.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name, however its letters are written.")]


@user_app.command("create")
def user_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of your choice, not a person's.")],
    role: Annotated[list[Role], typer.Option(help="What the person may do; may be given several times.")],
    organisation: Annotated[
        str | None,
        typer.Option(help="Where the person belongs and the roles count; all without.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a user and print a one-time password, which is changed at the first login."""
    if (problem := bad_text(name)) is not None:
        raise InvalidError("name", problem)
    password, password_hash = _one_time()
    new = NewUser(name, organisation, tuple(RoleAt(each, organisation) for each in role))

    async def make(connection: Connection) -> User:
        return await users.add(connection, new, password_hash, by=SYSTEM)

    _show_password(with_database(make), password, as_json)


@user_app.command("list")
def user_list(as_json: AsJson = False) -> None:
    """Show all users, never their secrets."""
    found = with_database(_all_users)
    if as_json:
        print(json.dumps({"items": [_shown(user) for user in found]}, default=str))
        return
    print(f"{'name':<24} {'state':<9} {'2nd factor':<11} {'last login':<17} roles")
    for user in found:
        seen = f"{user.last_login_at:%Y-%m-%d %H:%M}" if user.last_login_at else "never"
        factor = "provider" if user.single_sign_on else "yes" if user.second_factor else "no"
        state = "disabled" if user.disabled else "enabled"
        print(f"{user.username:<24} {state:<9} {factor:<11} {seen:<17} {_roles(user)}")


@user_app.command("disable")
def user_disable(name: Name) -> None:
    """Let somebody in no more and end every session at once."""
    user = _edit(name, disabled=True)
    print(f"{user.username} is disabled")


@user_app.command("enable")
def user_enable(name: Name) -> None:
    """Let somebody in again."""
    user = _edit(name, disabled=False)
    print(f"{user.username} is enabled")


@user_app.command("reset-password")
def user_reset_password(name: Name, as_json: AsJson = False) -> None:
    """Print a new one-time password, end every session and forget failed logins."""
    password, password_hash = _one_time()

    async def work(connection: Connection) -> User:
        found = await users.find_by_name(connection, name)
        async with connection.transaction():
            await lockout.forget(connection, lockout.account_key(found.username))
            return await users.reset_password(connection, found.user_id, password_hash, by=SYSTEM)

    _show_password(with_database(work), password, as_json)


@user_app.command("reset-totp")
def user_reset_totp(name: Name) -> None:
    """Forget the second factor of somebody whose app is gone."""

    async def work(connection: Connection) -> User:
        found = await users.find_by_name(connection, name)
        return await users.reset_second_factor(connection, found.user_id, by=SYSTEM)

    user = with_database(work)
    print(f"{user.username} logs in without a second factor until a new one is set up")


def _edit(name: str, **changes: Any) -> User:
    async def work(connection: Connection) -> User:
        found = await users.find_by_name(connection, name)
        outcome = await users.edit(connection, found.user_id, changes, by=SYSTEM)
        assert isinstance(outcome, User)
        return outcome

    return with_database(work)


async def _all_users(connection: Connection) -> list[User]:
    found: list[User] = []
    while page := await users.users(connection, after=found[-1].user_id if found else 0):
        found += page
    return found


def _one_time() -> tuple[str, str]:
    from fleet.access import passwords  # noqa: PLC0415 - only these commands hash

    password = passwords.one_time()
    return password, passwords.hash_password(password)


def _show_password(user: User, password: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**_shown(user), "password": password}, default=str))
    else:
        print(password)


def _shown(user: User) -> dict[str, Any]:
    values = asdict(user)
    return {"id": values.pop("user_id"), **values}


def _roles(user: User) -> str:
    return ", ".join(f"{each['role']} ({each['organisation'] or 'everything'})" for each in user.roles)
