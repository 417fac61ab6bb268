"""`findings`: where books and reality disagree, in one list, with what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    Body,
    GivenMoment,
    KitId,
    Line,
    Moment,
    Number,
    NumberPath,
    Page,
    PageQuery,
    Severity,
    Title,
    decode_cursor,
    page,
)
from fleet.state.findings import kinds, store
from fleet.state.findings.kinds import ABOUT, Kind

router = APIRouter(prefix=PREFIX, tags=["findings"])

ReadFindings = Annotated[Call, requires(Permission.FINDINGS_READ)]
WriteFindings = Annotated[Call, requires(Permission.FINDINGS_WRITE)]


class State(StrEnum):
    """How far a finding has come; `dismissed` is one that somebody found right as it is."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    DISMISSED = "dismissed"
    CLEARED = "cleared"


class Finding(Answer):
    """Something that does not fit: `meaning` says what, `advice` what to do, `evidence` why it is thought so.

    It is about a `kit`, a piece (`component`, its number) or a model (`model_id`) at a `location`, or several of them.
    """

    id: int
    kind: Kind
    severity: Severity
    state: State
    title: Title
    meaning: Title
    advice: Title
    kit: str | None
    component: int | None
    serial: str | None
    model_id: int | None
    location: str | None
    organisation: str | None
    opened_at: Moment
    last_seen_at: Moment
    cleared_at: Moment | None
    evidence: dict[str, Any]
    acknowledged_at: Moment | None
    acknowledged_by: str | None
    dismissed_at: Moment | None
    dismissed_by: str | None
    dismissed_reason: str | None
    dismissed_until: Moment | None


class FindingQuery(PageQuery):
    """Filters of findings; `standing` is all that is not cleared."""

    kind: Kind | None = None
    state: State | None = None
    standing: bool | None = None
    severity: Severity | None = None
    kit: KitId | None = None
    component: Number | None = None
    organisation: Slug | None = None


class Dismissal(Body):
    """Why it is right as it is; with `until` it is looked at again then, else once it went away and came back."""

    reason: Annotated[Line, Field(min_length=1)]
    until: GivenMoment | None = None


@router.get("/findings", responses=documented())
async def list_findings(call: ReadFindings, query: Annotated[FindingQuery, Query()]) -> Page[Finding]:
    """Findings, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    chosen = query.model_dump(exclude={"cursor", "limit"})
    found = await store.list_findings(call.connection, before=before[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "finding_id")
    return Page(items=[finding(each) for each in kept], next=cursor)


@router.get("/findings/{id}", responses=documented(404))
async def get_finding(call: ReadFindings, id: NumberPath) -> Finding:
    """One finding."""
    return finding(await store.find(call.connection, id))


@router.post("/findings/{id}/acknowledge", responses=documented(404, 409), response_model=Finding)
async def acknowledge_finding(
    call: WriteFindings, request: Request, id: NumberPath, key: idempotency.Key = None
) -> Response:
    """Tell the others that somebody takes care of it; a repeat changes nothing."""

    async def work() -> Finding:
        return finding(await store.acknowledge(call.connection, id, actor=call.principal.actor))

    return await idempotency.once(request, call, key, work)


@router.post("/findings/{id}/dismiss", responses=documented(404, 409), response_model=Finding)
async def dismiss_finding(
    call: WriteFindings, request: Request, id: NumberPath, body: Dismissal, key: idempotency.Key = None
) -> Response:
    """Say that it is right as it is: it opens no alert any more, and its alert ends."""

    async def work() -> Finding:
        actor = call.principal.actor
        return finding(await store.dismiss(call.connection, id, reason=body.reason, until=body.until, actor=actor))

    return await idempotency.once(request, call, key, work)


def finding(found: store.Finding) -> Finding:
    """As it is answered."""
    about = ABOUT[Kind(found.kind)]
    names = set(Finding.model_fields) - {"id", "component", "title", "meaning", "advice"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    texts = {name: _text(getattr(about, name)) for name in ("title", "meaning", "advice")}
    return Finding(id=found.finding_id, component=found.component_id, **texts, **values)


def _text(text: kinds.Text) -> Title:
    return Title(en=text.en, da=text.da)
