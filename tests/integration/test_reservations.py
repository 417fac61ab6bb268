"""Reservations: what is kept for a placement or a visit cannot be promised again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api import problem
from tests.logistics_world import API, World, day, items, level, logistics, made, move, stocked
from tests.support import execute, value

PATH = f"{API}/reservations"


async def reserve(world: World, **body: Any) -> dict[str, Any]:
    """A reservation for a visit."""
    return dict(await made(await world.a.post(PATH, json={"visit": "V-1", **body})))


async def test_a_number_of_a_model_is_kept(database: str) -> None:
    async with logistics(database) as world:
        await stocked(world, "scale", "S-1", "S-2", "S-3")
        body = {"model_id": world.models["scale"], "location": "depot-a"}
        kept = await reserve(world, **body, quantity=2, reserved_from=day(1), reserved_until=day(7))
        assert kept | {"state": "active", "organisation": "aalborg", "kind": "scale", "quantity": 2} == kept
        assert (kept["reserved_from"], kept["reserved_until"]) == (day(1), day(7))
        assert (await level(world.a))["available"] == 1
        refused = problem(await world.a.post(PATH, json={**body, "quantity": 2, "visit": "V-2"}), 409)
        assert "1 are free" in refused["detail"]
        beyond = await reserve(world, **body, quantity=2, visit="V-2", beyond_stock=True)
        assert (await level(world.a))["available"] == -1
        path = f"{PATH}/{beyond['id']}/end"
        ended = await made(await world.a.post(path, json={"outcome": "released", "reason": "called off"}))
        assert (ended["state"], ended["ended_reason"]) == ("released", "called off")
        again = await made(await world.a.post(path, json={"outcome": "released", "reason": "twice"}))
        assert again["ended_reason"] == "called off"
        problem(await world.a.post(path, json={"outcome": "fulfilled"}), 409)
        problem(await world.a.patch(f"{PATH}/{beyond['id']}", json={"visit": "V-3"}), 409)
        assert (await level(world.a))["available"] == 1
        assert len(await items(world.a, "/reservations", state="active", visit="V-1", location="depot-a")) == 1


async def test_two_who_want_the_last_one(database: str) -> None:
    async with logistics(database) as world:
        await stocked(world, "scale", "S-1")
        body = {"model_id": world.models["scale"], "location": "depot-a"}
        answers = await asyncio.gather(
            *(client.post(PATH, json={**body, "visit": f"V-{n}"}) for n, client in enumerate((world.a, world.region)))
        )
        assert sorted(each.status_code for each in answers) == [201, 409]
        assert value(database, "SELECT count(*) FROM reservations") == 1


async def test_the_same_request_reserves_once(database: str) -> None:
    async with logistics(database) as world:
        await stocked(world, "scale", "S-1", "S-2")
        body = {"model_id": world.models["scale"], "location": "depot-a", "visit": "V-1"}
        first, second = [await world.a.post(PATH, json=body, headers={"Idempotency-Key": "r-1"}) for _ in range(2)]
        assert first.json() == second.json()
        assert value(database, "SELECT count(*) FROM reservations") == 1


async def test_a_certain_piece_is_kept_for_one_at_a_time(database: str) -> None:
    async with logistics(database) as world:
        number, lost = await stocked(world, "scale", "S-1", "S-2")
        await move(world, lost, "lost", reason="gone")
        first = await reserve(world, component_id=number, reserved_from=day(1), reserved_until=day(3))
        assert (first["serial"], first["kind"], first["location"]) == ("S-1", "scale", None)
        overlap = {"component_id": number, "visit": "V-2", "reserved_from": day(3)}
        problem(await world.a.post(PATH, json=overlap), 409)
        later = await reserve(world, component_id=number, visit="V-2", reserved_from=day(4))
        assert (await level(world.a))["reserved"] == 1
        problem(await world.a.patch(f"{PATH}/{later['id']}", json={"reserved_from": day(2)}), 409)
        await made(await world.a.post(f"{PATH}/{first['id']}/end", json={"outcome": "fulfilled"}))
        tag = (await world.a.get(f"{PATH}/{later['id']}")).headers["etag"]
        edit = {"reserved_from": day(2), "visit": "V-9"}
        edited = await made(await world.a.patch(f"{PATH}/{later['id']}", json=edit, headers={"If-Match": tag}))
        assert (edited["reserved_from"], edited["visit"]) == (day(2), "V-9")
        problem(await world.a.patch(f"{PATH}/{later['id']}", json=edit, headers={"If-Match": tag}), 412)
        problem(await world.a.post(PATH, json={"component_id": lost, "visit": "V-1"}), 409)


async def test_a_kit_is_kept_for_a_placement(database: str) -> None:
    async with logistics(database) as world:
        new = {"kit": "K-1", "organisation": "aalborg", "location": "depot-a"}
        await made(await world.admin.post(f"{API}/kits", json=new))
        placement = {"reference": "KOL-NORD-8841", "organisation": "aalborg"}
        number = (await made(await world.a.post(f"{API}/placements", json=placement)))["id"]
        kept = await made(await world.a.post(PATH, json={"kit": "K-1", "placement_id": number}))
        assert (kept["kit"], kept["placement_id"], kept["visit"]) == ("K-1", number, None)
        problem(await world.a.post(PATH, json={"kit": "K-1", "visit": "V-2"}), 409)
        assert len(await items(world.a, "/reservations", kit="K-1", placement_id=number)) == 1
        problem(await world.a.patch(f"{PATH}/{kept['id']}", json={"placement_id": None}), 422, "visit")


async def test_past_its_last_day_it_keeps_nothing(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "scale", "S-1")
        kept = await reserve(world, component_id=number)
        model = await reserve(world, model_id=world.models["scale"], location="depot-a", beyond_stock=True)
        assert (await level(world.a))["reserved"] == 2
        execute(database, "UPDATE reservations SET during = daterange(current_date - 9, current_date)")
        assert (await level(world.a))["available"] == 1
        assert (await made(await world.a.get(f"{PATH}/{kept['id']}")))["state"] == "expired"
        assert {each["id"] for each in await items(world.a, "/reservations", state="expired")} == {
            kept["id"],
            model["id"],
        }
        assert await items(world.a, "/reservations", state="active") == []
        await reserve(world, component_id=number)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"visit": "V-1"}, "model_id"),
        ({"model_id": 1, "component_id": 1, "visit": "V-1"}, "model_id"),
        ({"model_id": 1, "visit": "V-1"}, "location"),
        ({"component_id": 1, "location": "depot-a", "visit": "V-1"}, "location"),
        ({"component_id": 1, "quantity": 2, "visit": "V-1"}, "location"),
        ({"component_id": 1}, "visit"),
        ({"component_id": 1, "visit": "Hans Jensen"}, "visit"),
        ({"component_id": 1, "visit": "010170-1234"}, "visit"),
        ({"component_id": 1, "visit": "V-1", "reserved_from": "2026-01-02", "reserved_until": "2026-01-01"}, None),
        ({"component_id": 1, "visit": "V-1", "reserved_until": "2020-01-01"}, "reserved_until"),
        ({"component_id": 99, "visit": "V-1"}, "component_id"),
        ({"kit": "K-none", "visit": "V-1"}, "kit"),
        ({"component_id": 1, "placement_id": 99}, "placement_id"),
        ({"model_id": 99, "location": "depot-a", "visit": "V-1"}, "model_id"),
        ({"model_id": 1, "location": "depot-b", "visit": "V-1"}, "location"),
        ({"model_id": 1, "location": "depot-a", "quantity": 0, "visit": "V-1"}, "quantity"),
    ],
)
async def test_bad_reservations_name_the_field(database: str, body: dict[str, Any], field: str | None) -> None:
    async with logistics(database) as world:
        await stocked(world, "scale", "S-1")
        problem(await world.a.post(PATH, json=body), 422, field)
        assert value(database, "SELECT count(*) FROM reservations") == 0


async def test_others_can_neither_see_nor_take_it(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "scale", "S-1")
        kept = await reserve(world, component_id=number)
        path = f"{PATH}/{kept['id']}"
        problem(await world.b.get(path), 404)
        problem(await world.b.patch(path, json={"visit": "V-2"}), 404)
        problem(await world.b.post(f"{path}/end", json={"outcome": "released"}), 404)
        problem(await world.b.post(PATH, json={"component_id": number, "visit": "V-2"}), 422, "component_id")
        assert await items(world.b, "/reservations") == []
        problem(await world.auditor.post(f"{path}/end", json={"outcome": "released"}), 403)
        foreign = {"model_id": world.models["scale"], "location": "depot-b", "visit": "V-2"}
        problem(await world.b.post(PATH, json={**foreign, "organisation": "aalborg"}), 422, "organisation")


async def test_what_is_open_goes_with_the_piece(database: str) -> None:
    async with logistics(database) as world:
        (number,) = await stocked(world, "scale", "S-1")
        kept = await reserve(world, component_id=number)
        to_b = {"organisation": "hjorring", "owner": "hjorring"}
        await made(await world.admin.post(f"{API}/components/{number}/assignments", json=to_b))
        problem(await world.a.get(f"{PATH}/{kept['id']}"), 404)
        assert (await made(await world.b.get(f"{PATH}/{kept['id']}")))["organisation"] == "hjorring"
