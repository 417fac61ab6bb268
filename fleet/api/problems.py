"""Errors as RFC 9457 `application/problem+json`, mapped once, here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from psycopg.errors import InsufficientPrivilege
from psycopg_pool import PoolClosed, PoolTimeout
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from fleet.errors import ConflictError, FleetError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from fleet.log import get_logger

_LOG = get_logger("fleet.api")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
_URN = "urn:telekit-fleet:problem:"


class FieldProblem(BaseModel):
    """What is wrong with one field; `place` is `body`, `query`, `path` or `header`.

    `pointer` leads into a list of the body (RFC 6901, as in RFC 9457), for example `/items/2/reason`.
    """

    place: str
    field: str
    detail: str
    pointer: str | None = None


class ProblemBody(BaseModel):
    """RFC 9457. `field` and `errors` come with 422; further members are told at the operation."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[_URN + "invalid"])
    title: str
    status: int
    detail: str
    field: str | None = None
    errors: list[FieldProblem] | None = None


class ProblemError(Exception):
    """Ends a request with a problem; `more` are its further members."""

    def __init__(
        self,
        status: HTTPStatus,
        slug: str,
        detail: str,
        *,
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.slug, self.detail = status, slug, detail
        self.more, self.headers = more or {}, headers or {}


def invalid(field: str, detail: str, *, place: str = "body") -> ProblemError:
    """422 that names one field."""
    return _invalid([FieldProblem(place=place, field=field, detail=detail)])


def answer(problem: ProblemError) -> Response:
    """The response that a problem leads to."""
    body = {
        "type": _URN + problem.slug,
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
        **problem.more,
    }
    headers = {"Cache-Control": "no-store", **problem.headers}
    return JSONResponse(jsonable_encoder(body), status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


def _invalid(errors: Sequence[FieldProblem]) -> ProblemError:
    detail = "; ".join(_told(error) for error in errors)
    more = {"field": errors[0].field, "errors": [error.model_dump(exclude_none=True) for error in errors]}
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, more=more)


def _told(error: FieldProblem) -> str:
    return f"{error.field}: {error.detail}" + (f" (at {error.pointer})" if error.pointer else "")


def _from_validation(error: RequestValidationError) -> ProblemError:
    return _invalid([_field_problem(each) for each in error.errors()[:20]])


def _field_problem(error: Mapping[str, Any]) -> FieldProblem:
    place, *path = error["loc"]
    names = [str(part) for part in path if isinstance(part, str)]
    # A body that is no JSON at all is told with a position, which is no name.
    field = ".".join(names) or str(place)
    listed = names and any(isinstance(part, int) for part in path)
    pointer = "".join(f"/{part}" for part in path)[:200] if listed else None
    detail = _wording(error)
    return FieldProblem(place=str(place), field=field[:200], detail=detail, pointer=pointer)


def _wording(error: Mapping[str, Any]) -> str:
    # Of a text whose length is measured after a check of ours, the library speaks as of a list.
    if error["type"] in ("too_short", "string_too_short") and error["input"] in ("", []):
        return "is empty"
    return str(error["msg"]).removeprefix("Value error, ")


_HTTP_SLUGS = {
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus(413): "too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
}


def _from_http(error: HTTPException) -> ProblemError:
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:
        # The framework's word for a body that it cannot read at all.
        return invalid("body", str(error.detail))
    slug = _HTTP_SLUGS.get(status, "refused")
    return ProblemError(status, slug, str(error.detail), headers=error.headers)


def _from_fleet(error: FleetError) -> ProblemError:
    match error:
        case InvalidError():
            return invalid(error.field, error.detail)
        case NotFoundError():
            return ProblemError(HTTPStatus.NOT_FOUND, "not-found", str(error))
        case ForbiddenError():
            return ProblemError(HTTPStatus.FORBIDDEN, "forbidden", str(error))
        case ConflictError():
            return ProblemError(HTTPStatus.CONFLICT, "conflict", str(error))
        case UnavailableError():
            return unavailable(str(error))
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the request could not be carried out")


def _from_privilege(error: InsufficientPrivilege) -> ProblemError:
    """Row-level security refused to write; a missing privilege is a bug of ours."""
    if "row-level security" in str(error):
        return ProblemError(HTTPStatus.FORBIDDEN, "forbidden", "it would be outside of your organisations")
    _LOG.error("the database refused a privilege", error=str(error).splitlines()[0])
    return internal()


def unavailable(detail: str) -> ProblemError:
    """503 with a hint when to try again."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers=headers)


def too_large(max_bytes: int) -> ProblemError:
    """413 that tells the limit."""
    return ProblemError(HTTPStatus(413), "too-large", f"the body is larger than {max_bytes} bytes")


def internal() -> ProblemError:
    """500; what went wrong stands in the log, not in the answer."""
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the request could not be carried out")


EXPECTED: tuple[type[Exception], ...] = (
    ProblemError,
    RequestValidationError,
    HTTPException,
    FleetError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    PoolClosed,
    InsufficientPrivilege,
)
"""What a request may end with; anything else is a bug and becomes a 500 with a line in the log."""


def to_problem(error: Exception) -> ProblemError:
    """The problem that an expected exception leads to."""
    match error:
        case ProblemError():
            return error
        case RequestValidationError():
            return _from_validation(error)
        case HTTPException():
            return _from_http(error)
        case FleetError():
            return _from_fleet(error)
        case InsufficientPrivilege():
            return _from_privilege(error)
    return unavailable("the database cannot be reached or is too slow; try again")


def install(app: FastAPI) -> None:
    """Map every expected exception to its problem."""
    for expected in EXPECTED:
        app.add_exception_handler(expected, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    problem = to_problem(error)
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers = {**problem.headers, "Allow": ", ".join(_methods(request))}
    return answer(problem)


def _methods(request: Request) -> list[str]:
    """Every method of a path; the framework itself tells only those of the first route that fits."""
    routes = [context.original_route for context in iter_route_contexts(request.app.routes)]
    fitting = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in fitting for method in getattr(route, "methods", None) or ()})


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for OpenAPI: what every route may answer, and `statuses`."""
    common = (401, 403, 422, 503)
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
        }
        for status in sorted({*common, *statuses})
    }


def step_not_allowed(what: str, state: str, to: str, allowed: tuple[str, ...]) -> ProblemError:
    """409 that tells the steps that are allowed."""
    steps = ", ".join(allowed) or "none"
    refused = f"it is {state} already" if state == to else f"a {what} that is {state} cannot become {to}"
    detail = f"{refused}; allowed: {steps}"
    more = {"state": state, "allowed": list(allowed)}
    return ProblemError(HTTPStatus.CONFLICT, "step-not-allowed", detail, more=more)
