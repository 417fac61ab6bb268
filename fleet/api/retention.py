"""`retention`: how long each kind of data stays, and what was removed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts import retention
from fleet.api.auth import Call, requires
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.problems import documented
from fleet.api.shapes import MAX_ID, PREFIX, Answer, Body, Moment, Page, PageQuery, decode_cursor, page
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["retention"])

ReadRetention = Annotated[Call, requires(Permission.RETENTION_READ)]
WriteRetention = Annotated[Call, requires(Permission.RETENTION_WRITE)]

_KIND = r"^[a-z][a-z_]{0,62}$"
KindPath = Annotated[str, Path(pattern=_KIND, examples=["history"])]


class Policy(Answer):
    """How many days a kind of data stays; `last_run_at` tells when it was last looked at (or, if it was, removed)."""

    kind: str
    keep_days: int
    default_days: int
    min_days: int
    max_days: int
    revision: int
    updated_at: Moment
    last_run_at: Moment | None
    last_removed: int | None


class PolicyEdit(Body):
    """How many days from now on."""

    keep_days: Annotated[int, Field(ge=1, le=36500)]


class Run(Answer):
    """What was removed of what was older than `cutoff` (of the history: days); `complete` when nothing was left."""

    id: int
    kind: str
    at: Moment
    cutoff: Moment
    removed: int
    complete: bool


class RunQuery(PageQuery):
    """Filters of runs."""

    kind: Annotated[str, Field(pattern=_KIND)] | None = None


@router.get("/retention", responses=documented())
async def list_policies(call: ReadRetention, query: Annotated[PageQuery, Query()]) -> Page[Policy]:
    """Kinds of data by name."""
    after = decode_cursor(query.cursor, str) or ("",)
    found = await retention.policies(call.connection, after=after[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "kind")
    return Page(items=[Policy.model_validate(each) for each in kept], next=cursor)


@router.get("/retention/runs", responses=documented())
async def list_runs(call: ReadRetention, query: Annotated[RunQuery, Query()]) -> Page[Run]:
    """What was removed, the newest first; seen by those who are bound to no organisation."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    found = await retention.runs(call.connection, kind=query.kind, before=before[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "id")
    return Page(items=[Run.model_validate(each) for each in kept], next=cursor)


@router.get("/retention/{kind}", responses=documented(404))
async def get_policy(call: ReadRetention, kind: KindPath, response: Response) -> Policy:
    """One kind of data; its `ETag` is for `If-Match`."""
    found = await retention.find_policy(call.connection, kind)
    response.headers["ETag"] = etag(found.revision)
    return Policy.model_validate(found)


@router.patch("/retention/{kind}", responses=documented(404, 412))
async def set_policy(
    call: WriteRetention, kind: KindPath, edit: PolicyEdit, response: Response, if_match: IfMatch = None
) -> Policy:
    """Keep a kind of data longer or shorter, for the whole installation; the next hourly run goes by it."""
    outcome = await retention.set_policy(call.connection, kind, edit.keep_days, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return Policy.model_validate(outcome)
