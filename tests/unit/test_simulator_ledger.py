"""Ledger, comparison, expectations: the yardstick itself is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet.protocol.messages import Software
from fleet.protocol.topics import Kind
from simulator import judge, ledger_file
from simulator.compare import Comparison, Index, compare, malformed_counts, time_range
from simulator.effects import Publish
from simulator.errors import LedgerError
from simulator.judge import Found
from simulator.ledger import BadOf, BootOf, Ledger, ReplyOf, Status
from simulator.report import Latency, Spread
from simulator.scenario import Expect, Scenario, parse
from simulator.store import Alert, Incident, Request, StoredMessage
from simulator.watch import Expected, Watch

START = datetime(2026, 3, 1, tzinfo=UTC)
BOOT = BootOf("K-1", "p-K-1-1")


def new_ledger() -> Ledger:
    return Ledger(boot_prefix="p", started_at=START)


def acknowledged(ledger: Ledger, seqs: Iterable[int], kind: Kind = Kind.HEARTBEAT) -> list[int]:
    rows = [ledger.add(BOOT, kind, seq, START) for seq in seqs]
    for row in rows:
        ledger.was_sent(row, 1.0)
        ledger.was_acknowledged(row, 1.5)
    return rows


def stored(seq: int, kind: str = "heartbeat", boot: str = BOOT.boot, command: str | None = None) -> StoredMessage:
    none = command is not None
    return StoredMessage(
        "K-1", kind, None if none else boot, None if none else seq, command, START + timedelta(seconds=1.25)
    )


def compared(ledger: Ledger, *messages: StoredMessage) -> Comparison:
    return compare(ledger, Index(ledger), messages)


def test_a_balanced_ledger() -> None:
    ledger = new_ledger()
    acknowledged(ledger, range(3))
    found = compared(ledger, *map(stored, range(3)))
    assert (found.checked, found.stored, found.missing, found.duplicates, found.foreign) == (3, 3, 0, 0, 0)
    assert found.received_s == pytest.approx([0.25] * 3, abs=1e-3)
    assert judge.exactly_once(found).met


def test_missing_twice_and_foreign_are_told_apart() -> None:
    ledger = new_ledger()
    acknowledged(ledger, range(3))
    found = compared(ledger, stored(0), stored(0), stored(2), stored(7), stored(1, kind="pairing"))
    assert (found.missing, found.duplicates, found.foreign) == (1, 1, 2)
    assert set(found.examples) == {"missing", "more than once", "never sent"}
    assert not judge.exactly_once(found).met


def test_sent_but_not_acknowledged_may_be_there_and_made_but_never_sent_may_not() -> None:
    ledger = new_ledger()
    unanswered, unsent = (ledger.add(BOOT, Kind.HEARTBEAT, seq, START) for seq in range(2))
    ledger.was_sent(unanswered, 1.0)
    assert compared(ledger).missing == 0
    assert compared(ledger, stored(0)).foreign == 0
    assert compared(ledger, stored(unsent)).foreign == 1


def test_gaps_in_the_numbers_do_not_matter() -> None:
    ledger = new_ledger()
    acknowledged(ledger, (9, 2, 5, 40))
    found = compared(ledger, *map(stored, (2, 5, 9, 40)), stored(6))
    assert (found.stored, found.missing, found.foreign) == (4, 0, 1)


def test_replies_are_known_by_their_command_and_others_are_nobodys() -> None:
    ledger = new_ledger()
    row = ledger.add(ReplyOf("K-1", "p-c"), Kind.REPLY, 0, START)
    ledger.was_sent(row, 1.0)
    ledger.was_acknowledged(row, 1.1)
    found = compared(ledger, stored(0, "reply", command="p-c"), stored(0, "reply", command="elsewhere"))
    assert (found.stored, found.missing, found.foreign) == (1, 0, 0)


def test_an_acknowledgement_of_a_repeat_counts_once() -> None:
    ledger = new_ledger()
    (row,) = acknowledged(ledger, [0])
    ledger.was_sent(row, 20.0)
    ledger.was_acknowledged(row, 21.0)
    ledger.was_refused(row)
    assert ledger.acknowledged[Kind.HEARTBEAT] == 1
    assert ledger.counts["resends"] == 1
    assert ledger.row(row).acked_s == 1.5
    assert ledger.row(row).status is Status.ACKNOWLEDGED


def test_an_endless_run_counts_and_keeps_nothing() -> None:
    ledger = Ledger(boot_prefix="p", started_at=START, record=False)
    row = ledger.add(BOOT, Kind.HEARTBEAT, 0, START)
    ledger.was_sent(row, 1.0)
    ledger.was_acknowledged(row, 1.0)
    assert (len(ledger), ledger.made[Kind.HEARTBEAT], ledger.counts["acks"]) == (0, 1, 1)


def test_times_looked_at_hold_late_messages_and_skewed_clocks() -> None:
    ledger = new_ledger()
    for days in (-40, -20, 400):
        ledger.add(BOOT, Kind.HEARTBEAT, days + 40, START + timedelta(days=days))
    first, last = time_range(ledger, START + timedelta(hours=1))
    assert first < START - timedelta(days=20) < first + timedelta(minutes=1)
    assert last > START + timedelta(hours=1)


def saved(path: Path, ledger: Ledger) -> ledger_file.Header:
    header = ledger_file.Header(
        started_at=START,
        stopped_s=9.0,
        drained=True,
        boot_prefix="p",
        topic_root="fleet/v1",
        scenario=scenario('[[faults]]\nkind = "silence"\nat_s = 3\nkits = ["K-000001"]'),
        expected=[Expected("K-1", "silent", 1, 1)],
    )
    ledger_file.write(path, header, ledger)
    return header


def test_a_ledger_survives_its_file(tmp_path: Path) -> None:
    ledger = new_ledger()
    acknowledged(ledger, range(3), Kind.SOFTWARE)
    ledger.was_sent(ledger.add(ReplyOf("K-1", "c"), Kind.REPLY, 0, START), 3.25)
    ledger.was_refused(ledger.add(BadOf("K-1", "t", "bad_topic"), None, 0, START))
    ledger.was_dropped(ledger.add(BOOT, Kind.PAIRING, 3, START))
    header = saved(tmp_path / "l", ledger)
    read, again = ledger_file.read(tmp_path / "l")
    assert read == header
    assert list(again.rows()) == list(ledger.rows())


@pytest.mark.parametrize("damage", [b"", b"{}\n", b'{"format":"x"}\n', b"\xff\xfe"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "l"
    path.write_bytes(damage)
    with pytest.raises(LedgerError, match=str(path)):
        ledger_file.read(path)
    saved(path, new_ledger())
    path.write_bytes(path.read_bytes() + b"{broken\n")
    with pytest.raises(LedgerError, match="line 2"):
        ledger_file.read(path)


def scenario(more: str = "") -> Scenario:
    return parse(
        "[fleet]\nkits = 2\nexpected_interval_s = 10\n[software]\nwanted = {app = '1'}\n[expect]\ndetect_s = 20\n"
        + more
    )


def told(at_s: float, version: str) -> Publish:
    return Publish(at_s, Kind.SOFTWARE, Software(START, "b", 0, {"app": version}))


@pytest.mark.parametrize(("gap_s", "at_least", "at_most"), [(20, 0, 0), (28, 0, 1), (45, 0, 1), (51, 1, 1), (90, 1, 1)])
def test_silence_is_expected_when_it_was_long_enough(gap_s: float, at_least: int, at_most: int) -> None:
    watch = Watch(scenario())
    watch.heard("K-000001", 10)
    watch.heard("K-000001", 10 + gap_s)
    expected = watch.expected(11 + gap_s)
    assert [(one.at_least, one.at_most) for one in expected] == ([(at_least, at_most)] if at_most else [])


def test_silence_at_the_end_and_recovery() -> None:
    watch = Watch(scenario())
    watch.heard("K-000001", 0)
    watch.heard("K-000002", 0)
    watch.heard("K-000002", 80)
    expected = {one.kit: one for one in watch.expected(105)}
    assert expected["K-000001"] == Expected("K-000001", "silent", 1, 1, 0)
    assert expected["K-000002"].cleared == 1


def test_drift_is_expected_while_the_wrong_version_is_told() -> None:
    watch = Watch(scenario())
    watch.told("K-000001", told(0, "1"))
    watch.told("K-000001", told(10, "2"))
    watch.told("K-000001", told(20, "2"))
    watch.told("K-000001", told(90, "1"))
    watch.told("K-000002", told(75, "2"))
    assert [(one.kit, one.at_least, one.at_most) for one in watch.expected(110)] == [
        ("K-000001", 1, 1),
        ("K-000002", 0, 1),
    ]


def alert(kit: str, rule: str = "silent", cleared: bool = False) -> Alert:
    return Alert(kit, rule, "cleared" if cleared else "active", START, START if cleared else None, None)


def request(kit: str | None, incident: int | None = None, state: str = "open") -> Request:
    return Request("R-1", kit, incident, "silent", state, START, None)


MUST = Expected("K-1", "silent", 1, 1, 1)


def test_alerts_must_be_there_and_no_others() -> None:
    expect = Expect()
    assert judge.alerts(expect, [MUST], [alert("K-1")]).met
    for wrong in (
        [],
        [alert("K-1"), alert("K-1")],
        [alert("K-1"), alert("K-2")],
        [alert("K-1"), alert("K-1", "other")],
    ):
        verdict = judge.alerts(expect, [MUST], wrong)
        assert not verdict.met
        assert "K-" in verdict.detail
    assert not judge.alerts(Expect(derive=False, alerts={"silent": 2}), [], [alert("K-1")]).met


def test_members_of_an_incident_open_no_requests() -> None:
    expect = Expect(incidents=1)
    incident = Incident(7, "silent", "open", START, None, 30)
    assert judge.requests(expect, [MUST], [request(None, 7)]).met
    assert judge.incidents(expect, [MUST], [incident], [request(None, 7)]).met
    assert not judge.requests(expect, [MUST], [request("K-1")]).met
    assert not judge.incidents(expect, [MUST], [], []).met
    nobody = Incident(7, "silent", "open", START, None, 0)
    assert not judge.incidents(expect, [MUST], [nobody], [request(None, 7)]).met
    assert not judge.incidents(expect, [MUST], [incident], [request(None, 7), request(None, 7)]).met
    assert not judge.incidents(Expect(), [], [incident], [request(None, 7)]).met
    named = Expect(incidents=1, cohorts=("operator=TDC NET",))
    assert not judge.incidents(named, [MUST], [incident], [request(None, 7)]).met
    of_operator = Incident(7, "silent", "open", START, None, 30, "operator=TDC NET")
    assert judge.incidents(named, [MUST], [of_operator], [request(None, 7)]).met


def test_what_is_suppressed_is_counted_on_its_own() -> None:
    expect = Expect(derive=False, alerts={"silent": 1}, suppressed={"silent": 1})
    assert not judge.alerts(expect, [], [alert("K-1")]).met
    assert judge.alerts(expect, [], [replace(alert("K-1"), suppressed_by="maintenance:1")]).met


def test_resolved_means_alerts_requests_and_incidents() -> None:
    done = Found(alerts=[alert("K-1", cleared=True)], requests=[request("K-1", state="resolved")])
    assert judge.resolved([MUST], done).met
    assert not judge.resolved([MUST], Found(alerts=[alert("K-1")])).met
    assert not judge.resolved([MUST], Found(alerts=done.alerts, requests=[request("K-1")])).met
    assert not judge.resolved([], Found(incidents=[Incident(7, "silent", "open", START, None, 30)])).met


def test_quarantine_holds_what_was_malformed_once_per_sending() -> None:
    ledger = new_ledger()
    row = ledger.add(BadOf("K-1", "t", "bad_topic"), None, 0, START)
    ledger.was_sent(row, 1)
    ledger.was_acknowledged(row, 1)
    ledger.was_sent(row, 2)
    taken, sent = malformed_counts(ledger)
    key = ("t", "bad_topic")
    for count, met in ((0, False), (1, True), (2, True), (3, False)):
        assert judge.quarantined(Expect(), taken, sent, {key: count}).met is met
    assert not judge.quarantined(Expect(), taken, sent, {key: 1, ("t", "nul_byte"): 1}).met
    assert not judge.quarantined(Expect(quarantined={"bad_topic": 2}), taken, sent, {key: 1}).met


def test_latency_limits() -> None:
    limits = Expect(p99_received_s=1, p99_commit_s=1)
    good = Latency(received_s=Spread.of([0.5]), commit_s=Spread.of([0.5]))
    assert all(one.met for one in judge.latency(limits, good))
    assert not any(one.met for one in judge.latency(limits, Latency(received_s=Spread.of([2.0]))))
    assert list(judge.latency(Expect(), Latency())) == []


def test_percentiles() -> None:
    spread = Spread.of(range(1, 101))
    assert (spread.count, spread.p50, spread.p99, spread.max) == (100, 51, 100, 100)
    assert Spread.of([]) == Spread()
