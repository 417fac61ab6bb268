"""The rules by name. The database's `rules` is filled from this table."""

from __future__ import annotations

from collections.abc import Mapping

from fleet.alerts.judging import found, reported, tablet
from fleet.alerts.judging.about import About, Source, rule
from fleet.alerts.rules import Line, RuleName
from fleet.state.findings.kinds import Kind

__all__ = ["CATALOGUE", "JUDGED", "RULE_OF", "SCANNED", "About", "Source"]

_SILENT = rule(RuleName.SILENT, "major", Line.SUPPORT, source=Source.CLOCK, keep_s=15)
"""Who is silent is asked of the fleet as a whole (fleet/alerts/massevents/silent.py)."""
CATALOGUE: Mapping[RuleName, About] = {
    each.default.rule: each for each in (_SILENT, *reported.RULES, *tablet.RULES, *found.RULES)
}
JUDGED: tuple[tuple[RuleName, About], ...] = tuple((n, a) for n, a in CATALOGUE.items() if a.judge is not None)
"""Rules that are judged from the facts of a kit."""
SCANNED = tuple(name for name, about in JUDGED if about.source in (Source.CLOCK, Source.HEARTBEAT))
"""Rules whose condition the scan of the fleet finds; the place of each is its bit there."""
RULE_OF: Mapping[Kind, RuleName] = {kind: name for name, about in CATALOGUE.items() for kind in about.kinds}
"""Which rule speaks of a finding; `never_heard` among them is a rule of its own, judged from the facts."""
