"""When a window is on again: the part of RFC 5545's RRULE that people plan maintenance with. Pure.

Times repeat by the clock on the wall in Denmark. A time that the change to summer time leaves out is taken one hour
later, one that comes twice is taken the first time; a window lasts as long in seconds every time (RFC 5545, 3.3.10
and 3.8.5.3).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Copenhagen")
MAX_INTERVAL = 366
MAX_COUNT = 5_000
MAX_PERIODS = 20_000
"""Days, weeks or months looked through for the next time; the end of a recurrence that names none."""
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_BY_DAY = re.compile(r"(-?[1-5])?(MO|TU|WE|TH|FR|SA|SU)")
_NAMES = frozenset({"FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "UNTIL", "COUNT", "WKST"})


class Frequency(StrEnum):
    """What repeats."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Every so many days, weeks or months.

    `by_day` holds (ordinal, weekday) with Monday 0; the ordinal is 0 where every such day is meant, -1 is the last of
    the month. `by_month_day` counts from 1, or from the end with -1. `until` is the last time that may begin, `count`
    how many times there are; neither is without an end.
    """

    frequency: Frequency
    interval: int = 1
    by_day: tuple[tuple[int, int], ...] = ()
    by_month_day: tuple[int, ...] = ()
    until: datetime | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time that a window is on."""

    begins_at: datetime
    ends_at: datetime

    def is_on(self, now: datetime) -> bool:
        """Whether it is on; its end is no part of it."""
        return self.begins_at <= now < self.ends_at


def parse(text: str) -> Recurrence:
    """The recurrence that an RRULE says; raises ValueError with what is wrong."""
    parts = dict(_part(each) for each in text.removeprefix("RRULE:").split(";"))
    if len(parts) != text.count(";") + 1:
        raise ValueError("says something twice")
    if unknown := sorted(parts.keys() - _NAMES):
        raise ValueError(f"{unknown[0]} is not understood: {', '.join(sorted(_NAMES))} are")
    if parts.get("WKST", "MO") != "MO":
        raise ValueError("weeks begin on Mondays")
    if parts.get("FREQ") not in set(Frequency):
        raise ValueError("FREQ must be DAILY, WEEKLY or MONTHLY")
    if "UNTIL" in parts and "COUNT" in parts:
        raise ValueError("give UNTIL or COUNT, not both")
    return _checked(
        Recurrence(
            frequency=Frequency(parts["FREQ"]),
            interval=_number(parts.get("INTERVAL", "1"), "INTERVAL", MAX_INTERVAL),
            by_day=tuple(_day(each) for each in _list(parts.get("BYDAY"))),
            by_month_day=tuple(_month_day(each) for each in _list(parts.get("BYMONTHDAY"))),
            until=_until(parts["UNTIL"]) if "UNTIL" in parts else None,
            count=_number(parts["COUNT"], "COUNT", MAX_COUNT) if "COUNT" in parts else None,
        )
    )


def occurrences(
    begins_at: datetime, duration: timedelta, recurrence: Recurrence | None, *, after: datetime | None = None
) -> Iterator[Occurrence]:
    """Every time in order, of those that end after `after`; `begins_at` is the first one."""
    if recurrence is None:
        moments: Iterator[datetime] = iter((begins_at,))
    else:
        moments = _moments(begins_at, recurrence)
    for moment in moments:
        if after is None or moment + duration > after:
            yield Occurrence(moment, moment + duration)


def problem(begins_at: datetime, duration: timedelta, recurrence: Recurrence) -> str | None:
    """Why a window cannot recur like this; None when it can."""
    first = list(islice(occurrences(begins_at, duration, recurrence), 60))
    if not first:
        return "has no time at all"
    if first[0].begins_at != begins_at:
        return f"does not begin with starts_at: its first time is {first[0].begins_at.isoformat()}"
    if any(earlier.ends_at > later.begins_at for earlier, later in pairwise(first)):
        return "begins again before it has ended"
    return None


def _moments(begins_at: datetime, recurrence: Recurrence) -> Iterator[datetime]:
    local = begins_at.astimezone(ZONE)
    for number, day in enumerate(_days(local.date(), recurrence), 1):
        moment = datetime.combine(day, local.time(), ZONE).astimezone(UTC)
        if recurrence.until is not None and moment > recurrence.until:
            return
        yield moment
        if number == recurrence.count:
            return


