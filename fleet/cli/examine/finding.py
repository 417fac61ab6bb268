"""One thing that was looked at, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: `fail` keeps the server from working, `warn` will bite some day."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at, `detail` says how it is and, unless all is well, what to do."""

    level: Level
    what: str
    detail: str


def ok(what: str, detail: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, what, detail)


def warn(what: str, detail: str) -> Finding:
    """Works, and should be mended."""
    return Finding(Level.WARN, what, detail)


def fail(what: str, detail: str) -> Finding:
    """Does not work."""
    return Finding(Level.FAIL, what, detail)
