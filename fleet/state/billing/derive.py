"""From a kit's history to what is charged, and from what was charged to what must be countered. Pure.

What is charged, by placement:

- `set_up` on the day the kit is installed in a home; what was entered as an opening balance was set up before;
- `take_down` when it leaves that home, unless it was lost there;
- `swap` once for each day on which a piece was put into the kit while it was in the home, except the day of set-up:
  that is one visit, however many pieces were changed;
- `rental_days` for each calendar month: the days at whose end the kit was in that home, so the day of set-up counts
  and the day of take-down does not.

A day is a day in Denmark. A placement that goes on is charged by whole months as they close, the last part when it
ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from fleet.state.ledger.book import Illegal, KitBook, Spell, value_at
from fleet.state.ledger.events import Event, What, effective
from fleet.state.ledger.replay import replay_kit
from fleet.state.lifecycle import KitState

DENMARK = ZoneInfo("Europe/Copenhagen")


class Kind(StrEnum):
    """What is charged; a `call` is recorded where calls are."""

    SET_UP = "set_up"
    SWAP = "swap"
    TAKE_DOWN = "take_down"
    CALL = "call"
    RENTAL_DAYS = "rental_days"


@dataclass(frozen=True, slots=True)
class Terms:
    """To whom a placement is charged: the municipality, and for which programme."""

    placement_id: int
    organisation_id: int
    programme: str | None


@dataclass(frozen=True, slots=True)
class Period:
    """What may be recorded: from `first_day` on; rental that goes on up to `closed_until`, a month's first day."""

    first_day: date
    closed_until: date


@dataclass(frozen=True, slots=True)
class Billable:
    """One thing to charge; `until_day` is the day after the last one. Where it was read from does not tell it apart."""

    kind: Kind
    kit_id: int
    placement_id: int
    organisation_id: int
    programme: str | None
    quantity: int
    occurred_at: datetime
    day: date
    until_day: date
    source_event_id: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """What brings the record up to the log: entries to counter, by number, and entries to add."""

    counter: tuple[int, ...]
    add: tuple[Billable, ...]


def day_of(moment: datetime) -> date:
    """The day in Denmark."""
    return moment.astimezone(DENMARK).date()


def derive(
    kit_id: int, events: Iterable[Event], terms: Mapping[int, Terms], period: Period
) -> tuple[Billable, ...] | Illegal:
    """Everything to charge for a kit by its whole history, corrections included; Illegal when that cannot have been."""
    history = list(events)
    book = replay_kit(history)
    if isinstance(book, Illegal):
        return book
    counting = effective(history)
    found: list[Billable] = []
    for spell in book.placements:
        of = terms.get(spell.value)
        if of is not None and spell.start is not None:
            found += _of_placement(_Placed(kit_id, of, spell, book, counting), period)
    return tuple(each for each in found if each.day >= period.first_day)


def difference(derived: Iterable[Billable], standing: Iterable[tuple[int, Billable]]) -> Difference:
    """What stands and should not, and what should and does not; equal ones are paired off."""
    wanted = Counter(derived)
    counter = []
    for entry_id, billable in standing:
        if wanted[billable] > 0:
            wanted[billable] -= 1
        else:
            counter.append(entry_id)
    return Difference(tuple(counter), tuple(wanted.elements()))


def months(first: date, until: date) -> Iterator[tuple[date, date]]:
    """The days from `first` to before `until`, cut at each month's first day."""
    while first < until:
        following = next_month(first)
        yield first, min(following, until)
        first = following


def next_month(day: date) -> date:
    """The first day of the month after that of `day`."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A spell of a kit in a home, with what it is read from."""

    kit_id: int
    terms: Terms
    spell: Spell[int]
    book: KitBook
    events: Sequence[Event]

    @property
    def start(self) -> datetime:
        """When it began."""
        assert self.spell.start is not None
        return self.spell.start

    def source(self, at: datetime) -> Event | None:
        """The last event of the kit itself at a moment."""
        found = [each for each in self.events if each.occurred_at == at and each.what != What.SWAP]
        return next((each for each in reversed(found) if each.component_id is None), None)

    def once(self, kind: Kind, at: datetime, source: Event | None) -> Billable:
        """One of `kind` that happened at a moment."""
        day = day_of(at)
        return self._billable(kind, at, (day, day + timedelta(days=1)), source)

    def rental(self, first: date, until: date) -> Billable:
        """The rental of some days of one month."""
        at = max(self.start, datetime.combine(first, datetime.min.time(), DENMARK))
        return self._billable(Kind.RENTAL_DAYS, at, (first, until), self.source(self.start))

    def _billable(self, kind: Kind, at: datetime, days: tuple[date, date], source: Event | None) -> Billable:
        return Billable(
            kind=kind,
            kit_id=self.kit_id,
            placement_id=self.terms.placement_id,
            organisation_id=self.terms.organisation_id,
            programme=self.terms.programme,
            quantity=(days[1] - days[0]).days,
            occurred_at=at,
            day=days[0],
            until_day=days[1],
            source_event_id=None if source is None else source.event_id,
        )


def _of_placement(placed: _Placed, period: Period) -> Iterator[Billable]:
    begun = placed.source(placed.start)
    if begun is None or begun.what != What.OPENING:
        yield placed.once(Kind.SET_UP, placed.start, begun)
    end = placed.spell.end
    if end is not None and value_at(placed.book.states, end) is not KitState.LOST:
        yield placed.once(Kind.TAKE_DOWN, end, placed.source(end))
    yield from _swaps(placed)
    until = period.closed_until if end is None else day_of(end)
    for first, after in months(max(day_of(placed.start), period.first_day), until):
        yield placed.rental(first, after)


def _swaps(placed: _Placed) -> Iterator[Billable]:
    by_day: dict[date, list[Event]] = defaultdict(list)
    for event in placed.events:
        if event.what == What.SWAP and event.component_id is not None and _within(event, placed.spell):
            by_day[day_of(event.occurred_at)].append(event)
    by_day.pop(day_of(placed.start), None)
    for found in by_day.values():
        yield placed.once(Kind.SWAP, found[0].occurred_at, found[0])


def _within(event: Event, spell: Spell[int]) -> bool:
    assert spell.start is not None
    return spell.start <= event.occurred_at and (spell.end is None or event.occurred_at < spell.end)
