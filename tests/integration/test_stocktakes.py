"""Stock-takes: what is scanned against what the books say, and what is done about it item by item."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.api import pages, problem
from tests.logistics_world import API, World, events_of, items, logistics, made, move, piece, stocked
from tests.support import execute, rows, value


async def begun(world: World, client: httpx.AsyncClient | None = None, **more: Any) -> str:
    """The path of a new stock-take of the depot of municipality A."""
    body = {"location": "depot-a", **more}
    return f"{API}/stocktakes/{(await made(await (client or world.a).post(f'{API}/stocktakes', json=body)))['id']}"


async def scanned(world: World, path: str, *codes: str, **more: Any) -> list[str]:
    """The outcome of each code."""
    answer = await made(await world.a.post(f"{path}/scans", json={"codes": list(codes), **more}))
    return [each["outcome"] for each in answer["items"]]


async def findings(world: World, path: str) -> dict[str, str]:
    """Finding of each item, by name."""
    return {each["name"]: each["finding"] for each in await pages(world.a, f"{path}/result", limit=2)}


async def kit(world: World, name: str, location: str | None = "depot-a", **more: Any) -> None:
    """A kit that stands somewhere."""
    body = {"kit": name, "organisation": "aalborg", "location": location, **more}
    await made(await world.admin.post(f"{API}/kits", json={key: value for key, value in body.items() if value}))


async def test_everything_that_can_be_found_is_found(database: str) -> None:
    async with logistics(database) as world:
        there, missing, lost = await stocked(world, "scale", "S-0001", "S-0002", "S-0003")
        await stocked(world, "scale", "S-0004", location="shelf-a")
        await move(world, lost, "lost", reason="nowhere to be seen")
        await kit(world, "K-1")
        await kit(world, "K-2")
        await kit(world, "K-3", location="shelf-a")
        path = await begun(world, note="spring")
        assert await scanned(world, path, "S-0001", "S-0004", "S-0003", "K-1", "K-3", "what is this") == [
            "recorded",
            "recorded",
            "recorded",
            "recorded",
            "recorded",
            "unknown",
        ]
        assert await scanned(world, path, "S-0001", "what is this") == ["repeated", "unknown"]
        wanted = {
            "S-0001": "present",
            "S-0002": "missing",
            "S-0003": "extra",
            "S-0004": "misplaced",
            "K-1": "present",
            "K-2": "missing",
            "K-3": "misplaced",
            "what is this": "unknown",
        }
        assert await findings(world, path) == wanted
        counts = {"present": 2, "missing": 2, "misplaced": 2, "extra": 1, "unknown": 1}
        assert (await made(await world.a.get(path)))["counts"] == counts
        closed = await made(await world.a.post(f"{path}/close", json={}))
        assert (closed["state"], closed["counts"]) == ("closed", counts)
        await move(world, missing, "scrapped", reason="no use")
        assert await findings(world, path) == wanted
        (one,) = await items(world.a, path.removeprefix(API) + "/result", finding="extra")
        assert (one["component_id"], one["state"], one["location"], one["kind"]) == (lost, "lost", None, "scale")
        assert (await piece(world, there))["state"] == "in_stock"
        problem(await world.a.post(f"{path}/scans", json={"codes": ["S-0001"]}), 409)
        problem(await world.a.post(f"{path}/close", json={}), 409)
        assert len(await items(world.a, path.removeprefix(API) + "/scans")) == 6


async def test_only_what_is_asked_for_is_moved_or_written_off(database: str) -> None:
    async with logistics(database) as world:
        missing, kept = await stocked(world, "scale", "S-0001", "S-0002")
        moved, stays = await stocked(world, "scale", "S-0003", "S-0004", location="shelf-a")
        (found,) = await stocked(world, "oximeter", "O-0001")
        await move(world, found, "lost", reason="gone")
        await kit(world, "K-1", location="shelf-a")
        await kit(world, "K-2")
        path = await begun(world)
        await scanned(world, path, "S-0003", "S-0004", "O-0001", "K-1")
        resolutions = [
            {"action": "lost", "component_id": missing, "reason": "not on the shelf"},
            {"action": "move", "component_id": moved},
            {"action": "found", "component_id": found},
            {"action": "move", "kit": "K-1"},
            {"action": "lost", "kit": "K-2", "reason": "not on the shelf"},
        ]
        await made(await world.a.post(f"{path}/close", json={"resolutions": resolutions}))
        where = {
            number: ((await piece(world, number))["state"], (await piece(world, number))["location"])
            for number in (missing, kept, moved, stays, found)
        }
        assert where == {
            missing: ("lost", None),
            kept: ("in_stock", "depot-a"),
            moved: ("in_stock", "depot-a"),
            stays: ("in_stock", "shelf-a"),
            found: ("cleaning", "depot-a"),
        } | {missing: ("lost", where[missing][1])}
        assert ("location", None, None) in events_of(database, moved)
        kits = {each["kit"]: each for each in await items(world.a, "/kits")}
        assert (kits["K-1"]["state"], kits["K-1"]["location"]) == ("in_stock", "depot-a")
        assert kits["K-2"]["state"] == "lost"
        told = {each["name"]: (each["finding"], each["resolution"]) for each in await pages(world.a, f"{path}/result")}
        assert told["S-0001"] == ("missing", "lost")
        assert told["S-0003"] == ("misplaced", "moved")
        assert told["S-0004"] == ("misplaced", None)
        assert told["O-0001"] == ("extra", "found")
        assert told["K-1"] == ("misplaced", "moved")


@pytest.mark.parametrize(
    ("resolution", "status", "field"),
    [
        ({"action": "lost", "component_id": 1}, 422, "reason"),
        ({"action": "move", "component_id": 1}, 422, "action"),
        ({"action": "lost", "component_id": 99, "reason": "x"}, 422, "resolutions"),
        ({"action": "lost"}, 422, "component_id"),
        ({"action": "lost", "component_id": 1, "kit": "K-1", "reason": "x"}, 422, "component_id"),
        ({"action": "burn", "component_id": 1}, 422, "resolutions.action"),
        ({"action": "found", "component_id": 2}, 409, None),
    ],
)
async def test_a_closing_that_cannot_be_changes_nothing(
    database: str, resolution: dict[str, Any], status: int, field: str | None
) -> None:
    async with logistics(database) as world:
        await stocked(world, "scale", "S-0001")
        (scrapped, misplaced) = await stocked(world, "scale", "S-0002", "S-0003", location="shelf-a")
        await move(world, scrapped, "scrapped", reason="broken")
        path = await begun(world)
        await scanned(world, path, "S-0002", "S-0003")
        good = {"action": "move", "component_id": misplaced}
        answer = await world.a.post(f"{path}/close", json={"resolutions": [good, resolution]})
        problem(answer, status, field)
        assert (await made(await world.a.get(path)))["state"] == "open"
        assert (await piece(world, misplaced))["location"] == "shelf-a"
        assert value(database, "SELECT count(*) FROM stocktake_results") == 0


async def test_an_ambiguous_code_is_asked_about(database: str) -> None:
    async with logistics(database) as world:
        first, second = await stocked(world, "scale", "A-4711", "B-4711")
        (other,) = await stocked(world, "oximeter", "A-4711", asset_tag="TAG-9")
        await kit(world, "K-0815")
        path = await begun(world)
        answer = await made(await world.a.post(f"{path}/scans", json={"codes": ["4711", "A-4711", "0815", "TAG-9"]}))
        tail, serial, unique, tag = answer["items"]
        assert tail["outcome"] == "ambiguous"
        assert {each["component_id"] for each in tail["candidates"]} == {first, second, other}
        assert serial["outcome"] == "ambiguous"
        assert {each["model"] for each in serial["candidates"]} == {"Model scale", "Model oximeter"}
        assert (unique["outcome"], unique["candidates"][0]["kit"]) == ("recorded", "K-0815")
        assert (tag["outcome"], tag["candidates"][0]["component_id"]) == ("recorded", other)
        assert value(database, "SELECT count(*) FROM stocktake_scans") == 2
        assert await scanned(world, path, component_ids=[first, other]) == ["recorded", "repeated"]
        problem(await world.a.post(f"{path}/scans", json={"component_ids": [999]}), 422, "component_ids")
        problem(await world.a.post(f"{path}/scans", json={"kits": ["K-none"]}), 422, "kits")
        assert (await findings(world, path))["K-0815"] == "present"


async def test_a_code_that_may_be_a_civil_registration_number_is_not_kept(database: str) -> None:
    async with logistics(database) as world:
        await stocked(world, "scale", "0101701234")
        path = await begun(world)
        assert await scanned(world, path, "0101701234", "0202701234") == ["recorded", "refused"]
        assert rows(database, "SELECT code FROM stocktake_scans") == [("0101701234",)]


async def test_a_piece_in_a_kit_is_where_the_kit_is(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "scale", "S-0001")
        for name, location in (("K-1", "depot-a"), ("K-2", "shelf-a")):
            await kit(world, name, location=location)
        await made(await world.admin.post(f"{API}/kits/K-1/transitions", json={"to": "preparing"}))
        swap = {"incoming": number, "override": True, "reason": "new"}
        await made(await world.admin.post(f"{API}/kits/K-1/swaps", json=swap))
        path = await begun(world)
        assert await findings(world, path) == {"K-1": "missing"}
        await scanned(world, path, "S-0001")
        assert await findings(world, path) == {"K-1": "missing", "S-0001": "present"}
        await made(await world.admin.post(f"{API}/kits/K-1/moves", json={"location": "shelf-a"}))
        assert await findings(world, path) == {"S-0001": "misplaced"}
        asked = {"resolutions": [{"action": "move", "component_id": number}]}
        problem(await world.a.post(f"{path}/close", json=asked), 409)


async def test_one_count_of_a_place_at_a_time(database: str) -> None:
    async with logistics(database) as world:
        path = await begun(world)
        problem(await world.a.post(f"{API}/stocktakes", json={"location": "depot-a"}), 409)
        given_up = await made(await world.a.post(f"{path}/cancel"))
        assert (given_up["state"], given_up["counts"]) == ("cancelled", None)
        problem(await world.a.post(f"{path}/cancel"), 409)
        await begun(world)
        answers = await asyncio.gather(
            *(world.a.post(f"{API}/stocktakes", json={"location": "shelf-a"}) for _ in range(2))
        )
        assert sorted(each.status_code for each in answers) == [201, 409]
        assert len(await items(world.a, "/stocktakes", state="open", location="shelf-a")) == 1


async def test_others_neither_see_nor_scan_it(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "scale", "S-0001")
        await stocked(world, "scale", "S-0009", location="depot-b", organisation="hjorring")
        path = await begun(world)
        problem(await world.b.get(path), 404)
        problem(await world.b.get(f"{path}/result"), 404)
        problem(await world.b.get(f"{path}/scans"), 404)
        problem(await world.b.post(f"{path}/scans", json={"codes": ["S-0009"]}), 404)
        problem(await world.b.post(f"{path}/close", json={}), 404)
        problem(await world.b.post(f"{path}/cancel"), 404)
        problem(await world.auditor.post(f"{path}/scans", json={"codes": ["S-0001"]}), 403)
        assert await items(world.b, "/stocktakes") == []
        problem(await world.b.post(f"{API}/stocktakes", json={"location": "depot-a"}), 422, "location")
        assert await scanned(world, path, "S-0009", "0009") == ["unknown", "unknown"]
        theirs = await begun(world, world.b, location="depot-b")
        answer = await made(await world.b.post(f"{theirs}/scans", json={"codes": ["S-0001", "0001"]}))
        assert [each["outcome"] for each in answer["items"]] == ["unknown", "unknown"]
        problem(await world.b.post(f"{theirs}/scans", json={"component_ids": [number]}), 422, "component_ids")
        assert len(await items(world.region, "/stocktakes")) == 2


async def test_results_and_scans_are_never_changed(database: str) -> None:
    async with logistics(database) as world:
        await stocked(world, "scale", "S-0001")
        path = await begun(world)
        await scanned(world, path, "S-0001")
        await made(await world.a.post(f"{path}/close", json={}))
    for table in ("stocktake_results", "stocktake_scans"):
        with pytest.raises(Exception, match="append-only"):
            execute(database, f"DELETE FROM {table}")
