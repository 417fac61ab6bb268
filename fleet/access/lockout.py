"""How long to wait after failed logins: growing, per account and per address, counted in the database.

An attempt counts as failed from its beginning until it is given back, so that many at once get nowhere. Unknown
accounts count like known ones. Names and addresses are kept as hashes: what is typed as a name may be a password.

A browser that somebody logged in from before is counted by itself at their account, so that strangers who guess keep
nobody out who is at their usual place (OWASP, "Device Cookies").
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from fleet.db.queries import load_queries
from fleet.db.rows import fetch_value

_SQL = load_queries("fleet.access", "sessions.sql")
_IPV6_NETWORK_BITS = 64


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait after each failure, the last for all further ones; one is forgotten every `forget_s`."""

    waits_s: tuple[float, ...]
    forget_s: float


ACCOUNT = Patience((0, 0, 0, 0, 5, 15, 30, 60, 120, 300, 600, 900), 3600)
"""Five tries are free; who goes on gets some hundred a day (NIST SP 800-63B, 5.2.2)."""
ORIGIN = Patience((0,) * 20 + (1, 2, 4, 8, 15, 30, 60), 60)
"""Many people may share an address, so it is more patient; a bot from one still gets about one a minute."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to log in: the keys it is counted under."""

    origin: bytes
    account: bytes | None = None


def attempt(origin: str | None, account: str | None = None, browser: str | None = None) -> Attempt:
    """An attempt from an address at an account, perhaps from a `browser` that the account was used from before."""
    key = None if account is None else account_key(account)
    if account is not None and browser is not None:
        key = _key("browser", f"{browser} {account.lower()}")
    return Attempt(_key("origin", _network(origin)), key)


def account_key(username: str) -> bytes:
    """What attempts at an account are counted under."""
    return _key("account", username.lower())


async def take(connection: AsyncConnection[Any], made: Attempt) -> int:
    """Begin an attempt: 0 when it may go on, else in how many seconds it may be tried again."""
    waits = [await _take(connection, made.origin, ORIGIN)]
    if made.account is not None and not waits[0]:
        waits.append(await _take(connection, made.account, ACCOUNT))
    return max(waits)


async def succeeded(connection: AsyncConnection[Any], made: Attempt) -> None:
    """The attempt was a full login: the account starts anew, the address gets this one back."""
    await connection.execute(_SQL["give_back"], {"key": made.origin})
    if made.account is not None:
        await forget(connection, made.account)


async def give_back(connection: AsyncConnection[Any], made: Attempt) -> None:
    """The attempt was right so far, but no login yet: it counts for nothing."""
    for key in (made.origin, made.account):
        if key is not None:
            await connection.execute(_SQL["give_back"], {"key": key})


async def forget(connection: AsyncConnection[Any], key: bytes) -> None:
    """Start anew with an account."""
    await connection.execute(_SQL["forget"], {"key": key})


async def _take(connection: AsyncConnection[Any], key: bytes, patience: Patience) -> int:
    values = {"key": key, "waits_s": list(patience.waits_s), "forget_s": patience.forget_s}
    wait_s: float = await fetch_value(connection, _SQL["take"], values)
    return math.ceil(wait_s)


def _network(origin: str | None) -> str:
    """The address, or in IPv6 its network: whoever has one address there has all of them."""
    try:
        address = ipaddress.ip_address(origin or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_NETWORK_BITS), strict=False))
    return str(address)


def _key(kind: str, name: str) -> bytes:
    return hashlib.sha256(f"{kind}:{name}".encode(errors="replace")).digest()
