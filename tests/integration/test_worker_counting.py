"""Large fleets are counted beside the tick, when the tick asks; until then whoever may be in a wave waits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleet.alerts.massevents import counting
from fleet.alerts.massevents.counting import count_if_asked
from tests.alerts_world import World
from tests.alerts_world import world as make_world


@pytest.fixture
async def world(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world whose fleet is large, whatever its size."""
    monkeypatch.setattr(counting, "SMALL", -1)
    async with make_world(database) as made:
        yield made
        await made.check()


async def test_a_wave_waits_for_the_count_and_then_is_an_incident(world: World) -> None:
    kits = await world.add(200)
    await world.connection.execute("UPDATE kit_latest SET operator = 'TDC' WHERE kit_id <= %s", (kits[59],))
    await world.live(250, heard=kits[60:])
    assert await world.value("SELECT count(*) FROM incidents") == 0
    assert await world.value("SELECT count(*) FROM alerts") == 0, "they wait"
    assert await count_if_asked(world.connection) > 0
    assert await count_if_asked(world.connection) == 0, "nobody asks any more"
    await world.live(10, heard=kits[60:])
    assert await world.rows("SELECT cohort_kind, cohort_value, installed_kits FROM incidents") == [
        ("operator", "TDC", 60)
    ]
    assert await world.members() == set(kits[:60])


async def test_nobody_waits_longer_than_the_window_for_a_count_that_does_not_come(world: World) -> None:
    kits = await world.add(200)
    await world.live(180 + 320, heard=kits[60:])
    assert await world.active() == set(kits[:60])


async def test_few_silent_kits_ask_for_nothing(world: World) -> None:
    kits = await world.add(200)
    await world.live(250, heard=kits[20:])
    assert await world.active() == set(kits[:20])
    assert await world.value("SELECT wanted_at IS NULL AND counted_at IS NULL FROM cohort_counts")
