"""Findings of a kit become one alert: opened, kept up, cleared; not by the thousand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.alerts.actions import ClearAlert, OpenAlert, RefreshEvidence, SetRecovering
from fleet.alerts.books import BookFacts, evaluate_books
from fleet.alerts.rules import Line, Priority, Resolution, Rule, RuleName, graded

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULE = Rule(RuleName.BOOKS_AGAINST_REALITY, "minor", Line.LOGISTICS, Priority.NORMAL, 0, 0, True)


def finding(id_: int = 1, severity: str = "minor") -> dict[str, Any]:
    """A finding as an alert tells of it."""
    return {"id": id_, "kind": "peripheral_missing", "severity": severity}


def facts(*findings: dict[str, Any], **more: Any) -> BookFacts:
    """A kit without an alert."""
    values: dict[str, Any] = {
        "rule": RuleName.BOOKS_AGAINST_REALITY,
        "kit_id": 7,
        "findings": findings,
        "since": NOW if findings else None,
        "dismissed": False,
        "alert_id": None,
        "severity": None,
        "recovering_since": None,
        "evidence": None,
    }
    return BookFacts(**values | more)


def alerted(*findings: dict[str, Any], told: list[dict[str, Any]], **more: Any) -> BookFacts:
    """A kit with an alert that tells of some findings."""
    return facts(*findings, alert_id=3, evidence={"findings": told}, **{"severity": "minor", "version": 0, **more})


def test_it_opens_with_the_gravest_severity() -> None:
    found = [finding(1, "warning"), finding(2, "critical"), finding(3, "minor")]
    assert evaluate_books(facts(*found), RULE, NOW) == [
        OpenAlert(7, RuleName.BOOKS_AGAINST_REALITY, {"findings": found}, "critical", 0, line=RULE.line)
    ]


def test_it_waits_as_the_rule_says() -> None:
    patient = replace(RULE, for_s=60, keep_firing_for_s=60)
    assert evaluate_books(facts(finding(), since=NOW - timedelta(seconds=59)), patient, NOW) == []
    assert evaluate_books(facts(finding(), since=NOW - timedelta(seconds=60)), patient, NOW) != []
    gone = alerted(told=[finding()])
    assert evaluate_books(gone, patient, NOW) == [SetRecovering(3, NOW)]
    later = replace(gone, recovering_since=NOW - timedelta(seconds=60))
    assert evaluate_books(later, patient, NOW) == [ClearAlert(3, Resolution.BOOKS_AGREE)]
    back = alerted(finding(), told=[finding()], recovering_since=NOW)
    assert evaluate_books(back, patient, NOW) == [SetRecovering(3, None)]


def test_it_tells_of_what_stands_now() -> None:
    assert evaluate_books(alerted(finding(), told=[finding()]), RULE, NOW) == []
    worse = [finding(), finding(2, "major")]
    assert evaluate_books(alerted(*worse, told=[finding()]), RULE, NOW) == [
        RefreshEvidence(3, {"findings": worse}, "major", 0)
    ]


@pytest.mark.parametrize(("dismissed", "resolution"), [(False, Resolution.BOOKS_AGREE), (True, Resolution.DISMISSED)])
def test_it_clears_when_nothing_stands(dismissed: bool, resolution: Resolution) -> None:
    gone = alerted(told=[finding()], dismissed=dismissed)
    assert evaluate_books(gone, RULE, NOW) == [ClearAlert(3, resolution)]


def test_a_rule_switched_off() -> None:
    off = replace(RULE, enabled=False)
    assert evaluate_books(facts(finding()), off, NOW) == []
    assert evaluate_books(alerted(finding(), told=[finding()]), off, NOW) == [ClearAlert(3, Resolution.RULE_DISABLED)]


@pytest.mark.parametrize(
    ("severity", "priority"),
    [(None, "normal"), ("critical", "urgent"), ("major", "high"), ("minor", "normal"), ("warning", "low")],
)
def test_how_soon_it_is_answered_follows_the_severity(severity: str | None, priority: str) -> None:
    assert graded(RULE, severity).priority == priority
    assert graded(RULE, severity).line is Line.LOGISTICS
