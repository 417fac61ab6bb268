"""Users: people with an account name, roles over organisations, and a password or a provider that knows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from fleet.access import organisations, sessions
from fleet.access.giving import may_give
from fleet.access.principal import Grant, Principal
from fleet.access.roles import Role
from fleet.access.sessions import grants_of
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError

USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9._@-]{1,62}", re.ASCII)
ONE_TIME_PASSWORD_DAYS = 7
MAX_ROLES = 50

_SQL = load_queries("fleet.access", "users.sql")
Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class RoleAt:
    """A role over an organisation (a slug) with all below it; None is the whole installation."""

    role: Role
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A user as it may be shown: never a secret. `roles` are those the caller may see."""

    user_id: int
    username: str
    organisation: str | None
    single_sign_on: bool
    second_factor: bool
    must_change_password: bool
    disabled: bool
    last_login_at: datetime | None
    created_at: datetime
    created_by: str | None
    revision: int
    roles: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to make; `organisation` is where it belongs."""

    username: str
    organisation: str | None = None
    roles: tuple[RoleAt, ...] = ()


@dataclass(frozen=True, slots=True)
class LoginFacts:
    """What a login is checked against."""

    user_id: int
    username: str
    organisation_id: int | None
    password_hash: str | None = field(repr=False)
    password_expired: bool
    totp_secret: bytes | None = field(repr=False)
    totp_pending: bytes | None = field(repr=False)
    totp_last_step: int | None
    disabled: bool

    @property
    def principal(self) -> Principal:
        """The user without any role, for what everybody may do for themselves."""
        return Principal("user", self.user_id, self.username, ())


@dataclass(frozen=True, slots=True)
class _Locked:
    user_id: int
    username: str
    organisation_id: int | None
    single_sign_on: bool
    disabled: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Held:
    """A role over an organisation by its number."""

    role: Role
    organisation_id: int | None


async def users(
    connection: Connection,
    *,
    after: int = 0,
    limit: int = 500,
    user_id: int | None = None,
    username: str | None = None,
    organisation: str | None = None,
    role: str | None = None,
    disabled: bool | None = None,
) -> list[User]:
    """Users by id, those in the caller's scope."""
    values = {
        "after": after,
        "limit": limit,
        "user_id": user_id,
        "username": username,
        "organisation": organisation,
        "role": role,
        "disabled": disabled,
    }
    return await fetch_all(connection, _SQL["list"], values, User)


async def find(connection: Connection, user_id: int) -> User:
    """One user; raises NotFoundError."""
    found = await users(connection, user_id=user_id, limit=1)
    if not found:
        raise NotFoundError("user", str(user_id))
    return found[0]


async def find_by_name(connection: Connection, username: str) -> User:
    """One user by name, however its letters are written; raises NotFoundError."""
    found = await users(connection, username=username, limit=1)
    if not found:
        raise NotFoundError("user", username)
    return found[0]


async def slugs(connection: Connection, organisation_ids: Iterable[int | None]) -> dict[int, str]:
    """The slugs of organisations that the caller sees."""
    values = {"organisation_ids": [each for each in organisation_ids if each is not None]}
    rows = await fetch_dicts(connection, _SQL["slugs"], values)
    return {row["organisation_id"]: row["slug"] for row in rows}


async def add(connection: Connection, new: NewUser, password_hash: str, *, by: Principal) -> User:
    """Make a user with a one-time password (its hash).

    Raises InvalidError, ConflictError when the name is taken, ForbiddenError when `by` does not hold what it gives.
    """
    if not USERNAME.fullmatch(new.username):
        raise InvalidError("username", "give 2 to 63 of A-Z a-z 0-9 . _ @ -, beginning with a letter")
    async with connection.transaction():
        organisation_id = await organisations.id_of(connection, new.organisation)
        await _check_administers(connection, by, organisation_id)
        values = {**nobody_yet(new.username, organisation_id, by), "password_hash": password_hash}
        user_id: int | None = await fetch_value(connection, _SQL["add"], values)
        if user_id is None:
            raise ConflictError(f"the account name {new.username} is taken")
        await _set_roles(connection, user_id, await _wanted(connection, new.roles), by)
        return await find(connection, user_id)


