"""The pages of logging in and out: password, code, token, and the way to the provider and back."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from itsdangerous import BadData, URLSafeTimedSerializer
from pydantic import BaseModel, ConfigDict, Field

from fleet.access.oidc import CALLBACK, Failure, Flow
from fleet.access.principal import NOTHING
from fleet.access.sessions import Need
from fleet.api.auth import acting, check_csrf
from fleet.api.console.rendering import HtmlRoute, csrf_token, local_path, render
from fleet.api.login import (
    LOGIN,
    LoggedIn,
    Outcome,
    Refused,
    Wait,
    any_user,
    by_code,
    by_password,
    by_provider,
    by_token,
    cookie_name,
    end_present,
    provider_of,
    remember_browser,
)
from fleet.api.problems import ProblemError

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

FLOW_COOKIE = "fleet_login"
FLOW_PATH = "/login/provider"
FLOW_WITHIN_S = 600

Next = Annotated[str, Query(max_length=2000)]
_STATUS = {Failure.UNREACHABLE: 503, Failure.BAD_ANSWER: 502, Failure.BAD_TOKEN: 502}


class ConsoleForm(BaseModel):
    """What every form of the console sends."""

    model_config = ConfigDict(extra="forbid")

    csrf: str = Field("", max_length=100)


class LoginForm(ConsoleForm):
    """Name and password, or a pasted token; `next` is where to go then."""

    username: str = Field("", max_length=300)
    password: str = Field("", max_length=300)
    token: str = Field("", max_length=300)
    next: str = Field("/", max_length=2000)


class CodeForm(ConsoleForm):
    """A code of the app, or a recovery code."""

    code: str = Field("", max_length=40)
    next: str = Field("/", max_length=2000)


@router.get("/login")
async def login_page(request: Request, next: Next = "/") -> Response:
    """Where people log in."""
    return await _login(request, next)


@router.post("/login")
async def log_in(request: Request, form: Annotated[LoginForm, Form()]) -> Response:
    """Turn name and password, or a token, into a session."""
    await check_csrf(request)
    if token := form.token.strip():
        outcome = await by_token(request, token)
    else:
        outcome = await by_password(request, form.username.strip(), form.password)
    return await _answer(request, outcome, form.next, by_token=bool(token))


@router.get("/login/code")
async def code_page(request: Request, next: Next = "/") -> Response:
    """Where the code of the second factor is typed."""
    return render(request, "code.html", next=local_path(next), notice=None)


@router.post("/login/code")
async def give_code(request: Request, form: Annotated[CodeForm, Form()]) -> Response:
    """The second step of logging in."""
    await check_csrf(request)
    outcome = await by_code(request, form.code)
    if outcome is Refused.WRONG_CODE:
        return render(request, "code.html", status=403, next=local_path(form.next), notice="login.wrong_code")
    return await _answer(request, outcome, form.next)


@router.get(FLOW_PATH)
async def to_provider(request: Request, next: Next = "/") -> Response:
    """Send the browser to the provider."""
    provider = provider_of(request)
    if provider is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", "no provider is configured")
    begun = await provider.begin()
    if isinstance(begun, Failure):
        return await _answer(request, begun, next)
    url, flow = begun
    response = RedirectResponse(url, 303)
    kept = _flows(request).dumps({**asdict(flow), "next": local_path(next)})
    # Lax, not strict: it must come along when the provider sends the browser back.
    response.set_cookie(
        cookie_name(request, FLOW_COOKIE),
        kept if isinstance(kept, str) else kept.decode(),
        max_age=FLOW_WITHIN_S,
        secure=request.app.state.settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )
    return response


@router.get(CALLBACK)
async def from_provider(request: Request) -> Response:
    """Take the browser back from the provider."""
    provider = provider_of(request)
    if provider is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", "no provider is configured")
    try:
        shown = request.cookies.get(cookie_name(request, FLOW_COOKIE), "")
        kept: dict[str, str] = _flows(request).loads(shown, max_age=FLOW_WITHIN_S)
    except BadData:
        return await _answer(request, Failure.STALE, "/")
    next = kept.pop("next")
    outcome = await by_provider(request, provider, Flow(**kept), dict(request.query_params))
    response = await _answer(request, outcome, next, from_elsewhere=True)
    response.delete_cookie(
        cookie_name(request, FLOW_COOKIE), secure=request.app.state.settings.secure_cookies, httponly=True
    )
    return response


@router.post("/logout")
async def log_out(request: Request, _: Annotated[ConsoleForm, Form()]) -> Response:
    """End the session, here and in the database."""
    await check_csrf(request)
    async with acting(request, LOGIN, NOTHING) as connection:
        await end_present(request, connection)
    request.session.clear()
    return RedirectResponse("/login", 303)


async def _answer(
    request: Request, outcome: Outcome, next: str, *, by_token: bool = False, from_elsewhere: bool = False
) -> Response:
    """Go on, or show the login page with what was wrong."""
    if not isinstance(outcome, LoggedIn):
        return await _login(request, next, outcome, by_token=by_token)
    # A new session, so that one planted before the login is worth nothing.
    request.session.clear()
    request.session["session"] = outcome.secret
    csrf_token(request)
    target = local_path(next)
    if outcome.need is Need.CODE:
        return RedirectResponse(f"/login/code?{urlencode({'next': target})}", 303)
    if from_elsewhere:
        # A redirect would still count as coming from the provider, and a strict cookie would stay behind.
        return render(request, "entered.html", next=target)
    response = RedirectResponse(target, 303)
    if outcome.account is not None:
        remember_browser(request, response, outcome.account)
    return response


async def _login(
    request: Request, next: str, outcome: Refused | Wait | Failure | None = None, *, by_token: bool = False
) -> Response:
    """The login page; without any user the token's place is open, as that is the first login."""
    provider = provider_of(request)
    values: dict[str, Any] = {
        "next": local_path(next),
        "provider": None if provider is None else provider.client.name,
        "token_first": by_token or not await any_user(request),
        "notice": None,
        "wait_s": None,
    }
    status, headers = 200, {}
    if isinstance(outcome, Wait):
        values["wait_s"], status, headers = outcome.seconds, 429, {"Retry-After": str(outcome.seconds)}
    elif outcome is not None:
        values["notice"] = f"login.{outcome.value}"
        status = _STATUS.get(outcome, 403) if isinstance(outcome, Failure) else 403
    response = render(request, "login.html", status=status, **values)
    response.headers.update(headers)
    return response


def _flows(request: Request) -> URLSafeTimedSerializer:
    return cast("URLSafeTimedSerializer", request.app.state.flows)
