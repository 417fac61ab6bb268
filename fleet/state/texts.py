"""What free texts and ids in the books may hold: one place for API, command line and import."""

from __future__ import annotations

import re

from fleet.protocol.topics import KIT_ID

MAX_LABEL = 200
MAX_INTERVAL_S = 60 * 24 * 3600
MAX_COMPONENTS = 100
MAX_COMPONENT_NAME = 64
MAX_VERSION = 128

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_CIVIL_NUMBER = re.compile(
    r"(?<![0-9])([0-9]{2})([0-9]{2})[0-9]{2} ?[-._ /\u2010-\u2015]? ?[0-9]{4}(?![0-9])", re.ASCII
)
_CIVIL_NUMBER_DATED = re.compile(
    r"(?<![0-9])([0-9]{2})[-. /]([0-9]{2})[-. /][0-9]{2} ?[-_ \u2010-\u2015] ?[0-9]{4}(?![0-9])", re.ASCII
)
_CIVIL_NUMBER_APART = re.compile(
    r"(?<![0-9])([0-9]{2})[._:-]?([0-9]{2})[._:-]?[0-9]{2}[._:-]?[0-9]{4}(?![0-9])", re.ASCII
)
CIVIL_NUMBER = "looks like a civil registration number, which may not be stored"
_DAYS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_REPLACEMENT = 60
"""Added to the day in a replacement number (erstatningspersonnummer)."""
_LETTERS = str.maketrans({"æ": "ae", "ø": "oe", "å": "aa", "ä": "ae", "ö": "oe", "ü": "ue", "é": "e"})


def bad_kit(kit: str) -> str | None:
    """Why no kit may be entered as `kit`; None when it may."""
    if looks_like_cpr(kit):
        return CIVIL_NUMBER
    if KIT_ID.fullmatch(kit):
        return None
    return f"{kit[:80]!r} is no kit id: 1 to 64 of A-Z a-z 0-9 _ -"


def bad_text(text: str, limit: int = MAX_LABEL) -> str | None:
    """Why `text` may not be stored; None when it may.

    Civil registration numbers are refused: nothing that names a citizen belongs here.
    """
    if len(text) > limit:
        return f"at most {limit} characters"
    if text and not text.strip():
        return "holds spaces only: leave it out, or say something"
    if text and not text.isprintable():
        return "holds a line break or another control character"
    if looks_like_cpr(text):
        return CIVIL_NUMBER
    return None


def looks_like_cpr(text: str) -> bool:
    """Whether a Danish civil registration number may stand in `text`.

    Ten digits, also with a sign after the sixth and the date written apart (`01.01.90-1234`), that begin with a
    possible date DDMMYY (or with 60 added to the day, as in replacement numbers). The check digit of modulus 11
    excludes nothing: since 2007 numbers are given out without it (CPR-kontoret, "Personnumre uden kontrolciffer").
    Longer runs of digits, such as an IMEI, are none. About one in eighty random ten-digit numbers looks like one; a
    reference that does is refused all the same.
    """
    return _any_day(_CIVIL_NUMBER, text) or _any_day(_CIVIL_NUMBER_DATED, text)


def could_hide_cpr(text: str) -> bool:
    """Whether a civil registration number may stand in an id, whichever of its signs are between the digits.

    Wider than `looks_like_cpr`, which must let versions such as `01.02.03.0045` pass.
    """
    return looks_like_cpr(text) or _any_day(_CIVIL_NUMBER_APART, text)


def _any_day(pattern: re.Pattern[str], text: str) -> bool:
    return any(_is_day(int(found[1]), int(found[2])) for found in pattern.finditer(text))


def _is_day(day: int, month: int) -> bool:
    plain = day - _REPLACEMENT if day > _REPLACEMENT else day
    return 1 <= month <= 12 and 1 <= plain <= _DAYS.get(month, 31)


def bad_components(components: dict[str, str]) -> str | None:
    """Why wanted versions may not be stored; None when they may."""
    if len(components) > MAX_COMPONENTS:
        return f"at most {MAX_COMPONENTS} components"
    for name, version in components.items():
        if not 1 <= len(name) <= MAX_COMPONENT_NAME or not name.isprintable():
            return f"{name[:80]!r} is no component: 1 to {MAX_COMPONENT_NAME} printable characters"
        if looks_like_cpr(name):
            return f"a component's name {CIVIL_NUMBER}"
        if not 1 <= len(version) <= MAX_VERSION or not version.isprintable():
            return f"{name} has no version of 1 to {MAX_VERSION} printable characters"
    return None


def slug_of(text: str) -> str | None:
    """The slug that an organisation's name leads to (`Aalborg Kommune` → `aalborg-kommune`)."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.strip().lower().translate(_LETTERS)).strip("-")[:63].strip("-")
    return slug if SLUG.fullmatch(slug) else None
