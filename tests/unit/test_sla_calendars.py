"""Danish desks: holidays, days that are half, exceptions, and hours that the clock skips or repeats."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from fleet.alerts.sla.calendars import (
    ALL_DAY,
    ALWAYS,
    CLOSED,
    HORIZON,
    Calendar,
    add_working_days,
    after,
    business_time,
    openings,
    spans_on,
    working_days_between,
)

OFFICE = ((480, 960),)
WEEK = (OFFICE,) * 5 + (CLOSED,) * 2
DESK = Calendar(
    hours=WEEK, holidays="DK", optional=(("december_24", "closed"), ("december_31", "half"), ("june_5", "closed"))
)
HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "spans"),
    [
        ("2026-11-25", OFFICE),
        ("2026-11-28", CLOSED),  # a Saturday
        ("2026-04-02", CLOSED),  # Maundy Thursday
        ("2026-04-06", CLOSED),  # Easter Monday
        ("2026-05-14", CLOSED),  # Ascension Day
        ("2026-05-25", CLOSED),  # Whit Monday
        ("2023-05-05", CLOSED),  # Great Prayer Day, a holiday for the last time
        ("2024-04-26", OFFICE),
        ("2026-05-01", OFFICE),  # not told to be closed
        ("2026-06-05", CLOSED),
        ("2026-12-24", CLOSED),
        ("2026-12-31", ((480, 720),)),
        ("2027-01-01", CLOSED),
    ],
)
def test_days_are_open_as_in_denmark(day: str, spans: object) -> None:
    assert spans_on(DESK, date.fromisoformat(day)) == spans


def test_exceptions_win_over_holidays_and_weekends() -> None:
    days = ((date(2026, 12, 24), OFFICE), (date(2026, 11, 28), ((600, 660),)), (date(2026, 11, 25), CLOSED))
    calendar = Calendar(hours=WEEK, holidays="DK", days=days)
    assert [spans_on(calendar, day) for day, _ in days] == [spans for _, spans in days]


def test_christmas_is_not_worked_through() -> None:
    # Wednesday 23 December 15:30 local; closed on 24, 25 and 26, weekend until Monday 28.
    due = after(DESK, utc("2026-12-23T14:30"), HOUR)
    assert due == utc("2026-12-28T07:30")
    assert business_time(DESK, utc("2026-12-23T14:30"), due) == HOUR


def test_what_ends_with_the_day_is_due_at_its_end() -> None:
    assert after(DESK, utc("2026-11-25T14:00"), HOUR) == utc("2026-11-25T15:00")


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-25", 24)])
def test_a_day_has_the_hours_that_it_has(day: str, hours: int) -> None:
    round_the_clock = Calendar(hours=(ALL_DAY,) * 7)
    ((opens, closes),) = openings(round_the_clock, date.fromisoformat(day))
    assert closes - opens == hours * HOUR


def test_a_boundary_that_the_clock_skips_is_where_it_jumps() -> None:
    night = Calendar(hours=(((150, 240),),) * 7)  # 02:30 to 04:00
    ((opens, closes),) = openings(night, date(2026, 3, 29))
    assert (opens, closes) == (utc("2026-03-29T01:00"), utc("2026-03-29T02:00"))
    assert openings(Calendar(hours=(((120, 180),),) * 7), date(2026, 3, 29)) == ()


def test_a_boundary_that_comes_twice_is_its_first() -> None:
    early, late = Calendar(hours=(((60, 150),),) * 7), Calendar(hours=(((150, 300),),) * 7)
    day = date(2026, 10, 25)
    assert openings(early, day)[0][1] == openings(late, day)[0][0] == utc("2026-10-25T00:30")
    assert openings(late, day)[0][1] == utc("2026-10-25T04:00")


def test_twelve_and_two_working_days_over_christmas() -> None:
    ordered = date(2026, 12, 18)  # a Friday
    assert add_working_days(DESK, ordered, 2) == date(2026, 12, 22)
    assert add_working_days(DESK, ordered, 12) == date(2027, 1, 8)
    assert working_days_between(DESK, ordered, date(2027, 1, 8)) == 12
    assert add_working_days(ALWAYS, ordered, 12) == date(2026, 12, 30)


def test_a_desk_that_never_opens_is_looked_at_no_further_than_the_horizon() -> None:
    never = Calendar(hours=(CLOSED,) * 7)
    start = utc("2026-11-25T00:00")
    assert after(never, start, HOUR) == start + HORIZON
    assert business_time(never, start, start + HORIZON) == timedelta()
