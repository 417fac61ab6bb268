"""What is charged follows the log: recorded once, countered when the log is corrected, summed the same for ever."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fleet.access.principal import SYSTEM
from fleet.access.roles import Role
from fleet.alerts.charging import charge
from fleet.db import roles
from fleet.state import placements
from fleet.state.billing import store
from fleet.state.billing.derive import day_of, months, next_month
from fleet.state.ledger.corrections import Correction, correct
from fleet.state.ledger.steps import KitStep, Taken, take_kit_step
from fleet.state.ledger.swaps import Swap, swap
from fleet.state.lifecycle import KitState
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.ledger_world import (
    NOW,
    Connection,
    add_catalogue,
    add_kits,
    add_pieces,
    add_placement,
    ago,
    books,
    organisation_id,
)
from tests.support import execute, rows, value

WHY = "the driver's list says so"
V1 = "/api/v1"


def begin(database: str) -> None:
    """Organisations and models; what happened in the last year is charged."""
    add_catalogue(database)
    execute(database, "UPDATE billing_start SET first_day = %s", ago(390).date())


async def step(connection: Connection, kit: str, to: str, at: datetime, **more: Any) -> int:
    """Take a kit's step; gives the number of its event."""
    told = KitStep(KitState(to), occurred_at=at, override=True, reason="test", **more)
    taken = await take_kit_step(connection, kit, told, by=SYSTEM)
    assert isinstance(taken, Taken), taken
    return taken.event_ids[0]


async def install(database: str, connection: Connection, kit: str, at: datetime) -> int:
    """Place a kit with a citizen; gives the number of the event."""
    await add_kits(connection, kit, state="dispatched", organisation="nord")
    placement = add_placement(database, kit, f"REF-{kit}")
    execute(database, "UPDATE placements SET programme = 'KOL' WHERE placement_id = %s", placement)
    return await step(connection, kit, "installed", at, placement=placement)


async def record(connection: Connection, now: datetime = NOW) -> None:
    """Everything that waits, with the worker's rights."""
    await connection.execute(f"SET ROLE {roles.WORKER}".encode())
    while (await charge(connection, now)).more:
        pass
    await connection.execute("RESET ROLE")


def entries(database: str) -> list[tuple[str, int]]:
    """Kind and quantity of every entry but rental, in order."""
    query = "SELECT kind, quantity FROM billable_events WHERE kind <> 'rental_days' ORDER BY entry_id"
    return [(kind, quantity) for kind, quantity in rows(database, query)]


def sums(database: str) -> dict[str, int]:
    """What is charged in all, by kind; what was taken back is not there."""
    query = "SELECT kind, sum(quantity) FROM billable_events GROUP BY kind HAVING sum(quantity) <> 0"
    return {kind: int(quantity) for kind, quantity in rows(database, query)}


async def test_set_up_swap_take_down_and_rental(database: str) -> None:
    async with books(database) as connection:
        begin(database)
        installed = await install(database, connection, "K-1", ago(100))
        (scale,) = await add_pieces(connection, "W-1")
        change = Swap(incoming=scale, occurred_at=ago(50), override=True, reason="test")
        assert isinstance(await swap(connection, "K-1", change, by=SYSTEM), Taken)
        await record(connection)
        await step(connection, "K-1", "retrieved", ago(10))
        await record(connection)
        days = (day_of(ago(10)) - day_of(ago(100))).days
        assert sums(database) == {"set_up": 1, "swap": 1, "take_down": 1, "rental_days": days}
        assert entries(database) == [("set_up", 1), ("swap", 1), ("take_down", 1)]
        query = (
            "SELECT occurred_at, source_event_id, programme, organisation_id FROM billable_events WHERE kind = 'set_up'"
        )
        assert rows(database, query) == [(ago(100), installed, "KOL", organisation_id(database, "nord"))]
        before = rows(database, "SELECT * FROM billable_events ORDER BY entry_id")
        execute(database, "INSERT INTO billing_queue (kit_id) SELECT kit_id FROM kits")
        await record(connection)
        assert rows(database, "SELECT * FROM billable_events ORDER BY entry_id") == before


async def test_rental_that_goes_on_is_recorded_as_months_close(database: str) -> None:
    async with books(database) as connection:
        begin(database)
        await install(database, connection, "K-1", ago(100))
        await record(connection)
        first, this_month = day_of(ago(100)), day_of(NOW).replace(day=1)
        expected = [(begins, (ends - begins).days) for begins, ends in months(first, this_month)]
        query = "SELECT day, quantity FROM billable_events WHERE kind = 'rental_days' ORDER BY day"
        assert rows(database, query) == expected
        following = next_month(this_month)
        await record(connection, datetime.combine(following, datetime.min.time(), NOW.tzinfo) + timedelta(hours=3))
        assert rows(database, query) == [*expected, (this_month, (following - this_month).days)]


