"""The worker keeps quiet where it should, says by what, and speaks again by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from fleet.alerts import gauges
from tests.alerts_world import BEGIN, World, world
from tests.integration.test_worker_shelving import tell

SILENT_AFTER_S = 180.0


@pytest.fixture
async def fleet(database: str) -> AsyncIterator[World]:
    """An empty fleet."""
    async with world(database) as made:
        yield made


def after(seconds: float) -> datetime:
    """A moment of the world's time."""
    return BEGIN + timedelta(seconds=seconds)


async def plan(fleet: World, begins_s: float, ends_s: float, **more: Any) -> int:
    """A window between two moments; `more` are columns."""
    values = {
        "title": "work",
        "created_by": "test",
        "starts_at": after(begins_s),
        "ends_at": after(ends_s),
        "current_from": after(begins_s),
        "current_to": after(ends_s),
        **more,
    }
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    query = f"INSERT INTO maintenance_windows ({names}) VALUES ({places}) RETURNING window_id"
    return int(await fleet.value(query, *values.values()))


async def alerts(fleet: World) -> list[tuple[Any, ...]]:
    """Every alert: kit, rule, state and by what it is suppressed."""
    return await fleet.rows("SELECT kit_id, rule, state, suppressed_by FROM alerts ORDER BY alert_id")


async def told(fleet: World, kind: str) -> int:
    """How many events of a type there are."""
    return int(await fleet.value("SELECT count(*) FROM events WHERE type = %s", kind))


async def test_what_opens_in_maintenance_is_suppressed_and_heard_afterwards(fleet: World) -> None:
    broken, mended = await fleet.add(2)
    window = await plan(fleet, 10, 600)
    await fleet.live(500)
    assert await alerts(fleet) == [
        (broken, "silent", "active", f"maintenance:{window}"),
        (mended, "silent", "active", f"maintenance:{window}"),
    ]
    assert await fleet.open_requests() == 0
    assert (await told(fleet, "maintenance.began"), await told(fleet, "request.opened")) == (1, 0)
    await gauges.work(fleet.connection)
    assert REGISTRY.get_sample_value("fleet_alerts_suppressed", {"by": "maintenance"}) == 2
    await fleet.live(90, heard=[mended])
    assert [row[2] for row in await alerts(fleet)] == ["active", "cleared"]
    # It is over, and the kit has one more interval to show that it works.
    await fleet.live(65, heard=[mended])
    assert await fleet.open_requests() == 0
    await fleet.live(10, heard=[mended])
    assert await alerts(fleet) == [
        (broken, "silent", "active", None),
        (mended, "silent", "cleared", f"maintenance:{window}"),
    ]
    assert await fleet.open_requests() == 1
    assert (await told(fleet, "maintenance.ended"), await told(fleet, "alert.unsuppressed")) == (1, 1)
    await fleet.check()


