"""Scan and move without a browser: what codes mean, what is offered for all, and what became of each."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.logistics_world import API, World, logistics, made, move, piece, stocked
from tests.support import value


async def kit(at: World, name: str, state: str = "in_stock", **more: Any) -> None:
    """A kit of the municipality in its depot."""
    body = {"kit": name, "organisation": "aalborg", "location": "depot-a", **more}
    await made(await at.admin.post(f"{API}/kits", json=body))
    if state == "preparing":
        await made(await at.admin.post(f"{API}/kits/{name}/transitions", json={"to": "preparing"}))


async def scan(client: httpx.AsyncClient, *codes: str, path: str = "/scan", **fields: Any) -> httpx.Response:
    """Send the page's form."""
    return await client.post(path, data={"code": list(codes), **fields})


def listed(page: httpx.Response, name: str = "items") -> list[str]:
    """What the page carries on."""
    return re.findall(rf'name="{name}" value="([^"]*)"', page.text)


def offered(page: httpx.Response) -> list[str]:
    """The acts of the list on the page."""
    return [each for each in re.findall(r'<option value="([^"]+)"', page.text) if each == "move" or "step:" in each]


async def test_everything_on_a_label_is_understood(database: str) -> None:
    async with logistics(database) as at:
        await kit(at, "K-0001")
        (tablet,) = await stocked(at, "tablet", "TAB-1", imei="490154203237518", asset_tag="AT-9")
        (scale,) = await stocked(at, "scale", "SC-8877")
        page = await scan(at.a, "K-0001", "490154203237518", "8877")
        assert page.status_code == 200
        assert listed(page) == [f"c:{scale}", f"c:{tablet}", "k:K-0001"]
        assert "depot-a" in page.text
        again = await scan(at.a, "AT-9", "TAB-1", "k-0001", items=listed(page))
        assert listed(again) == listed(page)
        assert again.text.count("stands on the list already") == 3
        less = await scan(at.a, "", items=listed(page), drop="k:K-0001")
        assert listed(less) == [f"c:{scale}", f"c:{tablet}"]
        many = await scan(at.a, *["TAB-1"] * 60, "SC-8877")
        assert listed(many) == [f"c:{scale}", f"c:{tablet}"]
        link = await scan(at.a, "https://fleet.example.dk/kits/K-0001", "(01)05712345678901(21)SC-8877")
        assert listed(link) == [f"c:{scale}", "k:K-0001"]


async def test_what_is_unknown_or_unclear_is_shown_as_such(database: str) -> None:
    async with logistics(database) as at:
        first, second = await stocked(at, "scale", "A-1234", "B-1234")
        page = await scan(at.a, "1234", "nowhere")
        assert listed(page) == []
        assert listed(page, "asked") == [f"c:{first} c:{second}=1234", "=nowhere"]
        assert "Which one is meant by 1234?" in page.text
        assert "nowhere is not known" in page.text
        picked = await scan(at.a, "", asked=listed(page, "asked"), pick=f"c:{second}=1234")
        assert listed(picked) == [f"c:{second}"]
        assert listed(picked, "asked") == ["=nowhere"]
        done = await scan(at.a, "", items=listed(picked), asked=listed(picked, "asked"), drop="=nowhere")
        assert listed(done, "asked") == []
        theirs = await scan(at.b, "1234", "A-1234", items=[f"c:{first}"], asked=[f"c:{first}=1234"])
        assert listed(theirs) == []
        assert "Model scale" not in theirs.text


async def test_a_civil_registration_number_is_not_kept(database: str) -> None:
    async with logistics(database) as at:
        page = await scan(at.a, "010190-1234")
        assert "010190" not in page.text
        assert "not kept" in page.text


async def test_only_what_all_can_do_is_offered(database: str) -> None:
    async with logistics(database) as at:
        await kit(at, "K-1")
        await kit(at, "K-2", "preparing")
        one, two = await stocked(at, "scale", "SC-1", "SC-2")
        assert "step:preparing" in offered(await scan(at.a, "K-1"))
        both = offered(await scan(at.a, "K-1", "K-2"))
        assert both == ["move", "step:scrapped", "step:lost", "step:returned"]
        await made(await at.admin.post(f"{API}/components/{one}/calibrations", json=_calibration()))
        await made(await at.admin.post(f"{API}/kits/K-2/swaps", json={"incoming": one}))
        held = await scan(at.a, "SC-1", "SC-2")
        assert "move" not in offered(held)
        assert "step:in_kit" not in offered(held)
        assert "Swap the pieces in K-2" in held.text
        refused = await scan(at.a, path="/scan/act", items=["k:K-1", "k:K-2"], do="step:preparing", act="do")
        assert refused.status_code == 422
        assert 'id="wrong-do"' in refused.text
        assert (await at.auditor.get("/scan")).status_code == 403
        assert two


def _calibration() -> dict[str, str]:
    return {"done_on": "2026-11-01", "by": "workshop", "result": "pass"}


