"""What the server ought to notice: derived from what was really sent, kit by kit.

A kit was silent when nothing of it was acknowledged for longer than the server allows; it drifted while the
software it last told of was not the wanted one. Just above the limit either outcome is right (`at_most` is
larger than `at_least`), since detection takes a moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from fleet.protocol.messages import Software
from simulator.effects import Publish
from simulator.scenario import Scenario

SILENT = "silent"
VERSION_DRIFT = "version_drift"
EARLY_S = 3.0
"""A gap this much short of the limit may still be found: clocks and ways differ."""


class Span(msgspec.Struct, frozen=True):
    """A kit was out of order from `start_s` to `end_s`; `ended` is false when that is only the end of the run."""

    kit: str
    rule: str
    start_s: float
    end_s: float
    ended: bool


class Expected(msgspec.Struct, frozen=True):
    """How many alerts of `rule` a kit must and may have; how many of them must have cleared."""

    kit: str
    rule: str
    at_least: int
    at_most: int
    cleared: int = 0


class Watch:
    """Is told of every message made and acknowledged."""

    def __init__(self, scenario: Scenario) -> None:
        self._installed = scenario.fleet.state == "installed"
        self._wanted = scenario.software.wanted
        self._after_s = {SILENT: scenario.silent_after_s(), VERSION_DRIFT: scenario.expect.drift_after_s}
        self._detect_s = scenario.expect.detect_s
        self._heard: dict[str, float] = {}
        self._drifted: dict[str, float] = {}
        self._spans: list[Span] = []
        self._remember = not scenario.fleet.endless

    def heard(self, kit: str, at_s: float) -> None:
        """The broker acknowledged a message that proves the kit alive."""
        last_s = self._heard.get(kit)
        self._heard[kit] = at_s
        if last_s is not None:
            self._note(Span(kit, SILENT, last_s, at_s, ended=True))

    def told(self, kit: str, message: Publish) -> None:
        """The kit made a message."""
        if not isinstance(message.payload, Software):
            return
        reported = message.payload.components
        wrong = any(reported.get(name) != version for name, version in self._wanted.items() if name in reported)
        if wrong:
            self._drifted.setdefault(kit, message.at_s)
        elif kit in self._drifted:
            self._note(Span(kit, VERSION_DRIFT, self._drifted.pop(kit), message.at_s, ended=True))

    def _note(self, span: Span) -> None:
        if self._remember and self._long_enough(span):
            self._spans.append(span)

    def _long_enough(self, span: Span) -> bool:
        return span.end_s - span.start_s > self._after_s[span.rule] - EARLY_S

    def spans(self, stopped_s: float) -> Iterator[Span]:
        """Everything noted, and what still lasted at the end of the run."""
        yield from self._spans
        open_ends = [Span(kit, SILENT, since_s, stopped_s, ended=False) for kit, since_s in self._heard.items()]
        open_ends += [
            Span(kit, VERSION_DRIFT, since_s, stopped_s, ended=False) for kit, since_s in self._drifted.items()
        ]
        yield from filter(self._long_enough, open_ends)

    def expected(self, stopped_s: float) -> list[Expected]:
        """What to look for in the database."""
        if not self._installed:
            return []
        found: dict[tuple[str, str], list[Span]] = defaultdict(list)
        for span in self.spans(stopped_s):
            found[span.kit, span.rule].append(span)
        return [self._judged(kit, rule, spans, stopped_s) for (kit, rule), spans in sorted(found.items())]

    def _judged(self, kit: str, rule: str, spans: list[Span], stopped_s: float) -> Expected:
        limit_s = self._after_s[rule] + self._detect_s
        sure = [span for span in spans if span.end_s - span.start_s >= limit_s]
        gone = [span for span in sure if span.ended and stopped_s - span.end_s >= self._detect_s]
        # Spans that follow closely may fall into one alert, which clears with a delay of its own.
        return Expected(kit, rule, min(1, len(sure)), len(spans), min(1, len(gone)))
