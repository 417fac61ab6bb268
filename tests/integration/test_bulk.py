"""Hundreds of steps at once: all or none, or each by itself, with progress, and in nobody's way."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx

from fleet.access.principal import SYSTEM
from fleet.access.roles import Role
from fleet.state.ledger.bulk import Item, Outcome, take_together
from fleet.state.ledger.steps import KitStep
from fleet.state.lifecycle import KitState
from tests.api import api, caller, make_token, problem, running_app
from tests.integration.test_corrections import put
from tests.ledger_world import NOW, add_catalogue, add_kits, add_pieces, ago, books, differences
from tests.support import rows, value

PATH = "/api/v1/bulk-transitions"


def ask(*items: dict[str, Any], mode: str = "itemised", **more: Any) -> dict[str, Any]:
    """A request for steps."""
    return {"mode": mode, "items": list(items), **more}


async def stocked(database: str, number: int, state: str = "preparing", organisation: str | None = None) -> list[str]:
    """So many kits."""
    names = [f"K-{each:04}" for each in range(number)]
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, *names, state=state, organisation=organisation)
        await add_pieces(connection, "S-1", "S-2", organisation=organisation)
    return names


def states(database: str) -> dict[str, int]:
    """How many kits are in which state."""
    return dict(rows(database, "SELECT state, count(*) FROM kits GROUP BY 1"))


MIXED: tuple[dict[str, Any], ...] = (
    {"kit": "K-0002", "to": "ready"},
    {"kit": "K-0001", "to": "installed"},
    {"kit": "K-0009", "to": "ready"},
    {"kit": "K-0000", "to": "lost"},
    {"kit": "K-0000", "to": "scrapped", "reason": "broken", "occurred_at": (NOW - timedelta(days=900)).isoformat()},
    {"component": 1, "to": "faulty", "location": "workshop"},
    {"component": 2, "to": "in_kit"},
    {"kit": "K-0002", "to": "dispatched", "location": "van"},
)


async def test_each_by_itself_says_what_became_of_it(database: str) -> None:
    await stocked(database, 3)
    async with api(database) as client:
        answer = await client.post(PATH, json=ask(*MIXED))
        assert answer.status_code == 200, answer.text
        report = answer.json()
        assert (report["kept"], report["taken"], report["refused"]) == (True, 3, 5)
        told = [(each["index"], each["outcome"], each["code"]) for each in report["items"]]
        assert told == [
            (0, "done", None),
            (1, "refused", "not_allowed"),
            (2, "refused", "not_found"),
            (3, "refused", "invalid"),
            (4, "refused", "conflict"),
            (5, "done", None),
            (6, "refused", "invalid"),
            (7, "done", None),
        ]
        assert "ready" in report["items"][1]["allowed"]
        assert report["items"][7]["from_state"] == "ready"
    assert states(database) == {"preparing": 2, "dispatched": 1}
    async with books(database) as connection:
        assert await differences(connection) == []


async def test_all_or_nothing_and_a_dry_run_keep_nothing(database: str) -> None:
    await stocked(database, 3)
    count = "SELECT (SELECT count(*) FROM book_events), (SELECT sum(revision) FROM kits), (SELECT count(*) FROM events)"
    before = rows(database, count)
    async with api(database) as client:
        body = problem(await client.post(PATH, json=ask(*MIXED, mode="all_or_nothing")), 409)
        assert [each["outcome"] for each in body["items"]].count("possible") == 3
        assert body["refused"] == 5
        for mode in ("itemised", "all_or_nothing"):
            answer = await client.post(PATH, json=ask(*MIXED, mode=mode, dry_run=True))
            assert answer.json()["kept"] is False
            assert answer.json()["items"][0]["outcome"] == "possible"
            lines = await stream(client, ask(*MIXED, mode=mode, dry_run=True))
            assert lines[-1]["kept"] is False
        assert rows(database, count) == before
        good = [MIXED[0], MIXED[5], MIXED[7]]
        answer = await client.post(PATH, json=ask(*good, mode="all_or_nothing"))
        assert answer.json()["taken"] == 3
    assert states(database) == {"preparing": 2, "dispatched": 1}


async def stream(client: httpx.AsyncClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of a streamed answer."""
    headers = {"Accept": "application/x-ndjson"}
    async with client.stream("POST", PATH, json=body, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) async for line in answer.aiter_lines()]


