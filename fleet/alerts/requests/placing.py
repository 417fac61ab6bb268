"""Where an alert belongs: to the request that is open, to one that ended a moment ago, or to a new one. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fleet.alerts.requests.log import SYSTEM, UNRESOLVED, Entry, Standing, What
from fleet.alerts.requests.priority import Impact, graver, priority_of
from fleet.alerts.requests.steps import may_come_back
from fleet.alerts.rules import Priority, Resolution

SELF_CLEARED = "self-cleared"
"""Cause and remedy of what nobody had to solve."""
NO_RETURN = frozenset({Resolution.NOT_WATCHED.value})
"""How a request may have ended so that what comes back is another matter: the kit has been with somebody else since."""
NOT_SOLVED = frozenset({Resolution.RULE_DISABLED.value, Resolution.RULE_CHANGED.value})
"""How a request may end without anything having gone away: it is only not looked for any more."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An alert that wants a request; `usual` and `own` are severity and priority of its rule.

    It is about a kit, or about a `subject`: a place or an organisation of `organisation_id`.

    `candidate` is the request that spoke last for kit and cause, if there was any; `its_own` is whether it is of this
    very kit and cause, and not one that these were merged into.
    """

    alert_id: int
    kit_id: int | None
    rule: str
    severity: str
    usual: str
    own: str
    line: str
    important: bool
    candidate: str | None
    its_own: bool
    subject: str | None = None
    organisation_id: int | None = None

    @property
    def priority(self) -> Priority:
        """How soon somebody must answer."""
        impact = Impact.IMPORTANT_PROGRAMME if self.important else Impact.KIT
        return priority_of(self.severity, impact, usual=self.usual, own=self.own)


@dataclass(frozen=True, slots=True)
class Cleared:
    """An alert of a request that cleared; `over` is whether none of the request's alerts is active any more."""

    request_id: int
    alert_id: int
    rule: str
    resolution: str
    suppressed_by: str | None
    over: bool


def joins(fault: Fault, standing: Standing, now: datetime, reopen_within: timedelta) -> bool:
    """Whether the fault belongs to the candidate that stands so; otherwise it gets a request of its own."""
    if standing.state in UNRESOLVED:
        return True
    return fault.its_own and standing.resolution not in NO_RETURN and may_come_back(standing, now, reopen_within)


def joined(faults: list[Fault], standing: Standing, now: datetime) -> list[Entry]:
    """What the log says when faults join a request: opened again where it had ended, and more urgent where they are."""
    entries = []
    if standing.state not in UNRESOLVED:
        body = {"from": standing.state, "to": "open", "because": "returned"}
        entries.append(Entry(What.STATE, SYSTEM, now, body))
    entries += [Entry(What.ALERT, SYSTEM, now, {"alert": each.alert_id, "rule": each.rule}) for each in faults]
    gravest = standing.priority
    for each in faults:
        gravest = each.priority.value if graver(each.priority, gravest) else gravest
    if gravest != standing.priority:
        entries.append(Entry(What.PRIORITY, SYSTEM, now, {"from": standing.priority, "to": gravest}))
    return entries


def opened(fault: Fault, now: datetime) -> list[Entry]:
    """The beginning of the log of a request of its own."""
    body = {"by": "alert", "cause": fault.rule, "line": fault.line, "priority": fault.priority.value}
    alert = {"alert": fault.alert_id, "rule": fault.rule}
    return [Entry(What.OPENED, SYSTEM, now, body), Entry(What.ALERT, SYSTEM, now, alert)]


def cleared(alerts: list[Cleared], standing: Standing, now: datetime, *, reported: bool = False) -> list[Entry]:
    """What the log says when alerts clear: the request ends with the last of what it was opened for.

    What somebody opened for another reason goes on until somebody resolves it, and so does what speaks for a request
    that somebody opened (`reported`): no kit tells that what they saw is gone. Where nobody had touched it, it went
    away by itself.
    """
    if standing.state not in UNRESOLVED:
        return []
    entries = [
        Entry(What.ALERT, SYSTEM, now, {"alert": a.alert_id, "rule": a.rule, "cleared": a.resolution}) for a in alerts
    ]
    last = alerts[-1]
    ends = standing.opened_by == "alert" or any(each.rule == standing.cause for each in alerts)
    if not (last.over and ends):
        return entries
    if reported:
        entries[-1] = replace(entries[-1], body={**entries[-1].body, "stays_for": "reported"})
        return entries
    if last.resolution == Resolution.MERGED:
        told = (last.suppressed_by or "incident:").replace("incident:", "merged:").rstrip(":")
        body = {"from": standing.state, "to": "closed", "resolution": told}
    else:
        body = {"from": standing.state, "to": "resolved", "resolution": last.resolution}
        if last.resolution in NOT_SOLVED:
            body["because"] = last.resolution
        elif standing.state == "open" and standing.assignee is None:
            body |= {"cause": SELF_CLEARED, "remedy": SELF_CLEARED}
    return [*entries, Entry(What.STATE, SYSTEM, now, body)]
