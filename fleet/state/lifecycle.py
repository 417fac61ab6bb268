"""The life of a kit and of a component: one table of steps each, and a pure `transition()`.

The pictures in the docs are drawn from these tables. What a guard asks for is decided in `fleet.state.ledger.guards`;
silence, drift and pairing are faults only while a kit is installed, and what a kit's state means for its watch is
decided in SQL by `watch_allowance_s()`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from fleet.access.roles import Role


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


class ComponentState(StrEnum):
    """The condition of a piece; in a kit it shares the kit's life, and may be faulty there until it is swapped."""

    ORDERED = "ordered"
    IN_STOCK = "in_stock"
    IN_KIT = "in_kit"
    FAULTY = "faulty"
    CLEANING = "cleaning"
    CALIBRATING = "calibrating"
    IN_REPAIR = "in_repair"
    AT_SUPPLIER = "at_supplier"
    SCRAPPED = "scrapped"
    LOST = "lost"
    RETURNED = "returned"


class Guard(StrEnum):
    """What must be so before a step is taken."""

    BUNDLE_COMPLETE = "bundle_complete"
    CALIBRATION_VALID = "calibration_valid"
    SOFTWARE_AS_WANTED = "software_as_wanted"
    PROOF_OF_FUNCTION = "proof_of_function"
    BUNDLE_EMPTY = "bundle_empty"
    CLEANED = "cleaned"
    STILL_IN_KIT = "still_in_kit"


OVERRIDABLE = frozenset(Guard) - {Guard.BUNDLE_EMPTY, Guard.STILL_IN_KIT}
"""Guards that a reason may replace; the others say what is, which no reason changes."""

REASON = frozenset({"reason"})
NOTHING: frozenset[str] = frozenset()
FIELD = frozenset({Role.LOGISTICS, Role.SERVICE, Role.ADMIN})
"""Who handles kits and pieces."""
CARE = FIELD | {Role.SUPPORT}
"""And who hears from the citizen how they are."""
PREPARE = FIELD | {Role.MDM_ADMIN}
"""And who puts the software on."""

