"""When a mail subscription is written to: at once or in digests, never in quiet hours, never a flood; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
DENMARK = ZoneInfo("Europe/Copenhagen")
MOST_PER_HOUR = 10
"""Mails to one subscription within an hour; what comes beyond waits and is told in one."""


class Pace(StrEnum):
    """How soon a subscription wants to know."""

    NOW = "now"
    HOURLY = "hourly"
    DAILY = "daily"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a subscription asks for; times of day are those of `zone`, quiet hours may go over midnight."""

    pace: Pace = Pace.NOW
    daily_at: time = time(7)
    quiet_from: time | None = None
    quiet_until: time | None = None
    zone: ZoneInfo = DENMARK
    urgent_passes: bool = False
    language: str = "da"

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Wishes:
        """From the options of an outlet as they are stored."""
        return cls(
            pace=Pace(options.get("pace", Pace.NOW)),
            daily_at=_time(options.get("daily_at")) or time(7),
            quiet_from=_time(options.get("quiet_from")),
            quiet_until=_time(options.get("quiet_until")),
            zone=ZoneInfo(options.get("time_zone", DENMARK.key)),
            urgent_passes=bool(options.get("urgent_passes", False)),
            language=str(options.get("language", "da")),
        )


@dataclass(frozen=True, slots=True)
class Pending:
    """A fact that waits to be told."""

    id: int
    urgent: bool
    queued_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """Which facts to tell now, in one mail; `next_at` is when to look again at the rest, None when nothing is left."""

    send: tuple[int, ...]
    next_at: datetime | None


def is_urgent(body: Mapping[str, Any]) -> bool:
    """Whether a fact is urgent: a critical alert, an urgent request."""
    return body.get("severity") == "critical" or body.get("priority") == "urgent"


def plan(
    wishes: Wishes, pending: Sequence[Pending], now: datetime, hour_began: datetime | None, sent_in_hour: int
) -> Plan:
    """What to tell now; `hour_began` and `sent_in_hour` count the mails of the present hour."""
    if not pending:
        return Plan((), None)
    due = _due(wishes, min(each.queued_at for each in pending))
    quiet = quiet_end(wishes, now)
    chosen: tuple[int, ...] = ()
    if now >= due:
        chosen = tuple(each.id for each in pending if quiet is None or (wishes.urgent_passes and each.urgent))
    if chosen and hour_began is not None and _same_hour(hour_began, now) and sent_in_hour >= MOST_PER_HOUR:
        return Plan((), hour_began + HOUR)
    if len(chosen) == len(pending):
        return Plan(chosen, None)
    return Plan(chosen, max(due, quiet or due, now + timedelta(seconds=1)))


def counted(now: datetime, hour_began: datetime | None, sent_in_hour: int) -> tuple[datetime, int]:
    """The count of the hour after one more mail."""
    if hour_began is None or not _same_hour(hour_began, now):
        return now, 1
    return hour_began, sent_in_hour + 1


def quiet_end(wishes: Wishes, now: datetime) -> datetime | None:
    """When the present quiet hours end; None when there are none now."""
    begin, end = wishes.quiet_from, wishes.quiet_until
    if begin is None or end is None or begin == end:
        return None
    local = now.astimezone(wishes.zone)
    moment = local.time().replace(tzinfo=None)
    quiet = begin <= moment < end if begin < end else moment >= begin or moment < end
    if not quiet:
        return None
    return _next(wishes.zone, end, now)


def _same_hour(began: datetime, now: datetime) -> bool:
    return began <= now < began + HOUR


def _due(wishes: Wishes, queued_at: datetime) -> datetime:
    """When what was queued then is to be told."""
    if wishes.pace is Pace.HOURLY:
        return queued_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
    if wishes.pace is Pace.DAILY:
        return _next(wishes.zone, wishes.daily_at, queued_at)
    return queued_at


def _next(zone: ZoneInfo, at: time, after: datetime) -> datetime:
    """The next moment after `after` at which clocks in `zone` show `at`."""
    day = after.astimezone(zone).date()
    for later in range(3):
        moment = datetime.combine(day + timedelta(days=later), at, tzinfo=zone).astimezone(UTC)
        if moment > after:
            return moment
    raise AssertionError("a day has passed within three days")


def _time(text: Any) -> time | None:
    return None if text is None else time.fromisoformat(text)
