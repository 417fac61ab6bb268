"""A kit as it is answered: in a line of the list, and everything about one in one call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.massevents.desk import incidents_of_kit
from fleet.alerts.quieting.windows import windows_of_kit
from fleet.api import alerts, servicerequests
from fleet.api.alerts import Alert, AlertQuery
from fleet.api.auth import Call
from fleet.api.findings import Finding, finding
from fleet.api.servicerequests import RequestQuery, ServiceRequest
from fleet.api.shapes import Answer, Moment
from fleet.state import placements, reading
from fleet.state.findings import store as findings
from fleet.state.lifecycle import KitState, allowed_steps
from fleet.state.registry import components
from fleet.state.verdict import Health, ReasonCode, drift

OPEN_SHOWN = 50
"""Open alerts, requests and findings of one kit in its one call, at most."""

State = Literal[
    "ordered",
    "in_stock",
    "preparing",
    "ready",
    "dispatched",
    "installed",
    "paused",
    "faulty",
    "retrieved",
    "cleaning",
    "scrapped",
    "lost",
    "returned",
]


class Reason(Answer):
    """Why the verdict is what it is; the members of `details` depend on `code`."""

    code: ReasonCode
    details: dict[str, Any]


class KitSummary(Answer):
    """A kit in the list."""

    kit: str
    label: str
    state: State
    state_since: Moment
    organisation: str | None
    owner: str | None
    kit_type: str | None
    location: str | None = Field(description="Short name of the place; null in a citizen's home")
    location_name: str | None
    placement_id: int | None
    expected_interval_s: int
    health: Health
    reasons: list[Reason]
    last_heard_at: Moment | None
    online: bool | None
    battery: float | None
    charging: bool | None
    network: str | None
    signal_dbm: int | None


class Heartbeat(Answer):
    """One heartbeat; `clock_offset_s` is set when the kit's clock was wrong (its time minus ours)."""

    time: Moment
    received_at: Moment
    boot: str
    seq: int
    battery: float | None
    charging: bool | None
    signal_dbm: int | None
    network: str | None
    operator: str | None
    storage_free_mb: float | None
    uptime_s: float | None
    clock_offset_s: float | None


class Component(Answer):
    """A software component; `version` is null when it is wanted and not reported."""

    component: str
    version: str | None
    wanted: str | None
    drifted: bool


class Peripheral(Answer):
    """A Bluetooth device as the tablet sees it."""

    serial: str
    kind: str
    paired: bool
    model: str | None = None
    firmware: str | None = None
    last_contact: Moment | None = None
    battery: float | None = None
    rssi: float | None = None


class StandingMaintenance(Answer):
    """A maintenance window that is on for the kit; `rules` null is all, without `collect` they are not evaluated."""

    id: int
    until: Moment
    collect: bool
    rules: list[str] | None


class DriftItem(Answer):
    """A component that is not as wanted."""

    component: str
    wanted: str
    reported: str | None


class Piece(Answer):
    """A piece that the books say is in the kit."""

    id: int
    kind: str
    manufacturer: str
    model: str
    serial: str
    asset_tag: str | None
    state: str
    calibration_due: date | None


class Membership(Answer):
    """A mass event that the kit is part of: it speaks for the kit, which opens nothing by that rule itself."""

    id: int
    rule: str
    state: Literal["open", "cleared"]
    cohort_kind: str
    cohort_value: str
    joined_at: Moment


class KitDetail(KitSummary):
    """Everything a support agent needs, in one call."""

    allowed_steps: list[State]
    placement: str | None = Field(description="Reference of the home it is in, for those who may read it")
    tolerance: float | None
    silent_after_s: float | None = Field(
        description="Listening time without a message after which it is silent; null while not watched"
    )
    wanted_components: dict[str, str]
    revision: int
    connection_at: Moment | None
    last_heartbeat: Heartbeat | None
    bundle: list[Piece]
    components: list[Component]
    components_at: Moment | None
    drift: list[DriftItem]
    peripherals: list[Peripheral]
    peripherals_at: Moment | None
    alerts: list[Alert]
    service_requests: list[ServiceRequest]
    findings: list[Finding]
    maintenance: list[StandingMaintenance]
    incidents: list[Membership]


