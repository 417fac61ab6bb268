"""How kits are used, and what happens to every one of them without anything being wrong: pure values and dice."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

DAY_S = 86_400.0
HOUR_S = 3_600.0
Spell = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Programme:
    """How kits of a kind are used: `measuring_days` a week, off on the share `nights_off` of the nights.

    `expected_interval_s` is set as whoever runs such a programme would once they know its kits: what happens to each of
    them now and then (off for half a day, away for a day) is no fault, and dead is dead within a day or two.
    """

    name: str
    share: float
    expected_interval_s: int
    heartbeat_s: float
    measuring_days: int
    nights_off: float = 0.0
    only_measuring_days: bool = False

    @property
    def allowance_s(self) -> float:
        """How long a kit may be unheard: three intervals, one and a half above an hour."""
        return self.expected_interval_s * (3 if self.expected_interval_s <= HOUR_S else 1.5)

    @property
    def seldom_s(self) -> float:
        """The longest time between two days of use."""
        return 4 * DAY_S if self.only_measuring_days else DAY_S


PROGRAMMES = (
    Programme("always-on", 0.25, 12 * 3600, HOUR_S, 7),
    Programme("off-at-night", 0.60, 36 * 3600, HOUR_S, 3, nights_off=0.8),
    Programme("measuring-days", 0.15, 7 * 86_400, HOUR_S, 2, only_measuring_days=True),
)


@dataclass(frozen=True, slots=True)
class Noise:
    """What happens to every kit: how often a day, and for how long (mean of an exponential, at most three times it).

    A day away is 8 to 30 hours, and nobody takes a kit along that is always on. On a restless day somebody starts the
    tablet one to three times more within two hours. `late_starts` is the share of kits that are switched on some hours
    after they were entered, half an interval at most. Devices' batteries run down to some 18 % before they are changed;
    an update is put off for a day by every fifth tablet.
    """

    switch_offs_per_day: float = 0.15
    switch_off_s: float = 3 * HOUR_S
    dead_zones_per_day: float = 0.2
    dead_zone_s: float = HOUR_S
    restarts_per_day: float = 0.3
    weak_spells_per_day: float = 0.3
    weak_spell_s: float = HOUR_S
    forgotten_chargers_per_day: float = 0.05
    days_away_per_month: float = 0.2
    restless_days_per_month: float = 0.5
    late_starts: float = 0.2
    updates_per_month: float = 1.0


CALM = Noise(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""Nothing happens."""


def programme(rng: Random) -> Programme:
    """One of the programmes, by their shares."""
    at = rng.random()
    for each in PROGRAMMES:
        at -= each.share
        if at < 0:
            return each
    return PROGRAMMES[-1]


def spells_off(rng: Random, of: Programme, noise: Noise, length_s: float, measuring: list[int]) -> list[Spell]:
    """When the tablet is switched off."""
    days = int(length_s // DAY_S) + 1
    off = spells(rng, length_s, noise.switch_offs_per_day, noise.switch_off_s)
    if of.allowance_s > DAY_S:
        off += _days_away(rng, length_s, noise.days_away_per_month / 30)
    off += _nights(rng, of, days)
    if of.only_measuring_days:
        off += [(day * DAY_S, (day + 1) * DAY_S) for day in range(days) if day % 7 not in measuring]
    if rng.random() < noise.late_starts:
        off.append((0.0, rng.uniform(0, of.expected_interval_s / 2)))
    return merged(off)


def starts(rng: Random, noise: Noise, length_s: float) -> list[float]:
    """When the tablet starts anew without having been switched off."""
    days = length_s / DAY_S
    found = [rng.uniform(0, length_s) for _ in range(count(rng, noise.restarts_per_day * days))]
    for _ in range(count(rng, noise.restless_days_per_month / 30 * days)):
        begin_s = rng.uniform(0, length_s)
        found += [begin_s + rng.uniform(0, 2 * HOUR_S) for _ in range(rng.randint(1, 3))]
    return sorted(found)


def updates(rng: Random, noise: Noise, length_s: float) -> list[tuple[float, str]]:
    """What the tablet tells of updates that go well, and when."""
    told: list[tuple[float, str]] = []
    for _ in range(count(rng, noise.updates_per_month / 30 * length_s / DAY_S)):
        at_s = rng.uniform(0, length_s)
        done_s = at_s + (DAY_S if rng.random() < 0.2 else HOUR_S)
        told += [(at_s, "accepted"), (done_s - HOUR_S / 2, "installing"), (done_s, "succeeded")]
    return sorted(told)


def spells(rng: Random, length_s: float, per_day: float, mean_s: float) -> list[Spell]:
    """Spells of a steady rate, each three times the mean at most."""
    found = []
    for _ in range(count(rng, per_day * length_s / DAY_S)):
        start_s = rng.uniform(0, length_s)
        found.append((start_s, start_s + min(rng.expovariate(1 / mean_s), 3 * mean_s)))
    return found


def count(rng: Random, mean: float) -> int:
    """So many events of a steady rate (Poisson)."""
    number, at = 0, rng.expovariate(1.0)
    while at < mean:
        number, at = number + 1, at + rng.expovariate(1.0)
    return number


def merged(found: list[Spell]) -> list[Spell]:
    """Spells that overlap are one."""
    together: list[Spell] = []
    for start_s, end_s in sorted(found):
        if together and start_s <= together[-1][1]:
            together[-1] = (together[-1][0], max(end_s, together[-1][1]))
        else:
            together.append((start_s, end_s))
    return together


def within(found: list[Spell], now_s: float) -> bool:
    """Whether `now_s` is in one of the spells; those that are over are dropped, since time only goes on."""
    while found and found[0][1] <= now_s:
        found.pop(0)
    return bool(found) and found[0][0] <= now_s


def _nights(rng: Random, of: Programme, days: int) -> list[Spell]:
    off_days = [day for day in range(-1, days) if rng.random() < of.nights_off]
    return [
        (day * DAY_S + rng.uniform(21, 23) * HOUR_S, (day + 1) * DAY_S + rng.uniform(6.5, 8.5) * HOUR_S)
        for day in off_days
    ]


def _days_away(rng: Random, length_s: float, per_day: float) -> list[Spell]:
    begins = [rng.uniform(0, length_s) for _ in range(count(rng, per_day * length_s / DAY_S))]
    return [(start_s, start_s + rng.uniform(8, 30) * HOUR_S) for start_s in begins]
