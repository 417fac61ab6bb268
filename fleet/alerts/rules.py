"""The rules as values: what they are called, how grave, who answers, how fast, and why things end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class RuleName(StrEnum):
    """Every rule the worker evaluates; also the cause of the service request its alert opens."""

    SILENT = "silent"
    VERSION_DRIFT = "version_drift"
    BOOKS_AGAINST_REALITY = "books_against_reality"
    """Findings stand against the kit (fleet/state/findings)."""


class Line(StrEnum):
    """Who answers a service request."""

    SUPPORT = "support"
    SERVICE = "service"
    LOGISTICS = "logistics"
    SUPPLIER = "supplier"


class Priority(StrEnum):
    """How soon a service request must be answered."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Resolution(StrEnum):
    """Why an alert cleared, and why its request ended with it."""

    PROOF = "proof"
    """The kit itself reported that the fault is gone, for long enough."""
    WANTED_CHANGED = "wanted_changed"
    """The kit was right all along: other versions are wanted now."""
    EXPECTATION_CHANGED = "expectation_changed"
    """The kit need not be heard that often any more."""
    NOT_WATCHED = "not_watched"
    """The kit is no longer installed."""
    RULE_DISABLED = "rule_disabled"
    MERGED = "merged"
    """A mass event took the alert over."""
    BOOKS_AGREE = "books_agree"
    """The books and what the kit reports agree again."""
    DISMISSED = "dismissed"
    """Somebody said that the findings are right as they are."""


class Outcome(StrEnum):
    """Why a kit left an incident."""

    RETURNED = "returned"
    RELEASED = "released"
    """Still silent when the incident had cleared: it got an alert of its own."""
    NOT_WATCHED = "not_watched"


ANSWER_WITHIN = {
    Priority.URGENT: timedelta(hours=4),
    Priority.HIGH: timedelta(days=1),
    Priority.NORMAL: timedelta(days=3),
    Priority.LOW: timedelta(days=10),
}
"""From opening a service request to its due time."""
PRIORITY_OF = {
    "critical": Priority.URGENT,
    "major": Priority.HIGH,
    "minor": Priority.NORMAL,
    "warning": Priority.LOW,
}
"""How soon to answer what has a severity of its own instead of its rule's."""
INCIDENT_LINE = Line.SERVICE
INCIDENT_PRIORITY = Priority.URGENT
"""A mass event is for those who run the service, at once, whatever a single kit's rule says."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of `rules`, as it stands at a tick.

    `for_s` is how long the condition must hold before an alert opens, `keep_firing_for_s` how long it must be
    gone before the alert clears.
    """

    rule: RuleName
    severity: str
    line: Line
    priority: Priority
    for_s: float
    keep_firing_for_s: float
    enabled: bool


def graded(rule: Rule, severity: str | None) -> Rule:
    """The rule for alerts that have a severity of their own; None is the rule's."""
    return rule if severity is None else replace(rule, severity=severity, priority=PRIORITY_OF[severity])


def due_at(priority: Priority, now: datetime) -> datetime:
    """When a service request opened at `now` must be answered."""
    return now + ANSWER_WITHIN[priority]


def has_held(since: datetime, now: datetime, for_s: float) -> bool:
    """Whether something that began at `since` has lasted `for_s` seconds."""
    return (now - since).total_seconds() >= for_s
