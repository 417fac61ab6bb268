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
from tests.isolation.world import ELSEWHERE, KINDS, REGION, A, B, Caller, make_caller

PAST, FUTURE, KIT = "zzpast", "zzfuture", "zzmoved"
"""What stands in everything of the time before and after."""

_SQL = load_queries("tests.isolation", "moves.sql")
SCALE = 1 + KINDS.index("scale")
HAPPENINGS = (
    *("heartbeat", "report", "change", "alert", "finding", "component_finding", "billable_event", "event"),
    *("log", "call", "visit", "commands_over"),
)
"""What no API makes, or not so soon."""

TABLES = (
    "seen_heartbeats", "seen_reports", "seen_changes", "grafana_heartbeats", "grafana_messages", "grafana_changes",
    "grafana_alerts", "grafana_service_requests", "book_events", "alerts", "service_requests", "placements", "findings",
    "commands", "billable_events", "audit", "events", "known_components", "request_events", "grafana_request_events",
    "calls", "grafana_calls", "visits", "visit_attempts", "grafana_visits", "grafana_visit_attempts",
)  # fmt: skip
"""Where both times have rows with their word in them."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A kit of the region that was of A and is of B."""

    database: str
    handed_id: int
    """A piece that was in the kit and then went alone from A to B."""
    stayed_id: int
    """A piece that was in the kit all the time."""


@pytest.fixture
async def moved(own_world: str) -> Moved:
    """The same happens to a kit under A and, after it was given away, under B."""
    async with running_app(own_world) as app, caller(app, await make_caller(own_world, Caller(Role.ADMIN))) as client:
        body = {"kit": KIT, "label": "moved", "state": "preparing", "organisation": A, "owner": REGION}
        await sent(client, "POST", "/kits", body)
        handed, stayed = [await _piece(client, f"{KIT}-{name}", A) for name in ("handed", "stayed")]
        for piece in (handed, stayed):
            await sent(client, "POST", f"/kits/{KIT}/swaps", {"incoming": piece, "override": True, "reason": PAST})
        await _happens(own_world, client, PAST, A)
        await _taken_out(client, handed, PAST, A)
        await sent(client, "POST", f"/components/{handed}/assignments", {"organisation": B})
        await sent(client, "POST", f"/components/{handed}/moves", {"location": f"{B}-van", "reason": FUTURE})
        await sent(client, "PATCH", f"/kits/{KIT}", {"organisation": B})
        await _happens(own_world, client, FUTURE, B)
    with psycopg.connect(own_world, autocommit=True) as connection:
        connection.execute(_SQL["placed"], {"kit": KIT})
    return Moved(own_world, handed, stayed)


async def _piece(client: httpx.AsyncClient, serial: str, organisation: str) -> int:
    place = {"organisation": organisation, "owner": REGION, "location": f"{organisation}-depot"}
    piece = await sent(client, "POST", "/components", {"model_id": SCALE, "serial": serial, **place})
    return int(piece["id"])


async def _taken_out(client: httpx.AsyncClient, piece: int, word: str, organisation: str) -> None:
    there = {"state": "cleaning", "location": f"{organisation}-van", "reason": word}
    await sent(client, "POST", f"/kits/{KIT}/swaps", {"outgoing": piece, "override": True, **there})


async def sent(client: httpx.AsyncClient, method: str, path: str, body: Mapping[str, Any]) -> Any:
    """An answer to something that must work."""
    answer = await client.request(method, PREFIX + path, json=body)
    assert answer.is_success, f"{path}: {answer.text}"
    return answer.json()


async def _happens(database: str, client: httpx.AsyncClient, word: str, organisation: str) -> None:
    """One of everything about the kit, over and done with, so that nothing of it is still open when it goes."""
    number = {PAST: 1, FUTURE: 2}[word]
    plan = {"reference": f"{word}-ref-{number}", "organisation": organisation, "kit": KIT, "programme": word}
    placement = await sent(client, "POST", "/placements", plan)
    await sent(client, "POST", f"/placements/{placement['id']}/cancel", {"reason": word})
    for label in (f"moved {word}", "moved"):
        await sent(client, "PATCH", f"/kits/{KIT}", {"label": label})
    await sent(client, "POST", f"/kits/{KIT}/moves", {"location": f"{organisation}-van", "reason": word})
    await sent(client, "POST", f"/kits/{KIT}/commands", {"name": "ping", "arguments": {"note": word}})
    piece = await _piece(client, f"{word}-piece", organisation)
    await sent(client, "POST", f"/kits/{KIT}/swaps", {"incoming": piece, "override": True, "reason": word})
    values = {"kit": KIT, "word": word, "evidence": Jsonb({"note": word}), "placement_id": placement["id"]}
    with psycopg.connect(database, autocommit=True) as connection:
        for query in HAPPENINGS:
            connection.execute(_SQL[query], values)
    await _taken_out(client, piece, word, organisation)


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
    f"/kits/{KIT}/commands", "/components/{handed}/history", "/components/{handed}/stays",
    "/components/{stayed}/placements", "/recalls?model_id={scale}",
    f"/calls?kit={KIT}", f"/visits?kit={KIT}",
    f"/alerts?kit={KIT}", f"/service-requests?kit={KIT}", f"/placements?kit={KIT}", f"/audit?kit={KIT}",
    f"/billable-events?kit={KIT}", f"/findings?kit={KIT}", "/findings?component={stayed}",
    "/alerts", "/service-requests", "/placements", "/audit", "/calls", "/visits", "/billable-events", "/findings",
    *(f"/exports/{kind}?format=csv" for kind in (
        "book-events", "stays", "placements", "findings", "billable-events", "alerts", "service-requests",
        "service-request-log", "calls", "visits")),
    f"/exports/heartbeats?format=ndjson&kit={KIT}", "/audit/export?format=csv",
)  # fmt: skip
"""Where the history of a kit and its pieces is read."""


