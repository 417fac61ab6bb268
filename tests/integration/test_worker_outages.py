"""Our own outages are not the kits': nothing opens by them or in the catch-up, and what is silent is told in time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import timedelta

import pytest

from fleet.alerts.worker import tick
from fleet.db.connect import connect
from tests.alerts_world import World
from tests.alerts_world import world as make_world

LASTS_S = 7_200.0
ALLOWANCE_S = 180.0
IN_TIME_S = 10.0


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """A world of this test's own, checked at its end."""
    async with make_world(database) as made:
        yield made
        await made.check()


async def broker_down(world: World) -> None:
    """Ingest is there, says that it hears nothing, and the worker looks on."""
    await world.listen("down")
    for _ in range(20):
        world.now += timedelta(seconds=LASTS_S / 20)
        await world.listen("down")
        await world.tick()
    await catch_up(world)


async def ingest_down(world: World) -> None:
    """Nobody writes the clock: it says that it listens, as of long ago."""
    for _ in range(20):
        world.now += timedelta(seconds=LASTS_S / 20)
        await world.tick()
    await catch_up(world)


async def database_down(world: World) -> None:
    """Neither the clock nor the worker gets anywhere."""
    world.now += timedelta(seconds=LASTS_S)
    await world.tick()
    await catch_up(world)


async def catch_up(world: World) -> None:
    """The backlog is worked off before we listen again."""
    await world.listen("catching_up")
    for _ in range(10):
        world.now += timedelta(seconds=6)
        await world.listen("catching_up")
        await world.tick()
    await world.resume()
    await world.tick()


OUTAGES = [broker_down, ingest_down, database_down]
Outage = Callable[[World], Awaitable[None]]


async def until_told(world: World, kits: set[int], heard: Iterable[int], most_s: float) -> float:
    """Seconds of listening until all of these kits have an alert; ticks every second."""
    heard = list(heard)
    begin_s = world.clock_s
    while world.clock_s - begin_s < most_s:
        await world.advance(1, heard=heard)
        await world.tick()
        if kits <= await world.active():
            break
    return world.clock_s - begin_s


@pytest.mark.parametrize("outage", OUTAGES)
async def test_nothing_opens_by_it_or_in_the_catch_up(world: World, outage: Outage) -> None:
    kits = await world.add(100)
    await world.live(60, heard=kits)
    await outage(world)
    for second in range(50):
        await world.advance(1, heard=kits[second * 2 : second * 2 + 2])
        await world.tick()
    await world.live(200, heard=kits)
    assert await world.value("SELECT count(*) FROM alerts") == 0
    assert await world.value("SELECT count(*) FROM incidents") == 0
    assert await world.value("SELECT count(*) FROM service_requests") == 0


@pytest.mark.parametrize("outage", OUTAGES)
async def test_what_is_really_silent_is_told_at_its_shifted_deadline(world: World, outage: Outage) -> None:
    kits = await world.add(50)
    await world.live(60, heard=kits)
    await world.live(50, heard=kits[1:])
    await outage(world)
    after_s = await until_told(world, {kits[0]}, kits[1:], 600)
    assert ALLOWANCE_S - 50 < after_s <= ALLOWANCE_S - 50 + IN_TIME_S
    assert await world.active() == {kits[0]}


@pytest.mark.parametrize("outage", OUTAGES)
async def test_what_was_due_during_it_has_one_more_interval(world: World, outage: Outage) -> None:
    kits = await world.add(50)
    await world.live(60, heard=kits)
    await world.live(170, heard=kits[1:])
    await outage(world)
    after_s = await until_told(world, {kits[0]}, kits[1:], 600)
    assert 60 < after_s <= 60 + IN_TIME_S


@pytest.mark.parametrize("outage", OUTAGES)
async def test_incidents_are_not_fooled(world: World, outage: Outage) -> None:
    """One that is on goes on, with the same members; one of kits lost meanwhile is one, and only theirs."""
    kits = await world.add(200)
    await world.connection.execute(
        "UPDATE kit_latest SET operator = CASE WHEN kit_id <= %s THEN 'TDC' ELSE '3' END", (kits[49],)
    )
    await world.live(250, heard=kits[50:])
    assert await world.members() == set(kits[:50])
    await outage(world)
    await world.live(300, heard=kits[100:])
    assert await world.members() == set(kits[:100])
    assert await world.scalars("SELECT installed_kits FROM incidents ORDER BY incident_id") == [50, 150]
    assert await world.value("SELECT count(*) FROM alerts") == 0
    assert await world.value("SELECT count(*) FROM service_requests") == 2


async def test_a_worker_that_was_away_tells_each_once(world: World) -> None:
    kits = await world.add(100)
    await world.live(60, heard=kits)
    for _ in range(120):
        await world.advance(60, heard=kits[3:])
    opened = (await world.tick()).applied.opened
    assert sum(opened.values()) == 3
    await world.live(60, heard=kits[3:])
    assert await world.active() == set(kits[:3])
    assert await world.value("SELECT count(*) FROM alerts") == 3


@pytest.mark.parametrize("away_s", [0, 3_600])
async def test_another_worker_in_an_incident_opens_nothing(database: str, world: World, away_s: int) -> None:
    kits = await world.add(100)
    await world.live(250, heard=kits[60:])
    assert await world.members() == set(kits[:60])
    if away_s:
        await world.advance(away_s, heard=kits[60:])
    other = await connect(database, role="test")
    try:
        for _ in range(10):
            await world.advance(5, heard=kits[60:])
            result = await tick(other, world.now)
            assert not result.applied.changed
    finally:
        await other.close()
    assert await world.value("SELECT count(*) FROM alerts") == 0
    assert await world.value("SELECT count(*) FROM incidents") == 1


async def test_a_worker_that_comes_back_after_it_cleared_releases_only_who_is_silent(world: World) -> None:
    kits = await world.add(100)
    await world.live(250, heard=kits[60:])
    await world.advance(3_600, heard=kits[5:])
    await world.live(120, heard=kits[5:])
    assert await world.active() == set(kits[:5])
    assert await world.members() == set()
    assert await world.value("SELECT count(*) FROM alerts") == 5
