"""What kept alerts of a kit quiet, and when: maintenance, shelves and mass events as they stood then. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from fleet.alerts.quieting.suppress import graver

MAINTENANCE, SHELF, INCIDENT = "maintenance", "shelved", "incident"
_RANK = {SHELF: 1, MAINTENANCE: 2, INCIDENT: 3}
"""What somebody said of this very alert comes before what was planned for many, and that before a mass event."""


@dataclass(frozen=True, slots=True)
class Spell:
    """From `begin` to `end` (None: it goes on) something kept the kit's alerts of the rule quiet.

    `by` is what `suppressed_by` says. One that does not `open` withheld them: the kit was not evaluated. A shelf holds
    for what is as grave as `severity` at most.
    """

    by: str
    begin: datetime
    end: datetime | None
    opens: bool = True
    severity: str | None = None

    @property
    def kind(self) -> str:
        """Maintenance, shelf or mass event."""
        return self.by.partition(":")[0]

    def keeps(self, severity: str, at: datetime) -> bool:
        """Whether it keeps an alert of this severity quiet at that moment."""
        on = self.begin <= at and (self.end is None or at < self.end)
        return on and (self.severity is None or not graver(severity, self.severity))


def keeper(spells: Iterable[Spell], severity: str, at: datetime) -> Spell | None:
    """What keeps an alert quiet at that moment; None when nothing does."""
    on = [spell for spell in spells if spell.keeps(severity, at)]
    return min(on, key=lambda spell: (spell.opens, _RANK[spell.kind], spell.begin), default=None)
