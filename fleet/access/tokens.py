"""Tokens for programs and first logins: 32 random bytes, shown once, kept as a SHA-256 hash only.

A plain hash is enough: the secret is random, so there is nothing to guess that stretching would slow down.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row, scalar_row

from fleet.access.giving import may_give
from fleet.access.principal import Grant, Principal
from fleet.access.roles import Role
from fleet.db.queries import load_queries
from fleet.errors import InvalidError, NotFoundError

PREFIX = "flt_"
SECRET_BYTES = 32
MAX_NAME = 100

_SQL = load_queries("fleet.access", "tokens.sql")


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it may be shown: never its secret.

    `hint` is its last four characters; `organisation` the slug it is bound to, None for the whole installation.
    """

    token_id: int
    name: str
    role: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    organisation: str | None
    created_by: str | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made; `secret` is shown once and not kept."""

    secret: str = field(repr=False)
    token: Token


class Refusal(StrEnum):
    """Why a token was not accepted."""

    UNKNOWN = "unknown_token"
    EXPIRED = "expired_token"
    REVOKED = "revoked_token"


def hash_secret(secret: str) -> bytes:
    """What is stored instead of the secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


async def create(
    connection: AsyncConnection[Any],
    *,
    name: str,
    role: Role,
    organisation: str | None = None,
    expires_at: datetime | None = None,
    by: Principal | None = None,
) -> NewToken:
    """Make a token; raises InvalidError naming what is wrong.

    Nobody gives away what they do not hold: `by`, when given, must hold the role over the organisation (or the whole
    installation when there is none).
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidError("name", f"give 1 to {MAX_NAME} printable characters")
    organisation_id = await _organisation_id(connection, organisation)
    if by is not None and not await may_give(connection, by, role, organisation_id):
        where = "the whole installation: name an organisation" if organisation_id is None else "that organisation"
        raise InvalidError("role" if organisation_id else "organisation", f"you do not hold {role} over {where}")
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    values = {
        "name": name.strip(),
        "role": role.value,
        "secret_hash": hash_secret(secret),
        "hint": secret[-4:],
        "expires_at": expires_at,
        "organisation_id": organisation_id,
        "created_by": None if by is None else by.actor,
    }
    async with connection.cursor(row_factory=class_row(Token)) as cursor:
        await cursor.execute(_SQL["create"], values)
        row = await cursor.fetchone()
    assert row is not None
    return NewToken(secret, row)


async def _organisation_id(connection: AsyncConnection[Any], slug: str | None) -> int | None:
    if slug is None:
        return None
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["organisation"], {"slug": slug})
        found: int | None = await cursor.fetchone()
    if found is None:
        raise InvalidError("organisation", f"there is none with the slug {slug!r}")
    return found


async def list_tokens(
    connection: AsyncConnection[Any],
    *,
    after: int = 0,
    limit: int = 500,
    role: str | None = None,
    name: str | None = None,
    organisation: str | None = None,
) -> list[Token]:
    """Tokens by id, the revoked ones too; `after` is the last id of the page before."""
    values = {"after": after, "limit": limit, "role": role, "name": name, "organisation": organisation}
    async with connection.cursor(row_factory=class_row(Token)) as cursor:
        await cursor.execute(_SQL["list"], values)
        return await cursor.fetchall()


async def revoke(connection: AsyncConnection[Any], token_id: int) -> Token:
    """End a token at once; doing it twice changes nothing. Raises NotFoundError."""
    async with connection.cursor(row_factory=class_row(Token)) as cursor:
        await cursor.execute(_SQL["revoke"], {"token_id": token_id})
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("token", str(token_id))
    return row


async def authenticate(connection: AsyncConnection[Any], secret: str) -> Principal | Refusal:
    """Who holds `secret`; a refusal is a value."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["authenticate"], {"secret_hash": hash_secret(secret), "token_id": None})
        row = await cursor.fetchone()
    if row is None:
        return Refusal.UNKNOWN
    if row["revoked"]:
        return Refusal.REVOKED
    if row["expired"]:
        return Refusal.EXPIRED
    organisations = None if row["organisation_id"] is None else frozenset(row["organisations"])
    grant = Grant(Role(row["role"]), organisations, row["organisation_id"], frozenset(row["own"] or ()))
    return Principal("token", row["token_id"], row["name"], (grant,))
