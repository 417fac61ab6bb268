"""Silence, from the listening clock to the service request, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.alerts_world import World
from tests.alerts_world import world as make_world

pytestmark = pytest.mark.storage


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """A world of this test's own, checked at its end."""
    async with make_world(database) as made:
        yield made
        await made.check()


async def test_a_silent_kit_gets_one_alert_and_one_request(world: World) -> None:
    kit, *others = await world.add(10)
    await world.live(300, heard=others)
    assert await world.active() == {kit}
    request = await world.rows(
        "SELECT number, kit_id, cause, line, priority, state, due_at > opened_at FROM service_requests"
    )
    assert request == [("SR-2026-000001", kit, "silent", "support", "high", "open", True)]
    assert await world.scalars("SELECT type FROM events ORDER BY event_id") == ["request.opened", "alert.opened"]
    evidence = await world.value("SELECT evidence FROM alerts")
    assert evidence["heard_clock_s"] == 10_000
    assert evidence["deadline_clock_s"] == 10_180


async def test_it_is_silent_after_its_deadline_not_at_it(world: World) -> None:
    await world.add(1)
    await world.advance(180)
    await world.tick()
    assert await world.active() == set()
    await world.advance(0.001)
    await world.tick()
    assert len(await world.active()) == 1


async def test_being_heard_again_clears_by_proof_after_a_while(world: World) -> None:
    (kit,) = await world.add(1)
    await world.live(200)
    await world.advance(5, heard=[kit])
    await world.tick()
    assert await world.active() == {kit}, "one message is not proof yet"
    await world.advance(14)
    await world.tick()
    assert await world.active() == {kit}
    await world.advance(1)
    await world.tick()
    assert await world.active() == set()
    assert await world.rows("SELECT state, resolution FROM service_requests") == [("resolved", "proof")]
    types = await world.scalars("SELECT type FROM events ORDER BY event_id")
    assert types == ["request.opened", "alert.opened", "alert.cleared", "request.resolved"]


async def test_a_relapse_starts_the_proof_anew(world: World) -> None:
    (kit,) = await world.add(1, interval_s=1)
    await world.execute_rule("UPDATE rules SET keep_firing_for_s = 60")
    await world.live(40)
    await world.live(5, heard=[kit])
    assert await world.value("SELECT recovering_since IS NOT NULL FROM alerts")
    await world.live(40)
    assert await world.value("SELECT recovering_since IS NULL FROM alerts")
    assert await world.active() == {kit}
    assert await world.value("SELECT count(*) FROM alerts") == 1


async def test_kits_never_heard_or_not_installed_are_not_silent(world: World) -> None:
    await world.add(5, state="in_stock", prefix="S")
    never = await world.add(5, prefix="N")
    await world.connection.execute("UPDATE kit_latest SET heard_clock_s = NULL, last_heard_at = NULL")
    await world.live(600, step_s=60)
    assert never
    assert await world.active() == set()


async def test_leaving_use_clears_without_proof(world: World) -> None:
    (kit,) = await world.add(1)
    await world.live(200)
    assert await world.active() == {kit}
    await world.set_state([kit], "retrieved")
    await world.tick()
    assert await world.rows("SELECT state, resolution FROM alerts") == [("cleared", "not_watched")]
    assert await world.rows("SELECT state, resolution FROM service_requests") == [("resolved", "not_watched")]


async def test_a_longer_expectation_clears_what_it_explains(world: World) -> None:
    (kit,) = await world.add(1)
    await world.live(200)
    await world.connection.execute("UPDATE kit_latest SET watch_allowance_s = 86400, watch_interval_s = 57600")
    await world.tick()
    assert kit not in await world.active()
    assert await world.value("SELECT resolution FROM alerts") == "expectation_changed"


async def test_a_request_people_work_on_is_joined_by_a_later_alert(world: World) -> None:
    (kit,) = await world.add(1)
    await world.connection.execute(
        "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)"
        " VALUES ('SR-2026-900000', %s, 'silent', 'support', 'low', 'in_progress', %s, %s)",
        (kit, world.now, world.now),
    )
    await world.live(200)
    assert await world.value("SELECT count(*) FROM service_requests") == 1
    assert await world.value("SELECT count(*) FROM request_alerts") == 1
    assert "request.opened" not in await world.scalars("SELECT type FROM events")


