"""Search: what is printed on a piece or written on a kit finds it, for those who may see it and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from fleet.access.roles import Role
from fleet.db.connect import connect
from fleet.state import search as searching
from fleet.state.search import search
from tests.api import api, caller, make_token, problem, running_app
from tests.people import add_organisations
from tests.support import execute, value

pytestmark = pytest.mark.storage


def add_books(dsn: str) -> None:
    """A region with two municipalities, a few kits and pieces of each."""
    add_organisations(dsn, "north", kind="region")
    add_organisations(dsn, "a", "b", under="north")
    execute(
        dsn,
        "INSERT INTO kits (kit, label, state, organisation_id, owner_id)"
        " SELECT kit, label, 'in_stock', o.organisation_id, w.organisation_id FROM (VALUES"
        " ('K-004711', 'Åbenrå lungemedicin 17', 'a', 'north'), ('K-004712', 'AABENRAA Hjertesvigt', 'a', 'a'),"
        " ('K-114711', 'Ærø, lungemedicin', 'b', 'b'), ('X-9', 'SØNDERBORG/reserve', 'b', 'b')) v (kit, label, o, w)"
        " JOIN organisations o ON o.slug = v.o JOIN organisations w ON w.slug = v.w",
    )
    execute(
        dsn, "INSERT INTO models (kind, manufacturer, name) VALUES ('tablet', 'Maker', 'T 10'), ('scale', 'M', 'S')"
    )
    execute(
        dsn,
        "INSERT INTO components"
        " (model_id, serial, asset_tag, state, organisation_id, owner_id, imei, bluetooth_address)"
        " SELECT m.model_id, serial, tag, 'in_stock', o.organisation_id, o.organisation_id, imei, bt FROM (VALUES"
        " ('tablet', 'SN-77004711', 'TAG-1', 'a', '490154203237518', NULL),"
        " ('scale', 'SC-1', 'TAG-2', 'b', NULL, '00:1A:7D:DA:71:13')) v (kind, serial, tag, o, imei, bt)"
        " JOIN models m ON m.kind = v.kind JOIN organisations o ON o.slug = v.o",
    )


@asynccontextmanager
async def as_of(database: str, organisation: str | None) -> AsyncIterator[httpx.AsyncClient]:
    secret = await make_token(database, Role.SUPPORT, organisation=organisation)
    async with running_app(database) as app, caller(app, secret) as client:
        yield client


async def found(client: httpx.AsyncClient, text: str) -> list[tuple[str, Any]]:
    answer = await client.get("/api/v1/search", params={"q": text})
    assert answer.status_code == 200, answer.text
    return [(hit["by"], hit["serial"] or hit["kit"]) for hit in answer.json()["items"]]


EVERYTHING: tuple[tuple[str, list[tuple[str, str]]], ...] = (
    ("K-004711", [("kit", "K-004711")]),
    ("k-0047", [("kit", "K-004711"), ("kit", "K-004712")]),
    ("4711", [("tail", "K-004711"), ("tail", "K-114711"), ("tail", "SN-77004711")]),
    ("åbenrå", [("label", "K-004711"), ("label", "K-004712")]),
    ("Aaben", [("label", "K-004711"), ("label", "K-004712")]),
    ("LUNGE åben", [("label", "K-004711")]),
    ("ærø", [("label", "K-114711")]),
    ("AEROE", [("label", "K-114711")]),
    ("reserve", [("label", "X-9")]),
    ("sn-77004711", [("serial", "SN-77004711")]),
    ("TAG-2", [("asset_tag", "SC-1")]),
    ("49 015420 323751 8", [("imei", "SN-77004711")]),
    ("001a7dda7113", [("bluetooth_address", "SC-1")]),
    ("%", []),
    ("no such thing", []),
)


@pytest.mark.parametrize(("text", "hits"), EVERYTHING)
async def test_what_is_typed_finds_what_carries_it(database: str, text: str, hits: list[tuple[str, str]]) -> None:
    add_books(database)
    connection = await connect(database, role="test")
    async with connection:
        got = await search(connection, text)
    assert [(hit.by, hit.serial or hit.kit) for hit in got] == hits


@pytest.mark.parametrize("candidates", [(1, 3_000), (1, 1)])
async def test_where_few_of_the_first_have_all_the_words_more_are_looked_through(
    database: str, candidates: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "CANDIDATES", candidates)
    add_books(database)
    connection = await connect(database, role="test")
    async with connection:
        assert [hit.kit for hit in await search(connection, "lungemedicin ærø", 1)] == (
            ["K-114711"] if candidates[1] > 1 else []
        )


async def test_nobody_finds_what_is_not_theirs(database: str) -> None:
    add_books(database)
    async with as_of(database, "a") as client:
        assert await found(client, "4711") == [("tail", "K-004711"), ("tail", "SN-77004711")]
        assert await found(client, "lungemedicin") == [("label", "K-004711")]
        for theirs in ("K-114711", "SC-1", "TAG-2", "001a7dda7113", "ærø"):
            assert await found(client, theirs) == [], theirs
    async with as_of(database, "b") as client:
        assert await found(client, "SC-1") == [("serial", "SC-1")]
        assert await found(client, "K-00") == []
    async with as_of(database, "north") as client:
        assert len(await found(client, "4711")) == 3
        assert len(await found(client, "lunge")) == 2


async def test_an_owner_finds_what_is_with_others(database: str) -> None:
    add_books(database)
    add_organisations(database, "lender")
    execute(
        database,
        "UPDATE kits SET owner_id = (SELECT organisation_id FROM organisations WHERE slug = 'lender')"
        " WHERE kit = 'X-9'",
    )
    async with as_of(database, "lender") as client:
        assert await found(client, "sønderborg") == [("label", "X-9")]
        assert await found(client, "X-9") == [("kit", "X-9")]
        assert await found(client, "lunge") == []


async def test_words_follow_their_label_and_their_kit(database: str) -> None:
    add_books(database)
    execute(database, "UPDATE kits SET label = 'Skagen' WHERE kit = 'X-9'")
    execute(
        database,
        "UPDATE kits SET organisation_id = o.organisation_id, owner_id = o.organisation_id FROM organisations o"
        " WHERE o.slug = 'a' AND kit = 'X-9'",
    )
    async with as_of(database, "a") as client:
        assert await found(client, "skag") == [("label", "X-9")]
        assert await found(client, "reserve") == []
    assert value(database, "SELECT count(*) FROM kit_words w JOIN kits USING (kit_id) WHERE kit = 'X-9'") == 1


async def test_bad_questions(database: str) -> None:
    async with api(database) as client:
        problem(await client.get("/api/v1/search"), 422, "q")
        problem(await client.get("/api/v1/search", params={"q": ""}), 422, "q")
        problem(await client.get("/api/v1/search", params={"q": "x", "limit": 1000}), 422, "limit")
        for odd in ("x" * 200, "'", '"\\', "æøå" * 60, "ⓐ 🙂", "- - -"):
            assert await found(client, odd) == []


async def test_a_request_is_found_by_its_number(database: str) -> None:
    add_books(database)
    execute(
        database,
        "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)"
        " SELECT 'SR-2026-000042', kit_id, 'silent', 'support', 'high', 'open', now(), now() FROM kits"
        " WHERE kit = 'X-9'",
    )
    for text, places in (("SR-2026-000042", 1), (" sr-2026-42 ", 1), ("SR-2026-000043", 0), ("SR-2026-", 0)):
        async with as_of(database, "b") as client:
            hits = (await client.get("/api/v1/search", params={"q": text})).json()["items"]
        assert [(hit["kind"], hit["number"], hit["kit"], hit["state"]) for hit in hits] == [
            ("request", "SR-2026-000042", "X-9", "open")
        ] * places, text
    async with as_of(database, "a") as client:
        assert await found(client, "SR-2026-000042") == []
