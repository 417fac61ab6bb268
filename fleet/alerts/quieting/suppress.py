"""What keeps an alert quiet, and what that says it is. Pure: it takes what would open and gives a reason, or none.

Nothing here can open anything, so suppression only ever narrows; and whatever is kept quiet says by what.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

SEVERITIES = ("warning", "minor", "major", "critical")
"""From the least grave to the gravest."""


@dataclass(frozen=True, slots=True)
class Opening:
    """An alert about to open, or one that stands suppressed: of a kit, or of a `subject` that is none."""

    kit_id: int | None
    rule: str
    severity: str
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Cover:
    """A kit, or a `subject`, is in maintenance: for `rules` (None is all), evaluated meanwhile (`collect`) or not."""

    kit_id: int | None
    window_id: int
    collect: bool
    rules: frozenset[str] | None
    subject: str | None = None

    def concerns(self, opening: Opening) -> bool:
        """Whether it speaks of this alert."""
        same = (self.kit_id, self.subject) == (opening.kit_id, opening.subject)
        return same and (self.rules is None or opening.rule in self.rules)

    @property
    def reason(self) -> str:
        """What `suppressed_by` says."""
        return f"maintenance:{self.window_id}"


@dataclass(frozen=True, slots=True)
class Shelf:
    """A rule that nobody wants to hear of for a kit or `subject` until then, as grave as `severity` at most."""

    kit_id: int | None
    rule: str
    until: datetime
    severity: str
    subject: str | None = None

    def concerns(self, opening: Opening, now: datetime) -> bool:
        """Whether it keeps this alert quiet now: what has become graver comes back at once."""
        same = (self.kit_id, self.subject, self.rule) == (opening.kit_id, opening.subject, opening.rule)
        return same and now < self.until and not graver(opening.severity, self.severity)

    @property
    def reason(self) -> str:
        """What `suppressed_by` says."""
        return shelved(self.until)


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why an alert is quiet. With `opens` it stands suppressed; without, its kit is not evaluated and it does not
    open at all."""

    by: str
    opens: bool = True
    window_id: int | None = None


def suppressor(
    opening: Opening, covers: Iterable[Cover], shelves: Iterable[Shelf], now: datetime
) -> Suppression | None:
    """What keeps the alert quiet; None when nothing does. Maintenance without evaluation comes before all others,
    what somebody said of this very alert before what was planned for many."""
    concerned = sorted((each for each in covers if each.concerns(opening)), key=lambda each: each.window_id)
    for cover in concerned:
        if not cover.collect:
            return Suppression(cover.reason, opens=False, window_id=cover.window_id)
    for shelf in shelves:
        if shelf.concerns(opening, now):
            return Suppression(shelf.reason)
    return Suppression(concerned[0].reason) if concerned else None


def graver(severity: str, than: str) -> bool:
    """Whether one severity is more than the other."""
    return SEVERITIES.index(severity) > SEVERITIES.index(than)


def shelved(until: datetime) -> str:
    """The reason of a shelf; its end is in UTC, to the second."""
    return f"shelved:{until:%Y-%m-%dT%H:%M:%SZ}"
