"""Whatever is told, in whatever order and with whatever corrections: what it leads to could have been."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fleet.state.ledger.book import ComponentBook, Illegal, KitBook, Spell, value_at
from fleet.state.ledger.difference import Difference, Stored, difference
from fleet.state.ledger.events import VOID, Event, What, effective
from fleet.state.ledger.history import phases_of_component, phases_of_kit
from fleet.state.ledger.log import Books, ComponentRow, KitRow, Log
from fleet.state.ledger.replay import replay_component, replay_kit
from fleet.state.lifecycle import AT_HOME, COMPONENTS, FINAL, HELD, IN_USE, KITS, ComponentState, KitState, NotAllowed

START = datetime(2026, 1, 1, tzinfo=UTC)
KIT_IDS, COMPONENT_IDS, ORGANISATIONS, LOCATIONS, PLACEMENTS = (1, 2), (11, 12, 13), (1, 2), (5, 6), (7, 8)


def at(hour: int) -> datetime:
    """So many hours after everything was entered."""
    return START + timedelta(hours=hour)


HOURS = st.integers(1, 40).map(at)
PLACES = st.one_of(
    st.none(),
    st.sampled_from(LOCATIONS).map(lambda number: {"location_id": number}),
    st.sampled_from(PLACEMENTS).map(lambda number: {"placement_id": number}),
)
FORWARD = st.sampled_from([0] * 8 + [1, 2, 3, 4])
"""The first step of a state is the ordinary one."""
KITS_ = st.sampled_from(KIT_IDS)
PIECES = st.sampled_from(COMPONENT_IDS)


@st.composite
def attempts(draw: st.DrawFn) -> dict[str, Any]:
    """One thing that might be told.

    Left open until then: which event a correction is of (`of`), which of the possible steps it is (`nth`), which of the
    pieces that can go in or out (`swaps`), and mostly the time, which is then after everything that is known.
    """
    kinds = ["next"] * 8 + ["change"] * 5 + ["kit", "piece", "swap", "move", "assign", "void", "correct", "correct"]
    kind = draw(st.sampled_from(kinds))
    late = draw(st.sampled_from([True, False, False]))
    told: dict[str, Any] = {"occurred_at": draw(HOURS)} if late else {}
    place = draw(PLACES) or {}
    match kind:
        case "next":
            told |= {"what": What.STATUS, "kit_id": draw(KITS_), "nth": draw(FORWARD), **place}
        case "change":
            told |= {"what": What.SWAP, "kit_id": draw(KITS_), "swaps": draw(st.integers(0, 9))}
        case "kit":
            told |= {"what": What.STATUS, "kit_id": draw(KITS_), "to_state": draw(st.sampled_from(KitState)), **place}
        case "piece":
            state = draw(st.sampled_from(ComponentState))
            told |= {"what": What.STATUS, "component_id": draw(PIECES), "to_state": state}
        case "swap":
            incoming, removed = draw(st.permutations([*COMPONENT_IDS, None]).map(lambda each: each[:2]))
            states = st.sampled_from(sorted(set(ComponentState) - {ComponentState.IN_KIT}))
            out = {} if removed is None else {"to_state": draw(states), **{**place, "placement_id": None}}
            told |= {"what": What.SWAP, "kit_id": draw(KITS_), "component_id": incoming, "removed_id": removed, **out}
        case "move":
            told |= {"what": What.LOCATION, "kit_id": draw(KITS_), **place}
        case "assign":
            organisation = draw(st.sampled_from([*ORGANISATIONS, None]))
            told |= {"what": What.ASSIGN, "kit_id": draw(KITS_), "organisation_id": organisation}
        case "void":
            told |= {"what": What.CORRECTION, "of": draw(st.integers(0, 99)), "after": {VOID: True}}
        case _:
            values = draw(st.sampled_from([{"occurred_at": draw(HOURS).isoformat()}, {"location_id": 5}]))
            told |= {"what": What.CORRECTION, "of": draw(st.integers(0, 99)), "after": values}
    return told


def opened() -> tuple[Log, list[Event]]:
    """Two kits and three pieces, entered at the beginning."""
    state, piece = KitState.PREPARING, ComponentState.IN_STOCK
    common: dict[str, Any] = {"occurred_at": START, "what": What.OPENING, "location_id": 5, "organisation_id": 1}
    events = [Event(event_id=1, kit_id=1, to_state=state, **common)]
    events += [Event(event_id=2, kit_id=2, to_state=KitState.READY, **common)]
    events += [Event(event_id=each, component_id=each, to_state=piece, **common) for each in COMPONENT_IDS]
    kits = [KitRow(each, f"K-{each}", state, START, 5, None, 1, None, None, 1) for each in KIT_IDS]
    pieces = [
        ComponentRow(each, "scale", f"S-{each}", piece, START, 5, None, 1, None, False, None, 1)
        for each in COMPONENT_IDS
    ]
    return Log(at(100), kits, pieces, events), events


def told(log: Log, events: list[Event], attempt: dict[str, Any], number: int) -> Books | Illegal:
    """Try one thing, and note it when it can be."""
    attempt = dict(attempt)
    attempt.setdefault("occurred_at", max(event.occurred_at for event in events) + timedelta(hours=1))
    if (nth := attempt.pop("nth", None)) is not None:
        allowed = KITS.allowed(log.kit(attempt["kit_id"]).state) or (KitState.LOST,)
        attempt["to_state"] = allowed[nth % len(allowed)]
        if attempt["to_state"] not in AT_HOME:
            attempt["placement_id"] = None
    if (swaps := attempt.pop("swaps", None)) is not None:
        attempt |= change(log, attempt["kit_id"], swaps)
    if (of := attempt.pop("of", None)) is not None:
        base = events[of % len(events)]
        names = ("kit_id", "component_id", "removed_id", "organisation_id")
        attempt |= {"corrects": base.event_id, **{name: getattr(base, name) for name in names}}
        if base.what == What.CORRECTION:
            attempt["after"] = {VOID: True}
    attempt.setdefault("organisation_id", 1)
    event = Event(event_id=number, **attempt)
    found = log.trial([event])
    if isinstance(found, Books):
        log.add(event)
        events.append(event)
    return found


def change(log: Log, kit_id: int, nth: int) -> dict[str, Any]:
    """A piece that is free goes in, or one that is in the kit comes out, or both."""
    pieces = {number: log.component(number) for number in COMPONENT_IDS}
    held = [number for number, piece in pieces.items() if piece.kit_id == kit_id]
    free = [number for number, piece in pieces.items() if piece.state is ComponentState.IN_STOCK]
    both = {"component_id": free[nth % len(free)] if free else None}
    if held and (nth % 3 or not free):
        both |= {"removed_id": held[nth % len(held)]}
        if nth % 3 == 1:
            both |= {"component_id": None}
        return {**both, "to_state": ComponentState.IN_STOCK, "location_id": 6}
    return both if free else {"removed_id": COMPONENT_IDS[0], "to_state": ComponentState.IN_STOCK}


def lives(events: Sequence[Event]) -> tuple[dict[int, KitBook], dict[int, ComponentBook]]:
    """Everything replayed from the beginning."""
    kits, components = {}, {}
    for kit_id in KIT_IDS:
        kit = replay_kit([event for event in events if event.kit_id == kit_id])
        assert isinstance(kit, KitBook), kit
        kits[kit_id] = kit
    for number in COMPONENT_IDS:
        life = [event for event in events if number in (event.component_id, event.removed_id)]
        piece = replay_component(number, life)
        assert isinstance(piece, ComponentBook), piece
        components[number] = piece
    return kits, components


@settings(max_examples=150)
@given(st.lists(attempts(), min_size=12, max_size=40), st.randoms(use_true_random=False))
def test_what_can_be_told_could_have_been(given_: list[dict[str, Any]], shuffled: Any) -> None:
    log, events = opened()
    numbers = count(1000)
    kits, components = lives(events)
    for attempt in given_:
        before = (kits, components)
        outcome = told(log, events, attempt, next(numbers))
        kits, components = lives(events)
        if isinstance(outcome, Illegal):
            assert (kits, components) == before
            continue
        for kit_id, book in outcome.kits.items():
            assert kits[kit_id] == book
        for number, piece in outcome.components.items():
            assert components[number] == piece
        check_books(events, kits, components)
        check_written(before, (kits, components))
    again = list(events)
    shuffled.shuffle(again)
    assert lives(again) == (kits, components)


@settings(max_examples=80)
@given(st.lists(attempts(), min_size=8, max_size=25), attempts())
def test_what_is_taken_back_was_never_so(given_: list[dict[str, Any]], last: dict[str, Any]) -> None:
    log, events = opened()
    numbers = count(1000)
    for attempt in given_:
        told(log, events, attempt, next(numbers))
    before = lives(events)
    if isinstance(told(log, events, last, next(numbers)), Illegal):
        return
    void = {"what": What.CORRECTION, "occurred_at": at(50), "of": len(events) - 1, "after": {VOID: True}}
    assert isinstance(told(log, events, void, next(numbers)), Books)
    assert lives(events) == before


def check_books(events: list[Event], kits: dict[int, KitBook], components: dict[int, ComponentBook]) -> None:
    """One state and one place at every moment; only steps of the table; a piece in one kit, and the kit knows."""
    for kit_id, book in kits.items():
        for track in (book.states, book.stays, book.custodies, book.placements, book.owners):
            check_track(track)
        life = [event for event in effective(events) if event.kit_id == kit_id]
        check_steps(KITS, [event for event in life if event.what in (What.OPENING, What.STATUS)], by_kit=True)
        for spell in book.placements:
            assert within(spell, book.states, IN_USE)
        homes = [spell for spell in book.stays if spell.value.placement_id is not None]
        assert all(spell.value.location_id is None for spell in homes)
        for held in book.components:
            assert value_at(components[held.value].memberships, held.start or START) == kit_id
        if book.state in FINAL:
            assert all(held.end is not None for held in book.components)
        check_phases(phases_of_kit(book, [event for event in events if event.kit_id == kit_id]), book)
    for number, piece in components.items():
        for spells in (piece.states, piece.stays, piece.custodies, piece.memberships):
            check_track(spells)
        for membership in piece.memberships:
            assert Spell(number, membership.start, membership.end) in kits[membership.value].components
            assert within(membership, piece.states, HELD)
            assert all(stay.end is not None and stay.end <= moment(membership) for stay in before(membership, piece))
        assert (piece.kit_id is not None) or piece.state is not ComponentState.IN_KIT
        life = [event for event in events if number in (event.component_id, event.removed_id)]
        of_kits = {kit_id: [event for event in events if event.kit_id == kit_id] for kit_id in KIT_IDS}
        check_phases(phases_of_component(piece, life, of_kits), piece)


def moment(spell: Spell[Any]) -> datetime:
    """When it began."""
    return spell.start or START


def before(membership: Spell[int], piece: ComponentBook) -> list[Spell[Any]]:
    """Places that the piece had by itself before it went in."""
    return [stay for stay in piece.stays if moment(stay) < moment(membership)]


def check_track(spells: Sequence[Spell[Any]]) -> None:
    """In order, without overlap, none empty, and nothing cut in two for no reason."""
    for spell in spells:
        assert spell.end is None or spell.start is None or spell.start < spell.end
    for one, next_ in pairwise(spells):
        assert one.end is not None
        assert next_.start is not None
        assert one.end <= next_.start
        assert one.end < next_.start or one.value != next_.value


def check_steps(machine: Any, life: list[Event], *, by_kit: bool) -> None:
    """Every step is in the table."""
    state = None
    for event in life:
        if by_kit and event.component_id is not None:
            continue
        if event.what == What.STATUS:
            assert not isinstance(machine.transition(state, KitState(event.to_state or "")), NotAllowed)
        state = KitState(event.to_state or "")


def within(spell: Spell[Any], states: Iterable[Spell[Any]], allowed: frozenset[Any]) -> bool:
    """Whether the states were such ones all through the spell."""
    return all(
        state.value in allowed
        for state in states
        if (spell.end is None or moment(state) < spell.end) and (state.end is None or state.end > moment(spell))
    )


def check_phases(phases: Sequence[Any], book: KitBook | ComponentBook) -> None:
    """They follow each other without gaps, and tell at each moment what the book does."""
    for one, next_ in pairwise(phases):
        assert one.end == next_.start
    for phase in phases:
        assert phase.state == value_at(book.states, phase.start)  # type: ignore[misc]
        assert phase.organisation_id == value_at(book.custodies, phase.start)
    assert phases[-1].state == book.state
    assert phases[-1].end is None


def check_written(
    before_: tuple[dict[int, KitBook], dict[int, ComponentBook]],
    after: tuple[dict[int, KitBook], dict[int, ComponentBook]],
) -> None:
    """What is written to get from one to the other gets there, and no two rows overlap on the way."""
    for kit_id in KIT_IDS:
        was, becomes = before_[0][kit_id], after[0][kit_id]
        for name in ("stays", "custodies", "placements"):
            check_difference(getattr(was, name), getattr(becomes, name))
    for number in COMPONENT_IDS:
        for name in ("stays", "memberships"):
            check_difference(getattr(before_[1][number], name), getattr(after[1][number], name))


def check_difference(was: Sequence[Spell[Any]], becomes: Sequence[Spell[Any]]) -> None:
    """Do what is said, row by row."""
    stored = dict(enumerate(was))
    found: Difference[Any] = difference([Stored(number, spell) for number, spell in stored.items()], becomes)
    assert bool(found) == (list(was) != list(becomes))
    for number in found.removed:
        del stored[number]
    for number, spell in found.ended:
        stored[number] = replace(stored[number], end=spell.end)
        no_overlap(stored.values())
    for number, spell in enumerate(found.added, 1000):
        stored[number] = spell
        no_overlap(stored.values())
    assert sorted(stored.values(), key=moment) == list(becomes)


def no_overlap(spells: Iterable[Spell[Any]]) -> None:
    """As the database's constraints want it."""
    for one, next_ in pairwise(sorted(spells, key=moment)):
        assert one.end is not None
        assert one.end <= moment(next_)


def test_the_table_of_components_is_kept_as_well() -> None:
    """By every pair of states: a step by itself is taken exactly where the table has it and no kit is involved."""
    for source in ComponentState:
        for target in ComponentState:
            if source is ComponentState.IN_KIT:
                continue
            opening = Event(event_id=1, occurred_at=START, what=What.OPENING, component_id=11, to_state=source)
            step = Event(event_id=2, occurred_at=at(1), what=What.STATUS, component_id=11, to_state=target)
            outcome = replay_component(11, [opening, step])
            there = not isinstance(COMPONENTS.transition(source, target), NotAllowed)
            assert isinstance(outcome, ComponentBook) == (there and target is not ComponentState.IN_KIT)
