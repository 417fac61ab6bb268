"""Actions become rows: set-based statements, events included, inside the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from fleet.alerts.actions import (
    Action,
    ClearAlert,
    ClearIncident,
    DropPending,
    HoldPending,
    JoinIncident,
    LeaveIncident,
    OpenAlert,
    OpenIncident,
    OpenSubjectAlert,
    RefreshEvidence,
    SetRecovering,
    SettleIncident,
)
from fleet.alerts.applied import Applied
from fleet.alerts.cohorts import Cohort
from fleet.alerts.massevents import store
from fleet.alerts.quieting.quiet import Quieted, quiet
from fleet.alerts.quieting.store import Cause, tell_flapping
from fleet.alerts.quieting.suppress import SEVERITIES
from fleet.alerts.requests import opening
from fleet.alerts.requests.holding import hold
from fleet.alerts.rules import Resolution, Rule, RuleName, graded
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]
Kind = TypeVar("Kind")

QUERIES = load_queries("fleet.alerts", "apply.sql")


async def apply(
    connection: Connection, actions: Sequence[Action], rules: Mapping[RuleName, Rule], now: datetime
) -> Applied:
    """Carry the actions out; their order does not matter.

    Who leaves or clears does so before who joins or opens, since a kit may do both at once. What is to be kept quiet
    is found out first: for every rule here, and nowhere else.
    """
    applied = Applied()
    quieted = await quiet(connection, actions, rules, now)
    actions = quieted.actions
    await hold(connection, actions)
    await store.leave(connection, _only(LeaveIncident, actions), now, applied)
    begun = await store.open_incidents(connection, _only(OpenIncident, actions), now)
    joining = _only(JoinIncident, actions)
    incidents = await store.open_ids(connection) if joining else {}
    gone = {(a.rule, a.cohort) for a in joining} - incidents.keys()
    if gone:
        # Another task ended it since this one looked: what was to join is found again by the next look.
        actions = [a for a in actions if _incident_of(a) not in gone]
        quieted, joining = replace(quieted, actions=actions), _only(JoinIncident, actions)
    quieted = _with_incidents(quieted, incidents)
    await _clear_alerts(connection, _only(ClearAlert, actions), incidents, now, applied)
    await store.join(connection, joining, incidents, now, applied)
    await store.tell_opened(connection, begun, now, applied)
    await _pend(connection, _only(HoldPending, actions), _only(DropPending, actions))
    for name, rule in rules.items():
        opening = [a for a in _only(OpenAlert, actions) if a.rule == name]
        for severity in {a.severity: None for a in opening}:
            alike = [a for a in opening if a.severity == severity]
            await _open_alerts(connection, alike, graded(rule, severity), now, applied, quieted=quieted)
    await _open_subject_alerts(connection, _only(OpenSubjectAlert, actions), now, applied, quieted=quieted)
    await _recover(connection, _only(SetRecovering, actions))
    await _refresh(connection, _only(RefreshEvidence, actions), now, applied)
    await store.settle(connection, _only(SettleIncident, actions))
    await store.clear_incidents(connection, _only(ClearIncident, actions), now, applied)
    return applied


def _with_incidents(quieted: Quieted, incidents: store.OpenIds) -> Quieted:
    """With the incidents that speak for their members."""
    members: dict[Cause, str] = {
        (a.kit_id, a.rule.value): f"incident:{incidents[a.rule, a.cohort]}"
        for a in _only(OpenAlert, quieted.actions)
        if a.cohort is not None
    }
    return replace(quieted, reasons={**quieted.reasons, **members}) if members else quieted


def _incident_of(action: Action) -> tuple[RuleName, Cohort] | None:
    """The incident that must be open for the action to be carried out."""
    match action:
        case JoinIncident(rule=rule, cohort=cohort):
            return rule, cohort
        case OpenAlert(rule=rule, cohort=cohort) if cohort is not None:
            return rule, cohort
        case ClearAlert(merged=merged):
            return merged
        case _:
            return None


def _only(kind: type[Kind], actions: Iterable[Action]) -> list[Kind]:
    return [action for action in actions if isinstance(action, kind)]


async def _open_alerts(
    connection: Connection, actions: list[OpenAlert], rule: Rule, now: datetime, applied: Applied, *, quieted: Quieted
) -> None:
    if not actions:
        return
    causes = [(a.kit_id, rule.rule.value) for a in actions]
    values = {
        "suppressed_by": [quieted.reasons.get(cause) for cause in causes],
        "flapping": [cause in quieted.flapping for cause in causes],
        "kit_ids": [a.kit_id for a in actions],
        "evidence": [Jsonb(a.evidence) for a in actions],
        "versions": [a.version for a in actions],
        "lines": [a.line if a.line != rule.line else None for a in actions],
        "rule": rule.rule,
        "severity": rule.severity,
        "now": now,
    }
    (alert_ids,) = await _row(connection, "open_alerts", values)
    applied.opened += Counter({rule.rule: len(alert_ids)})
    applied.requests_opened += await opening.open_for_alerts(connection, alert_ids, now)
    await connection.execute(QUERIES["tell_opened"], {"alert_ids": alert_ids, "now": now})
    if not quieted.flapping.isdisjoint(causes):
        await tell_flapping(connection, alert_ids, now)


async def _open_subject_alerts(
    connection: Connection, actions: list[OpenSubjectAlert], now: datetime, applied: Applied, *, quieted: Quieted
) -> None:
    if not actions:
        return
    values = {
        "suppressed_by": [quieted.reasons.get((a.subject, a.rule.value)) for a in actions],
        "subjects": [a.subject for a in actions],
        "organisation_ids": [a.organisation_id for a in actions],
        "rules": [a.rule for a in actions],
        "severities": [a.severity for a in actions],
        "evidence": [Jsonb(a.evidence) for a in actions],
        "versions": [a.version for a in actions],
        "now": now,
    }
    cursor = await connection.execute(QUERIES["open_subject_alerts"], values)
    opened = await cursor.fetchall()
    applied.opened += Counter(RuleName(rule) for _, rule in opened)
    alert_ids = [alert_id for alert_id, _ in opened]
    applied.requests_opened += await opening.open_for_alerts(connection, alert_ids, now)
    await connection.execute(QUERIES["tell_opened"], {"alert_ids": alert_ids, "now": now})


async def _clear_alerts(
    connection: Connection, actions: list[ClearAlert], incidents: store.OpenIds, now: datetime, applied: Applied
) -> None:
    if not actions:
        return
    values = {
        "alert_ids": [a.alert_id for a in actions],
        "resolutions": [a.resolution for a in actions],
        "incident_ids": [None if a.merged is None else incidents[a.merged] for a in actions],
        "now": now,
    }
    cursor = await connection.execute(QUERIES["clear_alerts"], values)
    cleared = await cursor.fetchall()
    for _, rule, resolution in cleared:
        applied.cleared[RuleName(rule), Resolution(resolution)] += 1
    alert_ids = [row[0] for row in cleared]
    await store.leave_with_alerts(connection, alert_ids, now)
    applied.requests_resolved += await opening.resolve_for_alerts(connection, alert_ids, now)


async def _pend(connection: Connection, held: list[HoldPending], dropped: list[DropPending]) -> None:
    if held:
        values = {
            "kit_ids": [a.kit_id for a in held],
            "rules": [a.rule for a in held],
            "since": [a.since for a in held],
            "due_at": [a.due_at for a in held],
            "evidence": [Jsonb(a.evidence) for a in held],
        }
        await connection.execute(QUERIES["hold_pending"], values)
    if dropped:
        values = {"kit_ids": [a.kit_id for a in dropped], "rules": [a.rule for a in dropped]}
        await connection.execute(QUERIES["drop_pending"], values)


async def _recover(connection: Connection, recovering: list[SetRecovering]) -> None:
    if recovering:
        values = {
            "alert_ids": [a.alert_id for a in recovering],
            "since": [a.since for a in recovering],
            "due_at": [a.due_at for a in recovering],
        }
        await connection.execute(QUERIES["set_recovering"], values)


async def _refresh(connection: Connection, refreshed: list[RefreshEvidence], now: datetime, applied: Applied) -> None:
    """What became graver makes its request more urgent."""
    if not refreshed:
        return
    values = {
        "alert_ids": [a.alert_id for a in refreshed],
        "evidence": [Jsonb(a.evidence) for a in refreshed],
        "severities": [a.severity for a in refreshed],
        "versions": [a.version for a in refreshed],
        "from_least": list(SEVERITIES),
    }
    cursor = await connection.execute(QUERIES["refresh_evidence"], values)
    graver = [alert_id for (alert_id,) in await cursor.fetchall()]
    applied.requests_opened += await opening.open_for_alerts(connection, graver, now)


async def _row(connection: Connection, query: str, values: Mapping[str, Any]) -> tuple[Any, ...]:
    cursor = await connection.execute(QUERIES[query], values)
    row = await cursor.fetchone()
    assert row is not None, query
    return tuple(row)
