"""Two tablets under one number are told from one that starts anew, keeps reports, repeats them or has a bad clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from fleet.state.findings.facts import Runs, ToldIdentities
from fleet.state.findings.twins import LIVE, judge_runs, judge_told

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One heartbeat: when it was made, the time it bears, when it came; in seconds."""

    boot: str
    made_s: float
    time_s: float
    received_s: float


def runs(messages: Sequence[Message]) -> Runs:
    """As the database tells them: what is live, in the order in which it came, by stretches."""
    live = [m for m in messages if abs(m.received_s - m.time_s) <= LIVE.total_seconds()]
    live.sort(key=lambda m: (m.received_s, m.time_s, m.boot))
    stretches = [list(some) for _, some in groupby(live, key=lambda m: m.boot)]
    return Runs(
        1,
        [some[0].boot for some in stretches],
        [BEGIN + timedelta(seconds=some[0].received_s) for some in stretches],
        [BEGIN + timedelta(seconds=some[-1].received_s) for some in stretches],
    )


ONE_RUN = st.tuples(st.integers(20, 3_000), st.integers(0, 120), st.integers(-110, 110))
"""How long a run of the tablet lasts, how long it is off afterwards, and how far its clock is off meanwhile."""
OFFLINE = st.lists(st.tuples(st.integers(0, 10_000), st.integers(5, 2_000)), max_size=6)


def one_tablet(
    lives: Sequence[tuple[int, int, int]], offline: Sequence[tuple[int, int]], interval_s: int, drain_s: float
) -> list[Message]:
    """What it says: while it is offline it keeps all, and sends it within `drain_s` afterwards, the newest first."""
    messages: list[Message] = []
    at = 0.0
    for number, (lasts_s, off_s, wrong_s) in enumerate(lives):
        made_s = at
        while made_s < at + lasts_s:
            back_s = max((b + n for b, n in offline if b <= made_s < b + n), default=None)
            received_s = made_s + 0.2 if back_s is None else back_s + drain_s * (1 - made_s / 20_000)
            messages.append(Message(f"boot-{number}", made_s, made_s + wrong_s, received_s))
            made_s += interval_s
        at += lasts_s + off_s
    return messages


@given(st.lists(ONE_RUN, min_size=1, max_size=15), OFFLINE, st.integers(5, 300), st.floats(0, 120))
def test_one_tablet_is_one_whatever_it_goes_through(
    lives: list[tuple[int, int, int]], offline: list[tuple[int, int]], interval_s: int, drain_s: float
) -> None:
    assert list(judge_runs([runs(one_tablet(lives, offline, interval_s, drain_s))])) == []


@given(st.lists(ONE_RUN, min_size=1, max_size=15), OFFLINE, st.integers(5, 300))
def test_repeats_change_nothing(
    lives: list[tuple[int, int, int]], offline: list[tuple[int, int]], interval_s: int
) -> None:
    """The history has each message once, as it came first; even twice it would be no other tablet."""
    messages = one_tablet(lives, offline, interval_s, 10)
    again = [Message(m.boot, m.made_s, m.time_s, m.received_s + 15) for m in messages]
    assert list(judge_runs([runs([*messages, *again])])) == []


@given(st.integers(5, 300), st.integers(5, 300), st.floats(0, 299), st.integers(0, 3_000))
def test_two_that_are_on_together_are_found(one_s: int, other_s: int, phase_s: float, alone_s: int) -> None:
    first = [Message("a", t, t, t + 0.2) for t in range(0, alone_s + 3_000, one_s)]
    second = [
        Message("b", alone_s + t + phase_s, alone_s + t + phase_s, alone_s + t + phase_s + 0.3)
        for t in range(0, 3_000, other_s)
    ]
    (found,) = judge_runs([runs([*first, *second])])
    assert (found.kind, found.opens) == ("two_tablets", True)


def told(*imeis: str) -> ToldIdentities:
    """Identities one after the other."""
    return ToldIdentities(1, imeis, [BEGIN + timedelta(hours=n) for n in range(len(imeis) - 1)])


def test_identities_that_alternate_are_of_two_tablets_and_a_swap_is_none() -> None:
    one, other = "490154203237518", "356938035643809"
    assert len(list(judge_told([told(one, other, one, other)]))) == 1
    assert list(judge_told([told(one, other)])) == []
    assert list(judge_told([told(one, other, one)])) == [], "a swap that was taken back"
    assert list(judge_told([told(one, one[:14] + "99", one, one[:14] + "99", one)])) == [], "check digits"
