"""Books against reality: each kind of finding opens once, waits out its grace, clears, and is nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.db import roles
from fleet.state.findings import store
from tests.findings_world import CLOCK_S, HOUR, LONG_AGO, NOW, Books, opened


@pytest.fixture
async def books(database: str) -> AsyncIterator[Books]:
    """Empty books of this test."""
    async with opened(database) as made:
        yield made


@pytest.mark.parametrize(
    ("state", "kind", "severity"),
    [
        ("in_stock", "reports_while_stored", "minor"),
        ("ordered", "reports_while_stored", "minor"),
        ("cleaning", "reports_while_stored", "minor"),
        ("scrapped", "reports_while_scrapped", "critical"),
        ("returned", "reports_while_scrapped", "critical"),
        ("lost", "reports_while_lost", "major"),
    ],
)
async def test_a_kit_out_of_use_that_reports(books: Books, state: str, kind: str, severity: str) -> None:
    kit_id = await books.kit("K", state)
    await books.found_once(kind)
    assert await books.do("SELECT severity FROM findings") == severity
    assert await books.do("SELECT count(*) FROM events WHERE type = 'finding.opened' AND kit = 'K'") == 1
    await books.set_state(kit_id, "preparing", books.now)
    await books.cleared()
    assert await books.do("SELECT count(*) FROM events WHERE type = 'finding.cleared' AND kit = 'K'") == 1


@pytest.mark.parametrize("state", ["preparing", "ready", "dispatched", "installed", "paused", "faulty"])
async def test_a_kit_that_may_report(books: Books, state: str) -> None:
    await books.kit("K", state)
    assert not (await books.compare()).changed


@pytest.mark.parametrize(
    ("state", "minutes", "found"),
    [("in_stock", 14, False), ("in_stock", 16, True), ("scrapped", 14, False), ("cleaning", 60, False)],
)
async def test_what_was_on_its_way_when_the_step_was_taken(books: Books, state: str, minutes: int, found: bool) -> None:
    kit_id = await books.kit("K", state)
    await books.hear(kit_id, ago_s=0)
    await books.set_state(kit_id, state, NOW - timedelta(minutes=minutes))
    await books.compare()
    assert bool(await books.standing()) == found


async def test_a_kit_that_was_heard_before_it_was_stored_only(books: Books) -> None:
    kit_id = await books.kit("K", "in_stock")
    await books.hear(kit_id, ago_s=3600)
    await books.set_state(kit_id, "in_stock", NOW)
    assert not (await books.compare()).changed


async def test_a_stored_kit_that_keeps_quiet_again(books: Books) -> None:
    kit_id = await books.kit("K", "in_stock")
    await books.found_once("reports_while_stored")
    await books.hear(kit_id, ago_s=86_401)
    await books.cleared()
    await books.hear(kit_id)
    await books.compare()
    assert await books.do("SELECT count(*) FROM findings") == 2


@pytest.mark.parametrize("state", ["down", "catching_up"])
async def test_nothing_is_opened_by_hearing_while_we_do_not_listen(books: Books, state: str) -> None:
    await books.kit("K-1", "in_stock")
    await books.kit("K-2", heard=False)
    await books.do("UPDATE listening SET state = %s", state)
    assert not (await books.compare()).changed
    await books.do("UPDATE listening SET state = 'listening'")
    await books.found_once("never_heard", "reports_while_stored")
    await books.do("UPDATE listening SET state = %s", state)
    assert not (await books.compare()).changed


async def test_the_backlog_of_our_outage_opens_nothing(books: Books) -> None:
    """What waited in the broker is received after the step, at the value at which the clock stood."""
    kit_id = await books.kit("K", "in_stock")
    await books.hear(kit_id, ago_s=0)
    await books.do("UPDATE listening SET resumed_clock_s = clock_s, grace_from_clock_s = clock_s")
    assert not (await books.compare()).changed
    await books.do("UPDATE listening SET clock_s = clock_s + 60")
    assert not (await books.compare()).changed
    await books.do("UPDATE kit_latest SET heard_clock_s = %s", CLOCK_S + 30)
    await books.found_once("reports_while_stored")


async def test_an_installed_kit_that_was_never_heard(books: Books) -> None:
    kit_id = await books.kit("K", heard=False)
    await books.found_once("never_heard")
    await books.hear(kit_id)
    await books.cleared()


async def test_never_heard_counts_listening_time_only(books: Books) -> None:
    await books.kit("K", heard=False)
    await books.do("UPDATE kit_latest SET watch_from_clock_s = %s", CLOCK_S - 899)
    assert not (await books.compare()).changed
    await books.do("UPDATE kit_latest SET watch_from_clock_s = %s", CLOCK_S - 901)
    await books.do("UPDATE listening SET resumed_clock_s = clock_s - 100, grace_from_clock_s = clock_s - 100")
    assert not (await books.compare()).changed, "the grace after an outage"
    await books.do("UPDATE listening SET resumed_clock_s = 0, grace_from_clock_s = 0")
    await books.found_once("never_heard")


@pytest.mark.parametrize(
    ("books_say", "reported"),
    [
        ({"imei": "490154203237518"}, {"imei": "356938035643809"}),
        ({}, {"tablet_serial": "T-2"}),
    ],
)
async def test_another_tablet(books: Books, books_say: dict[str, str], reported: dict[str, str]) -> None:
    kit_id = await books.kit("K")
    tablet = await books.piece(kit_id, "tablet", "T-1", **books_say)
    await books.software(kit_id, None, **reported)
    await books.found_once("other_tablet")
    assert await books.do("SELECT component_id FROM findings") == tablet
    await books.software(kit_id, imei="490154203237518", tablet_serial="t-1 ")
    await books.cleared()


async def test_the_same_tablet_told_otherwise(books: Books) -> None:
    kit_id = await books.kit("K")
    await books.piece(kit_id, "tablet", "T-1", imei="490154203237518")
    await books.software(kit_id, tablet_serial="another form of it", imei="4901542032375101")
    assert not (await books.compare()).changed
    await books.software(kit_id)
    assert not (await books.compare()).changed


async def test_a_report_from_before_the_swap_says_nothing_of_the_new_piece(books: Books) -> None:
    kit_id = await books.kit("K")
    await books.piece(kit_id, "tablet", "T-1", state_since=NOW - HOUR)
    await books.software(kit_id, NOW - 2 * HOUR, tablet_serial="T-0")
    assert not (await books.compare()).changed
    await books.software(kit_id, NOW, tablet_serial="T-0")
    await books.found_once("other_tablet")


async def test_another_sim(books: Books) -> None:
    kit_id = await books.kit("K")
    await books.piece(kit_id, "sim", "S-1", iccid="8945012345678901230")
    await books.report(kit_id, "software", {"app": "1", "iccid": "8945012345678901999"})
    await books.found_once("other_sim")
    await books.software(kit_id, iccid="89450123456789012306")
    await books.cleared()


def contact(serial: str, ago: timedelta = HOUR, **more: Any) -> dict[str, Any]:
    """A device in a pairing report that was in contact."""
    return {"serial": serial, "last_contact": (NOW - ago).isoformat(), **more}


async def test_a_device_in_two_kits(books: Books) -> None:
    one, two = await books.kit("K-1"), await books.kit("K-2")
    await books.pairing(one, contact("W-7"))
    await books.pairing(two, contact("w-7 "))
    await books.found_once("peripheral_in_two_kits", "peripheral_in_two_kits")
    assert await books.do("SELECT evidence -> 'other_kits' FROM findings WHERE kit_id = %s", one) == ["K-2"]
    await books.pairing(two, contact("W-7", paired=False))
    await books.cleared()


async def test_a_device_that_went_from_one_kit_to_another(books: Books) -> None:
    one, two = await books.kit("K-1"), await books.kit("K-2")
    await books.piece(two, "scale", "W-7", state_since=NOW - HOUR)
    await books.pairing(one, contact("W-7", 2 * HOUR))
    await books.pairing(two, contact("W-7", timedelta()))
    await books.compare()
    assert "peripheral_in_two_kits" not in await books.standing()


async def test_a_contact_that_is_still_to_come_puts_a_device_into_no_kit(books: Books) -> None:
    one, two = await books.kit("K-1"), await books.kit("K-2")
    await books.pairing(one, contact("W-7", timedelta(hours=-20)))
    await books.pairing(two, contact("W-7"))
    await books.compare()
    assert "peripheral_in_two_kits" not in await books.standing()


async def test_contact_long_ago_and_numbers_that_are_none(books: Books) -> None:
    one, two = await books.kit("K-1"), await books.kit("K-2")
    await books.pairing(one, contact("W-7", timedelta(days=8)))
    await books.pairing(two, contact("W-7"))
    for number in range(11):
        await books.pairing(await books.kit(f"N-{number}"), contact("000000"))
    assert not (await books.compare()).changed


async def test_a_device_that_the_books_do_not_have(books: Books) -> None:
    kit_id = await books.kit("K")
    await books.piece(kit_id, "scale", "W-1")
    await books.pairing(kit_id, {"serial": "W-1"}, {"serial": "X-9", "kind": "oximeter"})
    await books.found_once("peripheral_not_in_books")
    await books.piece(kit_id, "oximeter", "X-9")
    await books.cleared()


async def test_a_kit_without_a_bundle_in_the_books_has_nothing_to_compare(books: Books) -> None:
    kit_id = await books.kit("K")
    await books.piece(kit_id, "tablet", "T-1")
    await books.pairing(kit_id, {"serial": "W-1"})
    assert not (await books.compare()).changed


async def test_a_report_from_before_a_piece_came_out(books: Books) -> None:
    kit_id = await books.kit("K")
    await books.piece(kit_id, "scale", "W-1")
    old = await books.piece(None, "oximeter", "X-9")
    await books.do(
        "INSERT INTO kit_components (kit_id, component_id, during) VALUES (%s, %s, tstzrange(%s, %s))",
        kit_id, old, LONG_AGO, NOW - timedelta(minutes=30),
    )  # fmt: skip
    await books.pairing(kit_id, {"serial": "W-1"}, {"serial": "X-9", "kind": "oximeter"})
    assert not (await books.compare()).changed


async def test_a_device_that_the_tablet_does_not_know(books: Books) -> None:
    kit_id = await books.kit("K")
    await books.piece(kit_id, "scale", "W-1")
    await books.piece(kit_id, "oximeter", "X-1", state_since=NOW - timedelta(minutes=30))
    await books.piece(kit_id, "thermometer", "Y-1", state="faulty")
    await books.pairing(kit_id)
    await books.found_once("peripheral_missing")
    await books.pairing(kit_id, {"serial": "W-1"}, {"serial": "X-1", "kind": "oximeter"})
    await books.cleared()


async def test_model_and_firmware(books: Books) -> None:
    kit_id = await books.kit("K")
    await books.piece(kit_id, "scale", "W-1", model="WS 310", expected_firmware="2.0")
    await books.pairing(kit_id, {"serial": "w-1", "model": "PX-20", "firmware": "1.9"})
    await books.found_once("firmware_differs", "model_differs")
    await books.pairing(kit_id, {"serial": "W-1", "model": "acme ws-310", "firmware": "2.0"})
    await books.cleared()


async def test_pieces_whose_days_are_over(books: Books) -> None:
    today = NOW.date()
    piece = await books.piece(
        None, "scale", "W-1", state="faulty",
        calibration_due=today - timedelta(days=1), lease_until=today + timedelta(days=59),
        warranty_until=today + timedelta(days=59),
    )  # fmt: skip
    await books.piece(None, "scale", "W-2", state="scrapped", calibration_due=today - timedelta(days=1))
    await books.piece(None, "scale", "W-3", calibration_due=today, warranty_until=today)
    await books.found_once("calibration_overdue", "lease_ending", "warranty_ending")
    await books.do("UPDATE components SET state = 'returned' WHERE component_id = %s", piece)
    await books.cleared()


async def test_too_few_in_store(books: Books) -> None:
    await books.piece(None, "scale", "W-1")
    await books.do("INSERT INTO locations (slug, name, kind) VALUES ('depot', 'Depot', 'depot')")
    await books.do("UPDATE components SET location_id = (SELECT location_id FROM locations)")
    await books.do(
        "INSERT INTO stock_minimums (model_id, location_id, minimum)"
        " SELECT model_id, location_id, 2 FROM models, locations"
    )
    await books.found_once("below_minimum")
    await books.do("UPDATE stock_minimums SET minimum = 1")
    await books.cleared()


async def test_only_the_kits_asked_for_are_judged_and_cleared(books: Books) -> None:
    one, two = await books.kit("K-1", "in_stock"), await books.kit("K-2", "in_stock")
    async with books.connection.transaction():
        await store.compare_kits(books.connection, store.part_of([one]), NOW)
    assert await books.do("SELECT array_agg(kit_id) FROM findings") == [one]
    await books.compare()
    await books.do("UPDATE kits SET state = 'preparing'")
    async with books.connection.transaction():
        await store.compare_kits(books.connection, store.part_of([one]), NOW)
    assert await books.do("SELECT kit_id FROM findings WHERE state <> 'cleared'") == two


async def test_a_dismissed_finding_stays_dismissed_until_its_time(books: Books) -> None:
    await books.kit("K", "in_stock")
    await books.compare()
    finding = await books.do("SELECT finding_id FROM findings")
    until = datetime.now(UTC) + timedelta(days=1)
    await store.dismiss(books.connection, finding, reason="shown at a fair", until=until, actor="t")
    assert not (await books.compare()).changed
    assert await books.do("SELECT state FROM findings") == "dismissed"
    books.now = until
    await books.compare()
    assert await books.do("SELECT state FROM findings") == "open"


async def test_others_see_nothing_and_what_stands_moves_along(books: Books) -> None:
    ours, theirs = [
        await books.do("INSERT INTO organisations (slug, name) VALUES (%s, %s) RETURNING organisation_id", slug, slug)
        for slug in ("a", "b")
    ]
    one = await books.kit("K-1", organisation=ours)
    two = await books.kit("K-2", organisation=theirs)
    await books.pairing(one, contact("W-7"))
    await books.pairing(two, contact("W-7"))
    await books.compare()
    for mine, kit, other in ((ours, "K-1", "K-2"), (theirs, "K-2", "K-1")):
        async with books.connection.transaction():
            await books.do("SELECT set_config('fleet.scope', %s, true)", f"{{{mine}}}")
            await books.do(f"SET LOCAL ROLE {roles.API}")
            (found,) = await store.list_findings(books.connection, before=2**62)
            assert (found.kit, found.evidence["others"], found.evidence["other_kits"]) == (kit, 1, [])
            assert await store.standing_of_kit(books.connection, other) == []
    await books.do("UPDATE kits SET organisation_id = %s, owner_id = %s WHERE kit = 'K-2'", ours, ours)
    async with books.connection.transaction():
        await books.do("SELECT set_config('fleet.scope', %s, true)", f"{{{theirs}}}")
        await books.do(f"SET LOCAL ROLE {roles.API}")
        assert await store.list_findings(books.connection, before=2**62) == []
