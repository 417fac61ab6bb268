"""Passwords: which are good enough, and argon2id in threads of their own so that nothing else waits for it.

Rules as in NIST SP 800-63B, 5.1.1: length and a list of the worst, no rules of composition. Parameters as OWASP's
Password Storage Cheat Sheet has them for argon2id.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fleet.errors import UnavailableError

MIN_LENGTH = 12
MAX_LENGTH = 128
MEMORY_KIB = 19 * 1024
ITERATIONS = 2
THREADS = 2
"""Hashes made at once, each with MEMORY_KIB of memory."""
MOST_WAITING = 32
ONE_TIME_GROUPS = 4
_ONE_TIME_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUP_LENGTH = 5
_ENOUGH_LEFT = 4

T = TypeVar("T")


class Weakness(StrEnum):
    """Why a password is not taken."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    HOLDS_USERNAME = "holds_username"
    COMMON = "common"


SAID: dict[Weakness, str] = {
    Weakness.TOO_SHORT: f"give at least {MIN_LENGTH} characters",
    Weakness.TOO_LONG: f"give at most {MAX_LENGTH} characters",
    Weakness.HOLDS_USERNAME: "holds the account's name",
    Weakness.COMMON: "is one of those that are tried first: take several words that have nothing to do with each other",
}

# What remains of a password without these must still have some letters of its own.
_COMMON = (
    "qwertyuiop", "asdfghjkl", "1234567890", "0123456789", "adgangskode", "kodeord", "password", "passord", "passw0rd",
    "p@ssw0rd", "p@ssword", "123456789", "12345678", "987654321", "hemmelig", "velkommen", "welcome", "telekit",
    "telemedicin", "sundhed", "kommune", "danmark", "denmark", "københavn", "aalborg", "aarhus", "odense", "sommer",
    "vinter", "forår", "efterår", "summer", "winter", "spring", "autumn", "january", "januar", "qwerty", "asdfgh",
    "zxcvbn", "1q2w3e4r", "1qaz2wsx", "letmein", "iloveyou", "monkey", "dragon", "football", "fodbold", "administrator",
    "admin", "support", "service", "secret", "changeme", "skiftmig", "login", "fleet", "master", "hello", "hejhej",
    "test", "abcdefgh", "abc123", "abcd", "123456", "12345", "1234", "123", "321", "abc",
)  # fmt: skip
_YEAR = re.compile(r"(?:19|20)\d\d")

_HASHER = PasswordHasher(time_cost=ITERATIONS, memory_cost=MEMORY_KIB, parallelism=1, hash_len=32, salt_len=16)


def weakness(password: str, username: str) -> Weakness | None:
    """Why `password` is not good enough for this account; None when it is."""
    plain = _plain(password)
    if len(plain) < MIN_LENGTH:
        return Weakness.TOO_SHORT
    if len(plain) > MAX_LENGTH:
        return Weakness.TOO_LONG
    folded = plain.casefold()
    if username.casefold() in folded:
        return Weakness.HOLDS_USERNAME
    for common in _COMMON:
        folded = folded.replace(common, "")
    return Weakness.COMMON if len(set(_YEAR.sub("", folded))) < _ENOUGH_LEFT else None


def one_time() -> str:
    """A password to hand over, to be changed at the first login: 99 bits, without signs that look alike."""
    groups = ("".join(secrets.choice(_ONE_TIME_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(ONE_TIME_GROUPS))
    return "-".join(groups)


def hash_password(password: str) -> str:
    """What is stored; takes some ten milliseconds and MEMORY_KIB."""
    return _HASHER.hash(_plain(password))


def verify(stored: str | None, password: str) -> bool:
    """Whether `password` is the one behind `stored`; takes as long when there is none."""
    try:
        _HASHER.verify(stored or _nobodys(), _plain(password))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether `stored` was made with other parameters than those of now."""
    return _HASHER.check_needs_rehash(stored)


@cache
def _nobodys() -> str:
    """Checked where there is no account, which then takes as long as where there is one."""
    return _HASHER.hash(secrets.token_urlsafe(32))


def _plain(password: str) -> str:
    # The same sign can be typed as different code points (NIST SP 800-63B, 5.1.1.2).
    return unicodedata.normalize("NFKC", password).encode(errors="replace").decode()


class HashingThreads:
    """The few threads that hash; beyond MOST_WAITING callers the next are refused with UnavailableError."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._threads.submit(_nobodys)

    async def hash(self, password: str) -> str:
        """As `hash_password`."""
        return await self._run(lambda: hash_password(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """As `verify`."""
        return await self._run(lambda: verify(stored, password))

    def close(self) -> None:
        """End the threads; what waits is not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= THREADS + MOST_WAITING:
            raise UnavailableError("too many log in at this moment; try again")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