async def test_things_are_moved_after_a_trial(database: str) -> None:
    async with logistics(database) as at:
        await kit(at, "K-1")
        (scale,) = await stocked(at, "scale", "SC-1")
        items = ["k:K-1", f"c:{scale}"]
        asked: dict[str, Any] = {"path": "/scan/act", "items": items, "do": "move"}
        for wrong in ({"location": ""}, {"location": "no-such-place"}):
            page = await scan(at.a, **asked, **wrong, reason="to the shelf", act="do")
            assert page.status_code == 422
            assert 'aria-describedby="wrong-location"' in page.text
            assert listed(page) == items
            assert 'value="to the shelf"' in page.text
            assert "look at the marked fields" in page.text
        tried = await scan(at.a, **asked, location="shelf-a", act="try")
        assert tried.status_code == 200
        assert tried.text.count("can be moved") == 2
        assert (await piece(at, scale))["location"] == "depot-a"
        done = await scan(at.a, **asked, location="shelf-a", act="do")
        assert done.status_code == 200
        assert "Done: 2, refused: 0." in done.text
        assert (await piece(at, scale))["location"] == "shelf-a"
        assert value(database, "SELECT slug FROM kits JOIN locations USING (location_id)") == "shelf-a"
        twice = await scan(at.a, **asked, location="shelf-a", act="do")
        assert twice.text.count("is there already") == 2


async def test_all_or_nothing_and_each_by_itself(database: str) -> None:
    async with logistics(database) as at:
        await kit(at, "K-1", "preparing")
        await kit(at, "K-2", "preparing", kit_type=None)
        (scale,) = await stocked(at, "scale", "SC-1")
        await made(await at.admin.post(f"{API}/components/{scale}/calibrations", json=_calibration()))
        await made(await at.admin.post(f"{API}/kits/K-1/swaps", json={"incoming": scale}))
        asked: dict[str, Any] = {"path": "/scan/act", "items": ["k:K-1", "k:K-2"], "do": "step:scrapped"}
        page = await scan(at.a, **asked, act="do")
        assert 'id="wrong-reason"' in page.text
        page = await scan(at.a, **asked, act="do", reason="broken")
        assert page.status_code == 409
        assert "Nothing was done: 1 refused." in page.text
        assert "SC-1" in page.text or "piece" in page.text
        assert value(database, "SELECT count(*) FROM kits WHERE state = 'scrapped'") == 0
        page = await scan(at.a, **asked, act="do", reason="broken", mode="itemised")
        assert "Done: 1, refused: 1." in page.text
        assert value(database, "SELECT kit FROM kits WHERE state = 'scrapped'") == "K-2"
        danish = await at.a.post("/scan/act", data={**_data(asked), "act": "try"}, headers={"Accept-Language": "da"})
        assert danish.status_code == 422


def _data(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in asked.items() if name != "path"}


async def test_two_make_a_swap(database: str) -> None:
    async with logistics(database) as at:
        await kit(at, "K-1", "preparing")
        old, new = await stocked(at, "scale", "SC-1", "SC-2")
        for each in (old, new):
            await made(await at.admin.post(f"{API}/components/{each}/calibrations", json=_calibration()))
        into: dict[str, Any] = {"path": "/scan/swap", "items": ["k:K-1", f"c:{old}"]}
        tried = await scan(at.a, **into, act="try")
        assert "goes into K-1" in tried.text
        assert (await piece(at, old))["kit"] is None
        done = await scan(at.a, **into, act="do")
        assert done.status_code == 200
        assert (await piece(at, old))["kit"] == "K-1"
        pair: dict[str, Any] = {"path": "/scan/swap", "items": [f"c:{old}", f"c:{new}"]}
        page = await scan(at.a, **pair, act="do")
        assert page.status_code == 422
        assert 'id="wrong-state"' in page.text
        page = await scan(at.a, **pair, act="do", state="faulty", location="shelf-a")
        assert "swapped in K-1" in page.text
        assert (await piece(at, old))["state"] == "faulty"
        assert (await piece(at, old))["location"] == "shelf-a"
        assert (await piece(at, new))["kit"] == "K-1"
        out = await scan(at.a, path="/scan/swap", items=["k:K-1", f"c:{new}"], act="do", state="cleaning")
        assert out.status_code == 200
        assert (await piece(at, new))["state"] == "cleaning"
        none = await scan(at.a, path="/scan/swap", items=[f"c:{old}", f"c:{new}"], act="do")
        assert none.status_code == 409
        assert "make no swap" in none.text


async def test_what_the_form_carries_is_no_way_to_what_others_have(database: str) -> None:
    async with logistics(database) as at:
        await kit(at, "K-1")
        (scale,) = await stocked(at, "scale", "SC-1")
        items = ["k:K-1", f"c:{scale}"]
        for path, more in (
            ("/scan/act", {"do": "move", "location": "depot-b"}),
            ("/scan/act", {"do": "step:lost", "reason": "x"}),
            ("/scan/swap", {"state": "faulty"}),
        ):
            page = await scan(at.b, path=path, items=items, act="do", **more)
            assert page.status_code == 409
            assert "K-1" not in page.text
        await move(at, scale, "faulty")
        assert value(database, "SELECT state FROM kits") == "in_stock"
