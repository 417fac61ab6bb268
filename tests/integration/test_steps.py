"""Steps, swaps and moves over HTTP: from the depot to a home and back, and what stands in the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from fleet.access.roles import Role
from tests.api import api, caller, make_token, problem, running_app
from tests.books_world import API, KINDS, enter_pieces, enter_type, log_of, made, prepare, step, tell
from tests.support import execute, rows, value

PERIPHERALS = ("scale-1", "oximeter-1")


async def place(client: httpx.AsyncClient, kit: str, reference: str = "KOL-8841") -> int:
    """Plan a placement for the kit; gives its number."""
    await client.post(f"{API}/organisations", json={"slug": "nord", "name": "Nord", "kind": "municipality"})
    body = {"reference": reference, "organisation": "nord", "kit": kit, "programme": "copd"}
    number: int = (await made(await client.post(f"{API}/placements", json=body)))["id"]
    return number


async def blocked(client: httpx.AsyncClient, path: str, **body: object) -> list[str]:
    """The codes of what stands in the way."""
    refused = problem(await client.post(f"{API}/{path}", json=body), 409)
    assert refused["type"].endswith("guards-not-met"), refused
    assert refused["detail"]
    return [each["code"] for each in refused["unmet"]]


async def test_a_kit_goes_to_a_citizen_and_comes_back(database: str) -> None:
    async with api(database) as client:
        pieces = await enter_pieces(client, await enter_type(client))
        await prepare(client, database, "K-1", pieces)
        placement = await place(client, "K-1")
        assert (await step(client, "K-1", "ready"))["location"] == "depot"
        assert (await step(client, "K-1", "dispatched"))["location"] is None
        tell(database, "K-1", contact=PERIPHERALS)
        home = await step(client, "K-1", "installed")
        assert (home["placement"], home["placement_id"], home["location"]) == ("KOL-8841", placement, None)
        assert sorted(each["kind"] for each in home["bundle"]) == sorted(KINDS)
        assert (await made(await client.get(f"{API}/placements/{placement}")))["state"] == "active"
        back = await step(client, "K-1", "retrieved", location="depot")
        assert (back["placement"], back["location"]) == (None, "depot")
        ended = await made(await client.get(f"{API}/placements/{placement}"))
        assert (ended["state"], ended["kit"]) == ("ended", "K-1")
        assert ended["ended"] is not None
        had = await made(await client.get(f"{API}/components/{pieces['scale']}/placements"))
        assert [each["reference_id"] for each in had["items"]] == [ended["reference_id"]]
        refused = problem(await client.post(f"{API}/kits/K-1/transitions", json={"to": "in_stock"}), 409)
        assert refused["allowed"] == ["cleaning", "scrapped", "lost", "returned"]
        await step(client, "K-1", "cleaning")
        await step(client, "K-1", "preparing")
    states = [to for what, _, to, _ in log_of(database, "K-1") if what == "status"]
    assert states == ["preparing", "ready", "dispatched", "installed", "retrieved", "cleaning", "preparing"]


async def test_the_proof_of_function_is_of_the_home_and_not_of_the_depot(database: str) -> None:
    async with api(database) as client:
        await prepare(client, database, "K-1", await enter_pieces(client, await enter_type(client)))
        placement = await place(client, "K-1")
        tell(database, "K-1", software={"app": "2"}, contact=PERIPHERALS)
        await step(client, "K-1", "ready")
        await step(client, "K-1", "dispatched")
        installed = {"to": "installed", "placement": placement}
        assert await blocked(client, "kits/K-1/transitions", **installed) == [
            "not_heard_since_arrival",
            "pairing_not_seen",
        ]
        tell(database, "K-1", contact=PERIPHERALS)
        await made(await client.post(f"{API}/kits/K-1/moves", json={"placement": placement}))
        # What was heard on the way is not of the home.
        assert await blocked(client, "kits/K-1/transitions", **installed) == [
            "not_heard_since_arrival",
            "pairing_not_seen",
        ]
        tell(database, "K-1", contact=PERIPHERALS[:1])
        assert await blocked(client, "kits/K-1/transitions", **installed) == ["peripheral_not_seen"]
        tell(database, "K-1", contact=PERIPHERALS)
        await step(client, "K-1", "installed")
        await step(client, "K-1", "faulty", reason="the citizen says that nothing happens")
        assert "not_heard_since_arrival" in await blocked(client, "kits/K-1/transitions", to="installed")
        tell(database, "K-1", contact=PERIPHERALS)
        await step(client, "K-1", "installed")


async def test_the_crew_says_when_it_arrived(database: str) -> None:
    async with api(database) as client:
        await prepare(client, database, "K-1", await enter_pieces(client, await enter_type(client)))
        await place(client, "K-1")
        await step(client, "K-1", "ready")
        await step(client, "K-1", "dispatched")
        tell(database, "K-1", contact=PERIPHERALS)
        now = datetime.now(UTC)
        arrived = {"to": "installed", "arrived_at": now.isoformat()}
        assert "not_heard_since_arrival" in await blocked(client, "kits/K-1/transitions", **arrived)
        late = {**arrived, "arrived_at": (now + timedelta(hours=1)).isoformat()}
        problem(await client.post(f"{API}/kits/K-1/transitions", json=late), 422, "arrived_at")
        odd = {**arrived, "to": "retrieved"}
        problem(await client.post(f"{API}/kits/K-1/transitions", json=odd), 422, "arrived_at")
        tell(database, "K-1", contact=PERIPHERALS)
        await step(client, **{"kit": "K-1", **arrived})


async def test_a_kit_is_ready_when_it_is_complete_calibrated_and_told_its_software(database: str) -> None:
    async with api(database) as client:
        models = await enter_type(client)
        pieces = await enter_pieces(client, models)
        await made(await client.post(f"{API}/kits", json={"kit": "K-1", "kit_type": "copd"}))
        await step(client, "K-1", "preparing")
        steps = (await made(await client.get(f"{API}/kits/K-1/steps")))["items"]
        ready = next(each for each in steps if each["to"] == "ready")
        assert [each["code"] for each in ready["unmet"]] == ["kind_missing"] * 4
        assert ready["overridable"]
        for kind in ("tablet", "sim", "scale", "oximeter"):
            await made(await client.post(f"{API}/kits/K-1/swaps", json={"incoming": pieces[kind]}))
        assert await blocked(client, "kits/K-1/transitions", to="ready") == ["software_not_seen"]
        tell(database, "K-1", software={"app": "2"})
        await client.patch(f"{API}/kits/K-1", json={"wanted_components": {"app": "3"}})
        assert await blocked(client, "kits/K-1/transitions", to="ready") == ["software_differs"]
        await client.patch(f"{API}/kits/K-1", json={"wanted_components": {"app": "2"}})
        await place(client, "K-1")
        execute(database, "UPDATE placements SET planned_until = '2199-01-01'")
        assert await blocked(client, "kits/K-1/transitions", to="ready") == ["calibration_expires"]
        execute(database, "UPDATE placements SET planned_until = '2026-12-31'")
        await step(client, "K-1", "ready")
        # What is ready stays as it was proven.
        out = {"outgoing": pieces["scale"], "state": "in_stock"}
        problem(await client.post(f"{API}/kits/K-1/swaps", json=out), 409)
        problem(await client.post(f"{API}/components/{pieces['scale']}/transitions", json={"to": "cleaning"}), 409)


async def test_a_swap_is_one_event_and_what_comes_from_a_home_is_cleaned(database: str) -> None:
    async with api(database) as client:
        models = await enter_type(client)
        old, new = await enter_pieces(client, models), await enter_pieces(client, models, 2)
        await prepare(client, database, "K-1", old)
        await step(client, "K-1", "ready")
        await step(client, "K-1", "dispatched")
        await step(client, "K-1", "installed", override=True, reason="proven over the phone")
        swaps = "kits/K-1/swaps"
        swap = {"incoming": new["scale"], "outgoing": old["scale"]}
        assert await blocked(client, swaps, **swap, state="in_stock") == ["not_cleaned"]
        odd = {**swap, "incoming": new["oximeter"], "state": "faulty"}
        assert await blocked(client, swaps, **odd) == ["kind_differs"]
        before = value(database, "SELECT count(*) FROM book_events")
        after = await made(
            await client.post(f"{API}/{swaps}", json={**swap, "state": "faulty", "reason": "does not switch on"})
        )
        assert value(database, "SELECT count(*) FROM book_events") == before + 1
        assert {each["serial"] for each in after["bundle"]} == {"tablet-1", "sim-1", "scale-2", "oximeter-1"}
        out = await made(await client.get(f"{API}/components/{old['scale']}"))
        assert (out["state"], out["kit"]) == ("faulty", None)
        # Out of a home it is clean only after something that cleans.
        steps = f"components/{old['scale']}/transitions"
        assert await blocked(client, steps, to="in_stock") == ["not_cleaned"]
        await made(await client.post(f"{API}/{steps}", json={"to": "cleaning", "location": "depot"}))
        stocked = await made(await client.post(f"{API}/{steps}", json={"to": "in_stock"}))
        assert stocked["location"] == "depot"
        # The other one is in a kit and cannot be put into a second.
        await prepare(client, database, "K-2", {})
        problem(await client.post(f"{API}/kits/K-2/swaps", json={"incoming": new["scale"]}), 409)


async def test_a_piece_in_a_kit_breaks_and_is_mended_there_or_leaves_it(database: str) -> None:
    async with api(database) as client:
        pieces = await enter_pieces(client, await enter_type(client))
        await prepare(client, database, "K-1", pieces)
        scale = f"{API}/components/{pieces['scale']}/transitions"
        broken = await made(await client.post(scale, json={"to": "faulty"}))
        assert (broken["state"], broken["kit"]) == ("faulty", "K-1")
        assert await blocked(client, "kits/K-1/transitions", to="ready") == ["component_faulty"]
        mended = await made(await client.post(scale, json={"to": "in_kit"}))
        assert (mended["state"], mended["kit"]) == ("in_kit", "K-1")
        gone = await made(await client.post(scale, json={"to": "lost", "reason": "not in the box"}))
        assert (gone["state"], gone["kit"], gone["location"]) == ("lost", None, None)
        problem(await client.post(scale, json={"to": "in_kit"}), 409)
        problem(await client.post(f"{API}/components/{pieces['sim']}/moves", json={"location": "depot"}), 409)


async def test_a_scrapped_kit_takes_its_pieces_along_and_loses_its_credentials(database: str) -> None:
    async with api(database) as client:
        pieces = await enter_pieces(client, await enter_type(client))
        await prepare(client, database, "K-1", pieces)
        scrapped = {"to": "scrapped", "reason": "ran over"}
        problem(await client.post(f"{API}/kits/K-1/transitions", json={"to": "scrapped"}), 422, "reason")
        assert await blocked(client, "kits/K-1/transitions", **scrapped) == ["bundle_not_empty"]
        assert await blocked(client, "kits/K-1/transitions", **scrapped, override=True) == ["bundle_not_empty"]
        await step(client, "K-1", **scrapped, with_components=True)
        assert value(database, "SELECT credentials_revoked_at IS NOT NULL FROM kits")
        assert rows(database, "SELECT DISTINCT state, kit_id FROM components") == [("scrapped", None)]
        problem(await client.post(f"{API}/kits/K-1/transitions", json={"to": "in_stock"}), 409)
        problem(await client.post(f"{API}/kits/K-1/transitions", json={"to": "lost", "reason": "x"}), 409)


async def test_back_dated_steps_are_judged_by_what_was_then(database: str) -> None:
    async with api(database) as client:
        await enter_type(client)
        await made(await client.post(f"{API}/kits", json={"kit": "K-1", "location": "depot"}))
        execute(database, "ALTER TABLE book_events DISABLE TRIGGER USER")
        for table, column in (("book_events", "occurred_at"), ("kits", "state_since")):
            execute(database, f"UPDATE {table} SET {column} = now() - interval '10 days'")
        execute(database, "UPDATE stays SET during = tstzrange(now() - interval '10 days', NULL)")
        two_days = (datetime.now(UTC) - timedelta(days=2)).isoformat()
        month = (datetime.now(UTC) - timedelta(days=30)).isoformat()
        await step(client, "K-1", "preparing", occurred_at=two_days)
        assert value(database, "SELECT backdated FROM book_events ORDER BY event_id DESC LIMIT 1")
        early = {"to": "lost", "reason": "x", "occurred_at": month}
        problem(await client.post(f"{API}/kits/K-1/transitions", json=early), 409)
        # Lost before it was prepared cannot be: what followed would not follow.
        between = {**early, "occurred_at": (datetime.now(UTC) - timedelta(days=5)).isoformat()}
        refused = problem(await client.post(f"{API}/kits/K-1/transitions", json=between), 409)
        assert "preparing" in refused["detail"]
        ahead = {**early, "occurred_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
        problem(await client.post(f"{API}/kits/K-1/transitions", json=ahead), 422, "occurred_at")
        moved = {"location": "depot", "occurred_at": two_days}
        await made(await client.post(f"{API}/kits/K-1/moves", json=moved))


@pytest.mark.parametrize(
    ("role", "to", "status"),
    [
        (Role.SUPPORT, "faulty", 200),
        (Role.SUPPORT, "lost", 200),
        (Role.SUPPORT, "retrieved", 403),
        (Role.MDM_ADMIN, "faulty", 403),
        (Role.LOGISTICS, "retrieved", 200),
        (Role.SECRETARIAT, "faulty", 403),
    ],
)
async def test_who_may_take_which_step_stands_in_the_table(database: str, role: Role, to: str, status: int) -> None:
    async with running_app(database) as app:
        async with caller(app, await make_token(database, Role.ADMIN)) as admin:
            await made(await admin.post(f"{API}/kits", json={"kit": "K-1", "state": "installed"}))
        async with caller(app, await make_token(database, role)) as client:
            answer = await client.post(f"{API}/kits/K-1/transitions", json={"to": to, "reason": "told on the phone"})
    assert answer.status_code == status, answer.text


async def test_only_those_who_may_override(database: str) -> None:
    async with running_app(database) as app:
        async with caller(app, await make_token(database, Role.ADMIN)) as admin:
            await made(await admin.post(f"{API}/kits", json={"kit": "K-1", "state": "dispatched"}))
        body = {"to": "installed", "override": True, "reason": "no network yet"}
        async with caller(app, await make_token(database, Role.LOGISTICS)) as client:
            refused = problem(await client.post(f"{API}/kits/K-1/transitions", json=body), 409)
            assert not refused["overridable"]
        async with caller(app, await make_token(database, Role.SERVICE)) as client:
            await made(await client.post(f"{API}/kits/K-1/transitions", json=body))
    assert value(database, "SELECT override FROM book_events WHERE to_state = 'installed'")
