"""What must hold of silence and mass events whatever comes: they only narrow, in any order, and storm never."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts import mass
from fleet.alerts.actions import ClearAlert, JoinIncident, LeaveIncident, OpenAlert, SetRecovering
from fleet.alerts.cohorts import FLEET, Cohort, CohortKind
from fleet.alerts.mass import DEFAULT, Group, OpenIncidentRow, Opening, Settings, Wave
from fleet.alerts.rules import Line, Outcome, Priority, Resolution, Rule, RuleName
from fleet.alerts.silence import Candidate, Member, Releasable, SilentAlert, judge_alert, judge_member, place, release

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SILENT = Rule(RuleName.SILENT, "major", Line.SUPPORT, Priority.HIGH, 0, 15, True)
CLOCK_S = 1e6

clocks = st.floats(0, 1e6)
cohorts = st.builds(Cohort, st.sampled_from([CohortKind.APP, CohortKind.OPERATOR]), st.sampled_from("abc"))
traits = st.frozensets(cohorts, max_size=4).map(lambda some: some | {FLEET})
groups = st.lists(st.builds(Group, traits, st.integers(0, 9), st.integers(0, 60), st.integers(0, 60)), max_size=12)
sizes = st.dictionaries(st.one_of(cohorts, st.just(FLEET)), st.integers(60, 3_000), max_size=7)
settings = st.builds(
    Settings, st.sampled_from([True, True, True, False]), st.integers(2, 50), st.sampled_from([0.01, 0.05, 0.5]),
    st.sampled_from([60.0, 300.0]),
)  # fmt: skip
waves = st.lists(st.builds(Wave, cohorts, st.integers(1, 999), clocks, st.booleans()), max_size=3)
incidents = st.lists(
    st.builds(
        OpenIncidentRow, st.integers(1, 9), st.just(RuleName.SILENT), cohorts, st.integers(1, 999), clocks,
        st.just(BEGIN), st.none(),
    ),
    max_size=3,
)  # fmt: skip
openings = st.lists(
    st.builds(Opening, st.integers(1, 10_000), clocks, traits), max_size=40, unique_by=lambda o: o.kit_id
)
candidates = st.lists(
    st.builds(
        lambda kit, heard, allowance, some: Candidate(
            kit, heard, allowance, heard + allowance, None, cohorts=[str(each) for each in some]
        ),
        st.integers(1, 10_000), clocks, st.floats(30, 1e6), traits,
    ),
    max_size=60,
    unique_by=lambda candidate: candidate.kit_id,
)  # fmt: skip


@given(openings, waves, incidents, settings, clocks)
def test_every_opening_has_one_place_and_their_order_does_not_matter(
    found: list[Opening], some: list[Wave], on: list[OpenIncidentRow], given_: Settings, clock_s: float
) -> None:
    placed = mass.place(found, some, on, given_, clock_s=clock_s)
    assert sorted([*placed.joins, *placed.waits, *placed.alone]) == sorted(o.kit_id for o in found)
    again = mass.place(found[::-1], some, on, given_, clock_s=clock_s)
    assert (again.joins, again.waits, set(again.alone)) == (placed.joins, placed.waits, set(placed.alone))


@given(openings, waves, incidents, clocks)
def test_kits_join_what_they_are_part_of_and_wait_no_longer_than_the_window(
    found: list[Opening], some: list[Wave], on: list[OpenIncidentRow], clock_s: float
) -> None:
    placed = mass.place(found, some, on, DEFAULT, clock_s=clock_s)
    since = {i.cohort: i.from_clock_s for i in on} | {w.cohort: w.from_clock_s for w in some if w.stands}
    for each in found:
        if each.kit_id in placed.joins:
            assert placed.joins[each.kit_id] in each.traits & since.keys()
        if each.kit_id in placed.waits:
            assert clock_s - each.began_s <= DEFAULT.window_s
        if not each.traits & ({i.cohort for i in on} | {w.cohort for w in some}):
            assert each.kit_id in placed.alone


@given(candidates, waves, incidents, clocks)
def test_suppression_only_narrows(
    found: list[Candidate], some: list[Wave], on: list[OpenIncidentRow], clock_s: float
) -> None:
    def opened(waves: list[Wave], incidents: list[OpenIncidentRow]) -> tuple[set[int], int, int]:
        actions, held = place(found, waves, incidents, DEFAULT, clock_s=clock_s, rule=SILENT)
        alone = {action.kit_id for action in actions if isinstance(action, OpenAlert)}
        return alone, sum(isinstance(action, JoinIncident) for action in actions), held

    calm, none, _ = opened([], [])
    assert (calm, none) == ({c.kit_id for c in found if clock_s - c.deadline_clock_s >= 0}, 0)
    narrowed, joined, held = opened(some, on)
    assert narrowed <= calm
    assert len(narrowed) + joined + held == len(found)


@given(groups, sizes, settings, incidents, st.randoms(use_true_random=False))
def test_waves_are_of_counted_cohorts_that_enough_fell_out_of_in_any_order(
    seen: list[Group], known: dict[Cohort, int], given_: Settings, on: list[OpenIncidentRow], chance: random.Random
) -> None:
    found = mass.find_waves(seen, known, given_, clock_s=CLOCK_S, incidents=on)
    assert len({wave.cohort for wave in found}) == len(found) <= mass.MOST_WAVES * 2
    for wave in found:
        out = sum(g.begun + g.coming for g in seen if wave.cohort in g.traits)
        begun = sum(g.begun for g in seen if wave.cohort in g.traits)
        assert (begun if wave.stands else out) > mass.threshold(known[wave.cohort], given_)
    shuffled = chance.sample(seen, len(seen))
    again = mass.find_waves(shuffled, known, given_, clock_s=CLOCK_S, incidents=on)
    assert set(map(repr, again)) == set(map(repr, found))


@given(groups, sizes, settings)
def test_what_a_wave_does_not_explain_is_no_mass_event(
    seen: list[Group], known: dict[Cohort, int], given_: Settings
) -> None:
    """Where kits of the present window open alerts of their own, those of a counted cohort are too few."""
    seen = [replace(group, half=0) for group in seen]
    found = mass.find_waves(seen, known, given_, clock_s=CLOCK_S)
    if not given_.enabled or len(found) >= mass.MOST_WAVES:
        return
    left = [g for g in seen if not any(wave.cohort in g.traits for wave in found)]
    for cohort, size in known.items():
        assert sum(g.begun for g in left if cohort in g.traits) <= mass.threshold(size, given_)


maybe_clocks = st.one_of(st.none(), clocks)
silent_alerts = st.builds(
    lambda since, heard, heard_now, allowance, allowance_now, silent: SilentAlert(
        1, 1, since, {"heard_clock_s": heard, "allowance_s": allowance}, heard_now, allowance_now, silent
    ),
    st.one_of(st.none(), st.datetimes(datetime(2026, 2, 1), datetime(2026, 3, 1), timezones=st.just(UTC))),  # noqa: DTZ001
    clocks,
    maybe_clocks,
    clocks,
    maybe_clocks,
    st.booleans(),
)


@given(silent_alerts, st.booleans())
def test_silence_clears_by_proof_only_when_heard_again(alert: SilentAlert, enabled: bool) -> None:
    actions = judge_alert(alert, replace(SILENT, enabled=enabled), BEGIN)
    assert len(actions) <= 1
    for action in actions:
        if isinstance(action, ClearAlert) and action.resolution is Resolution.PROOF:
            assert alert.heard_clock_s is not None
            assert alert.heard_clock_s > alert.evidence["heard_clock_s"]
            assert not alert.silent
            assert alert.recovering_since is not None
            assert (BEGIN - alert.recovering_since).total_seconds() >= SILENT.keep_firing_for_s


@given(silent_alerts)
def test_members_return_exactly_when_alerts_would_begin_to_recover(alert: SilentAlert) -> None:
    evidence = alert.evidence
    member = Member(
        1, 1, evidence["heard_clock_s"], evidence["allowance_s"], alert.heard_clock_s, alert.allowance_s, alert.silent
    )
    returns = judge_member(member, SILENT) == [LeaveIncident(1, 1, Outcome.RETURNED)]
    recovers = judge_alert(replace(alert, recovering_since=None), SILENT, BEGIN) == [SetRecovering(1, BEGIN)]
    assert returns == recovers


@given(st.integers(0, 40_000), st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_releases_are_even_and_bounded(members: int, pauses_s: list[int]) -> None:
    members = min(members, 3_000)
    waiting = [Releasable(kit, 0.0, 30.0, 30.0, None, 1, 0.0, interval_s=60.0) for kit in range(members)]
    rate = max(mass.LEAST_RELEASED_PER_MINUTE, members // mass.RELEASED_WITHIN_MINUTES)
    released_at: list[float] = []
    at = 100.0
    for pause_s in pauses_s:
        at += pause_s
        budget = mass.release_budget(members, sum(at - moment < 60 for moment in released_at))
        gone = {action.kit_id for action in release(waiting, budget, at, SILENT) if isinstance(action, OpenAlert)}
        waiting = [member for member in waiting if member.kit_id not in gone]
        released_at += [at] * len(gone)
        assert sum(at - moment < 60 for moment in released_at) <= rate <= mass.MOST_RELEASED_PER_MINUTE


@given(st.integers(0, 10**7), st.integers(0, 10**4))
def test_the_rate_grows_with_the_number_and_never_storms(left: int, lately: int) -> None:
    assert 0 <= mass.release_budget(left, lately) <= mass.MOST_RELEASED_PER_MINUTE
    assert mass.release_budget(left, 0) <= mass.release_budget(left + 1000, 0)
    assert mass.release_budget(left, 0) >= mass.LEAST_RELEASED_PER_MINUTE
