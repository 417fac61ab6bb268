"""Business time against a slow count minute by minute, on the days on which clocks change and years end too."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts.sla.calendars import (
    ALWAYS,
    DAY_MIN,
    OPTIONAL_DAYS,
    Calendar,
    Spans,
    add_working_days,
    after,
    business_time,
    is_open,
    is_working_day,
    spans_on,
    working_days_between,
)

MINUTE = timedelta(minutes=1)
SPECIAL_DAYS = [
    date(2026, 3, 29),  # clocks go forward
    date(2026, 10, 25),  # and back
    date(2026, 12, 31),
    date(2027, 1, 1),
    date(2026, 4, 2),
    date(2026, 6, 5),
    date(2028, 2, 29),
]


@st.composite
def spans(draw: st.DrawFn) -> Spans:
    """Up to three stretches of a day."""
    ends = sorted(draw(st.sets(st.integers(0, DAY_MIN), max_size=6)))
    return tuple((a, b) for (a, b), used in zip(pairwise(ends), [True, False] * 3, strict=False) if used)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Any calendar that is open at some time of the week."""
    week = draw(st.lists(spans(), min_size=7, max_size=7).filter(any))
    optional = draw(st.dictionaries(st.sampled_from(list(OPTIONAL_DAYS)), st.sampled_from(["closed", "half"])))
    days = draw(st.dictionaries(st.sampled_from(SPECIAL_DAYS), spans(), max_size=3))
    return Calendar(
        hours=tuple(week),
        time_zone=draw(st.sampled_from(["Europe/Copenhagen", "UTC", "America/New_York", "Australia/Lord_Howe"])),
        holidays=draw(st.sampled_from([None, "DK"])),
        optional=tuple(optional.items()),
        days=tuple(days.items()),
    )


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    """A whole minute around a day on which something is special."""
    day = draw(st.sampled_from(SPECIAL_DAYS))
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + MINUTE * draw(st.integers(-3 * DAY_MIN, 3 * DAY_MIN))


def slowly(calendar: Calendar, start: datetime, end: datetime) -> timedelta:
    """Minute by minute: the furthest that the clock on the wall has been on its day decides."""
    zone = ZoneInfo(calendar.time_zone)
    at, furthest, today, total = start - timedelta(days=2), 0, date.min, 0
    while at < end:
        wall = at.astimezone(zone)
        if wall.date() != today:
            today, furthest = wall.date(), 0
        furthest = max(furthest, wall.hour * 60 + wall.minute)
        if at >= start:
            total += any(opens <= furthest < closes for opens, closes in spans_on(calendar, today))
        at += MINUTE
    return total * MINUTE


@given(calendars(), moments(), st.integers(0, 4 * DAY_MIN))
def test_business_time_is_what_counting_minutes_gives(calendar: Calendar, start: datetime, minutes: int) -> None:
    end = start + minutes * MINUTE
    assert business_time(calendar, start, end) == slowly(calendar, start, end)


@given(calendars(), moments(), moments(), moments())
def test_business_time_adds_up(calendar: Calendar, one: datetime, two: datetime, three: datetime) -> None:
    first, middle, last = sorted([one, two, three])
    parts = business_time(calendar, first, middle) + business_time(calendar, middle, last)
    assert parts == business_time(calendar, first, last)
    assert timedelta() <= business_time(calendar, first, middle) <= middle - first
    assert business_time(calendar, last, first) == max(timedelta(), first - last)


@given(calendars(), moments(), st.integers(1, 3 * 3600), st.integers(0, 3 * 3600))
def test_after_is_the_first_instant_by_which_the_time_is_over(
    calendar: Calendar, start: datetime, seconds: int, more: int
) -> None:
    duration = timedelta(seconds=seconds)
    found = after(calendar, start, duration)
    assert business_time(calendar, start, found) == duration
    assert business_time(calendar, start, found - timedelta(microseconds=1)) < duration
    assert after(calendar, start, duration + timedelta(seconds=more)) >= found
    assert after(calendar, found, timedelta(seconds=more)) == after(calendar, start, duration + timedelta(seconds=more))


@given(calendars(), moments())
def test_a_minute_in_which_it_is_open_counts(calendar: Calendar, moment: datetime) -> None:
    assert is_open(calendar, moment) == (business_time(calendar, moment, moment + MINUTE) > timedelta())


@given(calendars(), st.sampled_from(SPECIAL_DAYS), st.integers(0, 15))
def test_working_days_are_counted_as_they_are_added(calendar: Calendar, day: date, count: int) -> None:
    last = add_working_days(calendar, day, count)
    assert working_days_between(calendar, day, last) == count
    assert working_days_between(calendar, last, day) == -count
    assert count == 0 or is_working_day(calendar, last)


@given(moments(), moments())
def test_around_the_clock_is_all_the_time(one: datetime, two: datetime) -> None:
    first, last = sorted([one, two])
    assert business_time(ALWAYS, first, last) == last - first
    assert after(ALWAYS, first, last - first) == last
