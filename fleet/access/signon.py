"""People that an OpenID Connect provider knows: made at their first login, with the roles it tells at each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from fleet.access import organisations, users
from fleet.access.principal import Principal
from fleet.access.users import Connection, Held, LoginFacts, RoleAt
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_value
from fleet.errors import ForbiddenError, InvalidError

_SQL = load_queries("fleet.access", "users.sql")


async def signed_on(
    connection: Connection, issuer: str, subject: str, roles: Iterable[RoleAt], *, username: str, by: Principal
) -> LoginFacts:
    """The user that a provider knows as `subject`, made at the first login, with the roles the provider tells.

    Roles over organisations that are not here are passed over; raises ForbiddenError when none remains.
    """
    held = await _known(connection, roles)
    if not held:
        raise ForbiddenError("the provider gives no role here")
    home = _home(held)
    known = {"oidc_issuer": issuer, "oidc_subject": subject}
    user_id: int | None = await fetch_value(connection, _SQL["find_oidc"], known)
    if user_id is None:
        user_id = await _make_signed_on(connection, {**users.nobody_yet(username, home, by), **known})
    await users.replace_roles(connection, user_id, held)
    found = await users.login_facts(connection, user_id=user_id)
    assert found is not None
    if found.organisation_id != home:
        values = {"user_id": user_id, "organisation_id": home, "disabled": found.disabled}
        await connection.execute(_SQL["edit"], values)
    return found


async def _make_signed_on(connection: Connection, values: dict[str, Any]) -> int:
    """Under the wanted name, or one made of the subject where that is taken."""
    made: int | None = await fetch_value(connection, _SQL["add"], values)
    if made is None:
        values["username"] = plain_name(values["oidc_issuer"], values["oidc_subject"])
        made = await fetch_value(connection, _SQL["add"], values)
    if made is None:  # a second login of the same person at the same moment
        made = await fetch_value(connection, _SQL["find_oidc"], values)
    assert made is not None
    return made


def plain_name(issuer: str, subject: str) -> str:
    """An account name that says nothing about the person."""
    return f"oidc-{hashlib.sha256(f'{issuer} {subject}'.encode()).hexdigest()[:12]}"


async def _known(connection: Connection, roles: Iterable[RoleAt]) -> frozenset[Held]:
    held = set()
    for each in roles:
        try:
            held.add(Held(each.role, await organisations.id_of(connection, each.organisation)))
        except InvalidError:
            continue
    return frozenset(held)


def _home(held: Iterable[Held]) -> int | None:
    """Where somebody belongs whose roles are all over one organisation; else to the installation."""
    homes = {each.organisation_id for each in held}
    return homes.pop() if len(homes) == 1 else None