async def test_a_kit_that_is_silent_before_keeps_its_request(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    await fleet.live(200)
    assert await fleet.open_requests() == 1
    await plan(fleet, 210, 600)
    await fleet.live(300)
    assert await alerts(fleet) == [(kit, "silent", "active", None)]
    assert await fleet.open_requests() == 1
    await fleet.check()


@pytest.mark.parametrize("collect", [True, False])
async def test_planned_work_on_many_is_no_mass_event(fleet: World, collect: bool) -> None:
    kits = await fleet.add(60)
    await plan(fleet, 10, 600, collect=collect)
    await fleet.live(590)
    assert await fleet.value("SELECT count(*) FROM incidents") == 0
    assert await fleet.open_requests() == 0
    assert len(await fleet.active()) == (60 if collect else 0)
    await fleet.live(200, heard=kits)
    assert await fleet.active() == set()
    assert await told(fleet, "request.opened") == 0
    await fleet.check()


async def test_many_that_stay_broken_afterwards_are_a_mass_event(fleet: World) -> None:
    kits = await fleet.add(60)
    await fleet.add(40, prefix="L", interval_s=86400)
    await plan(fleet, 10, 600)
    await fleet.live(690)
    assert await fleet.value("SELECT count(*) FROM incidents") == 1
    assert await fleet.members() == set(kits)
    assert await told(fleet, "request.opened") == 1
    await fleet.check()


async def test_many_of_any_rule_that_stay_broken_afterwards_are_one_mass_event(fleet: World) -> None:
    kits = await fleet.add(60)
    others = await fleet.add(1_000, prefix="L", interval_s=86400)
    await fleet.connection.execute("UPDATE kit_latest SET operator = 'TDC' WHERE kit_id = ANY (%s)", (kits,))
    for kit in kits:
        await fleet.want(kit, app="2")
        await fleet.report(kit, app="1")
    await plan(fleet, -10, 600)
    await fleet.live(600, heard=kits)
    assert len(await fleet.active("version_drift")) == 60
    await fleet.live(70, heard=[*kits, *others])
    assert await fleet.rows("SELECT cohort_kind, cohort_value, state FROM incidents") == [("app", "1", "open")]
    assert await fleet.members() == set(kits)
    assert set(await fleet.scalars("SELECT DISTINCT suppressed_by FROM alerts WHERE rule = 'version_drift'")) == {
        "incident:1"
    }
    assert (await fleet.open_requests(), await told(fleet, "request.opened")) == (0, 1)
    await fleet.check()
    await fleet.live(60, heard=[*kits, *others])
    assert (await fleet.open_requests(), await told(fleet, "request.opened")) == (0, 1)
    for kit in kits:
        await fleet.report(kit, app="2")
    await fleet.live(60, heard=[*kits, *others])
    assert await fleet.scalars("SELECT state FROM incidents") == ["cleared"]
    await fleet.check()


async def test_some_that_stay_broken_afterwards_are_heard_gradually(fleet: World) -> None:
    kits = await fleet.add(60)
    # As where they have nothing in common.
    await fleet.connection.execute("UPDATE incident_settings SET enabled = rule <> 'version_drift'")
    for kit in kits:
        await fleet.want(kit, app="2")
        await fleet.report(kit, app="1")
    await plan(fleet, -10, 600)
    await fleet.live(600, heard=kits)
    assert len(await fleet.active("version_drift")) == 60
    assert await fleet.open_requests() == 0
    await fleet.live(70, heard=kits)
    assert await fleet.open_requests() == 20
    await fleet.live(130, heard=kits)
    assert await fleet.open_requests() == 60
    await fleet.check()


async def test_without_evaluation_nothing_opens_and_silence_does_not_count(fleet: World) -> None:
    broken, mended = await fleet.add(2)
    await fleet.live(100, heard=[broken, mended])
    await plan(fleet, 100, 1000, collect=False)
    await fleet.want(mended, app="2")
    await fleet.report(mended, app="1")
    await fleet.live(900)
    assert await alerts(fleet) == []
    assert await fleet.value("SELECT count(*) FROM pending_alerts") == 0
    await fleet.live(65, heard=[mended])
    assert await alerts(fleet) == [], "the catch-up opens nothing"
    # What was reported meanwhile counts from then on, and the silent kit has the rest of its time.
    await fleet.live(60, heard=[mended])
    assert await alerts(fleet) == [(mended, "version_drift", "active", None)]
    await fleet.live(70, heard=[mended])
    assert await alerts(fleet) == [(mended, "version_drift", "active", None), (broken, "silent", "active", None)]
    await fleet.check()


async def test_nightly_windows_do_not_hide_who_is_silent_for_weeks(fleet: World) -> None:
    """Two of every three hours are worked on: a kit expected every hour is found after three hours of the others."""
    await fleet.add(1, interval_s=3600)
    for hour in range(0, 30, 3):
        await plan(fleet, hour * 3600, (hour + 2) * 3600, collect=False)
    opened_s = None
    for step in range(30 * 12):
        await fleet.live(300, step_s=300)
        if await fleet.active():
            opened_s = (step + 1) * 300
            break
    assert opened_s is not None
    assert 3 * 3 * 3600 - 300 <= opened_s <= 3 * 3 * 3600 + 2 * 3600 + 900 + 600


async def test_a_window_is_for_what_it_names(fleet: World) -> None:
    kits = await fleet.add(4)
    await fleet.value("INSERT INTO kit_types (kit_type, programme) VALUES ('kol', 'lungs') RETURNING 1")
    organisation = await fleet.value(
        "INSERT INTO organisations (slug, name) VALUES ('a', 'A') RETURNING organisation_id"
    )
    below = await fleet.value(
        "INSERT INTO organisations (slug, name, parent_id) VALUES ('b', 'B', %s) RETURNING organisation_id",
        organisation,
    )
    await fleet.connection.execute("UPDATE kits SET organisation_id = %s WHERE kit_id = %s", (below, kits[0]))
    await fleet.connection.execute("UPDATE kits SET kit_type = 'kol' WHERE kit_id = %s", (kits[1],))
    named = await plan(fleet, 0, 900, names_kits=True)
    await fleet.connection.execute("INSERT INTO maintenance_window_kits VALUES (%s, %s)", (named, kits[2]))
    of_organisation = await plan(fleet, 0, 900, organisation_id=organisation)
    of_programme = await plan(fleet, 0, 900, programme="lungs")
    other_rule = await plan(fleet, 0, 900, rules=["version_drift"])
    await fleet.live(300)
    assert {row[0]: row[3] for row in await alerts(fleet)} == {
        kits[0]: f"maintenance:{of_organisation}",
        kits[1]: f"maintenance:{of_programme}",
        kits[2]: f"maintenance:{named}",
        kits[3]: None,
    }
    assert other_rule
    assert await fleet.open_requests() == 1


async def test_overlapping_windows_and_one_that_is_edited_while_on(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    first, second = await plan(fleet, 0, 400), await plan(fleet, 100, 900)
    await fleet.live(300)
    assert (await alerts(fleet))[0][3] == f"maintenance:{first}"
    await fleet.live(300)
    assert (await alerts(fleet))[0][3] == f"maintenance:{second}"
    await fleet.connection.execute(
        "UPDATE maintenance_windows SET names_kits = true WHERE window_id = %s", (second,)
    )  # it is for other kits now
    await fleet.live(65, step_s=1)
    assert await alerts(fleet) == [(kit, "silent", "active", None)]
    assert await fleet.open_requests() == 1


async def test_a_window_ended_early(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    window = await plan(fleet, 0, 9000, collect=False)
    await fleet.live(1000)
    assert await alerts(fleet) == []
    await fleet.connection.execute(
        "UPDATE maintenance_windows SET current_from = NULL, current_to = NULL, ended_at = %s", (fleet.now,)
    )
    await fleet.live(170)
    assert await alerts(fleet) == []
    await fleet.live(20)
    assert await alerts(fleet) == [(kit, "silent", "active", None)]
    ended = await fleet.value("SELECT ended_at FROM maintenance_occurrences WHERE window_id = %s", window)
    assert ended == after(1005)


async def test_a_recurring_window_is_on_again(fleet: World) -> None:
    await plan(fleet, 0, 600, recurrence="FREQ=DAILY;COUNT=2")
    await fleet.live(700, step_s=100)
    assert await fleet.rows("SELECT current_from, ended_at FROM maintenance_windows") == [(after(86400), None)]
    await fleet.advance(2 * 86400)
    await fleet.tick()
    assert await fleet.rows("SELECT began_at, ended_at FROM maintenance_occurrences ORDER BY occurrence_id") == [
        (after(0), after(600)),
        (after(86400), after(87000)),
    ]
    assert await fleet.value("SELECT ended_at FROM maintenance_windows") == after(87000)
    assert await told(fleet, "maintenance.ended") == 2
    await fleet.tick()
    assert await told(fleet, "maintenance.began") == 2


async def test_a_worker_that_was_away_for_all_of_a_window_opens_nothing_in_the_catch_up(fleet: World) -> None:
    kits = await fleet.add(3)
    await fleet.live(100, heard=kits)
    await plan(fleet, 150, 3000, collect=False)
    for _ in range(30):
        await fleet.advance(100)
    await fleet.tick()
    assert await alerts(fleet) == []
    await fleet.live(30, heard=kits)
    assert await alerts(fleet) == []


async def test_our_own_outage_within_a_window(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    await plan(fleet, 10, 1000, collect=False)
    await fleet.live(300)
    await fleet.outage(1000)
    await fleet.tick()
    await fleet.resume()
    await fleet.live(50)
    assert await alerts(fleet) == []
    await fleet.live(200)
    assert await alerts(fleet) == [(kit, "silent", "active", None)]


TELEMETRY = "SELECT DISTINCT rule FROM alerts ORDER BY rule"


@pytest.mark.parametrize(
    "state",
    ["ordered", "in_stock", "preparing", "ready", "dispatched", "paused", "faulty", "retrieved", "cleaning"],
)
async def test_no_rule_about_telemetry_opens_for_a_kit_that_is_not_installed(fleet: World, state: str) -> None:
    (kit,) = await fleet.add(1, state=state)
    await _everything_wrong(fleet, kit)
    await fleet.live(3600, step_s=60)
    assert await fleet.scalars(TELEMETRY) == []
    assert await fleet.value("SELECT count(*) FROM pending_alerts") == 0


@pytest.mark.parametrize("state", ["paused", "retrieved"])
async def test_an_alert_of_a_kit_that_is_not_in_use_any_more_ends(fleet: World, state: str) -> None:
    (kit,) = await fleet.add(1)
    await _everything_wrong(fleet, kit)
    await fleet.live(3600, step_s=60)
    opened = await fleet.scalars(TELEMETRY)
    assert {"silent", "version_drift", "storage_low"} <= set(opened), opened
    await fleet.set_state([kit], state)
    await fleet.live(20)
    left = await fleet.scalars("SELECT rule FROM alerts WHERE state = 'active'")
    assert left == []
    assert set(await fleet.scalars("SELECT resolution FROM alerts WHERE cleared_at > %s", after(3600))) == {
        "not_watched"
    }
    assert await fleet.open_requests() == 0


async def _everything_wrong(fleet: World, kit: int) -> None:
    """Wrong versions, no storage, an empty battery, a wrong clock, and it falls silent."""
    await fleet.connection.execute(
        "UPDATE kit_latest SET boot = 'b', seq = 1, time = %s, received_at = %s, battery = 3, charging = false,"
        " storage_free_mb = 1, clock_offset_s = 4000 WHERE kit_id = %s",
        (fleet.now, fleet.now, kit),
    )
    await fleet.want(kit, app="2")
    await fleet.report(kit, app="1")
    for _ in range(80):
        await fleet.advance(60, heard=[kit])
        await fleet.connection.execute(
            "UPDATE kit_latest SET time = %s, received_at = %s, seq = seq + 1 WHERE kit_id = %s",
            (fleet.now, fleet.now, kit),
        )
        await fleet.tick()


@pytest.mark.parametrize("heard", [True, False])
async def test_maintenance_that_ended_while_we_were_away_is_told_after_the_catch_up(fleet: World, heard: bool) -> None:
    (kit,) = await fleet.add(1, interval_s=120)
    await plan(fleet, 10, 1000)
    await fleet.live(500)
    assert [row[3] for row in await alerts(fleet)] == ["maintenance:1"]
    await fleet.outage(3600)
    await fleet.resume()
    await fleet.live(60)
    if heard:
        await fleet.hear([kit])
        await fleet.live(60, heard=[kit])
    else:
        await fleet.live(60)
    assert await told(fleet, "alert.unsuppressed") == 0, "it has its interval to be heard"
    await fleet.live(60, heard=[kit] if heard else [])
    assert await told(fleet, "request.opened") == (not heard)
    await fleet.check()


async def test_a_window_for_one_rule_withholds_no_other(fleet: World) -> None:
    (kit,) = await fleet.add(1)
    await plan(fleet, 10, 3000, collect=False, rules=["storage_low"])
    await fleet.connection.execute("UPDATE rules SET for_s = 60 WHERE rule IN ('storage_low', 'clock_skew')")
    await tell(fleet, kit, storage_free_mb=10)
    await fleet.live(200, heard=[kit])
    assert await fleet.scalars("SELECT rule FROM maintenance_deferred") == ["storage_low"]
    assert await fleet.value("SELECT count(*) FROM pending_alerts") == 0
    for _ in range(30):
        await tell(fleet, kit, storage_free_mb=10, clock_offset_s=900)
        await fleet.live(5, heard=[kit])
    assert [row[1:] for row in await alerts(fleet)] == [("clock_skew", "active", None)]


async def test_what_was_worked_on_joins_the_mass_event_that_is_on(fleet: World) -> None:
    kits = await fleet.add(60)
    await fleet.add(40, prefix="L", interval_s=86400)
    await plan(fleet, 10, 900, names_kits=True)
    await fleet.connection.execute(
        "INSERT INTO maintenance_window_kits SELECT window_id, %s FROM maintenance_windows", (kits[0],)
    )
    await fleet.live(850)
    assert (await fleet.members(), await fleet.active()) == (set(kits[1:]), {kits[0]})
    await fleet.live(150)
    assert (await fleet.members(), await fleet.active()) == (set(kits), set())
    assert await told(fleet, "request.opened") == 1
    await fleet.check()
