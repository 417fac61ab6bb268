"""What is charged for a kit's life, and what a corrected life takes back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fleet.state.billing.derive import Billable, Kind, Period, Terms, day_of, derive, difference, months
from fleet.state.ledger.book import Illegal
from fleet.state.ledger.events import Event

PERIOD = Period(first_day=date(2026, 9, 1), closed_until=date(2026, 11, 1))
TERMS = {7: Terms(7, 3, "COPD"), 8: Terms(8, 4, None)}


def at(text: str) -> datetime:
    """A moment of 2026 in UTC, `MM-DD HH:MM`."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


class Life:
    """A kit's log, written as it goes."""

    def __init__(self, state: str = "dispatched", when: str = "08-01 09:00", **more: Any) -> None:
        self.events: list[Event] = []
        self.add(when, "opening", to_state=state, **more)

    def add(self, when: str, what: str, **more: Any) -> Life:
        """One more event."""
        number = len(self.events) + 1
        self.events.append(Event(event_id=number, occurred_at=at(when), what=what, kit_id=1, **more))
        return self

    def step(self, when: str, to: str, **more: Any) -> Life:
        """A step of the kit."""
        return self.add(when, "status", to_state=to, **more)

    def swap(self, when: str, incoming: int | None, outgoing: int | None = None) -> Life:
        """A piece in, a piece out."""
        return self.add(when, "swap", component_id=incoming, removed_id=outgoing, to_state="faulty")

    def charged(self, period: Period = PERIOD) -> tuple[Billable, ...]:
        """What is charged for it."""
        found = derive(1, self.events, TERMS, period)
        assert not isinstance(found, Illegal)
        return found

    def told(self, period: Period = PERIOD) -> list[tuple[str, str, str, int]]:
        """The same in short."""
        return [(e.kind.value, f"{e.day:%m-%d}", f"{e.until_day:%m-%d}", e.quantity) for e in self.charged(period)]


def test_a_placement_from_set_up_to_take_down() -> None:
    life = Life().step("09-28 10:00", "installed", placement_id=7).step("11-03 10:00", "retrieved")
    assert life.told() == [
        ("set_up", "09-28", "09-29", 1),
        ("take_down", "11-03", "11-04", 1),
        ("rental_days", "09-28", "10-01", 3),
        ("rental_days", "10-01", "11-01", 31),
        ("rental_days", "11-01", "11-03", 2),
    ]
    assert {(e.organisation_id, e.programme, e.placement_id) for e in life.charged()} == {(3, "COPD", 7)}
    assert [e.source_event_id for e in life.charged()] == [2, 3, 2, 2, 2]


def test_one_that_goes_on_is_charged_by_months_that_are_over() -> None:
    life = Life().step("09-28 10:00", "installed", placement_id=7)
    assert [each for each in life.told() if each[0] == "rental_days"] == [
        ("rental_days", "09-28", "10-01", 3),
        ("rental_days", "10-01", "11-01", 31),
    ]
    assert Kind.RENTAL_DAYS not in {e.kind for e in life.charged(Period(PERIOD.first_day, PERIOD.first_day))}


def test_a_day_is_a_day_in_denmark() -> None:
    assert [day_of(at(text)) for text in ("06-30 22:30", "06-30 21:30", "12-31 22:30")] == [
        date(2026, 7, 1),
        date(2026, 6, 30),
        date(2026, 12, 31),
    ]
    life = Life().step("09-30 22:30", "installed", placement_id=7).step("09-30 23:30", "retrieved")
    assert life.told() == [("set_up", "10-01", "10-02", 1), ("take_down", "10-01", "10-02", 1)]


def test_a_pause_and_a_fault_are_rented_on() -> None:
    life = Life().step("10-01 10:00", "installed", placement_id=7).step("10-05 10:00", "paused")
    life.step("10-09 10:00", "installed").step("10-10 10:00", "faulty").step("10-12 10:00", "retrieved")
    assert life.told()[-1] == ("rental_days", "10-01", "10-12", 11)
    assert len(life.told()) == 3


