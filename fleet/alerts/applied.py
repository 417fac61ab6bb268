"""What a step of the worker really changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fleet.alerts.rules import Outcome, Resolution, RuleName


@dataclass(slots=True)
class Applied:
    """What really changed: an action that finds its work done already changes nothing."""

    opened: Counter[RuleName] = field(default_factory=Counter)
    cleared: Counter[tuple[RuleName, Resolution]] = field(default_factory=Counter)
    requests_opened: int = 0
    requests_resolved: int = 0
    incidents_opened: int = 0
    incidents_cleared: int = 0
    joined: int = 0
    left: Counter[Outcome] = field(default_factory=Counter)

    def add(self, other: Applied) -> None:
        """Take another step's changes in."""
        self.opened += other.opened
        self.cleared += other.cleared
        self.left += other.left
        for name in ("requests_opened", "requests_resolved", "incidents_opened", "incidents_cleared", "joined"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def changed(self) -> bool:
        """Whether anything was opened, cleared, joined or left."""
        return self != Applied()