async def kit_detail(call: Call, kit: str) -> KitDetail:
    """The one call: a handful of queries, whatever the size of the fleet."""
    facts = await reading.get_kit(call.connection, kit)
    active = await alerts.list_alerts(call, AlertQuery(kit=kit, state="active", limit=OPEN_SHOWN))
    unresolved = await servicerequests.list_requests(call, RequestQuery(kit=kit, unresolved=True, limit=OPEN_SHOWN))
    return KitDetail(
        **summary(facts),
        allowed_steps=_allowed_steps(call, facts),
        placement=await _reference(call, facts),
        bundle=[_piece(each) for each in await components.bundle_of(call.connection, facts.kit_id)],
        tolerance=facts.tolerance,
        silent_after_s=facts.watch_allowance_s,
        wanted_components=facts.wanted_components,
        revision=facts.revision,
        connection_at=facts.connection_at,
        last_heartbeat=None if facts.boot is None else Heartbeat.model_validate(facts),
        components=_components(facts),
        components_at=facts.software_at,
        drift=[DriftItem.model_validate(item) for item in drift(facts.wanted_components, facts.software)],
        peripherals=[_peripheral(item) for item in facts.peripherals or []],
        peripherals_at=facts.peripherals_at,
        alerts=active.items,
        service_requests=unresolved.items,
        findings=await _findings(call, kit),
        maintenance=[StandingMaintenance(**each) for each in await windows_of_kit(call.connection, kit)],
        incidents=[Membership(**each) for each in await incidents_of_kit(call.connection, kit)],
    )


def _allowed_steps(call: Call, facts: reading.KitFacts) -> list[State]:
    roles = call.principal.roles_for(facts.organisation_id, facts.owner_id)
    return [step.value for step in allowed_steps(KitState(facts.state), roles)]


async def _reference(call: Call, facts: reading.KitFacts) -> str | None:
    """The reference of the home, where the caller may read it there; the read is noted in the audit."""
    whose = (facts.organisation_id, facts.owner_id)
    if facts.placement_id is None or not call.principal.holds(Permission.PLACEMENTS_READ, *whose):
        return None
    return await placements.reference_of(call.connection, facts.placement_id, why="kit")


async def _findings(call: Call, kit: str) -> list[Finding]:
    """What stands, without what somebody found right as it is."""
    standing = await findings.standing_of_kit(call.connection, kit, limit=OPEN_SHOWN)
    return [finding(each) for each in standing if each.state != "dismissed"]


def _piece(found: components.Component) -> Piece:
    names = Piece.model_fields.keys() - {"id"}
    return Piece(id=found.component_id, **{name: getattr(found, name) for name in names})


def summary(facts: reading.KitFacts) -> dict[str, Any]:
    """The fields of a line in the list."""
    judged = facts.verdict()
    values = {name: getattr(facts, name) for name in KitSummary.model_fields if hasattr(facts, name)}
    reasons = [Reason(code=reason.code, details=dict(reason.details)) for reason in judged.reasons]
    return {**values, "health": judged.health, "reasons": reasons}


def _components(facts: reading.KitFacts) -> list[Component]:
    reported, wanted = facts.software or {}, facts.wanted_components
    drifted = {item.component for item in drift(wanted, facts.software)}
    return [
        Component(component=name, version=reported.get(name), wanted=wanted.get(name), drifted=name in drifted)
        for name in sorted(reported.keys() | wanted.keys())
    ]


def _peripheral(item: Mapping[str, Any]) -> Peripheral:
    return Peripheral(**{name: item[name] for name in Peripheral.model_fields if name in item})