def _days(first: date, recurrence: Recurrence) -> Iterator[date]:
    """The days in order, from the first on."""
    periods = {Frequency.DAILY: _daily, Frequency.WEEKLY: _weekly, Frequency.MONTHLY: _monthly}
    for number in range(MAX_PERIODS):
        try:
            days = periods[recurrence.frequency](first, number * recurrence.interval, recurrence)
        except OverflowError:
            return
        yield from (day for day in days if day >= first)


def _daily(first: date, number: int, recurrence: Recurrence) -> list[date]:
    day = first + timedelta(days=number)
    wanted = {weekday for _, weekday in recurrence.by_day}
    return [day] if not wanted or day.weekday() in wanted else []


def _weekly(first: date, number: int, recurrence: Recurrence) -> list[date]:
    monday = first - timedelta(days=first.weekday()) + timedelta(weeks=number)
    weekdays = sorted({weekday for _, weekday in recurrence.by_day}) or [first.weekday()]
    return [monday + timedelta(days=weekday) for weekday in weekdays]


def _monthly(first: date, number: int, recurrence: Recurrence) -> list[date]:
    months = first.year * 12 + first.month - 1 + number
    year, month = months // 12, months % 12 + 1
    if year >= date.max.year:
        raise OverflowError
    length = calendar.monthrange(year, month)[1]
    numbers = recurrence.by_month_day or (() if recurrence.by_day else (first.day,))
    days = {day if day > 0 else length + 1 + day for day in numbers}
    for ordinal, weekday in recurrence.by_day:
        days |= _nth(year, month, length, ordinal, weekday)
    return [date(year, month, day) for day in sorted(days) if 1 <= day <= length]


def _nth(year: int, month: int, length: int, ordinal: int, weekday: int) -> set[int]:
    alike = [day for day in range(1, length + 1) if date(year, month, day).weekday() == weekday]
    if ordinal == 0:
        return set(alike)
    at = ordinal - 1 if ordinal > 0 else len(alike) + ordinal
    return {alike[at]} if 0 <= at < len(alike) else set()


def _part(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise ValueError(f"{text[:40]!r} is no part such as FREQ=WEEKLY")
    return name, value


def _list(text: str | None) -> list[str]:
    return [] if text is None else text.split(",")


def _number(text: str, name: str, most: int) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text, re.ASCII) or int(text) > most:
        raise ValueError(f"{name} must be 1 to {most}")
    return int(text)


def _day(text: str) -> tuple[int, int]:
    found = _BY_DAY.fullmatch(text)
    if found is None:
        raise ValueError("BYDAY must be days such as MO, or of a month 1MO to 5MO and -1MO")
    return int(found[1] or 0), _WEEKDAYS.index(found[2])


def _month_day(text: str) -> int:
    if not re.fullmatch(r"-?[1-9][0-9]?", text, re.ASCII) or not -31 <= int(text) <= 31:
        raise ValueError("BYMONTHDAY must be 1 to 31, or -1 to -31 from the end")
    return int(text)


def _until(text: str) -> datetime:
    """A moment in UTC, or a day, which counts to its end in Denmark."""
    try:
        if re.fullmatch(r"[0-9]{8}", text, re.ASCII):
            day = datetime.strptime(text, "%Y%m%d").replace(tzinfo=ZONE)
            return (day + timedelta(days=1) - timedelta(seconds=1)).astimezone(UTC)
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("UNTIL must be a moment in UTC such as 20261231T230000Z, or a day such as 20261231") from None


def _checked(recurrence: Recurrence) -> Recurrence:
    if recurrence.by_month_day and recurrence.by_day:
        raise ValueError("give BYDAY or BYMONTHDAY, not both")
    if recurrence.by_month_day and recurrence.frequency is not Frequency.MONTHLY:
        raise ValueError("BYMONTHDAY goes with FREQ=MONTHLY only")
    if any(ordinal for ordinal, _ in recurrence.by_day) and recurrence.frequency is not Frequency.MONTHLY:
        raise ValueError("a day such as 1MO goes with FREQ=MONTHLY only")
    return recurrence