async def test_a_correction_counters_what_it_makes_wrong(database: str) -> None:
    async with books(database) as connection:
        begin(database)
        await install(database, connection, "K-1", ago(100))
        taken_down = await step(connection, "K-1", "retrieved", ago(10))
        await record(connection)
        before = sums(database)
        await correct(connection, taken_down, Correction(WHY, occurred_at=ago(20)), by=SYSTEM)
        await record(connection)
        earlier = (day_of(ago(10)) - day_of(ago(20))).days
        assert sums(database) == before | {"rental_days": before["rental_days"] - earlier}
        assert entries(database) == [("set_up", 1), ("take_down", 1), ("take_down", -1), ("take_down", 1)]
        query = "SELECT c.occurred_at FROM billable_events c JOIN billable_events e ON c.counter_of = e.entry_id"
        assert (ago(10),) in rows(database, query)
        await correct(connection, taken_down, Correction(WHY, void=True), by=SYSTEM)
        await record(connection)
        assert "take_down" not in sums(database)


async def test_a_placement_charged_to_another_programme(database: str) -> None:
    async with books(database) as connection:
        begin(database)
        await install(database, connection, "K-1", ago(100))
        await step(connection, "K-1", "retrieved", ago(99))
        await record(connection)
        placement = value(database, "SELECT placement_id FROM placements")
        await placements.change_plan(connection, placement, {"programme": "Hjerte"})
        await record(connection)
        query = (
            "SELECT programme, sum(quantity) FROM billable_events WHERE kind = 'set_up'"
            ' GROUP BY programme ORDER BY programme COLLATE "C"'
        )
        assert rows(database, query) == [("Hjerte", 1), ("KOL", 0)]


async def test_two_at_once_charge_once(database: str) -> None:
    """What is being written is not missed, and what another records is not recorded again."""
    async with books(database) as connection, books(database) as other:
        begin(database)
        await install(database, connection, "K-1", ago(3))
        execute(database, "INSERT INTO billing_queue (kit_id) SELECT kit_id FROM kits")
        await store.record(connection)
        await store.record(other)
        assert entries(database) == [("set_up", 1)]
        async with connection.transaction():
            await step(connection, "K-1", "retrieved", ago(2))
            await store.record(other)
            assert entries(database) == [("set_up", 1)]
        await store.record(other)
        assert entries(database) == [("set_up", 1), ("take_down", 1)]


@pytest.mark.parametrize("statement", ["UPDATE billable_events SET quantity = 2", "DELETE FROM billable_events"])
async def test_entries_are_append_only(database: str, statement: str) -> None:
    async with books(database) as connection:
        begin(database)
        await install(database, connection, "K-1", ago(3))
        await record(connection)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(database, statement)


async def test_the_sums_of_a_month_over_http(database: str) -> None:
    async with books(database) as connection:
        begin(database)
        await install(database, connection, "K-1", ago(100))
        await record(connection)
        month = f"{day_of(ago(100)):%Y-%m}"
        async with api(database, Role.SECRETARIAT) as client:
            path = f"{V1}/billable-events/summary"
            first = (await client.get(path, params={"month": month})).json()
            assert first["closed"]
            assert {(line["organisation"], line["programme"], line["kind"]) for line in first["items"]} == {
                ("nord", "KOL", "set_up"),
                ("nord", "KOL", "rental_days"),
            }
            installed = value(database, "SELECT source_event_id FROM billable_events WHERE kind = 'set_up'")
            await correct(connection, installed, Correction(WHY, occurred_at=ago(100.5)), by=SYSTEM)
            await record(connection)
            now = (await client.get(path, params={"month": month})).json()
            assert now["through"] > first["through"]
            again = (await client.get(path, params={"month": month, "through": first["through"]})).json()
            assert again == first
            listed = await pages(client, f"{V1}/billable-events", limit=2)
            assert sum(each["quantity"] for each in listed if each["kind"] == "set_up") == 1
            assert {each["counter_of"] for each in listed} > {None}
            problem(await client.get(path, params={"month": "2026-13"}), 422, "month")
            problem(await client.get(path), 422, "month")


async def test_filters_and_who_sees_it(database: str) -> None:
    async with books(database) as connection:
        begin(database)
        await install(database, connection, "K-1", ago(100))
        await record(connection)
    token = await make_token(database, Role.SECRETARIAT, organisation="aalborg")
    support = await make_token(database, Role.SUPPORT)
    async with running_app(database) as app, api(database, Role.AUDITOR) as client:
        path = f"{V1}/billable-events"
        day = day_of(ago(100))
        for query, count in (
            ({"kind": "set_up"}, 1),
            ({"kind": "call"}, 0),
            ({"kind": "set_up", "from": str(day), "to": str(day)}, 1),
            ({"kind": "set_up", "from": str(day + timedelta(days=1))}, 0),
            ({"kind": "set_up", "to": str(day - timedelta(days=1))}, 0),
            ({"kind": "set_up", "organisation": "nord", "programme": "KOL", "kit": "K-1"}, 1),
            ({"kind": "set_up", "organisation": "aalborg"}, 0),
        ):
            assert len(await pages(client, path, **query)) == count, query
        problem(await client.get(path, params={"from": "yesterday"}), 422, "from")
        async with caller(app, token) as other:
            assert await pages(other, path) == []
        async with caller(app, support) as other:
            problem(await other.get(path), 403)


def test_months_are_those_of_the_calendar() -> None:
    assert next_month(date(2026, 12, 31)) == date(2027, 1, 1)
