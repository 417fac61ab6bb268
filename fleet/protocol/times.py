"""Which time a message is given, and which of two messages is newer."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

MAX_AGE = timedelta(days=30)
MAX_AHEAD = timedelta(minutes=2)


class ClockFlag(StrEnum):
    """Why a message's own time was not used."""

    AHEAD = "clock_ahead"
    BEHIND = "clock_behind"


class Stamp(Struct, frozen=True, gc=False):
    """The time a message is stored at; `flag` and `offset_s` (ts minus received) when `ts` was not usable."""

    time: datetime
    flag: ClockFlag | None = None
    offset_s: float | None = None


def stamp(ts: datetime, received_at: datetime) -> Stamp:
    """Give a message its time: `ts` within received - 30 days … received + 2 minutes, else `received_at`."""
    age = received_at - ts
    if age > MAX_AGE:
        return Stamp(received_at, ClockFlag.BEHIND, -age.total_seconds())
    if -age > MAX_AHEAD:
        return Stamp(received_at, ClockFlag.AHEAD, -age.total_seconds())
    return Stamp(ts)


class Position(Struct, frozen=True, gc=False):
    """Where a message stands among those of its kit and kind."""

    boot: str
    seq: int
    time: datetime
    received_at: datetime

    def newer_than(self, other: Position | None) -> bool:
        """Within a boot the higher `seq`; between boots the later `time`, then the later `received_at`."""
        if other is None:
            return True
        if self.boot == other.boot:
            return self.seq > other.seq
        return (self.time, self.received_at) > (other.time, other.received_at)
