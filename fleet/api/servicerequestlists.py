"""What service requests speak in: `request-causes`, `request-remedies`, `request-settings`, and what they teach."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.requests import lists, reading, writing
from fleet.api import idempotency
from fleet.api.auth import Call, ReadRequests, requires
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.servicerequests import Cause
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    Line,
    Moment,
    Page,
    PageQuery,
    Severity,
    SupportLine,
    Title,
    Word,
    decode_cursor,
    page,
)
from fleet.api.shapes import Query as QueryFields
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["service requests"])

WriteLists = Annotated[Call, requires(Permission.CONTRACTS_WRITE)]
Name = Annotated[Line, Field(min_length=1)]
DAY_S = 24 * 3600


class RequestCause(Answer):
    """What a request may be opened for (`opens`), and what may be found in the end (`explains`).

    `line` and `severity` are those of a request that is opened for it; with `proof` it closes by the kit's proof only.
    """

    cause: str
    title: Title
    opens: bool
    explains: bool
    line: SupportLine
    severity: Severity
    proof: bool
    active: bool
    revision: int


class RequestRemedy(Answer):
    """What may have been done about a request."""

    remedy: str
    title: Title
    active: bool
    revision: int


class TitleBody(Body):
    """A text in the languages of the console."""

    en: Name
    da: Name


class CauseEdit(Body):
    """What is edited; a field that is not sent stays. One out of use (`active`) stays where it was said."""

    title: TitleBody | None = None
    opens: bool = True
    explains: bool = True
    line: SupportLine = "support"
    severity: Severity = "minor"
    proof: bool = True
    active: bool = True


class NewCause(CauseEdit):
    """A line of the list."""

    cause: Cause
    title: TitleBody


class RemedyEdit(Body):
    """What is edited; a field that is not sent stays."""

    title: TitleBody | None = None
    active: bool = True


class NewRemedy(RemedyEdit):
    """A line of the list."""

    remedy: Cause
    title: TitleBody


class ListQuery(PageQuery):
    """Which lines of a list."""

    active: bool | None = None


class RequestSettings(Answer):
    """How requests end and come back, the same for all.

    A cause that comes back within `reopen_within_s` of its request's end opens that again (a contract may say
    otherwise). A kit must be well for `proof_for_s` after the fix, and by `proof_within_s`: otherwise what was resolved
    by hand opens again. Kits of `important_programmes` are answered one priority sooner.
    """

    reopen_within_s: int
    proof_for_s: int
    proof_within_s: int
    important_programmes: list[str]
    revision: int


class SettingsEdit(Body):
    """What is edited; a field that is not sent stays."""

    reopen_within_s: Annotated[int, Field(ge=0, le=366 * DAY_S)] = 7 * DAY_S
    proof_for_s: Annotated[int, Field(ge=60, le=31 * DAY_S)] = DAY_S
    proof_within_s: Annotated[int, Field(ge=60, le=366 * DAY_S)] = 14 * DAY_S
    important_programmes: list[Name] = Field(default_factory=list, max_length=100)


class Lesson(Answer):
    """How often a cause was found and a remedy helped, by `value` of what was asked for."""

    value: str | None
    found_cause: str
    remedy: str
    requests: int


class LessonQuery(QueryFields):
    """What to count by: what requests were opened for (`cause`: a rule as well), the tablet's model, the kit's type,
    or a version that ran on it when the request ended.
    """

    by: Literal["cause", "model", "kit_type", "os", "mdm", "app", "bluetooth", "firmware"] = "cause"
    cause: Word | None = None
    organisation: Slug | None = None
    ended_from: Moment | None = None
    ended_to: Moment | None = None
    limit: int = Field(100, ge=1, le=500, description="Items in the answer, at most")


@router.get("/request-causes", responses=documented())
async def list_causes(call: ReadRequests, query: Annotated[ListQuery, Query()]) -> Page[RequestCause]:
    """Causes by name."""
    rows, cursor = await _rows(call, "cause", query)
    return Page(items=[_cause(row) for row in rows], next=cursor)


@router.post("/request-causes", status_code=201, responses=documented(409), response_model=RequestCause)
async def add_cause(call: WriteLists, request: Request, body: NewCause, key: idempotency.Key = None) -> Response:
    """A new cause; the list is the same for the whole installation."""

    async def work() -> RequestCause:
        return _cause(await lists.add(call.connection, "cause", _flat(body, set(NewCause.model_fields))))

    return await idempotency.once(request, call, key, work, status=201)


@router.patch("/request-causes/{cause}", responses=documented(404, 412))
async def edit_cause(
    call: WriteLists, cause: Cause, edit: CauseEdit, response: Response, if_match: IfMatch = None
) -> RequestCause:
    """Another text, or out of use."""
    return _cause(_tagged(await _edited(call, "cause", cause, edit, if_match), response))


@router.get("/request-remedies", responses=documented())
async def list_remedies(call: ReadRequests, query: Annotated[ListQuery, Query()]) -> Page[RequestRemedy]:
    """Remedies by name."""
    rows, cursor = await _rows(call, "remedy", query)
    return Page(items=[_remedy(row) for row in rows], next=cursor)


@router.post("/request-remedies", status_code=201, responses=documented(409), response_model=RequestRemedy)
async def add_remedy(call: WriteLists, request: Request, body: NewRemedy, key: idempotency.Key = None) -> Response:
    """A new remedy; the list is the same for the whole installation."""

    async def work() -> RequestRemedy:
        return _remedy(await lists.add(call.connection, "remedy", _flat(body, set(NewRemedy.model_fields))))

    return await idempotency.once(request, call, key, work, status=201)


@router.patch("/request-remedies/{remedy}", responses=documented(404, 412))
async def edit_remedy(
    call: WriteLists, remedy: Cause, edit: RemedyEdit, response: Response, if_match: IfMatch = None
) -> RequestRemedy:
    """Another text, or out of use."""
    return _remedy(_tagged(await _edited(call, "remedy", remedy, edit, if_match), response))


@router.get("/request-settings", responses=documented())
async def get_settings(call: ReadRequests, response: Response) -> RequestSettings:
    """How requests end and come back; the `ETag` is for `If-Match`."""
    found = await writing.settings(call.connection)
    response.headers["ETag"] = etag(found.revision)
    return RequestSettings(**asdict(found))


@router.patch("/request-settings", responses=documented(412))
async def set_settings(
    call: WriteLists, edit: SettingsEdit, response: Response, if_match: IfMatch = None
) -> RequestSettings:
    """From now on; what has ended is judged by them as well."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await lists.set_settings(call.connection, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return RequestSettings(**asdict(outcome))


