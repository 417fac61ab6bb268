"""Mass events as tables: who fell out, and which cohort explains it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from fleet.alerts import mass
from fleet.alerts.actions import Action, ClearIncident, SettleIncident
from fleet.alerts.cohorts import FLEET, Cohort, cohort_of
from fleet.alerts.mass import DEFAULT, Group, Mode, OpenIncidentRow, Opening, Settings, Wave
from fleet.alerts.rules import Line, Priority, Rule, RuleName

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULE = Rule(RuleName.SILENT, "major", Line.SUPPORT, Priority.HIGH, 0, 15, True)
CLOCK_S = 10_000.0


def ago(seconds: float) -> datetime:
    """A moment before now."""
    return NOW - timedelta(seconds=seconds)


def out(text: str, begun: float, coming: float = 0, half: int = 0) -> Group:
    """Kits of the fleet that have the cohorts in `text` in common."""
    return Group(frozenset(cohort_of(each) for each in ("fleet:", *text.split())), half, begun, coming)


SIZES = {
    "fleet:": 12_000, "operator:TDC": 3_600, "operator:3": 2_400, "organisation:aalborg": 250, "region:nord": 1_400,
    "app:4.2": 11_800, "app:4.3": 200, "os:14": 12_000, "campaign:c7": 200,
}  # fmt: skip

EXPLAINED: list[tuple[str, list[Group], dict[str, bool]]] = [
    ("nothing", [], {}),
    ("too few of the fleet", [out("", 600)], {}),
    ("the fleet", [out("operator:TDC", 300), out("operator:3", 200), out("", 500)], {"fleet:": True}),
    ("an operator", [out("operator:TDC", 900), out("operator:3", 12), out("", 10)], {"operator:TDC": True}),
    (
        "an operator, and not each of the municipalities its kits are in",
        [out("operator:TDC organisation:aalborg region:nord", 75), out("operator:TDC", 1_000)],
        {"operator:TDC": True},
    ),
    ("a municipality", [out("organisation:aalborg region:nord", 200), out("", 20)], {"organisation:aalborg": True}),
    (
        "a region, though one of its municipalities is out as well",
        [out("organisation:aalborg region:nord", 240), out("region:nord", 1_000)],
        {"region:nord": True},
    ),
    (
        "two at once",
        [
            out("operator:TDC", 2_400), out("operator:TDC organisation:aalborg region:nord", 60),
            out("operator:3 organisation:aalborg region:nord", 180), out("", 30),
        ],
        {"operator:TDC": True, "organisation:aalborg": True},
    ),
    ("what everybody has in common says nothing", [out("app:4.2 os:14", 1_000)], {"fleet:": True}),
    ("a campaign rather than the version it brought", [out("app:4.3 campaign:c7", 150)], {"campaign:c7": True}),
    ("a version that a few others have nearly alike", [out("app:4.3 os:14", 100)], {"app:4.3": True}),
    ("a wave that builds", [out("operator:TDC", 20, 2_000)], {"operator:TDC": False}),
    ("few of a wave too large for what began to be its municipality's",
     [out("operator:TDC organisation:aalborg region:nord", 30, 40), out("operator:TDC", 20, 2_000)],
     {"operator:TDC": False}),
    ("a wave that builds beside one that stands",
     [out("operator:TDC", 20, 2_000), out("organisation:aalborg region:nord", 150)],
     {"operator:TDC": False, "organisation:aalborg": True}),
    ("a cohort that nobody counted", [out("operator:unknown", 300)], {}),
    ("kits that nobody saw fall out long ago", [out("operator:TDC", 600, half=20)], {"operator:TDC": True}),
    ("the same spread over two windows", [out("operator:TDC", 100, half=20), out("operator:TDC", 100, half=21)],
     {"operator:TDC": True}),
    ("the same spread over hours", [out("operator:TDC", 100, half=2 * n) for n in range(1, 9)], {}),
]  # fmt: skip


def known(sizes: Mapping[str, int] = SIZES) -> dict[Cohort, int]:
    """Counted cohorts."""
    return {cohort_of(text): size for text, size in sizes.items()}


@pytest.mark.parametrize(("seen", "expected"), [case[1:] for case in EXPLAINED], ids=[case[0] for case in EXPLAINED])
def test_what_explains_it(seen: list[Group], expected: dict[str, bool]) -> None:
    found = mass.find_waves(seen, known(), DEFAULT, clock_s=CLOCK_S)
    assert {str(wave.cohort): wave.stands for wave in found} == expected
    assert all(wave.size == SIZES[str(wave.cohort)] for wave in found)


def incident(cohort: str, *, size: int = 3_600, from_clock_s: float = CLOCK_S - 300) -> OpenIncidentRow:
    """An open incident."""
    return OpenIncidentRow(5, RuleName.SILENT, cohort_of(cohort), size, from_clock_s, NOW, None)


def test_what_an_open_incident_explains_is_no_second_one() -> None:
    seen = [out("operator:TDC", 3_000), out("organisation:aalborg region:nord", 150)]
    found = mass.find_waves(seen, known(), DEFAULT, clock_s=CLOCK_S, incidents=[incident("operator:TDC")])
    assert [str(wave.cohort) for wave in found] == ["organisation:aalborg"]


def test_a_wave_of_before_an_open_incident_is_one_of_its_own() -> None:
    on = [incident("operator:TDC")]
    (wave,) = mass.find_waves([out("operator:TDC", 600, half=20)], known(), DEFAULT, clock_s=CLOCK_S, incidents=on)
    assert wave.from_clock_s == CLOCK_S - 21 * 150


@pytest.mark.parametrize(
    ("size", "least"),
    [(0, 21), (20, 21), (100, 21), (400, 21), (401, 21), (420, 22), (1000, 51), (25_000, 1251), (1_000_000, 50_001)],
)
def test_threshold(size: int, least: int) -> None:
    for number, expected in ((least, {True}), (least - 1, set())):
        found = mass.find_waves([out("", number)], {FLEET: size}, DEFAULT, clock_s=CLOCK_S)
        assert {wave.stands for wave in found} == expected


def test_the_settings_say_when() -> None:
    seen = [out("", 90)]
    assert mass.find_waves(seen, {FLEET: 100}, Settings(least=89, share=0.5), clock_s=CLOCK_S)
    assert not mass.find_waves(seen, {FLEET: 100}, Settings(least=90, share=0.5), clock_s=CLOCK_S)
    assert not mass.find_waves(seen, {FLEET: 100}, Settings(least=5, share=0.9), clock_s=CLOCK_S)
    assert not mass.find_waves(seen, {FLEET: 100}, Settings(enabled=False), clock_s=CLOCK_S)


def test_what_is_not_counted_yet_makes_its_kits_wait() -> None:
    seen = [out("operator:unknown", 30), out("operator:TDC", 20)]
    assert mass.unknown(seen, known(), DEFAULT)
    assert not mass.unknown(seen[1:], known(), DEFAULT)
    (wave,) = mass.uncounted(seen, known(), DEFAULT, clock_s=CLOCK_S)
    assert (str(wave.cohort), wave.stands) == ("operator:unknown", False)


def opening(kit: int, cohorts: str, began_s: float = CLOCK_S - 10) -> Opening:
    """A kit that would open an alert."""
    return Opening(kit, began_s, out(cohorts, 1).traits)


def test_where_openings_belong() -> None:
    waves = [
        Wave(cohort_of("operator:TDC"), 3_600, CLOCK_S - 300, stands=True),
        Wave(cohort_of("region:nord"), 1_400, CLOCK_S - 300, stands=False),
    ]
    found = [
        opening(1, "operator:TDC region:nord"), opening(2, "operator:3 region:nord"), opening(3, "operator:3"),
        opening(4, "operator:TDC", CLOCK_S - 301), opening(5, "region:nord", CLOCK_S - 301),
    ]  # fmt: skip
    placed = mass.place(found, waves, [], DEFAULT, clock_s=CLOCK_S)
    assert placed.joins == {1: cohort_of("operator:TDC")}
    assert placed.waits == {2}
    assert placed.alone == [3, 4, 5]


@pytest.mark.parametrize(
    ("interval_s", "window_s"),
    [(60, 300), (1_200, 300), (8 * 3600, 7200), (86_400, 14_400), (7 * 86_400, 14_400)],
)
def test_a_window_is_as_long_as_kits_take_to_be_told_out(interval_s: float, window_s: float) -> None:
    assert mass.window_s(interval_s) == window_s
    assert mass.window_s(interval_s, Settings(window_s=14_400)) == 14_400


def slow(begun: float, coming: float = 0, half: int = 0, window_s: float = 3600) -> Group:
    """Kits of one operator that are heard every few hours."""
    return Group(out("operator:TDC", 1).traits, half, begun, coming, window_s)


def test_kits_with_long_intervals_fall_out_together_over_a_longer_window() -> None:
    (wave,) = mass.find_waves([slow(100), slow(100, half=1)], known(), DEFAULT, clock_s=CLOCK_S)
    assert wave == Wave(cohort_of("operator:TDC"), 3_600, CLOCK_S - 3600, stands=True)
    (builds,) = mass.find_waves([slow(30, 800)], known(), DEFAULT, clock_s=CLOCK_S)
    assert not builds.stands


def test_kits_of_all_intervals_are_one_event_that_reaches_as_far_back_as_the_slowest() -> None:
    seen = [slow(100, half=1), out("operator:TDC", 100), out("operator:TDC", 2, half=3)]
    (wave,) = mass.find_waves(seen, known(), DEFAULT, clock_s=CLOCK_S)
    assert wave == Wave(cohort_of("operator:TDC"), 3_600, CLOCK_S - 3600, stands=True)
    (quick,) = mass.find_waves([out("operator:TDC", 200)], known(), DEFAULT, clock_s=CLOCK_S)
    assert quick.from_clock_s == CLOCK_S - 300


def test_what_an_open_incident_of_slow_kits_explains_is_no_second_one() -> None:
    on = incident("operator:TDC", from_clock_s=CLOCK_S - 3600)
    assert mass.find_waves([slow(500, half=1)], known(), DEFAULT, clock_s=CLOCK_S, incidents=[on]) == []
    before = mass.find_waves([slow(500, half=4)], known(), DEFAULT, clock_s=CLOCK_S, incidents=[on])
    assert [wave.from_clock_s for wave in before] == [CLOCK_S - 5 * 1800]


def test_a_kit_waits_for_a_wave_no_longer_than_its_own_window() -> None:
    builds = [Wave(cohort_of("operator:TDC"), 3_600, CLOCK_S - 3600, stands=False)]
    traits = out("operator:TDC", 1).traits
    found = [
        Opening(1, CLOCK_S - 3000, traits, 3600),
        Opening(2, CLOCK_S - 3700, traits, 3600),
        Opening(3, CLOCK_S - 200, traits),
        Opening(4, CLOCK_S - 400, traits),
    ]
    placed = mass.place(found, builds, [], DEFAULT, clock_s=CLOCK_S)
    assert (placed.waits, placed.alone, placed.joins) == ({1, 3}, [2, 4], {})


def test_a_kit_that_waited_for_the_wave_that_stands_now_belongs_to_it() -> None:
    stands = [Wave(cohort_of("operator:TDC"), 3_600, CLOCK_S - 3600, stands=True)]
    traits = out("operator:TDC", 1).traits
    found = [Opening(1, CLOCK_S - 7000, traits, 7200), Opening(2, CLOCK_S - 7300, traits, 7200)]
    placed = mass.place(found, stands, [], DEFAULT, clock_s=CLOCK_S)
    assert (placed.joins, placed.alone) == ({1: cohort_of("operator:TDC")}, [2])
    before = mass.place(found, [], [incident("operator:TDC", from_clock_s=CLOCK_S - 3600)], DEFAULT, clock_s=CLOCK_S)
    assert before.alone == [1, 2]


@pytest.mark.parametrize(
    ("interval_s", "wait_s"), [(60, 300), (3600, 900), (4 * 3600, 7200), (12 * 3600, 21_600), (7 * 86_400, 28_800)]
)
def test_kits_of_long_intervals_may_wait_longer(interval_s: float, wait_s: float) -> None:
    assert mass.wait_s(interval_s) == wait_s


def test_kits_join_the_narrowest_open_incident() -> None:
    on = [
        incident("fleet:", size=12_000),
        incident("organisation:aalborg", size=250),
        incident("region:nord", size=1_400),
    ]
    found = [opening(1, "organisation:aalborg region:nord"), opening(2, "region:nord"), opening(3, "operator:3")]
    placed = mass.place(found, [], on, DEFAULT, clock_s=CLOCK_S)
    assert {kit: str(cohort) for kit, cohort in placed.joins.items()} == {
        1: "organisation:aalborg", 2: "region:nord", 3: "fleet:",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("stands", "open_", "expected"),
    [((), 0, Mode.CALM), ((False,), 0, Mode.BUILDING), ((False,), 1, Mode.ONGOING), ((), 1, Mode.ONGOING),
     ((True, False), 0, Mode.MASS), ((True,), 1, Mode.MASS)],
)  # fmt: skip
def test_mode(stands: tuple[bool, ...], open_: int, expected: Mode) -> None:
    waves = [Wave(FLEET, 100, 0.0, each) for each in stands]
    assert mass.mode(waves, [incident("fleet:")] * open_) is expected


SETTLING: list[tuple[str, int, datetime | None, list[Action]]] = [
    ("too many", 21, None, []),
    ("too many again", 21, ago(10), [SettleIncident(5, None)]),
    ("few enough", 20, None, [SettleIncident(5, NOW)]),
    ("few enough for a while", 20, ago(14), []),
    ("few enough for long", 20, ago(15), [ClearIncident(5, 900.0)]),
    ("none for long", 0, ago(99), [ClearIncident(5, 900.0)]),
]


@pytest.mark.parametrize(
    ("still", "since", "expected"), [case[1:] for case in SETTLING], ids=[case[0] for case in SETTLING]
)
def test_settling(still: int, since: datetime | None, expected: list[Action]) -> None:
    on = OpenIncidentRow(5, RuleName.SILENT, FLEET, 100, 0.0, ago(60), since)
    assert mass.settle(on, still=still, settings=DEFAULT, rule=RULE, clock_s=900.0, now=NOW) == expected


@pytest.mark.parametrize(
    ("left", "lately", "budget"),
    [(0, 0, 20), (45, 5, 15), (45, 20, 0), (45, 40, 0), (1_200, 0, 20), (27_000, 0, 450), (50_000, 100, 500)],
)
def test_release_is_over_in_about_an_hour(left: int, lately: int, budget: int) -> None:
    assert mass.release_budget(left, lately) == budget
