"""The verdict and its reasons."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.state.verdict import Drift, Facts, Health, Reason, ReasonCode, drift, verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = Facts(
    state="installed",
    heard=True,
    silent=False,
    drifted=False,
    pairing_lost=False,
    battery_low=False,
    storage_low=False,
    clock_skewed=False,
    last_heard_at=NOW,
    battery=80.0,
    storage_free_mb=9000.0,
    wanted_components={"app": "2", "os": "14"},
    software={"app": "2", "os": "14", "mdm": "9"},
    peripherals=[{"serial": "S1", "kind": "scale", "model": "M", "paired": True}],
)


def test_a_good_kit_has_no_reasons() -> None:
    assert verdict(GOOD).health is Health.OK
    assert verdict(GOOD).reasons == ()


@pytest.mark.parametrize(
    ("change", "health", "code", "details"),
    [
        ({"heard": False}, Health.UNKNOWN, ReasonCode.NEVER_HEARD, {}),
        ({"silent": True}, Health.SILENT, ReasonCode.SILENT, {"since": NOW}),
        (
            {"pairing_lost": True, "peripherals": [{"serial": "S2", "kind": "scale", "paired": False}]},
            Health.FAULT,
            ReasonCode.PAIRING_LOST,
            {"peripherals": [{"serial": "S2", "kind": "scale", "model": None}]},
        ),
        (
            {"drifted": True, "software": {"app": "1"}},
            Health.ATTENTION,
            ReasonCode.VERSION_DRIFT,
            {
                "components": [
                    {"component": "app", "wanted": "2", "reported": "1"},
                    {"component": "os", "wanted": "14", "reported": None},
                ]
            },
        ),
        ({"battery_low": True, "battery": 9.0}, Health.ATTENTION, ReasonCode.BATTERY_LOW, {"battery": 9.0}),
        (
            {"storage_low": True, "storage_free_mb": 3.0},
            Health.ATTENTION,
            ReasonCode.STORAGE_LOW,
            {"storage_free_mb": 3.0},
        ),
        (
            {"clock_skewed": True, "clock_offset_s": 500.0},
            Health.ATTENTION,
            ReasonCode.CLOCK_AHEAD,
            {"offset_s": 500.0},
        ),
        (
            {"clock_skewed": True, "clock_offset_s": -500.0},
            Health.ATTENTION,
            ReasonCode.CLOCK_BEHIND,
            {"offset_s": -500.0},
        ),
        ({"state": "in_stock"}, Health.OK, ReasonCode.NOT_INSTALLED, {"state": "in_stock"}),
    ],
)
def test_each_reason(change: dict[str, Any], health: Health, code: ReasonCode, details: dict[str, Any]) -> None:
    judged = verdict(replace(GOOD, **change))
    assert judged.health is health
    assert judged.reasons == (Reason(code, details),)


def test_all_reasons_are_told_and_the_weightiest_first() -> None:
    judged = verdict(replace(GOOD, silent=True, pairing_lost=True, drifted=True, battery_low=True, software={}))
    assert judged.health is Health.SILENT
    codes = [reason.code.value for reason in judged.reasons]
    assert codes == ["silent", "pairing_lost", "version_drift", "battery_low"]


def test_lost_pairing_is_no_fault_while_not_installed() -> None:
    judged = verdict(replace(GOOD, state="cleaning", pairing_lost=True))
    assert judged.health is Health.OK
    assert [reason.code for reason in judged.reasons] == [ReasonCode.NOT_INSTALLED]


def test_without_any_report_nothing_has_drifted() -> None:
    assert drift({"app": "2"}, None) == []
    assert drift({"app": "2"}, {}) == [Drift("app", "2", None)]
