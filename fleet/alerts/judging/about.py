"""What is known of a rule: what brings it about, its defaults, its texts, and who judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from fleet.alerts.actions import Evidence
from fleet.alerts.judging.facts import Clock, Condition, KitFacts
from fleet.alerts.judging.parameters import NoParameters, Parameters
from fleet.alerts.judging.texts import TEXTS, RuleText
from fleet.alerts.rules import PRIORITY_OF, Line, Resolution, Rule, RuleName
from fleet.state.findings.kinds import Kind

Judge = Callable[[KitFacts, Any, Clock, datetime], Condition | None]
Wake = Callable[[KitFacts, Any, datetime], datetime | None]
Settled = Callable[[KitFacts, Evidence], Resolution]
NONE = NoParameters()
MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0


class Source(StrEnum):
    """What brings a rule's condition about, and therefore when it is judged."""

    CLOCK = "clock"
    """Listening time passes; found by a scan of the fleet each tick."""
    HEARTBEAT = "heartbeat"
    """The latest heartbeat; found by a scan of the fleet each tick."""
    REPORT = "report"
    """A software, pairing or update report, or a wish; judged when one changed."""
    BOOKS = "books"
    """Findings (fleet/state/findings), which become alerts of their kit or of a place."""


@dataclass(frozen=True, slots=True)
class About:
    """One rule. `judge` is None where its alerts come another way: by silence, or from findings of `kinds`.

    `wake` tells when time alone may change the judgement, `settled` why an alert ends once its condition is gone.
    """

    source: Source
    default: Rule
    text: RuleText
    judge: Judge | None = None
    wake: Wake | None = None
    settled: Settled | None = None
    kinds: frozenset[Kind] = frozenset()

    @property
    def parameters(self) -> type[Parameters]:
        """The type of the rule's parameters."""
        kind: type[Parameters] = type(self.default.parameters)
        return kind


def rule(
    name: RuleName,
    severity: str,
    line: Line,
    *,
    source: Source,
    for_s: float = 0.0,
    keep_s: float = 0.0,
    parameters: Parameters = NONE,
    **judging: Any,
) -> About:
    """A rule by its defaults; its priority is that of its severity, `judging` the rest of `About`."""
    default = Rule(name, severity, line, PRIORITY_OF[severity], for_s, keep_s, True, parameters)
    return About(source, default, TEXTS[name], **judging)
