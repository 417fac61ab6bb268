"""The listening clock of the past, told by our outages: when we would have heard a kit. Pure.

Its readings are seconds since 1970 less the time in which we did not listen, so that a span of it is listening time.
Time in which a kit was in maintenance without collection counts as little for that kit's silence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from fleet.alerts.judging.facts import Clock, deadline_clock_s

LATEST = datetime(9000, 1, 1, tzinfo=UTC)
SHORTEST_GAP_S = 10.0
"""The clock bridges less."""
CHAIN_S, LONGEST_CHAIN_S = 900.0, 3600.0
"""Outages closer together than this are one for kits that are overdue already, up to that long."""
_ROUNDING_S = 1e-5
Span = tuple[datetime, datetime | None]


class Hearing:
    """When we listened, as far as it is known; `outages` may overlap, and the last may go on (None)."""

    def __init__(self, outages: Iterable[Span] = ()) -> None:
        self._gaps = _merged(outages)
        self._begins = [begin for begin, _ in self._gaps]
        self._before = [0.0]
        for begin, end in self._gaps:
            self._before.append(self._before[-1] + (end - begin))
        self._grace_from = list(self._graces())

    def without(self, spans: Iterable[Span]) -> Hearing:
        """As if nobody had listened in these spans either."""
        told = [(_moment(begin), None if end == float("inf") else _moment(end)) for begin, end in self._gaps]
        return Hearing([*told, *spans])

    def clock_s(self, at: datetime) -> float:
        """The reading at a moment."""
        at_s = at.timestamp()
        place = bisect_right(self._begins, at_s)
        if place == 0:
            return at_s
        begin, end = self._gaps[place - 1]
        return at_s - self._before[place - 1] - (min(at_s, end) - begin)

    def clock(self, at: datetime) -> Clock:
        """The clock at a moment, as a judge sees it."""
        at_s = at.timestamp()
        place = bisect_right(self._begins, at_s)
        hears = place == 0 or at_s >= self._gaps[place - 1][1] - _ROUNDING_S
        over = place if hears else place - 1
        if over == 0:
            return Clock(self.clock_s(at), 0.0, 0.0, hears)
        return Clock(self.clock_s(at), self._resumed_s(over - 1), self._grace_from[over - 1], hears)

    def resumes(self, after: datetime, before: datetime) -> list[datetime]:
        """When we began to listen again between two moments."""
        first_s, last_s = after.timestamp(), before.timestamp()
        return [_moment(end) for _, end in self._gaps if first_s < end < last_s]

    def silent_from(
        self, heard_at: datetime, allowance_s: float, interval_s: float, until: datetime
    ) -> datetime | None:
        """When a kit that was heard last turned silent, if that was before `until`."""
        heard_s = self.clock_s(heard_at)
        for begin_s, end_s, clock in self._listened(heard_at, until):
            deadline_s = deadline_clock_s(heard_s, allowance_s, interval_s, clock)
            at_s = begin_s + max(0.0, deadline_s - clock.clock_s)
            if at_s < end_s:
                return _moment(at_s)
        return None

    def _listened(self, after: datetime, until: datetime) -> Iterator[tuple[float, float, Clock]]:
        """The times in which we listened, from and to, with the clock at the beginning of each."""
        starts = [after, *self.resumes(after, until)]
        until_s = until.timestamp()
        for start in starts:
            clock = self.clock(start)
            if not clock.hears:
                continue
            place = bisect_right(self._begins, start.timestamp())
            end_s = self._begins[place] if place < len(self._begins) else until_s
            yield start.timestamp(), min(end_s, until_s), clock

    def _resumed_s(self, place: int) -> float:
        """The reading when that gap ended."""
        return self._begins[place] - self._before[place]

    def _graces(self) -> Iterator[float]:
        """The reading at the first of several outages in short succession, for each."""
        resumed_s = grace_from_s = 0.0
        for place in range(len(self._gaps)):
            clock_s = self._resumed_s(place)
            near = clock_s - resumed_s < CHAIN_S and clock_s - grace_from_s < LONGEST_CHAIN_S
            grace_from_s, resumed_s = (grace_from_s if near else clock_s), clock_s
            yield grace_from_s


def silent_spans(
    gaps: Iterable[Span], used: Iterable[Span], allowance_s: float, interval_s: float, hearing: Hearing
) -> list[Span]:
    """When a kit was silent for longer than it may be while it was in use.

    Between the moments of a gap it was not heard; one without an end lasts. Of the time before it came into use nothing
    counts.
    """
    spans: list[Span] = []
    for begin, end in used:
        for heard_at, next_at in gaps:
            until = min(next_at or LATEST, end or LATEST)
            from_ = hearing.silent_from(max(heard_at, begin), allowance_s, interval_s, until)
            if heard_at < until and from_ is not None:
                spans.append((from_, None if until == LATEST else until))
    return spans


def _merged(outages: Iterable[Span]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    told = [(begin.timestamp(), float("inf") if end is None else end.timestamp()) for begin, end in outages]
    for begin, end in sorted(told):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return [(begin, end) for begin, end in merged if end - begin >= SHORTEST_GAP_S]


def _moment(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
