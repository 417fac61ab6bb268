"""Sessions of the console: known to the browser by a random secret, ended by logout, time or an administrator."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Json

from fleet.access.principal import Grant, Principal
from fleet.access.roles import Role
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_dicts

LIVES_S = 12 * 3600
IDLE_S = 30 * 60
CODE_WITHIN_S = 5 * 60
_SECRET_BYTES = 32
_MAX_SECRET = 100

_SQL = load_queries("fleet.access", "sessions.sql")
Connection = AsyncConnection[Any]


class Method(StrEnum):
    """How somebody logged in."""

    PASSWORD = "password"  # noqa: S105 - a name
    OIDC = "oidc"
    TOKEN = "token"  # noqa: S105


class Need(StrEnum):
    """What is still to be done before a login counts."""

    CODE = "code"
    NEW_PASSWORD = "new_password"  # noqa: S105 - a name
    SECOND_FACTOR = "second_factor"


@dataclass(frozen=True, slots=True)
class Session:
    """A login that still counts; `need` is what its holder must do first."""

    session_id: int
    principal: Principal
    organisation_id: int | None
    method: Method
    need: Need | None


def need_of(stage: str, method: Method, roles: Iterable[Role], *, must_change: bool, has_factor: bool) -> Need | None:
    """What comes before anything else. Whoever administers needs a second factor; at a provider that is its task."""
    if stage == "code":
        return Need.CODE
    if must_change:
        return Need.NEW_PASSWORD
    if method is Method.PASSWORD and Role.ADMIN in roles and not has_factor:
        return Need.SECOND_FACTOR
    return None


async def begin(
    connection: Connection,
    holder: Principal,
    method: Method,
    *,
    stage: Literal["code", "open"] = "open",
    origin: str | None = None,
) -> str:
    """A session of a user or token; gives the secret for the browser, which is not kept."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    values = {
        "secret_hash": _hash(secret),
        "user_id": holder.id if holder.kind == "user" else None,
        "token_id": holder.id if holder.kind == "token" else None,
        "method": method.value,
        "stage": stage,
        "lives_s": CODE_WITHIN_S if stage == "code" else LIVES_S,
        "origin": origin,
    }
    await connection.execute(_SQL["begin"], values)
    return secret


async def authenticate(connection: Connection, secret: str, *, by_hand: bool = True) -> Session | None:
    """The session behind a secret; None when it is not known or has ended.

    What is not done `by_hand`, as when a page brings itself up to date, does not keep the session from ending unused.
    """
    if len(secret) > _MAX_SECRET:
        return None
    async with connection.cursor(row_factory=dict_row) as cursor:
        values = {"secret_hash": _hash(secret), "idle_s": IDLE_S, "by_hand": by_hand}
        await cursor.execute(_SQL["authenticate"], values)
        row = await cursor.fetchone()
    return None if row is None or row["ended"] else _session(row)


async def end(connection: Connection, secret: str) -> None:
    """End a session; one that is not known is none of our business."""
    await connection.execute(_SQL["end"], {"secret_hash": _hash(secret[:_MAX_SECRET])})


async def end_all(connection: Connection, user_id: int, *, but: int | None = None) -> None:
    """End every session of a user that the caller may see, `but` one."""
    await connection.execute(_SQL["end_all"], {"user_id": user_id, "but": but})


async def note(
    connection: Connection, action: str, holder: Principal | None, organisation_id: int | None, **told: Any
) -> None:
    """A line of the audit about a login; without a holder it is about nobody we know."""
    kind = "tokens" if holder is not None and holder.kind == "token" else "users"
    values = {
        "action": f"{kind}.{action}",
        "kind": kind,
        "subject": None if holder is None else str(holder.id),
        "organisation_id": organisation_id,
        "after": Json(told),
    }
    await fetch_dicts(connection, _SQL["note"], values)


def grants_of(rows: Iterable[dict[str, Any]]) -> tuple[Grant, ...]:
    """Grants as the database gives them."""
    return tuple(
        Grant(
            Role(row["role"]),
            None if row["organisation_id"] is None else frozenset(row["organisations"]),
            row["organisation_id"],
            frozenset(row["own"] or ()),
        )
        for row in rows
    )


def _session(row: dict[str, Any]) -> Session:
    kind: Literal["user", "token"] = "token" if row["user_id"] is None else "user"
    holder = row["token_id"] if kind == "token" else row["user_id"]
    principal = Principal(kind, holder, row["name"], grants_of(row["grants"]))
    method = Method(row["method"])
    need = need_of(
        row["stage"],
        method,
        principal.roles,
        must_change=row["must_change_password"],
        has_factor=row["has_second_factor"],
    )
    return Session(row["session_id"], principal, row["organisation_id"], method, need)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
