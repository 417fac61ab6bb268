"""What a tablet keeps until the broker has it for sure."""

from __future__ import annotations

from simulator.outbox import LAST_PACKET_ID, Entry, Outbox


def outbox(*, window: int = 10, max_waiting: int = 100, keep_s: float = 10.0) -> Outbox:
    return Outbox(window=window, max_waiting=max_waiting, keep_s=keep_s)


def entry(row: int | None) -> Entry:
    return Entry(row, "t", b"")


def sent(box: Outbox) -> list[int | None]:
    rows = []
    while taken := box.take():
        rows.append(taken[1].row)
    return rows


def test_order_is_kept_and_the_window_holds() -> None:
    box = outbox(window=2)
    for row in range(4):
        box.add(entry(row))
    first, second = box.take(), box.take()
    assert first
    assert second
    assert (first[1].row, second[1].row) == (0, 1)
    assert box.take() is None
    assert box.settle(second[0]) is second[1]
    assert sent(box) == [2]
    assert box.settle(second[0]) is None


def test_the_bound_refuses_instead_of_growing() -> None:
    box = outbox(max_waiting=2)
    assert [box.add(entry(row)) for row in range(3)] == [True, True, False]


def test_acknowledged_messages_are_sent_again_after_a_reconnect_before_all_others() -> None:
    box = outbox()
    for row in range(3):
        box.add(entry(row))
    taken = [box.take() for _ in range(2)]
    assert taken[0]
    done = box.settle(taken[0][0])
    assert done
    box.keep(done, now_s=100.0)
    assert box.reconnected() == 2
    assert sent(box) == [0, 1, 2]


def test_keeping_ends_when_the_broker_was_heard_long_after_not_by_the_clock() -> None:
    box = outbox(keep_s=10)
    box.keep(entry(1), now_s=100.0)
    box.heard(109.0)
    assert box.reconnected() == 1
    assert sent(box) == [1]
    quiet = outbox(keep_s=10)
    quiet.keep(entry(1), now_s=100.0)
    quiet.heard(110.5)
    assert quiet.reconnected() == 0


def test_presence_is_not_sent_again() -> None:
    box = outbox()
    box.begin(entry(None))
    assert box.reconnected() == 0
    assert box.unsettled == 0


def test_what_the_broker_cannot_take_now_stays_first() -> None:
    box = outbox()
    for row in range(2):
        box.add(entry(row))
    taken = box.take()
    assert taken
    refused = box.settle(taken[0])
    assert refused
    box.put_back(refused)
    assert sent(box) == [0, 1]


def test_packet_ids_go_round_and_pass_those_in_use() -> None:
    box = outbox(window=LAST_PACKET_ID)
    held = box.begin(entry(0))
    ids = {box.reserve() for _ in range(LAST_PACKET_ID - 1)}
    assert held not in ids
    assert min(ids | {held}) == 1
    assert max(ids) == LAST_PACKET_ID
    assert box.reserve() != held


def test_what_is_kept_is_bounded_too() -> None:
    box = outbox(max_waiting=2)
    gone = [box.keep(entry(row), now_s=1.0) for row in range(3)]
    assert [one.row if one else None for one in gone] == [None, None, 0]
