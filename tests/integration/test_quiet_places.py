"""Alerts about places and organisations are shelved, and kept quiet by maintenance, as those about kits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from fleet.access.roles import Role
from fleet.alerts import read
from fleet.alerts.actions import Action, OpenSubjectAlert, RefreshEvidence
from fleet.alerts.apply import apply
from fleet.alerts.quieting import handling
from fleet.alerts.rules import RuleName
from tests.alerts_world import World, world
from tests.api import caller, make_token, pages, problem, running_app
from tests.people import add_organisations
from tests.support import execute, rows, value

ALERTS, WINDOWS = "/api/v1/alerts", "/api/v1/maintenance-windows"
STORE = "location:store"


@pytest.fixture
async def fleet(database: str) -> AsyncIterator[World]:
    """Two municipalities of a region, a depot in one of them; time is that of the database."""
    add_organisations(database, "north", kind="region")
    add_organisations(database, "a", "b", under="north")
    execute(
        database,
        "INSERT INTO locations (slug, name, kind, organisation_id)"
        " SELECT 'store', 'Store', 'depot', organisation_id FROM organisations WHERE slug = 'a'",
    )
    async with world(database) as made:
        made.now = await made.value("SELECT now()")
        await made.listen()
        yield made


async def carry_out(fleet: World, *actions: Action) -> None:
    """What the comparison with the books decided."""
    async with fleet.connection.transaction():
        await apply(fleet.connection, actions, await read.rules(fleet.connection), fleet.now)


async def low(fleet: World, subject: str = STORE, severity: str = "minor") -> None:
    """Stock is low there."""
    slug = "a" if subject == STORE else subject.partition(":")[2]
    organisation = await fleet.value("SELECT organisation_id FROM organisations WHERE slug = %s", slug)
    await carry_out(fleet, OpenSubjectAlert(subject, organisation, RuleName.STOCK_LOW, {}, severity))


async def plan(fleet: World, *, organisation: str | None = None, location: str | None = None, **more: Any) -> int:
    """A window that is on for the next hour."""
    times = {"starts_at": fleet.now, "ends_at": fleet.now + timedelta(hours=1)}
    times |= {"current_from": times["starts_at"], "current_to": times["ends_at"]}
    whose = await fleet.scalars("SELECT organisation_id FROM organisations WHERE slug = %s", organisation)
    where = await fleet.scalars("SELECT location_id FROM locations WHERE slug = %s", location)
    values = {"title": "stock-take", "created_by": "test", **times, **more}
    values |= {"organisation_id": whose[0] if whose else None, "location_id": where[0] if where else None}
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    query = f"INSERT INTO maintenance_windows ({names}) VALUES ({places}) RETURNING window_id"
    return int(await fleet.value(query, *values.values()))


async def suppressed(fleet: World) -> list[str | None]:
    return await fleet.scalars("SELECT suppressed_by FROM alerts WHERE state = 'active' ORDER BY alert_id")


async def test_a_shelved_place_is_quiet_until_then_and_speaks_again(fleet: World) -> None:
    await low(fleet)
    alert = await fleet.value("SELECT alert_id FROM alerts")
    until = fleet.now + timedelta(hours=1)
    await handling.shelve(fleet.connection, alert, until=until, reason="ordered", actor="somebody")
    (reason,) = await suppressed(fleet)
    assert reason == f"shelved:{until:%Y-%m-%dT%H:%M:%SZ}"
    await handling.shelve(fleet.connection, alert, until=until, reason="ordered again", actor="somebody")
    await fleet.advance(1800)
    await fleet.tick()
    assert await suppressed(fleet) == [reason]
    await fleet.advance(1900)
    await fleet.tick()
    assert await suppressed(fleet) == [None]
    told = await fleet.rows(
        "SELECT type, organisation_id IS NOT NULL FROM events WHERE starts_with(type, 'alert.') ORDER BY event_id"
    )
    types = ("alert.opened", "alert.shelved", "alert.shelved", "alert.unsuppressed")
    assert told == [(type_, True) for type_ in types]


async def test_what_opens_again_on_a_shelf_opens_no_request_and_what_gets_graver_is_heard(fleet: World) -> None:
    await low(fleet)
    alert = await fleet.value("SELECT alert_id FROM alerts")
    await handling.shelve(
        fleet.connection, alert, until=fleet.now + timedelta(hours=1), reason="ordered", actor="somebody"
    )
    await fleet.connection.execute(
        "UPDATE alerts SET state = 'cleared', cleared_at = now(), resolution = 'books_agree'"
    )
    await fleet.connection.execute(
        "UPDATE service_requests SET state = 'closed', resolved_at = now(), closed_at = now()"
    )
    await low(fleet)
    again = await fleet.value("SELECT max(alert_id) FROM alerts")
    assert (await suppressed(fleet))[0].startswith("shelved:")  # type: ignore[union-attr]
    assert await fleet.scalars("SELECT request_id FROM request_alerts WHERE alert_id = %s", again) == []
    await carry_out(fleet, RefreshEvidence(again, {}, "critical"))
    await fleet.tick()
    assert await suppressed(fleet) == [None]
    assert len(await fleet.scalars("SELECT request_id FROM request_alerts WHERE alert_id = %s", again)) == 1


@pytest.mark.parametrize(
    ("window", "covers"),
    [
        ({}, True),
        ({"organisation": "a"}, True),
        ({"organisation": "north"}, True),
        ({"organisation": "b"}, False),
        ({"location": "store"}, True),
        ({"rules": ["stock_low"]}, True),
        ({"rules": ["silent"]}, False),
        ({"programme": "copd"}, False),
        ({"names_kits": True}, False),
    ],
    ids=str,
)
async def test_windows_are_for_places_that_they_name(fleet: World, window: dict[str, Any], covers: bool) -> None:
    number = await plan(fleet, **window)
    await low(fleet)
    assert await suppressed(fleet) == [f"maintenance:{number}" if covers else None]
    assert await fleet.value("SELECT count(*) FROM service_requests") == (0 if covers else 1)
    if covers:
        await fleet.advance(3601)
        await fleet.tick()
        assert await suppressed(fleet) == [None]
        assert await fleet.scalars("SELECT subject FROM service_requests") == [STORE]


async def test_a_window_for_a_place_is_for_no_other_and_for_the_kits_there(fleet: World) -> None:
    number = await plan(fleet, location="store")
    await low(fleet, "organisation:b")
    assert await suppressed(fleet) == [None]
    there, elsewhere = await fleet.add(2)
    await fleet.connection.execute(
        "UPDATE kits SET location_id = (SELECT location_id FROM locations) WHERE kit_id = %s", (there,)
    )
    found = await fleet.rows("SELECT kit_id, window_id FROM kits_in_maintenance(%s, %s)", [there, elsewhere], fleet.now)
    assert found == [(there, number)]


async def test_without_evaluation_nothing_opens(fleet: World) -> None:
    await plan(fleet, organisation="a", collect=False)
    await low(fleet)
    assert await suppressed(fleet) == []
    await fleet.advance(3601)
    await low(fleet)
    assert await suppressed(fleet) == [None]


async def test_over_http(fleet: World, database: str) -> None:
    await low(fleet)
    alert = value(database, "SELECT alert_id FROM alerts")
    body = {"until": f"{fleet.now + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}", "reason": "ordered"}
    own = await make_token(database, Role.SERVICE, organisation="a")
    other = await make_token(database, Role.SERVICE, organisation="b")
    async with running_app(database) as app, caller(app, own) as local, caller(app, other) as stranger:
        problem(await stranger.post(f"{ALERTS}/{alert}/shelve", json=body), 404)
        shelved = await local.post(f"{ALERTS}/{alert}/shelve", json=body)
        assert shelved.status_code == 200, shelved.text
        assert shelved.json()["shelved_until"] == body["until"]
        assert [each["id"] for each in await pages(local, ALERTS, shelved="true")] == [alert]
        back = await local.post(f"{ALERTS}/{alert}/unshelve")
        assert (back.status_code, back.json()["shelved_until"]) == (200, None)
        ends = f"{fleet.now + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"
        window = {"title": "stock-take", "organisation": "a", "location": "store", "ends_at": ends}
        planned = await local.post(WINDOWS, json=window)
        assert (planned.status_code, planned.json()["location"]) == (201, "store"), planned.text
        assert len(await pages(local, WINDOWS, location="store")) == 1
        edited = await local.patch(f"{WINDOWS}/{planned.json()['id']}", json={"location": None})
        assert edited.json()["location"] is None
        problem(await local.post(WINDOWS, json={**window, "location": "nowhere"}), 422, "location")
        problem(await stranger.post(WINDOWS, json={**window, "organisation": "b"}), 422, "location")
    assert rows(database, "SELECT subject_kind FROM audit WHERE subject_kind = 'shelves'") == [("shelves",)] * 2
