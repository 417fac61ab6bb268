"""Maintenance windows' times, what keeps an alert quiet, and flapping: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from fleet.alerts.quieting import flapping, recurrence
from fleet.alerts.quieting.flapping import Clearing, Flap
from fleet.alerts.quieting.recurrence import Occurrence, Recurrence, occurrences, parse
from fleet.alerts.quieting.review import Plan, next_time
from fleet.alerts.quieting.suppress import Cover, Opening, Shelf, Suppression, suppressor
from fleet.alerts.rules import Resolution

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPENING = Opening(1, "silent", "major")


def begins(first: datetime, rule: str, count: int = 4, lasts: timedelta = HOUR) -> list[str]:
    """When a window begins, in UTC."""
    times = islice(occurrences(first, lasts, parse(rule)), count)
    return [f"{each.begins_at:%m-%d %H:%M}" for each in times]


def test_a_window_once() -> None:
    assert list(occurrences(NOW, HOUR, None)) == [Occurrence(NOW, NOW + HOUR)]
    assert list(occurrences(NOW, HOUR, None, after=NOW + HOUR)) == []


def test_summer_time_moves_utc_and_not_the_clock_on_the_wall() -> None:
    # Sundays at 02:30 in Denmark: summer time begins on 29 March at 02:00, when that time does not exist.
    sundays = begins(datetime(2026, 3, 22, 1, 30, tzinfo=UTC), "FREQ=WEEKLY;BYDAY=SU")
    assert sundays == ["03-22 01:30", "03-29 01:30", "04-05 00:30", "04-12 00:30"]
    # It ends on 25 October at 03:00, when 02:30 comes twice: the first is meant.
    sundays = begins(datetime(2026, 10, 18, 0, 30, tzinfo=UTC), "FREQ=WEEKLY;BYDAY=SU")
    assert sundays == ["10-18 00:30", "10-25 00:30", "11-01 01:30", "11-08 01:30"]


def test_a_window_lasts_as_long_across_the_change() -> None:
    times = list(islice(occurrences(datetime(2026, 3, 27, 23, tzinfo=UTC), 4 * HOUR, parse("FREQ=DAILY")), 3))
    assert [each.ends_at - each.begins_at for each in times] == [4 * HOUR] * 3


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=DAILY;INTERVAL=2", ["11-02 09:00", "11-04 09:00", "11-06 09:00", "11-08 09:00"]),
        ("FREQ=DAILY;COUNT=2", ["11-02 09:00", "11-03 09:00"]),
        ("FREQ=DAILY;UNTIL=20261103", ["11-02 09:00", "11-03 09:00"]),
        ("FREQ=DAILY;UNTIL=20261103T080000Z", ["11-02 09:00"]),
        ("FREQ=WEEKLY", ["11-02 09:00", "11-09 09:00", "11-16 09:00", "11-23 09:00"]),
        ("FREQ=WEEKLY;BYDAY=MO,WE", ["11-02 09:00", "11-04 09:00", "11-09 09:00", "11-11 09:00"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", ["11-02 09:00", "11-06 09:00", "11-16 09:00", "11-20 09:00"]),
        ("FREQ=MONTHLY;COUNT=3", ["11-02 09:00", "12-02 09:00", "01-02 09:00"]),
        ("FREQ=MONTHLY;BYDAY=1MO;COUNT=3", ["11-02 09:00", "12-07 09:00", "01-04 09:00"]),
        ("FREQ=MONTHLY;BYMONTHDAY=2,-1;COUNT=4", ["11-02 09:00", "11-30 09:00", "12-02 09:00", "12-31 09:00"]),
    ],
)
def test_what_recurs(rule: str, expected: list[str]) -> None:
    assert begins(datetime(2026, 11, 2, 9, tzinfo=UTC), rule) == expected


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "FREQ=YEARLY",
        "FREQ=HOURLY",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=x",
        "FREQ=DAILY;COUNT=1;UNTIL=20261231",
        "FREQ=DAILY;COUNT=1;COUNT=2",
        "FREQ=DAILY;BYHOUR=2",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=MONTHLY;BYDAY=MO;BYMONTHDAY=1",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=DAILY;UNTIL=tomorrow",
        "FREQ=DAILY;UNTIL=20261331",
        "FREQ=DAILY;WKST=SU",
        "DAILY",
    ],
)
def test_what_does_not_recur_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(rule)


def test_a_window_that_cannot_recur_so() -> None:
    monday = datetime(2026, 11, 2, 9, tzinfo=UTC)
    assert recurrence.problem(monday, HOUR, parse("FREQ=WEEKLY;BYDAY=MO")) is None
    assert "begin with starts_at" in (recurrence.problem(monday, HOUR, parse("FREQ=WEEKLY;BYDAY=TU")) or "")
    assert "before it has ended" in (recurrence.problem(monday, 25 * HOUR, parse("FREQ=DAILY")) or "")
    assert "no time" in (recurrence.problem(monday, HOUR, parse("FREQ=DAILY;UNTIL=20261101")) or "")
    assert recurrence.problem(monday, HOUR, Recurrence(recurrence.Frequency.DAILY, count=1)) is None


def test_the_next_time_of_a_window() -> None:
    monday = datetime(2026, 11, 2, 9, tzinfo=UTC)
    plan = Plan(1, monday, monday + HOUR, "FREQ=DAILY;COUNT=3", monday, monday + HOUR, None)
    assert next_time(plan, monday) == Occurrence(monday, monday + HOUR)
    second = monday + timedelta(days=1)
    assert next_time(plan, monday + HOUR) == Occurrence(second, second + HOUR)
    assert next_time(plan, monday + timedelta(days=3)) is None
    ended_early = Plan(1, monday, monday + HOUR, plan.recurrence, None, None, monday + HOUR / 2)
    assert next_time(ended_early, monday) == Occurrence(second, second + HOUR)


def test_nothing_keeps_quiet_what_it_is_not_for() -> None:
    others = [Cover(2, 1, True, None), Cover(1, 2, True, frozenset({"storage_low"}))]
    assert suppressor(OPENING, others, [Shelf(1, "storage_low", NOW + HOUR, "major")], NOW) is None
    assert suppressor(OPENING, [], [Shelf(2, "silent", NOW + HOUR, "major")], NOW) is None


def test_what_keeps_quiet_says_so() -> None:
    windows = [Cover(1, 7, True, None), Cover(1, 4, True, frozenset({"silent"}))]
    assert suppressor(OPENING, windows, [], NOW) == Suppression("maintenance:4")
    shelf = Shelf(1, "silent", NOW + HOUR, "major")
    assert suppressor(OPENING, windows, [shelf], NOW) == Suppression("shelved:2026-11-25T13:00:00Z")
    not_evaluated = Cover(1, 9, False, None)
    found = suppressor(OPENING, [*windows, not_evaluated], [shelf], NOW)
    assert found == Suppression("maintenance:9", opens=False, window_id=9)


def test_a_shelf_ends_by_itself_and_with_what_gets_graver() -> None:
    shelf = Shelf(1, "silent", NOW, "major")
    assert suppressor(OPENING, [], [shelf], NOW) is None
    minor = Shelf(1, "silent", NOW + HOUR, "minor")
    assert suppressor(OPENING, [], [minor], NOW) is None
    assert suppressor(Opening(1, "silent", "warning"), [], [minor], NOW) is not None


def test_the_fourth_opening_within_the_window_flaps() -> None:
    flap = Flap(openings=4, window_s=86400, quiet_s=21600)
    assert [flapping.flaps(before, flap) for before in range(5)] == [False, False, False, True, True]
    assert flapping.since(NOW, flap) == NOW - timedelta(days=1)


def test_what_flaps_stays_until_it_was_quiet() -> None:
    flap = Flap(openings=4, window_s=86400, quiet_s=3600)
    gone = Clearing(1, True, NOW, Resolution.PROOF)
    assert flapping.must_wait(gone, flap, NOW + HOUR - timedelta(seconds=1))
    assert not flapping.must_wait(gone, flap, NOW + HOUR)
    assert flapping.must_wait(Clearing(1, True, None, Resolution.BOOKS_AGREE), flap, NOW)
    for plain in (Clearing(1, False, NOW, Resolution.PROOF), Clearing(1, True, NOW, Resolution.NOT_WATCHED)):
        assert not flapping.must_wait(plain, flap, NOW)