def place_of(slug: str) -> str:
    """Where everything is in an organisation's time."""
    return f"{slug}-van"


async def told(moved: Moved, client: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """What each route answers."""
    values = {"handed": moved.handed_id, "stayed": moved.stayed_id, "scale": SCALE}
    found = {route: await client.get(PREFIX + route.format(**values)) for route in ROUTES}
    incidents = (await client.get(f"{PREFIX}/incidents?limit=100")).json()["items"]
    for incident in incidents:
        path = f"/incidents/{incident['id']}/members"
        found[path] = await client.get(PREFIX + path)
    return found


@pytest.mark.parametrize(("slug", "own", "other"), [(A, PAST, FUTURE), (B, FUTURE, PAST)])
async def test_each_is_told_of_its_own_time_by_every_route(moved: Moved, slug: str, own: str, other: str) -> None:
    places = {PAST: place_of(A), FUTURE: place_of(B)}
    async with looking(moved, slug) as client:
        answers = await told(moved, client)
        assert (await client.get(f"{PREFIX}/kits/{KIT}")).status_code == (404 if slug == A else 200)
        assert (KIT in (await client.get(f"{PREFIX}/kits?limit=100")).text) == (slug == B)
        assert (await client.get(f"{PREFIX}/components/{moved.stayed_id}")).status_code == (404 if slug == A else 200)
    wrong = []
    for route, answer in answers.items():
        if not answer.is_success:
            wrong.append(f"{route}: {answer.status_code}")
        elif other in answer.text or places[other] in answer.text:
            wrong.append(f"{route} tells of the other time")
        elif own not in answer.text and places[own] not in answer.text and "/members" not in route:
            wrong.append(f"{route} does not tell of its own time")
        elif "kit=" in route and f'"kit":"{KIT}"' not in answer.text:
            wrong.append(f"{route} does not name the kit")
    assert wrong == [], "\n".join(wrong)
    members = [answer.text for route, answer in answers.items() if "/members" in route]
    assert sum(f'"kit":"{KIT}"' in text for text in members) == 1


async def test_the_owner_is_told_all_of_it_and_others_nothing(moved: Moved) -> None:
    async with looking(moved, REGION) as client:
        answers = await told(moved, client)
        # It was at A's until B moved it, so that stay is of both.
        for slug, places in ((A, {place_of(A)}), (B, {place_of(A), place_of(B)})):
            stays = (await client.get(f"{PREFIX}/exports/stays?format=csv&organisation={slug}")).text
            of_kit = [line for line in stays.splitlines() if line.startswith(f"{KIT},")]
            assert {place for place in map(place_of, (A, B)) if any(place in line for line in of_kit)} == places
    for route, answer in answers.items():
        assert answer.is_success, (route, answer.text)
        if not route.endswith("/members") and "stays" not in route:
            assert words([answer.text]) == {PAST, FUTURE}, (route, answer.text[:2000])
    async with looking(moved, ELSEWHERE) as client:
        answers = await told(moved, client)
    for route, answer in answers.items():
        assert words([answer.text]) == set(), (route, answer.text[:2000])
        assert answer.status_code == (
            404 if route.startswith(("/kits/", "/components/", "/exports/heartbeats")) else 200
        ), (
            route,
            answer.text,
        )


def test_nobody_reads_where_a_piece_was_before_it_was_theirs(connection: Connection, moved: Moved) -> None:
    for slug, stays, memberships in ((A, 0, 1), (B, 2, 0), (REGION, 3, 1)):
        scope = connection.execute(
            "SELECT scope_of(organisation_id)::text FROM organisations WHERE slug = %s", (slug,)
        ).fetchone()
        assert scope
        with reading(connection, scope[0]):
            found = [
                connection.execute(f"SELECT count(*) FROM {table} WHERE component_id = %s", (moved.handed_id,))
                for table in ("stays", "kit_components")
            ]
            assert [each.fetchone() for each in found] == [(stays,), (memberships,)], slug
