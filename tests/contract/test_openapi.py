"""The contract over HTTP: every resource is there, guarded, described, and answers as described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from fleet.access.roles import PERMISSIONS, Permission, Role, allowed, permission_table
from fleet.api.app import create_app
from tests.api import MEDIA_TYPE, caller, make_token, problem, running_app, settings_for
from tests.isolation.operations import Operation, document, gates, operations, routes

COLLECTIONS = {
    "kits", "components", "models", "kit-types", "locations", "organisations", "placements", "placement-references",
    "recalls", "orders", "stock", "stocktakes", "reservations", "repairs", "queues", "findings", "billable-events",
    "alerts", "maintenance-windows", "service-requests", "incidents", "incident-settings", "rules", "quarantine",
    "commands", "book-events", "bulk-transitions", "calls", "problem-trees",
    "visits", "visit-sheets", "visit-failures", "visit-settings",
    "calendars", "contracts", "request-causes", "request-remedies", "request-settings", "request-lessons",
    "search", "imports", "exports", "labels", "audit", "retention", "users", "tokens", "me", "statistics", "events",
    "webhooks", "mail-subscriptions", "connectors", "deliveries",
}  # fmt: skip
"""What there is under `/api/v1`; a resource with another name is added here and to the docs."""

OUTSIDE = {"/healthz", "/readyz", "/metrics"}

OPEN = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/static",
    "/login",
    "/login/code",
    "/login/provider",
    "/login/provider/return",
    "/logout",
    "/language/{language}",
    "/notify/connectors/{id}",
    "/unsubscribe/{signed}",
}
"""What anybody who reaches the port may ask for."""

OWN = re.compile(r"/api/v1/me(/.*)?|/account(/.*)?")
"""What everybody who is logged in does with their own account; its gate names no permission."""

LOOKS_ONLY = {
    "/api/v1/placements/look-up",
    "/api/v1/problem-trees/{tree}/walk",
    "/api/v1/rules/{rule}/dry-run",
    "/rules/{rule}/try",
}
"""What is sent as POST so that no address holds it, and changes nothing."""
WITHOUT_KEY = LOOKS_ONLY | {"/api/v1/placements/{id}/cancel", "/api/v1/placement-references/{id}/erase"}
"""Where a repeat changes nothing anyway."""
NOT_GATES = {Permission.KITS_OVERRIDE}
"""Asked for within a step that may be taken without them."""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application, not started: it needs no database to describe itself."""
    return create_app(settings_for("postgresql://nobody@127.0.0.1:1/none"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Its OpenAPI document, as a client reads it."""
    return document()


def described(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of everything in the document."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_resource_is_there_and_nothing_else(schema: dict[str, Any]) -> None:
    paths = set(schema["paths"])
    assert {path.split("/")[3] for path in paths - OUTSIDE} == COLLECTIONS
    assert all(path.startswith("/api/v1/") for path in paths - OUTSIDE)


def test_every_route_names_its_permission(app: FastAPI) -> None:
    seen = set()
    for path, route in routes(app):
        seen.add(path)
        if path in OPEN:
            continue
        assert isinstance(route, APIRoute)
        (gate,) = gates(route.dependant)
        assert (gate.permission is None) == bool(OWN.fullmatch(path)), path
    assert seen >= OPEN


def test_who_may_only_look_cannot_change(app: FastAPI) -> None:
    for path, route in routes(app):
        if path in OPEN | LOOKS_ONLY or OWN.fullmatch(path) or not isinstance(route, APIRoute):
            continue
        if "GET" in route.methods:
            continue
        (gate,) = gates(route.dependant)
        assert not allowed(Role.AUDITOR, gate.permission), path
        assert not allowed(Role.GRAFANA, gate.permission), path


def test_every_permission_is_used_and_the_table_tells_them(app: FastAPI) -> None:
    used = {
        gate.permission for _, route in routes(app) if isinstance(route, APIRoute) for gate in gates(route.dependant)
    }
    assert used - {None} == set(Permission) - NOT_GATES
    heading, *table = permission_table()
    assert set(PERMISSIONS) == set(Role) == {Role(name) for name in heading[1:]}
    assert [row[0] for row in table] == [permission.value for permission in Permission]
    admin = heading.index("admin")
    assert all(row[admin] == "yes" for row in table)


def test_errors_are_documented_as_problems(schema: dict[str, Any]) -> None:
    for method, path, operation in described(schema):
        if not path.startswith("/api/"):
            continue
        for status in ("401", "403", "422", "503"):
            content = operation["responses"][status]["content"]
            assert list(content) == [MEDIA_TYPE], (method, path, status)
        assert operation.get("description"), (method, path)
        assert operation["tags"], (method, path)
        if "{" in path:
            assert "404" in operation["responses"], (method, path)


def test_posts_take_a_key_and_edits_a_tag(schema: dict[str, Any]) -> None:
    for method, path, operation in described(schema):
        headers = {each["name"] for each in operation.get("parameters", []) if each["in"] == "header"}
        assert ("Idempotency-Key" in headers) == (method == "POST" and path not in WITHOUT_KEY), path
        assert ("If-Match" in headers) == (method == "PATCH"), path


def test_bodies_are_strict(schema: dict[str, Any]) -> None:
    for method, path, operation in described(schema):
        if "requestBody" in operation:
            ((media, content),) = operation["requestBody"]["content"].items()
            if media == "text/csv":
                continue
            body = resolve(schema, content["schema"])
            assert body["additionalProperties"] is False, (method, path)


def resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to."""
    if "$ref" not in part:
        return part
    found: dict[str, Any] = schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]]
    return found


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(schema))):
        assert reference in schema["components"]["schemas"]


async def test_lists_keep_the_conventions(database: str) -> None:
    token = await make_token(database, Role.ADMIN)
    lists = [each for each in operations() if each.method == "GET" and not each.parts and "cursor" in each.queries]
    assert len(lists) > 20
    async with running_app(database) as running, caller(running, token) as client:
        for operation in lists:
            await keeps_the_conventions(client, operation)


async def keeps_the_conventions(client: httpx.AsyncClient, operation: Operation) -> None:
    """A list is a page with bounds, and knows its fields."""

    async def asked(**query: Any) -> httpx.Response:
        return await client.get(operation.path, params={**operation.needed, **query})

    answer = await asked(limit=500)
    assert answer.status_code == 200, operation
    assert set(answer.json()) == {"items", "next"}, operation
    problem(await asked(limit=0), 422, "limit")
    problem(await asked(limit=501), 422, "limit")
    problem(await asked(cursor="AAAA"), 422, "cursor")
    problem(await asked(unknown_field="1"), 422, "unknown_field")
