"""`calendars`: when desks are open, and what comes out of holidays and exceptions."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.sla import calendarbook
from fleet.alerts.sla.calendarbook import DayOpen, day_open
from fleet.alerts.sla.calendars import openings
from fleet.api import idempotency, shapes
from fleet.api.auth import Call, requires
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug, SlugPath
from fleet.api.problems import documented, invalid
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    GivenDay,
    Line,
    Moment,
    NewSlug,
    Page,
    PageQuery,
    Title,
    decode_cursor,
    page,
)
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["calendars"])

ReadContracts = Annotated[Call, requires(Permission.CONTRACTS_READ)]
WriteContracts = Annotated[Call, requires(Permission.CONTRACTS_WRITE)]

MOST_DAYS = 400

ClockTime = Annotated[
    str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", examples=["08:00"], description="Local time")
]
OpenHours = Annotated[list[ClockTime], Field(min_length=2, max_length=2, examples=[["08:00", "16:00"]])]
DayHours = Annotated[list[OpenHours], Field(max_length=12)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
OptionalDay = Literal["may_1", "june_5", "december_24", "december_31"]
How = Literal["closed", "half"]
Name = Annotated[Line, Field(min_length=1, max_length=200)]
Zone = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$", examples=["Europe/Copenhagen"])]
Why = Literal["always", "exception", "optional", "holiday", "ordinary"]


class SpecialDay(Body):
    """An exception: other hours than the weekday's, or none; it wins over holidays."""

    day: GivenDay
    hours: DayHours = Field(default_factory=list)
    note: Annotated[Line, Field(max_length=200)] = ""


class CalendarFields(Body):
    """What describes a calendar; hours are local time, pairs of opening and closing."""

    time_zone: Zone = "Europe/Copenhagen"
    always: bool = Field(False, description="Around the clock; hours and days do not matter")
    hours: dict[Weekday, DayHours] = Field(default_factory=dict, examples=[{"mon": [["08:00", "16:00"]]}])
    holidays: Literal["DK"] | None = Field("DK", description="The country whose public holidays are closed")
    optional_days: dict[OptionalDay, How] = Field(
        default_factory=dict, description="Days that are no public holidays; half is open until noon"
    )
    days: Annotated[list[SpecialDay], Field(max_length=calendarbook.MAX_DAYS)] = Field(default_factory=list)


class NewCalendar(CalendarFields):
    """A calendar to enter; without an organisation it is for all."""

    slug: NewSlug
    name: Name
    organisation: Slug | None = None


class CalendarEdit(CalendarFields):
    """What people edit; a field that is not sent stays."""

    name: Name = ""


class ShownDay(Answer):
    """An exception."""

    day: date
    hours: list[list[str]]
    note: str


class Calendar(Answer):
    """When a desk is open; one without an organisation is for all."""

    slug: str
    organisation: str | None
    name: str
    time_zone: str
    always: bool
    hours: dict[str, list[list[str]]]
    holidays: str | None
    optional_days: dict[str, str]
    days: list[ShownDay]
    revision: int
    created_at: Moment
    to_measure: int = Field(description="Open requests that are still to be measured anew after a change")


class Opening(Answer):
    """Open from `opens` to `closes`, in UTC."""

    opens: Moment
    closes: Moment


class DayHoursShown(Answer):
    """A local day: `hours` in local time, `open` as instants, `why` it is so, and what it is called, if anything."""

    day: date
    weekday: Weekday
    hours: list[list[str]]
    open: list[Opening]
    open_s: int
    why: Why
    name: Title | None


class CalendarHours(Answer):
    """The days asked for; `working_days` is how many of them are open at all."""

    calendar: str
    time_zone: str
    working_days: int
    open_s: int
    days: list[DayHoursShown]


class CalendarQuery(PageQuery):
    """Filters of calendars."""

    organisation: Slug | None = None


class HoursQuery(shapes.Query):
    """Which days, both included."""

    day_from: date = Field(alias="from", examples=["2026-12-21"])
    day_to: date = Field(alias="to", examples=["2027-01-03"])


