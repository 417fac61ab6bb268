"""The listening clock: seconds during which we certainly would have heard a kit.

Evidence is a marker that we publish to ourselves through the broker and that comes back behind everything
published before it. A marker counts once the batch it came in is committed. So the clock advances only while we are
connected, subscribed, past our backlog and committing, and from the outside silence is a subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

MARKER_EVERY_S = 1.0
MAX_LAG_S = 10.0
"""A marker that took longer than this came through a backlog."""
MAX_GAP_S = 10.0
"""Longer than this without evidence is an outage of ours."""
GRACE_CHAIN_S = 3600.0
"""Outages closer together than the longest grace are one for the kits already overdue, up to this long."""
MAX_GRACE_S = 900.0


class ListeningState(StrEnum):
    """What the clock does: stands, stands while the backlog is worked off, runs."""

    DOWN = "down"
    CATCHING_UP = "catching_up"
    LISTENING = "listening"


@dataclass(frozen=True, slots=True)
class ListeningClock:
    """Value and state of the clock; every method answers the next one.

    `clock_s` is the reading, `resumed_clock_s` its reading when our last outage ended, `grace_from_clock_s` the same
    for the first of several outages in short succession. `credited_at_s` is the monotonic time up to which listening
    is counted, None while there is nothing to count from. `outage` tells that the time since the last
    credit was long enough to owe the kits a grace.
    """

    clock_s: float = 0.0
    resumed_clock_s: float = 0.0
    grace_from_clock_s: float = 0.0
    state: ListeningState = ListeningState.DOWN
    credited_at_s: float | None = None
    outage: bool = False

    @classmethod
    def taken_over(
        cls, clock_s: float, resumed_clock_s: float, grace_from_clock_s: float, age_s: float
    ) -> ListeningClock:
        """The clock as stored by the process before us, `age_s` seconds ago."""
        return cls(clock_s, resumed_clock_s, grace_from_clock_s, outage=age_s > MAX_GAP_S)

    def disconnected(self) -> ListeningClock:
        """The broker is gone: the clock stands; whether it is an outage shows when evidence comes again."""
        return replace(self, state=ListeningState.DOWN)

    def connected(self) -> ListeningClock:
        """Subscribed again, the backlog still to come."""
        return replace(self, state=ListeningState.CATCHING_UP)

    def evidence(self, sent_at_s: float, now_s: float) -> ListeningClock:
        """A marker sent at `sent_at_s` is back and its batch about to be committed at `now_s` (both monotonic)."""
        if now_s - sent_at_s > MAX_LAG_S:
            return replace(self, state=ListeningState.CATCHING_UP)
        if self.credited_at_s is not None and sent_at_s <= self.credited_at_s:
            return self
        gap_s = None if self.credited_at_s is None else sent_at_s - self.credited_at_s
        long_gap = gap_s is not None and gap_s > MAX_GAP_S
        running = self.state is ListeningState.LISTENING and gap_s is not None and not long_gap
        clock = replace(
            self,
            clock_s=self.clock_s + gap_s if running and gap_s is not None else self.clock_s,
            state=ListeningState.LISTENING,
            credited_at_s=sent_at_s,
            outage=False,
        )
        return clock._with_grace() if self.outage or long_gap else clock

    def _with_grace(self) -> ListeningClock:
        near = self.clock_s - self.resumed_clock_s < MAX_GRACE_S
        chained = near and self.clock_s - self.grace_from_clock_s < GRACE_CHAIN_S
        return replace(
            self,
            resumed_clock_s=self.clock_s,
            grace_from_clock_s=self.grace_from_clock_s if chained else self.clock_s,
        )
