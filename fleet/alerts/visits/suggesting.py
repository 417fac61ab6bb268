"""What a crew had better bring along, as far as kit type, books and fault tell. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fleet.alerts.visits.steps import Kind

TABLET, SIM = "tablet", "sim"
HINTS: Mapping[str, frozenset[str]] = {
    "silent": frozenset({TABLET, SIM}),
    "never_heard": frozenset({TABLET, SIM}),
    "tablet_or_sim_swapped": frozenset({TABLET, SIM}),
    "no_network": frozenset({SIM}),
    "sim_fault": frozenset({SIM}),
    "tablet_fault": frozenset({TABLET}),
    "tablet_battery_low": frozenset({TABLET}),
    "not_charging": frozenset({TABLET}),
    "battery_fault": frozenset({TABLET}),
    "restarts": frozenset({TABLET}),
    "app_fault": frozenset({TABLET}),
}
"""Which pieces a rule or the cause of a request hints at where its evidence names none."""
OF_FAULTS = frozenset({Kind.SWAP, Kind.REPAIR})


class Because(StrEnum):
    """Why something is suggested; a spare is only offered."""

    MISSING = "missing"
    FAULT = "fault"
    CALIBRATION = "calibration"
    SPARE = "spare"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Kinds of pieces: what the kit type asks for, what the books say is in the kit, what is wrong, what is due."""

    contents: Mapping[str, int] = field(default_factory=dict)
    pieces: Sequence[str] = ()
    at_fault: Collection[str] = ()
    calibration_due: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many of a kind of piece; none of what is only offered."""

    kind: str
    quantity: int
    because: Because


def suggest(kind: Kind, bundle: Bundle) -> list[Wanted]:
    """What to bring to a visit of `kind`, and after it every other kind that belongs to the kit."""
    wanted = list(_needed(kind, bundle))
    named = {each.kind for each in wanted}
    others = sorted((bundle.contents.keys() | set(bundle.pieces)) - named)
    return [*wanted, *(Wanted(each, 0, Because.SPARE) for each in others)]


def at_fault(causes: Iterable[str], evidence: Iterable[Mapping[str, Any]] = ()) -> frozenset[str]:
    """Kinds of pieces that alerts and requests point at: those their evidence names, and those their cause hints at."""
    hinted = {kind for cause in causes for kind in HINTS.get(cause, ())}
    named = {str(each["kind"]) for told in evidence for each in told.get("peripherals") or () if each.get("kind")}
    return frozenset(hinted | named)


def _needed(kind: Kind, bundle: Bundle) -> Iterator[Wanted]:
    if kind is Kind.INSTALL:
        there = Counter(bundle.pieces)
        for name, quantity in sorted(bundle.contents.items()):
            if (lacking := quantity - there[name]) > 0:
                yield Wanted(name, lacking, Because.MISSING)
    elif kind in OF_FAULTS:
        yield from (Wanted(each, 1, Because.FAULT) for each in sorted(bundle.at_fault))
    elif kind is Kind.CALIBRATION:
        yield from (Wanted(each, 1, Because.CALIBRATION) for each in sorted(bundle.calibration_due))
