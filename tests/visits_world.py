"""What the tests of visits share: a kit of a municipality that is on its way to a home, and callers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from fleet.access.roles import Role
from tests.api import caller, make_token, running_app
from tests.books_world import API, enter_pieces, enter_type, made, prepare, step, tell

VISITS = f"{API}/visits"
PERIPHERALS = ("scale-1", "oximeter-1")
INSTALLED = {"instruction_given": True, "receipt": "citizen"}


def day(days: int = 0) -> str:
    """The Danish day so many days from now, as sent."""
    now = datetime.now(UTC).astimezone(ZoneInfo("Europe/Copenhagen"))
    return (now.date() + timedelta(days=days)).isoformat()


@dataclass(frozen=True, slots=True)
class World:
    """A kit `K-1` of `nord` with its `pieces`, `placement` planned for it; and who calls."""

    database: str
    admin: httpx.AsyncClient
    logistics: httpx.AsyncClient
    support: httpx.AsyncClient
    service: httpx.AsyncClient
    pieces: dict[str, int]
    models: dict[str, int]
    placement: int


@asynccontextmanager
async def world(database: str, state: str = "dispatched") -> AsyncIterator[World]:
    """The world on a running application, with the kit in a state of its way to the home."""
    async with running_app(database) as app:
        clients = {}
        for role in (Role.ADMIN, Role.LOGISTICS, Role.SUPPORT, Role.SERVICE):
            clients[role] = caller(app, await make_token(database, role))
        admin = clients[Role.ADMIN]
        await made(
            await admin.post(f"{API}/organisations", json={"slug": "nord", "name": "Nord", "kind": "municipality"})
        )
        models = await enter_type(admin)
        pieces = await enter_pieces(admin, models, organisation="nord")
        await prepare(admin, database, "K-1", pieces, organisation="nord")
        placement = await place(admin, "K-1")
        for each in ("ready", "dispatched", "installed")[: ("ready", "dispatched", "installed").index(state) + 1]:
            if each == "installed":
                heard(database)
            await step(admin, "K-1", each)
        yield World(
            database,
            admin=admin,
            logistics=clients[Role.LOGISTICS],
            support=clients[Role.SUPPORT],
            service=clients[Role.SERVICE],
            pieces=pieces,
            models=models,
            placement=placement,
        )


@asynccontextmanager
async def nord(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """Logistics of `nord` alone."""
    token = await make_token(database, Role.LOGISTICS, organisation="nord")
    async with running_app(database) as app, caller(app, token) as client:
        yield client


async def place(client: httpx.AsyncClient, kit: str, reference: str = "KOL-8841") -> int:
    """Plan a placement for a kit; gives its number."""
    body = {"reference": reference, "organisation": "nord", "kit": kit, "programme": "copd"}
    number: int = (await made(await client.post(f"{API}/placements", json=body)))["id"]
    return number


def heard(database: str, *peripherals: str, kit: str = "K-1") -> None:
    """The kit reports from where it is, with everything paired."""
    tell(database, kit, software={"app": "2"}, contact=peripherals or PERIPHERALS)


async def plan(client: httpx.AsyncClient, kind: str = "install", **more: Any) -> Any:
    """A visit to `K-1` on the next day."""
    body = {"kind": kind, "planned_on": day(1), **({} if "kit" in more else {"kit": "K-1"}), **more}
    return await made(await client.post(VISITS, json={name: each for name, each in body.items() if each is not None}))


async def act(client: httpx.AsyncClient, visit: Any, what: str, **body: Any) -> Any:
    """Something is done with a visit."""
    return await made(await client.post(f"{VISITS}/{visit['number']}/{what}", json=body or None))
