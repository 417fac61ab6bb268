"""What rules keep beside them stays as small as what is in use; each rule releases by a budget of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from fleet.alerts import mass
from fleet.alerts.massevents import reading
from fleet.alerts.rules import RuleName
from fleet.db import roles
from tests.alerts_world import World
from tests.alerts_world import world as make_world


@pytest.fixture
async def fleet(database: str) -> AsyncIterator[World]:
    """Kits of two types, seen with the worker's rights."""
    async with make_world(database) as made:
        await made.connection.execute(
            "INSERT INTO kit_types (kit_type, programme) VALUES ('copd', 'KOL'), ('heart', 'KOL')"
        )
        kits = await made.add(4)
        await made.connection.execute(
            "UPDATE kits SET kit_type = CASE WHEN kit_id = ANY (%s) THEN 'copd' ELSE 'heart' END", (kits[:2],)
        )
        await made.connection.execute(f"SET ROLE {roles.WORKER}".encode())
        yield made


async def settle(fleet: World) -> None:
    """Ticks until the round after a change is over."""
    for _ in range(6):
        await fleet.advance(1)
        await fleet.tick()
    assert await fleet.value("SELECT laps FROM rule_sweep") == 0


async def test_sets_of_variants_go_with_their_variants_and_with_their_last_kit(fleet: World) -> None:
    variant = "INSERT INTO rule_variants (rule, kit_type, programme, for_s) VALUES ('storage_low', %s, %s, 0)"
    await fleet.connection.execute(variant, ("copd", None))
    await fleet.connection.execute(variant, (None, "KOL"))
    await settle(fleet)
    assert await fleet.scalars("SELECT variants FROM rule_sets ORDER BY variants") == [[1, 2], [2]]
    # However often they change, there are no more than kits have.
    for number in range(3, 8):
        await fleet.connection.execute("DELETE FROM rule_variants WHERE kit_type IS NOT NULL")
        await fleet.connection.execute(variant, ("heart", None))
        await settle(fleet)
        assert await fleet.scalars("SELECT variants FROM rule_sets ORDER BY variants") == [[2], [2, number]]
    used = "SELECT DISTINCT rule_set FROM kit_latest ORDER BY 1"
    assert await fleet.scalars(used) == await fleet.scalars("SELECT rule_set FROM rule_sets ORDER BY 1")
    await fleet.connection.execute("UPDATE kits SET kit_type = 'copd'")
    for kit in await fleet.scalars("SELECT kit_id FROM kits"):
        await fleet.enqueue(kit)
    await fleet.connection.execute("UPDATE rules SET for_s = for_s + 1 WHERE rule = 'storage_low'")
    await settle(fleet)
    assert await fleet.scalars("SELECT variants FROM rule_sets") == [[2]]
    await fleet.connection.execute("DELETE FROM rule_variants")
    await settle(fleet)
    assert await fleet.scalars("SELECT variants FROM rule_sets") == []


async def test_each_rule_releases_by_its_own_budget(fleet: World) -> None:
    for rule, released in (("silent", 0), ("version_drift", mass.LEAST_RELEASED_PER_MINUTE), ("storage_low", 3)):
        await fleet.connection.execute(
            "WITH made AS (INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits, cleared_at,"
            " cleared_clock_s, left_at_clear) VALUES (%(rule)s, 'cleared', now(), 1, 9, now(), 2, 90)"
            " RETURNING incident_id), left_kits AS (INSERT INTO incident_members (incident_id, rule, kit_id, joined_at)"
            " SELECT incident_id, %(rule)s, (SELECT max(kit_id) FROM kits), now() FROM made),"
            " kits AS (INSERT INTO kits (kit, state) SELECT %(rule)s || g, 'installed' FROM generate_series(1, %(n)s) g"
            " RETURNING kit_id)"
            " INSERT INTO incident_members (incident_id, rule, kit_id, joined_at, left_at, outcome)"
            " SELECT incident_id, %(rule)s, kit_id, now(), %(at)s, 'released' FROM made, kits",
            {"rule": rule, "n": released, "at": fleet.now},
        )
    names = [RuleName.SILENT, RuleName.VERSION_DRIFT, RuleName.STORAGE_LOW, RuleName.RESTARTS]
    now = fleet.now + timedelta(seconds=30)
    assert await reading.release_budgets(fleet.connection, names, now) == {
        RuleName.SILENT: 20,
        RuleName.STORAGE_LOW: 17,
    }
    later = fleet.now + timedelta(seconds=61)
    assert set(await reading.release_budgets(fleet.connection, names, later)) == set(names[:3])
