"""From a history to what holds: pure. What is current in the database is this, stored (see `store`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from fleet.state.ledger.book import ComponentBook, Illegal, IllegalCode, KitBook, Place, Track
from fleet.state.ledger.events import Event, What, effective
from fleet.state.lifecycle import (
    AT_HOME,
    COMPONENTS,
    FINAL,
    HELD,
    IN_USE,
    KITS,
    ComponentState,
    KitState,
    NotAllowed,
)


def replay_kit(events: Iterable[Event]) -> KitBook | Illegal:
    """Read a kit's whole history: every event that names the kit, corrections included."""
    reader = _KitReader()
    return _first_refusal(reader, events) or reader.book()


def replay_component(component_id: int, events: Iterable[Event]) -> ComponentBook | Illegal:
    """Read a component's whole history: every event that names it, going in or coming out, corrections included."""
    reader = _ComponentReader(component_id)
    return _first_refusal(reader, events) or reader.book()


def _first_refusal(reader: _KitReader | _ComponentReader, events: Iterable[Event]) -> Illegal | None:
    for event in effective(events):
        refused = reader.read(event)
        if refused is not None:
            return refused
    return None


class _Reader:
    """What kits and components have in common."""

    def __init__(self) -> None:
        self.place: Track[Place] = Track()
        self.custody: Track[int] = Track()
        self.owner: Track[int] = Track()
        self.opened = False

    def _assign(self, event: Event) -> None:
        self._belongs_to(event)
        self.owner.set(event.owner_id, event.occurred_at if self.owner.spells() else None)

    def _belongs_to(self, event: Event) -> None:
        # The first organisation has no beginning: nobody else had it in these books.
        self.custody.set(event.organisation_id, event.occurred_at if self.custody.spells() else None)


class _KitReader(_Reader):
    def __init__(self) -> None:
        super().__init__()
        self.state: Track[KitState] = Track()
        self.placement: Track[int] = Track()
        self.components: dict[int, Track[int]] = {}

    def read(self, event: Event) -> Illegal | None:
        """Take one event in, or tell why it cannot be."""
        if event.what == What.OPENING and event.component_id is not None:
            self._bundle(event)
            return None
        if not self.opened and event.what != What.OPENING:
            return Illegal(event, IllegalCode.NO_OPENING)
        reading = _KIT_READINGS.get(event.what)
        return None if reading is None else reading(self, event)

    def book(self) -> KitBook | Illegal:
        """What was read; without an opening there is no book."""
        if self.state.value is None or self.state.since is None:
            return Illegal(_NEVER, IllegalCode.NO_OPENING)
        return KitBook(
            state=self.state.value,
            since=self.state.since,
            place=self.place.value,
            placed_since=None if self.place.value is None else self.place.since,
            organisation_id=self.custody.value,
            owner_id=self.owner.value,
            states=self.state.spells(),
            stays=self.place.spells(),
            custodies=self.custody.spells(),
            owners=self.owner.spells(),
            placements=self.placement.spells(),
            components=tuple(spell for track in self.components.values() for spell in track.spells()),
        )

    def _open(self, event: Event) -> Illegal | None:
        self.opened = True
        self._assign(event)
        return self._enter(event)

    def _step(self, event: Event) -> Illegal | None:
        state = self.state.value
        assert state is not None
        if event.to_state not in _KIT_STATES:
            return Illegal(event, IllegalCode.UNKNOWN_STATE, state, event.to_state)
        if isinstance(KITS.transition(state, _KIT_STATES[event.to_state]), NotAllowed):
            return Illegal(event, IllegalCode.NOT_IN_TABLE, state, event.to_state)
        if event.to_state in FINAL and any(track.value is not None for track in self.components.values()):
            return Illegal(event, IllegalCode.NOT_EMPTY, state, event.to_state)
        return self._enter(event)

    def _enter(self, event: Event) -> Illegal | None:
        """Come into a state; leaving those of a home leaves the home, and what is lost or on its way is nowhere."""
        state = _KIT_STATES.get(event.to_state or "")
        if state is None:
            return Illegal(event, IllegalCode.UNKNOWN_STATE, self.state.value, event.to_state)
        self.state.set(state, event.occurred_at)
        at = self.place.value
        if state in _NOWHERE or (at is not None and at.placement_id is not None and state not in AT_HOME):
            self.place.set(None, event.occurred_at)
        given = place_of(event)
        return self._placed(event) if given is None else self._go(event, given)

    def _move(self, event: Event) -> Illegal | None:
        return self._go(event, place_of(event))

    def _go(self, event: Event, place: Place | None) -> Illegal | None:
        state = self.state.value
        if place is not None and place.placement_id is not None and state not in AT_HOME:
            return Illegal(event, IllegalCode.NO_HOME_IN_STATE, state)
        self.place.set(place, event.occurred_at)
        return self._placed(event)

    def _placed(self, event: Event) -> Illegal | None:
        """Follow which citizen's the kit is: from being installed in a home until it is in use no more."""
        if self.state.value not in IN_USE:
            self.placement.set(None, event.occurred_at)
            return None
        home = None if self.place.value is None else self.place.value.placement_id
        if home is None or self.state.value is not KitState.INSTALLED:
            return None
        self.placement.set(home, event.occurred_at)
        return Illegal(event, IllegalCode.PLACEMENT_ENDED) if self.placement.had(home) else None

    def _swap(self, event: Event) -> Illegal | None:
        if event.component_id is not None and self.state.value in FINAL:
            return Illegal(event, IllegalCode.NOT_EMPTY, self.state.value)
        self._bundle(event)
        return None

    def _bundle(self, event: Event) -> None:
        for component_id, held in ((event.removed_id, None), (event.component_id, event.component_id)):
            if component_id is not None:
                self.components.setdefault(component_id, Track()).set(held, event.occurred_at)


