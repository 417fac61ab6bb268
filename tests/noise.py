"""Damaged and hostile messages, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_TOKENS = (
    b"\x00", b"\\u0000", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"1e999", b"-1", b"9" * 400, b"9223372036854775808",
    b"null", b"true", b"NaN", b"[" * 300, b'{"a":' * 300, b'"', b"\\", b"}", b",", b"\xef\xbb\xbf",
    b"0001-01-01T00:00:00+14:00",
    b"9999-12-31T23:59:59-14:00", b"2026-02-30T00:00:00Z", "æøå\U0001f600".encode(), b"' OR 1=1 --", b"%s %(x)s",
    b"\\N\t",
)  # fmt: skip


def _flip(random: Random, content: bytearray) -> None:
    if content:
        content[random.randrange(len(content))] = random.randrange(256)


def _insert(random: Random, content: bytearray) -> None:
    at = random.randint(0, len(content))
    content[at:at] = random.choice(_TOKENS)


def _replace(random: Random, content: bytearray) -> None:
    at = random.randint(0, len(content))
    content[at : at + random.randint(0, 12)] = random.choice(_TOKENS)


def _cut(random: Random, content: bytearray) -> None:
    del content[random.randint(0, len(content)) :]


def _drop(random: Random, content: bytearray) -> None:
    at = random.randint(0, len(content))
    del content[at : at + random.randint(1, 8)]


def _swap_value(random: Random, content: bytearray) -> None:
    at = content.find(b":", random.randint(0, len(content)))
    if at >= 0:
        end = content.find(b",", at)
        content[at + 1 : end if end > 0 else len(content)] = random.choice(_TOKENS)


def _grow(random: Random, content: bytearray) -> None:
    content += b" " * random.choice((10, 5_000, 16_384, 60_000))


_WAYS: tuple[Callable[[Random, bytearray], None], ...] = (_flip, _insert, _replace, _cut, _drop, _swap_value)


def mutate(random: Random, message: bytes) -> bytes:
    """`message` damaged in one to four ways; sometimes too big."""
    content = bytearray(message)
    for _ in range(random.randint(1, 4)):
        random.choice(_WAYS)(random, content)
    if random.random() < 0.01:
        _grow(random, content)
    return bytes(content[:65_536])
