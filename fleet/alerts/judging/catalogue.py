"""The table of the rules: who judges, from what, with which defaults. The database's `rules` is filled from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from fleet.alerts.actions import Evidence
from fleet.alerts.judging import parameters as p
from fleet.alerts.judging import reported, tablet
from fleet.alerts.judging.facts import Clock, Condition, KitFacts
from fleet.alerts.judging.texts import TEXTS, RuleText
from fleet.alerts.rules import Line, Priority, Resolution, Rule, RuleName
from fleet.state.findings.kinds import Kind

Judge = Callable[[KitFacts, Any, Clock, datetime], Condition | None]
Wake = Callable[[KitFacts, Any, datetime], datetime | None]
Settled = Callable[[KitFacts, Evidence], Resolution]
DAY_S = 86_400.0


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
    def parameters(self) -> type[p.Parameters]:
        """The type of the rule's parameters."""
        kind: type[p.Parameters] = type(self.default.parameters)
        return kind


R, S, L, P = RuleName, Source, Line, Priority
NONE = p.NoParameters()


def _rule(
    name: RuleName, delays_s: tuple[float, float], who: tuple[str, Line, Priority], values: p.Parameters = NONE
) -> Rule:
    for_s, keep_s = delays_s
    severity, line, priority = who
    return Rule(name, severity, line, priority, for_s, keep_s, True, values)


def _table() -> dict[RuleName, About]:
    rows: list[tuple[Source, Rule, dict[str, Any]]] = [
        (S.CLOCK, _rule(R.SILENT, (0, 15), ("major", L.SUPPORT, P.HIGH)), {}),
        (
            S.CLOCK,
            _rule(R.NEVER_HEARD, (0, 15), ("major", L.LOGISTICS, P.HIGH), p.NeverHeard()),
            {"judge": tablet.never_heard},
        ),
        (
            S.REPORT,
            _rule(R.VERSION_DRIFT, (30, 15), ("minor", L.SERVICE, P.NORMAL)),
            {"judge": reported.version_drift, "settled": reported.drift_settled},
        ),
        (
            S.REPORT,
            _rule(R.PAIRING_LOST, (900, 600), ("major", L.SUPPORT, P.HIGH), p.PairingLost()),
            {"judge": reported.pairing_lost, "wake": reported.pairing_wake},
        ),
        (
            S.REPORT,
            _rule(R.PERIPHERAL_BATTERY_LOW, (900, 600), ("minor", L.SUPPORT, P.NORMAL), p.PeripheralBattery()),
            {"judge": reported.peripheral_battery_low},
        ),
        (
            S.REPORT,
            _rule(R.UPDATE_FAILED, (0, 60), ("minor", L.SERVICE, P.NORMAL)),
            {"judge": reported.update_failed},
        ),
        (
            S.REPORT,
            _rule(R.RESTARTS, (0, 3600), ("minor", L.SERVICE, P.NORMAL), p.Restarts()),
            {"judge": reported.restarts, "wake": reported.restarts_wake},
        ),
        (
            S.HEARTBEAT,
            _rule(R.TABLET_BATTERY_LOW, (DAY_S, 900), ("warning", L.SUPPORT, P.LOW), p.TabletBattery()),
            {"judge": tablet.tablet_battery_low},
        ),
        (
            S.HEARTBEAT,
            _rule(R.NOT_CHARGING, (2 * DAY_S, 900), ("minor", L.SUPPORT, P.NORMAL), p.NotCharging()),
            {"judge": tablet.not_charging},
        ),
        (
            S.HEARTBEAT,
            _rule(R.STORAGE_LOW, (3600, 900), ("minor", L.SERVICE, P.NORMAL), p.Storage()),
            {"judge": tablet.storage_low},
        ),
        (
            S.HEARTBEAT,
            _rule(R.NO_NETWORK, (6 * 3600, 1800), ("minor", L.SERVICE, P.NORMAL), p.Network()),
            {"judge": tablet.no_network},
        ),
        (
            S.HEARTBEAT,
            _rule(R.CLOCK_SKEW, (1800, 900), ("minor", L.SERVICE, P.NORMAL), p.ClockSkew()),
            {"judge": tablet.clock_skew},
        ),
        (
            S.BOOKS,
            _rule(R.BOOKS_AGAINST_REALITY, (0, 0), ("minor", L.LOGISTICS, P.NORMAL)),
            {
                "kinds": {
                    Kind.REPORTS_WHILE_STORED,
                    Kind.REPORTS_WHILE_LOST,
                    Kind.PERIPHERAL_IN_TWO_KITS,
                    Kind.PERIPHERAL_NOT_IN_BOOKS,
                    Kind.PERIPHERAL_MISSING,
                    Kind.MODEL_DIFFERS,
                    Kind.FIRMWARE_DIFFERS,
                }
            },
        ),
        (
            S.BOOKS,
            _rule(R.TABLET_OR_SIM_SWAPPED, (0, 0), ("major", L.LOGISTICS, P.HIGH)),
            {"kinds": {Kind.OTHER_TABLET, Kind.OTHER_SIM}},
        ),
        (
            S.BOOKS,
            _rule(R.CREDENTIALS_MISUSED, (0, 0), ("critical", L.SERVICE, P.URGENT)),
            {"kinds": {Kind.REPORTS_WHILE_SCRAPPED, Kind.TWO_TABLETS}},
        ),
        (
            S.BOOKS,
            _rule(R.CALIBRATION_DUE, (0, 0), ("minor", L.LOGISTICS, P.NORMAL)),
            {"kinds": {Kind.CALIBRATION_OVERDUE}},
        ),
        (
            S.BOOKS,
            _rule(R.WARRANTY_ENDING, (0, 0), ("warning", L.LOGISTICS, P.LOW)),
            {"kinds": {Kind.WARRANTY_ENDING}},
        ),
        (S.BOOKS, _rule(R.LEASE_ENDING, (0, 0), ("warning", L.LOGISTICS, P.LOW)), {"kinds": {Kind.LEASE_ENDING}}),
        (S.BOOKS, _rule(R.STOCK_LOW, (0, 0), ("minor", L.LOGISTICS, P.NORMAL)), {"kinds": {Kind.BELOW_MINIMUM}}),
    ]
    return {rule.rule: About(source, rule, TEXTS[rule.rule], **more) for source, rule, more in rows}


CATALOGUE: Mapping[RuleName, About] = _table()
JUDGED: tuple[tuple[RuleName, About], ...] = tuple((n, a) for n, a in CATALOGUE.items() if a.judge is not None)
"""Rules that are judged from the facts of a kit."""
SCANNED = tuple(name for name, about in JUDGED if about.source in (Source.CLOCK, Source.HEARTBEAT))
"""Rules whose condition the scan of the fleet finds; the place of each is its bit there."""
RULE_OF: Mapping[Kind, RuleName] = {kind: name for name, about in CATALOGUE.items() for kind in about.kinds}
"""Which rule speaks of a finding; `never_heard` among them is a rule of its own, judged from the facts."""
