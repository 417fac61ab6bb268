"""Mass events: one incident and one request instead of hundreds, and everybody found again afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleet.alerts.mass import Mode
from tests.alerts_world import World
from tests.alerts_world import world as make_world

pytestmark = pytest.mark.storage


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """A world of this test's own, checked at its end."""
    async with make_world(database) as made:
        yield made
        await made.check()


async def staggered(world: World, count: int, *, over_s: float = 60) -> list[int]:
    """Kits as they are in the field: last heard at different moments of one interval."""
    kits = await world.add(count)
    await world.connection.execute(
        "UPDATE kit_latest SET heard_clock_s = heard_clock_s - %s::float8 * (kit_id - %s) / %s WHERE kit_id = ANY(%s)",
        (over_s, kits[0], count, kits),
    )
    return kits


async def incidents(world: World) -> list[tuple[str, int]]:
    """State of each incident and how many kits were ever in it."""
    return await world.rows(
        "SELECT state, (SELECT count(*)::int FROM incident_members m WHERE m.incident_id = i.incident_id)"
        " FROM incidents i ORDER BY incident_id"
    )


async def test_twenty_of_a_hundred_open_twenty_requests(world: World) -> None:
    kits = await staggered(world, 100)
    await world.live(300, heard=kits[20:])
    assert await world.active() == set(kits[:20])
    assert await world.open_requests() == 20
    assert await incidents(world) == []


async def test_twenty_one_of_a_hundred_are_one_incident(world: World) -> None:
    kits = await staggered(world, 100)
    await world.live(300, heard=kits[21:])
    assert await incidents(world) == [("open", 21)]
    assert await world.value("SELECT count(*) FROM alerts") == 0
    request = await world.rows("SELECT kit_id, cause, line, priority, state FROM service_requests")
    assert request == [(None, "silent", "service", "urgent", "open")]
    assert await world.scalars("SELECT type FROM events") == ["request.opened", "incident.opened"]


async def test_all_at_once(world: World) -> None:
    kits = await world.add(100)
    await world.advance(181)
    result = await world.tick()
    assert result.mode is Mode.MASS
    assert await world.members() == set(kits)
    assert await world.value("SELECT count(*) FROM service_requests") == 1


async def test_first_kits_of_a_wave_open_nothing(world: World) -> None:
    """While the wave builds no tick has opened a request of a kit's own."""
    kits = await staggered(world, 100, over_s=240)
    for result in await world.live(400):
        assert not result.applied.opened
    assert await world.members() == set(kits)


async def test_five_per_cent_of_a_larger_fleet(world: World) -> None:
    kits = await staggered(world, 1000)
    await world.live(300, heard=kits[50:])
    assert await incidents(world) == []
    assert await world.open_requests() == 50


async def test_more_than_five_per_cent_of_a_larger_fleet(world: World) -> None:
    kits = await staggered(world, 1000)
    await world.live(300, heard=kits[51:])
    assert await incidents(world) == [("open", 51)]
    assert await world.open_requests() == 0


async def test_alerts_of_a_moment_ago_are_taken_over(world: World) -> None:
    """The wave is invisible while its first kits turn silent: others follow because their intervals are longer."""
    early = await world.add(15, prefix="E", interval_s=10)
    late = await world.add(85, prefix="L", interval_s=40)
    await world.live(50, heard=late)
    assert await world.active() == set(early)
    await world.live(150)
    assert await incidents(world) == [("open", 100)]
    assert await world.active() == set()
    (incident,) = await world.scalars("SELECT incident_id FROM incidents")
    assert await world.rows("SELECT DISTINCT resolution, suppressed_by FROM alerts") == [
        ("merged", f"incident:{incident}")
    ]
    closed = await world.rows("SELECT DISTINCT state, resolution FROM service_requests WHERE kit_id IS NOT NULL")
    assert closed == [("closed", f"merged:{incident}")]


async def test_everybody_returns(world: World) -> None:
    kits = await world.add(100)
    await world.live(200)
    assert len(await world.members()) == 100
    await world.live(30, heard=kits)
    assert await incidents(world) == [("cleared", 100)]
    assert await world.members() == set()
    assert await world.scalars("SELECT DISTINCT outcome FROM incident_members") == ["returned"]
    assert await world.rows("SELECT state, resolution FROM service_requests") == [("resolved", "proof")]
    assert await world.scalars("SELECT type FROM events ORDER BY event_id") == [
        "request.opened", "incident.opened", "incident.cleared", "request.resolved",
    ]  # fmt: skip
    await world.live(300, heard=kits)
    assert await world.value("SELECT count(*) FROM alerts") == 0


async def test_kits_that_return_and_fall_silent_again_join_again(world: World) -> None:
    kits = await world.add(100)
    await world.live(200)
    await world.live(60, heard=kits[:30])
    assert await world.members() == set(kits[30:])
    await world.live(200)
    assert await world.members() == set(kits)
    assert await incidents(world) == [("open", 100)]
    assert await world.value("SELECT count(*) FROM alerts") == 0


