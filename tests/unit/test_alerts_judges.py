"""Every judge as a table: a kit that is well, what is changed of it, and whether its rule holds then."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet.alerts.actions import Action, ClearAlert, HoldPending, OpenAlert, SetRecovering
from fleet.alerts.evaluate import evaluate, wake
from fleet.alerts.judging.catalogue import CATALOGUE, JUDGED, RULE_OF, SCANNED, Source
from fleet.alerts.judging.facts import Clock, KitFacts, Standing
from fleet.alerts.judging.parameters import PairingLost, checked, plain
from fleet.alerts.judging.texts import TEXTS
from fleet.alerts.rules import Resolution, RuleName
from fleet.errors import InvalidError
from fleet.state.findings.kinds import Kind

NOW = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
INSTALLED = NOW - timedelta(days=60)
CLOCK = Clock(100_000.0, 0.0, 0.0, hears=True)
R = RuleName


def at(**back: float) -> datetime:
    """A moment so long before now."""
    return NOW - timedelta(**back)


def peripheral(**changes: Any) -> dict[str, Any]:
    """A scale that was reached yesterday."""
    told = {"serial": "S-1", "kind": "scale", "model": "W", "paired": True, "last_contact": at(days=1).isoformat()}
    return told | {"battery": 80} | changes


WELL = KitFacts(
    1,
    "installed",
    INSTALLED,
    wanted={"app": "2"},
    watch_interval_s=300,
    watch_allowance_s=900,
    watch_from_clock_s=10_000,
    heard_clock_s=99_900,
    last_heard_at=at(seconds=100),
    time=at(seconds=100),
    received_at=at(seconds=99),
    battery=80,
    charging=True,
    signal_dbm=-80,
    network="4g",
    storage_free_mb=8_000,
    boot="b",
    software={"app": "2"},
    peripherals=[peripheral()],
    update={"campaign": "c", "state": "succeeded"},
    boots=(at(days=2), at(days=1)),
)


def used(days: int) -> dict[str, Any]:
    """The tablet was in use on each of so many days, and today; the scale was reached before."""
    seen = frozenset(NOW.date() - timedelta(days=back) for back in range(days))
    return {"used_days": seen, "peripherals": [peripheral(last_contact=at(days=days).isoformat())]}


HOLDS: list[tuple[RuleName, dict[str, Any], bool]] = [
    (R.NEVER_HEARD, {"heard_clock_s": None}, True),
    (R.NEVER_HEARD, {"heard_clock_s": None, "watch_from_clock_s": 99_000}, True),
    (R.NEVER_HEARD, {"heard_clock_s": None, "watch_from_clock_s": 99_200}, False),
    (R.NEVER_HEARD, {"heard_clock_s": None, "watch_from_clock_s": None}, False),
    (R.VERSION_DRIFT, {"software": {"app": "1"}}, True),
    (R.VERSION_DRIFT, {"software": None}, False),
    (R.PAIRING_LOST, {"peripherals": [peripheral(paired=False)]}, True),
    (R.PAIRING_LOST, used(14), True),
    (R.PAIRING_LOST, used(13), False),
    (R.PAIRING_LOST, used(40) | {"used_days": frozenset({NOW.date()})}, False),
    (R.PAIRING_LOST, used(40) | {"used_days": None}, False),
    (R.PAIRING_LOST, {"peripherals": []}, False),
    (R.PERIPHERAL_BATTERY_LOW, {"peripherals": [peripheral(battery=14)]}, True),
    (R.PERIPHERAL_BATTERY_LOW, {"peripherals": [peripheral(battery=15)]}, False),
    (R.PERIPHERAL_BATTERY_LOW, {"peripherals": [peripheral(battery=None)]}, False),
    (R.PERIPHERAL_BATTERY_LOW, {"peripherals": [peripheral(battery=1, paired=False)]}, False),
    (R.UPDATE_FAILED, {"update": {"campaign": "c", "state": "failed", "error": "disk"}}, True),
    (R.UPDATE_FAILED, {"update": {"campaign": "c", "state": "rejected"}}, True),
    (R.UPDATE_FAILED, {"update": {"campaign": "c", "state": "installing"}}, False),
    (R.UPDATE_FAILED, {"update": None}, False),
    (R.RESTARTS, {"boots": tuple(at(hours=hour) for hour in range(7))}, True),
    (R.RESTARTS, {"boots": tuple(at(hours=hour) for hour in range(6))}, False),
    (R.RESTARTS, {"boots": tuple(at(hours=25 + hour) for hour in range(20))}, False),
    (R.TABLET_BATTERY_LOW, {"battery": 14.9, "charging": False}, True),
    (R.TABLET_BATTERY_LOW, {"battery": 14.9, "charging": None}, True),
    (R.TABLET_BATTERY_LOW, {"battery": 14.9, "charging": True}, False),
    (R.TABLET_BATTERY_LOW, {"battery": None, "charging": False}, False),
    (R.NOT_CHARGING, {"battery": 39, "charging": False}, True),
    (R.NOT_CHARGING, {"battery": 39, "charging": None}, False),
    (R.NOT_CHARGING, {"battery": 41, "charging": False}, False),
    (R.STORAGE_LOW, {"storage_free_mb": 499}, True),
    (R.STORAGE_LOW, {"storage_free_mb": 500}, False),
    (R.STORAGE_LOW, {"storage_free_mb": None}, False),
    (R.NO_NETWORK, {"network": "none"}, True),
    (R.NO_NETWORK, {"signal_dbm": -111}, True),
    (R.NO_NETWORK, {"signal_dbm": -111, "network": "wifi"}, False),
    (R.NO_NETWORK, {"time": at(hours=2)}, True),
    (R.NO_NETWORK, {"time": None}, False),
    (R.CLOCK_SKEW, {"clock_offset_s": 120.0}, True),
    (R.CLOCK_SKEW, {"clock_offset_s": -4e6}, True),
    (R.CLOCK_SKEW, {"clock_offset_s": None}, False),
]


def holding(facts: KitFacts) -> set[RuleName]:
    """Rules whose condition holds."""
    found = {
        name: about.judge(facts, about.default.parameters, CLOCK, NOW)
        for name, about in JUDGED
        if about.judge is not None
    }
    return {name for name, condition in found.items() if condition is not None and not condition.untold}


def test_nothing_holds_of_a_kit_that_is_well() -> None:
    assert holding(WELL) == set()


@pytest.mark.parametrize(("rule", "changes", "holds"), HOLDS, ids=[f"{rule}-{i}" for i, (rule, *_) in enumerate(HOLDS)])
def test_what_holds(rule: RuleName, changes: dict[str, Any], holds: bool) -> None:
    assert (rule in holding(replace(WELL, **changes))) is holds


RESUMED = replace(CLOCK, clock_s=100_000, resumed_clock_s=99_950)
"""We listen again since a moment ago: what reached us until then may have waited."""


@pytest.mark.parametrize(
    ("rule", "changes", "told"),
    [
        (R.CLOCK_SKEW, {"clock_offset_s": None}, "untold"),
        (R.CLOCK_SKEW, {"clock_offset_s": 1_200.0}, "holds"),
        (R.CLOCK_SKEW, {"clock_offset_s": None, "heard_clock_s": 99_951}, "untold"),
        (R.CLOCK_SKEW, {"clock_offset_s": None, "heard_clock_s": 99_952}, "not"),
        (R.CLOCK_SKEW, {"heard_clock_s": 99_990, "last_heard_at": at(seconds=50)}, "untold"),
        (R.NO_NETWORK, {"time": at(hours=5)}, "untold"),
        (R.NO_NETWORK, {"time": at(hours=5), "heard_clock_s": 99_951}, "untold"),
        (R.NO_NETWORK, {"time": at(hours=5), "heard_clock_s": 99_950 + 3600}, "untold"),
        (R.NO_NETWORK, {"time": at(hours=5), "heard_clock_s": 99_951 + 3600}, "holds"),
        (R.NO_NETWORK, {"time": at(hours=5), "network": "none"}, "holds"),
        (R.NO_NETWORK, {"heard_clock_s": 99_952}, "not"),
        (R.STORAGE_LOW, {"storage_free_mb": 8_000}, "not"),
    ],
)
def test_what_waited_for_us_tells_nothing_of_its_own_lateness(
    rule: RuleName, changes: dict[str, Any], told: str
) -> None:
    facts = replace(WELL, **{"last_heard_at": WELL.received_at, "heard_clock_s": 99_900} | changes)
    about = CATALOGUE[rule]
    assert about.judge is not None
    found = about.judge(facts, about.default.parameters, RESUMED, NOW)
    assert ("not" if found is None else "untold" if found.untold else "holds") == told


@pytest.mark.parametrize(
    ("starts", "oldest_h", "unheard", "told", "again"),
    [
        (7, 22, timedelta(0), "holds", at(hours=19) + timedelta(days=1)),
        (6, 22, timedelta(0), "untold", at(hours=20) + timedelta(days=1)),
        (4, 22, timedelta(0), "untold", at(hours=22) + timedelta(days=1)),
        (3, 22, timedelta(0), "not", None),
        (7, 28, timedelta(0), "not", None),
        (7, 30.1, timedelta(hours=20), "untold", NOW + timedelta(hours=1)),
        (4, 27.1, timedelta(seconds=375), "not", None),
        (4, 27.1, timedelta(hours=4), "untold", NOW + timedelta(hours=1)),
    ],
)
def test_it_is_over_when_starts_are_half_of_too_many_and_the_kit_was_heard(
    starts: int, oldest_h: float, unheard: timedelta, told: str, again: datetime | None
) -> None:
    boots = tuple(at(hours=oldest_h - hour) for hour in range(starts))
    facts = replace(WELL, boots=boots, last_heard_at=NOW - unheard)
    about = CATALOGUE[R.RESTARTS]
    assert about.judge is not None
    assert about.wake is not None
    found = about.judge(facts, about.default.parameters, CLOCK, NOW)
    assert ("not" if found is None else "untold" if found.untold else "holds") == told
    assert about.wake(facts, about.default.parameters, NOW) == again


def test_what_is_not_told_leaves_all_as_it_stands() -> None:
    facts = replace(WELL, last_heard_at=WELL.received_at, heard_clock_s=99_900)
    rules = {R.CLOCK_SKEW: CATALOGUE[R.CLOCK_SKEW].default}
    late = replace(RESUMED, clock_s=102_000)

    def steps(standing: Standing, **changes: Any) -> list[Action]:
        return evaluate(replace(facts, standing={R.CLOCK_SKEW: standing}, **changes), rules, late, NOW)

    assert evaluate(facts, rules, late, NOW) == []
    assert steps(Standing(alert_id=1, evidence={}, severity="minor")) == []
    assert steps(Standing(pending_since=at(days=1))) == [
        HoldPending(1, R.CLOCK_SKEW, at(days=1), {}, NOW + timedelta(seconds=300))
    ]
    recovering = Standing(alert_id=1, recovering_since=at(hours=1), clears_at=at(minutes=1))
    assert steps(recovering) == [SetRecovering(1, at(hours=1), NOW + timedelta(seconds=300))]
    assert steps(replace(recovering, clears_at=NOW + timedelta(minutes=1))) == []
    assert steps(recovering, state="paused") == [ClearAlert(1, Resolution.NOT_WATCHED)]


def test_the_table_is_whole() -> None:
    assert set(CATALOGUE) == set(TEXTS) == set(RuleName)
    for name, about in CATALOGUE.items():
        assert about.default.rule == name
        assert (about.judge is None) == (about.source is Source.BOOKS or name is R.SILENT), name
        assert (about.source is Source.BOOKS) == bool(about.kinds), name
        texts = (about.text.title, about.text.meaning, about.text.advice)
        assert all(text.en and text.da and text.en != text.da for text in texts), name
    assert set(Kind) - set(RULE_OF) == {Kind.NEVER_HEARD}, "each kind of finding is spoken of by one rule"


def test_parameters_have_defaults_within_bounds_units_and_texts() -> None:
    for about in CATALOGUE.values():
        assert checked(about.parameters, plain(about.default.parameters)) == about.default.parameters
        for each in fields(about.parameters):
            assert each.metadata.keys() == {"unit", "least", "most", "en", "da"}


@pytest.mark.parametrize(
    ("given", "field"),
    [({"used_days": 0}, "used_days"), ({"used_days": True}, "used_days"), ({"days": 3}, "days")],
)
def test_parameters_are_checked(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError, match=f"parameters.{field}"):
        checked(PairingLost, given)


RULES = {name: about.default for name, about in CATALOGUE.items()}


def opened(facts: KitFacts, clock: Clock = CLOCK) -> set[RuleName]:
    """Rules that open, with conditions that have long held."""
    rules = {name: replace(rule, for_s=0.0) for name, rule in RULES.items()}
    return {each.rule for each in evaluate(facts, rules, clock, NOW) if isinstance(each, OpenAlert)}


ILL = replace(WELL, battery=5, charging=None, software={"app": "1"}, network="none")


@pytest.mark.parametrize("state", ["ready", "dispatched", "paused", "faulty", "retrieved", "scrapped"])
def test_only_what_is_in_use_is_judged(state: str) -> None:
    assert opened(replace(ILL, state=state)) == set()


def test_a_silent_kit_opens_nothing_by_its_last_heartbeat_but_by_its_reports() -> None:
    silent = replace(ILL, heard_clock_s=99_000)
    assert opened(ILL) == {R.TABLET_BATTERY_LOW, R.NO_NETWORK, R.VERSION_DRIFT}
    assert opened(silent) == {R.VERSION_DRIFT}
    assert all(isinstance(each, HoldPending | OpenAlert) for each in evaluate(silent, RULES, CLOCK, NOW))


@pytest.mark.parametrize(
    "clock",
    [
        Clock(100_000, 0, 0, hears=False),
        Clock(100_000, 99_800, 99_800, hears=True),
        Clock(100_000, 99_700, 99_700, hears=True),
    ],
)
def test_nothing_opens_while_we_do_not_listen_nor_for_an_interval_after(clock: Clock) -> None:
    assert opened(ILL, clock) == set()


def test_after_the_catch_up_it_opens() -> None:
    assert R.VERSION_DRIFT in opened(ILL, Clock(100_000, 99_699, 99_699, hears=True))


def test_never_heard_gets_its_interval_after_our_outage() -> None:
    unheard = replace(WELL, heard_clock_s=None, watch_from_clock_s=99_050)
    assert opened(unheard) == {R.NEVER_HEARD}
    assert opened(unheard, Clock(100_000, 99_701, 99_701, hears=True)) == set()


def test_when_time_alone_may_change_something() -> None:
    assert wake(WELL, RULES, NOW) == at(days=1) + timedelta(days=14)
    long_ago = replace(WELL, peripherals=[peripheral(last_contact=at(days=20).isoformat())])
    assert wake(long_ago, RULES, NOW) == NOW + timedelta(days=1), "days of use are counted once a day"
    starts = tuple(at(hours=hour) for hour in range(8))
    restarting = replace(WELL, peripherals=[], boots=starts)
    assert wake(restarting, RULES, NOW) == at(hours=3) + timedelta(days=1), "then half of too many are left"
    assert wake(replace(WELL, peripherals=[]), RULES, NOW) is None
    assert wake(replace(WELL, state="paused"), RULES, NOW) is None


def test_what_is_gone_by_other_settings_is_no_proof() -> None:
    standing = Standing(alert_id=3, evidence={}, severity="minor", version=4)
    kit = replace(WELL, standing={R.STORAGE_LOW: standing})
    (cleared,) = evaluate(kit, RULES, CLOCK, NOW)
    assert cleared.resolution == "rule_changed"  # type: ignore[union-attr]


def test_the_scan_knows_the_bit_of_each_rule() -> None:
    assert {name for name, about in JUDGED if about.source in (Source.CLOCK, Source.HEARTBEAT)} == set(SCANNED)


def test_the_guide_names_every_rule() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
    assert all(f"`{name}`" in guide for name in RuleName)


def low(pending: datetime, *pauses: tuple[datetime, datetime]) -> KitFacts:
    """A tablet that says that its battery is low, as it did when that became pending."""
    standing = {R.TABLET_BATTERY_LOW: Standing(pending_since=pending)}
    return replace(WELL, battery=5, charging=False, pauses=pauses, standing=standing)


@pytest.mark.parametrize(
    ("pauses", "opens"),
    [
        ([], True),
        ([(at(days=2), at(days=1.6))], True),
        ([(at(days=3), at(hours=1))], False),
        ([(at(days=3.5), at(days=1.1))], True),
        ([(at(days=3), at(hours=6.1))], True),
        ([(at(days=3.5), at(hours=11))], False),
        ([(at(days=3.5), at(hours=12.1))], True),
        ([(at(days=6), at(days=5))], True),
        ([(at(days=3.5), at(days=2)), (at(days=1.5), at(hours=1))], True),
    ],
    ids=[
        "never off",
        "off for a night",
        "off for days",
        "a day after days",
        "a day before and some hours after",
        "less than a day together",
        "a day together",
        "before",
        "three times the same",
    ],
)
def test_what_a_tablet_said_before_it_was_off_for_days_has_not_lasted_since(
    pauses: list[tuple[datetime, datetime]], opens: bool
) -> None:
    actions = evaluate(low(at(days=4), *pauses), RULES, CLOCK, NOW)
    assert any(isinstance(each, OpenAlert) and each.rule is R.TABLET_BATTERY_LOW for each in actions) is opens


@pytest.mark.parametrize(
    ("battery", "rules"), [(39, {R.NOT_CHARGING}), (15, {R.NOT_CHARGING}), (14, {R.TABLET_BATTERY_LOW})]
)
def test_one_rule_speaks_of_a_battery(battery: int, rules: set[RuleName]) -> None:
    assert holding(replace(WELL, battery=battery, charging=False)) == rules
