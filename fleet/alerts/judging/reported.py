"""Judges of what software, pairing and update reports say, beside what the books want."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fleet.alerts.actions import Evidence
from fleet.alerts.judging.about import HOUR_S, MINUTE_S, Source, rule
from fleet.alerts.judging.facts import UNTOLD, Clock, Condition, KitFacts
from fleet.alerts.judging.parameters import NoParameters, PairingLost, PeripheralBattery, Restarts
from fleet.alerts.rules import Line, Resolution, RuleName
from fleet.state.verdict import drift

FAILED = ("failed", "rejected")
OVER_AT = 0.5
"""A tablet starts too often until it starts no more often than this share of what is too much."""
ASKED_AGAIN = timedelta(hours=1)
RHYTHM_INTERVALS, LONGEST_RHYTHM = 1.25, timedelta(hours=2)
"""A kit that was not heard for so many of its intervals, or for so long, may be switched off."""
_NAMED = ("serial", "kind", "model")


def version_drift(facts: KitFacts, parameters: NoParameters, clock: Clock, now: datetime) -> Condition | None:
    """Every component that is not as wanted; nothing was wrong before the first report."""
    found = drift(facts.wanted, facts.software)
    if not found:
        return None
    return Condition(
        {
            "components": [
                {"component": item.component, "wanted": item.wanted, "reported": item.reported} for item in found
            ]
        }
    )


def drift_settled(facts: KitFacts, evidence: Evidence) -> Resolution:
    """Whether the kit came to what the alert asked for, or the wish to the kit."""
    asked = evidence.get("components", [])
    proof = any(facts.wanted.get(item["component"]) == item["wanted"] for item in asked)
    return Resolution.PROOF if proof else Resolution.WANTED_CHANGED


def pairing_lost(facts: KitFacts, parameters: PairingLost, clock: Clock, now: datetime) -> Condition | None:
    """Devices that lost their pairing, and paired ones out of contact for so many days of use.

    Bonded is not working: a device may stay paired and never be reached. Days on which the tablet was off do not count,
    because nobody measures then.
    """
    found = [{**_named(each), "paired": False} for each in facts.peripherals or () if not each.get("paired")]
    for each in facts.peripherals or ():
        if each.get("paired") and (days := _days_without(each, facts)) >= parameters.used_days:
            found.append({**_named(each), "paired": True, "last_contact": each.get("last_contact"), "used_days": days})
    return Condition({"peripherals": found}) if found else None


def pairing_wake(facts: KitFacts, parameters: PairingLost, now: datetime) -> datetime | None:
    """When a device may have been out of contact for too long, if nothing more is heard of it; looked at daily then."""
    contacts = [contact_of(each, facts) for each in facts.peripherals or () if each.get("paired")]
    if not contacts:
        return None
    return max(min(contacts) + timedelta(days=parameters.used_days), now + timedelta(days=1))


def out_of_contact(facts: KitFacts, days: float, now: datetime) -> bool:
    """Whether a paired device was not reached for so many days of the calendar: then the days of use are counted."""
    limit = now - timedelta(days=days)
    return any(each.get("paired") and contact_of(each, facts) <= limit for each in facts.peripherals or ())


def contact_of(peripheral: Mapping[str, Any], facts: KitFacts) -> datetime:
    """When a device was last reached, as told, and never before the kit was installed.

    A clock that was set back may tell some hours of the future; what is further away is dropped on arrival.
    """
    told = peripheral.get("last_contact")
    at = facts.state_since if told is None else datetime.fromisoformat(str(told))
    return max(at, facts.state_since)


def peripheral_battery_low(
    facts: KitFacts, parameters: PeripheralBattery, clock: Clock, now: datetime
) -> Condition | None:
    """Paired devices whose battery is low."""
    low = [
        {**_named(each), "battery": each["battery"]}
        for each in facts.peripherals or ()
        if each.get("paired") and each.get("battery") is not None and each["battery"] < parameters.below_percent
    ]
    return Condition({"peripherals": low, "below_percent": parameters.below_percent}) if low else None


def update_failed(facts: KitFacts, parameters: NoParameters, clock: Clock, now: datetime) -> Condition | None:
    """The newest update report tells that it failed or was refused."""
    told = facts.update
    if told is None or told.get("state") not in FAILED:
        return None
    return Condition({name: told[name] for name in ("campaign", "state", "error") if told.get(name) is not None})


def restarts(facts: KitFacts, parameters: Restarts, clock: Clock, now: datetime) -> Condition | None:
    """More starts within the window than a tablet in use has.

    It is over when they are half of that at most, so that one hour more or less in use neither ends nor begins it.
    Starts that leave the window while nothing is heard of the kit are no proof: it stays as when it was last heard.
    """
    count = len(list(_lately(facts, parameters, now)))
    if count <= parameters.more_than:
        still = count > parameters.more_than * OVER_AT or _restarting_when_heard(facts, parameters, now)
        return UNTOLD if still else None
    return Condition({"starts": count, "more_than": parameters.more_than, "within_s": parameters.within_s})


def restarts_wake(facts: KitFacts, parameters: Restarts, now: datetime) -> datetime | None:
    """When so many starts have left the window that it is over; what is not told is looked at hourly."""
    lately = sorted(_lately(facts, parameters, now))
    spare = len(lately) - int(parameters.more_than * OVER_AT) - 1
    if spare >= 0:
        return lately[spare] + timedelta(seconds=parameters.within_s)
    return now + ASKED_AGAIN if _restarting_when_heard(facts, parameters, now) else None


def _restarting_when_heard(facts: KitFacts, parameters: Restarts, now: datetime) -> bool:
    """Whether the kit is unheard, and there were too many starts in the window that ends with its last word."""
    interval_s = facts.watch_interval_s or LONGEST_RHYTHM.total_seconds()
    rhythm = min(timedelta(seconds=RHYTHM_INTERVALS * interval_s), LONGEST_RHYTHM)
    if facts.last_heard_at is None or now - facts.last_heard_at <= rhythm:
        return False
    return len(list(_lately(facts, parameters, facts.last_heard_at))) > parameters.more_than * OVER_AT


def _lately(facts: KitFacts, parameters: Restarts, now: datetime) -> Iterator[datetime]:
    after = now - timedelta(seconds=parameters.within_s)
    return (at for at in facts.boots if at > after)


def _days_without(peripheral: Mapping[str, Any], facts: KitFacts) -> int:
    """Days of use after the one on which the device was last reached."""
    last = contact_of(peripheral, facts).date()
    return sum(day > last for day in facts.used_days or ())


def _named(peripheral: Mapping[str, Any]) -> dict[str, Any]:
    return {name: peripheral.get(name) for name in _NAMED}


_report = partial(rule, source=Source.REPORT)
_pairing = partial(_report, for_s=15 * MINUTE_S, keep_s=10 * MINUTE_S)

RULES = (
    _report(
        RuleName.VERSION_DRIFT,
        "minor",
        Line.SERVICE,
        for_s=30,
        keep_s=15,
        judge=version_drift,
        settled=drift_settled,
    ),
    _pairing(
        RuleName.PAIRING_LOST,
        "major",
        Line.SUPPORT,
        parameters=PairingLost(),
        judge=pairing_lost,
        wake=pairing_wake,
    ),
    _pairing(
        RuleName.PERIPHERAL_BATTERY_LOW,
        "minor",
        Line.SUPPORT,
        parameters=PeripheralBattery(),
        judge=peripheral_battery_low,
    ),
    _report(RuleName.UPDATE_FAILED, "minor", Line.SERVICE, keep_s=MINUTE_S, judge=update_failed),
    _report(
        RuleName.RESTARTS,
        "minor",
        Line.SERVICE,
        keep_s=HOUR_S,
        parameters=Restarts(),
        judge=restarts,
        wake=restarts_wake,
    ),
)
"""The rules of this module's judges."""
