"""Pages out of templates: language, session, security token and errors in one place."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from fleet import __version__
from fleet.api import problems
from fleet.api.console import navigation, texts
from fleet.api.console.texts import Language
from fleet.api.console.wording import Wording

_HERE = Path(__file__).parent
LANGUAGE_COOKIE = "fleet_language"

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=select_autoescape(("html",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class _Static(StaticFiles):
    """Style and script; the version in their address makes caching safe."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for a day."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


def mount_static(app: FastAPI) -> None:
    """Serve style and script under `/static`."""
    app.mount("/static", _Static(directory=_HERE / "static"), name="static")


class HtmlRoute(APIRoute):
    """A route whose refusals are pages: to the login when nobody is logged in, else what is wrong."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with its errors turned into pages."""
        handle = super().get_route_handler()

        async def page(request: Request) -> Response:
            # A form sends its empty fields too; they say nothing.
            request.scope["query_string"] = urlencode(parse_qsl(request.url.query)).encode()
            try:
                return await handle(request)
            except problems.EXPECTED as error:
                problem = problems.to_problem(error)
                if problem.status == 401:
                    return RedirectResponse(login_address(request), 303)
                if problem.slug == "login-unfinished":
                    return RedirectResponse("/account", 303)
                return render(request, "error.html", status=problem.status, problem=problem)

        return page


def login_address(request: Request) -> str:
    """The login page, which leads back to what was asked for."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/login?next={quote(wanted, safe='')}" if request.method == "GET" else "/login"


def local_path(address: str | None) -> str:
    """`address` when it is a path of ours, else `/`: nobody is sent elsewhere."""
    if address and address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable():
        return address
    return "/"


def language_of(request: Request) -> Language:
    """The language chosen before, else the browser's."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in set(Language):
        return Language(chosen)
    return texts.choose(request.headers.get("accept-language"))


def csrf_token(request: Request) -> str:
    """The session's own token, made when it is first needed."""
    if "csrf" not in request.session:
        request.session["csrf"] = secrets.token_urlsafe(24)
    return str(request.session["csrf"])


def render(
    request: Request, template: str, *, status: int = 200, path: str | None = None, **values: Any
) -> HTMLResponse:
    """A page; `path` is its address where that is not the request's, as after a form."""
    wording = Wording(language_of(request), datetime.now(UTC))
    principal = getattr(request.state, "principal", None)
    here = path or request.url.path
    content = _ENVIRONMENT.get_template(template).render(
        w=wording,
        t=wording.t,
        request_path=here,
        request_query=request.url.query,
        csrf=csrf_token(request),
        principal=principal,
        menu=navigation.menu(principal, here) if principal else (),
        version=__version__,
        **values,
    )
    headers = {"Content-Language": wording.language.value, "Vary": "Accept-Language, Cookie"}
    return HTMLResponse(content, status, headers)
