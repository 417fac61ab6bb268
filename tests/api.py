"""What the tests of the API share: the application in this process, callers with roles, problems checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from fleet.access import tokens
from fleet.access.roles import Role
from fleet.api import service
from fleet.api.app import create_app
from fleet.config import Settings
from fleet.db.connect import connect
from tests.support import eventually

MEDIA_TYPE = "application/problem+json"


def settings_for(database: str, data_dir: Path = Path("/nonexistent")) -> Settings:
    """Settings of an API on `database`."""
    return Settings(
        database_url=database, data_dir=data_dir, http_port=0, secret_key="a key of forty characters for tests only"
    )


async def make_token(database: str, role: Role, **more: Any) -> str:
    """The secret of a new token."""
    connection = await connect(database, role="test")
    try:
        return (await tokens.create(connection, name=f"test {role}", role=role, **more)).secret
    finally:
        await connection.close()


@asynccontextmanager
async def running_app(database: str) -> AsyncIterator[FastAPI]:
    """The application with its pool and feed."""
    app = create_app(settings_for(database))
    async with app.router.lifespan_context(app):
        yield app


def caller(app: FastAPI, token: str | None = None) -> httpx.AsyncClient:
    """A client of the application in this process."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://fleet.test", headers=headers)


@asynccontextmanager
async def api(database: str, role: Role = Role.ADMIN) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a token of `role` on a running application."""
    token = await make_token(database, role)
    async with running_app(database) as app, caller(app, token) as client:
        yield client


def problem(response: httpx.Response, status: int, field: str | None = None) -> dict[str, Any]:
    """The problem a response holds, checked for what every problem has."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:telekit-fleet:problem:")
    assert body["title"]
    assert body["detail"]
    if field is not None:
        assert body["field"] == field, body
        assert field in body["detail"]
    return body


async def pages(client: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """All items of a list, following its cursors."""
    items: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while True:
            response = await client.get(path, params=query)
            assert response.status_code == 200, response.text
            body = response.json()
            items += body["items"]
            if body["next"] is None:
                return items
            query["cursor"] = body["next"]


@asynccontextmanager
async def serving(database: str, trusted_proxies: str = "") -> AsyncIterator[str]:
    """The application behind a real socket in this process; gives its URL."""
    app = create_app(settings_for(database))
    listener = service.listen("127.0.0.1", 0)
    server = service.make_server(app, trusted_proxies)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await eventually(lambda: server.started, 15, "the server to start")
        yield service.url_of(listener)
    finally:
        server.end()
        await asyncio.wait_for(task, 15)


class Stream:
    """Reads server-sent events of a response, with deadlines."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def event(self, type_: str, deadline_s: float = 10) -> tuple[str, dict[str, Any]]:
        """The next event, which must be of `type_`: its id and data."""
        async with asyncio.timeout(deadline_s):
            parts = await self._next()
        assert parts["event"] == type_, parts
        return parts["id"], json.loads(parts["data"])

    async def moved(self, count: int) -> list[str]:
        """The kits of the next `count` events about moves; where the stream stands is passed over."""
        kits: list[str] = []
        async with asyncio.timeout(15):
            while len(kits) < count:
                parts = await self._next()
                if parts["event"] != "ready":
                    assert parts["event"] == "kit.moved", parts
                    kits.append(json.loads(parts["data"])["kit"])
        return kits

    async def ended(self, deadline_s: float = 10) -> bool:
        """Whether the stream ends, whatever still comes, within the deadline."""
        async with asyncio.timeout(deadline_s):
            async for _ in self._lines:
                pass
        return True

    async def _next(self) -> dict[str, str]:
        parts: dict[str, str] = {}
        async for line in self._lines:
            if not line and "event" in parts:
                return parts
            name, _, text = line.partition(": ")
            if name:
                parts[name] = text
        raise AssertionError("the stream ended")


@asynccontextmanager
async def stream(url: str, token: str, last: str | None = None) -> AsyncIterator[Stream]:
    """Follow the events of the API at `url`."""
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last else {})
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", f"{url}/api/v1/events", headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)
