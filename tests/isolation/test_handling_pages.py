"""The pages of those who handle and count things: what one does not see is not there, whatever a form carries."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from fleet.access.roles import Role
from tests.isolation.asking import NOBODY, UNKNOWN_NUMBER
from tests.isolation.test_routes import as_, digests
from tests.isolation.world import ELSEWHERE, OF_A, OF_B, OPERATOR, A, B, Caller

API = "/api/v1"
STRANGERS = (OF_A, Caller(Role.LOGISTICS, A), Caller(Role.ADMIN, OPERATOR), Caller(Role.ADMIN, ELSEWHERE))
LISTS = ("/scan", "/stock", "/orders", "/stocktakes", "/stocktakes?state=closed", "/lists", "/lessons")


async def numbers(own: httpx.AsyncClient, path: str) -> list[int]:
    """What the owner's list holds, by number."""
    answer = await own.get(f"{API}/{path}", params={"limit": 500})
    return [each["id"] for each in answer.json()["items"]]


def told(answer: httpx.Response, *names: Any) -> tuple[int, str]:
    """An answer without what was asked for, and without the form's own token."""
    text = re.sub(r'name="csrf" value="[^"]*"', "", answer.text)
    for name in sorted(map(str, names), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text)
    return answer.status_code, text


@pytest.mark.parametrize("who", STRANGERS, ids=str)
async def test_a_code_of_others_is_one_that_nobody_knows(own_world: str, who: Caller) -> None:
    async with as_(own_world, OF_B, who) as (own, stranger):
        pieces = (await own.get(f"{API}/components", params={"limit": 5})).json()["items"]
        codes = [f"{B}-stock", f"{B}-installed", *(each["serial"] for each in pieces)]
        seen = await own.post("/scan", data={"code": codes[:1]})
        assert f"k:{B}-stock" in seen.text
        for code in codes:
            nobody = code.replace(B, NOBODY)
            answer = await stranger.post("/scan", data={"code": [code]})
            compared = await stranger.post("/scan", data={"code": [nobody]})
            assert told(answer, code) == told(compared, nobody)


@pytest.mark.parametrize("who", STRANGERS, ids=str)
async def test_what_a_form_carries_changes_nothing_of_others(own_world: str, who: Caller) -> None:
    async with as_(own_world, OF_B, who) as (own, stranger):
        pieces = await numbers(own, "components")
        before = digests(own_world, B)
        items = [f"k:{B}-stock", f"k:{B}-installed", *(f"c:{each}" for each in pieces[:20])]
        asked = [" ".join(items[:3]) + "=x"]
        place = f"{B}-van"
        for path, fields in (
            ("/scan", {}),
            ("/scan", {"pick": f"{items[0]}=x"}),
            ("/scan/act", {"do": "move", "location": place, "act": "do", "mode": "itemised"}),
            ("/scan/act", {"do": "step:lost", "reason": "x", "act": "do", "mode": "itemised"}),
            ("/scan/swap", {"state": "faulty", "act": "do"}),
        ):
            answer = await stranger.post(path, data={"items": items, "asked": asked, **fields})
            assert answer.status_code in (200, 409, 422)
            assert B not in answer.text.replace(place, "")
        assert digests(own_world, B) == before


@pytest.mark.parametrize("who", STRANGERS, ids=str)
async def test_pages_of_others_are_not_there(own_world: str, who: Caller) -> None:
    async with as_(own_world, OF_B, who) as (own, stranger):
        order, stocktake = (await numbers(own, "orders"))[0], (await numbers(own, "stocktakes"))[0]
        before = digests(own_world, B)
        for path, data in (
            (f"/orders/{order}", None),
            (f"/orders/{order}/receive", {"line": ["1"], "serials": ["x"], "calibrated": [""]}),
            (f"/orders/{order}/cancel", {"reason": "x"}),
            (f"/stocktakes/{stocktake}", None),
            (f"/stocktakes/{stocktake}/scan", {"code": ["x"]}),
            (f"/stocktakes/{stocktake}/close", {"sure": "yes"}),
            (f"/stocktakes/{stocktake}/cancel", {}),
            (f"/stock/findings/{UNKNOWN_NUMBER}/acknowledge", {}),
            (f"/contracts/{B}-contract/escalations", None),
            (f"/contracts/{B}-contract/escalations", {"revision": "1"}),
        ):
            answer = await (stranger.get(path) if data is None else stranger.post(path, data=data))
            # A role without the permission is told so before anything is looked for.
            assert answer.status_code == 404 or (who.role is Role.LOGISTICS and answer.status_code == 403), path
            assert B not in answer.text.replace(f"{B}-contract", "")
            if data is None:
                assert (await own.get(path)).status_code == 200, path
        for path in LISTS:
            answer = await stranger.get(path)
            assert answer.status_code == 200, path
            assert B not in answer.text, path
        begun = await stranger.post("/stocktakes", data={"location": f"{B}-depot"})
        assert begun.status_code == 422
        assert digests(own_world, B) == before
