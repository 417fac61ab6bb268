"""The rules as values: what they are called, how grave, who answers, how fast, and why things end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class RuleName(StrEnum):
    """Every rule the worker evaluates; also the cause of the service request its alert opens."""

    SILENT = "silent"
    NEVER_HEARD = "never_heard"
    VERSION_DRIFT = "version_drift"
    PAIRING_LOST = "pairing_lost"
    PERIPHERAL_BATTERY_LOW = "peripheral_battery_low"
    TABLET_BATTERY_LOW = "tablet_battery_low"
    NOT_CHARGING = "not_charging"
    STORAGE_LOW = "storage_low"
    NO_NETWORK = "no_network"
    CLOCK_SKEW = "clock_skew"
    RESTARTS = "restarts"
    UPDATE_FAILED = "update_failed"
    BOOKS_AGAINST_REALITY = "books_against_reality"
    """Findings stand against the kit (fleet/state/findings)."""
    TABLET_OR_SIM_SWAPPED = "tablet_or_sim_swapped"
    CALIBRATION_DUE = "calibration_due"
    WARRANTY_ENDING = "warranty_ending"
    LEASE_ENDING = "lease_ending"
    STOCK_LOW = "stock_low"
    CREDENTIALS_MISUSED = "credentials_misused"


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
    RULE_CHANGED = "rule_changed"
    """The rule says otherwise now; the kit is as it was."""
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
    """One rule as it applies to some kits at a tick.

    `for_s` is how long the condition must hold before an alert opens, `keep_firing_for_s` how long it must be
    gone before the alert clears. `parameters` is a value of the rule's own type (fleet/alerts/judging/parameters.py),
    `version` the number of the newest change among the settings that apply.
    """

    rule: RuleName
    severity: str
    line: Line
    priority: Priority
    for_s: float
    keep_firing_for_s: float
    enabled: bool
    parameters: Any = None
    version: int = 0


def graded(rule: Rule, severity: str | None) -> Rule:
    """The rule for alerts that have a severity of their own; None is the rule's."""
    return rule if severity is None else replace(rule, severity=severity, priority=PRIORITY_OF[severity])


def due_at(priority: Priority, now: datetime) -> datetime:
    """When a service request opened at `now` must be answered."""
    return now + ANSWER_WITHIN[priority]


def has_held(since: datetime, now: datetime, for_s: float) -> bool:
    """Whether something that began at `since` has lasted `for_s` seconds."""
    return (now - since).total_seconds() >= for_s