@router.get("/request-lessons", responses=documented())
async def list_lessons(call: ReadRequests, query: Annotated[LessonQuery, Query()]) -> Page[Lesson]:
    """What was found and what helped, the most frequent first; there is no next page: more filters narrow it."""
    values = query.model_dump(exclude={"ended_from", "ended_to"})
    values |= {"from": query.ended_from, "to": query.ended_to}
    return Page(items=[Lesson(**row) for row in await reading.rows(call.connection, "lessons", values)])


async def _rows(call: Call, kind: lists.Kind, query: ListQuery) -> tuple[list[dict[str, Any]], str | None]:
    after = decode_cursor(query.cursor, str) or ("",)
    values = {"after": after[0], kind: None, "active": query.active, "limit": query.limit + 1}
    name = {"cause": "causes", "remedy": "remedies"}[kind]
    return page(await reading.rows(call.connection, name, values), query.limit, kind)


async def _edited(call: Call, kind: lists.Kind, name: str, edit: Body, if_match: str | None) -> dict[str, Any]:
    changes = _flat(edit, edit.model_fields_set)
    outcome = await lists.edit(call.connection, kind, name, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    return outcome


def _tagged(row: dict[str, Any], response: Response) -> dict[str, Any]:
    response.headers["ETag"] = etag(row["revision"])
    return row


def _flat(body: Body, given: set[str]) -> dict[str, Any]:
    values = body.model_dump(include=given)
    title = values.pop("title", None)
    return values if title is None else {**values, "title_en": title["en"], "title_da": title["da"]}


def _cause(row: dict[str, Any]) -> RequestCause:
    values = {name: row[name] for name in RequestCause.model_fields if name in row}
    return RequestCause(**values, title=Title(en=row["title_en"], da=row["title_da"]))


def _remedy(row: dict[str, Any]) -> RequestRemedy:
    values = {name: row[name] for name in RequestRemedy.model_fields if name in row}
    return RequestRemedy(**values, title=Title(en=row["title_en"], da=row["title_da"]))
