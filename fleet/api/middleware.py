"""Around every request: one log line, its duration as a metric, security headers, and the last net."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet import metrics
from fleet.api import problems
from fleet.log import get_logger
from fleet.state.texts import could_hide_cpr

_LOG = get_logger("fleet.api")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}
MAX_PATH = 500
"""Characters of a path in the log."""
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestLog:
    """ASGI middleware; tokens and query strings never reach the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = _Seen()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = int(message["status"])
                _add_headers(message, seen.request_id)
            elif message["type"] == "http.response.body":
                seen.size_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            # The last net: whatever was not foreseen is logged in full and answered without detail.
            _LOG.exception("request failed", request_id=seen.request_id, path=_path(scope))
            if seen.status is None:
                await problems.answer(problems.internal())(scope, receive, watched)
        finally:
            _account(scope, seen)


class _Seen:
    __slots__ = ("request_id", "size_bytes", "started", "status")

    def __init__(self) -> None:
        self.request_id = uuid.uuid4().hex
        self.started = time.perf_counter()
        self.status: int | None = None
        self.size_bytes = 0


def _add_headers(message: Message, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-store")
    headers["X-Request-Id"] = request_id


def route_of(scope: Scope) -> str:
    """The template of the route (`/api/v1/kits/{kit}`), so that there are few of them."""
    return str(getattr(scope.get("route"), "path", None) or "unmatched")


def _path(scope: Scope) -> str:
    """The path for the log, or its route where somebody put into it what no log may keep."""
    path: str = scope["path"]
    if could_hide_cpr(path):
        return route_of(scope)
    # Whoever reads the log in a terminal is not to be sent control characters by a stranger.
    return (path if path.isprintable() else quote(path))[:MAX_PATH]


def _account(scope: Scope, seen: _Seen) -> None:
    duration_s = time.perf_counter() - seen.started
    route, status = route_of(scope), seen.status or 499
    metrics.HTTP_SECONDS.labels(_method(scope), route, str(status)).observe(duration_s)
    write = _LOG.debug if scope["path"] in _QUIET and status == 200 else _LOG.info
    principal: Any = scope.get("state", {}).get("principal")
    write(
        "request",
        request_id=seen.request_id,
        method=scope["method"],
        route=route,
        path=_path(scope),
        status=status,
        duration_s=round(duration_s, 4),
        size_bytes=seen.size_bytes,
        principal=getattr(principal, "key", None),
        roles=sorted(str(role) for role in getattr(principal, "roles", ())) or None,
    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _method(scope: Scope) -> str:
    # A caller may invent methods; a label per invention would not be bounded.
    return scope["method"] if scope["method"] in _METHODS else "other"


class BodyLimit:
    """ASGI middleware: a body larger than `max_bytes` is refused, told or not by `Content-Length`.

    `larger` gives paths that begin so another limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        max_bytes = self._limit(scope)
        if self._told(scope) > max_bytes:
            await problems.answer(problems.too_large(max_bytes))(scope, receive, send)
            return
        received_bytes = 0

        async def counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > max_bytes:
                # The one kind of exception that passes through the framework's reading of a body.
                raise HTTPException(413, problems.too_large(max_bytes).detail)
            return message

        await self.app(scope, counted, send)

    def _limit(self, scope: Scope) -> int:
        limits = (limit for prefix, limit in self.larger.items() if scope["path"].startswith(prefix))
        return next(limits, self.max_bytes)

    @staticmethod
    def _told(scope: Scope) -> int:
        told = Headers(scope=scope).get("content-length", "0")
        return int(told) if told.isdecimal() and len(told) < 20 else 0
