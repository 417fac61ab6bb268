"""What is judged, and what a judgement finds: values read from the books, from reports and from the listening clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fleet.state.findings.kinds import ABOUT, Kind, Severity


@dataclass(frozen=True, slots=True)
class Listening:
    """The listening clock; `hears` tells that it runs now."""

    clock_s: float
    resumed_clock_s: float
    hears: bool


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that does not fit; (`kind`, `subject`) tells it from every other. It opens only when `opens`."""

    kind: Kind
    subject: str
    evidence: Mapping[str, Any]
    kit_id: int | None = None
    component_id: int | None = None
    model_id: int | None = None
    location_id: int | None = None
    organisation_id: int | None = None
    severity: Severity | None = None
    opens: bool = True

    @property
    def grade(self) -> Severity:
        """Its own severity, or that of its kind."""
        return self.severity or ABOUT[self.kind].severity


@dataclass(frozen=True, slots=True)
class HeardKit:
    """A kit out of use that was heard; clock values are the listening clock's."""

    kit_id: int
    state: str
    state_since: datetime
    last_heard_at: datetime
    heard_clock_s: float


@dataclass(frozen=True, slots=True)
class UnheardKit:
    """An installed kit that was never heard; `overdue` by its allowance, our outages not counted."""

    kit_id: int
    state_since: datetime
    watch_from_clock_s: float
    overdue: bool


@dataclass(frozen=True, slots=True)
class IdentityFacts:
    """The tablet or SIM of a kit's books beside what its tablet reported of itself at `reported_at`."""

    kit_id: int
    kind: str
    component_id: int
    since: datetime
    serial: str
    imei: str | None
    iccid: str | None
    reported_serial: str | None
    reported_imei: str | None
    reported_iccid: str | None
    reported_at: datetime


@dataclass(frozen=True, slots=True)
class PeripheralFacts:
    """A device in a kit: as the books have it, as the tablet reports it, or both.

    `since` is when the piece went in; `changed` when the bundle last changed; `reported_at` the report's own time.
    """

    kit_id: int
    kit_state: str
    reported_at: datetime
    changed: datetime
    component_id: int | None = None
    component_state: str | None = None
    kind: str | None = None
    serial: str | None = None
    since: datetime | None = None
    manufacturer: str | None = None
    model: str | None = None
    expected_firmware: str | None = None
    books_firmware: str | None = None
    reported_kind: str | None = None
    reported_serial: str | None = None
    reported_model: str | None = None
    reported_firmware: str | None = None
    paired: bool | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A paired device in a kit's latest report, whose serial number another kit reports as well.

    `books_kit_id` is the kit that the books have it in, `books_since` when it went in there.
    """

    kit_id: int
    kit: str
    organisation_id: int | None
    owner_id: int | None
    kind: str
    serial: str
    contact: datetime
    books_kit_id: int | None
    books_since: datetime | None


@dataclass(frozen=True, slots=True)
class Runs:
    """Live messages of a kit's last day: which runs of a tablet they are of, in the order in which they came.

    `boots` names the run of each stretch of messages of one run, `began` when its first message came, `ended` when its
    last; the newest stretches only, where there are very many.
    """

    kit_id: int
    boots: Sequence[str]
    began: Sequence[datetime]
    ended: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class ToldIdentities:
    """The IMEIs that a kit's tablet told one after the other within the last days, from before the first change on."""

    kit_id: int
    imeis: Sequence[str]
    changed: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class DatedPiece:
    """A piece with days that matter."""

    component_id: int
    kit_id: int | None
    kind: str
    serial: str
    state: str
    calibration_due: date | None
    lease_until: date | None
    warranty_until: date | None


@dataclass(frozen=True, slots=True)
class LowStock:
    """A model of which too few are in store at a place."""

    minimum_id: int
    organisation_id: int | None
    model_id: int
    location_id: int
    manufacturer: str
    model: str
    location: str | None
    available: int
    on_order: int
    minimum: int
    to_order: int
