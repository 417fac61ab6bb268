"""`maintenance-windows`: when nothing is told of which kits, because somebody works on them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.quieting import windows
from fleet.api import idempotency
from fleet.api.auth import Call, ReadAlerts, requires
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
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
    NumberPath,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["maintenance-windows"])

WriteWindows = Annotated[Call, requires(Permission.WINDOWS_WRITE)]

State = Literal["planned", "on", "ended"]
ModelId = Annotated[int, Field(ge=1, le=2**31 - 1)]
Named = Annotated[Line, Field(min_length=1, max_length=200)]
Kits = Annotated[list[KitId], Field(min_length=1, max_length=windows.MAX_KITS)]
Rules = Annotated[list[Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,62}$")]], Field(min_length=1, max_length=100)]
Recurrence = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="RRULE of RFC 5545 by Danish time: FREQ DAILY, WEEKLY or MONTHLY with INTERVAL, BYDAY, BYMONTHDAY,"
        " UNTIL or COUNT",
        examples=["FREQ=WEEKLY;BYDAY=SU"],
    ),
]


class Time(Answer):
    """One time that a window is on."""

    begins_at: Moment
    ends_at: Moment


class MaintenanceWindow(Answer):
    """When nothing is told of which kits: those of `organisation` with what is below it (null: all), narrowed by what
    else is given, all together; `location` are those that stand there. Alerts about places and organisations are in it
    too where it names no kits, kit type, model or programme.

    With `collect` rules are evaluated, and what opens is suppressed; without, nothing opens and silence does not count.
    `rules` null is all of them. `starts_at` to `ends_at` is the first time, `upcoming` the next ones.
    """

    id: int
    title: str
    state: State
    organisation: str | None
    location: str | None
    kit_type: str | None
    model_id: int | None
    programme: str | None
    kits: list[str] | None
    rules: list[str] | None
    collect: bool
    starts_at: Moment
    ends_at: Moment
    recurrence: str | None
    upcoming: list[Time]
    ended_at: Moment | None
    created_by: str
    created_at: Moment
    revision: int


class NewMaintenanceWindow(Body):
    """A window to plan. Without `starts_at` it begins now."""

    title: Named
    ends_at: GivenMoment
    starts_at: GivenMoment | None = None
    organisation: Slug | None = None
    location: Slug | None = None
    kit_type: Named | None = None
    model_id: ModelId | None = None
    programme: Named | None = None
    kits: Kits | None = None
    rules: Rules | None = None
    collect: bool = True
    recurrence: Recurrence | None = None


class MaintenanceWindowEdit(Body):
    """What people edit, also while it is on; a field that is not sent stays, null empties it (but no time)."""

    title: Named = ""
    location: Slug | None = None
    kit_type: Named | None = None
    model_id: ModelId | None = None
    programme: Named | None = None
    kits: Kits | None = None
    rules: Rules | None = None
    collect: bool = True
    starts_at: GivenMoment | None = None
    ends_at: GivenMoment | None = None
    recurrence: Recurrence | None = None


class WindowEnd(Body):
    """Whether only the time that is on ends, or all that were to come as well."""

    series: bool = False


class PastTime(Answer):
    """A time that a window was on; `ended_at` is null while it is."""

    id: int
    began_at: Moment
    ended_at: Moment | None
    collect: bool
    rules: list[str] | None


class WindowQuery(PageQuery):
    """Filters of windows; `kit` finds those that are for it."""

    state: State | None = None
    organisation: Slug | None = None
    location: Slug | None = None
    kit: KitId | None = None
    kit_type: Word | None = None
    model_id: ModelId | None = None
    collect: bool | None = None


@router.get("/maintenance-windows", responses=documented())
async def list_windows(call: ReadAlerts, query: Annotated[WindowQuery, Query()]) -> Page[MaintenanceWindow]:
    """Windows, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    chosen = query.model_dump(include=set(windows.FILTERS))
    found = await windows.list_windows(call.connection, before=before[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "window_id")
    return Page(items=await _windows(call, kept), next=cursor)


@router.post("/maintenance-windows", status_code=201, responses=documented(403, 409), response_model=MaintenanceWindow)
async def plan_window(
    call: WriteWindows, request: Request, body: NewMaintenanceWindow, key: idempotency.Key = None
) -> Response:
    """Plan a window, for now or later. Who is bound to an organisation names it or one below it."""

    async def work() -> MaintenanceWindow:
        new = windows.NewWindow(**body.model_dump())
        return await _window(call, await windows.plan_window(call.connection, new, by=call.principal))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/maintenance-windows/{id}", responses=documented(404))
async def get_window(call: ReadAlerts, id: NumberPath, response: Response) -> MaintenanceWindow:
    """One window; its `ETag` is for `If-Match`."""
    found = await windows.find_window(call.connection, id)
    response.headers["ETag"] = etag(found.revision)
    return await _window(call, found)


@router.patch("/maintenance-windows/{id}", responses=documented(404, 409, 412))
async def edit_window(
    call: WriteWindows,
    id: NumberPath,
    edit: MaintenanceWindowEdit,
    response: Response,
    if_match: IfMatch = None,
) -> MaintenanceWindow:
    """Change for what and when it is, also while it is on: what it does not cover any more is heard within a minute."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await windows.edit_window(call.connection, id, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return await _window(call, outcome)


@router.post("/maintenance-windows/{id}/end", responses=documented(404, 409), response_model=MaintenanceWindow)
async def end_window(
    call: WriteWindows, request: Request, id: NumberPath, body: WindowEnd, key: idempotency.Key = None
) -> Response:
    """End the time that is on before it is over, or all that were to come; of what is over nothing changes."""

    async def work() -> MaintenanceWindow:
        return await _window(call, await windows.end_window(call.connection, id, series=body.series))

    return await idempotency.once(request, call, key, work)


@router.get("/maintenance-windows/{id}/occurrences", responses=documented(404))
async def list_occurrences(call: ReadAlerts, id: NumberPath, query: Annotated[PageQuery, Query()]) -> Page[PastTime]:
    """When it was on, the newest first."""
    await windows.find_window(call.connection, id)
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    found = await windows.past_times(call.connection, id, before=before[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "occurrence_id")
    names = PastTime.model_fields.keys() - {"id"}
    items = [PastTime(id=each.occurrence_id, **{name: getattr(each, name) for name in names}) for each in kept]
    return Page(items=items, next=cursor)


async def _window(call: Call, found: windows.Window) -> MaintenanceWindow:
    (shown,) = await _windows(call, [found])
    return shown


async def _windows(call: Call, found: list[windows.Window]) -> list[MaintenanceWindow]:
    now = await windows.moment(call.connection)
    names = MaintenanceWindow.model_fields.keys() - {"id", "upcoming"}
    return [
        MaintenanceWindow(
            id=each.window_id,
            upcoming=[Time.model_validate(time) for time in windows.upcoming(each, now)],
            **{name: getattr(each, name) for name in names},
        )
        for each in found
    ]
