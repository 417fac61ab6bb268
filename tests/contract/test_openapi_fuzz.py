"""Whatever is sent, the answer is one that the document describes, and never a 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation

from fleet.access.roles import Role
from fleet.api.shapes import PREFIX
from tests.api import MEDIA_TYPE, caller, make_token, running_app
from tests.isolation.operations import OWN_ACCOUNT, STREAM, Operation, document, example, operations
from tests.support import add_kits

EXAMPLES = {"body": 5, "query": 3, "path": 2}
"""How many are tried, by what there is to vary."""
REAL = {"kit": "K-1", "id": 1, "line_id": 1, "slug": "north", "number": "SR-1", "kind": "history"}
"""Values of paths that lead somewhere."""

load_all_checks()
_CHECKED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
_CHECKS = CHECKS.get_by_names(_CHECKED)


@cache
def described() -> list[APIOperation[Any, Any, Any, Any]]:
    """The operations of the document that end by themselves, in its order."""
    schema = schemathesis.openapi.from_dict(document())
    found = [result.ok() for result in schema.get_all_operations()]
    return [each for each in found if each.path.startswith(PREFIX) and each.path != STREAM]


@pytest.fixture
def served(database: str) -> Iterator[tuple[asyncio.Runner, httpx.AsyncClient]]:
    """A running application with a kit and an organisation, an administrator's client, and what runs both."""

    async def begin(stack: AsyncExitStack) -> httpx.AsyncClient:
        token = await make_token(database, Role.ADMIN)
        app = await stack.enter_async_context(running_app(database))
        client = await stack.enter_async_context(caller(app, token))
        body = {"slug": "north", "name": "North", "kind": "region"}
        assert (await client.post(f"{PREFIX}/organisations", json=body)).is_success
        return client

    add_kits(database, "K-1")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        client = runner.run(begin(stack))
        try:
            yield runner, client
        finally:
            runner.run(stack.aclose())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=str)
def test_what_the_document_allows_and_what_it_does_not(
    served: tuple[asyncio.Runner, httpx.AsyncClient], mode: GenerationMode
) -> None:
    runner, client = served
    for operation in described():
        if operation.path.startswith(OWN_ACCOUNT):
            continue  # passwords cost what they are meant to cost; tests of logins try those
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
            continue  # there is nothing to get wrong
        varied = "body" if operation.body else "query" if operation.query else "path"
        # Generated paths lead nowhere, real ones lead to the database; without parameters there is but one.
        ways: tuple[dict[str, Any], ...] = ({}, REAL) if operation.path_parameters else ({},)

        @settings(
            max_examples=EXAMPLES[varied],
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode))
        def tried(case: schemathesis.Case) -> None:
            for values in ways:  # noqa: B023
                case.path_parameters = {
                    name: values.get(name, value) for name, value in (case.path_parameters or {}).items()
                }
                case.validate_response(runner.run(send(client, case)), checks=_CHECKS)

        tried()


async def send(client: httpx.AsyncClient, case: schemathesis.Case) -> httpx.Response:
    """A generated request."""
    given = case.as_transport_kwargs(base_url="http://fleet.test")
    try:
        request = _request(client, given)
    except (httpx.InvalidURL, UnicodeError):
        reject()  # what no client can send
    return await client.send(request)


def _request(client: httpx.AsyncClient, given: dict[str, Any]) -> httpx.Request:
    return httpx.Request(
        given["method"],
        given["url"],
        params=given.get("params"),
        headers={**given.get("headers", {}), "Authorization": client.headers["Authorization"]},
        cookies=given.get("cookies"),
        json=given.get("json"),
        content=given.get("data") if isinstance(given.get("data"), str | bytes) else None,
    )


# What a generator that reads the document does not think of: broken JSON, cursors, headers.
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
NO_TEXT = "a\x00b"
TEXTS = (NO_TEXT, "\ud800", "x" * 5000)
NUMBERS = (1e400, 10**400)
TIMES = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", NO_TEXT)
WORDS = ("NaN", "Infinity", "..", "%00")
ODD = tuple(dict.fromkeys((None, *TEXTS, *NUMBERS, *TIMES, *WORDS)))
RAW = (b"", b"{", b"[]", b"null", b"\xff", b'"x"', b"1", b"{}" * 1000, b"[" * 20000, b'{"kit": NaN}', b'{"kit": 1e999}')
TAGS = ("", "x", '"1"', '"x", W/"1"', "*", "\xff", "a" * 3000, "fleet_session=x")
HEADERS = ("If-Match", "Idempotency-Key", "Content-Type", "Accept-Language", "Cookie")
JSON = {"content-type": "application/json"}


