"""Whatever the broker does, no message leaves the outbox before it was acknowledged and kept long enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.outbox import Entry, Outbox

STEPS = st.lists(
    st.one_of(
        st.just(("add", 0)),
        st.just(("take", 0)),
        st.tuples(st.just("ack"), st.integers(0, 20)),
        st.tuples(st.just("busy"), st.integers(0, 20)),
        st.just(("reconnect", 0)),
        st.tuples(st.just("wait"), st.integers(1, 15)),
    ),
    max_size=200,
)


@given(STEPS)
def test_nothing_is_forgotten_too_early(steps: list[tuple[str, int]]) -> None:
    box = Outbox(window=5, max_waiting=1000, keep_s=10.0)
    inflight: dict[int, Entry] = {}
    made = 0
    acked_s: dict[int, float] = {}
    now_s = 0.0
    for step, number in steps:
        if step == "add":
            assert box.add(Entry(made, "t", b""))
            made += 1
        elif step == "take" and (taken := box.take()):
            assert taken[0] not in inflight
            inflight[taken[0]] = taken[1]
            assert len(inflight) <= 5
        elif step in {"ack", "busy"} and inflight:
            packet_id = sorted(inflight)[number % len(inflight)]
            entry = box.settle(packet_id)
            assert entry is inflight.pop(packet_id)
            if step == "busy":
                box.put_back(entry)
            else:
                assert entry.row is not None
                box.heard(now_s)
                box.keep(entry, now_s)
                acked_s.setdefault(entry.row, now_s)
        elif step == "reconnect":
            box.reconnected()
            inflight.clear()
            waiting = {entry.row for entry in box}
            unsafe = {row for row in range(made) if row not in acked_s or now_s - acked_s[row] < 10.0}
            assert unsafe <= waiting
        elif step == "wait":
            now_s += number


@given(STEPS)
def test_in_the_end_everything_arrives(steps: list[tuple[str, int]]) -> None:
    box = Outbox(window=3, max_waiting=1000, keep_s=10.0)
    arrived: set[int | None] = set()
    made = 0
    for step, _ in steps:
        if step == "add":
            box.add(Entry(made, "t", b""))
            made += 1
        elif step == "take":
            box.take()
        elif step == "reconnect":
            box.reconnected()
    box.reconnected()
    while taken := box.take():
        box.settle(taken[0])
        arrived.add(taken[1].row)
    assert arrived == set(range(made))
