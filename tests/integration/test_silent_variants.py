"""Silence set otherwise for some kits: whether it counts, how grave it is, who answers, how long it must last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleet.alerts.mass import DEFAULT
from fleet.alerts.massevents import reading
from fleet.alerts.requests import proving
from tests.alerts_world import World
from tests.alerts_world import world as opened_world


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """A fleet whose time is made by the test."""
    async with opened_world(database) as made:
        yield made


async def of_two_types(world: World, **settings: Any) -> tuple[list[int], list[int]]:
    """Three kits of a type whose silence is set otherwise, and three as the rule says."""
    await world.connection.execute("INSERT INTO kit_types (kit_type) VALUES ('weekly')")
    special, plain = await world.add(3, prefix="W"), await world.add(3)
    await world.connection.execute("UPDATE kits SET kit_type = 'weekly' WHERE kit_id = ANY (%s)", (special,))
    await vary(world, **settings)
    for kit in (*special, *plain):
        await world.enqueue(kit)
    await world.listen()
    await world.tick()
    return special, plain


async def vary(world: World, **settings: Any) -> None:
    """Set it for that type."""
    names = ", ".join(settings)
    marks = ", ".join(["%s"] * len(settings))
    await world.connection.execute("DELETE FROM rule_variants")
    entered = f"INSERT INTO rule_variants (rule, kit_type, version, {names}) VALUES ('silent', 'weekly', 3, {marks})"
    await world.connection.execute(entered.encode(), tuple(settings.values()))


async def test_where_silence_is_off_nobody_is_told_of_it(world: World) -> None:
    _, plain = await of_two_types(world, enabled=False)
    await world.live(240)
    assert await world.active() == set(plain)


async def test_where_only_some_are_to_be_told_of(world: World) -> None:
    await world.execute_rule("UPDATE rules SET enabled = false WHERE rule = 'silent'")
    special, _ = await of_two_types(world, enabled=True)
    await world.live(240)
    assert await world.active() == set(special)


async def test_it_says_how_grave_it_is_and_who_answers(world: World) -> None:
    special, plain = await of_two_types(world, severity="warning", line="service")
    await world.live(240)
    await world.check()
    found = await world.rows(
        "SELECT kit_id, a.severity, a.rule_version, r.line, r.priority FROM alerts a"
        " JOIN request_alerts USING (alert_id) JOIN service_requests r USING (request_id, kit_id)"
    )
    assert {row[0]: row[1:] for row in found} == {
        **dict.fromkeys(special, ("warning", 3, "service", "low")),
        **dict.fromkeys(plain, ("major", 0, "support", "high")),
    }


async def test_how_long_it_must_last(world: World) -> None:
    special, plain = await of_two_types(world, for_s=120)
    await world.live(240)
    assert await world.active() == set(plain)
    await world.live(90)
    assert await world.active() == {*special, *plain}


async def test_alerts_that_stand_follow_a_change(world: World) -> None:
    special, plain = await of_two_types(world, severity="warning")
    await world.live(240)
    await vary(world, severity="critical")
    await world.connection.execute("UPDATE rule_variants SET version = 9")
    await world.live(10)
    grave = "SELECT kit_id FROM alerts WHERE severity = 'critical' AND rule_version = 9 AND state = 'active'"
    assert set(await world.scalars(grave)) == set(special)
    assert await world.scalars("SELECT DISTINCT priority FROM service_requests WHERE kit_id = ANY (%s)", special) == [
        "urgent"
    ]
    await vary(world, enabled=False)
    await world.live(10)
    assert await world.active() == set(plain)
    assert await world.scalars("SELECT DISTINCT resolution FROM alerts WHERE state = 'cleared'") == ["rule_disabled"]
    await world.connection.execute("DELETE FROM rule_variants")
    await world.live(10)
    assert await world.active() == {*special, *plain}


async def test_members_of_a_mass_event_leave_it_where_silence_counts_no_more(world: World) -> None:
    special, _ = await of_two_types(world, severity="warning")
    await world.add(40, prefix="M")
    await world.live(240)
    assert set(special) < await world.members()
    await vary(world, enabled=False)
    for kit in special:
        await world.enqueue(kit)
    await world.live(10)
    assert await world.members() & set(special) == set()
    await world.check()


async def test_a_mass_event_of_a_rule_that_is_on_for_some_only_ends_by_proof(world: World) -> None:
    await world.execute_rule("UPDATE rules SET enabled = false WHERE rule = 'silent'")
    await of_two_types(world, enabled=True)
    kits = await world.add(40, prefix="M")
    await world.connection.execute("UPDATE kits SET kit_type = 'weekly' WHERE kit_id = ANY (%s)", (kits,))
    for kit in kits:
        await world.enqueue(kit)
    await world.tick()
    await world.live(240)
    assert await world.scalars("SELECT state FROM incidents") == ["open"]
    await world.live(600, heard=await world.scalars("SELECT kit_id FROM kits"))
    assert await world.scalars("SELECT state FROM incidents") == ["cleared"]
    assert await world.scalars("SELECT resolution FROM service_requests WHERE incident_id IS NOT NULL") == ["proof"]
    assert await world.scalars("SELECT body ->> 'because' FROM events WHERE type = 'incident.cleared'") == [None]
    facts = await proving.read(world.connection, limit=100)
    assert {each.wants_proof for each in facts if each.incident} == {True}
    await world.check()


async def test_who_stayed_silent_is_told_of_by_the_variant(world: World) -> None:
    special, _ = await of_two_types(world, severity="critical", line="supplier")
    others = await world.add(40, prefix="M")
    await world.live(240)
    await world.live(180, heard=others)
    assert await world.members() == set() or special
    await world.live(400, heard=others)
    released = await world.rows("SELECT severity, line FROM alerts WHERE kit_id = ANY (%s)", special)
    assert set(released) == {("critical", "supplier")}


async def test_the_pass_over_the_fleet_asks_by_number(world: World) -> None:
    kits = await world.add(5)
    await world.advance(400)
    await world.connection.execute("UPDATE kit_latest SET rule_set = 1 WHERE kit_id = %s", (kits[0],))
    await world.connection.execute("UPDATE kit_latest SET rule_set = 77 WHERE kit_id = %s", (kits[1],))
    clock = await reading.listening(world.connection)
    for enabled, found in (([True], 5), ([False], 0), ([True, False], 4), ([False, True], 1)):
        async with world.connection.transaction():
            seen = await reading.scan(world.connection, clock, enabled, DEFAULT, world.now)
        assert seen.unplaced == found


async def test_kits_that_get_a_set_of_their_own_are_judged_by_it_at_once(world: World) -> None:
    await world.connection.execute("INSERT INTO kit_types (kit_type) VALUES ('weekly')")
    special, plain = await world.add(1, prefix="W"), await world.add(1)
    await world.connection.execute("UPDATE kits SET kit_type = 'weekly' WHERE kit_id = ANY (%s)", (special,))
    await world.execute_rule("UPDATE rules SET for_s = 0 WHERE rule = 'version_drift'")
    await world.tick()
    await world.execute_rule(
        "INSERT INTO rule_variants (rule, kit_type, enabled) VALUES ('version_drift', 'weekly', false)"
    )
    for kit in (*special, *plain):
        await world.report(kit, app="1")
        await world.want(kit, app="2")
    await world.tick()
    assert await world.active("version_drift") == set(plain)
