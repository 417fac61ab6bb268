"""What is truly wrong with kits of a simulated month: the truth that requests are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from simulator.homes import DAY_S, HOUR_S, Programme


@dataclass(frozen=True, slots=True)
class Fault:
    """Something truly wrong with a kit from `start_s` until `end_s`; `cause` is the rule that should speak of it."""

    kit: str
    cause: str
    start_s: float
    end_s: float


SHARES: Mapping[str, float] = {
    "silent": 0.03,
    "version_drift": 0.02,
    "pairing_lost": 0.015,
    "tablet_battery_low": 0.01,
    "storage_low": 0.01,
    "clock_skew": 0.01,
    "peripheral_battery_low": 0.01,
    "restarts": 0.005,
    "update_failed": 0.005,
    "never_heard": 0.005,
}
"""Share of the kits to which each real fault happens once in the month."""
UNHEARD = ("silent", "never_heard")
"""Faults of kits that say nothing."""
SHOWS_WITHIN_S = 2 * DAY_S
"""In so much use every other fault shows and has lasted."""


def faults_of(kits: int, chosen: Random) -> list[str]:
    """A cause for each kit, empty for those that are well."""
    causes = [cause for cause, share in SHARES.items() for _ in range(round(share * kits))]
    causes += [""] * (kits - len(causes))
    chosen.shuffle(causes)
    return causes


def fault(kit: str, cause: str, of: Programme, days: int, rng: Random) -> Fault | None:
    """A fault that lasts until somebody repairs it; one that cannot be noticed within the month is none."""
    if not cause:
        return None
    noticeable_s = of.allowance_s + HOUR_S if cause in UNHEARD else SHOWS_WITHIN_S + of.seldom_s
    latest_s = days * DAY_S - noticeable_s - DAY_S
    if latest_s <= DAY_S:
        return None
    start_s = 0.0 if cause == "never_heard" else rng.uniform(DAY_S, latest_s)
    # A fault that is found is repaired some days later; one cannot be found before it shows.
    return Fault(kit, cause, start_s, start_s + noticeable_s + of.seldom_s + rng.uniform(1, 5) * DAY_S)
