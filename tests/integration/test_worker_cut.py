"""The worker is killed before every single statement of its ticks: afterwards there is exactly one of each."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncCursor

from tests.alerts_world import World
from tests.alerts_world import world as make_world


class KilledError(Exception):
    """The worker ends here; what it had not committed is gone."""


class Cut:
    """Lets a number of statements through, then none; None lets all through."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.cuts = 0

    def step(self) -> None:
        """One more statement is about to be sent."""
        if self.left is None:
            return
        if self.left == 0:
            self.cuts += 1
            raise KilledError
        self.left -= 1


def cut_of(world: World) -> Cut:
    """Make the world's connection one that can be cut."""
    cut = Cut()

    class Cutting(AsyncCursor[Any]):
        """A cursor whose statements are counted."""

        async def execute(self, *given: Any, **more: Any) -> Any:
            """Send it, unless the worker is dead."""
            cut.step()
            return await super().execute(*given, **more)

    world.connection.cursor_factory = Cutting
    return cut


async def killed_everywhere(world: World, cut: Cut) -> None:
    """Tick until one comes through, each killed one statement later than the one before."""
    for statements in range(2_000):
        cut.left = statements
        try:
            await world.tick()
        except KilledError:
            cut.left = None
            await world.check()
        else:
            cut.left = None
            return
    raise AssertionError("no tick came through")


async def number(world: World, query: str) -> int:
    """A count."""
    return int(await world.value(f"SELECT count(*) FROM {query}"))


async def test_killed_before_every_statement_leaves_exactly_one_of_each(database: str) -> None:
    async with make_world(database) as world:
        cut = cut_of(world)
        kits = await world.add(120)
        lost, alone, drifted, others = kits[:40], kits[40:43], kits[43:48], kits[43:]
        await world.connection.execute(
            "UPDATE kit_latest SET operator = CASE WHEN kit_id = ANY(%s) THEN 'TDC' ELSE '3' END", (lost,)
        )
        for kit in kits:
            await world.report(kit, app="1")
        await world.tick()
        for kit in drifted:
            await world.want(kit, app="2")
        await world.advance(100, heard=others)
        await killed_everywhere(world, cut)
        await world.advance(100, heard=others)
        await killed_everywhere(world, cut)
        assert await number(world, "incidents") == 1
        assert await world.members() == set(lost)
        assert await world.active() == set(alone)
        assert await world.active("version_drift") == set(drifted)
        assert await number(world, "service_requests") == 1 + len(alone) + len(drifted)

        still, back = lost[:4], [*lost[4:], *others]
        await world.advance(10, heard=back)
        await killed_everywhere(world, cut)
        await world.advance(20, heard=back)
        await killed_everywhere(world, cut)
        assert await number(world, "incidents WHERE state = 'cleared'") == 1
        assert await number(world, "events WHERE type = 'incident.cleared'") == 1
        await world.advance(70, heard=back)
        await killed_everywhere(world, cut)
        assert await world.active() == {*alone, *still}
        assert await number(world, "alerts") == len(alone) + len(drifted) + len(still)
        assert await number(world, "incident_members") == len(lost)
        assert await number(world, "events WHERE type = 'alert.opened'") == len(alone) + len(drifted) + len(still)
        assert cut.cuts > 100, "it was cut at every statement"
        await world.check()


async def test_killed_while_a_wave_of_drift_merges(database: str) -> None:
    async with make_world(database) as world:
        cut = cut_of(world)
        kits = await world.add(120)
        for kit in kits:
            await world.report(kit, app="1")
        await world.tick()
        for first, last in ((0, 15), (15, 45)):
            for kit in kits[first:last]:
                await world.want(kit, app="2")
            for _ in range(2):
                await world.advance(35, heard=kits)
                await killed_everywhere(world, cut)
        assert await number(world, "incidents") == 1
        assert await world.members() == set(kits[:45])
        assert await world.active("version_drift") == set(kits[:45])
        assert await world.open_requests() == 0
        assert await number(world, "service_requests WHERE state IN ('open', 'in_progress')") == 1
        for kit in kits[:45]:
            await world.want(kit, app="1")
        for _ in range(3):
            await world.advance(20, heard=kits)
            await killed_everywhere(world, cut)
        assert await number(world, "incidents WHERE state = 'cleared'") == 1
        assert await world.members() == set()
        assert await world.active("version_drift") == set()
        await world.check()