def test_swaps_of_a_day_are_one_visit_and_those_of_the_set_up_are_part_of_it() -> None:
    life = Life().step("10-01 08:00", "installed", placement_id=7).swap("10-01 09:00", 11, 12)
    life.swap("10-05 09:00", 13, 14).swap("10-05 09:30", 15).swap("10-06 09:00", None, 15).swap("10-07 09:00", 16)
    life.step("10-09 10:00", "retrieved").swap("10-09 12:00", 17)
    assert [each[:2] for each in life.told() if each[0] == "swap"] == [("swap", "10-05"), ("swap", "10-07")]


def test_what_was_lost_was_not_taken_down() -> None:
    life = Life().step("10-01 08:00", "installed", placement_id=7).step("10-04 08:00", "lost")
    assert life.told() == [("set_up", "10-01", "10-02", 1), ("rental_days", "10-01", "10-04", 3)]


def test_an_opening_balance_was_set_up_before_and_what_was_before_the_first_day_is_not_charged() -> None:
    life = Life("installed", "08-01 09:00", placement_id=7).step("10-04 08:00", "retrieved")
    assert life.told() == [
        ("take_down", "10-04", "10-05", 1),
        ("rental_days", "09-01", "10-01", 30),
        ("rental_days", "10-01", "10-04", 3),
    ]


def test_from_home_to_home() -> None:
    life = Life().step("10-01 08:00", "installed", placement_id=7).add("10-03 08:00", "location", placement_id=8)
    assert [(e.kind.value, e.placement_id, e.quantity) for e in life.charged()] == [
        ("set_up", 7, 1),
        ("take_down", 7, 1),
        ("rental_days", 7, 2),
        ("set_up", 8, 1),
        ("rental_days", 8, 29),
    ]


@pytest.mark.parametrize(
    ("after", "countered", "added"),
    [
        ({"void": True}, ["take_down", "rental_days"], ["rental_days"]),
        ({"occurred_at": "2026-10-06T08:00:00+00:00"}, ["take_down", "rental_days"], ["take_down", "rental_days"]),
        ({"occurred_at": "2026-10-04T09:00:00+00:00"}, ["take_down"], ["take_down"]),
        ({"to_state": "lost"}, ["take_down"], []),
    ],
)
def test_a_correction_takes_back_what_was_charged_and_charges_what_is_right(
    after: dict[str, Any], countered: list[str], added: list[str]
) -> None:
    life = Life().step("10-01 08:00", "installed", placement_id=7).step("10-04 08:00", "retrieved")
    recorded = dict(enumerate(life.charged(), 1))
    life.add("11-02 08:00", "correction", corrects=3, after=after)
    found = difference(life.charged(), recorded.items())
    assert [recorded[each].kind.value for each in found.counter] == countered
    assert [each.kind.value for each in found.add] == added


def test_terms_that_change_move_the_charge() -> None:
    life = Life().step("10-01 08:00", "installed", placement_id=7).step("10-04 08:00", "retrieved")
    recorded = list(enumerate(life.charged(), 1))
    moved = derive(1, life.events, {7: Terms(7, 4, "COPD")}, PERIOD)
    assert not isinstance(moved, Illegal)
    found = difference(moved, recorded)
    assert (len(found.counter), len(found.add)) == (3, 3)


def test_the_same_again_changes_nothing() -> None:
    life = Life().step("10-01 08:00", "installed", placement_id=7)
    found = difference(life.charged(), list(enumerate(life.charged())))
    assert (found.counter, found.add) == ((), ())


def test_an_impossible_history_is_told() -> None:
    assert isinstance(derive(1, Life().step("10-01 08:00", "ready").events, TERMS, PERIOD), Illegal)


def test_months_cut() -> None:
    assert list(months(date(2026, 12, 30), date(2027, 2, 2))) == [
        (date(2026, 12, 30), date(2027, 1, 1)),
        (date(2027, 1, 1), date(2027, 2, 1)),
        (date(2027, 2, 1), date(2027, 2, 2)),
    ]
    assert list(months(date(2026, 12, 30), date(2026, 12, 30))) == []
