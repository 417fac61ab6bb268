"""A month in the lives of many kits, made up at once and without a network: what they say and when, and what is true.

Each kit is used by a programme of its own kind (always on, off at night, on for measuring days only). Noise happens to
all of them: switched off for a while, a day away, without network for a while (then it says afterwards what it would
have said), restarts, weak signal, a battery run low and charged again, devices' batteries that run down and are
changed, updates that go well, a late first start. Real faults happen to some, and only those are the truth that
requests are compared with. The same seed makes the same month.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from simulator import homes, truth
from simulator.homes import DAY_S, HOUR_S, Noise, Programme, Spell, within
from simulator.truth import UNHEARD, Fault

WANTED = {"os": "14.0.3", "mdm": "7.2.0", "app": "3.4.1"}
BEFORE = {**WANTED, "app": "3.3.9"}
PERIPHERALS = ("scale", "oximeter")
STARTS_ANEW = 0.8
"""How often a tablet that starts too often has done so since its last heartbeat."""
LEAST_BATTERY = 18
"""Devices' batteries are changed at this."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message: when it reached us, which kit and kind, and its JSON."""

    received_s: float
    kit: str
    kind: str
    payload: bytes


@dataclass(slots=True)
class Life:
    """One kit's month; `advance` gives what it says up to a moment, in order of reaching us.

    `known_s` is when its fault first reached us in words, or when its silence was longer than it may be; None before.
    """

    kit: str
    programme: Programme
    operator: str
    begin: datetime
    fault: Fault | None
    off: list[Spell]
    dead: list[Spell]
    weak: list[Spell]
    uncharged: list[Spell]
    measured: list[float]
    restarts: list[float]
    updates: list[tuple[float, str]]
    next_s: float
    rng: Random
    drained_in_days: float = 60.0
    boots: int = 0
    seq: int = 0
    on: bool = False
    reported_s: float = -DAY_S
    contact_s: float = 0.0
    heard_s: float = 0.0
    known_s: float | None = None
    spool: list[Said] = field(default_factory=list)
    broken_software: bool = False
    telling: bool = False

    def advance(self, until_s: float) -> Iterator[Said]:
        """What reaches us up to `until_s`; heartbeats have a fixed rhythm."""
        while self.next_s <= until_s:
            now_s = self.next_s
            self.next_s += self.programme.heartbeat_s
            said = self._switched_off(now_s) if self._is_off(now_s) else list(self._beat(now_s))
            if within(self.dead, now_s):
                self.spool += said
                continue
            if said:
                yield from (Said(now_s, each.kit, each.kind, each.payload) for each in self.spool)
                self.spool = []
                self._reached(now_s)
            yield from said

    def _reached(self, now_s: float) -> None:
        self.heard_s = now_s
        if self.telling and self.known_s is None:
            self.known_s = now_s

    def _switched_off(self, now_s: float) -> list[Said]:
        self.on = False
        if self.known_s is None and any(self._is(cause, now_s) for cause in UNHEARD):
            self.known_s = self.heard_s + self.programme.allowance_s
        return []

    def _is_off(self, now_s: float) -> bool:
        return within(self.off, now_s) or any(self._is(cause, now_s) for cause in UNHEARD)

    def _is(self, cause: str, now_s: float) -> bool:
        fault = self.fault
        return fault is not None and fault.cause == cause and fault.start_s <= now_s < fault.end_s

    def _tells(self, cause: str, now_s: float) -> bool:
        """Whether it has the fault; asked where a message would show it."""
        self.telling |= self._is(cause, now_s)
        return self._is(cause, now_s)

    def _beat(self, now_s: float) -> Iterator[Said]:
        anew = self._tells("restarts", now_s) and self.rng.random() < STARTS_ANEW
        if anew or not self.on or (self.restarts and self.restarts[0] <= now_s):
            self._boot(now_s)
        while self.measured and self.measured[0] <= now_s:
            self.contact_s = self.measured.pop(0)
            self.reported_s = -DAY_S
        yield self._said(now_s, "heartbeat", self._vitals(now_s))
        drifted = self._is("version_drift", now_s)
        if now_s - self.reported_s >= DAY_S or drifted != self.broken_software:
            self.broken_software, self.reported_s = self._tells("version_drift", now_s), now_s
            yield self._said(now_s, "software", {"components": BEFORE if drifted else WANTED})
            yield self._said(now_s, "pairing", {"peripherals": self._peripherals(now_s)})
        yield from self._updates(now_s)

    def _boot(self, now_s: float) -> None:
        self.on, self.seq, self.reported_s = True, 0, -DAY_S
        self.boots += 1
        while self.restarts and self.restarts[0] <= now_s:
            self.restarts.pop(0)

    def _said(self, now_s: float, kind: str, body: Mapping[str, Any]) -> Said:
        self.seq += 1
        skew_s = 1200.0 if self._tells("clock_skew", now_s) else self.rng.uniform(-1, 1)
        at = self.begin + timedelta(seconds=now_s + skew_s)
        head = {"ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "boot": f"b{self.boots}"}
        return Said(now_s, self.kit, kind, json.dumps({**head, "seq": self.seq, **body}).encode())

    def _vitals(self, now_s: float) -> dict[str, Any]:
        battery, charging = self._battery(now_s)
        weak = within(self.weak, now_s)
        return {
            "battery": battery,
            "charging": charging,
            "signal_dbm": -116 if weak else self.rng.randint(-95, -65),
            "network": "2g" if weak else "4g",
            "operator": self.operator,
            "storage_free_mb": 120 if self._tells("storage_low", now_s) else 6000,
        }

    def _battery(self, now_s: float) -> tuple[int, bool]:
        """Full in the morning, drained by day, charged in the evening, unless that was forgotten or cannot be."""
        hour = now_s % DAY_S / HOUR_S
        if self._tells("tablet_battery_low", now_s):
            return self.rng.randint(3, 8), False
        if within(self.uncharged, now_s):
            return self.rng.randint(6, 14), False
        if hour >= 19 or hour < 7:
            return self.rng.randint(60, 100), True
        return int(100 - 5 * (hour - 7)), False

    def _peripherals(self, now_s: float) -> list[dict[str, Any]]:
        """Both devices; of a kit whose fault is with them the first has it."""
        lost = self._tells("pairing_lost", now_s)
        drained = (now_s / DAY_S + self.drained_in_days / 2) / self.drained_in_days % 1
        battery = 100 - (100 - LEAST_BATTERY) * drained
        low = self.rng.randint(5, 12) if self._tells("peripheral_battery_low", now_s) else battery
        return [
            self._peripheral(PERIPHERALS[0], low, lost=lost),
            self._peripheral(PERIPHERALS[1], battery, lost=False),
        ]

    def _peripheral(self, kind: str, battery: float, *, lost: bool) -> dict[str, Any]:
        contact_s = min(self.contact_s, self.fault.start_s) if lost and self.fault is not None else self.contact_s
        at = self.begin + timedelta(seconds=contact_s)
        return {
            "serial": f"{self.kit}-{kind}",
            "kind": kind,
            "paired": not lost,
            "last_contact": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "battery": round(battery),
        }

    def _updates(self, now_s: float) -> Iterator[Said]:
        """What is due to be told of updates; the newest of it counts."""
        while self.updates and self.updates[0][0] <= now_s:
            at_s, state = self.updates.pop(0)
            self.telling |= state == "failed"
            yield self._said(now_s, "update", {"campaign": f"week-{int(at_s // (7 * DAY_S))}", "state": state})


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
    noise = noise or Noise()
    causes = truth.faults_of(kits, Random(seed))  # noqa: S311 - the same month for the same seed
    lives, faults = [], []
    for number in range(1, kits + 1):
        rng = Random(f"{seed}-{number}")  # noqa: S311 - as above
        programme = homes.programme(rng)
        kit = f"{prefix}{number:06}"
        fault = truth.fault(kit, causes[number - 1], programme, days, rng)
        life = _life(kit, programme, fault, length_s=days * DAY_S, begin=begin, noise=noise, rng=rng)
        away = [(each.start_s, each.end_s) for each in outages if each.operator == life.operator]
        life.dead = homes.merged(life.dead + away)
        lives.append(life)
        if fault is not None:
            faults.append(fault)
    return Month(lives, faults, outages)


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
    measured = [day * DAY_S + rng.uniform(8, 11) * HOUR_S for day in range(days) if day % 7 in measuring]
    updates = homes.updates(rng, noise, length_s)
    if fault is not None and fault.cause == "update_failed":
        updates = [(fault.start_s, "failed"), (fault.end_s, "succeeded")]
    return Life(
        kit=kit,
        programme=programme,
        operator=rng.choice(("TDC NET", "Telenor", "3")),
        begin=begin,
        fault=fault,
        off=homes.spells_off(rng, programme, noise, length_s, measuring),
        dead=homes.merged(homes.spells(rng, length_s, noise.dead_zones_per_day, noise.dead_zone_s)),
        weak=homes.merged(homes.spells(rng, length_s, noise.weak_spells_per_day, noise.weak_spell_s)),
        uncharged=homes.merged(homes.spells(rng, length_s, noise.forgotten_chargers_per_day, 5 * HOUR_S)),
        measured=measured,
        restarts=homes.starts(rng, noise, length_s),
        updates=updates,
        next_s=rng.uniform(0, programme.heartbeat_s),
        rng=rng,
        drained_in_days=rng.uniform(20, 120),
    )