async def edit(
    connection: Connection,
    user_id: int,
    changes: Mapping[str, Any],
    *,
    by: Principal,
    revisions: frozenset[int] | None = None,
) -> User | int:
    """Change `organisation`, `disabled` or `roles` (RoleAt); the present revision when it is none of `revisions`."""
    async with connection.transaction():
        found = await _lock(connection, user_id, by)
        if revisions is not None and found.revision not in revisions:
            return found.revision
        if "organisation" in changes:
            organisation_id = await organisations.id_of(connection, changes["organisation"])
            await _check_administers(connection, by, organisation_id)
        else:
            organisation_id = found.organisation_id
        disabled = changes.get("disabled", found.disabled)
        values = {"user_id": user_id, "organisation_id": organisation_id, "disabled": disabled}
        if "roles" in changes:
            if found.single_sign_on:
                raise ConflictError("the roles come from the provider at each login: change them there")
            await _set_roles(connection, user_id, await _wanted(connection, changes["roles"]), by)
        await connection.execute(_SQL["edit"], values)
        if disabled:
            await sessions.end_all(connection, user_id)
        return await find(connection, user_id)


async def reset_password(connection: Connection, user_id: int, password_hash: str, *, by: Principal) -> User:
    """Set a one-time password (its hash) and end all sessions."""
    async with connection.transaction():
        found = await _lock(connection, user_id, by)
        if found.single_sign_on:
            raise ConflictError("the user logs in at a provider, which has the password")
        await _set_password(connection, user_id, password_hash, one_time=True)
        return await find(connection, user_id)


async def reset_second_factor(connection: Connection, user_id: int, *, by: Principal) -> User:
    """Forget the second factor with its recovery codes and end all sessions."""
    async with connection.transaction():
        await _lock(connection, user_id, by)
        await forget_second_factor(connection, user_id)
        await sessions.end_all(connection, user_id)
        return await find(connection, user_id)


async def any_user(connection: Connection) -> bool:
    """Whether there is any account at all."""
    return bool(await fetch_value(connection, _SQL["any_user"], {}))


async def login_facts(
    connection: Connection, *, username: str | None = None, user_id: int | None = None
) -> LoginFacts | None:
    """What a login is checked against; None when there is no such account."""
    if username is not None and not USERNAME.fullmatch(username):
        return None
    values = {"username": username, "user_id": user_id}
    return await fetch_one(connection, _SQL["facts"], values, LoginFacts)


async def set_own_password(connection: Connection, user_id: int, password_hash: str, *, but: int | None) -> None:
    """Set the password that the user chose; ends all sessions `but` one."""
    await _set_password(connection, user_id, password_hash, one_time=False, but=but)


async def rehash(connection: Connection, user_id: int, password_hash: str) -> None:
    """Keep the same password under newer parameters."""
    await connection.execute(_SQL["rehash"], {"user_id": user_id, "password_hash": password_hash})


async def logged_in(connection: Connection, user_id: int) -> None:
    """Remember when the user was last here."""
    await connection.execute(_SQL["logged_in"], {"user_id": user_id})


async def propose_second_factor(connection: Connection, user_id: int, sealed: bytes) -> None:
    """Keep a sealed secret that counts once a code of it was given."""
    await connection.execute(_SQL["propose_totp"], {"user_id": user_id, "sealed": sealed})


async def confirm_second_factor(
    connection: Connection, user_id: int, sealed: bytes, step: int, code_hashes: Iterable[bytes]
) -> None:
    """The proposed secret counts from now on; the recovery codes take the place of earlier ones."""
    await connection.execute(_SQL["confirm_totp"], {"user_id": user_id, "sealed": sealed, "step": step})
    await connection.execute(_SQL["forget_recovery_codes"], {"user_id": user_id})
    for code_hash in code_hashes:
        await connection.execute(_SQL["add_recovery_code"], {"user_id": user_id, "code_hash": code_hash})


async def forget_second_factor(connection: Connection, user_id: int) -> None:
    """Log in by password alone from now on."""
    await connection.execute(_SQL["remove_totp"], {"user_id": user_id})
    await connection.execute(_SQL["forget_recovery_codes"], {"user_id": user_id})


