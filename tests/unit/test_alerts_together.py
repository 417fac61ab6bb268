"""Whether what a trial opened for many would have been one mass event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import perf_counter

from fleet.alerts.cohorts import FLEET, Cohort, cohort_of
from fleet.alerts.judging.replay import Episode
from fleet.alerts.judging.together import Opened, gather
from fleet.alerts.mass import Settings

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = Settings(least=20, share=0.05, window_s=300)
APP = cohort_of("app:3.2")
SIZES = {FLEET: 10_000, APP: 400}


def opened(
    minute: float, *cohorts: Cohort, lasts: float | None = 600, by: str | None = None, window_s: float = 300
) -> Opened:
    """A kit that came to an alert at that minute and left it again."""
    at = BEGIN + timedelta(minutes=minute)
    cleared_at = None if lasts is None else at + timedelta(minutes=lasts)
    episode = Episode(at, "minor", {}, cleared_at=cleared_at, suppressed_by=by)
    return Opened(frozenset({FLEET, *cohorts}), window_s, episode)


def heard(some: list[Opened]) -> int:
    """How many somebody would have been told of."""
    return sum(each.episode.heard for each in some)


def test_few_are_no_mass_event() -> None:
    some = [opened(n / 10, APP) for n in range(20)]
    assert gather(some, SIZES, SETTINGS, 1).incidents == 0
    assert heard(some) == 20


def test_many_of_a_cohort_are_one_and_say_which() -> None:
    some = [opened(n / 20, APP) for n in range(60)]
    others = [opened(n * 7) for n in range(5)]
    assert gather([*some, *others], SIZES, SETTINGS, 1).incidents == 1
    assert {each.episode.suppressed_by for each in some} == {"incident:app:3.2"}
    assert heard(others) == 5


def test_many_spread_over_a_month_are_cases_of_their_own() -> None:
    some = [opened(n * 60, APP) for n in range(200)]
    assert gather(some, SIZES, SETTINGS, 1).incidents == 0
    assert heard(some) == 200


def test_who_follows_while_it_is_on_belongs_to_it_and_who_comes_later_does_not() -> None:
    some = [opened(n / 20, APP, lasts=60) for n in range(60)]
    late, after = opened(30, APP), opened(300, APP)
    assert gather([*some, late, after], SIZES, SETTINGS, 1).incidents == 1
    assert late.episode.suppressed_by == "incident:app:3.2"
    assert after.episode.suppressed_by is None


def test_who_stays_broken_is_heard_when_it_is_over() -> None:
    some = [opened(n / 20, APP, lasts=60) for n in range(60)]
    stuck = opened(1, APP, lasts=None)
    reminder = opened(200)
    gather([*some, stuck, reminder], SIZES, SETTINGS, 1)
    assert stuck.episode.heard_at is not None
    assert heard(some) == 0


def test_what_is_suppressed_already_counts_for_none() -> None:
    some = [opened(n / 20, APP, by="maintenance:3") for n in range(60)]
    assert gather(some, SIZES, SETTINGS, 1).incidents == 0


def test_a_sample_speaks_for_the_fleet_only_when_enough_were_looked_at() -> None:
    sizes = {FLEET: 1_000_000, APP: 4_000}
    assert gather([opened(n / 20, APP) for n in range(4)], sizes, SETTINGS, 1_000).incidents == 0
    assert gather([opened(n / 20) for n in range(80)], sizes, SETTINGS, 1_000).incidents == 1


def test_kits_heard_seldom_have_a_longer_window() -> None:
    some = [opened(n * 2, APP, window_s=14_400) for n in range(60)]
    assert gather(some, SIZES, SETTINGS, 1).incidents == 1
    assert gather([opened(n * 2, APP) for n in range(60)], SIZES, SETTINGS, 1).incidents == 0


def test_it_ends_at_its_deadline_with_what_it_has() -> None:
    some = [opened(n / 20, APP) for n in range(60)]
    gathered = gather(some, SIZES, SETTINGS, 1, deadline_s=0.0)
    assert (gathered.incidents, gathered.complete) == (0, False)
    assert gather(some, SIZES, SETTINGS, 1).complete


def test_a_long_event_of_many_is_gathered_in_seconds() -> None:
    """Each kit that falls out must not cost a look at all that did before."""
    some = [opened(n / 2, APP, lasts=90_000) for n in range(60_000)]
    began_s = perf_counter()
    assert gather([*(opened(n / 20, APP, lasts=None) for n in range(60)), *some], SIZES, SETTINGS, 1).incidents == 1
    assert perf_counter() - began_s < 20
