"""`incidents`: mass events, one case for many kits."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from fleet.alerts import desk
from fleet.api.auth import ReadAlerts
from fleet.api.problems import documented
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
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
from fleet.errors import NotFoundError

router = APIRouter(prefix=PREFIX)


class Incident(Answer):
    """A mass event: one case for many kits; `still_silent` counts the members it still speaks for."""

    id: int
    rule: str
    state: Literal["open", "cleared"]
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
    rows, cursor = page(await desk.read(call.connection, "members", values), query.limit, "kit_id")
    items = [Member(**{name: row[name] for name in Member.model_fields}) for row in rows]
    return Page(items=items, next=cursor)
