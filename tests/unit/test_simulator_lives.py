"""A simulated month: what is said fits what is true, and what is opened is judged by it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.bench.month import MonthResult, Opened, OpenedForMany, judged
from simulator.homes import CALM, DAY_S, HOUR_S
from simulator.lives import WANTED, Month, Outage, Said, month
from simulator.truth import Fault

BEGIN = datetime(2026, 9, 1, tzinfo=UTC)


def played(made: Month, days: float) -> list[Said]:
    return [said for life in made.lives for said in life.advance(days * DAY_S)]


def ts(said: Said) -> float:
    at = datetime.fromisoformat(json.loads(said.payload)["ts"])
    return (at - BEGIN).total_seconds()


def test_the_same_seed_makes_the_same_month() -> None:
    first, second = (played(month(20, 7, BEGIN, seed=3), 7) for _ in range(2))
    assert first == second
    assert first != played(month(20, 7, BEGIN, seed=4), 7)


def test_a_dead_kit_says_nothing_and_others_go_on() -> None:
    made = month(200, 20, BEGIN, noise=CALM)
    said: dict[str, list[Said]] = defaultdict(list)
    for each in played(made, 20):
        said[each.kit].append(each)
    dead = [fault for fault in made.faults if fault.cause == "silent"]
    assert len(dead) == 6
    for fault in dead:
        assert not [each for each in said[fault.kit] if fault.start_s <= each.received_s < fault.end_s]
    never = {fault.kit for fault in made.faults if fault.cause == "never_heard"}
    assert never
    assert {life.kit for life in made.lives if not said[life.kit]} <= never


def test_a_boot_counts_from_one_without_gaps_and_repeats_nothing() -> None:
    seen: dict[tuple[str, str], list[int]] = defaultdict(list)
    for said in played(month(50, 10, BEGIN), 10):
        body = json.loads(said.payload)
        seen[said.kit, body["boot"]].append(body["seq"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seen.values())


def test_what_could_not_be_said_is_said_afterwards_at_its_own_time() -> None:
    outage = Outage("3", 2 * DAY_S, 2 * DAY_S + 10 * HOUR_S)
    made = month(100, 7, BEGIN, noise=CALM, outages=(outage,))
    away = {life.kit for life in made.lives if life.operator == "3"}
    said = [each for each in played(made, 7) if each.kit in away]
    assert not [each for each in said if outage.start_s <= each.received_s < outage.end_s]
    late = [each for each in said if outage.start_s <= ts(each) < outage.end_s]
    assert late
    assert all(each.received_s >= outage.end_s for each in late)


def test_a_drifting_kit_says_so_until_it_is_repaired() -> None:
    made = month(300, 20, BEGIN, noise=CALM)
    of_kit = {fault.kit: fault for fault in made.faults if fault.cause == "version_drift"}
    assert of_kit
    for said in played(made, 20):
        if said.kind == "software":
            wrong = json.loads(said.payload)["components"] != WANTED
            fault = of_kit.get(said.kit)
            assert wrong == (fault is not None and fault.start_s <= said.received_s < fault.end_s)


def test_causes_have_their_shares() -> None:
    counted = Counter(fault.cause for fault in month(1000, 30, BEGIN).faults)
    assert counted["silent"] == 30
    assert sum(counted.values()) == 120


@pytest.fixture(scope="module")
def noisy() -> tuple[Month, list[Said]]:
    """Some weeks with all their noise, and what was said in them."""
    made = month(240, 20, BEGIN, seed=2)
    return made, played(made, 20)


@pytest.mark.parametrize(
    ("cause", "kind", "wrong"),
    [
        ("peripheral_battery_low", "pairing", lambda body: body["peripherals"][0]["battery"] < 15),
        ("update_failed", "update", lambda body: body["state"] == "failed"),
        ("pairing_lost", "pairing", lambda body: not body["peripherals"][0]["paired"]),
        ("storage_low", "heartbeat", lambda body: body["storage_free_mb"] < 500),
    ],
)
def test_only_a_kit_with_the_fault_tells_of_it(
    noisy: tuple[Month, list[Said]], cause: str, kind: str, wrong: Callable[[Any], bool]
) -> None:
    made, said = noisy
    telling = [each for each in said if each.kind == kind and wrong(json.loads(each.payload))]
    mine = {fault.kit for fault in made.faults if fault.cause == cause}
    assert {each.kit for each in telling} == mine != set()
    known = {life.kit: life.known_s for life in made.lives}
    for kit in mine:
        assert known[kit] == min(each.received_s for each in telling if each.kit == kit)


def test_a_tablet_that_starts_too_often_does_and_others_seldom(noisy: tuple[Month, list[Said]]) -> None:
    made, said = noisy
    runs: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for each in said:
        if each.kind == "software":
            runs[each.kit].add((json.loads(each.payload)["boot"], int(each.received_s // DAY_S)))
    busiest = {kit: max(Counter(day for _, day in found).values()) for kit, found in runs.items()}
    ill = {fault.kit for fault in made.faults if fault.cause == "restarts"}
    assert ill
    assert min(busiest[kit] for kit in ill) > 6
    assert sorted(most for kit, most in busiest.items() if kit not in ill)[len(busiest) // 2] < 5


FAULTS = [
    Fault("A", "silent", 100.0, 10_000.0),
    Fault("B", "tablet_battery_low", 100.0, 10_000.0),
]


def compared(opened: list[Opened], incidents: list[OpenedForMany] | None = None) -> MonthResult:
    return judged(
        FAULTS, opened, {"A": 150.0}, outages=[Outage("3", 500.0, 900.0)] if incidents is not None else [],
        incidents=incidents or [], kits=3, days=1, messages=0, took_s=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("opened", "precision", "recall"),
    [
        ([Opened("A", "silent", 200.0), Opened("B", "tablet_battery_low", 300.0)], 1.0, 1.0),
        ([Opened("A", "silent", 200.0), Opened("B", "not_charging", 300.0)], 0.5, 0.5),
        ([Opened("A", "silent", 50.0)], 0.0, 0.0),
        ([Opened("A", "version_drift", 200.0), Opened("B", "tablet_battery_low", 200.0)], 0.5, 0.5),
        ([Opened("A", "silent", 200.0), Opened("A", "silent", 400.0)], 0.5, 0.5),
        ([Opened("A", "never_heard", 200.0), Opened("B", "never_heard", 200.0)], 0.5, 0.5),
        ([Opened("C", "silent", 200.0), Opened("A", "silent", 20_000.0)], 0.0, 0.0),
    ],
)
def test_what_is_opened_is_judged_by_what_is_true(opened: list[Opened], precision: float, recall: float) -> None:
    result = compared(opened)
    assert (result.precision, result.recall) == (precision, recall)


BOTH = [Opened("A", "silent", 200.0), Opened("B", "tablet_battery_low", 300.0)]


@pytest.mark.parametrize(
    ("incidents", "precision", "recall"),
    [
        ([OpenedForMany("silent", "operator:3", 600.0)], 1.0, 1.0),
        ([], 1.0, 0.6667),
        ([OpenedForMany("silent", "operator:TDC NET", 600.0)], 0.6667, 0.6667),
        ([OpenedForMany("no_network", "operator:3", 600.0)], 0.6667, 0.6667),
        ([OpenedForMany("silent", "operator:3", 100.0)], 0.6667, 0.6667),
        ([OpenedForMany("silent", "operator:3", 600.0), OpenedForMany("silent", "operator:3", 700.0)], 0.75, 1.0),
    ],
)
def test_an_incident_for_nothing_is_a_wrong_request(
    incidents: list[OpenedForMany], precision: float, recall: float
) -> None:
    result = compared(BOTH, incidents)
    assert (result.precision, result.recall) == (precision, recall)


def test_how_late_a_fault_is_found_counts_from_when_it_could_be() -> None:
    result = compared([Opened("A", "silent", 160.0)])
    assert result.late_s == timedelta(seconds=10).total_seconds()
