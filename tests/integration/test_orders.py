"""Orders: lines, announcements, partial receipts, all or nothing, and nobody receives twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api import problem
from tests.logistics_world import API, day, events_of, items, level, logistics, made, order, piece, serials
from tests.support import execute, rows, value


async def test_an_order_is_received_in_parts_and_ends_by_itself(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(
            world.a,
            {
                "model_id": world.models["scale"],
                "quantity": 3,
                "price": "450.00",
                "location": "depot-a",
                "expected_on": day(10),
                "warranty_months": 24,
            },
            {"model_id": world.models["tablet"], "quantity": 1, "expected_on": day(20)},
            reference="PO-1",
        )
        scales, tablets = placed["lines"]
        assert (placed["state"], placed["quantity"], placed["received"]) == ("open", 4, 0)
        assert placed["expected_on"] == day(10)
        path = f"{API}/orders/{placed['id']}/receipts"
        first = {"delivery_note": "DN-1", "lines": [{"line_id": scales["id"], "pieces": serials("S-1", "S-2")}]}
        received = await made(await world.a.post(path, json=first))
        (receipt,) = received["receipts"]
        assert (receipt["quantity"], receipt["location"], receipt["delivery_note"]) == (2, "depot-a", "DN-1")
        assert received["order"]["lines"][0] | {"received": 2, "state": "open"} == received["order"]["lines"][0]
        found = await piece(world, receipt["component_ids"][0])
        assert (
            found
            | {
                "serial": "S-1",
                "state": "in_stock",
                "location": "depot-a",
                "organisation": "aalborg",
                "owner": "aalborg",
                "supplier": "maker",
                "order_line_id": scales["id"],
                "price": "450.00",
            }
            == found
        )
        assert found["warranty_until"][:4] in (day(700)[:4], day(730)[:4], day(731)[:4])
        stock = await level(world.a, kind="scale")
        assert (stock["in_stock"], stock["on_order"], stock["expected_on"]) == (2, 1, day(10))
        second = {
            "location": "shelf-a",
            "lines": [
                {"line_id": scales["id"], "pieces": serials("S-3"), "location": "depot-a"},
                {"line_id": tablets["id"], "pieces": serials("T-1")},
            ],
        }
        received = await made(await world.a.post(path, json=second))
        assert [each["location"] for each in received["receipts"]] == ["depot-a", "shelf-a"]
        assert received["order"]["state"] == "received"
        assert received["order"]["ended_at"] is not None
        assert [each["quantity"] for each in await items(world.a, f"/orders/{placed['id']}/receipts")] == [2, 1, 1]
        late = {"lines": [{"line_id": scales["id"], "pieces": serials("S-9")}]}
        assert "accept_excess" in problem(await world.a.post(path, json=late), 409)["detail"]


async def test_more_than_ordered_is_refused_unless_it_is_meant(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(world.a, {"model_id": world.models["scale"], "quantity": 1, "location": "depot-a"})
        (line,) = placed["lines"]
        path = f"{API}/orders/{placed['id']}/receipts"
        body: dict[str, Any] = {"lines": [{"line_id": line["id"], "pieces": serials("S-1", "S-2")}]}
        problem(await world.a.post(path, json=body), 409)
        assert value(database, "SELECT count(*) FROM components") == 0
        received = await made(await world.a.post(path, json={**body, "accept_excess": True}))
        assert received["order"]["lines"][0]["received"] == 2
        assert received["order"]["state"] == "received"


async def test_a_delivery_is_entered_whole_or_not_at_all(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(
            world.a,
            {"model_id": world.models["scale"], "quantity": 3, "location": "depot-a"},
            {"model_id": world.models["tablet"], "quantity": 1, "location": "depot-a"},
        )
        scales, tablets = placed["lines"]
        path = f"{API}/orders/{placed['id']}/receipts"
        bad = {
            "lines": [
                {"line_id": scales["id"], "pieces": serials("S-1", "S-2")},
                {"line_id": tablets["id"], "pieces": [{"serial": "T-1", "imei": "123"}]},
            ]
        }
        problem(await world.a.post(path, json=bad), 422, "imei")
        assert value(database, "SELECT count(*) FROM components") == 0
        good = {"lines": [{"line_id": scales["id"], "pieces": serials("S-1")}]}
        await made(await world.a.post(path, json=good))
        again = {"lines": [{"line_id": scales["id"], "pieces": serials("S-2", "S-1")}]}
        assert "S-1" in problem(await world.a.post(path, json=again), 409)["detail"]
        assert rows(database, "SELECT serial FROM components") == [("S-1",)]
        assert rows(database, "SELECT received FROM order_lines ORDER BY 1") == [(0,), (1,)]
        assert value(database, "SELECT count(*) FROM receipts") == 1


async def test_the_same_request_is_carried_out_once(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(world.a, {"model_id": world.models["scale"], "quantity": 5, "location": "depot-a"})
        body = {"lines": [{"line_id": placed["lines"][0]["id"], "pieces": serials("S-1")}]}
        path, headers = f"{API}/orders/{placed['id']}/receipts", {"Idempotency-Key": "delivery-1"}
        first = await world.a.post(path, json=body, headers=headers)
        second = await world.a.post(path, json=body, headers=headers)
        assert first.status_code == second.status_code == 201
        assert first.json() == second.json()
        assert value(database, "SELECT received FROM order_lines") == 1
        other = {"lines": [{"line_id": placed["lines"][0]["id"], "pieces": serials("S-2")}]}
        problem(await world.a.post(path, json=other, headers=headers), 422, "Idempotency-Key")


async def test_two_who_receive_the_same_line_do_not_overshoot(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(world.a, {"model_id": world.models["scale"], "quantity": 3, "location": "depot-a"})
        line_id, path = placed["lines"][0]["id"], f"{API}/orders/{placed['id']}/receipts"
        answers = await asyncio.gather(
            *(
                client.post(path, json={"lines": [{"line_id": line_id, "pieces": serials(f"{name}-1", f"{name}-2")}]})
                for client, name in ((world.a, "A"), (world.region, "B"))
            )
        )
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        assert value(database, "SELECT received FROM order_lines") == 2
        assert value(database, "SELECT count(*) FROM components") == 2


async def test_announced_pieces_become_stock_when_they_come(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(
            world.a,
            {"model_id": world.models["scale"], "quantity": 2, "location": "depot-a", "warranty_months": 12},
        )
        (line,) = placed["lines"]
        path = f"{API}/orders/{placed['id']}/lines/{line['id']}/pieces"
        told = (await made(await world.a.post(path, json={"serials": ["S-1", "S-2"]})))["component_ids"]
        problem(await world.a.post(path, json={"serials": ["S-3"]}), 409)
        stock = await level(world.a, kind="scale")
        assert (stock["on_order"], stock["in_stock"]) == (2, 0)
        body = {
            "lines": [
                {
                    "line_id": line["id"],
                    "pieces": [{"serial": "S-1", "asset_tag": "A-1", "calibrated_on": day(-3)}],
                }
            ]
        }
        received = await made(await world.a.post(f"{API}/orders/{placed['id']}/receipts", json=body))
        assert received["receipts"][0]["component_ids"] == told[:1]
        found = await piece(world, told[0])
        assert (found["state"], found["location"], found["asset_tag"]) == ("in_stock", "depot-a", "A-1")
        assert found["calibration_due"] == day(362)
        assert found["warranty_until"] is not None
        assert ("status", "ordered", "in_stock") in events_of(database, told[0])
        gone = await made(await world.a.post(f"{API}/orders/{placed['id']}/cancel", json={"reason": "too late"}))
        assert (gone["state"], gone["lines"][0]["state"]) == ("received", "cancelled")
        assert (await piece(world, told[1]))["state"] == "returned"


async def test_an_order_is_cancelled_in_part_and_as_a_whole(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(
            world.a,
            {"model_id": world.models["scale"], "quantity": 2},
            {"model_id": world.models["tablet"], "quantity": 2},
        )
        path, (first, second) = f"{API}/orders/{placed['id']}", placed["lines"]
        part = await made(await world.a.post(f"{path}/cancel", json={"reason": "no need", "line_ids": [first["id"]]}))
        assert part["state"] == "open"
        assert [each["state"] for each in part["lines"]] == ["cancelled", "open"]
        body = {"location": "depot-a", "lines": [{"line_id": first["id"], "pieces": serials("S-1")}]}
        problem(await world.a.post(f"{path}/receipts", json=body), 409)
        done = await made(await world.a.post(f"{path}/cancel", json={"reason": "closed down"}))
        assert (done["state"], done["cancelled_reason"]) == ("cancelled", "closed down")
        again = await made(await world.a.post(f"{path}/cancel", json={"reason": "once more"}))
        assert again["cancelled_reason"] == "closed down"
        body = {"location": "depot-a", "lines": [{"line_id": second["id"], "pieces": serials("T-1")}]}
        problem(await world.a.post(f"{path}/receipts", json=body), 409)
        problem(await world.a.post(f"{path}/lines", json={"lines": [{"model_id": 1, "quantity": 1}]}), 409)


async def test_orders_and_lines_are_edited_with_a_tag(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(world.a, {"model_id": world.models["scale"], "quantity": 2, "location": "depot-a"})
        path, line = f"{API}/orders/{placed['id']}", placed["lines"][0]["id"]
        tag = (await world.a.get(path)).headers["etag"]
        edited = await world.a.patch(
            f"{path}/lines/{line}", json={"expected_on": day(5), "quantity": 4}, headers={"If-Match": tag}
        )
        assert (await made(edited))["lines"][0] | {"expected_on": day(5), "quantity": 4} == edited.json()["lines"][0]
        problem(await world.a.patch(path, json={"note": "late"}, headers={"If-Match": tag}), 412)
        noted = await made(await world.a.patch(path, json={"note": "late", "reference": "PO-7"}))
        assert (noted["note"], noted["reference"]) == ("late", "PO-7")
        more = await made(
            await world.a.post(f"{path}/lines", json={"lines": [{"model_id": world.models["tablet"], "quantity": 1}]})
        )
        assert len(more["lines"]) == 2
        body = {"lines": [{"line_id": line, "pieces": serials("S-1", "S-2")}]}
        await made(await world.a.post(f"{path}/receipts", json=body))
        problem(await world.a.patch(f"{path}/lines/{line}", json={"quantity": 1}), 409)
        fewer = await made(await world.a.patch(f"{path}/lines/{line}", json={"quantity": 2}))
        assert fewer["lines"][0]["state"] == "received"
        assert fewer["state"] == "open"
        problem(await world.a.patch(f"{path}/lines/{line}", json={"price": "1.00"}), 409)
        body = {"supplier": "maker", "organisation": "aalborg", "reference": "po-7"}
        twice = {**body, "lines": [{"model_id": world.models["scale"], "quantity": 1}]}
        problem(await world.a.post(f"{API}/orders", json=twice), 409)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"supplier": "nobody"}, "supplier"),
        ({"supplier": "aalborg"}, "supplier"),
        ({"organisation": "nowhere"}, "organisation"),
        ({"lines": []}, "lines"),
        ({"currency": "kr"}, "currency"),
        ({"note": "0101701234"}, "note"),
        ({"surprise": 1}, "surprise"),
        ({"ordered_on": "1980-01-01"}, "ordered_on"),
        ({"lines": [{"model_id": 999, "quantity": 1}]}, "model_id"),
        ({"lines": [{"model_id": 1, "quantity": 0}]}, "lines.quantity"),
        ({"lines": [{"model_id": 1, "quantity": True}]}, "lines.quantity"),
        ({"lines": [{"model_id": 1, "quantity": 1, "location": "depot-b"}]}, "location"),
        ({"lines": [{"model_id": 1, "quantity": 1, "price": "1.001"}]}, "lines.price"),
    ],
)
async def test_bad_orders_name_the_field(database: str, change: dict[str, Any], field: str) -> None:
    async with logistics(database) as world:
        good = {"supplier": "maker", "organisation": "aalborg", "lines": [{"model_id": 1, "quantity": 1}]}
        problem(await world.a.post(f"{API}/orders", json=good | change), 422, field)
        assert value(database, "SELECT count(*) FROM orders") == 0


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"lines": []}, 422, "lines"),
        ({"lines": [{"line_id": 1, "pieces": []}]}, 422, "lines.pieces"),
        ({"lines": [{"line_id": 1, "pieces": [{"serial": "S", "calibrated_on": "soon"}]}]}, 422, None),
        ({"lines": [{"line_id": 99, "pieces": [{"serial": "S"}]}]}, 404, None),
        ({"lines": [{"line_id": 1, "pieces": [{"serial": "S"}, {"serial": " S "}]}]}, 422, "serial"),
        ({"lines": [{"line_id": 1, "pieces": [{"serial": "S"}]}] * 2}, 422, "line_id"),
        ({"location": None}, 422, "location"),
        ({"location": "depot-b"}, 422, "location"),
        ({"received_at": "2999-01-01T00:00:00Z"}, 422, "received_at"),
    ],
)
async def test_bad_deliveries_enter_nothing(
    database: str, change: dict[str, Any], status: int, field: str | None
) -> None:
    async with logistics(database) as world:
        placed = await order(world.a, {"model_id": world.models["scale"], "quantity": 5})
        good = {"location": "depot-a", "lines": [{"line_id": placed["lines"][0]["id"], "pieces": serials("S")}]}
        problem(await world.a.post(f"{API}/orders/{placed['id']}/receipts", json=good | change), status, field)
        assert value(database, "SELECT count(*) FROM components") == 0
        assert value(database, "SELECT count(*) FROM receipts") == 0


async def test_others_get_nothing_of_it(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(world.a, {"model_id": world.models["scale"], "quantity": 5, "location": "depot-a"})
        path, line = f"{API}/orders/{placed['id']}", placed["lines"][0]["id"]
        body = {"lines": [{"line_id": line, "pieces": serials("S-1")}]}
        await made(await world.a.post(f"{path}/receipts", json=body))
        for tail, json in (
            ("/cancel", {"reason": "x"}),
            ("/receipts", {**body, "location": "depot-b"}),
            ("/lines", {"lines": [{"model_id": 1, "quantity": 1}]}),
            (f"/lines/{line}/pieces", {"serials": ["X"]}),
        ):
            problem(await world.b.post(path + tail, json=json), 404)
        problem(await world.b.get(path), 404)
        problem(await world.b.get(f"{path}/receipts"), 404)
        problem(await world.b.patch(path, json={"note": "x"}), 404)
        problem(await world.b.patch(f"{path}/lines/{line}", json={"quantity": 9}), 404)
        assert await items(world.b, "/orders") == []
        assert len(await items(world.region, "/orders", organisation="aalborg", state="open", supplier="maker")) == 1
        foreign = {"supplier": "maker", "organisation": "aalborg", "lines": [{"model_id": 1, "quantity": 1}]}
        problem(await world.b.post(f"{API}/orders", json=foreign), 422, "organisation")
        problem(await world.b.post(f"{API}/orders", json={**foreign, "organisation": "maker"}), 403)
        problem(await world.b.post(f"{API}/orders", json={**foreign, "organisation": None}), 403)
        problem(await world.auditor.post(f"{path}/cancel", json={"reason": "x"}), 403)
        assert (await world.auditor.get(path)).status_code == 200


async def test_receipts_are_never_changed(database: str) -> None:
    async with logistics(database) as world:
        placed = await order(world.a, {"model_id": world.models["scale"], "quantity": 1, "location": "depot-a"})
        body = {"lines": [{"line_id": placed["lines"][0]["id"], "pieces": serials("S-1")}]}
        await made(await world.a.post(f"{API}/orders/{placed['id']}/receipts", json=body))
    with pytest.raises(Exception, match="append-only"):
        execute(database, "UPDATE receipts SET delivery_note = 'another'")
    told = rows(
        database, "SELECT DISTINCT action FROM audit WHERE subject_kind IN ('orders', 'order_lines', 'receipts')"
    )
    assert {action for (action,) in told} >= {"orders.created", "order_lines.changed", "receipts.created"}


async def test_an_import_names_only_lines_that_are_there_and_ones_own(database: str) -> None:
    async with logistics(database) as world:
        line = {"model_id": world.models["scale"], "quantity": 5}
        mine = (await order(world.a, line))["lines"][0]["id"]
        theirs = (await order(world.b, line, organisation="hjorring"))["lines"][0]["id"]

        async def entered(number: int, model: str = "Model scale") -> int:
            lines = f"manufacturer,model,serial,organisation,order_line_id\nMaker,{model},S-1,aalborg,{number}\n"
            headers = {"Content-Type": "text/csv"}
            return (await world.a.post(f"{API}/imports/components", content=lines, headers=headers)).status_code

        assert [await entered(theirs), await entered(999), await entered(mine, "Model tablet")] == [422] * 3
        assert value(database, "SELECT count(*) FROM components") == 0
        assert await entered(mine) == 200
        assert value(database, "SELECT order_line_id FROM components") == mine
