"""Who calls, and whether they may: bearer tokens, console sessions, one permission per route.

A request is one transaction, bound to where its caller holds the route's permission: what is outside of that is not
there for the request, whatever its queries ask for (row-level security), and a request that fails leaves nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias, cast

from fastapi import Depends, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from fleet.access import sessions, tokens
from fleet.access.entering import enter
from fleet.access.principal import Principal, Scope
from fleet.access.roles import Permission
from fleet.access.sessions import Need, Session
from fleet.access.tokens import Refusal
from fleet.api.problems import ProblemError, invalid

Connection: TypeAlias = AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]

CONNECTION_WAIT_S = 3.0
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BY_ITSELF = "X-By-Itself"
"""What a page says of requests that nobody's hand made; they do not keep its session from ending unused."""
_MAX_TOKEN = 200

_BEARER = HTTPBearer(auto_error=False, description="A token from `fleet token create`.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised request: its database connection and who makes it."""

    connection: Connection
    principal: Principal


def pool_of(request: Request) -> Pool:
    """The process's pool."""
    return cast("Pool", request.app.state.pool)


class Gate:
    """Lets a request through when its caller holds `permission`; every route has one.

    Without a permission it lets everybody through who is logged in, however far: for what is their own.
    """

    def __init__(self, permission: Permission | None, *, by_hand: bool = True) -> None:
        self.permission = permission
        self.by_hand = by_hand

    async def admit(
        self, request: Request, bearer: HTTPAuthorizationCredentials | None, connection: Connection
    ) -> Principal:
        """The caller, when it may; raises the problem otherwise."""
        by_hand = self.by_hand and BY_ITSELF not in request.headers
        principal = await identify(request, bearer, connection, by_hand=by_hand)
        if self.permission is None:
            return principal
        if (session := session_of(request)) is not None and session.need is not None:
            raise unfinished(session.need)
        if not principal.may(self.permission):
            held = ", ".join(sorted(principal.roles)) or "no role"
            detail = f"the permission {self.permission} is needed, and {held} does not hold it"
            more = {"permission": self.permission.value}
            raise ProblemError(HTTPStatus.FORBIDDEN, "forbidden", detail, more=more)
        return principal


class Requires(Gate):
    """A gate that also lends the request its connection, in a transaction that ends with the request."""

    async def __call__(self, request: Request, bearer: Bearer) -> AsyncIterator[Call]:
        refuse_unknown_query(request)
        async with pool_of(request).connection(timeout=CONNECTION_WAIT_S) as connection, connection.transaction():
            principal = await self.admit(request, bearer, connection)
            scope = principal.everywhere if self.permission is None else principal.scope(self.permission)
            await enter(connection, principal, scope, origin=origin_of(request))
            yield Call(connection, principal)


class RequiresBriefly(Gate):
    """A gate for long answers: its connection goes back before the answer begins."""

    async def __call__(self, request: Request, bearer: Bearer) -> Principal:
        refuse_unknown_query(request)
        async with pool_of(request).connection(timeout=CONNECTION_WAIT_S) as connection:
            return await self.admit(request, bearer, connection)


def requires(permission: Permission) -> Any:
    """The dependency of a route: `call: Annotated[Call, requires(Permission.KITS_READ)]`."""
    return Depends(Requires(permission), scope="function")


@asynccontextmanager
async def acting(request: Request, principal: Principal, scope: Scope) -> AsyncIterator[Connection]:
    """A connection of its own with a transaction within `scope`, for answers that outlive the request's own."""
    async with pool_of(request).connection(timeout=CONNECTION_WAIT_S) as connection, connection.transaction():
        await enter(connection, principal, scope, origin=origin_of(request))
        yield connection


def origin_of(request: Request) -> str | None:
    """The caller's address, for the audit."""
    return None if request.client is None else request.client.host


async def identify(
    request: Request, bearer: HTTPAuthorizationCredentials | None, connection: Connection, *, by_hand: bool = True
) -> Principal:
    """Who calls; raises 401 with the reason."""
    if "authorization" in request.headers:
        if bearer is None or len(bearer.credentials) > _MAX_TOKEN:
            raise unauthorised("unknown_token", "the Authorization header is no bearer token")
        found = await tokens.authenticate(connection, bearer.credentials)
    elif (secret := request.session.get("session")) is not None:
        await check_csrf(request)
        session = await sessions.authenticate(connection, str(secret), by_hand=by_hand)
        if session is None or session.need is Need.CODE:
            raise unauthorised("no_session", "the login is not complete or has ended")
        request.state.session = session
        found = session.principal
    else:
        raise unauthorised("no_token", "a bearer token is needed")
    if isinstance(found, Refusal):
        raise unauthorised(found.value, _WHY[found])
    request.state.principal = found
    return found


def session_of(request: Request) -> Session | None:
    """The session of the present caller; None when a token was sent."""
    return getattr(request.state, "session", None)


def unfinished(need: Need) -> ProblemError:
    """403: the caller must do something at `/api/v1/me` first; `need` says what."""
    detail = "change the one-time password first" if need is Need.NEW_PASSWORD else "set up a second factor first"
    return ProblemError(HTTPStatus.FORBIDDEN, "login-unfinished", detail, more={"need": need.value})


_WHY = {
    Refusal.UNKNOWN: "the token is not known",
    Refusal.EXPIRED: "the token has expired",
    Refusal.REVOKED: "the token was revoked",
}


def unauthorised(reason: str, detail: str) -> ProblemError:
    """401; with an `error` in the challenge only when a token was given (RFC 6750, 3.1)."""
    challenge = 'Bearer realm="fleet"' + ("" if reason in ("no_token", "no_session") else ', error="invalid_token"')
    return ProblemError(
        HTTPStatus.UNAUTHORIZED,
        "unauthorised",
        detail,
        more={"reason": reason},
        headers={"WWW-Authenticate": challenge},
    )


async def check_csrf(request: Request) -> None:
    """A session may change things only with its own token, in `X-CSRF-Token` or a form's field `csrf`."""
    if request.method in SAFE_METHODS:
        return
    given = request.headers.get("x-csrf-token", "")
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        given = given or str((await request.form()).get("csrf", ""))
    expected = str(request.session.get("csrf", ""))
    if not expected or not hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
        raise ProblemError(HTTPStatus.FORBIDDEN, "csrf", "the form is too old: load the page again")


def refuse_unknown_query(request: Request) -> None:
    """Routes without query fields accept none; those with fields have a model that forbids others."""
    route = request.scope.get("route")
    if request.query_params and isinstance(route, APIRoute) and not route.dependant.query_params:
        name = next(iter(request.query_params))
        raise invalid(name, "is no query field of this resource", place="query")


P = Permission
ReadKits = Annotated[Call, requires(P.KITS_READ)]
WriteKits = Annotated[Call, requires(P.KITS_WRITE)]
MoveKits = Annotated[Call, requires(P.KITS_MOVE)]
ReadTelemetry = Annotated[Call, requires(P.TELEMETRY_READ)]
ReadAlerts = Annotated[Call, requires(P.ALERTS_READ)]
AcknowledgeAlerts = Annotated[Call, requires(P.ALERTS_ACKNOWLEDGE)]
ReadRequests = Annotated[Call, requires(P.REQUESTS_READ)]
WriteRequests = Annotated[Call, requires(P.REQUESTS_WRITE)]
ReadOrganisations = Annotated[Call, requires(P.ORGANISATIONS_READ)]
WriteOrganisations = Annotated[Call, requires(P.ORGANISATIONS_WRITE)]
ReadQuarantine = Annotated[Call, requires(P.QUARANTINE_READ)]
ReadStatistics = Annotated[Principal, Depends(RequiresBriefly(P.STATISTICS_READ))]
ReadTokens = Annotated[Call, requires(P.TOKENS_READ)]
WriteTokens = Annotated[Call, requires(P.TOKENS_WRITE)]
ReadUsers = Annotated[Call, requires(P.USERS_READ)]
WriteUsers = Annotated[Call, requires(P.USERS_WRITE)]
LoggedIn = Annotated[Call, Depends(Requires(None), scope="function")]
LoggedInBriefly = Annotated[Principal, Depends(RequiresBriefly(None))]
FollowEvents = Annotated[Principal, Depends(RequiresBriefly(P.KITS_READ, by_hand=False))]
