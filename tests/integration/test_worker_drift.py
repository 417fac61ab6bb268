"""Version drift, from the queue to the service request, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.alerts_world import World
from tests.alerts_world import world as make_world

pytestmark = pytest.mark.storage
DRIFT = "version_drift"


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """A world of this test's own, checked at its end."""
    async with make_world(database) as made:
        yield made
        await made.check()


async def drifted(world: World) -> int:
    """A kit with an alert for its app."""
    (kit,) = await world.add(1, interval_s=3600)
    await world.want(kit, app="2.0", os="14")
    await world.report(kit, app="1.0", os="14")
    await world.live(35)
    assert await world.active(DRIFT) == {kit}
    return kit


async def test_drift_opens_after_its_delay_with_machine_readable_evidence(world: World) -> None:
    (kit,) = await world.add(1, interval_s=3600)
    await world.want(kit, app="2.0", os="14", mdm="5")
    await world.report(kit, app="1.0", os="14", other="9")
    await world.tick()
    assert await world.active(DRIFT) == set()
    await world.advance(29)
    await world.tick()
    assert await world.active(DRIFT) == set()
    await world.advance(1)
    await world.tick()
    assert await world.active(DRIFT) == {kit}
    assert await world.value("SELECT evidence FROM alerts") == {
        "components": [
            {"component": "app", "wanted": "2.0", "reported": "1.0"},
            {"component": "mdm", "wanted": "5", "reported": None},
        ]
    }
    assert await world.rows("SELECT cause, line, priority FROM service_requests") == [
        ("version_drift", "service", "normal")
    ]
    assert await world.value("SELECT count(*) FROM pending_alerts") == 0


async def test_drift_that_passes_within_the_delay_opens_nothing(world: World) -> None:
    (kit,) = await world.add(1, interval_s=3600)
    await world.want(kit, app="2.0")
    await world.report(kit, app="1.0")
    await world.live(20)
    await world.report(kit, app="2.0")
    await world.live(60)
    assert await world.value("SELECT count(*) FROM alerts") == 0
    assert await world.value("SELECT count(*) FROM pending_alerts") == 0


async def test_no_software_report_is_no_drift(world: World) -> None:
    (kit,) = await world.add(1, interval_s=3600)
    await world.want(kit, app="2.0")
    await world.live(60)
    assert await world.active(DRIFT) == set()


async def test_nothing_opens_while_nobody_listens_nor_in_the_catch_up(world: World) -> None:
    """The kit may have come to the wanted version meanwhile; what still holds afterwards opens."""
    (kit,) = await world.add(1, interval_s=3600)
    await world.want(kit, app="2.0")
    await world.report(kit, app="1.0")
    await world.tick()
    await world.outage(40)
    await world.tick()
    await world.resume()
    await world.live(890, step_s=89)
    assert await world.active(DRIFT) == set()
    await world.live(20)
    assert await world.active(DRIFT) == {kit}


async def test_the_wanted_version_is_proof_after_a_while(world: World) -> None:
    kit = await drifted(world)
    await world.report(kit, app="2.0", os="14")
    await world.live(10)
    assert await world.active(DRIFT) == {kit}
    await world.live(10)
    assert await world.rows("SELECT state, resolution FROM alerts") == [("cleared", "proof")]
    assert await world.rows("SELECT state, resolution FROM service_requests") == [("resolved", "proof")]


async def test_falling_back_within_the_while_is_no_proof(world: World) -> None:
    kit = await drifted(world)
    await world.report(kit, app="2.0", os="14")
    await world.live(10)
    await world.report(kit, app="1.0", os="14")
    await world.live(60)
    assert await world.active(DRIFT) == {kit}
    assert await world.value("SELECT recovering_since IS NULL FROM alerts")


async def test_another_wish_clears_at_once(world: World) -> None:
    kit = await drifted(world)
    await world.want(kit, app="1.0", os="14")
    await world.tick()
    assert await world.rows("SELECT state, resolution FROM alerts") == [("cleared", "wanted_changed")]


async def test_other_drift_renews_the_evidence_of_the_same_alert(world: World) -> None:
    kit = await drifted(world)
    await world.want(kit, app="3.0")
    await world.tick()
    assert await world.value("SELECT evidence -> 'components' -> 0 ->> 'wanted' FROM alerts") == "3.0"
    assert await world.value("SELECT count(*) FROM alerts") == 1


async def test_leaving_use_clears_and_coming_back_finds_it_again(world: World) -> None:
    kit = await drifted(world)
    await world.set_state([kit], "paused")
    await world.tick()
    assert await world.value("SELECT resolution FROM alerts") == "not_watched"
    await world.set_state([kit], "installed")
    await world.live(35)
    assert await world.active(DRIFT) == {kit}


async def test_repeated_evaluation_changes_nothing(world: World) -> None:
    kit = await drifted(world)
    before = await world.rows("SELECT * FROM alerts")
    for _ in range(5):
        await world.enqueue(kit)
        await world.enqueue(kit)
        assert not (await world.tick()).did_something
    assert await world.rows("SELECT * FROM alerts") == before


async def test_a_rule_switched_on_again_looks_at_what_it_missed(world: World) -> None:
    await drifted(world)
    await world.execute_rule("UPDATE rules SET enabled = false WHERE rule = 'version_drift'")
    await world.tick()
    assert await world.value("SELECT resolution FROM alerts") == "rule_disabled"
    assert await world.active(DRIFT) == set()
    await world.execute_rule("UPDATE rules SET enabled = true WHERE rule = 'version_drift'")
    await world.live(35)
    assert len(await world.active(DRIFT)) == 1


async def test_more_changes_than_one_tick_takes_are_all_evaluated(world: World) -> None:
    kits = await world.add(50, interval_s=3600)
    await world.connection.execute('UPDATE kits SET wanted_components = \'{"app": "2"}\'')
    await world.connection.execute(
        "INSERT INTO latest_reports SELECT kit_id, 'software', 'b', 1, now(), now(), '{\"app\": \"1\"}' FROM kits"
    )
    await world.connection.execute(
        "INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM kits, generate_series(1, 300)"
    )
    first = await world.tick()
    assert first.more
    results = await world.live(40)
    assert not results[-1].more
    assert await world.active(DRIFT) == set(kits)
    assert await world.value("SELECT count(*) FROM evaluation_queue") == 0