async def test_while_it_is_open_newly_silent_kits_join(world: World) -> None:
    kits = await world.add(100)
    await world.live(200, heard=kits[60:])
    assert await world.members() == set(kits[:60])
    await world.live(400, heard=kits[70:])
    assert await world.members() == set(kits[:70])
    assert await world.open_requests() == 0


async def test_who_stays_silent_is_released_gradually(world: World) -> None:
    kits = await world.add(1000)
    gone, back = kits[:45], kits[45:]
    await world.live(200)
    cleared = await world.live(30, heard=back)
    assert sum(result.applied.incidents_cleared for result in cleared) == 1
    assert await world.members() == set(gone)
    await world.live(40, heard=back)
    assert await world.open_requests() == 0, "one more interval after clearing"
    per_minute = []
    for _ in range(5):
        results = await world.live(60, heard=back)
        per_minute.append(sum(result.applied.opened.total() for result in results))
    assert max(per_minute) <= 20
    assert sum(per_minute) == 45
    assert await world.active() == set(gone)
    assert await world.open_requests() == 45
    assert await incidents(world) == [("cleared", 1000)]
    assert await world.value("SELECT count(*) FROM incident_members WHERE outcome = 'released'") == 45


async def test_a_member_that_returns_before_its_release_opens_nothing(world: World) -> None:
    kits = await world.add(100)
    await world.live(200)
    await world.live(30, heard=kits[10:])
    await world.live(400, heard=kits)
    assert await world.value("SELECT count(*) FROM alerts") == 0


async def test_kits_that_leave_use_leave_the_incident(world: World) -> None:
    kits = await world.add(100)
    await world.live(200)
    await world.set_state(kits[:10], "retrieved")
    await world.live(5)
    assert await world.members() == set(kits[10:])
    assert await world.scalars("SELECT DISTINCT outcome FROM incident_members WHERE left_at IS NOT NULL") == [
        "not_watched"
    ]


async def test_our_outage_does_not_end_theirs(world: World) -> None:
    kits = await world.add(100)
    await world.live(200)
    await world.outage(1800)
    await world.tick()
    await world.resume()
    await world.live(60)
    assert await world.members() == set(kits)
    assert await incidents(world) == [("open", 100)]


async def test_kits_lost_during_our_outage_are_one_incident(world: World) -> None:
    kits = await world.add(100)
    await world.live(60, heard=kits)
    await world.outage(1800)
    await world.resume()
    await world.live(400, heard=kits[40:])
    assert await incidents(world) == [("open", 40)]
    assert await world.value("SELECT count(*) FROM alerts") == 0


async def test_a_wave_that_no_worker_saw_is_still_one_incident(world: World) -> None:
    kits = await staggered(world, 100)
    await world.advance(3600)
    await world.tick()
    assert await incidents(world) == [("open", 100)]
    assert await world.members() == set(kits)
    assert await world.value("SELECT count(*) FROM alerts") == 0


async def test_steady_noise_is_not_held_forever(world: World) -> None:
    """Kits are switched off one by one, evenly: slower than a mass event, and each gets its request in time."""
    kits = await world.add(200)
    opened_late_s = []
    for off in range(60):
        await world.live(20, heard=kits[off + 1 :], step_s=20)
        late = await world.value(
            "SELECT coalesce(max(%s - heard_clock_s - watch_allowance_s), 0) FROM kit_latest l"
            " WHERE NOT EXISTS (SELECT FROM alerts a WHERE a.kit_id = l.kit_id)",
            world.clock_s,
        )
        opened_late_s.append(late)
    assert await incidents(world) == []
    assert max(opened_late_s) <= 300
    assert len(await world.active()) >= 30


async def test_a_second_mass_event_is_a_second_incident(world: World) -> None:
    kits = await world.add(100)
    await world.live(200)
    await world.live(60, heard=kits)
    await world.live(200)
    await world.live(60, heard=kits)
    assert await incidents(world) == [("cleared", 100), ("cleared", 100)]
    assert await world.value("SELECT count(*) FROM service_requests WHERE state = 'resolved'") == 2


async def test_no_release_while_another_mass_event_is_on(world: World) -> None:
    kits = await world.add(100)
    await world.connection.execute(
        "UPDATE kit_latest SET watch_interval_s = 400, watch_allowance_s = 400 WHERE kit_id = ANY(%s)", (kits[:5],)
    )
    await world.live(410)
    await world.live(30, heard=kits[5:])
    assert await world.members() == set(kits[:5])
    await world.live(600)
    assert await incidents(world) == [("cleared", 100), ("open", 95)]
    assert await world.value("SELECT count(*) FROM alerts") == 0
    await world.live(60, heard=kits[5:])
    assert await world.active() == set(kits[:5])
