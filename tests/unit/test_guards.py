"""What must be so before a step is taken, guard by guard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fleet.state.ledger.guards import (
    PROOF_MAX_AGE,
    ComponentFacts,
    Heard,
    KitFacts,
    Peripheral,
    Piece,
    Unmet,
    UnmetCode,
    unmet,
)
from fleet.state.ledger.wording import TEXTS, danish, english
from fleet.state.lifecycle import OVERRIDABLE, STEPS, Guard

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ARRIVED = NOW - timedelta(minutes=30)
TABLET = Piece(1, "tablet", "T-1")
SCALE = Piece(2, "scale", "S-1", calibrated=True, calibration_due=date(2027, 6, 1))
OXIMETER = Piece(3, "oximeter", "O-1")


def minutes(after_arrival: float) -> datetime:
    """So many minutes after the kit arrived."""
    return ARRIVED + timedelta(minutes=after_arrival)


def heard(sent: float, received: float | None = None) -> Heard:
    """A message, by minutes after the arrival."""
    return Heard(minutes(sent), minutes(sent if received is None else received))


PROVEN = KitFacts(
    at=NOW,
    pieces=(TABLET, SCALE, OXIMETER),
    proof_from=ARRIVED,
    live_at=minutes(20),
    heard=(heard(20),),
    pairing=heard(10),
    peripherals=(Peripheral("S-1", True, minutes(5)), Peripheral(" o-1", True, minutes(6))),
)


def codes(guard: Guard, facts: Any) -> list[UnmetCode]:
    """What the guard finds missing; every finding can be told in both languages."""
    found = unmet((guard,), facts)
    for each in found:
        assert each.guard is guard
        assert "{" not in english(each) + danish(each)
    return [each.code for each in found]


def proof(**changes: Any) -> list[UnmetCode]:
    """What the proof of function lacks with these changes."""
    return codes(Guard.PROOF_OF_FUNCTION, replace(PROVEN, **changes))


def test_a_kit_that_is_heard_with_all_its_peripherals_is_proven() -> None:
    assert proof() == []
    assert proof(pieces=(TABLET,), peripherals=(), pairing=None) == []


@pytest.mark.parametrize(
    "message",
    [heard(-10), heard(-10, 5), heard(5, -1), heard(0, 0)],
    ids=["before", "buffered at the depot", "received before", "at the very moment"],
)
def test_what_was_not_sent_and_received_after_the_arrival_proves_nothing(message: Heard) -> None:
    assert proof(heard=(message,)) == [UnmetCode.NOT_HEARD_SINCE_ARRIVAL]
    assert proof(pairing=message) == [UnmetCode.PAIRING_NOT_SEEN]


def test_a_repeat_that_is_not_live_proves_nothing() -> None:
    assert proof(live_at=None) == [UnmetCode.NOT_HEARD_SINCE_ARRIVAL]
    assert proof(live_at=minutes(-1)) == [UnmetCode.NOT_HEARD_SINCE_ARRIVAL]


@pytest.mark.parametrize("offset_s", [-3_000_000.0, 600.0])
def test_a_clock_out_of_bounds_proves_nothing(offset_s: float) -> None:
    assert proof(offset_s=offset_s) == [UnmetCode.CLOCK_WRONG]


def test_every_peripheral_of_the_books_must_have_been_in_contact_since() -> None:
    one = PROVEN.peripherals[0]
    assert proof(peripherals=(one,)) == [UnmetCode.PERIPHERAL_NOT_SEEN]
    for other, code in (
        (Peripheral("O-1", False, minutes(6)), UnmetCode.PERIPHERAL_NOT_PAIRED),
        (Peripheral("O-1", True, None), UnmetCode.PERIPHERAL_NO_CONTACT),
        (Peripheral("O-1", True, minutes(-1)), UnmetCode.PERIPHERAL_NO_CONTACT),
    ):
        assert proof(peripherals=(one, other)) == [code]


def test_a_proof_holds_for_a_set_time() -> None:
    later = NOW + PROOF_MAX_AGE
    assert set(proof(at=later)) == {UnmetCode.PROOF_TOO_OLD, UnmetCode.PERIPHERAL_NO_CONTACT}


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (None, []),
        ({"tablet": 1, "scale": 1, "oximeter": 1}, []),
        ({"tablet": 1, "scale": 2, "oximeter": 1}, [UnmetCode.KIND_MISSING]),
        ({"tablet": 1, "sim": 1, "scale": 1, "oximeter": 1}, [UnmetCode.KIND_MISSING]),
        ({"tablet": 1, "scale": 1}, [UnmetCode.KIND_SURPLUS]),
    ],
)
def test_a_bundle_is_what_its_type_asks_for(contents: dict[str, int] | None, expected: list[UnmetCode]) -> None:
    assert codes(Guard.BUNDLE_COMPLETE, replace(PROVEN, contents=contents)) == expected


def test_what_is_faulty_goes_to_nobody() -> None:
    facts = replace(PROVEN, pieces=(TABLET, replace(SCALE, faulty=True)))
    assert codes(Guard.BUNDLE_COMPLETE, facts) == [UnmetCode.COMPONENT_FAULTY]


@pytest.mark.parametrize(
    ("until", "margin_days", "expected"),
    [
        (None, 0, []),
        (date(2027, 6, 1), 0, []),
        (date(2027, 6, 2), 0, [UnmetCode.CALIBRATION_EXPIRES]),
        (date(2027, 5, 20), 30, [UnmetCode.CALIBRATION_EXPIRES]),
        (date(2020, 1, 1), 0, []),
    ],
)
def test_calibrations_outlast_the_planned_placement(
    until: date | None, margin_days: int, expected: list[UnmetCode]
) -> None:
    facts = replace(PROVEN, planned_until=until, calibration_margin=timedelta(days=margin_days))
    assert codes(Guard.CALIBRATION_VALID, facts) == expected


def test_a_calibrated_model_without_a_calibration_is_not_ready() -> None:
    facts = replace(PROVEN, pieces=(replace(SCALE, calibration_due=None), OXIMETER))
    assert codes(Guard.CALIBRATION_VALID, facts) == [UnmetCode.CALIBRATION_UNKNOWN]


def test_software_is_seen_and_as_wanted() -> None:
    guard = Guard.SOFTWARE_AS_WANTED
    assert codes(guard, replace(PROVEN, software=None)) == [UnmetCode.SOFTWARE_NOT_SEEN]
    assert codes(guard, replace(PROVEN, software={"app": "2"})) == []
    drifted = replace(PROVEN, software={"app": "1"}, wanted={"app": "2", "os": "14"})
    assert codes(guard, drifted) == [UnmetCode.SOFTWARE_DIFFERS] * 2
    assert codes(guard, KitFacts(at=NOW, pieces=(OXIMETER,))) == []


def test_pieces_leave_with_their_kit_or_before_it() -> None:
    assert codes(Guard.BUNDLE_EMPTY, PROVEN) == [UnmetCode.BUNDLE_NOT_EMPTY]
    assert codes(Guard.BUNDLE_EMPTY, replace(PROVEN, with_components=True)) == []
    assert codes(Guard.BUNDLE_EMPTY, replace(PROVEN, pieces=())) == []


def test_a_piece_is_clean_and_in_its_kit() -> None:
    assert codes(Guard.CLEANED, ComponentFacts(SCALE, NOW, unclean=True)) == [UnmetCode.NOT_CLEANED]
    assert codes(Guard.CLEANED, ComponentFacts(SCALE, NOW)) == []
    assert codes(Guard.STILL_IN_KIT, ComponentFacts(SCALE, NOW)) == [UnmetCode.NOT_IN_KIT]
    assert codes(Guard.STILL_IN_KIT, ComponentFacts(SCALE, NOW, in_kit=True)) == []


def test_everything_missing_is_told_at_once_and_in_two_languages() -> None:
    guards = (Guard.BUNDLE_COMPLETE, Guard.CALIBRATION_VALID, Guard.SOFTWARE_AS_WANTED)
    bare = replace(PROVEN, contents={"sim": 1}, pieces=(replace(SCALE, calibration_due=None), TABLET), software=None)
    found: tuple[Unmet, ...] = unmet(guards, bare)
    assert {each.guard for each in found} == set(guards)
    assert set(TEXTS) == set(UnmetCode)
    assert all(en != da for en, da in TEXTS.values())


def test_only_what_a_reason_can_change_may_be_overridden() -> None:
    used = {guard for step in STEPS for guard in step.guards}
    assert used - OVERRIDABLE == {Guard.BUNDLE_EMPTY}
