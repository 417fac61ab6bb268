"""Mass events: when many kits of a cohort fall out together it is one fault, not many. Pure functions.

More than `least` kits and more than `share` of a cohort within the window are a mass event of that cohort. What
explains it best is the cohort that agrees most with those that fell out (F1: the harmonic mean of how much of the
cohort is out and how many of those out are in it); what it explains is set aside, and the rest may be a second event.
While a wave builds, its first kits are held back, because a kit's own request is wrong as soon as the wave stands.

A window is as long as kits take to be told out: one that is heard every few minutes says so within minutes of the
cause, one with a long interval at any time within the rhythm of its heartbeats. So each silent kit is looked at in a
window of its own: the quarter of its interval for which it is overdue before it is silent, between the setting and four
hours. What is counted together fell out within the last window of each. Kits of long intervals are overdue well before
they are silent: a wave shows as soon as many are, and who falls silent meanwhile waits for up to two windows.

Times are those of the rule's own clock: the listening clock for silence, so that our own outage neither makes nor ends
a wave, and seconds of the wall clock for every other rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from fleet.alerts.actions import Action, ClearIncident, SettleIncident
from fleet.alerts.cohorts import FLEET, RANK, Cohort, Traits
from fleet.alerts.rules import Rule, RuleName, has_held

OVERDUE_INTERVALS = 1.25
OVERDUE_SLACK_S = 5.0
"""A kit is overdue, and may be part of a wave, this many of its intervals and this long after it was heard."""
LONG_INTERVAL_S = 3600.0
LONG_OVERDUE_INTERVALS = 1.05
LONG_WAIT_WINDOWS = 2
"""With a longer interval than this a kit is overdue after so many of them, and may wait for so many windows."""
LONGEST_GRACE_S = 86_400.0
"""Who stayed silent when an incident cleared has one more interval to be heard, a day at most."""
WINDOW_OF_INTERVAL = 1 / 4
LONGEST_WINDOW_S = 14_400.0
"""A silent kit's window is this share of its interval, never more than this, never less than the setting."""
NEARLY = 0.98
"""Of cohorts that explain nearly as well as the best one, the larger is named."""
MOST_WAVES = 8
"""Mass events that may begin in one look; more wait for the next."""
LEAST_RELEASED_PER_MINUTE = 20
MOST_RELEASED_PER_MINUTE = 600
RELEASED_WITHIN_MINUTES = 60
"""Who stayed out when an incident cleared is released within about this time, between the two rates."""


@dataclass(frozen=True, slots=True)
class Settings:
    """When many are a mass event: more than `least` kits and more than `share` of a cohort within `window_s`."""

    enabled: bool = True
    least: int = 20
    share: float = 0.05
    window_s: float = 300.0


DEFAULT = Settings()
LEAST = DEFAULT.least


class Mode(StrEnum):
    """What a moment is."""

    CALM = "calm"
    """Every kit speaks for itself."""
    BUILDING = "building"
    """Some wait, for the window at most: they may be the first of many."""
    MASS = "mass"
    """An incident opens now."""
    ONGOING = "ongoing"
    """An incident is open, and kits of its cohort join it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Kits alike in everything: `begun` of them fell out `half` half windows ago, `coming` are about to.

    Their window is `window_s`, the setting where it is None. Numbers are estimates where only a sample was looked at.
    """

    traits: Traits
    half: int
    begun: float
    coming: float
    window_s: float | None = None

    def half_s(self, settings: Settings) -> float:
        """Half a window of these kits."""
        return (settings.window_s if self.window_s is None else self.window_s) / 2


@dataclass(frozen=True, slots=True)
class Wave:
    """Kits of a cohort falling out together since `from_clock_s`; it `stands` when they are a mass event by now."""

    cohort: Cohort
    size: int
    from_clock_s: float
    stands: bool


@dataclass(frozen=True, slots=True)
class OpenIncidentRow:
    """An open incident; who of its cohort fell out at `from_clock_s` or later belongs to it. `size` is the cohort's."""

    incident_id: int
    rule: RuleName
    cohort: Cohort
    size: int
    from_clock_s: float
    opened_at: datetime
    recovering_since: datetime | None


