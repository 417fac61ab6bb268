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
_CIVIL_NUMBER = re.compile(r"(?<!\d)\d{6}-\d{4}(?!\d)", re.ASCII)
_LETTERS = str.maketrans({"æ": "ae", "ø": "oe", "å": "aa", "ä": "ae", "ö": "oe", "ü": "ue", "é": "e"})


def bad_kit(kit: str) -> str | None:
    """Why `kit` is no kit id; None when it is one."""
    if KIT_ID.fullmatch(kit):
        return None
    return f"{kit[:80]!r} is no kit id: 1 to 64 of A-Z a-z 0-9 _ -"


def bad_text(text: str, limit: int = MAX_LABEL) -> str | None:
    """Why `text` may not be stored; None when it may.

    Civil registration numbers (`ddmmyy-nnnn`) are refused: nothing that names a citizen belongs here.
    """
    if len(text) > limit:
        return f"at most {limit} characters"
    if text and not text.isprintable():
        return "holds a line break or another control character"
    if _CIVIL_NUMBER.search(text):
        return "looks like a civil registration number, which may not be stored"
    return None


def bad_components(components: dict[str, str]) -> str | None:
    """Why wanted versions may not be stored; None when they may."""
    if len(components) > MAX_COMPONENTS:
        return f"at most {MAX_COMPONENTS} components"
    for name, version in components.items():
        if not 1 <= len(name) <= MAX_COMPONENT_NAME or not name.isprintable():
            return f"{name[:80]!r} is no component: 1 to {MAX_COMPONENT_NAME} printable characters"
        if not 1 <= len(version) <= MAX_VERSION or not version.isprintable():
            return f"{name} has no version of 1 to {MAX_VERSION} printable characters"
    return None


def slug_of(text: str) -> str | None:
    """The slug that an organisation's name leads to (`Aalborg Kommune` → `aalborg-kommune`)."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.strip().lower().translate(_LETTERS)).strip("-")[:63].strip("-")
    return slug if SLUG.fullmatch(slug) else None
