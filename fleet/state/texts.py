"""What free texts and ids in the books may hold: one place for API, command line and import."""

from __future__ import annotations

import re
import unicodedata

from fleet.protocol.topics import KIT_ID

MAX_LABEL = 200
MAX_INTERVAL_S = 60 * 24 * 3600
MAX_COMPONENTS = 100
MAX_COMPONENT_NAME = 64
MAX_VERSION = 128

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_APART = r"[^0-9A-Za-z\n]{0,3}"
"""What may stand between the parts of a number: a sign or two, with spaces.

The patterns look ahead, so that what begins within a likeness that is none is found too.
"""
_CIVIL_NUMBER = re.compile(
    rf"(?<![0-9])(?=([0-9]{{2}})({_APART})([0-9]{{2}})({_APART})[0-9]{{2}}"
    rf"(?:({_APART})[0-9]{{4}}|(?!\d){_APART}[0-9]{{2}} [0-9]{{2}})(?![0-9]))"
)
_CIVIL_NUMBER_OF_CENTURY = re.compile(
    rf"(?<![0-9])(?=([0-9]{{2}}){_APART}([0-9]{{2}}){_APART}([0-9]{{4}})({_APART})[0-9]{{4}}(?![0-9]))"
)
_CIVIL_NUMBER_BY_YEAR = re.compile(
    rf"(?<![0-9])(?=([0-9]{{4}}){_APART}([0-9]{{2}}){_APART}([0-9]{{2}})({_APART})[0-9]{{4}}(?![0-9]))"
)
BIRTH_YEARS = range(1880, 2016)
"""Years that mean somebody's birth where they are written out: those after are of orders, deliveries and visits."""
CIVIL_NUMBER = "looks like a civil registration number, which may not be stored"
_DAYS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_REPLACEMENT = 60
"""Added to the day in a replacement number (erstatningspersonnummer)."""
_LETTERS = str.maketrans({"æ": "ae", "ø": "oe", "å": "aa", "ä": "ae", "ö": "oe", "ü": "ue", "é": "e"})


def bad_kit(kit: str) -> str | None:
    """Why no kit may be entered as `kit`; None when it may."""
    if could_hide_cpr(kit):
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

    Ten digits that begin with a possible date DDMMYY (or with 60 added to the day, as in replacement numbers), in one
    or with up to three signs between day, month, year and the last four, which may stand in pairs; in whatever digits
    Unicode has. With the century written out (`01.01.1990-1234`, `19900101-1234`) there must be a sign before the last
    four, since serial numbers begin with dates too. The check digit of modulus 11 excludes nothing: since 2007 numbers
    are given out without it (CPR-kontoret, "Personnumre uden kontrolciffer"). Longer runs of digits, such as an IMEI,
    are none, nor is a version of four parts (`01.02.03.0045`). About one in eighty random ten-digit numbers looks like
    one; a reference that does is refused all the same.
    """
    return _holds(text, versions=True)


def could_hide_cpr(text: str) -> bool:
    """Whether a civil registration number may stand in an id, whichever of its signs are between the digits.

    Wider than `looks_like_cpr`, which must let versions and serial numbers pass.
    """
    return _holds(text, versions=False)


def _holds(text: str, *, versions: bool) -> bool:
    """`versions`: what could as well be a version or a serial number is let through."""
    plain = "".join(_digit(sign) for sign in unicodedata.normalize("NFKC", text))
    for found in _CIVIL_NUMBER.finditer(plain):
        if _is_day(int(found[1]), int(found[3])) and not (versions and {found[2], found[4], found[5]} == {"."}):
            return True
    dated = [(found[1], found[2], found[3], found[4]) for found in _CIVIL_NUMBER_OF_CENTURY.finditer(plain)]
    dated += [(found[3], found[2], found[1], found[4]) for found in _CIVIL_NUMBER_BY_YEAR.finditer(plain)]
    return any(
        _is_day(int(day), int(month)) and int(year) in BIRTH_YEARS and (apart or not versions)
        for day, month, year, apart in dated
    )


def _digit(sign: str) -> str:
    value = unicodedata.decimal(sign, None)
    return sign if value is None else str(value)


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
