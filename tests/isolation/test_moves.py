"""A kit that goes from one municipality to another takes its future along, not its past; its owner keeps the whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from fleet.access.roles import Role
from fleet.api.shapes import PREFIX
from fleet.db.queries import load_queries
from tests.api import caller, running_app
from tests.isolation.catalogue import Catalogue, Connection, reading
from tests.isolation.world import REGION, A, B, Caller, make_caller

PAST, FUTURE, KIT = "zzpast", "zzfuture", "zzmoved"
"""What stands in everything of the time before and after."""

_SQL = load_queries("tests.isolation", "moves.sql")

TABLES = (
    "seen_heartbeats", "seen_reports", "seen_changes", "grafana_heartbeats", "grafana_messages", "grafana_changes",
    "grafana_alerts", "grafana_service_requests", "book_events", "alerts", "service_requests", "placements", "findings",
    "commands", "billable_events", "audit", "events",
)  # fmt: skip
"""Where both times have rows with their word in them."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A kit of the region that was of A and is of B."""

    database: str
    kit_id: int


@pytest.fixture
async def moved(own_world: str) -> Moved:
    """The same happens to a kit under A and, after it was given away, under B."""
    async with running_app(own_world) as app, caller(app, await make_caller(own_world, Caller(Role.ADMIN))) as client:
        body = {"kit": KIT, "label": "moved", "state": "in_stock", "organisation": A, "owner": REGION}
        await sent(client, "POST", "/kits", body)
        kit_id = await _happens(own_world, client, PAST, A)
        await sent(client, "PATCH", f"/kits/{KIT}", {"organisation": B})
        await _happens(own_world, client, FUTURE, B)
    return Moved(own_world, kit_id)


async def sent(client: httpx.AsyncClient, method: str, path: str, body: Mapping[str, Any]) -> Any:
    """An answer to something that must work."""
    answer = await client.request(method, PREFIX + path, json=body)
    assert answer.is_success, f"{path}: {answer.text}"
    return answer.json()


async def _happens(database: str, client: httpx.AsyncClient, word: str, organisation: str) -> int:
    """One of everything about the kit, over and done with, so that nothing of it is still open when it goes."""
    number = {PAST: 1, FUTURE: 2}[word]
    plan = {"reference": f"{word}-ref-{number}", "organisation": organisation, "kit": KIT, "programme": word}
    placement = await sent(client, "POST", "/placements", plan)
    await sent(client, "POST", f"/placements/{placement['id']}/cancel", {"reason": word})
    for label in (f"moved {word}", "moved"):
        await sent(client, "PATCH", f"/kits/{KIT}", {"label": label})
    await sent(client, "POST", f"/kits/{KIT}/moves", {"location": f"{organisation}-van", "reason": word})
    await sent(client, "POST", f"/kits/{KIT}/commands", {"name": "ping", "arguments": {"note": word}})
    values = {"kit": KIT, "word": word, "evidence": Jsonb({"note": word}), "placement_id": placement["id"]}
    with psycopg.connect(database, autocommit=True) as connection:
        for query in ("heartbeat", "report", "change", "alert", "finding", "billable_event", "event", "commands_over"):
            connection.execute(_SQL[query], values)
        row = connection.execute("SELECT kit_id FROM kits WHERE kit = %s", (KIT,)).fetchone()
    assert row
    return int(row[0])


@pytest.fixture
def connection(moved: Moved) -> Iterator[Connection]:
    """An administrator's connection."""
    with psycopg.connect(moved.database, autocommit=True) as opened:
        yield opened


def words(texts: list[str]) -> set[str]:
    """Of which time there is anything."""
    return {word for word in (PAST, FUTURE) if any(word in text for text in texts)}


def test_each_sees_its_own_time_in_every_table(connection: Connection) -> None:
    catalogue = Catalogue(connection, "fleet_api")
    wrong = []
    for slug, expected in ((A, {PAST}), (B, {FUTURE}), (REGION, {PAST, FUTURE})):
        scope = connection.execute(
            "SELECT scope_of(organisation_id)::text FROM organisations WHERE slug = %s", (slug,)
        ).fetchone()
        assert scope
        for name in catalogue.relations:
            if catalogue.relations[name].readable:
                with reading(connection, scope[0]):
                    found = words(catalogue.shown(name))
                if (found != expected and name in TABLES) or (slug != REGION and found - expected):
                    wrong.append(f"{slug} sees {found} in {name}")
    assert wrong == [], "\n".join(wrong)


@asynccontextmanager
async def looking(moved: Moved, slug: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client."""
    token = await make_caller(moved.database, Caller(Role.ADMIN, slug))
    async with running_app(moved.database) as app, caller(app, token) as client:
        yield client


ROUTES = (
    f"/kits/{KIT}/heartbeats", f"/kits/{KIT}/changes", f"/kits/{KIT}/history", f"/kits/{KIT}/stays",
    f"/kits/{KIT}/commands",
    f"/alerts?kit={KIT}", f"/service-requests?kit={KIT}", f"/placements?kit={KIT}", f"/audit?kit={KIT}",
    f"/billable-events?kit={KIT}", f"/findings?kit={KIT}",
    "/exports/book-events?format=csv", "/exports/stays?format=csv",
    "/exports/placements?format=csv", "/audit/export?format=csv",
)  # fmt: skip
"""Where the history of a kit is read."""


@pytest.mark.parametrize(("slug", "other"), [(B, PAST), (A, FUTURE)])
async def test_no_route_tells_of_the_time_that_was_somebody_elses(moved: Moved, slug: str, other: str) -> None:
    async with looking(moved, slug) as client:
        told = {route: (await client.get(PREFIX + route)).text for route in (*ROUTES, f"/kits/{KIT}", "/kits")}
    places = {PAST: f"{A}-van", FUTURE: f"{B}-van"}
    assert [route for route, text in told.items() if other in text or places[other] in text] == []


async def test_the_new_organisation_sees_its_time_and_the_owner_all_of_it(moved: Moved) -> None:
    for slug, expected in ((B, {FUTURE}), (REGION, {PAST, FUTURE})):
        async with looking(moved, slug) as client:
            for route in ROUTES:
                answer = await client.get(PREFIX + route)
                assert answer.is_success, (slug, route, answer.text)
                if not route.startswith((f"/kits/{KIT}/stays", "/exports/stays")):
                    assert words([answer.text]) == expected, (slug, route, answer.text[:2000])
