"""The rules that findings feed: each kind of finding is spoken of by one of them, but those that a judge speaks of."""

from __future__ import annotations

from functools import partial

from fleet.alerts.judging.about import Source, rule
from fleet.alerts.rules import Line, RuleName
from fleet.state.findings.kinds import Kind

_found = partial(rule, source=Source.BOOKS)
_DISAGREEING = frozenset(
    {
        Kind.REPORTS_WHILE_STORED,
        Kind.REPORTS_WHILE_LOST,
        Kind.PERIPHERAL_IN_TWO_KITS,
        Kind.PERIPHERAL_NOT_IN_BOOKS,
        Kind.PERIPHERAL_MISSING,
        Kind.MODEL_DIFFERS,
        Kind.FIRMWARE_DIFFERS,
    }
)
_SWAPPED = frozenset({Kind.OTHER_TABLET, Kind.OTHER_SIM})
_MISUSED = frozenset({Kind.REPORTS_WHILE_SCRAPPED, Kind.TWO_TABLETS})

RULES = (
    _found(RuleName.BOOKS_AGAINST_REALITY, "minor", Line.LOGISTICS, kinds=_DISAGREEING),
    _found(RuleName.TABLET_OR_SIM_SWAPPED, "major", Line.LOGISTICS, kinds=_SWAPPED),
    _found(RuleName.CREDENTIALS_MISUSED, "critical", Line.SERVICE, kinds=_MISUSED),
    _found(RuleName.CALIBRATION_DUE, "minor", Line.LOGISTICS, kinds=frozenset({Kind.CALIBRATION_OVERDUE})),
    _found(RuleName.WARRANTY_ENDING, "warning", Line.LOGISTICS, kinds=frozenset({Kind.WARRANTY_ENDING})),
    _found(RuleName.LEASE_ENDING, "warning", Line.LOGISTICS, kinds=frozenset({Kind.LEASE_ENDING})),
    _found(RuleName.STOCK_LOW, "minor", Line.LOGISTICS, kinds=frozenset({Kind.BELOW_MINIMUM})),
)
