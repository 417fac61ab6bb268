"""Stock by model, place and organisation; minimums and what to reorder; what waits for cleaning and calibration."""

from __future__ import annotations

import pytest

from fleet.db import roles
from fleet.db.connect import connect
from fleet.state.logistics import stock
from tests.api import pages, problem
from tests.logistics_world import API, World, day, items, level, logistics, made, move, order, serials, stocked
from tests.support import execute


async def test_levels_tell_every_condition(database: str) -> None:
    async with logistics(database) as world:
        pieces = await stocked(world, "scale", *(f"S-{n}" for n in range(8)))
        for number, state in zip(
            pieces, ("cleaning", "calibrating", "in_repair", "at_supplier", "faulty"), strict=False
        ):
            await move(world, number, state)
        await move(world, pieces[5], "scrapped", reason="broken")
        await order(
            world.a, {"model_id": world.models["scale"], "quantity": 4, "location": "depot-a", "expected_on": day(9)}
        )
        await made(
            await world.a.post(f"{API}/reservations", json={"component_id": pieces[6], "visit": "V-1"}),
        )
        found = await level(world.a, model_id=world.models["scale"])
        wanted = {"in_stock": 2, "reserved": 1, "available": 1, "cleaning": 1, "calibrating": 1, "in_repair": 1}
        wanted |= {"at_supplier": 1, "faulty": 1, "on_order": 4}
        assert found | wanted == found
        assert (found["location"], found["organisation"], found["expected_on"]) == ("depot-a", "aalborg", day(9))


async def test_levels_are_filtered_and_paged(database: str) -> None:
    async with logistics(database) as world:
        await stocked(world, "scale", "S-1", "S-2")
        await stocked(world, "scale", "S-3", location="shelf-a")
        await stocked(world, "oximeter", "O-1")
        await stocked(world, "scale", "S-9", location="depot-b", organisation="hjorring")
        by_page = await pages(world.region, f"{API}/stock", limit=1)
        at_once = await items(world.region, "/stock")
        assert by_page == at_once
        keys = {(each["kind"], each["location"], each["organisation"], each["in_stock"]) for each in at_once}
        assert keys == {
            ("scale", "depot-a", "aalborg", 2),
            ("scale", "shelf-a", "aalborg", 1),
            ("oximeter", "depot-a", "aalborg", 1),
            ("scale", "depot-b", "hjorring", 1),
        }
        assert len(await items(world.region, "/stock", kind="scale", location="depot-a")) == 1
        assert len(await items(world.region, "/stock", organisation="hjorring")) == 1
        assert await items(world.b, "/stock", organisation="aalborg") == []
        assert [each["organisation"] for each in await items(world.b, "/stock")] == ["hjorring"]
        assert len(await items(world.admin, "/stock")) == 4


async def test_pieces_in_kits_are_no_stock_and_an_owner_sees_what_it_lent(database: str) -> None:
    async with logistics(database) as world:
        (number, other) = await stocked(world, "scale", "S-1", "S-2")
        await made(
            await world.admin.post(f"{API}/kits", json={"kit": "K-1", "organisation": "aalborg", "location": "depot-a"})
        )
        await made(await world.admin.post(f"{API}/kits/K-1/transitions", json={"to": "preparing"}))
        await made(
            await world.admin.post(
                f"{API}/kits/K-1/swaps", json={"incoming": number, "override": True, "reason": "new"}
            )
        )
        assert (await level(world.a))["in_stock"] == 1
        execute(
            database,
            "UPDATE components SET owner_id = (SELECT organisation_id FROM organisations WHERE slug = 'hjorring')"
            " WHERE component_id = %s",
            other,
        )
        lent = await level(world.b)
        assert (lent["organisation"], lent["in_stock"]) == (None, 1)
        assert (await level(world.region))["in_stock"] == 1


async def minimum(world: World, **more: object) -> dict[str, object]:
    """A minimum of two scales at the depot of municipality A."""
    body = {"model_id": world.models["scale"], "location": "depot-a", "minimum": 2, **more}
    return dict(await made(await world.a.post(f"{API}/stock/minimums", json=body)))


