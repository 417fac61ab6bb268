"""Time and 'newer' over all values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from fleet.db.binary import timestamptz
from fleet.protocol.times import MAX_AGE, MAX_AHEAD, Position, stamp

ANY_TIME = st.datetimes(timezones=st.just(UTC))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@given(ANY_TIME, ANY_TIME)
def test_a_time_is_always_within_the_accepted_range(ts: datetime, received_at: datetime) -> None:
    given_ = stamp(ts, received_at)
    assert -MAX_AHEAD <= received_at - given_.time <= MAX_AGE
    assert (given_.flag is None) == (given_.offset_s is None)
    if given_.flag is None:
        assert given_.time == ts
    else:
        assert given_.time == received_at
        assert given_.offset_s == (ts - received_at).total_seconds()


@given(ANY_TIME)
def test_microseconds_survive_the_binary_form(ts: datetime) -> None:
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    assert epoch + timedelta(microseconds=timestamptz(ts)) == ts


@st.composite
def sane_streams(draw: st.DrawFn) -> list[Position]:
    """Messages of one kit of which time and `seq` rise together and boots follow one another."""
    positions, second = [], 0
    for boot in draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True)):
        for seq in range(draw(st.integers(1, 3))):
            second += draw(st.integers(1, 100))
            late = timedelta(seconds=draw(st.integers(0, 10_000)))
            time = NOON + timedelta(seconds=second)
            positions.append(Position(boot, seq, time, time + late))
    return positions


@given(sane_streams())
def test_newer_is_a_total_order_for_sane_streams(stream: list[Position]) -> None:
    for earlier, later in permutations(range(len(stream)), 2):
        assert stream[later].newer_than(stream[earlier]) == (later > earlier)
    by_newer = cmp_to_key(lambda a, b: 1 if a.newer_than(b) else -1 if b.newer_than(a) else 0)
    backwards = stream[::-1]
    assert sorted(backwards, key=by_newer) == stream


@given(st.tuples(*[st.builds(Position, st.sampled_from("ab"), st.integers(0, 3), ANY_TIME, ANY_TIME)] * 2))
def test_of_two_at_most_one_is_newer(pair: tuple[Position, Position]) -> None:
    one, other = pair
    assert not (one.newer_than(other) and other.newer_than(one))
    same = (one.boot == other.boot and one.seq == other.seq) or (
        one.boot != other.boot and (one.time, one.received_at) == (other.time, other.received_at)
    )
    assert same == (not one.newer_than(other) and not other.newer_than(one))
