"""Flapping: an alert that opens again and again is one fault, told once, until it has been quiet for long. Pure.

Quiet for how long: with the defaults (4 openings in 24 hours, 6 hours) as long as it would take to be told again, so
that what goes on at the pace that makes it flapping stays one alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet.alerts.rules import Resolution

BY_ITSELF = frozenset({Resolution.PROOF, Resolution.BOOKS_AGREE})
"""Why an alert that may come back clears; the others end it for good, flapping or not."""


@dataclass(frozen=True, slots=True)
class Flap:
    """A rule's settings: so many `openings` within `window_s` are flapping; it ends when quiet for `quiet_s`."""

    openings: int
    window_s: float
    quiet_s: float


@dataclass(frozen=True, slots=True)
class Clearing:
    """An alert whose condition is gone since `gone_since`, about to clear for `resolution`."""

    alert_id: int
    flapping: bool
    gone_since: datetime | None
    resolution: Resolution


def flaps(before: int, flap: Flap) -> bool:
    """Whether an alert that opens now is flapping, given how many of its kind opened `before` within the window."""
    return before + 1 >= flap.openings


def since(now: datetime, flap: Flap) -> datetime:
    """Where the window begins."""
    return now - timedelta(seconds=flap.window_s)


def must_wait(clearing: Clearing, flap: Flap, now: datetime) -> bool:
    """Whether a flapping alert has to stay, since it was quiet for too short a time."""
    return clearing.flapping and clearing.resolution in BY_ITSELF and now < quiet_at(clearing, flap, now)


def quiet_at(clearing: Clearing, flap: Flap, now: datetime) -> datetime:
    """When it will have been quiet for long enough, if it stays so."""
    return (clearing.gone_since or now) + timedelta(seconds=flap.quiet_s)
