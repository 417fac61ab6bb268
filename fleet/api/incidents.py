"""`incidents`: mass events, one case for many kits; `incident-settings`: when many are one."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.massevents import desk
from fleet.api.auth import Call, ReadAlerts
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.problems import documented
from fleet.api.rules import RulePath, WriteRules
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    Body,
    KitId,
    Moment,
    Number,
    NumberPath,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.errors import ForbiddenError, NotFoundError
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX)


CohortKind = Literal["fleet", "campaign", "app", "os", "mdm", "model", "operator", "organisation", "region"]


class Incident(Answer):
    """A mass event: one case for many kits of a cohort; `still_silent` counts the members it still speaks for.

    `cohort_kind` and `cohort_value` say what its kits have in common: `operator` with the mobile network's name, `app`,
    `os` and `mdm` with a version, `organisation` and `region` with a short name, `fleet` with nothing. `installed_kits`
    is how many watched kits the cohort had when it opened.
    """

    id: int
    rule: str
    state: Literal["open", "cleared"]
    cohort_kind: CohortKind
    cohort_value: str
    opened_at: Moment
    cleared_at: Moment | None
    installed_kits: int
    members: int
    still_silent: int
    service_request: str | None


class IncidentQuery(PageQuery):
    """Filters of incidents."""

    id: Number | None = None
    rule: Word | None = None
    state: Literal["open", "cleared"] | None = None
    cohort_kind: CohortKind | None = None
    cohort_value: Word | None = None
    sort: Literal["-id"] = "-id"


Outcome = Literal["returned", "released", "not_watched"]


class Member(Answer):
    """A kit of an incident; `outcome` tells how it left."""

    kit: str
    joined_at: Moment
    left_at: Moment | None
    outcome: Outcome | None


class MemberQuery(PageQuery):
    """Filters of an incident's members."""

    kit: KitId | None = None
    outcome: Outcome | None = None
    present: bool | None = None


class IncidentSettings(Answer):
    """More than `least` kits and more than `share` of a cohort with one rule's fault within `window_s` are one case."""

    rule: str
    enabled: bool
    least: int
    share: float
    window_s: float


class IncidentSettingsEdit(Body):
    """What people edit; a field that is not sent stays."""

    enabled: bool | None = None
    least: Annotated[int, Field(ge=2, le=100_000)] | None = None
    share: Annotated[float, Field(ge=0.001, le=1)] | None = None
    window_s: Annotated[float, Field(ge=60, le=3600)] | None = None


@router.get("/incidents", tags=["incidents"], responses=documented())
async def list_incidents(call: ReadAlerts, query: Annotated[IncidentQuery, Query()]) -> Page[Incident]:
    """Mass events, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    values = {**query.model_dump(exclude={"cursor", "sort"}), "before": before[0], "limit": query.limit + 1}
    rows, cursor = page(await desk.read(call.connection, "incidents", values), query.limit, "id")
    return Page(items=[Incident(**row) for row in rows], next=cursor)


@router.get("/incidents/{id}", tags=["incidents"], responses=documented(404))
async def get_incident(call: ReadAlerts, id: NumberPath) -> Incident:
    """One incident."""
    found = await list_incidents(call, IncidentQuery(id=id))
    if not found.items:
        raise NotFoundError("incident", str(id))
    return found.items[0]


@router.get("/incidents/{id}/members", tags=["incidents"], responses=documented(404))
async def list_members(call: ReadAlerts, id: NumberPath, query: Annotated[MemberQuery, Query()]) -> Page[Member]:
    """The kits of an incident."""
    if not await desk.incident_exists(call.connection, id):
        raise NotFoundError("incident", str(id))
    after = decode_cursor(query.cursor, int) or (0,)
    values = {"id": id, "after": after[0], "kit": query.kit, "outcome": query.outcome, "limit": query.limit + 1}
    values["present"] = query.present
    rows, cursor = page(await desk.read(call.connection, "members", values), query.limit, "kit_id")
    items = [Member(**{name: row[name] for name in Member.model_fields}) for row in rows]
    return Page(items=items, next=cursor)


@router.get("/incident-settings", tags=["incidents"], responses=documented())
async def list_settings(call: ReadAlerts, query: Annotated[PageQuery, Query()]) -> Page[IncidentSettings]:
    """When many kits with one rule's fault are a mass event, by rule."""
    after = decode_cursor(query.cursor, str) or ("",)
    found = await desk.list_settings(call.connection, after=after[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "rule")
    return Page(items=[_settings(each) for each in kept], next=cursor)


@router.get("/incident-settings/{rule}", tags=["incidents"], responses=documented(404))
async def get_settings(call: ReadAlerts, rule: RulePath, response: Response) -> IncidentSettings:
    """Those of one rule; its `ETag` is for `If-Match`."""
    return _tagged(await desk.find_settings(call.connection, rule), response)


@router.patch("/incident-settings/{rule}", tags=["incidents"], responses=documented(404, 412))
async def edit_settings(
    call: WriteRules, rule: RulePath, edit: IncidentSettingsEdit, response: Response, if_match: IfMatch = None
) -> IncidentSettings:
    """Change when many are a mass event, for who is bound to no organisation: it goes by all kits."""
    check_whole(call)
    changes = {name: value for name, value in edit.model_dump(exclude_unset=True).items() if value is not None}
    outcome = await desk.edit_settings(call.connection, rule, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    return _tagged(outcome, response)


def check_whole(call: Call) -> None:
    """Raises ForbiddenError unless the caller may change what is for all."""
    if call.principal.scope(Permission.RULES_WRITE).organisations is not None:
        raise ForbiddenError("it is shared by all organisations: only who is bound to none of them may change it")


def _tagged(found: desk.IncidentSettings, response: Response) -> IncidentSettings:
    response.headers["ETag"] = etag(found.revision)
    return _settings(found)


def _settings(found: desk.IncidentSettings) -> IncidentSettings:
    return IncidentSettings(**{name: getattr(found, name) for name in IncidentSettings.model_fields})
