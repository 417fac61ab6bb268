"""The business calendars in the database: entered, edited, and shown as the hours they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import available_timezones

import holidays
from psycopg.errors import ForeignKeyViolation
from psycopg.types.json import Jsonb

from fleet.access import organisations
from fleet.alerts.sla.calendars import DAY_MIN, OPTIONAL_DAYS, Calendar, spans_on
from fleet.alerts.sla.terms import WEEKDAYS, calendar_of, spans_of
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.registry.editing import Outdated, edit, merged

_SQL = load_queries("fleet.alerts.sla", "calendarbook.sql")

Hours = list[list[str]]
"""Open hours of a day as people write them, `[["08:00", "12:00"], ["13:00", "16:00"]]`; the day ends at `24:00`."""

COUNTRIES = ("DK",)
MAX_DAYS = 400
LEAST_OPEN_MIN = 240
"""A desk that is open less in a week can promise nothing in hours, and its dates would take years of days to reckon."""
WORKING_DAYS = "working-days"
"""The calendar that working days are counted by where no contract says otherwise; there from the beginning."""
AROUND_THE_CLOCK = "always"
KEPT = frozenset({WORKING_DAYS, AROUND_THE_CLOCK})


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A calendar as people see it; without an organisation it is for all.

    `hours` are by weekday (`mon`), `optional_days` by name (`december_24`), `days` are exceptions: objects of `day`,
    `hours` and `note`. `to_measure` is how many open requests are still to be measured anew after a change.
    """

    calendar_id: int
    slug: str
    organisation: str | None
    name: str
    time_zone: str
    always: bool
    hours: dict[str, Hours]
    holidays: str | None
    optional_days: dict[str, str]
    days: list[dict[str, Any]]
    revision: int
    created_at: datetime
    to_measure: int = 0

    def calendar(self) -> Calendar:
        """The calendar to count with."""
        return calendar_of(asdict(self))


@dataclass(frozen=True, slots=True)
class NewCalendar:
    """A calendar to enter."""

    slug: str
    name: str
    organisation: str | None = None
    time_zone: str = "Europe/Copenhagen"
    always: bool = False
    hours: dict[str, Hours] = field(default_factory=dict)
    holidays: str | None = "DK"
    optional_days: dict[str, str] = field(default_factory=dict)
    days: list[dict[str, Any]] = field(default_factory=list)


EDITABLE = ("name", "time_zone", "always", "hours", "holidays", "optional_days", "days")


async def list_calendars(
    connection: Connection, *, after: str = "", limit: int = 500, organisation: str | None = None
) -> list[CalendarRow]:
    """Calendars by slug, those for all among them."""
    values = {"after": after, "limit": limit, "organisation": organisation}
    return await fetch_all(connection, _SQL["list"], values, CalendarRow)


