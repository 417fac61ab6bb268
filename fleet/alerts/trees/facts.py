"""What telemetry and the books know of a kit while somebody is on the phone: yes, no, or not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from fleet.state.reading import KitFacts

HEARD_LATELY = timedelta(minutes=30)
IN_CONTACT = timedelta(days=7)
WEAK_SIGNAL_DBM = -110


class Fact(StrEnum):
    """What a tree may ask telemetry instead of the caller."""

    INSTALLED = "installed"
    """The books say that the kit is in use."""
    HEARD_LATELY = "heard_lately"
    """It reported within half an hour, or within its own interval where that is longer."""
    EVER_HEARD = "ever_heard"
    BATTERY_LOW = "battery_low"
    CHARGING = "charging"
    HAS_NETWORK = "has_network"
    SIGNAL_WEAK = "signal_weak"
    PERIPHERALS_PAIRED = "peripherals_paired"
    """Every device that the tablet knows is paired with it."""
    PERIPHERALS_IN_CONTACT = "peripherals_in_contact"
    """Every device was in contact with the tablet within a week."""
    VERSIONS_AS_WANTED = "versions_as_wanted"
    STORAGE_LOW = "storage_low"
    CLOCK_RIGHT = "clock_right"
    IN_INCIDENT = "in_incident"
    """Many kits have the same trouble now, and it is known."""
    IN_MAINTENANCE = "in_maintenance"
    REQUEST_OPEN = "request_open"
    """Somebody has a service request of the kit already."""


Facts = Mapping[Fact, bool | None]


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around the kit: none of it is in what the tablet says."""

    in_incident: bool = False
    in_maintenance: bool = False
    request_open: bool = False


def facts_of(kit: KitFacts, around: Around, now: datetime) -> dict[Fact, bool | None]:
    """Everything known at `now`. What a tablet said long ago says nothing about now, so it is not known then."""
    within = max(HEARD_LATELY, timedelta(seconds=kit.expected_interval_s))
    lately = kit.last_heard_at is not None and now - kit.last_heard_at <= within
    return {
        Fact.INSTALLED: kit.state == "installed",
        Fact.HEARD_LATELY: lately,
        Fact.EVER_HEARD: kit.heard,
        Fact.IN_INCIDENT: around.in_incident,
        Fact.IN_MAINTENANCE: around.in_maintenance,
        Fact.REQUEST_OPEN: around.request_open,
        **(_told(kit, now) if lately else dict.fromkeys(_TOLD)),
    }


_TOLD = (
    Fact.BATTERY_LOW,
    Fact.CHARGING,
    Fact.HAS_NETWORK,
    Fact.SIGNAL_WEAK,
    Fact.PERIPHERALS_PAIRED,
    Fact.PERIPHERALS_IN_CONTACT,
    Fact.VERSIONS_AS_WANTED,
    Fact.STORAGE_LOW,
    Fact.CLOCK_RIGHT,
)


def _told(kit: KitFacts, now: datetime) -> dict[Fact, bool | None]:
    peripherals = kit.peripherals or None
    return {
        Fact.BATTERY_LOW: None if kit.battery is None else kit.battery_low,
        Fact.CHARGING: kit.charging,
        Fact.HAS_NETWORK: None if kit.network is None else kit.network != "none",
        Fact.SIGNAL_WEAK: None if kit.signal_dbm is None else kit.signal_dbm <= WEAK_SIGNAL_DBM,
        Fact.PERIPHERALS_PAIRED: None if peripherals is None else all(each.get("paired") for each in peripherals),
        Fact.PERIPHERALS_IN_CONTACT: None
        if peripherals is None
        else all(_in_contact(each.get("last_contact"), now) for each in peripherals),
        Fact.VERSIONS_AS_WANTED: None if kit.software is None or not kit.wanted_components else not kit.drifted,
        Fact.STORAGE_LOW: None if kit.storage_free_mb is None else kit.storage_low,
        Fact.CLOCK_RIGHT: not kit.clock_skewed,
    }


def _in_contact(last_contact: str | None, now: datetime) -> bool:
    return last_contact is not None and now - datetime.fromisoformat(last_contact) <= IN_CONTACT
