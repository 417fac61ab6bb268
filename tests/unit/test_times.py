"""Which time a message is given and which of two is newer, sentence by sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from fleet.protocol.times import ClockFlag, Position, Stamp, stamp

RECEIVED = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize("age", [timedelta(0), timedelta(minutes=-2), timedelta(days=30), timedelta(hours=5)])
def test_a_ts_within_the_limits_is_the_time(age: timedelta) -> None:
    assert stamp(RECEIVED - age, RECEIVED) == Stamp(RECEIVED - age)


def test_a_tick_too_old_is_flagged_with_the_difference() -> None:
    age = timedelta(days=30) + TICK
    assert stamp(RECEIVED - age, RECEIVED) == Stamp(RECEIVED, ClockFlag.BEHIND, -age.total_seconds())


def test_a_tick_too_far_ahead_is_flagged_with_the_difference() -> None:
    ahead = timedelta(minutes=2) + TICK
    assert stamp(RECEIVED + ahead, RECEIVED) == Stamp(RECEIVED, ClockFlag.AHEAD, ahead.total_seconds())


@pytest.mark.parametrize("year", [1, 1970, 9999])
def test_no_clock_is_too_wrong(year: int) -> None:
    given = stamp(datetime(year, 1, 1, tzinfo=UTC), RECEIVED)
    assert given.time == RECEIVED
    assert given.flag is (ClockFlag.AHEAD if year > 2026 else ClockFlag.BEHIND)
    assert given.offset_s == (datetime(year, 1, 1, tzinfo=UTC) - RECEIVED).total_seconds()


def test_an_offset_from_utc_is_the_same_instant() -> None:
    local = RECEIVED.astimezone(timezone(timedelta(hours=2)))
    assert stamp(local, RECEIVED).time == RECEIVED


def position(boot: str, seq: int, minute: int, received_minute: int | None = None) -> Position:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    received = minute if received_minute is None else received_minute
    return Position(boot, seq, start + timedelta(minutes=minute), start + timedelta(minutes=received))


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (position("a", 2, 0), position("a", 1, 5)),
        (position("b", 0, 6), position("a", 9, 5)),
        (position("b", 0, 5, 7), position("a", 9, 5, 6)),
        (position("a", 0, 0), None),
    ],
    ids=["higher seq within a boot", "later time between boots", "then later received_at", "than nothing"],
)
def test_newer(newer: Position, older: Position | None) -> None:
    assert newer.newer_than(older)
    assert older is None or not older.newer_than(newer)


def test_nothing_is_newer_than_itself() -> None:
    assert not position("a", 1, 0).newer_than(position("a", 1, 0))
    assert not position("b", 1, 0).newer_than(position("a", 1, 0))