class _ComponentReader(_Reader):
    def __init__(self, component_id: int) -> None:
        super().__init__()
        self.component_id = component_id
        self.state: Track[ComponentState] = Track()
        self.kit: Track[int] = Track()

    def read(self, event: Event) -> Illegal | None:
        """Take one event in, or tell why it cannot be."""
        if event.what == What.SWAP:
            taken_out = event.removed_id == self.component_id
            return self._come_out(event) if taken_out else self._go_in(event)
        if not self.opened and event.what != What.OPENING:
            return Illegal(event, IllegalCode.NO_OPENING)
        reading = _COMPONENT_READINGS.get(event.what)
        return None if reading is None else reading(self, event)

    def book(self) -> ComponentBook | Illegal:
        """What was read; without an opening there is no book."""
        if self.state.value is None or self.state.since is None:
            return Illegal(_NEVER, IllegalCode.NO_OPENING)
        return ComponentBook(
            state=self.state.value,
            since=self.state.since,
            place=self.place.value,
            kit_id=self.kit.value,
            organisation_id=self.custody.value,
            owner_id=self.owner.value,
            states=self.state.spells(),
            stays=self.place.spells(),
            custodies=self.custody.spells(),
            owners=self.owner.spells(),
            memberships=self.kit.spells(),
        )

    def _open(self, event: Event) -> Illegal | None:
        self.opened = True
        self._assign(event)
        if event.kit_id is None and event.to_state == ComponentState.IN_KIT:
            return Illegal(event, IllegalCode.ONLY_BY_SWAP, self.state.value, event.to_state)
        if event.kit_id is not None and event.to_state not in HELD:
            return Illegal(event, IllegalCode.IN_A_KIT, self.state.value, event.to_state, event.kit_id)
        self.kit.set(event.kit_id, event.occurred_at)
        return self._enter(event)

    def _step(self, event: Event) -> Illegal | None:
        # In its kit a piece can only break and be mended; everything else takes it out, or puts it in.
        if (self.kit.value is not None) != (event.to_state in HELD) and event.to_state != ComponentState.FAULTY:
            return Illegal(event, IllegalCode.ONLY_BY_SWAP, self.state.value, event.to_state, self.kit.value)
        return self._allowed(event, event.to_state) or self._enter(event)

    def _go_in(self, event: Event) -> Illegal | None:
        if not self.opened:
            return Illegal(event, IllegalCode.NO_OPENING)
        if self.kit.value is not None:
            return Illegal(event, IllegalCode.IN_A_KIT, self.state.value, ComponentState.IN_KIT, self.kit.value)
        if self.state.value is not ComponentState.IN_STOCK:
            return Illegal(event, IllegalCode.NOT_IN_TABLE, self.state.value, ComponentState.IN_KIT)
        self.state.set(ComponentState.IN_KIT, event.occurred_at)
        self.kit.set(event.kit_id, event.occurred_at)
        self.place.set(None, event.occurred_at)
        self._belongs_to(event)
        return None

    def _come_out(self, event: Event) -> Illegal | None:
        if not self.opened:
            return Illegal(event, IllegalCode.NO_OPENING)
        if self.kit.value != event.kit_id:
            return Illegal(event, IllegalCode.NOT_IN_THE_KIT, self.state.value, event.to_state, self.kit.value)
        if event.to_state == ComponentState.IN_KIT:
            return Illegal(event, IllegalCode.ONLY_BY_SWAP, self.state.value, event.to_state, self.kit.value)
        refused = None if event.to_state == self.state.value else self._allowed(event, event.to_state)
        if refused is not None:
            return refused
        self.kit.set(None, event.occurred_at)
        return self._enter(event)

    def _allowed(self, event: Event, to: str | None) -> Illegal | None:
        state = self.state.value
        assert state is not None
        target = _COMPONENT_STATES.get(to or "")
        if target is None:
            return Illegal(event, IllegalCode.UNKNOWN_STATE, state, to)
        if isinstance(COMPONENTS.transition(state, target), NotAllowed):
            return Illegal(event, IllegalCode.NOT_IN_TABLE, state, to)
        return None

    def _enter(self, event: Event) -> Illegal | None:
        state = _COMPONENT_STATES.get(event.to_state or "")
        if state is None:
            return Illegal(event, IllegalCode.UNKNOWN_STATE, self.state.value, event.to_state)
        self.state.set(state, event.occurred_at)
        if self.kit.value is not None:
            self.place.set(None, event.occurred_at)
            return None
        given = place_of(event)
        if given is not None or state is ComponentState.LOST or event.what == What.SWAP:
            self.place.set(given, event.occurred_at)
        return None

    def _move(self, event: Event) -> Illegal | None:
        if self.kit.value is not None:
            return Illegal(event, IllegalCode.IN_A_KIT, self.state.value, None, self.kit.value)
        self.place.set(place_of(event), event.occurred_at)
        return None


