"""What a rule may see of one kit, and what already stands against it: plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from fleet.alerts.actions import Evidence
from fleet.alerts.rules import RuleName

WATCHED_STATE = "installed"
LONGEST_GRACE_S = 900.0
"""After an outage of ours a kit gets one more of its intervals, at most this."""
BACK_WITHIN_S = 3600.0
"""After an outage of ours tablets have found their way back, and sent what they kept, within this time."""
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Condition:
    """A rule's condition holds, and why; `severity` is its own where it is not the rule's.

    `untold` is neither yes nor no: what the kit last said does not tell, and what stands is left as it is.
    """

    evidence: Evidence
    severity: str | None = None
    untold: bool = False


UNTOLD = Condition({}, untold=True)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of one rule against one kit.

    `pending_since` while the condition holds without an alert; the rest is of the active alert: the condition is gone
    since `recovering_since` and looked at again at `clears_at`; `version` is that of the settings it was judged by.
    """

    pending_since: datetime | None = None
    alert_id: int | None = None
    recovering_since: datetime | None = None
    clears_at: datetime | None = None
    evidence: Evidence | None = None
    severity: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """The listening clock at this moment, in seconds; `hears` tells that it runs."""

    clock_s: float
    resumed_clock_s: float
    grace_from_clock_s: float
    hears: bool


@dataclass(frozen=True, slots=True)
class KitFacts:
    """One kit: what it last told, what the books say, what stands.

    Times of the latest heartbeat are `time` (the tablet's) and `received_at` (ours). `…_clock_s` are values of the
    listening clock, None as in `kit_latest`. `software`, `peripherals` and `update` are the bodies of the newest
    reports, None before the first. `boots` are the times at which the runs of the last days before it was last heard
    began, `used_days` the days on which it reported at all, None where nobody needed to know. `pauses` are the times
    for which the tablet was switched off since what is pending came, from the last heartbeat of a run to the first one
    of the next.
    """

    kit_id: int
    state: str
    state_since: datetime
    rule_set: int = 0
    wanted: Mapping[str, str] = field(default_factory=dict)
    kit_type: str | None = None
    programme: str | None = None
    organisation_id: int | None = None
    watch_interval_s: float | None = None
    watch_allowance_s: float | None = None
    watch_from_clock_s: float | None = None
    heard_clock_s: float | None = None
    last_heard_at: datetime | None = None
    time: datetime | None = None
    received_at: datetime | None = None
    battery: float | None = None
    charging: bool | None = None
    signal_dbm: int | None = None
    network: str | None = None
    storage_free_mb: float | None = None
    uptime_s: float | None = None
    clock_offset_s: float | None = None
    boot: str | None = None
    software: Mapping[str, str] | None = None
    software_at: datetime | None = None
    peripherals: Sequence[Mapping[str, Any]] | None = None
    peripherals_at: datetime | None = None
    update: Mapping[str, Any] | None = None
    update_at: datetime | None = None
    boots: Sequence[datetime] = ()
    used_days: frozenset[date] | None = None
    pauses: Sequence[tuple[datetime, datetime]] = ()
    standing: Mapping[RuleName, Standing] = field(default_factory=dict)

    @property
    def watched(self) -> bool:
        """Whether faults of use count: only where the kit is in use."""
        return self.state == WATCHED_STATE

    def silent(self, clock: Clock) -> bool:
        """Whether what it last told says nothing of now, because it should have been heard since."""
        if self.heard_clock_s is None or self.watch_allowance_s is None:
            return False
        return clock.clock_s > max(self.heard_clock_s, self.watch_from_clock_s or 0.0) + self.watch_allowance_s

    def waited_for_us(self, clock: Clock) -> bool:
        """Whether its newest heartbeat may have waited for us: what came before we listened again, and what was made
        before that and came within the hour after, in which tablets find their way back. That it is late is no word of
        the kit."""
        if self.heard_clock_s is None or clock.resumed_clock_s <= 0:
            return False
        since_s = late_s = 0.0
        if self.last_heard_at is not None and self.received_at is not None:
            since_s = (self.last_heard_at - self.received_at).total_seconds()
        if self.time is not None and self.received_at is not None:
            late_s = (self.received_at - self.time).total_seconds()
        heard_after_s = self.heard_clock_s - since_s - clock.resumed_clock_s
        return heard_after_s <= max(0.0, min(late_s, BACK_WITHIN_S))

    def told_at(self, clock: Clock) -> datetime | None:
        """When it said what its newest heartbeat says: when that came, or was made where it may have waited for us."""
        if self.time is None or self.received_at is None or not self.waited_for_us(clock):
            return self.received_at
        return min(self.time, self.received_at)

    def catching_up(self, clock: Clock) -> bool:
        """Whether what is known may be old because we did not listen: then nothing opens."""
        if not clock.hears:
            return True
        grace_s = min(self.watch_interval_s or 0.0, LONGEST_GRACE_S)
        return clock.resumed_clock_s > 0 and clock.clock_s <= clock.resumed_clock_s + grace_s


def deadline_clock_s(from_clock_s: float, allowance_s: float, interval_s: float, clock: Clock) -> float:
    """The value of the listening clock after which a kit is silent; `silence_deadline_clock_s()` in the database."""
    deadline_s = from_clock_s + allowance_s
    if deadline_s < clock.grace_from_clock_s:
        return deadline_s
    return max(deadline_s, clock.resumed_clock_s + min(interval_s, LONGEST_GRACE_S))
