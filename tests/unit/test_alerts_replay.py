"""History told again: what a rule would have done, with the judge and the step of the worker."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.alerts.judging.catalogue import CATALOGUE
from fleet.alerts.judging.facts import KitFacts
from fleet.alerts.judging.parameters import Restarts, Storage
from fleet.alerts.judging.replay import SpanStory, Told, ToldStory, play, silent_spans
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

    return [(minute(each.opened_at), minute(each.cleared_at)) for each in play(story, rule, until)]


STORAGE = replace(CATALOGUE[RuleName.STORAGE_LOW].default, for_s=600, keep_firing_for_s=300)


def full(minutes: range, low: range) -> list[Told]:
    """A heartbeat a minute, with little storage in some."""
    return [told("heartbeat", after(minutes=m), {"storage_free_mb": 100 if m in low else 9_000}) for m in minutes]


def test_a_heartbeat_rule_opens_and_clears_as_the_worker_would() -> None:
    story = ToldStory(KIT, full(range(60), range(10, 40)))
    assert spans(story, STORAGE, after(hours=1)) == [(20, 45)]
    (episode,) = play(ToldStory(KIT, full(range(60), range(10, 40))), STORAGE, after(hours=1))
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
    assert spans(ToldStory(KIT, messages), rule, after(hours=3)) == [(20, 61)]


def test_a_kit_that_was_never_heard() -> None:
    rule = CATALOGUE[RuleName.NEVER_HEARD].default
    (span,) = spans(ToldStory(KIT, [told("heartbeat", after(hours=2), {})]), rule, after(hours=3))
    assert span[0] == pytest.approx(15, abs=0.1)
    assert span[1] == 120.25


def test_silence_is_told_by_gaps() -> None:
    heard = [after(minutes=m) for m in (0, 5, 10, 60, 65)]
    found = silent_spans(heard, 900, after(minutes=90))
    assert found == [(after(minutes=25), after(minutes=60)), (after(minutes=80), None)]
    rule = replace(CATALOGUE[RuleName.SILENT].default, keep_firing_for_s=60)
    assert spans(SpanStory(1, found), rule, after(minutes=90)) == [(25, 61), (80, None)]
