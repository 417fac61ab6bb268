"""Stock and orders on their pages without a browser: what is where, what to order, and receiving in parts."""

from __future__ import annotations

from typing import Any

from tests.findings_world import opened
from tests.logistics_world import API, World, day, items, logistics, made, order, stocked
from tests.support import rows, value


async def two_lines(at: World, **more: Any) -> Any:
    """An order of three scales and two tablets; only the scales know where they go."""
    lines: list[dict[str, Any]] = [
        {"model_id": at.models["scale"], "quantity": 3, "location": "depot-a", "expected_on": day(3)},
        {"model_id": at.models["tablet"], "quantity": 2},
    ]
    return await order(at.a, *lines, reference="R-77", **more)


def delivery(ordered: Any, scales: str = "", tablets: str = "", **more: str) -> dict[str, Any]:
    """The form of a delivery."""
    lines = [str(line["id"]) for line in ordered["lines"]]
    return {"line": lines, "serials": [scales, tablets], "calibrated": ["2026-11-01", ""], **more}


async def test_an_order_is_received_in_parts(database: str) -> None:
    async with logistics(database) as at:
        ordered = await two_lines(at)
        address = f"/orders/{ordered['id']}"
        assert address in (await at.a.get("/orders")).text
        page = await at.a.get(address, headers={"Accept-Language": "da"})
        assert "3 mangler" in page.text
        part = delivery(ordered, "SC-1\r\n(01)05712345678901(21)SC-2\r\n", delivery_note="N-1")
        done = await at.a.post(f"{address}/receive", data=part)
        assert done.status_code == 303, done.text
        assert rows(database, "SELECT serial, calibrated_on::text FROM components ORDER BY serial") == [
            ("SC-1", "2026-11-01"),
            ("SC-2", "2026-11-01"),
        ]
        page = await at.a.get(address)
        assert "2 of 3" in page.text
        assert "N-1" in page.text
        rest = delivery(ordered, "SC-3", "T-1\nT-2", location="shelf-a")
        assert (await at.a.post(f"{address}/receive", data=rest)).status_code == 303
        assert value(database, "SELECT state FROM orders") == "received"
        assert "/receive" not in (await at.a.get(address)).text
        assert address in (await at.a.get("/orders", params={"state": "received"})).text


async def test_what_is_wrong_stands_beside_its_line(database: str) -> None:
    async with logistics(database) as at:
        ordered = await two_lines(at)
        scales, tablets = (line["id"] for line in ordered["lines"])
        address = f"/orders/{ordered['id']}/receive"
        for form, field, said in (
            (delivery(ordered, "A\nB\nA"), f"line-{scales}", "Stands twice: A"),
            (delivery(ordered, "A\nB\nC\nD"), f"line-{scales}", "4 came and 3 were to come."),
            (delivery(ordered, "", "T-1"), "location", "the order does not"),
            (delivery(ordered, "A", location="nowhere"), "location", "There is no such place."),
            (delivery(ordered, "010190-1234"), f"line-{scales}", "That is no serial number"),
            (delivery(ordered), "nothing", "Scan or type what came."),
            ({**delivery(ordered, "A"), "calibrated": ["yesterday", ""]}, f"line-{scales}-calibrated", "no day"),
            (delivery(ordered, "A", "T-9", delivery_note="010190-1234", location="depot-a"), "delivery_note", "CPR"),
        ):
            page = await at.a.post(address, data=form)
            assert page.status_code == 422, said
            assert f'id="wrong-{field}"' in page.text
            assert said in page.text or said == "CPR"
            assert form["serials"][0].split("\n")[0] in page.text
        assert value(database, "SELECT count(*) FROM components") == 0
        more = delivery(ordered, "A\nB\nC\nD", accept_excess="yes")
        assert (await at.a.post(address, data=more)).status_code == 303
        taken = delivery(ordered, "", "A", location="depot-a")
        await stocked(at, "tablet", "T-1")
        taken["serials"][1] = "T-1"
        page = await at.a.post(address, data=taken)
        assert page.status_code == 409
        assert "T-1" in page.text
        assert tablets


async def test_what_was_announced_is_one_tick(database: str) -> None:
    async with logistics(database) as at:
        ordered = await two_lines(at)
        line = ordered["lines"][1]["id"]
        path = f"{API}/orders/{ordered['id']}/lines/{line}/pieces"
        await made(await at.a.post(path, json={"serials": ["T-1", "T-2"]}))
        page = await at.a.get(f"/orders/{ordered['id']}")
        assert "T-1, T-2" in page.text
        form = delivery(ordered, "", "T-1", announced=str(line), location="depot-a")
        assert (await at.a.post(f"/orders/{ordered['id']}/receive", data=form)).status_code == 303
        assert value(database, "SELECT count(*) FROM components WHERE state = 'in_stock'") == 2


async def test_the_rest_is_called_off(database: str) -> None:
    async with logistics(database) as at:
        ordered = await two_lines(at)
        address = f"/orders/{ordered['id']}"
        page = await at.a.post(f"{address}/cancel", data={"reason": ""})
        assert page.status_code == 422
        assert 'id="wrong-reason"' in page.text
        assert (await at.a.post(f"{address}/cancel", data={"reason": "too late"})).status_code == 303
        assert "too late" in (await at.a.get(address)).text
        late = await at.a.post(f"{address}/receive", data=delivery(ordered, "A"))
        assert late.status_code in (409, 422)
        assert (await at.auditor.get(address)).status_code == 200
        assert (await at.auditor.post(f"{address}/receive", data=delivery(ordered, "A"))).status_code == 403
        assert (await at.b.get(address)).status_code == 404
        assert (await at.b.post(f"{address}/receive", data=delivery(ordered, "A"))).status_code == 404
        assert (await at.b.post(f"{address}/cancel", data={"reason": "x"})).status_code == 404


async def test_stock_tells_what_is_to_be_ordered(database: str) -> None:
    async with logistics(database) as at:
        await stocked(at, "scale", "SC-1", "SC-2")
        await stocked(at, "oximeter", "OX-1", location="shelf-a")
        minimum = {"model_id": at.models["scale"], "location": "depot-a", "minimum": 5, "target": 9}
        await made(await at.a.post(f"{API}/stock/minimums", json=minimum))
        page = await at.a.get("/stock")
        assert "not noticed yet" in page.text
        assert "Model oximeter" in page.text
        only = await at.a.get("/stock", params={"kind": "scale", "location": "depot-a"})
        assert "Model oximeter" not in only.text
        await compare(at)
        (finding,) = await items(at.a, "/findings", kind="below_minimum")
        assert f"/stock/findings/{finding['id']}/acknowledge" in (await at.a.get("/stock")).text
        assert f"/stock/findings/{finding['id']}/acknowledge" not in (await at.auditor.get("/stock")).text
        assert (await at.b.post(f"/stock/findings/{finding['id']}/acknowledge")).status_code == 404
        assert (await at.a.post(f"/stock/findings/{finding['id']}/acknowledge")).status_code == 303
        assert "taken care of" in (await at.a.get("/stock")).text
        assert "Model scale" not in (await at.b.get("/stock")).text


async def compare(at: World) -> None:
    """Let the worker look at the books once."""
    async with opened(at.database) as books:
        await books.compare()
