"""What the tests of logistics share: two municipalities with a depot each, a supplier, models, and callers of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import httpx

from fleet.access.roles import Role
from tests.api import caller, make_token, running_app
from tests.people import add_organisations
from tests.support import execute, rows, value

API = "/api/v1"
TODAY = date.today()  # noqa: DTZ011 - the database's day and ours are the same in tests


def day(days: int) -> str:
    """The day so many days from now, as sent."""
    return (TODAY + timedelta(days=days)).isoformat()


@dataclass(frozen=True, slots=True)
class World:
    """A running application and its callers: `a` and `b` are logistics of two municipalities, `region` above both."""

    database: str
    a: httpx.AsyncClient
    b: httpx.AsyncClient
    region: httpx.AsyncClient
    admin: httpx.AsyncClient
    auditor: httpx.AsyncClient
    models: Mapping[str, int]


@asynccontextmanager
async def logistics(database: str) -> AsyncIterator[World]:
    """The world on a running application."""
    add_organisations(database, "nord", kind="region")
    add_organisations(database, "aalborg", "hjorring", under="nord")
    add_organisations(database, "maker", kind="supplier")
    for slug, owner in (("depot-a", "aalborg"), ("shelf-a", "aalborg"), ("shop-a", "aalborg"), ("depot-b", "hjorring")):
        execute(
            database,
            "INSERT INTO locations (slug, name, kind, organisation_id)"
            " SELECT %s, %s, 'depot', organisation_id FROM organisations WHERE slug = %s",
            slug,
            slug,
            owner,
        )
    models = {
        kind: value(
            database,
            "INSERT INTO models (kind, manufacturer, name, calibration_interval_days)"
            " VALUES (%s, 'Maker', %s, %s) RETURNING model_id",
            kind,
            f"Model {kind}",
            365 if kind == "scale" else None,
        )
        for kind in ("tablet", "scale", "oximeter")
    }
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(running_app(database))

        async def client(role: Role, organisation: str | None) -> httpx.AsyncClient:
            token = await make_token(database, role, organisation=organisation)
            return await stack.enter_async_context(caller(app, token))

        yield World(
            database,
            a=await client(Role.LOGISTICS, "aalborg"),
            b=await client(Role.LOGISTICS, "hjorring"),
            region=await client(Role.LOGISTICS, "nord"),
            admin=await client(Role.ADMIN, None),
            auditor=await client(Role.AUDITOR, "aalborg"),
            models=models,
        )


async def made(response: httpx.Response) -> Any:
    """The body of an answer that did what was asked."""
    assert response.is_success, response.text
    return response.json() if response.content else None


async def order(
    client: httpx.AsyncClient, *lines: Mapping[str, Any], organisation: str = "aalborg", **more: Any
) -> Any:
    """A new order with these lines."""
    body = {"supplier": "maker", "organisation": organisation, "lines": list(lines), **more}
    return await made(await client.post(f"{API}/orders", json=body))


async def stocked(
    world: World, kind: str, *serials: str, location: str = "depot-a", organisation: str = "aalborg", **more: Any
) -> list[int]:
    """Pieces in stock; gives their numbers."""
    numbers = []
    for serial in serials:
        body = {
            "model_id": world.models[kind],
            "serial": serial,
            "location": location,
            "organisation": organisation,
            **more,
        }
        numbers.append((await made(await world.admin.post(f"{API}/components", json=body)))["id"])
    return numbers


async def move(world: World, component_id: int, to: str, **more: Any) -> Any:
    """A step of a piece."""
    path = f"{API}/components/{component_id}/transitions"
    return await made(await world.admin.post(path, json={"to": to, **more}))


async def piece(world: World, component_id: int) -> Any:
    """A piece as the books have it."""
    return await made(await world.admin.get(f"{API}/components/{component_id}"))


async def level(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    """The only level of stock that fits."""
    (found,) = (await made(await client.get(f"{API}/stock", params=query)))["items"]
    return dict(found)


async def items(client: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """The first page of a list."""
    return list((await made(await client.get(f"{API}{path}", params=query)))["items"])


def serials(*names: str) -> list[dict[str, str]]:
    """Pieces as they are received."""
    return [{"serial": name} for name in names]


def events_of(database: str, component_id: int) -> Sequence[tuple[Any, ...]]:
    """What, from and to of a piece's events."""
    return rows(
        database,
        "SELECT what, from_state, to_state FROM book_events WHERE component_id = %s ORDER BY event_id",
        component_id,
    )
