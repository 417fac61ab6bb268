"""What a history leads to: books, spells and places, and why a history cannot have been. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from fleet.state.ledger.events import Event
from fleet.state.lifecycle import ComponentState, KitState

T = TypeVar("T")


class Place(Struct, frozen=True, gc=False):
    """A location, or the home of a placement; exactly one of them."""

    location_id: int | None = None
    placement_id: int | None = None


class Spell(Struct, Generic[T], frozen=True, gc=False):
    """How long something was so; no start is always before, no end is still."""

    value: T
    start: datetime | None
    end: datetime | None = None


class IllegalCode(StrEnum):
    """Why a history cannot have been."""

    NO_OPENING = "no_opening"
    UNKNOWN_STATE = "unknown_state"
    NOT_IN_TABLE = "not_in_table"
    IN_A_KIT = "in_a_kit"
    NOT_IN_THE_KIT = "not_in_the_kit"
    ONLY_BY_SWAP = "only_by_swap"
    NO_HOME_IN_STATE = "no_home_in_state"
    PLACEMENT_ENDED = "placement_ended"
    NOT_EMPTY = "not_empty"


class Illegal(Struct, frozen=True, gc=False):
    """The first event of a history that cannot follow what was before it.

    `state` is the one before the event, `target` the one it leads to; `kit_id` the kit that a component is in.
    """

    event: Event
    code: IllegalCode
    state: str | None = None
    target: str | None = None
    kit_id: int | None = None


class KitBook(Struct, frozen=True, gc=False, kw_only=True):
    """A kit as its history leaves it.

    `placements` are the periods in which it was a citizen's: from being installed in a home until it is in use no
    more. `components` are the pieces it held, by their number.
    """

    state: KitState
    since: datetime
    place: Place | None
    placed_since: datetime | None
    organisation_id: int | None
    owner_id: int | None
    states: tuple[Spell[KitState], ...]
    stays: tuple[Spell[Place], ...]
    custodies: tuple[Spell[int], ...]
    owners: tuple[Spell[int], ...]
    placements: tuple[Spell[int], ...]
    components: tuple[Spell[int], ...]


class ComponentBook(Struct, frozen=True, gc=False, kw_only=True):
    """A component as its history leaves it; in a kit it has no place of its own."""

    state: ComponentState
    since: datetime
    place: Place | None
    kit_id: int | None
    organisation_id: int | None
    owner_id: int | None
    states: tuple[Spell[ComponentState], ...]
    stays: tuple[Spell[Place], ...]
    custodies: tuple[Spell[int], ...]
    owners: tuple[Spell[int], ...]
    memberships: tuple[Spell[int], ...]


class Track(Generic[T]):
    """One value over time; None is nothing, which leaves no spell. Times must not fall."""

    __slots__ = ("_past", "since", "value")

    def __init__(self) -> None:
        self.value: T | None = None
        self.since: datetime | None = None
        self._past: list[Spell[T]] = []

    def set(self, value: T | None, at: datetime | None) -> None:
        """From `at` on it is `value`; what held for no time at all leaves no trace."""
        if value == self.value:
            return
        if self.value is not None and self.since != at:
            self._past.append(Spell(self.value, self.since, at))
        self.value, self.since = value, at
        last = self._past[-1] if self._past else None
        if last is not None and last.end == at and last.value == value:
            self.since = last.start
            self._past.pop()

    def had(self, value: T) -> bool:
        """Whether it was `value` before the present spell."""
        return any(spell.value == value for spell in self._past)

    def spells(self) -> tuple[Spell[T], ...]:
        """All of them, the present one last."""
        if self.value is None:
            return tuple(self._past)
        return (*self._past, Spell(self.value, self.since))


def value_at(spells: tuple[Spell[T], ...], at: datetime) -> T | None:
    """What held at `at`."""
    for spell in reversed(spells):
        if spell.start is None or spell.start <= at:
            return spell.value if spell.end is None or at < spell.end else None
    return None
