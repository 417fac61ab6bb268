"""What is shelved, acknowledged or flapping: quiet for as long as it should be, and heard again by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from fleet.alerts.quieting import handling
from tests.alerts_world import BEGIN, World, world

SILENT_AFTER_S = 180.0


@pytest.fixture
async def fleet(database: str) -> AsyncIterator[World]:
    """An empty fleet."""
    async with world(database) as made:
        yield made


def after(seconds: float) -> datetime:
    """A moment of the world's time."""
    return BEGIN + timedelta(seconds=seconds)


async def alerts(fleet: World) -> list[tuple[Any, ...]]:
    """Every alert: kit, rule, state and by what it is suppressed."""
    return await fleet.rows("SELECT kit_id, rule, state, suppressed_by FROM alerts ORDER BY alert_id")


async def told(fleet: World, kind: str) -> int:
    """How many events of a type there are."""
    return int(await fleet.value("SELECT count(*) FROM events WHERE type = %s", kind))


async def test_a_shelved_alert_returns_by_itself(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    await fleet.live(200)
    (alert,) = await fleet.scalars("SELECT alert_id FROM alerts")
    await _shelve(fleet, kit, alert, 1000)
    await fleet.live(200)
    assert (await alerts(fleet))[0][3] == f"shelved:{after(1000):%Y-%m-%dT%H:%M:%SZ}"
    assert await fleet.open_requests() == 1, "its request stays"
    # It clears, and comes back while it is shelved.
    await fleet.live(30, heard=[kit])
    assert await fleet.active() == set()
    await fleet.live(300)
    assert [row[2:] for row in await alerts(fleet)][1] == ("active", f"shelved:{after(1000):%Y-%m-%dT%H:%M:%SZ}")
    assert await fleet.open_requests() == 0
    await fleet.live(280)
    assert (await alerts(fleet))[1] == (kit, "silent", "active", None)
    assert await fleet.open_requests() == 1
    assert await fleet.value("SELECT count(*) FROM shelves") == 0
    await fleet.check()


async def _shelve(fleet: World, kit: int, alert: int, until_s: float) -> None:
    """As the API does, at the world's time."""
    until = after(until_s)
    await fleet.connection.execute(
        "INSERT INTO shelves (kit_id, rule, until, severity, reason, shelved_by, shelved_at)"
        " SELECT kit_id, rule, %s, severity, 'away', 'test', %s FROM alerts WHERE alert_id = %s",
        (until, fleet.now, alert),
    )
    reason = f"shelved:{until:%Y-%m-%dT%H:%M:%SZ}"
    await fleet.connection.execute(
        "UPDATE alerts SET suppressed_by = %s WHERE alert_id = %s AND kit_id = %s", (reason, alert, kit)
    )


async def test_what_gets_graver_comes_back_at_once(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    await fleet.live(200)
    (alert,) = await fleet.scalars("SELECT alert_id FROM alerts")
    await _shelve(fleet, kit, alert, 9000)
    await fleet.live(10)
    await fleet.connection.execute("UPDATE alerts SET severity = 'critical'")
    await fleet.live(5)
    assert await alerts(fleet) == [(kit, "silent", "active", None)]


async def test_what_is_taken_back_up_is_heard_with_the_next_tick(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    await fleet.live(200)
    (alert,) = await fleet.scalars("SELECT alert_id FROM alerts")
    await _shelve(fleet, kit, alert, 9000)
    await fleet.live(5)
    await handling.unshelve(fleet.connection, alert, actor="test")
    await fleet.live(5)
    assert await alerts(fleet) == [(kit, "silent", "active", None)]
    await fleet.check()


async def test_an_acknowledged_alert_is_suppressed_by_nothing(fleet: World) -> None:
    await fleet.add(1)
    await fleet.live(200)
    (alert,) = await fleet.scalars("SELECT alert_id FROM alerts")
    await handling.acknowledge(fleet.connection, alert, actor="test", comment="on my way")
    await fleet.live(20)
    assert (await alerts(fleet))[0][2:] == ("active", None)
    assert await fleet.open_requests() == 1


async def test_what_flaps_is_one_alert_while_it_lasts(fleet: World) -> None:
    await fleet.execute_rule("UPDATE rules SET flap_openings = 3, flap_window_s = 7200, flap_quiet_s = 1200")
    (kit,) = await fleet.add(1)
    for _ in range(6):
        await fleet.live(200)
        await fleet.live(60, heard=[kit])
    found = await fleet.rows("SELECT state, flapping FROM alerts ORDER BY alert_id")
    assert found == [("cleared", False), ("cleared", False), ("active", True)]
    assert await told(fleet, "alert.flapping") == 1
    await fleet.live(1100, heard=[kit])
    assert len(await fleet.active()) == 1
    await fleet.live(200, heard=[kit])
    assert await fleet.active() == set()
    assert await told(fleet, "alert.flapping") == 1
    await fleet.check()


async def test_a_flapping_alert_of_a_kit_that_nobody_watches_ends(fleet: World) -> None:
    await fleet.execute_rule("UPDATE rules SET flap_openings = 2, flap_window_s = 7200, flap_quiet_s = 7200")
    (kit,) = await fleet.add(1)
    for _ in range(2):
        await fleet.live(200)
        await fleet.live(60, heard=[kit])
    assert len(await fleet.active()) == 1
    await fleet.set_state([kit], "retrieved")
    await fleet.live(10)
    assert await fleet.scalars("SELECT resolution FROM alerts ORDER BY alert_id") == ["proof", "not_watched"]


async def test_drift_that_flaps_waits_as_well(fleet: World) -> None:
    await fleet.execute_rule("UPDATE rules SET flap_openings = 2, flap_window_s = 7200, flap_quiet_s = 600")
    (kit,) = await fleet.add(1)
    await fleet.want(kit, app="2")
    for _ in range(2):
        await fleet.report(kit, app="1")
        await fleet.live(60, heard=[kit])
        await fleet.report(kit, app="2")
        await fleet.live(60, heard=[kit])
    assert len(await fleet.active("version_drift")) == 1
    await fleet.live(500, heard=[kit])
    assert len(await fleet.active("version_drift")) == 1
    await fleet.live(60, heard=[kit])
    assert await fleet.active("version_drift") == set()
    await fleet.check()


async def test_what_recovers_is_not_heard_when_its_shelf_ends(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    await fleet.connection.execute("UPDATE rules SET keep_firing_for_s = 600 WHERE rule = 'silent'")
    await fleet.live(200)
    (alert,) = await fleet.scalars("SELECT alert_id FROM alerts")
    await _shelve(fleet, kit, alert, 300)
    await fleet.connection.execute("UPDATE rules SET flap_openings = 1000")
    await fleet.live(800, heard=[kit])
    assert (await fleet.active(), await told(fleet, "alert.unsuppressed")) == (set(), 0)


async def test_shelving_a_member_leaves_it_to_its_mass_event(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    alert = await fleet.value(
        "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence, suppressed_by)"
        " VALUES (%s, 'clock_skew', 'minor', 'active', now(), '{}', 'incident:7') RETURNING alert_id",
        kit,
    )
    until = await fleet.value("SELECT now() + interval '1 hour'")
    await handling.shelve(fleet.connection, alert, until=until, reason="away", actor="test")
    assert [row[3] for row in await alerts(fleet)] == ["incident:7"]
    assert await fleet.value("SELECT count(*) FROM shelves") == 1


async def test_what_was_shelved_joins_the_mass_event_that_is_on(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    await fleet.connection.execute("UPDATE rules SET for_s = 0 WHERE rule = 'clock_skew'")
    await fleet.connection.execute(
        "WITH made AS (INSERT INTO incidents (rule, state, opened_at, opened_clock_s, from_clock_s, installed_kits)"
        " VALUES ('clock_skew', 'open', %(at)s, 1, 0, 1000) RETURNING incident_id), shelf AS ("
        " INSERT INTO shelves (kit_id, rule, until, severity, reason, shelved_by, shelved_at)"
        " VALUES (%(kit)s, 'clock_skew', %(until)s, 'minor', 'away', 'test', %(now)s))"
        " INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)"
        " SELECT 'SR-1', incident_id, 'clock_skew', 'service', 'urgent', 'open', now(), now() FROM made",
        {"at": after(-3600), "until": after(100), "kit": kit, "now": fleet.now},
    )
    await fleet.connection.execute("UPDATE rules SET keep_firing_for_s = 9000 WHERE rule = 'clock_skew'")
    await tell(fleet, kit, clock_offset_s=900)
    await fleet.live(50, heard=[kit])
    assert [(row[1], str(row[3])[:7]) for row in await alerts(fleet)] == [("clock_skew", "shelved")]
    await fleet.live(60, heard=[kit])
    incident = await fleet.value("SELECT incident_id FROM incidents")
    assert await alerts(fleet) == [(kit, "clock_skew", "active", f"incident:{incident}")]
    assert (await fleet.members(), await fleet.open_requests()) == ({kit}, 0)
    await fleet.check()


async def tell(fleet: World, kit: int, **values: Any) -> None:
    """A heartbeat at this moment says so."""
    names = ", ".join(f"{name} = %s" for name in values)
    await fleet.connection.execute(
        f"UPDATE kit_latest SET time = %s, received_at = %s, {names} WHERE kit_id = %s".encode(),
        (fleet.now, fleet.now, *values.values(), kit),
    )
