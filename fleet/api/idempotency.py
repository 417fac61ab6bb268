"""POST at most once: the answer to a request with an `Idempotency-Key` is kept for a day with its effect."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.responses import JSONResponse
from psycopg.rows import dict_row
from psycopg.types.json import Json
from pydantic import BaseModel

from fleet.api.auth import Call
from fleet.api.problems import invalid
from fleet.db.queries import load_queries

_SQL = load_queries("fleet.api", "idempotency.sql")

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A repeat with the same key gets the first answer and changes nothing.",
    ),
]
Headers = Callable[[Mapping[str, Any]], dict[str, str]]


def _no_headers(_: Mapping[str, Any]) -> dict[str, str]:
    return {}


async def once(
    request: Request,
    call: Call,
    key: str | None,
    work: Callable[[], Awaitable[BaseModel]],
    *,
    status: int = 200,
    headers: Headers = _no_headers,
    once_only: str | None = None,
    secret: bool = False,
) -> Response:
    """Run `work` in one transaction, or give the answer that the same request got before.

    `headers` are made from the answer's body; the field `once_only` of it is answered once and not kept. Of a `secret`
    request, one with a password, not even a hash of the body is kept. A failed request keeps nothing, so it can be
    tried again.
    """
    if key is None:
        async with call.connection.transaction():
            body = (await work()).model_dump(mode="json")
        return JSONResponse(body, status, headers=headers(body))
    about = {"principal": call.principal.key, "key": key}
    request_hash = _hash(request, b"" if secret else await request.body())
    async with call.connection.transaction():
        earlier = await _claim(call, about, request_hash)
        if earlier is not None:
            return JSONResponse(earlier["body"], earlier["status"], headers=headers(earlier["body"]))
        body = (await work()).model_dump(mode="json")
        kept = {name: None if name == once_only else value for name, value in body.items()}
        await call.connection.execute(_SQL["keep"], {**about, "status": status, "body": Json(kept)})
    return JSONResponse(body, status, headers=headers(body))


async def answered(request: Request, call: Call, key: str | None, *, status: int = 200) -> Response | None:
    """The answer that the same `secret` request got before; None when this is the first.

    For work that has transactions of its own: ask here first, and hand the result to `once` afterwards.
    """
    if key is None:
        return None
    async with call.connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["answered"], {"principal": call.principal.key, "key": key})
        earlier = await cursor.fetchone()
    if earlier is None:
        return None
    if bytes(earlier["request_hash"]) != _hash(request, b""):
        raise invalid("Idempotency-Key", "was used for another request", place="header")
    return JSONResponse(earlier["body"], status)


async def _claim(call: Call, about: dict[str, Any], request_hash: bytes) -> dict[str, Any] | None:
    async with call.connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["claim"], {**about, "request_hash": request_hash})
        if await cursor.fetchone() is not None:
            return None
        await cursor.execute(_SQL["answered"], about)
        earlier = await cursor.fetchone()
    if earlier is None or bytes(earlier["request_hash"]) != request_hash:
        raise invalid("Idempotency-Key", "was used for another request", place="header")
    return earlier


def _hash(request: Request, body: bytes) -> bytes:
    line = f"{request.method} {request.url.path}\n".encode()
    return hashlib.sha256(line + body).digest()