def place_of(event: Event) -> Place | None:
    """The place that an event tells; None when it tells none."""
    if event.location_id is None and event.placement_id is None:
        return None
    return Place(event.location_id, event.placement_id)


_NOWHERE = frozenset({KitState.LOST, KitState.DISPATCHED})
"""States that a kit comes into at no known place, unless one is told."""
_KIT_STATES: dict[str, KitState] = {state.value: state for state in KitState}
_COMPONENT_STATES: dict[str, ComponentState] = {state.value: state for state in ComponentState}
_NEVER = Event(event_id=0, occurred_at=datetime.min, what=What.OPENING)  # noqa: DTZ901 - stands for no event at all
_KIT_READINGS: dict[str, Callable[[_KitReader, Event], Illegal | None]] = {
    What.OPENING: _KitReader._open,
    What.STATUS: _KitReader._step,
    What.LOCATION: _KitReader._move,
    What.ASSIGN: _KitReader._assign,
    What.SWAP: _KitReader._swap,
}
_COMPONENT_READINGS: dict[str, Callable[[_ComponentReader, Event], Illegal | None]] = {
    What.OPENING: _ComponentReader._open,
    What.STATUS: _ComponentReader._step,
    What.LOCATION: _ComponentReader._move,
    What.ASSIGN: _ComponentReader._assign,
}
