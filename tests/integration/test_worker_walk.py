"""A random walk through everything that can happen to a fleet: what must hold, holds after every tick."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest

from tests.alerts_world import World
from tests.alerts_world import world as make_world

pytestmark = pytest.mark.storage

STEPS = 60


class Walk:
    """Steps that change the fleet; `alive` kits report whenever time passes."""

    def __init__(self, world: World, kits: list[int], chance: random.Random) -> None:
        self.world = world
        self.kits = kits
        self.alive = set(kits)
        self.chance = chance

    async def step(self) -> None:
        """One of everything that can happen."""
        steps: list[Callable[[], Awaitable[None]]] = [
            *[self._time] * 6, *[self._few_die] * 3, self._many_die, self._some_return, self._all_return, self._outage,
            self._move, self._report, self._want,
        ]  # fmt: skip
        await self.chance.choice(steps)()

    def _some(self, most: int) -> list[int]:
        return self.chance.sample(self.kits, self.chance.randint(1, most))

    async def _time(self) -> None:
        for _ in range(self.chance.randint(1, 6)):
            await self.world.advance(self.chance.choice([1, 5, 10, 15]), heard=self.alive)

    async def _few_die(self) -> None:
        self.alive -= set(self._some(8))

    async def _many_die(self) -> None:
        self.alive -= set(self._some(len(self.kits)))

    async def _some_return(self) -> None:
        self.alive |= set(self._some(30))

    async def _all_return(self) -> None:
        self.alive = set(self.kits)

    async def _outage(self) -> None:
        await self.world.outage(self.chance.choice([5, 1800]))
        await self.world.tick()
        await self.world.resume()

    async def _move(self) -> None:
        await self.world.set_state(
            self._some(10), self.chance.choice(["installed", "installed", "paused", "retrieved"])
        )

    async def _report(self) -> None:
        for kit in self._some(30):
            await self.world.report(kit, app=self.chance.choice("12"))

    async def _want(self) -> None:
        for kit in self._some(30):
            await self.world.want(kit, app=self.chance.choice("12"))


@pytest.mark.parametrize("seed", range(5))
async def test_what_must_hold_holds_after_every_tick(database: str, seed: int) -> None:
    async with make_world(database) as world:
        walk = Walk(world, await world.add(80, interval_s=10), random.Random(seed))
        for _ in range(STEPS):
            await walk.step()
            await world.tick()
            await world.check()
            again = await world.tick()
            assert not again.did_something, "a tick repeated at the same moment changes nothing"
        for table in ("alerts", "incidents"):
            assert await world.value(f"SELECT count(*) FROM {table}"), "the walk met something"
        await ends_well(world, walk)


async def ends_well(world: World, walk: Walk) -> None:
    """When every kit is back where it belongs and as it is wanted, nothing is left open."""
    await world.set_state(walk.kits, "installed")
    for kit in walk.kits:
        await world.want(kit, app="1")
        await world.report(kit, app="1")
    await world.live(120, heard=walk.kits, step_s=10)
    await world.check()
    assert await world.value("SELECT count(*) FROM alerts WHERE state = 'active'") == 0
    assert await world.members() == set()
    assert await world.value("SELECT count(*) FROM incidents WHERE state = 'open'") == 0
    open_requests = await world.value("SELECT count(*) FROM service_requests WHERE state = 'open'")
    assert open_requests == 0


async def test_both_definitions_of_silence_agree(database: str) -> None:
    """`is_silent` and the deadline the worker counts from say the same, equal values included."""
    async with make_world(database) as world:
        differing = await world.rows(
            "WITH v AS (SELECT nullif((random() * 12)::int, 12)::float8 AS heard,"
            " (random() * 12)::int::float8 AS since,"
            " nullif((random() * 8)::int, 8)::float8 AS allowance, (random() * 6)::int::float8 AS every,"
            " (random() * 20)::int::float8 AS clock, (random() * 20)::int::float8 AS resumed,"
            " (random() * 20)::int::float8 AS grace FROM generate_series(1, 50000))"
            " SELECT * FROM v WHERE is_silent(heard, since, allowance, every, clock, resumed, grace)"
            " IS DISTINCT FROM coalesce("
            " clock > silence_deadline_clock_s(heard, since, allowance, every, resumed, grace), false) LIMIT 5"
        )
        assert differing == []
