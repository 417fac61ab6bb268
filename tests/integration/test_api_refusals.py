"""What clumsy people send: civil registration numbers in every field, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest
import structlog.testing

from fleet.api.middleware import MAX_PATH
from tests.api import api, problem

CPR = "010190-1234"
PLAIN = "0101901234"
MODEL = {"kind": "scale", "manufacturer": "Maker", "name": "S1"}


@pytest.mark.parametrize("number", [CPR, PLAIN])
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/kits", {"kit": "{}"}, "kit"),
        ("/api/v1/kits", {"kit": "K-{}-a"}, "kit"),
        ("/api/v1/kits", {"kit": "K-1", "wanted_components": {"{}": "1"}}, "wanted_components"),
        ("/api/v1/organisations", {"slug": "home-{}", "name": "Home"}, "slug"),
        ("/api/v1/locations", {"slug": "{}", "name": "Home", "kind": "depot"}, "slug"),
        ("/api/v1/tokens", {"name": "for {}", "role": "support"}, "name"),
    ],
)
async def test_what_somebody_names_is_no_civil_registration_number(
    database: str, path: str, body: dict[str, Any], field: str, number: str
) -> None:
    async with api(database) as client:
        told = problem(await client.post(path, json=_filled(body, number)), 422, field)
        assert "civil registration number" in told["detail"]


async def test_an_asset_tag_is_no_civil_registration_number_but_a_serial_number_may_be_any_ten_digits(
    database: str,
) -> None:
    async with api(database) as client:
        model = (await client.post("/api/v1/models", json=MODEL)).json()["id"]
        piece = {"model_id": model, "serial": PLAIN}
        problem(await client.post("/api/v1/components", json={**piece, "asset_tag": CPR}), 422, "asset_tag")
        assert (await client.post("/api/v1/components", json=piece)).status_code == 201


@pytest.mark.parametrize("reference", ["01.01.90-1234", "010190_1234", "01:01:90:1234", "x-01-01-90-1234"])
async def test_a_reference_is_no_civil_registration_number_whatever_its_signs(database: str, reference: str) -> None:
    async with api(database) as client:
        await client.post("/api/v1/organisations", json={"slug": "nord", "name": "Nord", "kind": "municipality"})
        sent = {"reference": reference, "organisation": "nord"}
        told = problem(await client.post("/api/v1/placements", json=sent), 422, "reference")
        assert reference not in str(told)


async def test_a_path_with_such_a_number_is_not_logged(database: str) -> None:
    async with api(database) as client:
        with structlog.testing.capture_logs() as lines:
            for path in (f"/api/v1/kits/{CPR}", f"/api/v1/locations/{PLAIN}", "/nothing/01.01.90-1234"):
                await client.get(path)
    logged = [line["path"] for line in lines if line["event"] == "request"]
    assert logged == ["/api/v1/kits/{kit}", "/api/v1/locations/{slug}", "unmatched"]


async def test_a_path_in_the_log_is_short_and_printable(database: str) -> None:
    async with api(database) as client:
        with structlog.testing.capture_logs() as lines:
            for path in ("/api/v1/kits/a%1b%5B31m%00", "/x" * 2000):
                await client.get(path)
    logged = [line["path"] for line in lines if line["event"] == "request"]
    assert logged == ["/api/v1/kits/a%1B%5B31m%00", ("/x" * 2000)[:MAX_PATH]]


async def test_a_list_tells_which_of_its_items_is_bad(database: str) -> None:
    async with api(database) as client:
        items = [{"kit": "K-1", "to": "faulty"}, {"kit": "K-2", "to": "faulty", "reason": CPR}]
        sent = {"mode": "itemised", "items": items}
        told = problem(await client.post("/api/v1/bulk-transitions", json=sent), 422, "items.reason")
        assert told["errors"][0]["pointer"] == "/items/1/reason"
        assert "(at /items/1/reason)" in told["detail"]
        assert "Value error" not in told["detail"]


async def test_spaces_are_no_name_and_no_reason(database: str) -> None:
    async with api(database) as client:
        for path in ("organisations", "locations"):
            sent = {"slug": "nord", "name": "  ", "kind": "other"}
            problem(await client.post(f"/api/v1/{path}", json=sent), 422, "name")
        await client.post("/api/v1/kits", json={"kit": "K-1"})
        sent = {"to": "scrapped", "reason": "   "}
        problem(await client.post("/api/v1/kits/K-1/transitions", json=sent), 422, "reason")
        sent = {"slug": "nord", "name": "", "kind": "other"}
        told = problem(await client.post("/api/v1/organisations", json=sent), 422, "name")
        assert told["detail"] == "name: is empty"


async def test_no_blank_sheet_of_labels_is_printed_for_a_place_that_is_not_there(database: str) -> None:
    async with api(database) as client:
        problem(await client.get("/api/v1/labels?location=nowhere"), 422, "location")
        await client.post("/api/v1/locations", json={"slug": "depot", "name": "Depot", "kind": "depot"})
        for kit, state in (("K-1", "scrapped"), ("K-2", "in_stock")):
            await client.post("/api/v1/kits", json={"kit": kit, "state": state, "location": "depot"})
        sheet = await client.get("/api/v1/labels?location=depot")
        assert "K-2" in sheet.text
        assert "K-1" not in sheet.text


async def test_texts_say_what_to_do(database: str) -> None:
    async with api(database) as client:
        await client.post("/api/v1/kits", json={"kit": "K-1"})
        step = "/api/v1/kits/K-1/transitions"
        assert (await client.post(step, json={"to": "preparing"})).status_code == 200
        told = problem(await client.post(step, json={"to": "preparing"}), 409)
        assert told["detail"].startswith("it is preparing already; allowed: ready")
        swap = await client.post("/api/v1/kits/K-1/swaps", json={"outgoing": 1})
        assert "for example faulty" in problem(swap, 422, "state")["detail"]


def _filled(value: Any, number: str) -> Any:
    if isinstance(value, dict):
        return {_filled(key, number): _filled(each, number) for key, each in value.items()}
    return value.format(number) if isinstance(value, str) else value
