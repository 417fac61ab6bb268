"""When a role that ended is started again, and when it is given up: pure decisions."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

QUICK_S: Final = 10.0
"""A role that ends by itself within this time of its start counts as failed at start."""
MOST_FAILURES: Final = 10
_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 5.0
_LONGEST_DELAY_AFTER_KILL_S: Final = 0.5
_WRONG_USE: Final = 2
_FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGQUIT})


@dataclass(frozen=True, slots=True)
class Ending:
    """How a role's process ended: exit code (negative: signal) after so many seconds."""

    code: int
    lived_s: float

    @property
    def from_outside(self) -> bool:
        """Somebody killed it: that tells nothing about the role."""
        return self.code in _FROM_OUTSIDE


@dataclass(frozen=True, slots=True)
class Record:
    """Quick failures and quick kills of a role in a row."""

    failures: int = 0
    kills: int = 0

    @property
    def is_first(self) -> bool:
        """Whether only one ending is written down: the further ones of a row need not be told."""
        return self.failures + self.kills == 1

    def after(self, ending: Ending) -> Record:
        """The record with `ending` written down; a long life wipes it clean."""
        fresh = Record() if ending.lived_s >= QUICK_S else self
        if ending.from_outside:
            return Record(fresh.failures, fresh.kills + 1)
        return Record(fresh.failures + 1, fresh.kills)

    def delay_s(self, ending: Ending) -> float | None:
        """Seconds until the next start after `ending` (the last one written down); None: give up.

        A killed role is back within a second however often it is killed. One that keeps failing at start
        is given ever more time, at most ten times; one that finds itself wrongly used is given up at once.
        """
        if ending.from_outside:
            return min(_FIRST_DELAY_S * self.kills, _LONGEST_DELAY_AFTER_KILL_S)
        if ending.code == _WRONG_USE or self.failures >= MOST_FAILURES:
            return None
        return float(min(_FIRST_DELAY_S * 2 ** (self.failures - 1), _LONGEST_DELAY_S))
