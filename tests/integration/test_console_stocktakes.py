"""Counting a place on its page without a browser: scans, what differs, and closing."""

from __future__ import annotations

import re

import httpx

from tests.integration.test_console_scanning import kit, listed
from tests.logistics_world import World, logistics, move, piece, stocked
from tests.support import rows, value


async def begun(at: World, client: httpx.AsyncClient) -> str:
    """The address of a stock-take of the depot."""
    answer = await client.post("/stocktakes", data={"location": "depot-a", "note": "spring"})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def counts(page: httpx.Response) -> dict[str, int]:
    """Items by finding, as the page shows them."""
    found = re.findall(r'\?finding=(\w+)"[^>]*>[^<]*<strong>(\d+)</strong>', page.text)
    return {finding: int(count) for finding, count in found}


async def test_a_place_is_counted_and_closed(database: str) -> None:
    async with logistics(database) as at:
        await kit(at, "K-0001")
        here, gone = await stocked(at, "scale", "SC-0001", "SC-0009")
        (elsewhere,) = await stocked(at, "oximeter", "OX-0003", location="shelf-a")
        (lost,) = await stocked(at, "oximeter", "OX-0004", location="shelf-a")
        await move(at, lost, "lost", reason="not there")
        page = await at.a.get(address := await begun(at, at.a))
        assert counts(page) == {"present": 0, "missing": 3, "misplaced": 0, "extra": 0, "unknown": 0}
        codes = ["k-0001", "SC-0001", "SC-0001", "OX-0003", "0004", "what"]
        page = await at.a.post(f"{address}/scan", data={"code": codes})
        assert page.status_code == 200
        assert counts(page) == {"present": 2, "missing": 1, "misplaced": 1, "extra": 1, "unknown": 1}
        assert "SC-0001: was noted before." in page.text
        assert "what: nobody knows this code" in page.text
        chosen = {"resolve": ["", f"c:{gone}=lost", f"c:{lost}=found"], "move_all": "yes"}
        assert all(f'value="{each}"' in page.text for each in chosen["resolve"] if each)
        for missing, fields in (("reason", {"sure": "yes"}), ("sure", {"reason": "counted twice"})):
            refused = await at.a.post(f"{address}/close", data={**chosen, **fields})
            assert refused.status_code == 422
            assert f'id="wrong-{missing}"' in refused.text
            assert f'value="c:{gone}=lost" selected' in refused.text
        only = await at.a.get(address, params={"finding": "present"})
        assert "K-0001" in only.text
        done = await at.a.post(f"{address}/close", data={**chosen, "reason": "counted twice", "sure": "yes"})
        assert done.status_code == 303, done.text
        assert (await piece(at, gone))["state"] == "lost"
        assert (await piece(at, elsewhere))["location"] == "depot-a"
        assert (await piece(at, lost))["state"] == "cleaning"
        assert (await piece(at, here))["location"] == "depot-a"
        after = await at.a.get(address, headers={"Accept-Language": "da"})
        assert "afskrevet som bortkommet" in after.text
        assert 'name="code"' not in after.text
        late = await at.a.post(f"{address}/scan", data={"code": ["SC-0001"]})
        assert late.status_code == 200
        assert 'name="code"' not in late.text
        again = await at.a.post(f"{address}/close", data={"sure": "yes"})
        assert again.status_code == 409
        assert "That was not done" in again.text


async def test_an_unclear_code_is_asked_about(database: str) -> None:
    async with logistics(database) as at:
        first, second = await stocked(at, "scale", "A-1234", "B-1234")
        address = await begun(at, at.a)
        page = await at.a.post(f"{address}/scan", data={"code": ["1234", "010190-1234"]})
        assert listed(page, "asked") == [f"c:{first} c:{second}=1234"]
        assert "010190" not in page.text
        assert rows(database, "SELECT code FROM stocktake_scans") == []
        asked = {"asked": listed(page, "asked"), "pick": f"c:{second}=1234"}
        page = await at.a.post(f"{address}/scan", data=asked)
        assert listed(page, "asked") == []
        assert value(database, "SELECT component_id FROM stocktake_scans") == second
        given_up = await at.a.post(f"{address}/cancel")
        assert given_up.status_code == 303
        assert "given up" in (await at.a.get(address)).text


async def test_a_place_is_counted_once_at_a_time(database: str) -> None:
    async with logistics(database) as at:
        address = await begun(at, at.a)
        for location in ("depot-a", "", "nowhere"):
            page = await at.a.post("/stocktakes", data={"location": location, "note": "autumn"})
            assert page.status_code == 422
            assert 'id="wrong-location"' in page.text
            assert 'value="autumn"' in page.text
        assert address in (await at.a.get("/stocktakes")).text
        assert address not in (await at.a.get("/stocktakes", params={"state": "closed"})).text
        assert (await at.auditor.get(address)).status_code == 200
        assert (await at.auditor.post(f"{address}/scan", data={"code": ["x"]})).status_code == 403
        for path, data in (("", None), ("/scan", {"code": ["x"]}), ("/close", {"sure": "yes"}), ("/cancel", {})):
            answer = await (at.b.get(address) if data is None else at.b.post(address + path, data=data))
            assert answer.status_code == 404, path
