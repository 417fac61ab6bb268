"""The histories of some subjects, and what they would lead to with more events. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from msgspec.structs import replace

from fleet.errors import ConflictError
from fleet.state.ledger.book import ComponentBook, Illegal, KitBook
from fleet.state.ledger.events import Event, What, effective, standing
from fleet.state.ledger.replay import replay_component, replay_kit

B = TypeVar("B")
PROVISIONAL = 2**62
"""Event numbers from here on stand for events that are not in the log yet."""


@dataclass(frozen=True, slots=True)
class KitRow:
    """A kit as it is stored, locked."""

    kit_id: int
    kit: str
    state: str
    state_since: datetime
    location_id: int | None
    placement_id: int | None
    organisation_id: int | None
    owner_id: int | None
    kit_type: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """A component as it is stored, locked; `calibrated` when its model is calibrated at all."""

    component_id: int
    kind: str
    serial: str
    state: str
    state_since: datetime
    location_id: int | None
    kit_id: int | None
    organisation_id: int | None
    owner_id: int | None
    calibrated: bool
    calibration_due: date | None
    revision: int


@dataclass(frozen=True, slots=True)
class Books:
    """What the histories of some subjects lead to, by their numbers."""

    kits: Mapping[int, KitBook]
    components: Mapping[int, ComponentBook]


class Log:
    """Subjects, locked by whoever made this, with all their events; `now` was read after the locks were taken."""

    def __init__(
        self, now: datetime, kits: Sequence[KitRow], components: Sequence[ComponentRow], events: Iterable[Event]
    ) -> None:
        self.now = now
        self.kits = {row.kit_id: row for row in kits}
        self.components = {row.component_id: row for row in components}
        self._of_kit: dict[int, list[Event]] = defaultdict(list)
        self._of_component: dict[int, list[Event]] = defaultdict(list)
        self.add(*events)

    def add(self, *events: Event) -> None:
        """Note events that are in the log by now."""
        for event in events:
            for kit_id in _kits_of(event):
                self._of_kit[kit_id].append(event)
            for component_id in _components_of(event):
                self._of_component[component_id].append(event)

    def kit(self, kit_id: int) -> KitBook:
        """What the kit's history leads to; raises ConflictError when it cannot have been."""
        return _readable(replay_kit(self._of_kit[kit_id]), f"kit {self.kits[kit_id].kit}")

    def component(self, component_id: int) -> ComponentBook:
        """What the component's history leads to; raises ConflictError when it cannot have been."""
        book = replay_component(component_id, self._of_component[component_id])
        return _readable(book, f"component {self.components[component_id].serial}")

    def pieces_of(self, kit_id: int) -> list[ComponentRow]:
        """The locked components that are in the kit."""
        return [row for row in self.components.values() if row.kit_id == kit_id]

    def newest(self, *, kits: Collection[int] = (), components: Collection[int] = ()) -> datetime | None:
        """When the last event of these subjects happened, as it was told."""
        histories = [self._of_kit[each] for each in kits] + [self._of_component[each] for each in components]
        return max((event.occurred_at for history in histories for event in effective(history)), default=None)

    def corrections_of(self, event: Event) -> list[Event]:
        """The corrections of an event that count, the first one first."""
        rows = [row for kit_id in _kits_of(event) for row in self._of_kit[kit_id]]
        rows += [row for each in _components_of(event) for row in self._of_component[each]]
        corrections = {row.event_id: row for row in rows if row.corrects is not None}
        return standing(corrections.values()).get(event.event_id, [])

    def unopened(self) -> tuple[list[KitRow], list[ComponentRow]]:
        """Subjects that stand in the books without any history."""
        kits = [row for row in self.kits.values() if all(map(_is_of_component, self._of_kit[row.kit_id]))]
        return kits, [row for row in self.components.values() if not self._of_component[row.component_id]]

    def trial(self, events: Sequence[Event]) -> Books | Illegal:
        """What the histories of the subjects named lead to with these events on top; nothing is noted."""
        of_kit: dict[int, list[Event]] = {}
        of_component: dict[int, list[Event]] = {}
        for number, given in enumerate(events):
            event = replace(given, event_id=PROVISIONAL + number)
            for kit_id in _kits_of(event):
                of_kit.setdefault(kit_id, list(self._of_kit[kit_id])).append(event)
            for component_id in _components_of(event):
                of_component.setdefault(component_id, list(self._of_component[component_id])).append(event)
        kits: dict[int, KitBook] = {}
        for kit_id, history in of_kit.items():
            kit = replay_kit(history)
            if isinstance(kit, Illegal):
                return kit
            kits[kit_id] = kit
        components: dict[int, ComponentBook] = {}
        for number, history in of_component.items():
            piece = replay_component(number, history)
            if isinstance(piece, Illegal):
                return piece
            components[number] = piece
        return Books(kits, components)


def _kits_of(event: Event) -> tuple[int, ...]:
    return () if event.kit_id is None else (event.kit_id,)


def _components_of(event: Event) -> tuple[int, ...]:
    return tuple(each for each in (event.component_id, event.removed_id) if each is not None)


def _is_of_component(event: Event) -> bool:
    return event.what == What.OPENING and event.component_id is not None


def _readable(book: B | Illegal, name: str) -> B:
    if isinstance(book, Illegal):
        detail = f"the log of {name} cannot be read at event {book.event.event_id} ({book.code})"
        raise ConflictError(f"{detail}: see `fleet books check`")
    return book