@dataclass(frozen=True, slots=True)
class Opening:
    """A kit for which a rule would open an alert now; `began_s` is when it came to that.

    It waits for a wave that builds no longer than `wait_s`, the setting's window where it is None.
    """

    kit_id: int
    began_s: float
    traits: Traits
    wait_s: float | None = None

    def has_waited(self, clock_s: float, settings: Settings) -> bool:
        """Whether its time to wait is over."""
        return clock_s - self.began_s > (settings.window_s if self.wait_s is None else self.wait_s)


@dataclass(slots=True)
class Placement:
    """Where openings belong: in an incident of a cohort, nowhere yet, or on their own; `joins` is by kit."""

    joins: dict[int, Cohort] = field(default_factory=dict)
    waits: set[int] = field(default_factory=set)
    alone: list[int] = field(default_factory=list)


def window_s(interval_s: float, settings: Settings = DEFAULT) -> float:
    """How long after each other kits of this interval may turn silent for one and the same cause."""
    return max(settings.window_s, min(interval_s * WINDOW_OF_INTERVAL, LONGEST_WINDOW_S))


def wait_s(interval_s: float, settings: Settings = DEFAULT) -> float:
    """How long a kit of this interval may wait for a wave that builds."""
    windows = LONG_WAIT_WINDOWS if interval_s > LONG_INTERVAL_S else 1
    return windows * window_s(interval_s, settings)


def threshold(size: int, settings: Settings = DEFAULT) -> float:
    """More kits than this of a cohort of `size` are a mass event."""
    return max(settings.least, size * settings.share)


def find_waves(
    groups: Sequence[Group],
    sizes: Mapping[Cohort, int],
    settings: Settings,
    *,
    clock_s: float,
    incidents: Sequence[OpenIncidentRow] = (),
) -> list[Wave]:
    """The mass events of these groups that no open incident explains, and those that may become one.

    First what fell out within the window and is about to, then every earlier window, the oldest first, in case nobody
    looked at the time. Groups of a cohort that is not among `sizes` are explained by their other cohorts only.
    """
    if not settings.enabled:
        return []
    found: dict[Cohort, Wave] = {}
    windows = [0, *sorted({g.half - 1 for g in groups if g.half > 1}, reverse=True)]
    for window in windows:
        known = [(i.cohort, i.from_clock_s) for i in incidents] + [(w.cohort, w.from_clock_s) for w in found.values()]
        left = [
            g
            for g in groups
            if window <= g.half <= window + 1
            and not any(c in g.traits and clock_s - g.half * g.half_s(settings) >= since for c, since in known)
        ]
        for wave in _waves_of(left, sizes, settings, clock_s, window):
            found[wave.cohort] = wave
        if len(found) >= MOST_WAVES:
            break
    return list(found.values())


def unknown(groups: Iterable[Group], sizes: Mapping[Cohort, int], settings: Settings) -> bool:
    """Whether a cohort could matter whose size nobody has counted yet."""
    return any(n[0] + n[1] > settings.least and cohort not in sizes for cohort, n in _count(groups).items())


def uncounted(
    groups: Iterable[Group], sizes: Mapping[Cohort, int], settings: Settings, *, clock_s: float
) -> list[Wave]:
    """Waves that may build in cohorts whose size is being counted: their kits wait for the answer."""
    recent = [g for g in groups if g.half <= 1]
    return [
        Wave(cohort, 0, _since(recent, cohort, settings, clock_s, 0), stands=False)
        for cohort, (begun, coming) in _count(recent).items()
        if begun + coming > settings.least and cohort not in sizes
    ]


def place(
    openings: Iterable[Opening],
    waves: Sequence[Wave],
    incidents: Sequence[OpenIncidentRow],
    settings: Settings,
    *,
    clock_s: float,
) -> Placement:
    """Where each opening of one rule belongs. This only ever narrows: who opens alone would have opened anyway.

    A kit joins the open incident of its narrowest cohort, or the wave that stands; one of a wave that builds waits,
    but no longer than it may. Who fell out before the event is none of its: it opens alone, unless it has been waiting
    for the wave that stands now.
    """
    known = sorted(((i.size, i.cohort, i.from_clock_s, False) for i in incidents), key=lambda each: each[0])
    known += [(w.size, w.cohort, w.from_clock_s, True) for w in waves if w.stands]
    building = [w.cohort for w in waves if not w.stands]
    placed = Placement()
    for each in openings:
        waits = not each.has_waited(clock_s, settings)
        mine = ((c, since, new and waits) for _, c, since, new in known if c in each.traits)
        cohort = next((c for c, since, awaited in mine if awaited or each.began_s >= since), None)
        if cohort is not None:
            placed.joins[each.kit_id] = cohort
        elif waits and any(c in each.traits for c in building):
            placed.waits.add(each.kit_id)
        else:
            placed.alone.append(each.kit_id)
    return placed


