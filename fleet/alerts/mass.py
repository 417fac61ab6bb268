"""Mass events: when many kits turn silent together it is one fault, not many. Pure functions.

More than `threshold` kits turning silent within the window open one incident; while a wave builds, the first ones are
held back, because a kit's own request is wrong as soon as the wave stands. All times are the listening clock's, so
our own outage neither makes nor ends a wave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fleet.alerts.actions import Action, ClearIncident, SettleIncident
from fleet.alerts.rules import Rule, has_held

WINDOW_S = 300.0
"""Kits whose deadlines passed within this time turned silent together; no kit is held back longer."""
LEAST = 20
SHARE = 20
"""One kit in this many: five per cent."""
OVERDUE_INTERVALS = 1.25
OVERDUE_SLACK_S = 5.0
"""A kit is overdue, and may be part of a wave, this many of its intervals and this long after it was heard."""
LONGEST_GRACE_S = 900.0
RELEASED_PER_MINUTE = 20


class Mode(StrEnum):
    """What happens to a kit that turned silent."""

    CALM = "calm"
    """It opens its own alert."""
    BUILDING = "building"
    """It waits, for the window at most: it may be the first of many."""
    MASS = "mass"
    """An incident opens now, and it joins."""
    ONGOING = "ongoing"
    """It joins the open incident."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Counts of one moment: `recent` turned silent within the window (or within any window that nobody looked at),
    `due` are overdue and turn silent within the next one, `installed` is the fleet."""

    installed: int
    recent: int
    due: int


@dataclass(frozen=True, slots=True)
class OpenIncidentRow:
    """The open incident of a rule."""

    incident_id: int
    recovering_since: datetime | None


def threshold(installed: int) -> float:
    """More kits than this are a mass event: 20, or 5 % of the installed ones where that is more."""
    return max(LEAST, installed / SHARE)


def mode(wave: Wave, incident: OpenIncidentRow | None) -> Mode:
    """What this moment is."""
    if incident is not None:
        return Mode.ONGOING
    limit = threshold(wave.installed)
    if wave.recent > limit:
        return Mode.MASS
    return Mode.BUILDING if wave.recent + wave.due > limit else Mode.CALM


def is_held(deadline_clock_s: float, clock_s: float) -> bool:
    """Whether a kit silent since its deadline may still wait for a wave."""
    return clock_s - deadline_clock_s <= WINDOW_S


def settle(
    incident: OpenIncidentRow, *, still_silent: int, installed: int, rule: Rule, clock_s: float, now: datetime
) -> list[Action]:
    """Whether the incident ends: when few enough of its kits have been silent for `keep_firing_for_s`."""
    if still_silent > threshold(installed):
        return [] if incident.recovering_since is None else [SettleIncident(incident.incident_id, None)]
    since = incident.recovering_since or now
    if has_held(since, now, rule.keep_firing_for_s):
        return [ClearIncident(incident.incident_id, clock_s)]
    return [SettleIncident(incident.incident_id, since)] if incident.recovering_since is None else []


def is_releasable(clock_s: float, cleared_clock_s: float, interval_s: float) -> bool:
    """Whether a member that stayed silent has had one more interval since its incident cleared."""
    return clock_s > cleared_clock_s + min(interval_s, LONGEST_GRACE_S)


def release_budget(released_last_minute: int) -> int:
    """How many members may be released now."""
    return max(0, RELEASED_PER_MINUTE - released_last_minute)
