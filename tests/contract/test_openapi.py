"""The contract over HTTP: every resource is there, guarded, described, and answers as described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel
from starlette.routing import BaseRoute, Mount

from fleet.access.roles import PERMISSIONS, Permission, Role, allowed, permission_table
from fleet.api.app import create_app
from fleet.api.auth import Gate
from tests.api import MEDIA_TYPE, caller, make_token, problem, running_app, settings_for
from tests.support import add_kits, execute

RESOURCES = (
    "GET /api/v1/kits",
    "POST /api/v1/kits",
    "GET /api/v1/kits/{kit}",
    "PATCH /api/v1/kits/{kit}",
    "POST /api/v1/kits/{kit}/transitions",
    "GET /api/v1/kits/{kit}/changes",
    "GET /api/v1/kits/{kit}/heartbeats",
    "GET /api/v1/alerts",
    "GET /api/v1/alerts/{id}",
    "POST /api/v1/alerts/{id}/acknowledge",
    "GET /api/v1/service-requests",
    "GET /api/v1/service-requests/{number}",
    "PATCH /api/v1/service-requests/{number}",
    "GET /api/v1/incidents",
    "GET /api/v1/incidents/{id}",
    "GET /api/v1/incidents/{id}/members",
    "GET /api/v1/rules",
    "GET /api/v1/organisations",
    "POST /api/v1/organisations",
    "GET /api/v1/quarantine",
    "GET /api/v1/tokens",
    "POST /api/v1/tokens",
    "DELETE /api/v1/tokens/{id}",
    "GET /api/v1/users",
    "POST /api/v1/users",
    "GET /api/v1/users/{id}",
    "PATCH /api/v1/users/{id}",
    "POST /api/v1/users/{id}/reset-password",
    "POST /api/v1/users/{id}/reset-totp",
    "GET /api/v1/me",
    "POST /api/v1/me/password",
    "POST /api/v1/me/totp",
    "POST /api/v1/me/totp/confirm",
    "POST /api/v1/me/totp/remove",
    "GET /api/v1/statistics",
    "GET /api/v1/events",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
)

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
}
"""What anybody who reaches the port may ask for."""

OWN = re.compile(r"/api/v1/me(/.*)?|/account(/.*)?")
"""What everybody who is logged in does with their own account; its gate names no permission."""

LISTS = [line.removeprefix("GET ") for line in RESOURCES if re.fullmatch(r"GET /api/v1/[a-z-]+", line)]
LISTS = [path for path in LISTS if path not in {"/api/v1/statistics", "/api/v1/events", "/api/v1/me"}]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application, not started: it needs no database to describe itself."""
    return create_app(settings_for("postgresql://nobody@127.0.0.1:1/none"))


@pytest.fixture(scope="module")
def schema(app: FastAPI) -> dict[str, Any]:
    """Its OpenAPI document, as a client reads it."""
    document: dict[str, Any] = json.loads(json.dumps(app.openapi()))
    return document


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of everything in the document."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_resource_is_there_and_nothing_else(schema: dict[str, Any]) -> None:
    found = {f"{method} {path}" for method, path, _ in operations(schema)}
    assert found == set(RESOURCES)


def routes(app: FastAPI) -> Iterator[tuple[str, BaseRoute]]:
    """Every route, those of included routers too."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        assert isinstance(route, APIRoute | Mount) or getattr(route, "path", "") == "/openapi.json", route
        yield str(getattr(route, "path", "")), route


def gates(dependant: Dependant) -> list[Gate]:
    """The gates among a route's dependencies."""
    found = [dependant.call] if isinstance(dependant.call, Gate) else []
    return found + [gate for inner in dependant.dependencies for gate in gates(inner)]


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
        if path in OPEN or OWN.fullmatch(path) or not isinstance(route, APIRoute) or "GET" in route.methods:
            continue
        (gate,) = gates(route.dependant)
        assert not allowed(Role.AUDITOR, gate.permission), path
        assert not allowed(Role.GRAFANA, gate.permission), path


def test_every_permission_is_used_and_the_table_tells_them(app: FastAPI) -> None:
    used = {
        gate.permission for _, route in routes(app) if isinstance(route, APIRoute) for gate in gates(route.dependant)
    }
    assert used - {None} == set(Permission)
    heading, *table = permission_table()
    assert set(PERMISSIONS) == set(Role) == {Role(name) for name in heading[1:]}
    assert [row[0] for row in table] == [permission.value for permission in Permission]
    admin = heading.index("admin")
    assert all(row[admin] == "yes" for row in table)


def test_errors_are_documented_as_problems(schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
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
    for method, path, operation in operations(schema):
        headers = {each["name"] for each in operation.get("parameters", []) if each["in"] == "header"}
        assert ("Idempotency-Key" in headers) == (method == "POST"), path
        assert ("If-Match" in headers) == (method == "PATCH"), path


def test_bodies_are_strict(schema: dict[str, Any]) -> None:
    for method, path, operation in operations(schema):
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


@pytest.mark.parametrize("path", LISTS)
async def test_lists_keep_the_conventions(database: str, path: str) -> None:
    token = await make_token(database, Role.ADMIN)
    async with running_app(database) as running, caller(running, token) as client:
        answer = await client.get(path, params={"limit": 500})
        assert answer.status_code == 200
        assert set(answer.json()) == {"items", "next"}
        problem(await client.get(path, params={"limit": 0}), 422, "limit")
        problem(await client.get(path, params={"limit": 501}), 422, "limit")
        problem(await client.get(path, params={"cursor": "AAAA"}), 422, "cursor")
        problem(await client.get(path, params={"unknown_field": "1"}), 422, "unknown_field")


async def test_answers_are_as_described(database: str) -> None:
    """Each answer is read back by the model the document describes, which refuses anything else."""
    add_kits(database, "K-1")
    execute(
        database,
        "WITH a AS (INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " VALUES (1, 'silent', 'major', 'active', now(), '{}') RETURNING alert_id)"
        ", i AS (INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)"
        " VALUES ('silent', 'open', now(), 1, 1))"
        " INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)"
        " VALUES ('SR-1', 1, 'silent', 'support', 'high', 'open', now(), now())",
    )
    token = await make_token(database, Role.ADMIN)
    values = {"kit": "K-1", "id": "1", "number": "SR-1"}
    async with running_app(database) as running, caller(running, token) as client:
        asked = 0
        for path, route in routes(running):
            if not isinstance(route, APIRoute) or "GET" not in route.methods or not path.startswith("/api/"):
                continue
            # Streams and files are no JSON.
            if path == "/api/v1/events" or route.response_model is None:
                continue
            answer = await client.get(path.format(**values))
            assert answer.status_code == 200, (path, answer.text)
            model = route.response_model
            assert isinstance(model, type)
            assert issubclass(model, BaseModel), path
            model.model_validate_json(answer.text)
            asked += 1
    assert asked == 16
