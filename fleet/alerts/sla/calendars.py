"""Business calendars as values: when a desk is open, and time counted in its open hours only.

Hours are said in local wall-clock time and counted in UTC instants, so a day on which clocks change has the hours it
really has. Where the wall clock skips a boundary, or shows it twice, the boundary is the first instant at which the
clock has reached it; neighbouring hours therefore never overlap and leave no gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

DAY_MIN = 24 * 60
NOON_MIN = 12 * 60
HORIZON = timedelta(days=3660)
"""How far ahead is looked for open hours; what would be due later is due then."""

Spans = tuple[tuple[int, int], ...]
"""Open hours of a day, in order and apart: minutes from local midnight, `(480, 960)` is 08:00 to 16:00."""
Opening = tuple[datetime, datetime]

CLOSED: Spans = ()
ALL_DAY: Spans = ((0, DAY_MIN),)
OPTIONAL_DAYS = {
    "may_1": (5, 1),
    "june_5": (6, 5),
    "december_24": (12, 24),
    "december_31": (12, 31),
}
"""Danish days that are no public holidays and on which many desks are closed, or open until noon, all the same."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a desk is open.

    `hours` are seven days, Monday first. `holidays` closes the public holidays of a country (`DK`). `optional` tells
    of days in `OPTIONAL_DAYS` whether they are `closed` or `half` (open until noon). `days` are exceptions, which win
    over everything else; `always` is open around the clock and heeds nothing.
    """

    hours: tuple[Spans, ...] = (ALL_DAY,) * 7
    time_zone: str = "Europe/Copenhagen"
    always: bool = False
    holidays: str | None = None
    optional: tuple[tuple[str, str], ...] = ()
    days: tuple[tuple[date, Spans], ...] = ()
    _known: dict[date, tuple[Opening, ...]] = field(default_factory=dict, init=False, compare=False, repr=False)


ALWAYS = Calendar(always=True)


def spans_on(calendar: Calendar, day: date) -> Spans:
    """The open hours of a local day, in minutes from its midnight."""
    if calendar.always:
        return ALL_DAY
    for other, spans in calendar.days:
        if other == day:
            return spans
    ordinary = calendar.hours[day.weekday()]
    for name, how in calendar.optional:
        if OPTIONAL_DAYS[name] == (day.month, day.day):
            return CLOSED if how == "closed" else until_noon(ordinary)
    if calendar.holidays is not None and day in public_holidays(calendar.holidays, day.year):
        return CLOSED
    return ordinary


def until_noon(spans: Spans) -> Spans:
    """What of the hours is before noon."""
    return tuple((start, min(end, NOON_MIN)) for start, end in spans if start < NOON_MIN)


@lru_cache(maxsize=1000)
def public_holidays(country: str, year: int) -> frozenset[date]:
    """The public holidays of a country in a year."""
    return frozenset(holidays.country_holidays(country, years=year, expand=False))


def openings(calendar: Calendar, day: date) -> tuple[Opening, ...]:
    """The open hours of a local day as instants in UTC; hours that the clock skips are not there."""
    known = calendar._known.get(day)
    if known is None:
        made = (
            (_instant(calendar, day, start), _instant(calendar, day, end)) for start, end in spans_on(calendar, day)
        )
        known = calendar._known[day] = tuple(each for each in made if each[0] < each[1])
    return known


def business_time(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """How long the desk is open from `start` to `end`; none when `end` is not later."""
    if calendar.always or end <= start:
        return max(end - start, timedelta())
    total = timedelta()
    day, last = local_day(calendar, start), local_day(calendar, end)
    while day <= last:
        for opens, closes in openings(calendar, day):
            total += max(min(closes, end) - max(opens, start), timedelta())
        day += timedelta(days=1)
    return total


def after(calendar: Calendar, start: datetime, duration: timedelta) -> datetime:
    """The first instant by which the desk was open for `duration` since `start`; at most `HORIZON` later."""
    if calendar.always or duration <= timedelta():
        return start + max(duration, timedelta())
    left, limit = duration, start + HORIZON
    day, last = local_day(calendar, start), local_day(calendar, limit)
    while day <= last:
        for opens, closes in openings(calendar, day):
            begins = max(opens, start)
            if closes - begins >= left:
                return min(begins + left, limit)
            left -= max(closes - begins, timedelta())
        day += timedelta(days=1)
    return limit


def is_open(calendar: Calendar, moment: datetime) -> bool:
    """Whether the desk is open at an instant."""
    if calendar.always:
        return True
    return any(opens <= moment < closes for opens, closes in openings(calendar, local_day(calendar, moment)))


def is_working_day(calendar: Calendar, day: date) -> bool:
    """Whether the desk is open at all on a local day."""
    return bool(spans_on(calendar, day))


def add_working_days(calendar: Calendar, day: date, count: int) -> date:
    """The working day that is the `count`-th after `day`; `day` itself when none are added. Within `HORIZON`."""
    last = day + HORIZON
    while count > 0 and day < last:
        day += timedelta(days=1)
        count -= is_working_day(calendar, day)
    return day


def working_days_between(calendar: Calendar, first: date, last: date) -> int:
    """How many working days come after `first` up to and with `last`; negative when `last` is earlier."""
    if last < first:
        return -working_days_between(calendar, last, first)
    return sum(is_working_day(calendar, first + timedelta(days=n)) for n in range(1, (last - first).days + 1))


def local_day(calendar: Calendar, moment: datetime) -> date:
    """The day on the wall at an instant."""
    return moment.astimezone(ZoneInfo(calendar.time_zone)).date()


def _instant(calendar: Calendar, day: date, minute: int) -> datetime:
    """When the wall clock first reaches a minute of a day."""
    zone = ZoneInfo(calendar.time_zone)
    if minute == DAY_MIN:
        day, minute = day + timedelta(days=1), 0
    wall = datetime.combine(day, time(minute // 60, minute % 60))
    found = wall.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wall:
        return found
    return _end_of_gap(zone, wall, found)


def _end_of_gap(zone: ZoneInfo, wall: datetime, late: datetime) -> datetime:
    """When the clock jumped over `wall`: the first instant, to the second, at which it shows more."""
    early = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) >= wall:
            late = middle
        else:
            early = middle
    return late
