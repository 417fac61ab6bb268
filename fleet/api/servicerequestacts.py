"""What is done with one of `service-requests`: said, given to somebody, forwarded, solved, joined with others."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, Field, model_validator

from fleet.alerts.requests import desk
from fleet.api import idempotency
from fleet.api.auth import Call, WriteRequests
from fleet.api.etags import etag
from fleet.api.problems import documented
from fleet.api.servicerequests import (
    Account,
    Cause,
    ServiceRequestDetail,
    Text,
    detail_of,
    raise_refusal,
)
from fleet.api.shapes import PREFIX, Body, Line, NumberText, SupportLine
from fleet.state.texts import bad_text

router = APIRouter(prefix=PREFIX, tags=["service requests"])

MAX_URL = 500


def _address(text: str) -> str:
    problem = bad_text(text, MAX_URL)
    if problem is not None:
        raise ValueError(problem)
    return text


Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$"), AfterValidator(_address)]
"""An address without a login in it; what stands there is not fetched."""
Document = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,119}$"), AfterValidator(_address)]
Reason = Annotated[Line, Field(min_length=1)]


class CommentBody(Body):
    """What to say, for the desk (`internal`) or to whoever reported it."""

    text: Text
    audience: Literal["internal", "reporter"] = "internal"


class ReferenceBody(Body):
    """Where something is kept, by an address or by a document's id; never its content."""

    title: Reason
    url: Url | None = None
    document: Document | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ReferenceBody:
        if (self.url is None) == (self.document is None):
            raise ValueError("give url or document")
        return self


class MergeBody(Body):
    """The request that speaks for this one from now on."""

    into: NumberText


class LinkBody(Body):
    """How this request belongs together with another one."""

    kind: Literal["related", "caused_by", "duplicate_of"]
    number: NumberText


class ForwardBody(Body):
    """To which line, and why."""

    line: SupportLine
    reason: Reason


class ResolveBody(Body):
    """What was found and what helped, of `GET /request-causes` and `GET /request-remedies`."""

    cause: Cause
    remedy: Cause
    resolution: Line | None = None


class ReopenBody(Body):
    """Why it is not solved after all."""

    reason: Reason


class AssignBody(Body):
    """The account that takes it; null gives it back to its line."""

    assignee: Account | None


_ANSWERS = documented(404, 409)


@router.post("/service-requests/{number}/comments", responses=_ANSWERS, response_model=ServiceRequestDetail)
async def comment(
    call: WriteRequests, request: Request, number: NumberText, body: CommentBody, key: idempotency.Key = None
) -> Response:
    """Say something."""
    return await _done(call, request, number, key, partial(desk.comment, **body.model_dump()))


@router.post("/service-requests/{number}/references", responses=_ANSWERS, response_model=ServiceRequestDetail)
async def refer(
    call: WriteRequests, request: Request, number: NumberText, body: ReferenceBody, key: idempotency.Key = None
) -> Response:
    """Point to something that is kept elsewhere."""
    return await _done(call, request, number, key, partial(desk.refer, **body.model_dump()))


@router.post("/service-requests/{number}/merge", responses=_ANSWERS, response_model=ServiceRequestDetail)
async def merge(
    call: WriteRequests, request: Request, number: NumberText, body: MergeBody, key: idempotency.Key = None
) -> Response:
    """Let another request speak for this one, which is closed; its alerts go there, and both are read together.

    The other is open and of the same organisation, or a mass event that the kit is in. Support merges only what is
    about the same kit, place or mass event, or what somebody linked who may close without proof.
    """
    return await _done(call, request, number, key, partial(desk.merge, into=body.into))


@router.post("/service-requests/{number}/links", responses=_ANSWERS, response_model=ServiceRequestDetail)
async def link(
    call: WriteRequests, request: Request, number: NumberText, body: LinkBody, key: idempotency.Key = None
) -> Response:
    """Say how two requests belong together; both tell it, and twice says it once."""
    return await _done(call, request, number, key, partial(desk.link, kind=body.kind, other=body.number))


@router.post("/service-requests/{number}/forward", responses=_ANSWERS, response_model=ServiceRequestDetail)
async def forward(
    call: WriteRequests, request: Request, number: NumberText, body: ForwardBody, key: idempotency.Key = None
) -> Response:
    """To another line, which finds somebody of its own."""
    return await _done(call, request, number, key, partial(desk.forward, **body.model_dump()))


@router.post("/service-requests/{number}/resolve", responses=_ANSWERS, response_model=ServiceRequestDetail)
async def resolve(
    call: WriteRequests, request: Request, number: NumberText, body: ResolveBody, key: idempotency.Key = None
) -> Response:
    """Say that it is solved; the kit's proof closes it, and without that it opens again.

    Of what ended already, cause and remedy are put right.
    """
    return await _done(call, request, number, key, partial(desk.resolve, **body.model_dump()))


@router.post("/service-requests/{number}/reopen", responses=_ANSWERS, response_model=ServiceRequestDetail)
async def reopen(
    call: WriteRequests, request: Request, number: NumberText, body: ReopenBody, key: idempotency.Key = None
) -> Response:
    """Open again what was resolved, or closed not long ago."""
    return await _done(call, request, number, key, partial(desk.reopen, reason=body.reason))


@router.post("/service-requests/{number}/assign", responses=_ANSWERS, response_model=ServiceRequestDetail)
async def assign(
    call: WriteRequests, request: Request, number: NumberText, body: AssignBody, key: idempotency.Key = None
) -> Response:
    """Give it to somebody whose account one sees, or back to its line."""
    return await _done(call, request, number, key, partial(desk.assign, assignee=body.assignee))


async def _done(call: Call, request: Request, number: str, key: str | None, act: desk.Act) -> Response:
    """Do it once and answer with the request as it is then."""

    async def work() -> ServiceRequestDetail:
        raise_refusal(await act(call.connection, number, by=call.principal))
        return await detail_of(call, number)

    return await idempotency.once(request, call, key, work, headers=lambda body: {"ETag": etag(body["revision"])})