async def test_below_the_minimum_is_what_neither_is_there_nor_to_come(database: str) -> None:
    async with logistics(database) as world:
        entered = await minimum(world, target=5)
        assert entered | {"organisation": "aalborg", "in_stock": 0, "short": 2, "to_order": 5} == entered
        await stocked(world, "scale", "S-1")
        await stocked(world, "scale", "S-2", location="shelf-a")
        (short,) = await items(world.a, "/stock/reorder")
        assert (short["available"], short["short"], short["to_order"]) == (1, 1, 4)
        placed = await order(
            world.a, {"model_id": world.models["scale"], "quantity": 1, "location": "depot-a", "expected_on": day(3)}
        )
        assert await items(world.a, "/stock/reorder") == []
        reservation = await made(
            await world.a.post(
                f"{API}/reservations",
                json={"model_id": world.models["scale"], "location": "depot-a", "visit": "V-1"},
            )
        )
        (short,) = await items(world.a, "/stock/reorder", kind="scale")
        assert (short["reserved"], short["on_order"], short["short"]) == (1, 1, 1)
        await made(await world.a.post(f"{API}/reservations/{reservation['id']}/end", json={"outcome": "released"}))
        body = {"lines": [{"line_id": placed["lines"][0]["id"], "pieces": serials("S-3")}]}
        await made(await world.a.post(f"{API}/orders/{placed['id']}/receipts", json=body))
        (enough,) = await items(world.a, "/stock/minimums")
        assert (enough["available"], enough["on_order"], enough["short"], enough["to_order"]) == (2, 0, 0, 0)
        assert await items(world.b, "/stock/minimums") == []
        assert len(await items(world.region, "/stock/minimums", location="depot-a")) == 1


async def test_a_minimum_counts_what_its_organisation_would_see(database: str) -> None:
    async with logistics(database) as world:
        execute(
            database,
            "UPDATE locations SET organisation_id = NULL WHERE slug = 'depot-a'",
        )
        await stocked(world, "scale", "S-1", organisation="aalborg")
        await stocked(world, "scale", "S-2", organisation="hjorring")
        body = {"model_id": world.models["scale"], "location": "depot-a", "minimum": 2}
        mine = await made(await world.a.post(f"{API}/stock/minimums", json={**body, "organisation": "aalborg"}))
        assert (mine["in_stock"], mine["short"]) == (1, 1)
        both = await made(await world.region.post(f"{API}/stock/minimums", json={**body, "organisation": "nord"}))
        assert (both["in_stock"], both["short"]) == (2, 0)
        problem(await world.a.post(f"{API}/stock/minimums", json=body), 403)
        every = await made(await world.admin.post(f"{API}/stock/minimums", json={**body, "minimum": 3}))
        assert (every["organisation"], every["in_stock"], every["short"]) == (None, 2, 1)


async def test_the_worker_finds_the_same(database: str) -> None:
    async with logistics(database) as world:
        await minimum(world)
        await minimum(world, location="shelf-a", minimum=1)
        await stocked(world, "scale", "S-1", location="shelf-a")
    connection = await connect(database, role="test", run_as=roles.WORKER)
    async with connection:
        (found,) = await stock.below_minimum(connection)
        assert (found.location, found.model_id, found.short) == ("depot-a", world.models["scale"], 2)