def mode(waves: Collection[Wave], incidents: Collection[OpenIncidentRow]) -> Mode:
    """What this moment is."""
    if any(wave.stands for wave in waves):
        return Mode.MASS
    if incidents:
        return Mode.ONGOING
    return Mode.BUILDING if waves else Mode.CALM


def settle(
    incident: OpenIncidentRow, *, still: int, settings: Settings, rule: Rule, clock_s: float, now: datetime
) -> list[Action]:
    """Whether the incident ends: when few enough of its kits have been out for `keep_firing_for_s`."""
    if still > threshold(incident.size, settings):
        return [] if incident.recovering_since is None else [SettleIncident(incident.incident_id, None)]
    since = incident.recovering_since or now
    if has_held(since, now, rule.keep_firing_for_s):
        return [ClearIncident(incident.incident_id, clock_s)]
    return [SettleIncident(incident.incident_id, since)] if incident.recovering_since is None else []


def is_releasable(clock_s: float, cleared_clock_s: float, interval_s: float) -> bool:
    """Whether a member that stayed silent has had one more interval since its incident cleared."""
    return clock_s > cleared_clock_s + min(interval_s, LONGEST_GRACE_S)


def release_budget(left: int, released_last_minute: int) -> int:
    """How many members may be released now, of incidents that cleared with `left` members still out."""
    per_minute = min(MOST_RELEASED_PER_MINUTE, max(LEAST_RELEASED_PER_MINUTE, left // RELEASED_WITHIN_MINUTES))
    return max(0, per_minute - released_last_minute)


def _waves_of(
    groups: list[Group], sizes: Mapping[Cohort, int], settings: Settings, clock_s: float, window: int
) -> list[Wave]:
    """The best cohort, then the best of what it does not explain, and so on."""
    waves: list[Wave] = []
    while len(waves) < MOST_WAVES and sum(g.begun + g.coming for g in groups) > settings.least:
        counts = _count(groups)
        best = _best(groups, counts, sizes, settings)
        if best is None:
            break
        from_s = _since(groups, best, settings, clock_s, window)
        waves.append(Wave(best, sizes[best], from_s, counts[best][0] > threshold(sizes[best], settings)))
        groups = [g for g in groups if best not in g.traits]
    return waves


def _since(groups: Iterable[Group], cohort: Cohort, settings: Settings, clock_s: float, window: int) -> float:
    """When the earliest of these kits of the cohort may have fallen out."""
    longest_half_s = max(g.half_s(settings) for g in groups if cohort in g.traits)
    return clock_s - (window + 2) * longest_half_s


def _count(groups: Iterable[Group]) -> dict[Cohort, tuple[float, float]]:
    """Of each cohort, how many fell out and how many are about to."""
    counts: dict[Cohort, tuple[float, float]] = {}
    for group in groups:
        for cohort in group.traits:
            begun, coming = counts.get(cohort, (0.0, 0.0))
            counts[cohort] = begun + group.begun, coming + group.coming
    return counts


def _best(
    groups: Iterable[Group],
    counts: Mapping[Cohort, tuple[float, float]],
    sizes: Mapping[Cohort, int],
    settings: Settings,
) -> Cohort | None:
    """The cohort that agrees most with what fell out, among those of which enough did."""
    out = sum(group.begun + group.coming for group in groups)
    scores = {
        cohort: 2 * hits / (out + sizes[cohort])
        for cohort, hits in ((cohort, sum(both)) for cohort, both in counts.items() if cohort in sizes)
        if hits > threshold(sizes[cohort], settings)
    }
    if not scores:
        return None
    near = [cohort for cohort, score in scores.items() if score >= NEARLY * max(scores.values())]
    return max(near, key=lambda cohort: (sizes[cohort], cohort == FLEET, -RANK[cohort.kind], cohort.value))