@router.get("/calendars", responses=documented())
async def list_calendars(call: ReadContracts, query: Annotated[CalendarQuery, Query()]) -> Page[Calendar]:
    """Calendars by slug."""
    after = decode_cursor(query.cursor, str) or ("",)
    found = await calendarbook.list_calendars(
        call.connection, after=after[0], limit=query.limit + 1, organisation=query.organisation
    )
    kept, cursor = page(found, query.limit, "slug")
    return Page(items=[_calendar(each) for each in kept], next=cursor)


@router.post("/calendars", status_code=201, responses=documented(409), response_model=Calendar)
async def add_calendar(
    call: WriteContracts, request: Request, body: NewCalendar, key: idempotency.Key = None
) -> Response:
    """Enter a calendar."""

    async def work() -> Calendar:
        new = calendarbook.NewCalendar(**_plain(body.model_dump()))
        return _calendar(await calendarbook.add_calendar(call.connection, new))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/calendars/{slug}", responses=documented(404))
async def get_calendar(call: ReadContracts, slug: SlugPath, response: Response) -> Calendar:
    """One calendar; its `ETag` is for `If-Match`."""
    found = await calendarbook.find_calendar(call.connection, slug)
    response.headers["ETag"] = etag(found.revision)
    return _calendar(found)


@router.patch("/calendars/{slug}", responses=documented(404, 412))
async def edit_calendar(
    call: WriteContracts, slug: SlugPath, edit: CalendarEdit, response: Response, if_match: IfMatch = None
) -> Calendar:
    """Edit a calendar; open requests under contracts that go by it are measured anew."""
    changes = _plain(edit.model_dump(include=edit.model_fields_set))
    outcome = await calendarbook.edit_calendar(call.connection, slug, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return _calendar(outcome)


@router.delete("/calendars/{slug}", status_code=204, responses=documented(404, 409))
async def delete_calendar(call: WriteContracts, slug: SlugPath) -> None:
    """Delete a calendar that no contract goes by."""
    await calendarbook.delete_calendar(call.connection, slug)


@router.get("/calendars/{slug}/hours", responses=documented(404))
async def calendar_hours(call: ReadContracts, slug: SlugPath, query: Annotated[HoursQuery, Query()]) -> CalendarHours:
    """The hours that a calendar comes to, day by day; with it one checks holidays and exceptions."""
    found = await calendarbook.find_calendar(call.connection, slug)
    count = (query.day_to - query.day_from).days + 1
    if not 1 <= count <= MOST_DAYS:
        raise invalid("to", f"must be from one day to {MOST_DAYS} days after `from`", place="query")
    if not shapes.FIRST_YEAR < query.day_from.year <= query.day_to.year < shapes.LAST_YEAR:
        raise invalid("from", f"years are {shapes.FIRST_YEAR + 1} to {shapes.LAST_YEAR - 1}", place="query")
    return hours_of(found, query.day_from, count)


def hours_of(found: calendarbook.CalendarRow, first: date, count: int) -> CalendarHours:
    """So many days of a calendar."""
    calendar = found.calendar()
    days = []
    for number in range(count):
        day = first + timedelta(days=number)
        instants = [Opening(opens=opens, closes=closes) for opens, closes in openings(calendar, day)]
        days.append(_day(day_open(calendar, day), instants))
    return CalendarHours(
        calendar=found.slug,
        time_zone=found.time_zone,
        working_days=sum(bool(each.hours) for each in days),
        open_s=sum(each.open_s for each in days),
        days=days,
    )


_WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _day(told: DayOpen, instants: list[Opening]) -> DayHoursShown:
    return DayHoursShown(
        day=told.day,
        weekday=_WEEKDAYS[told.day.weekday()],
        hours=[list(each) for each in told.hours],
        open=instants,
        open_s=round(sum((each.closes - each.opens).total_seconds() for each in instants)),
        why=told.why,
        name=Title(en=told.holiday[0], da=told.holiday[1]) if told.holiday else None,
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Days as text, as they are stored."""
    if "days" in values:
        values["days"] = [{**each, "day": each["day"].isoformat()} for each in values["days"]]
    return values


def _calendar(found: calendarbook.CalendarRow) -> Calendar:
    values: dict[str, Any] = {name: getattr(found, name) for name in Calendar.model_fields if name != "days"}
    days = [ShownDay(day=each["day"], hours=each["hours"], note=each.get("note", "")) for each in found.days]
    return Calendar(**values, days=days)
