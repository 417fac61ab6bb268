"""Whatever happens and is corrected, the entries and counter-entries add up to what the corrected log says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

from fleet.state.billing.derive import Billable, Kind, Period, Terms, derive, difference, next_month
from fleet.state.ledger.book import Illegal
from fleet.state.ledger.events import Event
from fleet.state.lifecycle import KITS, KitState

BEGIN = datetime(2026, 3, 20, 20, tzinfo=UTC)
TERMS = {number: Terms(number, number % 2 + 1, None if number % 3 else "COPD") for number in range(1, 8)}


class Ledger:
    """The entries as they would be stored: never changed, some taken back by others."""

    def __init__(self) -> None:
        self.entries: list[tuple[Billable, int | None]] = []

    def standing(self) -> list[tuple[int, Billable]]:
        """Entries that nothing has taken back, by number."""
        countered = {counter_of for _, counter_of in self.entries}
        return [
            (number, entry)
            for number, (entry, counter_of) in enumerate(self.entries)
            if counter_of is None and number not in countered
        ]

    def bring_up_to(self, derived: Iterable[Billable]) -> int:
        """Record as the recorder does; gives how many entries were written."""
        found = difference(derived, self.standing())
        for number in found.counter:
            entry = self.entries[number][0]
            self.entries.append((replace(entry, quantity=-entry.quantity), number))
        self.entries += [(entry, None) for entry in found.add]
        return len(found.counter) + len(found.add)

    def sums(self) -> Counter[tuple[object, ...]]:
        """What is charged in all, by what invoices are made of."""
        return _sums(entry for entry, _ in self.entries)


def _sums(entries: Iterable[Billable]) -> Counter[tuple[object, ...]]:
    sums: Counter[tuple[object, ...]] = Counter()
    for entry in entries:
        sums[entry.organisation_id, entry.programme, entry.kind, entry.placement_id, entry.day] += entry.quantity
    return Counter({key: quantity for key, quantity in sums.items() if quantity})


@st.composite
def happening(draw: st.DrawFn, events: list[Event]) -> Event:
    """A step, a move, a swap or a correction, which may or may not be possible after the others."""
    number = len(events) + 1
    last = max(event.occurred_at for event in events)
    at = last + timedelta(hours=draw(st.integers(0, 24 * 40)))
    placement = draw(st.sampled_from([None, *TERMS]))
    what = draw(st.sampled_from(["status", "status", "status", "swap", "location", "correction"]))
    if what == "status":
        state = draw(st.sampled_from(_steps_after(events)))
        home = placement if state is KitState.INSTALLED else None
        return Event(event_id=number, occurred_at=at, what=what, kit_id=1, to_state=state.value, placement_id=home)
    if what == "swap":
        return Event(event_id=number, occurred_at=at, what=what, kit_id=1, component_id=number + 100)
    if what == "location":
        return Event(event_id=number, occurred_at=at, what=what, kit_id=1, placement_id=placement)
    moved = last + timedelta(hours=draw(st.integers(-24 * 60, 24)))
    values: list[dict[str, Any]] = [{"void": True}, {"occurred_at": moved.isoformat()}, {"placement_id": placement}]
    after = draw(st.sampled_from(values))
    corrects = draw(st.integers(1, number - 1))
    return Event(event_id=number, occurred_at=last, what=what, kit_id=1, corrects=corrects, after=after)


def _steps_after(events: list[Event]) -> list[KitState]:
    """Mostly what is possible, so that lives become long."""
    states = [KitState(event.to_state) for event in events if event.to_state is not None and event.corrects is None]
    return [*KITS.allowed(states[-1]), KitState.INSTALLED]


@given(st.data())
def test_entries_add_up_to_what_the_corrected_log_says(data: st.DataObject) -> None:
    opening = data.draw(st.sampled_from([KitState.READY, KitState.DISPATCHED, KitState.INSTALLED]))
    home = 1 if opening is KitState.INSTALLED else None
    events = [Event(event_id=1, occurred_at=BEGIN, what="opening", kit_id=1, to_state=opening.value, placement_id=home)]
    period = Period(date(2026, 4, 10), date(2026, 4, 1))
    ledger = Ledger()
    for _ in range(data.draw(st.integers(1, 25))):
        if data.draw(st.integers(0, 4)) == 0:
            period = replace(period, closed_until=next_month(period.closed_until))
        else:
            event = data.draw(happening(events))
            if isinstance(derive(1, [*events, event], TERMS, period), Illegal):
                continue
            events.append(event)
        derived = derive(1, events, TERMS, period)
        assert not isinstance(derived, Illegal)
        if data.draw(st.booleans()):
            ledger.bring_up_to(derived)
    note(str(events))
    derived = derive(1, events, TERMS, period)
    assert not isinstance(derived, Illegal)
    ledger.bring_up_to(derived)
    assert ledger.sums() == _sums(derived)
    assert Counter(entry for _, entry in ledger.standing()) == Counter(derived)
    assert ledger.bring_up_to(derived) == 0
    _holds(derived, period)


def _holds(derived: Iterable[Billable], period: Period) -> None:
    rented: Counter[tuple[int, date]] = Counter()
    for entry in derived:
        assert entry.quantity > 0
        assert entry.day >= period.first_day
        assert next_month(entry.day) >= entry.until_day > entry.day
        if entry.kind is Kind.RENTAL_DAYS:
            assert entry.quantity == (entry.until_day - entry.day).days
            for offset in range(entry.quantity):
                rented[entry.kit_id, entry.day + timedelta(days=offset)] += 1
    assert all(count == 1 for count in rented.values()), "a kit is rented once a day"
