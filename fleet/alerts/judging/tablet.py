"""Judges of what the latest heartbeat says. `conditions.sql` has the same comparisons for the whole fleet at once."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from fleet.alerts.judging.about import DAY_S, HOUR_S, MINUTE_S, Source, rule
from fleet.alerts.judging.facts import UNTOLD, Clock, Condition, KitFacts, deadline_clock_s
from fleet.alerts.judging.parameters import ClockSkew, Network, NeverHeard, NotCharging, Storage, TabletBattery
from fleet.alerts.rules import Line, RuleName


def never_heard(facts: KitFacts, parameters: NeverHeard, clock: Clock, now: datetime) -> Condition | None:
    """Installed and never heard, in all the listening time that it should have been."""
    allowance_s, from_s = facts.watch_allowance_s, facts.watch_from_clock_s
    if facts.heard_clock_s is not None or allowance_s is None or from_s is None:
        return None
    wait_s = max(allowance_s, parameters.at_least_s)
    if clock.clock_s <= deadline_clock_s(from_s, wait_s, facts.watch_interval_s or 0.0, clock):
        return None
    return Condition({"installed_since": facts.state_since.isoformat(), "waited_s": wait_s})


def tablet_battery_low(facts: KitFacts, parameters: TabletBattery, clock: Clock, now: datetime) -> Condition | None:
    """Little left, and not charging."""
    if facts.battery is None or facts.battery >= parameters.below_percent or facts.charging is True:
        return None
    return Condition({"battery": facts.battery, "below_percent": parameters.below_percent})


def not_charging(facts: KitFacts, parameters: NotCharging, clock: Clock, now: datetime) -> Condition | None:
    """Says that it does not charge, while it should before long; of a low battery `tablet_battery_low` speaks."""
    if facts.charging is not False or facts.battery is None:
        return None
    if not parameters.from_percent <= facts.battery < parameters.below_percent:
        return None
    return Condition({"battery": facts.battery, "below_percent": parameters.below_percent})


def storage_low(facts: KitFacts, parameters: Storage, clock: Clock, now: datetime) -> Condition | None:
    """Little storage free: updates fail, then the app does."""
    if facts.storage_free_mb is None or facts.storage_free_mb >= parameters.below_mb:
        return None
    return Condition({"storage_free_mb": facts.storage_free_mb, "below_mb": parameters.below_mb})


def no_network(facts: KitFacts, parameters: Network, clock: Clock, now: datetime) -> Condition | None:
    """The newest heartbeat was made without a network or with a weak one, or came very late.

    That it came late while we did not listen was our doing; whether it would have come in time is not known.
    """
    told: dict[str, object] = {}
    if facts.network == "none":
        told["network"] = "none"
    if facts.signal_dbm is not None and facts.signal_dbm < parameters.weak_below_dbm and facts.network != "wifi":
        told["signal_dbm"] = facts.signal_dbm
    if facts.waited_for_us(clock):
        return Condition(told) if told else UNTOLD
    if facts.time is not None and facts.received_at is not None:
        late_s = (facts.received_at - facts.time).total_seconds()
        if late_s > parameters.late_s:
            told["late_s"] = late_s
    return Condition(told) if told else None


def clock_skew(facts: KitFacts, parameters: ClockSkew, clock: Clock, now: datetime) -> Condition | None:
    """The tablet's clock is off by more than it may. One that is ahead looks right in what waited for us."""
    if facts.clock_offset_s is None or abs(facts.clock_offset_s) < parameters.over_s:
        return UNTOLD if facts.waited_for_us(clock) else None
    return Condition({"offset_s": facts.clock_offset_s, "over_s": parameters.over_s})


_unheard = partial(rule, source=Source.CLOCK)
_beat = partial(rule, source=Source.HEARTBEAT)
_quarter = partial(_beat, keep_s=15 * MINUTE_S)

RULES = (
    _unheard(RuleName.NEVER_HEARD, "major", Line.LOGISTICS, keep_s=15, parameters=NeverHeard(), judge=never_heard),
    _quarter(
        RuleName.TABLET_BATTERY_LOW,
        "warning",
        Line.SUPPORT,
        for_s=DAY_S,
        parameters=TabletBattery(),
        judge=tablet_battery_low,
    ),
    _quarter(
        RuleName.NOT_CHARGING, "minor", Line.SUPPORT, for_s=2 * DAY_S, parameters=NotCharging(), judge=not_charging
    ),
    _quarter(RuleName.STORAGE_LOW, "minor", Line.SERVICE, for_s=HOUR_S, parameters=Storage(), judge=storage_low),
    _beat(
        RuleName.NO_NETWORK,
        "minor",
        Line.SERVICE,
        for_s=6 * HOUR_S,
        keep_s=30 * MINUTE_S,
        parameters=Network(),
        judge=no_network,
    ),
    _quarter(RuleName.CLOCK_SKEW, "minor", Line.SERVICE, for_s=30 * MINUTE_S, parameters=ClockSkew(), judge=clock_skew),
)
"""The rules of this module's judges."""
