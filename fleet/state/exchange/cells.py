"""One cell of a file: text → value, or ValueError that says why not; and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from fleet.state.registry import checks
from fleet.state.texts import bad_text, slug_of

Parser = Callable[[str], Any]

_GUARDED = re.compile(r"'*[=+\-@\t\r]")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_AMOUNT = re.compile(r"[0-9]{1,10}(?:[.,][0-9]{1,2})?", re.ASCII)
_DANISH_DAY = re.compile(r"([0-9]{2})[-.]([0-9]{2})[-.]([0-9]{4})", re.ASCII)
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_FLAGS = {
    **dict.fromkeys(("true", "yes", "ja", "1", "sand"), True),
    **dict.fromkeys(("false", "no", "nej", "0", "falsk"), False),
}


def guarded(text: str) -> str:
    """The text as a spreadsheet shows it and does not compute it: an apostrophe before what would be a formula."""
    return f"'{text}" if _GUARDED.match(text) else text


def unguarded(text: str) -> str:
    """What `guarded` was given."""
    return text[1:] if text.startswith("'") and _GUARDED.match(text) else text


def line(text: str) -> str:
    """A text for people, without line breaks and without what must not be stored."""
    problem = bad_text(text)
    if problem is not None:
        raise ValueError(problem)
    return text


@lru_cache(maxsize=10_000)  # a file names few, many times
def named(text: str) -> str:
    """The slug or name of an organisation or location."""
    if slug_of(line(text)) is None:
        raise ValueError(f"{text[:80]!r} holds no letter or digit")
    return text


def whole(text: str) -> int:
    """A whole number."""
    if not _WHOLE.fullmatch(text):  # int() also reads 1_0 and digits of other scripts
        raise ValueError(f"{text[:80]!r} is no whole number")
    return int(text)


def amount(text: str) -> Decimal:
    """An amount of money, with a point or a comma."""
    if not _AMOUNT.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no amount with at most two decimals")
    return checks.price(Decimal(text.replace(",", ".")))


def day(text: str) -> date:
    """A date, as 2026-03-31 or as a Danish spreadsheet writes it (31-03-2026)."""
    danish = _DANISH_DAY.fullmatch(text)
    iso = f"{danish[3]}-{danish[2]}-{danish[1]}" if danish else text
    try:
        if not _ISO_DAY.fullmatch(iso):
            raise ValueError
        found = date.fromisoformat(iso)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no date such as 2026-03-31") from None
    return checks.day(found)


def moment(text: str) -> datetime:
    """A time with an offset, or a date, which then begins in UTC."""
    if _ISO_DAY.fullmatch(text) or _DANISH_DAY.fullmatch(text):
        begins = day(text)
        return datetime(begins.year, begins.month, begins.day, tzinfo=UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError(f"{text[:80]!r} is no time such as 2026-03-31T12:00:00Z, and no date")
    checks.day(found.date())
    return found.astimezone(UTC)


def flag(text: str) -> bool:
    """Yes or no."""
    found = _FLAGS.get(text.lower())
    if found is None:
        raise ValueError(f"{text[:80]!r} is neither true nor false")
    return found


def one_of(values: type[StrEnum]) -> Parser:
    """A parser for one of these words."""
    words = {value.value for value in values}

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text[:80]!r} is none of {', '.join(values)}")
        return text

    return parse


def versions(text: str) -> dict[str, str]:
    """Versions by component: `name=version;…`."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, version = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not version:
            raise ValueError(f"{part[:80]!r} is not name=version")
        if name in found:
            raise ValueError(f"{name} stands twice")
        found[name] = version
    return found


def cell(value: Any) -> str:
    """A value as a cell that reads back the same."""
    if value is None or value == {}:
        return ""
    write = _WRITERS.get(type(value))
    return str(value) if write is None else write(value)


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(value: Any) -> str:
    return guarded(msgspec.json.encode(value).decode())


def _mapping(value: Mapping[str, Any]) -> str:
    if all(isinstance(each, str) for each in value.values()):
        return guarded(";".join(f"{name}={version}" for name, version in value.items()))
    return _json(value)


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: guarded,
    bool: lambda value: "true" if value else "false",
    datetime: _moment,
    list: _json,
    dict: _mapping,
}