def odd_of(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a value of this kind can be and no database can hold; one that any check sees where few are allowed."""
    ways = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if all("enum" in each or "const" in each or each.get("type") in ("boolean", "array", "object") for each in ways):
        return (NO_TEXT,)
    found: dict[Any, None] = {}
    for way in ways:
        if way.get("type") in ("integer", "number"):
            found |= dict.fromkeys((*NUMBERS, *WORDS[:2]))
        elif "date" in way.get("format", ""):
            found |= dict.fromkeys(TIMES)
        else:
            found |= dict.fromkeys(TEXTS)
    return tuple(found)


def address(operation: Operation) -> str:
    """A path that leads somewhere."""
    return operation.path.format(**{name: REAL.get(name, "1") for _, name in operation.parts})


def parameters(operation: Operation, where: str) -> dict[str, Any]:
    """The schemas of what an operation takes in its query or headers, by name."""
    told = document()["paths"][operation.path][operation.method.lower()].get("parameters", [])
    return {each["name"]: each["schema"] for each in told if each["in"] == where}


def as_told(answer: httpx.Response) -> None:
    """No error of ours, and errors are problems."""
    told = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
    assert answer.status_code < 500, f"{told} to {answer.request.content[:300]!r}"
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == MEDIA_TYPE, told
        assert answer.json()["status"] == answer.status_code


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client of a running application with one kit."""
    add_kits(database, "K-1")
    token = await make_token(database, Role.ADMIN)
    async with running_app(database) as app, caller(app, token) as made:
        yield made


async def test_broken_json(client: httpx.AsyncClient) -> None:
    for operation in operations():
        if operation.media_type == "application/json":
            for raw in RAW:
                as_told(await client.request(operation.method, address(operation), content=raw, headers=JSON))


async def test_what_no_database_can_hold(client: httpx.AsyncClient) -> None:
    """Every field at once, so that each is checked; and alone in a body that is right but for it."""
    for operation in operations():
        fields = operation.body.get("properties", {})
        right = example(operation.body, {"kit": "K-1", "model_id": 1}) if fields else {}
        bodies = [dict.fromkeys(fields, odd) for odd in ODD] if fields else []
        bodies += [{**right, name: odd} for name, schema in fields.items() for odd in odd_of(schema)]
        for body in bodies:
            content = json.dumps(body).encode()
            as_told(await client.request(operation.method, address(operation), content=content, headers=JSON))


async def test_odd_queries_and_paths(client: httpx.AsyncClient) -> None:
    for operation in operations():
        if operation.changes or operation.path == STREAM:
            continue
        for name, schema in parameters(operation, "query").items():
            for odd in CURSORS if name == "cursor" else odd_of(schema):
                value = quote(str(odd).encode(errors="surrogatepass")[:500], safe="")
                as_told(await client.get(f"{address(operation)}?{name}={value}"))
        for odd in ODD if operation.parts else ():
            segment = quote(str(odd).encode(errors="surrogatepass")[:500], safe="")
            as_told(await client.get(operation.path.partition("{")[0] + segment))


async def test_odd_headers(client: httpx.AsyncClient) -> None:
    """Those that an operation reads one by one, and the others all at once; what they mean to all comes before it."""
    for operation in [each for each in operations() if each.changes]:
        own = [name for name in HEADERS if name in parameters(operation, "header")]
        others = [name for name in HEADERS if name not in own]
        sent = [{name: tag} for name in own for tag in TAGS]
        sent += [{name: TAGS[at - shift] for shift, name in enumerate(others)} for at in range(len(TAGS))]
        for odd in sent:
            headers = [(name.encode(), tag.encode("latin-1")) for name, tag in odd.items()]
            as_told(await client.request(operation.method, address(operation), headers=headers))


async def test_odd_lengths(client: httpx.AsyncClient) -> None:
    """What is read before any operation is asked."""
    for operation in [each for each in operations() if each.changes][::10]:
        for odd in TAGS:
            if odd != "x":
                headers = [(b"Content-Length", odd.encode("latin-1"))]
                as_told(await client.request(operation.method, address(operation), headers=headers))