async def test_a_request_closed_by_hand_stays_closed_while_the_alert_lasts(world: World) -> None:
    (kit,) = await world.add(1)
    await world.live(200)
    await world.connection.execute(
        "UPDATE service_requests SET state = 'closed', resolved_at = %s, resolution = 'by phone'", (world.now,)
    )
    await world.live(60)
    assert await world.active() == {kit}
    assert await world.value("SELECT count(*) FROM service_requests") == 1
    await world.live(20, heard=[kit])
    assert await world.active() == set()
    assert await world.value("SELECT resolution FROM service_requests") == "by phone"
    await world.live(200)
    assert await world.rows("SELECT state, reopened FROM service_requests") == [("open", 1)], "it came back"


async def test_nothing_turns_silent_while_nobody_listens(world: World) -> None:
    await world.add(10)
    await world.advance(181)
    await world.listen("catching_up")
    assert not (await world.tick()).hearing
    await world.outage(6)
    await world.tick()
    assert await world.active() == set()


async def test_a_stale_clock_opens_nothing(world: World) -> None:
    await world.add(3)
    await world.advance(500)
    stale = world.now
    world.now = stale.replace(minute=stale.minute + 1)
    await world.tick()
    assert await world.active() == set()


async def test_an_outage_of_ours_opens_nothing_and_the_really_silent_is_found(world: World) -> None:
    kits = await world.add(100)
    await world.live(60, heard=kits)
    await world.outage(1800)
    for _ in range(5):
        await world.tick()
    await world.resume()
    await world.tick()
    gone, *back = kits
    await world.live(60, heard=back)
    assert await world.value("SELECT count(*) FROM alerts") == 0
    await world.live(200, heard=back)
    assert await world.active() == {gone}
    assert await world.value("SELECT count(*) FROM incidents") == 0


async def test_a_kit_silent_before_our_outage_stays_silent(world: World) -> None:
    kit, *others = await world.add(10)
    await world.live(200, heard=others)
    assert await world.active() == {kit}
    await world.outage(1800)
    await world.tick()
    await world.resume()
    await world.live(30, heard=others)
    assert await world.active() == {kit}
    assert await world.value("SELECT recovering_since IS NULL FROM alerts")


async def test_a_grace_alone_is_no_proof(world: World) -> None:
    """Of two outages in short succession the second graces a kit that turned silent between them."""
    kit, *others = await world.add(10)
    await world.live(200, heard=others)
    await world.connection.execute("UPDATE listening SET resumed_clock_s = clock_s, grace_from_clock_s = 0")
    silent = await world.value(
        "SELECT is_silent(heard_clock_s, watch_from_clock_s, watch_allowance_s, watch_interval_s, clock_s,"
        " resumed_clock_s, grace_from_clock_s) FROM kit_latest CROSS JOIN listening WHERE kit_id = %s",
        kit,
    )
    assert not silent
    for _ in range(3):
        await world.tick()
    assert await world.active() == {kit}
    assert await world.value("SELECT recovering_since IS NULL FROM alerts")


async def test_a_disabled_rule_ends_its_alerts_and_opens_none(world: World) -> None:
    (kit,) = await world.add(1)
    await world.live(200)
    await world.execute_rule("UPDATE rules SET enabled = false WHERE rule = 'silent'")
    await world.live(10)
    assert await world.rows("SELECT state, resolution FROM alerts") == [("cleared", "rule_disabled")]
    await world.execute_rule("UPDATE rules SET enabled = true WHERE rule = 'silent'")
    await world.live(10)
    assert await world.active() == {kit}


async def test_a_delay_of_the_rule_runs_on_the_listening_clock(world: World) -> None:
    (kit,) = await world.add(1)
    await world.execute_rule("UPDATE rules SET for_s = 100 WHERE rule = 'silent'")
    await world.live(275)
    assert await world.active() == set()
    await world.live(10)
    assert await world.active() == {kit}


async def test_equal_timestamps_are_no_trouble(world: World) -> None:
    kits = await world.add(15)
    await world.advance(181)
    for _ in range(3):
        await world.tick()
    assert await world.active() == set(kits)
    assert await world.open_requests() == 15
    numbers = await world.scalars("SELECT number FROM service_requests ORDER BY number")
    assert numbers == [f"SR-2026-{n:06}" for n in range(1, 16)]
