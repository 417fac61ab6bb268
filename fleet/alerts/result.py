"""What one tick of the worker did."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleet.alerts.applied import Applied
from fleet.alerts.mass import Mode


@dataclass(slots=True)
class TickResult:
    """What one tick did. `evaluated` counts kits judged by the rules, `held` silent kits left without an alert for
    now, `more` tells that a bound was reached and the next tick need not wait for anything new."""

    applied: Applied = field(default_factory=Applied)
    evaluated: int = 0
    held: int = 0
    mode: Mode = Mode.CALM
    hearing: bool = False
    more: bool = False
    duration_s: float = 0.0

    @property
    def did_something(self) -> bool:
        """Whether there is anything to tell."""
        return self.applied.changed
