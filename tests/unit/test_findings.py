"""What counts as a disagreement between books and reality, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.protocol.messages import Software, decode, encode
from fleet.protocol.topics import Kind as MessageKind
from fleet.state.findings.facts import (
    HeardKit,
    IdentityFacts,
    Listening,
    PeripheralFacts,
    Sighting,
)
from fleet.state.findings.judge import (
    AFTER_CHANGE,
    AFTER_STEP,
    judge_heard,
    judge_identity,
    judge_peripherals,
    judge_shared,
    plain_name,
    same_digits,
)
from fleet.state.findings.kinds import Kind, Severity, worst
from fleet.state.latest import identity_of
from fleet.state.reported import Change, What, identity_changes

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CLOCK = Listening(clock_s=1_000_000.0, resumed_clock_s=0.0, hears=True)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("8945012345678901230", "8945012345678901230", True),
        ("8945012345678901230", "89450123456789012306", True),
        ("8945 0123 4567 8901 230", "894501234567890123", True),
        ("8945012345678901230", "8945012345678901239", False),
        ("8945", "8945", False),
    ],
)
def test_numbers_as_far_as_both_go(one: str, other: str, same: bool) -> None:
    assert same_digits(one, other, least=18) == same
    assert same_digits(other, one, least=18) == same


def test_names_of_models() -> None:
    assert plain_name("Onyx-II 9550") == plain_name("onyx ii_9550")
    assert plain_name("Vægt 3") == plain_name("VÆGT3")


def heard(state: str, after: timedelta, *, ago_s: float = 10) -> HeardKit:
    """A kit heard so long after it came into its state."""
    return HeardKit(1, state, NOW - after, NOW, CLOCK.clock_s - ago_s)


@pytest.mark.parametrize(
    ("kit", "kind"),
    [
        (heard("in_stock", AFTER_STEP), None),
        (heard("in_stock", AFTER_STEP + SECOND), Kind.REPORTS_WHILE_STORED),
        (heard("in_stock", AFTER_STEP + SECOND, ago_s=86_400), None),
        (heard("scrapped", AFTER_STEP + SECOND, ago_s=86_400), Kind.REPORTS_WHILE_SCRAPPED),
        (heard("retrieved", timedelta(days=3)), None),
        (heard("retrieved", timedelta(days=3) + SECOND), Kind.REPORTS_WHILE_STORED),
        (heard("ready", timedelta(days=30)), None),
        (heard("installed", timedelta(days=30)), None),
    ],
)
def test_who_should_not_report(kit: HeardKit, kind: Kind | None) -> None:
    assert [found.kind for found in judge_heard([kit], CLOCK)] == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("clock", "opens"),
    [
        (CLOCK, True),
        (replace(CLOCK, hears=False), False),
        (replace(CLOCK, resumed_clock_s=CLOCK.clock_s - 10), False),
        (replace(CLOCK, resumed_clock_s=CLOCK.clock_s - 11), True),
    ],
)
def test_our_outage_opens_nothing_and_ends_nothing(clock: Listening, opens: bool) -> None:
    (found,) = judge_heard([heard("lost", timedelta(days=1))], clock)
    assert found.opens == opens


def identity(**more: Any) -> IdentityFacts:
    """A tablet of the books beside what was reported an hour after it went in."""
    values: dict[str, Any] = {
        "kit_id": 1, "kind": "tablet", "component_id": 2, "since": NOW - timedelta(hours=1), "serial": "T-1",
        "imei": None, "iccid": None, "reported_serial": None, "reported_imei": None, "reported_iccid": None,
        "reported_at": NOW,
    }  # fmt: skip
    return IdentityFacts(**values | more)


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [
        (identity(), []),
        (identity(reported_serial="t-1"), []),
        (identity(reported_serial="T-2"), [Kind.OTHER_TABLET]),
        (identity(reported_serial="T-2", kind="sim"), []),
        (identity(reported_serial="T-2", reported_at=NOW - timedelta(minutes=50)), []),
        (identity(imei="490154203237518", reported_imei="4901542032375112", reported_serial="T-2"), []),
        (identity(imei="490154203237518", reported_imei="356938035643809"), [Kind.OTHER_TABLET]),
        (identity(iccid="8945012345678901230", reported_iccid="8945012345678901999"), [Kind.OTHER_SIM]),
    ],
)
def test_which_tablet_and_which_sim(facts: IdentityFacts, kinds: list[Kind]) -> None:
    assert [found.kind for found in judge_identity([facts])] == kinds


def device(**more: Any) -> PeripheralFacts:
    """A scale that the books and the tablet know alike."""
    values: dict[str, Any] = {
        "kit_id": 1, "kit_state": "installed", "reported_at": NOW, "changed": NOW - timedelta(days=1),
        "component_id": 2, "component_state": "in_kit", "kind": "scale", "serial": "W-1",
        "since": NOW - timedelta(days=1), "manufacturer": "Acme", "model": "WS 310", "expected_firmware": None,
        "books_firmware": None, "reported_kind": "scale", "reported_serial": "W-1", "reported_model": None,
        "reported_firmware": None, "paired": True,
    }  # fmt: skip
    return PeripheralFacts(**values | more)


NOT_REPORTED: dict[str, Any] = {"reported_serial": None, "reported_kind": None, "paired": None}
NOT_IN_BOOKS: dict[str, Any] = {"component_id": None, "kind": None, "serial": None, "since": None, "model": None}


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [
        (device(), []),
        (device(**NOT_REPORTED), [Kind.PERIPHERAL_MISSING]),
        (device(**NOT_REPORTED, kit_state="paused"), []),
        (device(**NOT_REPORTED, component_state="faulty"), []),
        (device(**{**NOT_REPORTED, "since": NOW - AFTER_CHANGE}), []),
        (device(**NOT_IN_BOOKS), [Kind.PERIPHERAL_NOT_IN_BOOKS]),
        (device(**NOT_IN_BOOKS, kit_state="preparing"), []),
        (device(**{**NOT_IN_BOOKS, "paired": False}), []),
        (device(**{**NOT_IN_BOOKS, "changed": NOW - AFTER_CHANGE}), []),
        (device(reported_model="ws-310"), []),
        (device(reported_model="ACME WS-310"), []),
        (device(reported_model="PX-20"), [Kind.MODEL_DIFFERS]),
        (device(reported_kind="oximeter"), [Kind.MODEL_DIFFERS]),
        (device(reported_firmware="1.0"), []),
        (device(expected_firmware="2.0"), []),
        (device(expected_firmware="2.0", reported_firmware="1.0"), [Kind.FIRMWARE_DIFFERS]),
        (device(expected_firmware="2.0", books_firmware="1.0", reported_firmware="2.0"), []),
        (device(books_firmware="1.0", reported_firmware="2.0"), [Kind.FIRMWARE_DIFFERS]),
        (device(books_firmware="1.0", reported_firmware="2.0", kit_state="preparing"), []),
    ],
)
def test_devices(facts: PeripheralFacts, kinds: list[Kind]) -> None:
    assert [found.kind for found in judge_peripherals([facts])] == kinds


SIGHTINGS = st.builds(
    lambda kit_id, organisation, kind, serial, hours: Sighting(
        kit_id, f"K-{kit_id}", organisation, organisation, kind, serial, NOW - timedelta(hours=hours), None, None
    ),
    st.integers(1, 6),
    st.sampled_from([None, 1, 2]),
    st.sampled_from(["scale", "oximeter"]),
    st.sampled_from(["W-1", "w-1 ", "W-2"]),
    st.integers(0, 400),
)


@given(st.lists(SIGHTINGS, max_size=12))
def test_devices_in_two_kits_are_told_to_each_without_naming_strangers(sightings: Sequence[Sighting]) -> None:
    whose = {each.kit_id: each.organisation_id for each in sightings}
    sightings = [replace(each, organisation_id=whose[each.kit_id], owner_id=whose[each.kit_id]) for each in sightings]
    found = list(judge_shared(sightings, NOW))
    assert len({(each.kind, each.subject) for each in found}) == len(found)
    for each in found:
        assert each.kit_id is not None
        others = [int(kit.removeprefix("K-")) for kit in each.evidence["other_kits"]]
        assert each.kit_id not in others
        assert all(whose[other] == whose[each.kit_id] for other in others)
        assert each.evidence["others"] >= max(1, len(others))


def test_the_gravest() -> None:
    assert worst(frozenset({Severity.WARNING, Severity.MAJOR})) is Severity.MAJOR


def test_tablets_tell_which_they_are_if_they_can() -> None:
    told = b'{"ts": "2026-11-20T12:00:00Z", "boot": "b", "seq": 1, "components": {}, "imei": "490154203237518"}'
    message = decode(MessageKind.SOFTWARE, told)
    assert isinstance(message, Software)
    assert identity_of(message) == {"imei": "490154203237518"}
    assert decode(MessageKind.SOFTWARE, encode(message)) == message
    old = decode(MessageKind.SOFTWARE, told.replace(b', "imei": "490154203237518"', b""))
    assert isinstance(old, Software)
    assert identity_of(old) is None


def test_another_tablet_is_a_change_and_one_that_tells_less_is_none() -> None:
    before = {"imei": "1", "iccid": "2"}
    assert list(identity_changes(before, {"imei": "1", "iccid": "3"})) == [Change(What.IDENTITY, "iccid", "2", "3")]
    assert list(identity_changes(before, {"imei": "1"})) == []
    assert list(identity_changes(None, before)) == []
    assert list(identity_changes(before, None)) == []
