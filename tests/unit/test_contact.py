"""A tablet's own clock does not make a device reached that was not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.protocol.messages import Peripheral
from fleet.protocol.times import stamp
from fleet.state.contact import MOST_AHEAD, kept, proven_contact

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
OFFSETS = st.timedeltas(timedelta(days=-4000), timedelta(days=4000))


def told(contact: datetime | None, ts: datetime, received_at: datetime = NOW) -> datetime | None:
    """The contact as it is kept."""
    device = Peripheral("S-1", "scale", True, last_contact=contact)
    (found,) = kept([device], stamp(ts, received_at))
    at = found.get("last_contact")
    return None if at is None else datetime.fromisoformat(at)


@pytest.mark.parametrize(
    ("contact", "ts", "expected"),
    [
        (NOW - timedelta(hours=1), NOW, NOW - timedelta(hours=1)),
        (None, NOW, None),
        (datetime(2099, 1, 1, tzinfo=UTC), NOW, None),
        (datetime.max.replace(tzinfo=UTC), NOW, None),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=2))), NOW + timedelta(days=9), None),
        # A clock that is five hours ahead tells both five hours ahead.
        (NOW + timedelta(hours=4), NOW + timedelta(hours=5), NOW - timedelta(hours=1)),
        # A clock at the beginning of its time.
        (datetime(2000, 1, 1, 0, 10, tzinfo=UTC), datetime(2000, 1, 1, 0, 30, tzinfo=UTC), NOW - timedelta(minutes=20)),
        # A late message keeps its own time.
        (NOW - timedelta(days=3, hours=1), NOW - timedelta(days=3), NOW - timedelta(days=3, hours=1)),
    ],
)
def test_a_contact_is_kept_by_our_clock(contact: datetime | None, ts: datetime, expected: datetime | None) -> None:
    assert told(contact, ts) == expected


@given(OFFSETS, OFFSETS)
def test_whatever_a_clock_says_no_contact_lies_far_ahead_and_none_after_its_report_proves(
    off: timedelta, before: timedelta
) -> None:
    ts = NOW + off
    at = told(ts - before, ts)
    time = stamp(ts, NOW).time
    assert at is None or at <= time + MOST_AHEAD
    proven = proven_contact(at, time)
    assert proven is None or proven <= time + timedelta(minutes=2)
    if before >= timedelta(0):
        assert at is not None
        assert abs(time - at - before) < timedelta(milliseconds=1)


def test_a_contact_some_hours_after_its_report_proves_nothing() -> None:
    assert proven_contact((NOW + timedelta(hours=2)).isoformat(), NOW) is None
    assert proven_contact(NOW - timedelta(hours=2), NOW) == NOW - timedelta(hours=2)
    assert proven_contact(None, NOW) is None
