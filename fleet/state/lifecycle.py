"""The life of a kit: one table of steps and a pure `transition()`.

The picture in the docs is drawn from `STEPS`. Silence, drift and pairing are faults only while a kit is
installed; what a kit's state means for its watch is decided in SQL by `watch_allowance_s()`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class KitState(StrEnum):
    """Where a kit is in its life."""

    ORDERED = "ordered"
    IN_STOCK = "in_stock"
    PREPARING = "preparing"
    READY = "ready"
    DISPATCHED = "dispatched"
    INSTALLED = "installed"
    PAUSED = "paused"
    FAULTY = "faulty"
    RETRIEVED = "retrieved"
    CLEANING = "cleaning"
    SCRAPPED = "scrapped"
    LOST = "lost"
    RETURNED = "returned"


S = KitState


@dataclass(frozen=True, slots=True)
class Step:
    """One allowed step; `required` names the data that must come with it.

    `reversible` is false where the kit leaves for good.
    """

    source: KitState
    target: KitState
    required: frozenset[str] = frozenset()
    reversible: bool = True


REASON = frozenset({"reason"})
REQUIRED = {S.SCRAPPED: REASON, S.LOST: REASON, S.RETURNED: REASON}
"""Data that a step must bring; it depends on the target alone, so that it can be checked before the state."""

FINAL = frozenset({S.SCRAPPED, S.RETURNED})
"""States without a way out."""

_WAYS: dict[KitState, tuple[KitState, ...]] = {
    S.ORDERED: (S.IN_STOCK, S.RETURNED),
    S.IN_STOCK: (S.PREPARING, S.SCRAPPED, S.LOST, S.RETURNED),
    S.PREPARING: (S.READY, S.IN_STOCK, S.SCRAPPED, S.LOST, S.RETURNED),
    S.READY: (S.DISPATCHED, S.PREPARING, S.IN_STOCK, S.LOST),
    S.DISPATCHED: (S.INSTALLED, S.RETRIEVED, S.LOST),
    S.INSTALLED: (S.PAUSED, S.FAULTY, S.RETRIEVED, S.LOST),
    S.PAUSED: (S.INSTALLED, S.FAULTY, S.RETRIEVED, S.LOST),
    S.FAULTY: (S.INSTALLED, S.RETRIEVED, S.LOST),
    # What was in a home is cleaned before it is stock again.
    S.RETRIEVED: (S.CLEANING, S.SCRAPPED, S.LOST, S.RETURNED),
    S.CLEANING: (S.PREPARING, S.IN_STOCK, S.SCRAPPED, S.LOST, S.RETURNED),
    # A kit that was found may have been anywhere: it is taken in like one from a home.
    S.LOST: (S.RETRIEVED, S.SCRAPPED),
    S.SCRAPPED: (),
    S.RETURNED: (),
}

STEPS: tuple[Step, ...] = tuple(
    Step(source, target, REQUIRED.get(target, frozenset()), target not in FINAL)
    for source, targets in _WAYS.items()
    for target in targets
)
_BY_ENDS = {(step.source, step.target): step for step in STEPS}


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The kit's state has no such step; `allowed` are those it has."""

    source: KitState
    target: KitState
    allowed: tuple[KitState, ...]


def allowed_steps(source: KitState) -> tuple[KitState, ...]:
    """Where a kit in `source` may go."""
    return _WAYS[source]


def missing_data(target: KitState, *, reason: str | None) -> frozenset[str]:
    """Which required data a step to `target` lacks."""
    given = {"reason"} if reason else set()
    return REQUIRED.get(target, frozenset()) - given


def transition(source: KitState, target: KitState) -> Step | NotAllowed:
    """The step from `source` to `target`, or why there is none."""
    step = _BY_ENDS.get((source, target))
    return step if step is not None else NotAllowed(source, target, allowed_steps(source))
