"""Repairs, returns and calibrations: opened through the ledger, and always closable."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api import problem
from tests.logistics_world import API, World, day, events_of, items, logistics, made, move, piece, stocked
from tests.support import execute, rows, value

PATH = f"{API}/repairs"


async def opened(world: World, component_id: int, kind: str = "repair", **more: Any) -> dict[str, Any]:
    """A piece that went away."""
    return dict(await made(await world.a.post(PATH, json={"component_id": component_id, "kind": kind, **more})))


async def closed(world: World, repair: dict[str, Any], outcome: str, **more: Any) -> dict[str, Any]:
    """The record once it is closed."""
    return dict(await made(await world.a.post(f"{PATH}/{repair['id']}/close", json={"outcome": outcome, **more})))


@pytest.mark.parametrize(
    ("kind", "away", "outcome", "back"),
    [
        ("repair", "in_repair", "repaired", "in_stock"),
        ("repair", "in_repair", "no_fault_found", "in_stock"),
        ("repair", "in_repair", "not_repaired", "faulty"),
        ("repair", "in_repair", "scrapped", "scrapped"),
        ("supplier_return", "at_supplier", "returned", "returned"),
        ("supplier_return", "at_supplier", "repaired", "in_stock"),
    ],
)
async def test_a_piece_goes_away_and_comes_back(database: str, kind: str, away: str, outcome: str, back: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "oximeter", "O-1")
        await move(world, number, "faulty")
        record = await opened(
            world,
            number,
            kind,
            fault="does not switch on",
            workshop="maker",
            workshop_reference="RMA-7",
            warranty_claim=True,
            expected_on=day(14),
            location="shop-a",
        )
        assert record | {"state": away, "serial": "O-1", "closed_at": None, "workshop": "maker"} == record
        assert ((await piece(world, number))["state"], (await piece(world, number))["location"]) == (away, "shop-a")
        end = await closed(world, record, outcome, cost="120.50", location="depot-a", reason="done")
        assert (end["outcome"], end["state"], end["cost"]) == (outcome, back, "120.50")
        assert end["closed_at"] is not None
        assert (await piece(world, number))["location"] == "depot-a"
        assert [event[1:] for event in events_of(database, number)][-2:] == [("faulty", away), (away, back)]
        problem(await world.a.post(f"{PATH}/{record['id']}/close", json={"outcome": outcome, "reason": "x"}), 409)
        late = await made(await world.a.patch(f"{PATH}/{record['id']}", json={"cost": "99.00", "note": "bill came"}))
        assert (late["cost"], late["note"]) == ("99.00", "bill came")


async def test_a_calibration_is_noted_with_the_piece(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "scale", "S-1", calibrated_on=day(-400))
        record = await opened(world, number, "calibration", workshop="maker")
        assert (await items(world.a, "/queues/calibration"))[0]["repair_id"] == record["id"]
        problem(await world.a.post(f"{PATH}/{record['id']}/close", json={"outcome": "calibrated"}), 422, "calibration")
        done = {"done_on": day(-1), "by": "Maker workshop", "certificate": "C-1"}
        wrong = {"outcome": "calibrated", "calibration": {**done, "result": "fail"}}
        problem(await world.a.post(f"{PATH}/{record['id']}/close", json=wrong), 422, "calibration")
        await closed(world, record, "calibrated", calibration=done)
        found = await piece(world, number)
        assert (found["state"], found["calibrated_on"], found["calibration_due"]) == ("in_stock", day(-1), day(364))
        assert await items(world.a, "/queues/calibration") == []
        again = await opened(world, number, "calibration")
        await closed(world, again, "calibration_failed", calibration={**done, "result": "fail"})
        found = await piece(world, number)
        assert (found["state"], found["calibrated_on"]) == ("faulty", day(-1))


async def test_a_piece_that_is_not_calibrated_does_not_come_back_as_stock(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "scale", "S-1", calibrated_on=day(-400))
        record = await opened(world, number, "calibration")
        stale = {"done_on": day(-380), "by": "Maker workshop"}
        answer = await world.a.post(
            f"{PATH}/{record['id']}/close", json={"outcome": "calibrated", "calibration": stale}
        )
        assert "calibrated until" in problem(answer, 409)["detail"]
        assert (await piece(world, number))["calibrated_on"] == day(-400)
        assert (await made(await world.a.get(f"{PATH}/{record['id']}")))["closed_at"] is None


async def test_a_record_can_always_be_closed(database: str) -> None:
    async with logistics(database) as world:
        first, second, third = await stocked(world, "oximeter", "O-1", "O-2", "O-3")
        gone_on = await opened(world, first)
        await move(world, first, "cleaning")
        await closed(world, gone_on, "withdrawn")
        assert (await piece(world, first))["state"] == "cleaning"
        there = await opened(world, second)
        await move(world, second, "in_stock")
        before = len(events_of(database, second))
        await closed(world, there, "repaired", location="shelf-a")
        assert len(events_of(database, second)) == before + 1
        assert (await piece(world, second))["location"] == "shelf-a"
        mistake = await opened(world, third)
        elsewhere = {"outcome": "repaired", "location": "depot-b"}
        problem(await world.a.post(f"{PATH}/{mistake['id']}/close", json=elsewhere), 422, "location")
        bad = {"outcome": "withdrawn", "location": "depot-a"}
        problem(await world.a.post(f"{PATH}/{mistake['id']}/close", json=bad), 422, "outcome")
        body = {"outcome": "scrapped"}
        problem(await world.a.post(f"{PATH}/{mistake['id']}/close", json=body), 422, "reason")


async def test_one_open_record_for_a_piece(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "oximeter", "O-1")
        answers = await asyncio.gather(
            *(client.post(PATH, json={"component_id": number, "kind": "repair"}) for client in (world.a, world.region))
        )
        assert sorted(each.status_code for each in answers) == [201, 409]
        assert value(database, "SELECT count(*) FROM repairs") == 1
        assert len(events_of(database, number)) == 2
        (record,) = await items(world.a, "/repairs", open=True, component_id=number)
        await closed(world, record, "repaired")
        await opened(world, number)
        assert len(await items(world.a, "/repairs", component_id=number)) == 2


async def test_a_piece_in_a_kit_is_taken_out_first(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "oximeter", "O-1")
        new = {"kit": "K-1", "organisation": "aalborg", "location": "depot-a"}
        await made(await world.admin.post(f"{API}/kits", json=new))
        await made(await world.admin.post(f"{API}/kits/K-1/transitions", json={"to": "preparing"}))
        await made(await world.admin.post(f"{API}/kits/K-1/swaps", json={"incoming": number}))
        problem(await world.a.post(PATH, json={"component_id": number, "kind": "repair"}), 409)
        assert value(database, "SELECT count(*) FROM repairs") == 0


async def test_what_is_late_is_found_and_edits_keep_a_tag(database: str) -> None:
    async with logistics(database) as world:
        first, second = await stocked(world, "oximeter", "O-1", "O-2")
        late = await opened(world, first, expected_on=day(-1), workshop="maker")
        await opened(world, second, "supplier_return", expected_on=day(5))
        assert [each["id"] for each in await items(world.a, "/repairs", overdue=True)] == [late["id"]]
        assert len(await items(world.a, "/repairs", overdue=False)) == 1
        assert [each["id"] for each in await items(world.a, "/repairs", kind="repair", workshop="maker")] == [
            late["id"]
        ]
        path = f"{PATH}/{late['id']}"
        tag = (await world.a.get(path)).headers["etag"]
        await made(await world.a.patch(path, json={"expected_on": day(3)}, headers={"If-Match": tag}))
        problem(await world.a.patch(path, json={"note": "x"}, headers={"If-Match": tag}), 412)
        assert await items(world.a, "/repairs", overdue=True) == []


async def test_what_is_returned_goes_to_a_supplier_or_lessor_and_a_repair_to_anybody(database: str) -> None:
    async with logistics(database) as world:
        first, second = await stocked(world, "oximeter", "O-1", "O-2")
        repaired = await opened(world, first, workshop="aalborg")
        returned = await opened(world, second, "supplier_return", workshop="maker")
        refused = problem(
            await world.a.patch(f"{PATH}/{returned['id']}", json={"workshop": "aalborg"}), 422, "workshop"
        )
        assert "must be a supplier or a lessor" in refused["detail"]
        # A record of before stays one that can be edited.
        execute(database, "UPDATE repairs SET workshop_id = owner_id WHERE repair_id = %s", returned["id"])
        for record in (repaired, returned):
            await made(await world.a.patch(f"{PATH}/{record['id']}", json={"note": "late"}))
        execute(database, "UPDATE organisations SET kind = 'lessor' WHERE slug = 'maker'")
        await made(await world.a.patch(f"{PATH}/{returned['id']}", json={"workshop": "maker"}))
        order = {"supplier": "maker", "organisation": "aalborg", "lines": [{"model_id": 1, "quantity": 1}]}
        assert (await world.a.post(f"{API}/orders", json=order)).status_code == 201


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"component_id": 99}, 422, "component_id"),
        ({"kind": "holiday"}, 422, "kind"),
        ({"workshop": "nobody"}, 422, "workshop"),
        ({"workshop": "aalborg", "kind": "supplier_return"}, 422, "workshop"),
        ({"location": "depot-b"}, 422, "location"),
        ({"fault": "0101701234"}, 422, "fault"),
        ({"expected_on": "soon"}, 422, "expected_on"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, 422, "occurred_at"),
        ({"warranty_claim": "yes"}, 422, "warranty_claim"),
    ],
)
async def test_bad_repairs_change_nothing(database: str, change: dict[str, Any], status: int, field: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "oximeter", "O-1")
        body = {"component_id": number, "kind": "repair", **change}
        problem(await world.a.post(PATH, json=body), status, field)
        assert value(database, "SELECT count(*) FROM repairs") == 0
        assert (await piece(world, number))["state"] == "in_stock"


async def test_others_get_nothing_and_the_past_stays_where_it_was(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "oximeter", "O-1")
        record = await opened(world, number)
        path = f"{PATH}/{record['id']}"
        problem(await world.b.get(path), 404)
        problem(await world.b.patch(path, json={"note": "x"}), 404)
        problem(await world.b.post(f"{path}/close", json={"outcome": "repaired"}), 404)
        problem(await world.b.post(PATH, json={"component_id": number, "kind": "repair"}), 422, "component_id")
        problem(await world.auditor.post(f"{path}/close", json={"outcome": "repaired"}), 403)
        assert await items(world.b, "/repairs") == []
        await closed(world, record, "repaired")
        current = await opened(world, number)
        to_b = {"organisation": "hjorring", "owner": "hjorring"}
        await made(await world.admin.post(f"{API}/components/{number}/assignments", json=to_b))
        assert [each["id"] for each in await items(world.b, "/repairs")] == [current["id"]]
        (past,) = await items(world.a, "/repairs")
        assert (past["id"], past["serial"], past["state"]) == (record["id"], "O-1", None)
        told = rows(database, "SELECT DISTINCT action FROM audit WHERE subject_kind = 'repairs' ORDER BY 1")
        assert told == [("repairs.changed",), ("repairs.created",)]
        with pytest.raises(Exception, match="one_open_repair"):
            execute(
                database,
                "INSERT INTO repairs (component_id, model_id, serial, kind, opened_by)"
                " SELECT component_id, model_id, serial, 'repair', 'test' FROM components",
            )
