"""History told again: what a rule would have done, with the judge and the step of the worker."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.alerts.judging.catalogue import CATALOGUE
from fleet.alerts.judging.facts import KitFacts
from fleet.alerts.judging.hearing import Hearing, silent_spans
from fleet.alerts.judging.parameters import Restarts, Storage
from fleet.alerts.judging.replay import Played, SpanStory, Told, ToldStory, play
from fleet.alerts.judging.spells import Spell
from fleet.alerts.quieting.flapping import Flap
from fleet.alerts.rules import RuleName

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
KIT = KitFacts(
    1,
    "installed",
    BEGIN,
    watch_interval_s=300,
    watch_allowance_s=900,
    watch_from_clock_s=BEGIN.timestamp(),
    wanted={"app": "2"},
)
NOTHING = dict.fromkeys(
    ("battery", "charging", "signal_dbm", "network", "storage_free_mb", "uptime_s", "clock_offset_s")
)


def after(**passed: float) -> datetime:
    """A moment of the story."""
    return BEGIN + timedelta(**passed)


def told(kind: str, at: datetime, body: Any, *, boot: str = "b", seq: int | None = None) -> Told:
    """A message that came at once."""
    seq = int((at - BEGIN).total_seconds()) if seq is None else seq
    return Told(kind, boot, seq, at, at, NOTHING | body if kind == "heartbeat" else body)


def spans(story: Any, rule: Any, until: datetime) -> list[tuple[Any, Any]]:
    """When alerts would have stood, in minutes of the story."""

    def minute(at: datetime | None) -> Any:
        return None if at is None else (at - BEGIN).total_seconds() / 60

    return [(minute(each.opened_at), minute(each.cleared_at)) for each in play(story, rule, until).episodes]


STORAGE = replace(CATALOGUE[RuleName.STORAGE_LOW].default, for_s=600, keep_firing_for_s=300)


def full(minutes: range, low: range) -> list[Told]:
    """A heartbeat a minute, with little storage in some."""
    return [told("heartbeat", after(minutes=m), {"storage_free_mb": 100 if m in low else 9_000}) for m in minutes]


def test_a_heartbeat_rule_opens_and_clears_as_the_worker_would() -> None:
    story = ToldStory(KIT, full(range(60), range(10, 40)))
    assert spans(story, STORAGE, after(hours=1)) == [(20, 45)]
    (episode,) = play(ToldStory(KIT, full(range(60), range(10, 40))), STORAGE, after(hours=1)).episodes
    assert (episode.severity, episode.resolution) == ("minor", "proof")


def test_other_parameters_open_otherwise() -> None:
    modest = replace(STORAGE, parameters=Storage(below_mb=50))
    assert spans(ToldStory(KIT, full(range(60), range(10, 40))), modest, after(hours=1)) == []
    assert spans(ToldStory(KIT, full(range(60), range(10, 40))), replace(STORAGE, enabled=False), after(hours=1)) == []
    patient = replace(STORAGE, for_s=1_740)
    assert spans(ToldStory(KIT, full(range(60), range(10, 40))), patient, after(hours=1)) == [(39, 45)]


def test_what_stands_at_the_end_is_not_cleared() -> None:
    assert spans(ToldStory(KIT, full(range(60), range(10, 60))), STORAGE, after(hours=1)) == [(20, None)]


def test_order_of_arrival_and_repeats_do_not_matter() -> None:
    messages = full(range(60), range(10, 40))
    late = [replace(each, received_at=after(minutes=59.5)) for each in messages[5:8]]
    again = [*messages, *messages[30:35], *late]
    assert spans(ToldStory(KIT, again), STORAGE, after(hours=1)) == [(20, 45)]


def test_a_kit_is_judged_only_while_it_is_in_use() -> None:
    states = [(BEGIN - timedelta(days=1), "installed"), (after(minutes=30), "paused")]
    story = ToldStory(replace(KIT, state="unknown"), full(range(60), range(10, 60)), states)
    assert spans(story, STORAGE, after(hours=1)) == [(20, 30)]


def test_a_report_rule_needs_nobody_to_report_again() -> None:
    drift = CATALOGUE[RuleName.VERSION_DRIFT].default
    messages = [told("software", after(minutes=1), {"app": "1"}), told("software", after(minutes=20), {"app": "2"})]
    assert spans(ToldStory(KIT, messages), drift, after(hours=1)) == [(1.5, 20.25)]


def test_starts_leave_the_window_by_themselves() -> None:
    rule = replace(
        CATALOGUE[RuleName.RESTARTS].default, keep_firing_for_s=60, parameters=Restarts(more_than=2, within_s=3_600)
    )
    messages = [told("software", after(minutes=m), {"app": "2"}, boot=f"b{m}") for m in (0, 10, 20)]
    assert spans(ToldStory(KIT, messages), rule, after(hours=3)) == [(20, None)], "nothing more was heard"
    alive = told("software", after(minutes=70), {"app": "2"}, boot="b20", seq=2)
    assert spans(ToldStory(KIT, [*messages, alive]), rule, after(hours=3)) == [(20, 71)]


def test_a_kit_that_was_never_heard() -> None:
    rule = CATALOGUE[RuleName.NEVER_HEARD].default
    (span,) = spans(ToldStory(KIT, [told("heartbeat", after(hours=2), {})]), rule, after(hours=3))
    assert span[0] == pytest.approx(15, abs=0.1)
    assert span[1] == 120.25


ALWAYS = [(BEGIN - timedelta(days=9), None)]


def silences(heard: list[float], outages: Any = (), used: Any = ALWAYS) -> list[tuple[Any, Any]]:
    """When a kit heard in these minutes, and then no more, was silent."""
    moments = [after(minutes=minute) for minute in heard]
    gaps = list(zip(moments, [*moments[1:], None], strict=True))
    return silent_spans(gaps, used, 900, 300, Hearing(outages))


def test_silence_is_told_by_gaps() -> None:
    found = silences([0, 5, 10, 60, 65])
    assert found == [(after(minutes=25), after(minutes=60)), (after(minutes=80), None)]
    rule = replace(CATALOGUE[RuleName.SILENT].default, keep_firing_for_s=60)
    assert spans(SpanStory(1, found), rule, after(minutes=90)) == [(25, 61), (80, None)]


def test_silence_counts_only_while_the_kit_is_in_use() -> None:
    used = [(after(minutes=50), after(minutes=80))]
    assert silences([0, 5], used=used) == [(after(minutes=65), after(minutes=80))]
    (episode,) = play(
        SpanStory(1, silences([0, 5], used=used), used), CATALOGUE[RuleName.SILENT].default, after(hours=2)
    ).episodes
    assert (episode.cleared_at, episode.resolution) == (after(minutes=80), "not_watched")


OUTAGE = [(after(minutes=15), after(minutes=55))]


def test_our_own_outage_is_no_silence_and_its_end_gives_one_more_interval() -> None:
    assert silences([0, 5, 10, 57, 60], OUTAGE) == [(after(minutes=75), None)]
    assert silences([10], OUTAGE) == [(after(minutes=65), None)], "five minutes before it and ten after it"
    assert silences([1], OUTAGE) == [(after(minutes=60), None)], "due a minute later, it has one more interval"


def test_what_was_silent_before_our_outage_stays_so() -> None:
    assert silences([-10], OUTAGE) == [(after(minutes=5), None)]


def test_nothing_opens_while_we_do_not_listen_nor_in_the_catch_up() -> None:
    messages = full(range(15), range(15)) + full(range(55, 90), range(55, 90))
    rule = replace(STORAGE, for_s=1_800)
    assert spans(ToldStory(KIT, messages, (), Hearing(OUTAGE)), rule, after(minutes=90)) == [
        (pytest.approx(61, abs=1.1), None)
    ]


def test_a_kit_that_could_not_be_heard_was_not_never_heard() -> None:
    rule = CATALOGUE[RuleName.NEVER_HEARD].default
    outage = [(BEGIN - timedelta(minutes=5), after(minutes=115))]
    story = ToldStory(KIT, [told("heartbeat", after(hours=2), {})], (), Hearing(outage))
    assert spans(story, rule, after(hours=3)) == []


def test_a_tablet_that_was_switched_off_has_not_said_so_all_along() -> None:
    """Off from 20 to 50, and told the same before and after: the long pause does not count."""
    rule = replace(STORAGE, for_s=1_500)
    on = [
        told("heartbeat", after(minutes=m), {"storage_free_mb": 100}, boot="a" if m < 20 else "b", seq=m)
        for m in (*range(10, 20), *range(50, 90))
    ]
    assert spans(ToldStory(KIT, on), rule, after(minutes=90)) == [(66, None)]
    steady = [replace(each, boot="a") for each in on]
    assert spans(ToldStory(KIT, steady), rule, after(minutes=90)) == [(50, None)]


def played(spells: list[Spell], low: range = range(10, 60), flap: Flap | None = None) -> Played:
    """An hour with little storage in some minutes, and what kept it quiet."""
    return play(ToldStory(KIT, full(range(60), low)), STORAGE, after(hours=1), spells, flap)


def test_what_maintenance_kept_quiet_says_so_and_is_heard_afterwards() -> None:
    (episode,) = played([Spell("maintenance:7", after(minutes=15), after(minutes=30))]).episodes
    assert (episode.opened_at, episode.suppressed_by) == (after(minutes=20), "maintenance:7")
    assert episode.heard_at == after(minutes=30)
    (gone,) = played([Spell("maintenance:7", after(minutes=15), after(minutes=50))], range(10, 40)).episodes
    assert (gone.cleared_at, gone.heard) == (after(minutes=45), False)


def test_maintenance_without_evaluation_withholds() -> None:
    found = played([Spell("maintenance:7", after(minutes=15), after(minutes=30), opens=False)])
    assert found.withheld == {"maintenance:7": 1}
    (episode,) = found.episodes
    assert (episode.opened_at, episode.suppressed_by) == (after(minutes=40), None), "it begins anew"
    assert played([Spell("maintenance:7", BEGIN, after(hours=2), opens=False)]).episodes == []


def test_a_shelf_holds_for_what_is_as_grave() -> None:
    shelf = Spell("shelved:2026-03-02T00:00:00Z", BEGIN, after(days=1), severity="minor")
    assert not played([shelf]).episodes[0].heard
    assert played([replace(shelf, severity="warning")]).episodes[0].suppressed_by is None


def test_what_somebody_said_comes_before_what_was_planned_and_a_mass_event_last() -> None:
    always = (BEGIN, after(days=1))
    shelf = Spell("shelved:2026-03-02T00:00:00Z", *always, severity="minor")
    spells = [Spell("incident:3", *always), Spell("maintenance:7", *always), shelf]
    assert played(spells).episodes[0].suppressed_by == shelf.by
    assert played(spells[:2]).episodes[0].suppressed_by == "maintenance:7"


def test_flapping_is_one_alert() -> None:
    low = [m for m in range(240) if m % 60 < 20]
    messages = [
        told("heartbeat", after(minutes=m), {"storage_free_mb": 100 if m in low else 9_000}) for m in range(240)
    ]
    plain = play(ToldStory(KIT, messages), STORAGE, after(hours=4)).episodes
    assert len(plain) == 4
    found = play(ToldStory(KIT, messages), STORAGE, after(hours=4), (), Flap(3, 86_400, 21_600)).episodes
    assert [each.flapping for each in found] == [False, False, True]
    assert found[-1].cleared_at is None
