"""What a trial would have opened for many kits of a cohort at once: one mass event, not as many alerts. Pure.

It asks the worker's own question (`fleet/alerts/mass.py`) of what a trial opened, half a window at a time. Of a sample
each kit stands for `stride` of the fleet; a handful of kits looked at is never enough, whatever they stand for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import heappush, heappushpop
from time import perf_counter

from fleet.alerts import mass
from fleet.alerts.cohorts import Cohort, Traits
from fleet.alerts.judging.replay import Episode
from fleet.alerts.judging.spells import INCIDENT
from fleet.alerts.mass import Group, Settings

LEAST_LOOKED_AT = 5
"""Kits of a sample that must have fallen out before they say anything of those that were not looked at."""
RELEASED_AFTER = timedelta(minutes=15)
"""Who stays broken when a mass event is over is told of after this; then gradually, which is left out here."""
MOST_LOOKS = 20_000


@dataclass(frozen=True, slots=True)
class Opened:
    """An alert that a trial opened, of a kit with these cohorts; `window_s` is the kit's own window."""

    traits: Traits
    window_s: float
    episode: Episode

    @property
    def at_s(self) -> float:
        """When it opened."""
        return self.episode.opened_at.timestamp()

    def out(self, at_s: float) -> bool:
        """Whether it stands then."""
        return self.until_s > at_s

    @property
    def until_s(self) -> float:
        """When it cleared."""
        cleared_at = self.episode.cleared_at
        return math.inf if cleared_at is None else cleared_at.timestamp()


@dataclass(slots=True)
class _Event:
    """A mass event that would have been, over when `most` of its kits at most are still out.

    Of the ends of its kits only the latest are kept, one more than that: as a heap, the first of them on top.
    """

    cohort: Cohort
    from_s: float
    most: int
    members: list[Opened] = field(default_factory=list)
    latest: list[float] = field(default_factory=list)

    def take(self, opened: Opened) -> None:
        """Suppress it: the mass event speaks for it."""
        opened.episode.suppressed_by = f"{INCIDENT}:{self.cohort}"
        self.members.append(opened)
        put = heappush if len(self.latest) <= self.most else heappushpop
        put(self.latest, opened.until_s)

    @property
    def over_s(self) -> float:
        """When it is over."""
        return self.latest[0] if len(self.latest) > self.most else -math.inf

    def end(self, at_s: float) -> None:
        """Let those be heard that stay broken."""
        heard_s = at_s + RELEASED_AFTER.total_seconds()
        for each in self.members:
            if each.out(heard_s):
                each.episode.heard_at = datetime.fromtimestamp(heard_s, UTC)


@dataclass(frozen=True, slots=True)
class Gathered:
    """How many mass events there would have been; not `complete` when the time was over before."""

    incidents: int = 0
    complete: bool = True


def gather(
    opened: Sequence[Opened],
    sizes: Mapping[Cohort, int],
    settings: Settings,
    stride: float,
    deadline_s: float = math.inf,
) -> Gathered:
    """Mark what mass events would have spoken for.

    `sizes` are those of the cohorts in the whole fleet, estimated like what fell out. What is suppressed by something
    else already counts for none. At `deadline_s` of this process's own clock it ends with what it has until then.
    """
    left = sorted((each for each in opened if each.episode.suppressed_by is None), key=lambda each: each.at_s)
    if not settings.enabled or len(left) <= min(LEAST_LOOKED_AT, settings.least):
        return Gathered()
    if stride > 1:
        settings = replace(settings, least=max(settings.least, int(LEAST_LOOKED_AT * stride)))
    events: list[_Event] = []
    count = begin = 0
    complete = True
    for at_s, end in _looks(left, settings.window_s / 2):
        if perf_counter() > deadline_s:
            complete = False
            break
        longest_s = max((each.window_s for each in left[begin:end]), default=0.0)
        while begin < end and left[begin].at_s < at_s - longest_s:
            begin += 1
        events = _going_on(events, at_s - settings.window_s / 2)
        _join(left[begin:end], events)
        alone = [each for each in left[begin:end] if each.episode.suppressed_by is None]
        begun = _begun(alone, sizes, settings, at_s, stride)
        _join(alone, begun)
        count += len(begun)
        events = [*events, *begun]
    _going_on(events, math.inf)
    return Gathered(count, complete)


def _looks(left: Sequence[Opened], half_s: float) -> list[tuple[float, int]]:
    """When to look, and how many have opened by then: at the end of each half window in which something opened."""
    last: dict[int, int] = {}
    for number, each in enumerate(left, 1):
        last[int(each.at_s // half_s) + 1] = number
    return [(place * half_s, number) for place, number in sorted(last.items())[:MOST_LOOKS]]


def _begun(
    alone: Sequence[Opened], sizes: Mapping[Cohort, int], settings: Settings, at_s: float, stride: float
) -> list[_Event]:
    counts: Counter[tuple[Traits, int, float]] = Counter()
    for each in alone:
        half = int((at_s - each.at_s) // (each.window_s / 2))
        if half <= 1:
            counts[each.traits, half, each.window_s] += 1
    groups = [Group(traits, half, n * stride, 0.0, window_s) for (traits, half, window_s), n in counts.items()]
    waves = mass.find_waves(groups, sizes, settings, clock_s=at_s)
    most = {wave.cohort: int(mass.threshold(sizes[wave.cohort], settings) / stride) for wave in waves}
    return [_Event(wave.cohort, wave.from_clock_s, most[wave.cohort]) for wave in waves if wave.stands]


def _join(opened: Sequence[Opened], events: Sequence[_Event]) -> None:
    for each in opened:
        if each.episode.suppressed_by is None:
            event = next((e for e in events if e.cohort in each.traits and each.at_s >= e.from_s), None)
            if event is not None:
                event.take(each)


def _going_on(events: Sequence[_Event], at_s: float) -> list[_Event]:
    """Those of which too many are out still then; the others end when few enough were."""
    on = []
    for event in events:
        over_s = event.over_s
        if over_s > at_s or over_s == math.inf:
            on.append(event)
        elif event.members:
            event.end(max(over_s, event.from_s))
    return on
