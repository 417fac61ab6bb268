"""One answer to: where was it, in what condition, whose, since when, who moved it."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import httpx
import pytest

from fleet.access.entering import enter
from fleet.access.principal import SYSTEM, Scope
from fleet.access.roles import Role
from fleet.db import roles
from fleet.db.connect import connect
from fleet.state.ledger.assigning import assign_kit
from fleet.state.lifecycle import ComponentState
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.integration.test_corrections import put, step
from tests.ledger_world import (
    add_catalogue,
    add_kits,
    add_pieces,
    add_placement,
    ago,
    books,
    differences,
    organisation_id,
)
from tests.support import execute, rows, value

API = "/api/v1"


async def lived(database: str) -> tuple[int, int]:
    """A kit of Aalborg with a life, and two pieces that were in it; given to Hjørring in the end. Gives the pieces."""
    async with books(database) as connection:
        add_catalogue(database)
        (kit_id,) = await add_kits(connection, "K-1", organisation="aalborg")
        one, two = await add_pieces(connection, "S-1", "S-2", organisation="aalborg")
        await put(connection, "K-1", ago(50), incoming=one)
        await step(connection, "K-1", "ready", ago(40), location="workshop")
        await step(connection, "K-1", "preparing", ago(30))
        await put(connection, "K-1", ago(20), incoming=two, outgoing=one, state=ComponentState.CLEANING, location="van")
        hjorring = organisation_id(database, "hjorring")
        await assign_kit(connection, kit_id, organisation_id=hjorring, owner_id=hjorring, by=SYSTEM, reason="sold")
        await step(connection, "K-1", "lost", None)
        return one, two


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """The items of a page."""
    answer = await client.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_the_history_tells_every_event_and_its_corrections(database: str) -> None:
    one, _ = await lived(database)
    async with api(database) as client:
        told = await pages(client, f"{API}/kits/K-1/history", limit=2)
        assert [(each["what"], each["from_state"], each["to_state"]) for each in told] == [
            ("status", "preparing", "lost"),
            ("assign", None, None),
            ("swap", "in_kit", "cleaning"),
            ("status", "ready", "preparing"),
            ("status", "preparing", "ready"),
            ("swap", "in_stock", None),
            ("opening", None, "preparing"),
        ]
        ready = told[4]
        assert (ready["location"], ready["backdated"], ready["override"], ready["reason"]) == (
            "workshop",
            True,
            False,
            "test",
        )
        assert (told[2]["serial"], told[2]["removed_serial"], told[2]["removed_kind"]) == ("S-2", "S-1", "scale")
        assert told[0]["actor"] == SYSTEM.actor
        body = {"reason": "it was later", "occurred_at": ago(35).isoformat(), "location": "depot"}
        answer = await client.post(f"{API}/book-events/{ready['id']}/corrections", json=body)
        assert answer.status_code == 201, answer.text
        (number,) = answer.json()["corrections"]
        told = await get(client, "/kits/K-1/history")
        assert (told[0]["id"], told[0]["what"], told[0]["corrects"], told[0]["reason"]) == (
            number,
            "correction",
            ready["id"],
            "it was later",
        )
        assert told[0]["now"]["location"] == "depot"
        assert told[0]["before"]["location"] == "workshop"
        corrected = next(each for each in told if each["id"] == ready["id"])
        assert corrected["corrections"] == [number]
        assert corrected["location"] == "workshop"
        assert corrected["now"]["location"] == "depot"
        assert not corrected["voided"]
        void = {"reason": "no", "void": True}
        answer = await client.post(f"{API}/book-events/{number}/corrections", json=void)
        assert answer.status_code == 201
        told = await get(client, "/kits/K-1/history")
        assert told[0]["voids"]
        assert next(each for each in told if each["id"] == number)["voided"]
        assert next(each for each in told if each["id"] == ready["id"])["now"] is None
        of_piece = await get(client, f"/components/{one}/history")
        assert [each["what"] for each in of_piece] == ["swap", "swap", "opening"]


async def test_where_it_was_and_in_what_condition(database: str) -> None:
    one, two = await lived(database)
    async with api(database) as client:
        found = await pages(client, f"{API}/kits/K-1/stays", limit=2)
        assert [(each["state"], each["location"], each["organisation"]) for each in found] == [
            ("lost", None, "hjorring"),
            ("preparing", "workshop", "hjorring"),
            ("preparing", "workshop", "aalborg"),
            ("ready", "workshop", "aalborg"),
            ("preparing", "depot", "aalborg"),
        ]
        assert found[0]["end"] is None
        assert all(earlier["end"] == later["start"] for later, earlier in pairwise(found))
        assert {each["actor"] for each in found} == {SYSTEM.actor}
        assert found[1]["reason"] == "sold"
        found = await get(client, f"/components/{one}/stays")
        assert [(each["state"], each["kit"], each["location"]) for each in found] == [
            ("cleaning", None, "van"),
            ("in_kit", "K-1", "workshop"),
            ("in_kit", "K-1", "depot"),
            ("in_stock", None, "depot"),
        ]
        assert [each["organisation"] for each in await get(client, f"/components/{two}/stays")] == [
            "hjorring",
            "hjorring",
            "aalborg",
            "aalborg",
        ]
        table = await client.get(f"{API}/kits/K-1/stays", params={"format": "csv"})
        assert table.headers["content-type"].startswith("text/csv")
        read = list(csv.DictReader(io.StringIO(table.text)))
        assert [row["location"] for row in read] == ["", "workshop", "workshop", "workshop", "depot"]
        for path in ("/kits/K-9/history", "/kits/K-9/stays", "/components/99/history", "/components/99/stays"):
            problem(await client.get(API + path), 404)


async def test_a_home_is_told_by_number_only(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, "K-1", organisation="nord")
        placement = add_placement(database, "K-1", "SECRET-REF-7")
        for to, days in (("ready", 9), ("dispatched", 8), ("installed", 7)):
            await step(connection, "K-1", to, ago(days))
    async with api(database) as client:
        for path in ("/kits/K-1/history", "/kits/K-1/stays"):
            text = (await client.get(API + path)).text
            assert "SECRET" not in text
            assert f'"placement":{placement}' in text


@pytest.mark.parametrize("role", [Role.LOGISTICS, Role.SUPPORT])
async def test_a_new_organisation_sees_its_own_part_and_the_owner_all(database: str, role: Role) -> None:
    _, two = await lived(database)
    async with running_app(database) as app:
        seen: dict[str, list[Any]] = {}
        for organisation in ("hjorring", "aalborg", "nord"):
            token = await make_token(database, role, organisation=organisation)
            async with caller(app, token) as client:
                answers = [await client.get(f"{API}{path}") for path in paths(two)]
                seen[organisation] = [
                    [each.get("what") or each["organisation"] for each in answer.json()["items"]]
                    if answer.status_code == 200
                    else answer.status_code
                    for answer in answers
                ]
        assert seen["hjorring"][:2] == [["status", "assign"], ["hjorring", "hjorring"]]
        assert seen["hjorring"][2:] == [["assign"], ["hjorring", "hjorring"]]
        # Who sold the kit sees what was before; of the piece, which it still owns, all but the other's name.
        assert seen["aalborg"][:2] == [["swap", "status", "status", "swap", "opening"], ["aalborg"] * 3]
        assert seen["aalborg"][2:] == [["assign", "swap", "opening"], [None] * 2 + ["aalborg"] * 2]
        assert len(seen["nord"][0]) == 7
        assert len(seen["nord"][1]) == 5
    # A correction of what one does not see is none.
    first = value(database, "SELECT min(event_id) FROM book_events WHERE kit_id IS NOT NULL")
    token = await make_token(database, Role.LOGISTICS, organisation="hjorring")
    async with running_app(database) as app, caller(app, token) as client:
        body = {"reason": "x", "occurred_at": ago(200).isoformat()}
        problem(await client.post(f"{API}/book-events/{first}/corrections", json=body), 404)
    assert rows(database, "SELECT 1 FROM book_events WHERE what = 'correction'") == []


def paths(component: int) -> tuple[str, ...]:
    """What is asked of a kit and a component."""
    return (
        "/kits/K-1/history",
        "/kits/K-1/stays",
        f"/components/{component}/history",
        f"/components/{component}/stays",
    )


async def test_a_correction_that_cannot_be_is_a_problem_that_says_why(database: str) -> None:
    await lived(database)
    async with api(database) as client:
        swap = next(each for each in await get(client, "/kits/K-1/history") if each["what"] == "swap")
        void = {"reason": "no", "void": True}
        first = (await get(client, "/kits/K-1/history"))[-2]
        body = problem(await client.post(f"{API}/book-events/{first['id']}/corrections", json=void), 409)
        assert f"event {swap['id']})" in body["detail"]
        problem(await client.post(f"{API}/book-events/{first['id']}/corrections", json={"void": True}), 422, "reason")
        key = {"Idempotency-Key": "once"}
        lost = (await get(client, "/kits/K-1/history"))[0]
        for _ in range(2):
            answer = await client.post(f"{API}/book-events/{lost['id']}/corrections", json=void, headers=key)
            assert answer.status_code == 201
    async with api(database, Role.SUPPORT) as client:
        problem(await client.post(f"{API}/book-events/{first['id']}/corrections", json=void), 403)


async def test_nobody_writes_into_what_was_anothers(database: str) -> None:
    """A step told afterwards belongs to whoever had the kit then; whoever has it now may not tell it."""
    await lived(database)
    async with running_app(database) as app:
        for organisation, status in (("hjorring", 403), ("nord", 200)):
            token = await make_token(database, Role.LOGISTICS, organisation=organisation)
            async with caller(app, token) as client:
                body = {"location": "van", "occurred_at": ago(10).isoformat()}
                answer = await client.post(f"{API}/kits/K-1/moves", json=body)
                assert answer.status_code == status, answer.text
                found = await client.post(f"{API}/kits/K-1/transitions", json={"to": "retrieved"})
                assert found.status_code == (200 if organisation == "hjorring" else 409)
    aalborg = organisation_id(database, "aalborg")
    assert rows(database, "SELECT organisation_id FROM book_events WHERE what = 'location'") == [(aalborg,)]
    async with books(database) as connection:
        assert await differences(connection) == []


async def test_nobody_takes_anothers_past_by_correcting_when_it_changed_hands(database: str) -> None:
    await lived(database)
    assigned = value(database, "SELECT min(event_id) FROM book_events WHERE what = 'assign'")
    earlier = {"reason": "x", "occurred_at": ago(15).isoformat()}
    async with running_app(database) as app:
        for organisation, status in (("hjorring", 403), ("nord", 201)):
            token = await make_token(database, Role.LOGISTICS, organisation=organisation)
            async with caller(app, token) as client:
                void = {"reason": "x", "void": True}
                if organisation == "hjorring":
                    answer = await client.post(f"{API}/book-events/{assigned}/corrections", json=void)
                    assert answer.status_code == 403, answer.text
                answer = await client.post(f"{API}/book-events/{assigned}/corrections", json=earlier)
                assert answer.status_code == status, answer.text
    began = "SELECT lower(during) FROM custodies WHERE organisation_id = %s"
    assert value(database, began, organisation_id(database, "hjorring")) == ago(15)
    async with books(database) as connection:
        assert await differences(connection) == []


async def test_the_database_itself_shows_where_a_kit_was_to_whose_it_was(database: str) -> None:
    await lived(database)
    query = "SELECT count(*) FROM stays WHERE kit_id IS NOT NULL"
    seen = {}
    execute(database, "UPDATE kits SET owner_id = NULL")
    for slug in ("nord", "aalborg", "hjorring"):
        async with connection_in(database, slug) as connection:
            (seen[slug],) = await (await connection.execute(query)).fetchone()
    # At the depot it was before it changed hands, at the workshop meanwhile.
    assert seen == {"nord": 0, "aalborg": 2, "hjorring": 1}


@asynccontextmanager
async def connection_in(database: str, slug: str) -> AsyncIterator[Any]:
    """As the API connects, in the scope of one organisation."""
    connection = await connect(database, role="test", run_as=roles.API)
    async with connection, connection.transaction():
        await enter(connection, SYSTEM, Scope(frozenset([organisation_id(database, slug)])))
        yield connection
