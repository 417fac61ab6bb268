"""What a batch means, decided before anything is written."""

from __future__ import annotations

import pytest

from fleet.ingest.connection import Incoming
from fleet.ingest.plan import Plan, identity, judge, sort_out
from fleet.protocol.messages import Connection, ConnectionState, Reason
from fleet.protocol.topics import Kind
from fleet.state.latest import Mark
from tests.make import at, heartbeat, incoming, payload, report

KIT_ID = 7


def known() -> dict[str, Mark]:
    return {"K": Mark(KIT_ID, {})}


def test_the_first_of_its_kind_and_a_higher_seq_are_surely_new() -> None:
    messages = [report(heartbeat("K", "b", seq, ts=at(seq))) for seq in (1, 2, 5)]
    plan = sort_out(messages, known())
    assert [message.seq for _, message in plan.new] == [1, 2, 5]
    assert plan.doubtful == []
    assert plan.heartbeats[KIT_ID].seq == 5


@pytest.mark.parametrize(
    "later",
    [
        heartbeat("K", "b", 5, ts=at(5)),
        heartbeat("K", "b", 4, ts=at(4)),
        heartbeat("K", "c", 1, ts=at(9)),
    ],
    ids=["repeat", "out of order", "another boot"],
)
def test_these_are_looked_up(later: Incoming) -> None:
    marks = known()
    sort_out([report(heartbeat("K", "b", 5, ts=at(5)))], marks)
    plan = sort_out([report(later)], marks)
    assert plan.new == []
    assert len(plan.doubtful) == 1


def test_an_unknown_kit_is_refused() -> None:
    plan = sort_out([report(heartbeat("X", "b", 1, ts=at(0)))], known())
    (refusal,) = plan.refusals
    assert (refusal.reason, refusal.topic) == (Reason.UNKNOWN_KIT, "fleet/v1/kits/X/heartbeat")
    assert plan.heard == {}


def test_a_repeat_within_a_batch_counts_once_whatever_time_it_was_given() -> None:
    first = heartbeat("K", "b", 1, ts=at(10_000), received_at=at(0))
    again = heartbeat("K", "b", 1, ts=at(10_000), received_at=at(9_990))
    marks = known()
    plan = sort_out([report(first), report(again)], marks)
    judge(plan, set(), {}, marks)
    assert len(plan.new) == 1
    assert plan.repeats == {Kind.HEARTBEAT: 1}


def test_what_is_stored_already_is_a_repeat_and_not_folded() -> None:
    marks = known()
    message = report(heartbeat("K", "b", 1, ts=at(0)))
    plan = sort_out([message], marks, doubt_all=True)
    judge(plan, {identity(KIT_ID, message)}, {}, marks)
    assert (plan.new, plan.heartbeats, plan.repeats) == ([], {}, {Kind.HEARTBEAT: 1})
    assert plan.heard == {KIT_ID: at(0)}


def test_late_but_new_is_stored_and_not_folded() -> None:
    marks = known()
    sort_out([report(heartbeat("K", "b", 9, ts=at(9)))], marks)
    plan = sort_out([report(heartbeat("K", "b", 3, ts=at(3), received_at=at(20)))], marks)
    judge(plan, set(), {}, marks)
    assert [message.seq for _, message in plan.new] == [3]
    assert plan.heartbeats == {}
    assert plan.heard == {KIT_ID: at(20)}


def test_what_is_below_the_top_of_its_boot_is_not_the_newest_whatever_its_clock_says() -> None:
    marks = known()
    sort_out([report(heartbeat("K", "a", 1, ts=at(10)))], marks)
    plan = sort_out([report(heartbeat("K", "b", 3, ts=at(20)))], marks)
    judge(plan, set(), {(KIT_ID, Kind.HEARTBEAT, "b"): 5}, marks)
    assert (len(plan.new), plan.heartbeats) == (1, {})
    assert sort_out([report(heartbeat("K", "b", 5, ts=at(30)))], marks).new == []


@pytest.mark.parametrize("kind", [Kind.SOFTWARE, Kind.PAIRING, Kind.UPDATE])
def test_other_reports_are_folded_in_order(kind: Kind) -> None:
    messages = [
        report(incoming("K", kind, payload(kind, ts=at(seq), seq=seq, mark=seq), received_at=at(seq))) for seq in (1, 2)
    ]
    assert [accepted.seq for accepted in sort_out(messages, known()).reports] == [1, 2]


def test_the_same_seq_of_another_kind_is_another_message() -> None:
    messages = [
        report(incoming("K", kind, payload(kind, ts=at(0)), received_at=at(0)))
        for kind in (Kind.SOFTWARE, Kind.PAIRING)
    ]
    assert len(sort_out(messages, known()).new) == 2


def test_a_reply_is_known_by_kit_and_command() -> None:
    def reply(command: str, seconds: int) -> Plan:
        body = payload(Kind.REPLY, ts=at(seconds), mark=seconds)
        marks = known()
        message = report(incoming("K", Kind.REPLY, body, received_at=at(seconds), command=command))
        plan = sort_out([message], marks)
        judge(plan, {(KIT_ID, Kind.REPLY, "c-1", 0)}, {}, marks)
        return plan

    assert reply("c-1", 50).repeats == {Kind.REPLY: 1}
    assert len(reply("c-2", 50).new) == 1


@pytest.mark.parametrize(
    ("message", "live"),
    [
        (heartbeat("K", "b", 1, ts=at(0)), True),
        (heartbeat("K", "b", 1, ts=at(0), retained=True), False),
        (incoming("K", Kind.REPLY, payload(Kind.REPLY, ts=at(0)), received_at=at(0)), True),
        (incoming("K", Kind.CONNECTION, Connection(ConnectionState.ONLINE, at(0)), received_at=at(0)), True),
        (
            incoming("K", Kind.CONNECTION, Connection(ConnectionState.ONLINE, at(0)), received_at=at(0), retained=True),
            False,
        ),
        (incoming("K", Kind.CONNECTION, Connection(ConnectionState.OFFLINE, at(0)), received_at=at(0)), False),
    ],
    ids=["heartbeat", "retained heartbeat", "reply", "online", "retained online", "will"],
)
def test_what_counts_as_heard(message: Incoming, live: bool) -> None:
    plan = sort_out([report(message)], known())
    assert plan.heard == ({KIT_ID: at(0)} if live else {})