async def test_progress_is_streamed_line_by_line(database: str) -> None:
    names = await stocked(database, 60)
    items = [{"kit": name, "to": "ready"} for name in reversed(names)]
    async with api(database) as client:
        lines = await stream(client, ask(*items, {"kit": "K-9999", "to": "ready"}))
        assert {line["type"] for line in lines[:-1]} == {"item"}
        assert sorted(line["index"] for line in lines[:-1]) == list(range(61))
        summary = {"type": "summary", "mode": "itemised", "dry_run": False, "kept": True, "taken": 60, "refused": 1}
        assert lines[-1] == summary
        headers = {"Accept": "application/x-ndjson", "Idempotency-Key": "x"}
        problem(await client.post(PATH, json=ask(*items), headers=headers), 422, "Idempotency-Key")
    assert states(database) == {"ready": 60}


async def test_a_repeat_with_the_same_key_does_nothing(database: str) -> None:
    await stocked(database, 1)
    async with api(database) as client:
        body, headers = ask({"kit": "K-0000", "to": "ready"}), {"Idempotency-Key": "once"}
        first = await client.post(PATH, json=body, headers=headers)
        again = await client.post(PATH, json=body, headers=headers)
        assert first.json() == again.json()
        assert first.json()["items"][0]["outcome"] == "done"
    assert value(database, "SELECT count(*) FROM book_events WHERE what = 'status'") == 1


async def test_what_is_asked_badly_is_told_before_anything_is_done(database: str) -> None:
    await stocked(database, 1)
    good = {"kit": "K-0000", "to": "ready"}
    bad: tuple[dict[str, Any], ...] = (
        ask(),
        ask(good, mode="some"),
        ask(good, {"kit": "K-0000", "component": 1, "to": "faulty"}),
        ask(good, {"to": "faulty"}),
        ask(good, {"kit": "K-0000", "to": "in_kit"}),
        ask(good, {"component": 1, "to": "installed"}),
        ask(*[good] * 501),
        ask({**good, "more": 1}),
    )
    async with api(database) as client:
        for body in bad:
            problem(await client.post(PATH, json=body), 422)
    assert states(database) == {"preparing": 1}


async def test_only_what_is_ones_own_and_what_the_role_may(database: str) -> None:
    await stocked(database, 2, organisation="aalborg")
    items = [{"kit": "K-0000", "to": "scrapped", "reason": "x"}, {"kit": "K-0000", "to": "lost", "reason": "x"}]
    async with running_app(database) as app:
        for role, organisation, codes in (
            (Role.SUPPORT, "aalborg", ["forbidden", "forbidden"]),
            (Role.LOGISTICS, "hjorring", ["not_found", "not_found"]),
        ):
            token = await make_token(database, role, organisation=organisation)
            async with caller(app, token) as client:
                report = (await client.post(PATH, json=ask(*items))).json()
                assert [each["code"] for each in report["items"]] == codes
        token = await make_token(database, Role.SECRETARIAT, organisation="aalborg")
        async with caller(app, token) as client:
            problem(await client.post(PATH, json=ask(*items)), 403)


async def test_two_at_once_in_opposite_order_do_not_lock_each_other_out(database: str) -> None:
    names = await stocked(database, 40)
    async with books(database) as connection:
        await put(connection, names[0], ago(3), incoming=1)
        await put(connection, names[-1], ago(3), incoming=2)
    steps = [
        [Item(index, name, KitStep(KitState(to))) for index, name in enumerate(order)]
        for to, order in (("ready", names), ("in_stock", names[::-1]))
    ]
    async with books(database) as one, books(database) as other, asyncio.timeout(30):
        told: list[list[Outcome]] = [[], []]
        await asyncio.gather(
            *(
                take_together(connection, items, by=SYSTEM, tell=found.append, itemised=True)
                for connection, items, found in zip((one, other), steps, told, strict=True)
            )
        )
        assert len(told[0]) == len(told[1]) == 40
        assert await differences(one) == []


async def test_five_hundred(database: str) -> None:
    names = await stocked(database, 500)
    async with api(database) as client:
        started = asyncio.get_running_loop().time()
        answer = await client.post(PATH, json=ask(*({"kit": name, "to": "ready"} for name in names)))
        took_s = asyncio.get_running_loop().time() - started
        assert answer.json()["taken"] == 500
        print(f"500 steps in {took_s:.2f} s")
        assert took_s < 30
