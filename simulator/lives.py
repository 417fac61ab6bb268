"""A month in the lives of many kits, made up at once and without a network: what they say and when, and what is true.

Each kit is used by a programme of its own kind (always on, off at night, on for measuring days only). Noise happens to
all of them: switched off for a while, a day away, without network for a while (then it says afterwards what it would
have said), restarts, weak signal, a battery run low and charged again. Real faults happen to some, and only those are
the truth that requests are compared with. The same seed makes the same month.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

DAY_S = 86_400.0
HOUR_S = 3_600.0
WANTED = {"os": "14.0.3", "mdm": "7.2.0", "app": "3.4.1"}
BEFORE = {**WANTED, "app": "3.3.9"}
PERIPHERALS = ("scale", "oximeter")


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


PROGRAMMES = (
    Programme("always-on", 0.25, 12 * 3600, HOUR_S, 7),
    Programme("off-at-night", 0.60, 36 * 3600, HOUR_S, 3, nights_off=0.8),
    Programme("measuring-days", 0.15, 7 * 86_400, HOUR_S, 2, only_measuring_days=True),
)


@dataclass(frozen=True, slots=True)
class Noise:
    """What happens to every kit: how often a day, and for how long (mean of an exponential, at most three times it).

    A day away is 8 to 30 hours, and nobody takes a kit along that is always on.
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


@dataclass(frozen=True, slots=True)
class Fault:
    """Something truly wrong with a kit from `start_s` until `end_s`; `cause` is the rule that should speak of it."""

    kit: str
    cause: str
    start_s: float
    end_s: float
    noticeable_s: float
    """How long after its beginning a server that knows the rules can know."""


SHARES: Mapping[str, float] = {
    "silent": 0.04,
    "version_drift": 0.03,
    "pairing_lost": 0.02,
    "tablet_battery_low": 0.01,
    "storage_low": 0.01,
    "clock_skew": 0.01,
}
"""Share of the kits to which each real fault happens once in the month."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message: when it reached us, which kit and kind, and its JSON."""

    received_s: float
    kit: str
    kind: str
    payload: bytes


