"""What can be asked over HTTP, read off the application and its OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Mount

from fleet.access.roles import Permission
from fleet.api.app import create_app
from fleet.api.auth import Gate
from fleet.api.shapes import PREFIX
from tests.api import settings_for

OWN_ACCOUNT = f"{PREFIX}/me"
STREAM = f"{PREFIX}/events"


NEEDED = {"model_id": 3, "month": f"{datetime.now(UTC):%Y-%m}"}
"""Values of query fields by name."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path, with the permission that its gate asks for and the schema of what it takes."""

    method: str
    path: str
    permission: Permission
    queries: frozenset[str] = frozenset()
    media_type: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict, hash=False)
    needed: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Query fields without which it answers nothing, with values."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def changes(self) -> bool:
        """Whether it is meant to change anything."""
        return self.method != "GET"

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Each parameter of the path, with the collection that it picks from."""
        return [(self.path[: found.start() - 1], found[1]) for found in re.finditer(r"\{(\w+)\}", self.path)]


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


@cache
def _application() -> FastAPI:
    return create_app(settings_for("postgresql://nobody@127.0.0.1:1/none"))


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document as a client reads it; not to be changed."""
    read: dict[str, Any] = json.loads(json.dumps(_application().openapi()))
    return read


@cache
def operations() -> tuple[Operation, ...]:
    """All operations of the API but those on one's own account; what only reads comes first, deletion last."""
    permissions = {
        (method, path): gates(route.dependant)[0].permission
        for path, route in routes(_application())
        if isinstance(route, APIRoute) and path.startswith(PREFIX)
        for method in route.methods
    }
    found = []
    for path, methods in document()["paths"].items():
        for method, told in methods.items():
            permission = permissions.get((method.upper(), path))
            if permission is not None and not path.startswith(OWN_ACCOUNT):
                found.append(_operation(document(), method.upper(), path, permission, told))
    order = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return tuple(sorted(found, key=lambda each: order.index(each.method)))


def _operation(
    document: Mapping[str, Any], method: str, path: str, permission: Permission, told: Mapping[str, Any]
) -> Operation:
    asked = [each for each in told.get("parameters", []) if each["in"] == "query"]
    queries = frozenset(each["name"] for each in asked)
    needed = {each["name"]: example(each["schema"], NEEDED, each["name"]) for each in asked if each.get("required")}
    for media_type, content in told.get("requestBody", {}).get("content", {}).items():
        schema = inlined(document, content["schema"])
        return Operation(method, path, permission, queries, media_type, schema, needed)
    return Operation(method, path, permission, queries, needed=needed)


def inlined(document: Mapping[str, Any], part: Any, depth: int = 0) -> Any:
    """A schema with everything in place that it refers to."""
    if isinstance(part, list):
        return [inlined(document, each, depth) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part and depth < 10:
        name = part["$ref"].rsplit("/", 1)[1]
        return inlined(document, document["components"]["schemas"][name], depth + 1)
    return {name: inlined(document, each, depth) for name, each in part.items()}


def example(schema: Mapping[str, Any], known: Mapping[str, Any], name: str = "") -> Any:
    """The least that fulfils a schema; `known` are values by the name of the field."""
    if name in known and known[name] in schema.get("enum", [known[name]]):
        return known[name]
    for way in ("examples", "enum"):
        if schema.get(way):
            return schema[way][0]
    if "const" in schema:
        return schema["const"]
    for way in ("anyOf", "oneOf", "allOf"):
        if way in schema:
            return example(schema[way][0], known)
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return {each: example(properties[each], known, each) for each in schema.get("required", [])}
    if schema.get("type") == "array":
        return [example(schema["items"], known)] * max(schema.get("minItems", 0), 1)
    if schema.get("type") in ("integer", "number"):
        return int(schema.get("minimum", 1))
    if schema.get("type") == "boolean":
        return False
    return {"date": "2026-11-01", "date-time": "2026-11-01T00:00:00Z"}.get(schema.get("format", ""), "text")