async def test_minimums_are_edited_and_removed(database: str) -> None:
    async with logistics(database) as world:
        entered = await minimum(world)
        path = f"{API}/stock/minimums/{entered['id']}"
        body = {"model_id": world.models["scale"], "location": "depot-a", "minimum": 4}
        problem(await world.a.post(f"{API}/stock/minimums", json=body), 409)
        tag = (await world.a.get(path)).headers["etag"]
        changed = await made(await world.a.patch(path, json={"minimum": 4, "target": 6}, headers={"If-Match": tag}))
        assert (changed["minimum"], changed["target"], changed["to_order"]) == (4, 6, 6)
        problem(await world.a.patch(path, json={"minimum": 5}, headers={"If-Match": tag}), 412)
        problem(await world.a.patch(path, json={"minimum": 7}), 422, "target")
        problem(await world.b.get(path), 404)
        problem(await world.b.patch(path, json={"minimum": 1}), 404)
        problem(await world.b.delete(path), 404)
        problem(await world.auditor.delete(path), 403)
        assert (await world.a.delete(path)).status_code == 204
        problem(await world.a.get(path), 404)
        problem(await world.a.get(f"{API}/stock/minimums/{2**40}"), 404)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"minimum": 0}, "minimum"),
        ({"minimum": "3"}, "minimum"),
        ({"target": 1}, "target"),
        ({"location": "depot-b"}, "location"),
        ({"location": "nowhere"}, "location"),
        ({"model_id": 999}, "model_id"),
        ({"organisation": "hjorring"}, "organisation"),
    ],
)
async def test_bad_minimums_name_the_field(database: str, change: dict[str, object], field: str) -> None:
    async with logistics(database) as world:
        body = {"model_id": world.models["scale"], "location": "depot-a", "minimum": 2, **change}
        problem(await world.a.post(f"{API}/stock/minimums", json=body), 422, field)


async def test_who_waits_longest_is_cleaned_first(database: str) -> None:
    async with logistics(database) as world:
        first, second, foreign = [
            *await stocked(world, "scale", "S-1", "S-2"),
            *await stocked(world, "scale", "S-9", location="depot-b", organisation="hjorring"),
        ]
        await move(world, second, "cleaning")
        execute(
            database,
            "INSERT INTO kits (kit, state, organisation_id, owner_id)"
            " SELECT 'K-1', 'cleaning', organisation_id, organisation_id FROM organisations WHERE slug = 'aalborg'",
        )
        await move(world, first, "cleaning")
        await move(world, foreign, "cleaning")
        by_page = await pages(world.a, f"{API}/queues/cleaning", limit=1)
        assert [(each["subject"], each["serial"] or each["kit"]) for each in by_page] == [
            ("component", "S-2"),
            ("kit", "K-1"),
            ("component", "S-1"),
        ]
        assert by_page[0]["component_id"] == second
        assert by_page[1]["component_id"] is None
        assert [each["serial"] for each in await items(world.b, "/queues/cleaning")] == ["S-9"]
        assert len(await items(world.a, "/queues/cleaning", location="depot-a")) == 2


async def test_what_is_due_for_calibration_is_told_with_its_place(database: str) -> None:
    async with logistics(database) as world:
        soon, later, overdue = await stocked(world, "scale", "S-1", "S-2", "S-3")
        for number, due in ((soon, 10), (later, 60), (overdue, -5)):
            execute(database, f"UPDATE components SET calibration_due = '{day(due)}' WHERE component_id = %s", number)
        await stocked(world, "scale", "S-9", location="depot-b", organisation="hjorring", calibrated_on=day(-364))
        found = await pages(world.a, f"{API}/queues/calibration", limit=1)
        assert [each["serial"] for each in found] == ["S-3", "S-1"]
        assert found[0] | {"location": "depot-a", "kit": None, "repair_id": None} == found[0]
        assert len(await items(world.a, "/queues/calibration", within_days=90)) == 3
        assert [each["serial"] for each in await items(world.b, "/queues/calibration")] == ["S-9"]
        execute(
            database,
            "WITH k AS (INSERT INTO kits (kit, state, organisation_id, location_id) SELECT 'K-1', 'ready',"
            " organisation_id, location_id FROM locations WHERE slug = 'shelf-a' RETURNING kit_id)"
            " UPDATE components SET state = 'in_kit', location_id = NULL, kit_id = k.kit_id FROM k"
            " WHERE component_id = %s",
            overdue,
        )
        (in_kit,) = await items(world.a, "/queues/calibration", location="shelf-a")
        assert (in_kit["kit"], in_kit["kit_state"], in_kit["location"]) == ("K-1", "ready", None)
        problem(await world.a.get(f"{API}/queues/calibration", params={"within_days": -1}), 422, "within_days")
        problem(await world.a.get(f"{API}/queues/cleaning", params={"cursor": "AAAA"}), 422, "cursor")
