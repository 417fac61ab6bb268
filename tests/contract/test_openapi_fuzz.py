"""Whatever is sent, the answer is one that the document describes, and never a 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from fleet.access.roles import Role
from tests.api import MEDIA_TYPE, caller, make_token, running_app
from tests.support import add_kits

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e400, 2**63, 10**400, "", " ", "K-1", "\x00", "a\x00b", "\ud800", "'; DROP TABLE kits; --",
    "æøå", "😀" * 300, "x" * 5000, [], [1], {}, {"a": {"b": [None]}}, {"app": 1}, {"app": "\x00"},
    "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "NaN", "Infinity", "..", "%00", "null",
)  # fmt: skip
"""Values that programs and people send by error or by intent."""

CURSORS = (
    "",
    "x",
    "W10",
    "WyJraXQiLCAiIiwgMF0",
    "WyJraXQiLCAiXHUwMDAwIiwgMF0",
    "WzFd",
    "Wy0xXQ",
    "WyJcdWQ4MDAiXQ",
    "W251bGxd",
)
RAW = (b"", b"{", b"[]", b"null", b"\xff", b'"x"', b"1", b"{}" * 1000, b"[" * 20000, b'{"kit": NaN}', b'{"kit": 1e999}')


@pytest.fixture
async def asked(database: str) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """A running application with one kit, and an administrator's client."""
    add_kits(database, "K-1")
    token = await make_token(database, Role.ADMIN)
    async with running_app(database) as app, caller(app, token) as client:
        yield app, client


def described(app: FastAPI, method: str) -> list[tuple[str, dict[str, Any]]]:
    """The operations of a method that end by themselves."""
    paths = app.openapi()["paths"]
    found = [(path, operations[method]) for path, operations in paths.items() if method in operations]
    return [(path, operation) for path, operation in found if path.startswith("/api/") and "events" not in path]


def as_described(operation: dict[str, Any], answer: httpx.Response) -> None:
    """The status is a documented one (404 of a path that is none aside), and errors are problems."""
    told = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500, told
    assert str(answer.status_code) in {*operation["responses"], "404", "405", "413"}, told
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == MEDIA_TYPE, told
        assert answer.json()["status"] == answer.status_code


async def test_odd_paths(asked: tuple[FastAPI, httpx.AsyncClient]) -> None:
    app, client = asked
    for method in ("get", "delete"):
        for path, operation in described(app, method):
            for odd in ODD if "{" in path else ():
                segment = quote(str(odd).encode(errors="surrogatepass")[:500], safe="")
                as_described(operation, await client.request(method, path.partition("{")[0] + segment))


async def test_odd_queries(asked: tuple[FastAPI, httpx.AsyncClient]) -> None:
    app, client = asked
    for path, operation in described(app, "get"):
        names = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
        address = path.format(kit="K-1", id="1", number="SR-1")
        for name in names:
            for odd in CURSORS if name == "cursor" else ODD:
                value = quote(str(odd).encode(errors="surrogatepass")[:500], safe="")
                as_described(operation, await client.get(f"{address}?{name}={value}"))


async def test_odd_bodies(asked: tuple[FastAPI, httpx.AsyncClient]) -> None:
    app, client = asked
    schemas = app.openapi()["components"]["schemas"]
    headers = {"content-type": "application/json"}
    for method in ("post", "patch"):
        for path, operation in described(app, method):
            if "application/json" not in operation.get("requestBody", {}).get("content", {}):
                continue
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            address = path.format(kit="K-1", id="1", number="SR-1")
            for raw in RAW:
                as_described(operation, await client.request(method, address, content=raw, headers=headers))
            for name in schemas[reference.rsplit("/", 1)[1]]["properties"]:
                for odd in ODD:
                    content = json.dumps({"kit": "K-9", "to": "ready", name: odd}).encode()
                    as_described(operation, await client.request(method, address, content=content, headers=headers))


async def test_odd_headers(asked: tuple[FastAPI, httpx.AsyncClient]) -> None:
    app, client = asked
    for method in ("post", "patch"):
        for path, operation in described(app, method):
            address = path.format(kit="K-1", id="1", number="SR-1")
            for name in ("If-Match", "Idempotency-Key", "Content-Type", "Accept-Language", "Cookie", "Content-Length"):
                for odd in ("", "x", '"1"', '"x", W/"1"', "*", "\xff", "a" * 3000, "fleet_session=x"):
                    if (name, odd) == ("Content-Length", "x"):
                        continue
                    headers = [(name.encode(), odd.encode("latin-1"))]
                    as_described(operation, await client.request(method, address, headers=headers))