@dataclass(slots=True)
class Life:
    """One kit's month; `advance` gives what it says up to a moment, in order of reaching us."""

    kit: str
    programme: Programme
    operator: str
    begin: datetime
    fault: Fault | None
    off: list[tuple[float, float]]
    dead: list[tuple[float, float]]
    weak: list[tuple[float, float]]
    uncharged: list[tuple[float, float]]
    measured: list[float]
    restarts: list[float]
    next_s: float
    rng: Random
    boots: int = 0
    seq: int = 0
    on: bool = False
    reported_s: float = -DAY_S
    contact_s: float = 0.0
    spool: list[Said] = field(default_factory=list)
    broken_software: bool = False

    def advance(self, until_s: float) -> Iterator[Said]:
        """What reaches us up to `until_s`; heartbeats have a fixed rhythm."""
        while self.next_s <= until_s:
            now_s = self.next_s
            self.next_s += self.programme.heartbeat_s
            said = list(self._beat(now_s)) if not self._is_off(now_s) else self._switched_off()
            if _within(self.dead, now_s):
                self.spool += said
                continue
            if said and self.spool:
                yield from (Said(now_s, each.kit, each.kind, each.payload) for each in self.spool)
                self.spool = []
            yield from said

    def _switched_off(self) -> list[Said]:
        self.on = False
        return []

    def _is_off(self, now_s: float) -> bool:
        return _within(self.off, now_s) or self._has("silent", now_s)

    def _has(self, cause: str, now_s: float) -> bool:
        fault = self.fault
        return fault is not None and fault.cause == cause and fault.start_s <= now_s < fault.end_s

    def _beat(self, now_s: float) -> Iterator[Said]:
        if not self.on or (self.restarts and self.restarts[0] <= now_s):
            self._boot(now_s)
        while self.measured and self.measured[0] <= now_s:
            self.contact_s = self.measured.pop(0)
            self.reported_s = -DAY_S
        yield self._said(now_s, "heartbeat", self._vitals(now_s))
        drifted = self._has("version_drift", now_s)
        if now_s - self.reported_s >= DAY_S or drifted != self.broken_software:
            self.broken_software, self.reported_s = drifted, now_s
            yield self._said(now_s, "software", {"components": BEFORE if drifted else WANTED})
            yield self._said(now_s, "pairing", {"peripherals": self._peripherals(now_s)})

    def _boot(self, now_s: float) -> None:
        self.on, self.seq, self.reported_s = True, 0, -DAY_S
        self.boots += 1
        while self.restarts and self.restarts[0] <= now_s:
            self.restarts.pop(0)

    def _said(self, now_s: float, kind: str, body: Mapping[str, Any]) -> Said:
        self.seq += 1
        skew_s = 1200.0 if self._has("clock_skew", now_s) else self.rng.uniform(-1, 1)
        at = self.begin + timedelta(seconds=now_s + skew_s)
        head = {"ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "boot": f"b{self.boots}"}
        return Said(now_s, self.kit, kind, json.dumps({**head, "seq": self.seq, **body}).encode())

    def _vitals(self, now_s: float) -> dict[str, Any]:
        battery, charging = self._battery(now_s)
        weak = _within(self.weak, now_s)
        return {
            "battery": battery,
            "charging": charging,
            "signal_dbm": -116 if weak else self.rng.randint(-95, -65),
            "network": "2g" if weak else "4g",
            "operator": self.operator,
            "storage_free_mb": 120 if self._has("storage_low", now_s) else 6000,
        }

    def _battery(self, now_s: float) -> tuple[int, bool]:
        """Full in the morning, drained by day, charged in the evening, unless that was forgotten or cannot be."""
        hour = now_s % DAY_S / HOUR_S
        if self._has("tablet_battery_low", now_s):
            return self.rng.randint(3, 8), False
        if _within(self.uncharged, now_s):
            return self.rng.randint(6, 14), False
        if hour >= 19 or hour < 7:
            return self.rng.randint(60, 100), True
        return int(100 - 5 * (hour - 7)), False

    def _peripherals(self, now_s: float) -> list[dict[str, Any]]:
        """Both devices; after a lost pairing the first is either not paired or paired and never in contact."""
        fault = self.fault if self._has("pairing_lost", now_s) else None
        found = []
        for kind in PERIPHERALS:
            lost = fault is not None and kind == PERIPHERALS[0]
            contact_s = min(self.contact_s, fault.start_s) if lost and fault is not None else self.contact_s
            at = self.begin + timedelta(seconds=contact_s)
            found.append(
                {
                    "serial": f"{self.kit}-{kind}",
                    "kind": kind,
                    "paired": not lost,
                    "last_contact": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
                    "battery": 70,
                }
            )
        return found


@dataclass(frozen=True, slots=True)
class Outage:
    """A mobile network that is away: its kits say afterwards what they would have said."""

    operator: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Month:
    """Lives, what is true of each, and what befalls many."""

    lives: list[Life]
    faults: list[Fault]
    outages: tuple[Outage, ...] = ()


def month(
    kits: int,
    days: int,
    begin: datetime,
    *,
    seed: int = 1,
    noise: Noise | None = None,
    outages: tuple[Outage, ...] = (),
    prefix: str = "K-",
) -> Month:
    """Make up a month of `days` for `kits`, from `begin` on."""
    chosen = Random(seed)  # noqa: S311 - the same month for the same seed
    noise = noise or Noise()
    causes = [cause for cause, share in SHARES.items() for _ in range(round(share * kits))]
    causes += [""] * (kits - len(causes))
    chosen.shuffle(causes)
    lives, faults = [], []
    for number in range(1, kits + 1):
        rng = Random(f"{seed}-{number}")  # noqa: S311 - as above
        programme = _programme(rng)
        kit = f"{prefix}{number:06}"
        fault = _fault(kit, causes[number - 1], programme, days, rng)
        life = _life(kit, programme, fault, length_s=days * DAY_S, begin=begin, noise=noise, rng=rng)
        away = [(each.start_s, each.end_s) for each in outages if each.operator == life.operator]
        life.dead = _merged(life.dead + away)
        lives.append(life)
        if fault is not None:
            faults.append(fault)
    return Month(lives, faults, outages)


NOTICED_S: Mapping[str, float] = {
    "version_drift": 2 * DAY_S,
    "pairing_lost": 2 * DAY_S,
    "tablet_battery_low": 2 * DAY_S,
    "storage_low": 2 * DAY_S,
    "clock_skew": 2 * DAY_S,
}


def _fault(kit: str, cause: str, programme: Programme, days: int, rng: Random) -> Fault | None:
    """A fault that lasts until somebody repairs it; one that cannot be noticed within the month is none."""
    if not cause:
        return None
    seldom_s = 4 * DAY_S if programme.only_measuring_days else DAY_S
    noticeable_s = programme.allowance_s + HOUR_S if cause == "silent" else NOTICED_S[cause] + seldom_s
    latest_s = days * DAY_S - noticeable_s - DAY_S
    if latest_s <= DAY_S:
        return None
    start_s = rng.uniform(DAY_S, latest_s)
    # A fault that is found is repaired some days later; one cannot be found before it shows.
    heard_before_s = 4 * DAY_S if programme.only_measuring_days else DAY_S
    return Fault(kit, cause, start_s, start_s + noticeable_s + heard_before_s + rng.uniform(1, 5) * DAY_S, noticeable_s)


def _programme(rng: Random) -> Programme:
    at = rng.random()
    for programme in PROGRAMMES:
        at -= programme.share
        if at < 0:
            return programme
    return PROGRAMMES[-1]


def _life(
    kit: str,
    programme: Programme,
    fault: Fault | None,
    *,
    length_s: float,
    begin: datetime,
    noise: Noise,
    rng: Random,
) -> Life:
    days = int(length_s // DAY_S) + 1
    measuring = sorted(rng.sample(range(7), programme.measuring_days))
    off = _spells(rng, length_s, noise.switch_offs_per_day, noise.switch_off_s)
    if programme.allowance_s > DAY_S:
        off += _days_away(rng, length_s, noise.days_away_per_month / 30)
    off += _nights(rng, programme, days)
    if programme.only_measuring_days:
        off += [(day * DAY_S, (day + 1) * DAY_S) for day in range(days) if day % 7 not in measuring]
    measured = [day * DAY_S + rng.uniform(8, 11) * HOUR_S for day in range(days) if day % 7 in measuring]
    return Life(
        kit=kit,
        programme=programme,
        operator=rng.choice(("TDC NET", "Telenor", "3")),
        begin=begin,
        fault=fault,
        off=_merged(off),
        dead=_merged(_spells(rng, length_s, noise.dead_zones_per_day, noise.dead_zone_s)),
        weak=_merged(_spells(rng, length_s, noise.weak_spells_per_day, noise.weak_spell_s)),
        uncharged=_merged(_spells(rng, length_s, noise.forgotten_chargers_per_day, 5 * HOUR_S)),
        measured=measured,
        restarts=sorted(rng.uniform(0, length_s) for _ in range(_count(rng, noise.restarts_per_day * days))),
        next_s=rng.uniform(0, programme.heartbeat_s),
        rng=rng,
    )


def _nights(rng: Random, programme: Programme, days: int) -> list[tuple[float, float]]:
    off_days = [day for day in range(-1, days) if rng.random() < programme.nights_off]
    return [
        (day * DAY_S + rng.uniform(21, 23) * HOUR_S, (day + 1) * DAY_S + rng.uniform(6.5, 8.5) * HOUR_S)
        for day in off_days
    ]


def _spells(rng: Random, length_s: float, per_day: float, mean_s: float) -> list[tuple[float, float]]:
    found = []
    for _ in range(_count(rng, per_day * length_s / DAY_S)):
        start_s = rng.uniform(0, length_s)
        found.append((start_s, start_s + min(rng.expovariate(1 / mean_s), 3 * mean_s)))
    return found


def _days_away(rng: Random, length_s: float, per_day: float) -> list[tuple[float, float]]:
    starts = [rng.uniform(0, length_s) for _ in range(_count(rng, per_day * length_s / DAY_S))]
    return [(start_s, start_s + rng.uniform(8, 30) * HOUR_S) for start_s in starts]


def _count(rng: Random, mean: float) -> int:
    """So many events of a steady rate (Poisson)."""
    count, at = 0, rng.expovariate(1.0)
    while at < mean:
        count, at = count + 1, at + rng.expovariate(1.0)
    return count


def _merged(spells: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spells):
        if merged and start_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end_s, merged[-1][1]))
        else:
            merged.append((start_s, end_s))
    return merged


def _within(spells: list[tuple[float, float]], now_s: float) -> bool:
    """Whether `now_s` is in one of the spells; those that are over are dropped, since time only goes on."""
    while spells and spells[0][1] <= now_s:
        spells.pop(0)
    return bool(spells) and spells[0][0] <= now_s