T = TypeVar("T", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """One allowed step: what must hold, who may take it, what must come with it.

    `required` names data of the request and depends on the target alone, so that it can be checked before the state;
    `reversible` is false where the thing leaves for good.
    """

    source: T
    target: T
    guards: tuple[Guard, ...] = ()
    roles: frozenset[Role] = FIELD
    required: frozenset[str] = NOTHING
    reversible: bool = True


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The state has no such step; `allowed` are those it has (for the caller's roles, where they were given)."""

    source: str
    target: str
    allowed: tuple[str, ...]


class Machine(Generic[T]):
    """A table of steps and what is read off it; `final` are the states without a way out."""

    def __init__(self, subject: str, steps: tuple[Step[T], ...], final: frozenset[T]) -> None:
        self.subject, self.steps, self.final = subject, steps, final
        self._by_ends = {(step.source, step.target): step for step in steps}
        self._required = {step.target: step.required for step in steps}

    def transition(self, source: T, target: T, roles: Set[Role] | None = None) -> Step[T] | NotAllowed:
        """The step from `source` to `target`, or why there is none; `roles` narrow what is told to be allowed."""
        step = self._by_ends.get((source, target))
        return step if step is not None else NotAllowed(source, target, self.allowed(source, roles))

    def allowed(self, source: T, roles: Set[Role] | None = None) -> tuple[T, ...]:
        """Where a thing in `source` may go, by anybody or by a caller with `roles`."""
        return tuple(step.target for step in self.steps_from(source) if roles is None or step.roles & roles)

    def steps_from(self, source: T) -> tuple[Step[T], ...]:
        """The rows of the table for `source`."""
        return tuple(step for step in self.steps if step.source == source)

    def missing_data(self, target: T, *, reason: str | None) -> frozenset[str]:
        """Which required data a step to `target` lacks."""
        return self._required.get(target, NOTHING) - ({"reason"} if reason else set())


K, C = KitState, ComponentState

FINAL = frozenset({K.SCRAPPED, K.RETURNED})
"""States of a kit without a way out."""
COMPONENT_FINAL = frozenset({C.SCRAPPED, C.RETURNED})
_EXPLAINED = frozenset[StrEnum]({K.SCRAPPED, K.LOST, K.RETURNED, C.SCRAPPED, C.LOST, C.RETURNED})
"""States that are told with a reason."""

_PROVEN = (Guard.PROOF_OF_FUNCTION,)
_PREPARED = (Guard.BUNDLE_COMPLETE, Guard.CALIBRATION_VALID, Guard.SOFTWARE_AS_WANTED)
_EMPTY = (Guard.BUNDLE_EMPTY,)


def _kit(source: KitState, target: KitState, *guards: Guard, roles: frozenset[Role] = FIELD) -> Step[KitState]:
    return Step(source, target, guards, roles, _required(target), target not in FINAL)


def _piece(
    source: ComponentState, target: ComponentState, *guards: Guard, roles: frozenset[Role] = FIELD
) -> Step[ComponentState]:
    return Step(source, target, guards, roles, _required(target), target not in COMPONENT_FINAL)


def _required(target: StrEnum) -> frozenset[str]:
    return REASON if target in _EXPLAINED else NOTHING


STEPS: tuple[Step[KitState], ...] = (
    _kit(K.ORDERED, K.IN_STOCK),
    _kit(K.ORDERED, K.RETURNED, *_EMPTY),
    _kit(K.IN_STOCK, K.PREPARING),
    _kit(K.IN_STOCK, K.SCRAPPED, *_EMPTY),
    _kit(K.IN_STOCK, K.LOST),
    _kit(K.IN_STOCK, K.RETURNED, *_EMPTY),
    _kit(K.PREPARING, K.READY, *_PREPARED, roles=PREPARE),
    _kit(K.PREPARING, K.IN_STOCK),
    _kit(K.PREPARING, K.SCRAPPED, *_EMPTY),
    _kit(K.PREPARING, K.LOST),
    _kit(K.PREPARING, K.RETURNED, *_EMPTY),
    _kit(K.READY, K.DISPATCHED),
    _kit(K.READY, K.PREPARING, roles=PREPARE),
    _kit(K.READY, K.IN_STOCK),
    _kit(K.READY, K.LOST),
    _kit(K.DISPATCHED, K.INSTALLED, *_PROVEN),
    _kit(K.DISPATCHED, K.RETRIEVED),
    _kit(K.DISPATCHED, K.LOST, roles=CARE),
    _kit(K.INSTALLED, K.PAUSED, roles=CARE),
    _kit(K.INSTALLED, K.FAULTY, roles=CARE),
    _kit(K.INSTALLED, K.RETRIEVED),
    _kit(K.INSTALLED, K.LOST, roles=CARE),
    # A pause is the citizen's (a holiday, a stay in hospital): nothing was broken, nothing is to be proven.
    _kit(K.PAUSED, K.INSTALLED, roles=CARE),
    _kit(K.PAUSED, K.FAULTY, roles=CARE),
    _kit(K.PAUSED, K.RETRIEVED),
    _kit(K.PAUSED, K.LOST, roles=CARE),
    _kit(K.FAULTY, K.INSTALLED, *_PROVEN, roles=CARE),
    _kit(K.FAULTY, K.RETRIEVED),
    _kit(K.FAULTY, K.LOST, roles=CARE),
    # What was in a home is cleaned before it is stock again.
    _kit(K.RETRIEVED, K.CLEANING),
    _kit(K.RETRIEVED, K.SCRAPPED, *_EMPTY),
    _kit(K.RETRIEVED, K.LOST),
    _kit(K.RETRIEVED, K.RETURNED, *_EMPTY),
    _kit(K.CLEANING, K.PREPARING),
    _kit(K.CLEANING, K.IN_STOCK),
    _kit(K.CLEANING, K.SCRAPPED, *_EMPTY),
    _kit(K.CLEANING, K.LOST),
    _kit(K.CLEANING, K.RETURNED, *_EMPTY),
    # A kit that was found may have been anywhere: it is taken in like one from a home.
    _kit(K.LOST, K.RETRIEVED),
    _kit(K.LOST, K.SCRAPPED, *_EMPTY),
)

COMPONENT_STEPS: tuple[Step[ComponentState], ...] = (
    _piece(C.ORDERED, C.IN_STOCK),
    _piece(C.ORDERED, C.LOST),
    _piece(C.ORDERED, C.RETURNED),
    # Into a kit and out of it a piece goes by a swap, which names the kit; a faulty one stays in it until then.
    _piece(C.IN_STOCK, C.IN_KIT, Guard.CALIBRATION_VALID),
    _piece(C.IN_STOCK, C.FAULTY, roles=CARE),
    _piece(C.IN_STOCK, C.CLEANING),
    _piece(C.IN_STOCK, C.CALIBRATING),
    _piece(C.IN_STOCK, C.IN_REPAIR),
    _piece(C.IN_STOCK, C.AT_SUPPLIER),
    _piece(C.IN_STOCK, C.SCRAPPED),
    _piece(C.IN_STOCK, C.LOST, roles=CARE),
    _piece(C.IN_STOCK, C.RETURNED),
    _piece(C.IN_KIT, C.IN_STOCK, Guard.CLEANED),
    _piece(C.IN_KIT, C.FAULTY, roles=CARE),
    _piece(C.IN_KIT, C.CLEANING),
    _piece(C.IN_KIT, C.SCRAPPED),
    _piece(C.IN_KIT, C.LOST, roles=CARE),
    _piece(C.IN_KIT, C.RETURNED),
    _piece(C.FAULTY, C.IN_KIT, Guard.STILL_IN_KIT, roles=CARE),
    _piece(C.FAULTY, C.IN_STOCK, Guard.CLEANED),
    _piece(C.FAULTY, C.CLEANING),
    _piece(C.FAULTY, C.CALIBRATING),
    _piece(C.FAULTY, C.IN_REPAIR),
    _piece(C.FAULTY, C.AT_SUPPLIER),
    _piece(C.FAULTY, C.SCRAPPED),
    _piece(C.FAULTY, C.LOST, roles=CARE),
    _piece(C.FAULTY, C.RETURNED),
    _piece(C.CLEANING, C.IN_STOCK),
    _piece(C.CLEANING, C.FAULTY),
    _piece(C.CLEANING, C.CALIBRATING),
    _piece(C.CLEANING, C.IN_REPAIR),
    _piece(C.CLEANING, C.AT_SUPPLIER),
    _piece(C.CLEANING, C.SCRAPPED),
    _piece(C.CLEANING, C.LOST),
    _piece(C.CLEANING, C.RETURNED),
    _piece(C.CALIBRATING, C.IN_STOCK, Guard.CALIBRATION_VALID),
    _piece(C.CALIBRATING, C.FAULTY),
    _piece(C.CALIBRATING, C.IN_REPAIR),
    _piece(C.CALIBRATING, C.AT_SUPPLIER),
    _piece(C.CALIBRATING, C.SCRAPPED),
    _piece(C.CALIBRATING, C.LOST),
    _piece(C.CALIBRATING, C.RETURNED),
    _piece(C.IN_REPAIR, C.IN_STOCK),
    _piece(C.IN_REPAIR, C.FAULTY),
    _piece(C.IN_REPAIR, C.CLEANING),
    _piece(C.IN_REPAIR, C.CALIBRATING),
    _piece(C.IN_REPAIR, C.AT_SUPPLIER),
    _piece(C.IN_REPAIR, C.SCRAPPED),
    _piece(C.IN_REPAIR, C.LOST),
    _piece(C.IN_REPAIR, C.RETURNED),
    _piece(C.AT_SUPPLIER, C.IN_STOCK),
    _piece(C.AT_SUPPLIER, C.FAULTY),
    _piece(C.AT_SUPPLIER, C.CALIBRATING),
    _piece(C.AT_SUPPLIER, C.IN_REPAIR),
    _piece(C.AT_SUPPLIER, C.SCRAPPED),
    _piece(C.AT_SUPPLIER, C.LOST),
    _piece(C.AT_SUPPLIER, C.RETURNED),
    # As with kits: what was found is cleaned, unless it is beyond that.
    _piece(C.LOST, C.CLEANING),
    _piece(C.LOST, C.FAULTY),
    _piece(C.LOST, C.SCRAPPED),
)

KITS: Machine[KitState] = Machine("kit", STEPS, FINAL)
COMPONENTS: Machine[ComponentState] = Machine("component", COMPONENT_STEPS, COMPONENT_FINAL)

AT_HOME = frozenset({K.DISPATCHED, K.INSTALLED, K.PAUSED, K.FAULTY})
"""States in which a kit can be in a citizen's home; leaving them, it leaves the home."""
IN_USE = frozenset({K.INSTALLED, K.PAUSED, K.FAULTY})
"""States of a kit that belongs to its placement; leaving them, the placement ends."""
UNCLEAN = AT_HOME | {K.RETRIEVED, K.LOST}
"""States of a kit out of which a piece must be cleaned before it is stock."""
HELD = frozenset({C.IN_KIT, C.FAULTY})
"""States that a piece in a kit can have."""
SWAPPING = IN_USE | {K.PREPARING}
"""States in which pieces are put into a kit, alone or in another's place."""
SEALED = frozenset({K.READY})
"""States in which nothing is taken out: a ready kit goes back to preparing first, so that it is proven anew."""


def allowed_steps(source: KitState, roles: Set[Role] | None = None) -> tuple[KitState, ...]:
    """Where a kit in `source` may go; with `roles`, where a caller who has them may take it."""
    return KITS.allowed(source, roles)


def missing_data(target: KitState, *, reason: str | None) -> frozenset[str]:
    """Which required data a kit's step to `target` lacks."""
    return KITS.missing_data(target, reason=reason)


def transition(source: KitState, target: KitState) -> Step[KitState] | NotAllowed:
    """A kit's step from `source` to `target`, or why there is none."""
    return KITS.transition(source, target)