async def use_step(connection: Connection, user_id: int, step: int) -> bool:
    """Take a code's time step; False when it or a later one was taken before."""
    return await fetch_value(connection, _SQL["use_step"], {"user_id": user_id, "step": step}) is not None


async def use_recovery_code(connection: Connection, user_id: int, code_hash: bytes) -> bool:
    """Take a recovery code; False when there is no such one left."""
    values = {"user_id": user_id, "code_hash": code_hash}
    return await fetch_value(connection, _SQL["use_recovery_code"], values) is not None


async def recovery_codes_left(connection: Connection, user_id: int) -> int:
    """How many recovery codes can still be used."""
    left: int = await fetch_value(connection, _SQL["recovery_codes_left"], {"user_id": user_id})
    return left


async def _lock(connection: Connection, user_id: int, by: Principal) -> _Locked:
    """A user to change: nobody changes their own account this way, nor that of somebody who may do more."""
    found = await fetch_one(connection, _SQL["lock"], {"user_id": user_id}, _Locked)
    if found is None:
        raise NotFoundError("user", str(user_id))
    if by.kind == "user" and by.id == user_id:
        raise ForbiddenError("nobody changes their own account: ask another administrator")
    await _check_administers(connection, by, found.organisation_id)
    for grant in await user_grants(connection, user_id):
        if not await may_give(connection, by, grant.role, grant.root):
            raise ForbiddenError("the user holds roles that you could not give")
    return found


async def user_grants(connection: Connection, user_id: int) -> tuple[Grant, ...]:
    """Everything a user may do, whoever asks."""
    return grants_of(await fetch_dicts(connection, _SQL["grants"], {"user_id": user_id}))


async def _check_administers(connection: Connection, by: Principal, organisation_id: int | None) -> None:
    if not await may_give(connection, by, Role.ADMIN, organisation_id):
        where = "the installation: name an organisation" if organisation_id is None else "that organisation"
        raise ForbiddenError(f"you do not administer {where}")


async def _wanted(connection: Connection, roles: Iterable[RoleAt]) -> frozenset[Held]:
    return frozenset(
        [Held(each.role, await organisations.id_of(connection, each.organisation, field="roles")) for each in roles]
    )


async def _set_roles(connection: Connection, user_id: int, wanted: frozenset[Held], by: Principal) -> None:
    """Give what is new and take what is gone, all of which `by` must be able to give."""
    for each in await replace_roles(connection, user_id, wanted):
        if not await may_give(connection, by, each.role, each.organisation_id):
            where = "the whole installation" if each.organisation_id is None else "that organisation"
            raise ForbiddenError(f"you do not hold {each.role} over {where}")


async def replace_roles(connection: Connection, user_id: int, wanted: frozenset[Held]) -> frozenset[Held]:
    """Make the roles those wanted; answers which were given or taken."""
    rows = await fetch_dicts(connection, _SQL["roles"], {"user_id": user_id})
    present = frozenset(Held(Role(row["role"]), row["organisation_id"]) for row in rows)
    for query, changed in (("give_role", wanted - present), ("take_role", present - wanted)):
        for each in changed:
            values = {"user_id": user_id, "role": each.role.value, "organisation_id": each.organisation_id}
            await connection.execute(_SQL[query], values)
    return wanted ^ present


async def _set_password(
    connection: Connection, user_id: int, password_hash: str, *, one_time: bool, but: int | None = None
) -> None:
    values = {
        "user_id": user_id,
        "password_hash": password_hash,
        "one_time": one_time,
        "valid_days": ONE_TIME_PASSWORD_DAYS,
    }
    await connection.execute(_SQL["set_password"], values)
    await sessions.end_all(connection, user_id, but=but)


def nobody_yet(username: str, organisation_id: int | None, by: Principal) -> dict[str, Any]:
    """The values of a new account that nobody can log in to."""
    return {
        "username": username,
        "organisation_id": organisation_id,
        "password_hash": None,
        "valid_days": ONE_TIME_PASSWORD_DAYS,
        "oidc_issuer": None,
        "oidc_subject": None,
        "created_by": by.actor,
    }
