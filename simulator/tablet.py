"""One virtual tablet as a pure state machine: time and events in, effects out.

No I/O and no clock: the same seed, scenario and inputs give the same effects whatever the network does.
Times are seconds from the start of the run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import TypeAlias

from fleet.protocol.messages import (
    Heartbeat,
    Pairing,
    Payload,
    Peripheral,
    Software,
    Update,
    UpdateState,
)
from fleet.protocol.topics import Kind
from simulator.effects import Ask, Effect, Link, Malform, Publish
from simulator.faults import MalformedSort
from simulator.scenario import Scenario
from simulator.vitals import Vitals

DAY_S = 86_400.0
Action: TypeAlias = Callable[[float], None]


class BluetoothDevice:
    """A peripheral as its tablet knows it."""

    __slots__ = ("battery", "firmware", "kind", "last_contact_s", "model", "paired", "rssi", "serial")

    def __init__(self, kit: str, kind: str, model: str, rng: Random) -> None:
        self.kind = kind
        self.model = model
        self.serial = f"{kind[:2].upper()}{kit}-{rng.randint(1000, 9999)}"
        self.firmware = f"1.{rng.randint(0, 3)}"
        self.paired = True
        self.last_contact_s: float | None = None
        self.battery = float(rng.randint(30, 100))
        self.rssi = rng.randint(-85, -45)


class Tablet:
    """State of one kit; `advance` lets time pass, the other methods are what happens to it."""

    __slots__ = (
        "_agenda",
        "_boots",
        "_count",
        "_cuts",
        "_epoch",
        "_group",
        "_held",
        "_holds",
        "_link_up",
        "_offs",
        "_out",
        "_prefix",
        "_scenario",
        "boot",
        "booted_s",
        "devices",
        "duplicate_share",
        "group_size",
        "identity",
        "interval_s",
        "kit",
        "rng",
        "seq",
        "skew_s",
        "versions",
        "vitals",
    )

    def __init__(self, kit: str, scenario: Scenario, *, boot_prefix: str, epoch: float, start_s: float) -> None:
        """`epoch` is the start of the run in Unix seconds; the tablet is switched on at `start_s`."""
        self.kit = kit
        self.rng = Random(f"{scenario.fleet.seed}:{kit}")  # noqa: S311 - chance, not secrecy
        self.vitals = Vitals(self.rng, scenario.fleet.operators, start_s)
        self.versions = dict(scenario.software.versions)
        self.identity = {name: text.replace("{kit}", kit) for name, text in scenario.software.identity.items()}
        self.devices = [BluetoothDevice(kit, *item, self.rng) for item in scenario.peripherals.models.items()]
        self.interval_s = scenario.fleet.heartbeat_interval_s
        self.boot = ""
        self.booted_s = start_s
        self.seq = 0
        self.skew_s = 0.0
        self.duplicate_share = scenario.rates.duplicate_share
        self.group_size = 0
        self._scenario = scenario
        self._prefix = boot_prefix
        self._epoch = epoch
        self._boots = 0
        self._offs = 1
        self._cuts = 0
        self._holds = 0
        self._link_up = False
        self._held: list[Publish] = []
        self._group: list[Publish] = []
        self._out: list[Effect] = []
        self._agenda: list[tuple[float, int, Action]] = []
        self._count = 0
        self.later(start_s, self.switch_on)
        self._start_noise(start_s)

    # Time

    def later(self, at_s: float, action: Action) -> None:
        """Put `action` on the agenda."""
        self._count += 1
        heapq.heappush(self._agenda, (at_s, self._count, action))

    @property
    def next_at(self) -> float | None:
        """When something happens by itself the next time."""
        return self._agenda[0][0] if self._agenda else None

    def advance(self, now_s: float) -> list[Effect]:
        """Everything that is due up to `now_s`, in order."""
        while self._agenda and self._agenda[0][0] <= now_s:
            at_s, _, action = heapq.heappop(self._agenda)
            action(at_s)
        out, self._out = self._out, []
        return out

    def clock(self, at_s: float) -> datetime:
        """What the tablet's own clock shows."""
        return self.true_time(at_s + self.skew_s)

    def true_time(self, at_s: float) -> datetime:
        """The real time of `at_s`."""
        return datetime.fromtimestamp(round(self._epoch + at_s, 3), UTC)

    # Power and network

    @property
    def powered(self) -> bool:
        """Whether it is switched on."""
        return self._offs == 0

    def switch_off(self, at_s: float) -> None:
        """Power is gone; may be called for several reasons at once."""
        self._offs += 1
        self.link_changed(at_s)

    def switch_on(self, at_s: float) -> None:
        """One reason to be off is gone; with the last one a new boot begins."""
        self._offs -= 1
        if self._offs:
            return
        self.vitals.advance(at_s, powered=False)
        self._boots += 1
        self.boot = f"{self._prefix}-{self.kit}-{self._boots}"
        self.booted_s = at_s
        self.seq = 0
        self.link_changed(at_s)
        self.report_all(at_s)
        self._every_interval(self._boots)
        self.later(at_s + DAY_S, self._daily(self._boots))

    def cut(self, at_s: float) -> None:
        """The way to the broker is gone; may be called for several reasons at once."""
        self._cuts += 1
        self.link_changed(at_s)

    def mend(self, at_s: float) -> None:
        """One reason to be cut off is gone."""
        self._cuts -= 1
        self.link_changed(at_s)

    def link_changed(self, at_s: float) -> None:
        """Tell of the link when it changed."""
        up = self.powered and not self._cuts
        if up != self._link_up:
            self._link_up = up
            self._out.append(Link(at_s, up))

    def drop_link(self, at_s: float) -> None:
        """The connection breaks and is made again at once, without jitter."""
        if self._link_up:
            self._out += [Link(at_s, up=False), Link(at_s, up=True, at_once=True)]

    # Reports

    def report_all(self, at_s: float) -> None:
        """What is sent at every start and on `ping`."""
        self.report_software(at_s)
        self.report_pairing(at_s)
        self.report_heartbeat(at_s)

    def report_heartbeat(self, at_s: float) -> None:
        """Say that the tablet lives."""
        vitals = self.vitals
        vitals.advance(at_s)
        beat = Heartbeat(
            ts=self.clock(at_s),
            boot=self.boot,
            seq=self.seq,
            battery=round(vitals.battery),
            charging=vitals.charging,
            signal_dbm=vitals.signal_dbm,
            network=vitals.network_now(),
            operator=vitals.operator,
            storage_free_mb=round(vitals.storage_free_mb),
            uptime_s=round(at_s - self.booted_s),
        )
        self._sequenced(at_s, Kind.HEARTBEAT, beat)

    def report_software(self, at_s: float) -> None:
        """Say what runs here."""
        software = Software(
            ts=self.clock(at_s), boot=self.boot, seq=self.seq, components=dict(self.versions), **self.identity
        )
        self._sequenced(at_s, Kind.SOFTWARE, software)

    def report_pairing(self, at_s: float) -> None:
        """Say which peripherals are known."""
        known = [
            Peripheral(
                serial=device.serial,
                kind=device.kind,
                paired=device.paired,
                model=device.model,
                firmware=device.firmware,
                last_contact=None if device.last_contact_s is None else self.true_time(device.last_contact_s),
                battery=round(device.battery),
                rssi=device.rssi if device.paired else None,
            )
            for device in self.devices
        ]
        pairing = Pairing(ts=self.clock(at_s), boot=self.boot, seq=self.seq, peripherals=known)
        self._sequenced(at_s, Kind.PAIRING, pairing)

    def report_update(self, at_s: float, campaign: str, state: UpdateState) -> None:
        """Say how far an update has come."""
        error = "install_failed" if state is UpdateState.FAILED else None
        update = Update(ts=self.clock(at_s), boot=self.boot, seq=self.seq, campaign=campaign, state=state, error=error)
        self._sequenced(at_s, Kind.UPDATE, update)

    def _sequenced(self, at_s: float, kind: Kind, payload: Payload) -> None:
        copies = 2 if self.duplicate_share and self.rng.random() < self.duplicate_share else 1
        self.publish(Publish(at_s, kind, payload, self.boot, self.seq, copies=copies))
        self.seq += 1

    # Ways out

    def publish(self, message: Publish) -> None:
        """Send now, or hold, or shuffle, as the faults have it."""
        share = self._scenario.rates.late_share
        if self._holds:
            self._held.append(message)
        elif self.group_size:
            self._group.append(message)
            if len(self._group) >= self.group_size:
                self.release_group()
        elif share and self.rng.random() < share:
            self.later(message.at_s + self._scenario.rates.late_s, lambda _: self._out.append(message))
        else:
            self._out.append(message)

    def hold(self, _at_s: float) -> None:
        """Keep messages back until `release`."""
        self._holds += 1

    def release(self, _at_s: float) -> None:
        """Send what was held, in order."""
        self._holds -= 1
        if not self._holds:
            self._out += self._held
            self._held = []

    def release_group(self) -> None:
        """Send the collected group in another order."""
        order = list(self._group)
        self.rng.shuffle(order)
        self._out += order if order != self._group else reversed(order)
        self._group = []

    def malform(self, at_s: float, sort: MalformedSort) -> None:
        """Send something that must be quarantined."""
        self._out.append(Malform(at_s, sort, self.boot))

    def ask(self, at_s: float, command: str, name: str) -> None:
        """Have the kit given a command."""
        self._out.append(Ask(at_s, command, name))

    # What goes on by itself

    def _every_interval(self, boot: int) -> None:
        """Heartbeats of this boot: the first one after a random part of the interval, against lockstep."""

        def beat(at_s: float) -> None:
            if self.powered and self._boots == boot:
                self.report_heartbeat(at_s)
                self.later(at_s + self.interval_s, beat)

        self.later(self.booted_s + self.interval_s * self.rng.uniform(0.5, 1.0), beat)

    def _daily(self, boot: int) -> Action:
        def report(at_s: float) -> None:
            if self.powered and self._boots == boot:
                self.report_software(at_s)
                self.report_pairing(at_s)
                self.later(at_s + DAY_S, report)

        return report

    def _start_noise(self, start_s: float) -> None:
        rates = self._scenario.rates
        self._now_and_then(start_s, rates.restarts_per_day, self.restart)
        self._now_and_then(start_s, rates.switch_offs_per_day, self._nap)
        self._now_and_then(start_s, rates.dead_zones_per_day, self._dead_zone)
        if self.devices:
            self._now_and_then(start_s, self._scenario.peripherals.contacts_per_day, self._contact)

    def _now_and_then(self, from_s: float, per_day: float, action: Action) -> None:
        per_second = per_day / DAY_S
        if not per_second:  # also what is too rare for a float
            return

        def again(at_s: float) -> None:
            action(at_s)
            self._now_and_then(at_s, per_day, action)

        self.later(from_s + self.rng.expovariate(per_second), again)

    def restart(self, at_s: float, down_s: float = 2.0) -> None:
        """Off and on again; nothing when it is off already."""
        if self.powered:
            self.switch_off(at_s)
            self.later(at_s + down_s, self.switch_on)

    def _nap(self, at_s: float) -> None:
        self.restart(at_s, self._scenario.rates.switch_off_s)

    def _dead_zone(self, at_s: float) -> None:
        self.lose_network(at_s)
        self.later(at_s + self._scenario.rates.dead_zone_s, self.find_network)

    def lose_network(self, at_s: float) -> None:
        """No network, and the tablet knows."""
        self.vitals.losses += 1
        self.cut(at_s)

    def find_network(self, at_s: float) -> None:
        """The network is back."""
        self.vitals.losses -= 1
        self.mend(at_s)

    def _contact(self, at_s: float) -> None:
        """A measurement: the peripheral was in touch (its value is none of ours)."""
        device = self.rng.choice(self.devices)
        if not (self.powered and device.paired):
            return
        device.last_contact_s = at_s
        device.battery = max(1.0, device.battery - self.rng.uniform(0, 0.5))
        device.rssi = max(-95, min(-35, device.rssi + self.rng.randint(-4, 4)))
        self.report_pairing(at_s)
