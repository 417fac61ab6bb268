"""What the rules decide, as values: the tick's reading becomes these, and these become rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.alerts.cohorts import Cohort
from fleet.alerts.rules import Line, Outcome, Resolution, RuleName

Evidence = Mapping[str, Any]
"""Machine-readable reason of an alert; becomes JSON."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Open an alert and its service request, or join the open request of the same cause.

    `severity` is the alert's own, where it is not its rule's; `version` that of the settings it was judged by, and
    `line` who answers by those. With a `cohort` it is a member's of the open incident of that cohort: suppressed by it,
    without a request.
    """

    kit_id: int
    rule: RuleName
    evidence: Evidence
    severity: str | None = None
    version: int | None = None
    cohort: Cohort | None = None
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class OpenSubjectAlert:
    """Open an alert about no kit: about a place or an organisation (`location:<slug>`, `organisation:<slug>`)."""

    subject: str
    organisation_id: int | None
    rule: RuleName
    evidence: Evidence
    severity: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class HoldPending:
    """The condition holds, but not yet for long enough, or nothing may open now; looked at again at `due_at`.

    `since` of one already pending is kept.
    """

    kit_id: int
    rule: RuleName
    since: datetime
    evidence: Evidence
    due_at: datetime


@dataclass(frozen=True, slots=True)
class DropPending:
    """The condition went away before an alert opened."""

    kit_id: int
    rule: RuleName


@dataclass(frozen=True, slots=True)
class SetRecovering:
    """The condition is gone since `since`, or holds again (None); looked at again at `due_at`, if that is told."""

    alert_id: int
    since: datetime | None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefreshEvidence:
    """The condition still holds, for other reasons than the alert says, more gravely, or by other settings."""

    alert_id: int
    evidence: Evidence
    severity: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class ClearAlert:
    """End an alert, and its request when no other alert of it is active; `merged` is the incident that takes it over,
    by rule and cohort."""

    alert_id: int
    resolution: Resolution
    merged: tuple[RuleName, Cohort] | None = None


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """Open the mass event of a cohort with one request.

    `size` is the cohort's. `clock_s` is the listening clock's value; who of the cohort fell out at `from_clock_s` (the
    rule's own clock) or later belongs to it.
    """

    rule: RuleName
    cohort: Cohort
    size: int
    clock_s: float
    from_clock_s: float


@dataclass(frozen=True, slots=True)
class JoinIncident:
    """Make a kit a member of the open incident of a rule and cohort; clock and allowance are of a silent kit."""

    kit_id: int
    rule: RuleName
    cohort: Cohort
    heard_clock_s: float | None = None
    allowance_s: float | None = None


@dataclass(frozen=True, slots=True)
class LeaveIncident:
    """End a kit's membership."""

    incident_id: int
    kit_id: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SettleIncident:
    """Few enough members are out since `since`, or too many again (None)."""

    incident_id: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class ClearIncident:
    """End the mass event and resolve its request; `clock_s` is the listening clock's value."""

    incident_id: int
    clock_s: float


Action = (
    OpenAlert
    | OpenSubjectAlert
    | HoldPending
    | DropPending
    | SetRecovering
    | RefreshEvidence
    | ClearAlert
    | OpenIncident
    | JoinIncident
    | LeaveIncident
    | SettleIncident
    | ClearIncident
)