async def find_calendar(connection: Connection, slug: str) -> CalendarRow:
    """One calendar; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"slug": slug}, CalendarRow)
    if found is None:
        raise NotFoundError("calendar", slug)
    return found


async def add_calendar(connection: Connection, new: NewCalendar) -> CalendarRow:
    """Enter a calendar; raises InvalidError, and ConflictError when the slug is taken."""
    values = asdict(new)
    check(values)
    values["organisation_id"] = await organisations.id_of(connection, new.organisation)
    if await fetch_value(connection, _SQL["add"], _stored(values)) is None:
        raise ConflictError(f"calendar {new.slug} exists already")
    return await find_calendar(connection, new.slug)


async def edit_calendar(
    connection: Connection, slug: str, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> CalendarRow | Outdated:
    """Change fields of `EDITABLE`; open requests are measured anew by it.

    Raises NotFoundError, InvalidError, and ForbiddenError for one that is for all.
    """

    async def write(before: CalendarRow) -> None:
        values = merged(before, changes, EDITABLE)
        check(values, before)
        await connection.execute(_SQL["edit"], {**_stored(values), "calendar_id": before.calendar_id})

    return await edit(
        connection,
        "calendar",
        slug,
        lock=lambda: _lock(connection, slug),
        write=write,
        read=lambda: find_calendar(connection, slug),
        revisions=revisions,
    )


async def delete_calendar(connection: Connection, slug: str) -> None:
    """Delete a calendar that no contract goes by; raises NotFoundError, ForbiddenError, ConflictError."""
    async with connection.transaction():
        held = await _lock(connection, slug)
        if held is None:
            raise NotFoundError("calendar", slug)
        if slug in KEPT:
            raise ConflictError(f"calendar {slug} is always there: edit it instead")
        try:
            await connection.execute(_SQL["delete"], {"slug": slug})
        except ForeignKeyViolation:
            raise ConflictError(f"a contract goes by calendar {slug}") from None


def check(values: Mapping[str, Any], before: CalendarRow | None = None) -> None:
    """Refuse what is no calendar; raises InvalidError naming the field.

    A time zone and hours that stand since an earlier release took them may stay.
    """
    if values["time_zone"] not in time_zones() and (before is None or before.time_zone != values["time_zone"]):
        raise InvalidError("time_zone", "there is no such time zone, for example Europe/Copenhagen")
    if values["holidays"] not in (None, *COUNTRIES):
        raise InvalidError("holidays", f"known are the public holidays of {', '.join(COUNTRIES)}")
    for name, hours in values["hours"].items():
        if name not in WEEKDAYS:
            raise InvalidError("hours", f"weekdays are {', '.join(WEEKDAYS)}")
        _check_hours("hours", hours)
    kept = before is not None and before.hours == values["hours"] and before.always == values["always"]
    if not values["always"] and not kept and _open_min(values["hours"]) < LEAST_OPEN_MIN:
        raise InvalidError(
            "hours", f"it is open less than {LEAST_OPEN_MIN // 60} hours a week: nothing could be promised"
        )
    for name, how in values["optional_days"].items():
        if name not in OPTIONAL_DAYS or how not in ("closed", "half"):
            raise InvalidError("optional_days", f"{', '.join(OPTIONAL_DAYS)} can be closed or half")
    days = [each["day"] for each in values["days"]]
    if len(days) != len(set(days)) or len(days) > MAX_DAYS:
        raise InvalidError("days", f"a day stands there twice, or there are more than {MAX_DAYS}")
    for each in values["days"]:
        _check_hours("days", each["hours"])


def time_zones() -> frozenset[str]:
    """Time zones that mean the same on every machine, by their names in the IANA database."""
    return frozenset(name for name in available_timezones() if "/" in name or name == "UTC")


@dataclass(frozen=True, slots=True)
class DayOpen:
    """A local day as it comes out: `why` is always, exception, optional, holiday or ordinary; `holiday` its names."""

    day: date
    hours: list[tuple[str, str]]
    why: str
    holiday: tuple[str, str] | None


def day_open(calendar: Calendar, day: date) -> DayOpen:
    """What a calendar says of a day, and why; names in English and Danish."""
    hours = [(_clock(start), _clock(end)) for start, end in spans_on(calendar, day)]
    names = _holiday(day)
    why = "ordinary"
    if calendar.always:
        why = "always"
    elif day in dict(calendar.days):
        why = "exception"
    elif any(OPTIONAL_DAYS[name] == (day.month, day.day) for name, _ in calendar.optional):
        why = "optional"
    elif calendar.holidays is not None and not hours and names and calendar.hours[day.weekday()]:
        why = "holiday"
    return DayOpen(day, hours, why, names)


def _holiday(day: date) -> tuple[str, str] | None:
    """What Denmark calls a day, public holiday or not."""
    found = [
        holidays.country_holidays("DK", years=day.year, language=language, categories=("public", "optional")).get(day)
        for language in ("en_US", "da")
    ]
    return (found[0], found[1]) if found[0] and found[1] else None


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _check_hours(name: str, hours: Hours) -> None:
    at = -1
    for start, end in spans_of(hours):
        if not at < start < end <= DAY_MIN:
            raise InvalidError(name, "hours are in order and apart, from 00:00 to 24:00 at most")
        at = end


def _open_min(week: Mapping[str, Hours]) -> int:
    return sum(end - start for hours in week.values() for start, end in spans_of(hours))


async def _lock(connection: Connection, slug: str) -> CalendarRow | None:
    held = await fetch_one(connection, _SQL["lock"], {"slug": slug}, CalendarRow)
    if held is None and await fetch_one(connection, _SQL["find"], {"slug": slug}, CalendarRow) is not None:
        raise ForbiddenError("it is for all organisations: only who is bound to none of them may change it")
    return held


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, **{name: Jsonb(values[name]) for name in ("hours", "optional_days", "days")}}
