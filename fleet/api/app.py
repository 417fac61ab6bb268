"""The HTTP application: routes, errors, middleware and what lives as long as the process."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import httpx
from fastapi import FastAPI
from itsdangerous import URLSafeTimedSerializer
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import BaseRoute

from fleet import __version__
from fleet.access import oidc, sessions
from fleet.access.oidc import ASK_WITHIN_S, Provider
from fleet.access.passwords import HashingThreads
from fleet.access.totp import Sealer
from fleet.api import (
    administration,
    alerts,
    auditing,
    billing,
    bulk,
    calendars,
    calls,
    catalogue,
    commands,
    components,
    connectors,
    console,
    contracts,
    credentials,
    dryruns,
    events,
    exports,
    findings,
    history,
    imports,
    inbound,
    incidents,
    kits,
    labels,
    locations,
    mailsubscriptions,
    maintenancewindows,
    me,
    operations,
    orders,
    organisations,
    outlets,
    placements,
    problems,
    problemtrees,
    repairs,
    reservations,
    retention,
    rules,
    search,
    servicerequestacts,
    servicerequestlists,
    servicerequests,
    statistics,
    steps,
    stock,
    stocktakes,
    users,
    visitacts,
    visitlists,
    visits,
    webhooks,
)
from fleet.api.feed import Feed
from fleet.api.middleware import BodyLimit, RequestLog
from fleet.config import Settings
from fleet.db import roles
from fleet.db.connect import open_pool
from fleet.log import get_logger

MAX_BODY_BYTES = 256 * 1024
POOL_SIZE = 10

_LOG = get_logger("fleet.api")
_DESCRIPTION = """\
Telekits, whether they work, and what is done about it.

Lists are `{"items": [...], "next": cursor}`; give `next` back as `cursor` until it is null. Errors are
RFC 9457 problems; 422 names the field. Send a bearer token from `fleet token create`. `Idempotency-Key` makes a
POST safe to repeat; `ETag` and `If-Match` keep two people from overwriting each other.
"""


_ROUTERS: tuple[Any, ...] = (
    kits,
    steps,
    history,
    bulk,
    calls,
    administration,
    alerts,
    calendars,
    contracts,
    organisations,
    users,
    me,
    placements,
    problemtrees,
    catalogue,
    locations,
    components,
    imports,
    incidents,
    maintenancewindows,
    exports,
    labels,
    findings,
    billing,
    orders,
    stock,
    stocktakes,
    reservations,
    repairs,
    commands,
    credentials,
    search,
    servicerequestacts,
    servicerequestlists,
    servicerequests,
    auditing,
    retention,
    rules,
    dryruns,
    visits,
    visitacts,
    visitlists,
    webhooks,
    mailsubscriptions,
    connectors,
    outlets,
    statistics,
    events,
    operations,
    inbound,
    console,
)


class FleetApp(FastAPI):
    """The application; its OpenAPI tells errors as the problems they are."""

    def openapi(self) -> dict[str, Any]:
        """The schema, with the problem's own in place of the framework's."""
        made = self.openapi_schema is None
        schema = super().openapi()
        if made:
            parts: dict[str, Any] = schema.setdefault("components", {}).setdefault("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                parts.pop(name, None)
            parts["FieldProblem"] = problems.FieldProblem.model_json_schema()
            reference = "#/components/schemas/{model}"
            body = problems.ProblemBody.model_json_schema(ref_template=reference)
            body.pop("$defs", None)
            parts["ProblemBody"] = body
        return schema


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Every route, once in a process: what one needs is worked out when it is first asked for, some tenths of a second
    over all of them."""
    made = FastAPI(openapi_url=None, redirect_slashes=False)
    for module in _ROUTERS:
        made.include_router(module.router)
    return tuple(made.router.routes)


def create_app(settings: Settings) -> FastAPI:
    """The application for `settings`; it reaches the database when it starts, not here."""
    app = FleetApp(
        title="fleet",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.statistics = statistics.StatisticsCache()
    problems.install(app)
    app.router.routes.extend(_routes())
    console.mount_static(app)
    secret_key = _secret_key(settings)
    app.state.flows = URLSafeTimedSerializer(secret_key, salt="login at the provider")
    app.state.browsers = URLSafeTimedSerializer(secret_key, salt="known browser")
    app.state.sealer = None if settings.secret_key is None else Sealer(secret_key)
    app.state.provider_client = oidc.client_of(settings)
    app.state.provider = None
    app.state.any_user = False
    app.add_middleware(
        SessionMiddleware,
        secret_key=secret_key,
        # Browsers take a name with this prefix from the very host over TLS only, so that no neighbour can plant one.
        session_cookie="__Host-fleet_session" if settings.secure_cookies else "fleet_session",
        max_age=sessions.LIVES_S,
        same_site="strict",
        https_only=settings.secure_cookies,
    )
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, larger={imports.PATH: imports.MAX_IMPORT_BYTES})
    app.add_middleware(RequestLog)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    async with (
        contextlib.AsyncExitStack() as stack,
        open_pool(settings.dsn(), role="api", run_as=roles.API, max_size=POOL_SIZE) as pool,
    ):
        app.state.pool = pool
        app.state.feed = Feed(pool)
        app.state.hashing = stack.enter_context(contextlib.closing(HashingThreads()))
        if (client := app.state.provider_client) is not None:
            app.state.provider = Provider(
                client, await stack.enter_async_context(httpx.AsyncClient(timeout=ASK_WITHIN_S))
            )
        reader = asyncio.create_task(app.state.feed.run(), name="feed")
        reader.add_done_callback(_tell_if_it_died)
        try:
            yield
        finally:
            app.state.feed.stop()
            await _ended(reader)


def _tell_if_it_died(reader: asyncio.Task[None]) -> None:
    if not reader.cancelled() and (error := reader.exception()) is not None:
        _LOG.error("the event feed died; streams stay quiet", exc_info=error)


async def _ended(reader: asyncio.Task[None]) -> None:
    """Wait for the feed to end by itself; a query that hangs is cancelled."""
    _, pending = await asyncio.wait({reader}, timeout=1)
    for task in pending:
        task.cancel()
    await asyncio.wait(pending, timeout=1) if pending else None


def _secret_key(settings: Settings) -> str:
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    return secrets.token_urlsafe(32)
