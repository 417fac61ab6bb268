"""The pages of contracts and business calendars, with the forms that people change them by most."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.rules import Priority
from fleet.alerts.sla import calendarbook, contractbook, fulfilment
from fleet.alerts.sla.calendars import local_day
from fleet.alerts.sla.measuring import Target
from fleet.api import shapes
from fleet.api.auth import Call
from fleet.api.calendars import ReadContracts, WriteContracts, hours_of
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import CHANGED, sentence
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.contracts import MOST_MINUTES, line_of
from fleet.api.organisations import SlugPath
from fleet.errors import FleetError, InvalidError
from fleet.state.texts import bad_text

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 200
SHOWN_DAYS = 42
SHOWN_MONTHS = 6
_TIME = re.compile(r"([0-9]{1,4})(?::([0-5][0-9]))?", re.ASCII)


class TargetsForm(ConsoleForm):
    """The targets of a contract as hours and minutes, `4:30`, by priority; what is empty promises nothing."""

    revision: int = Field(0, ge=0)
    response: list[str] = Field(default_factory=list, max_length=len(Priority))
    update: list[str] = Field(default_factory=list, max_length=len(Priority))
    solution: list[str] = Field(default_factory=list, max_length=len(Priority))

    def targets(self) -> list[dict[str, Any]]:
        """By priority; raises InvalidError."""
        columns = {f"{target}_min": getattr(self, target) for target in Target}
        if any(len(column) != len(Priority) for column in columns.values()):
            raise InvalidError("targets", "are not complete")
        rows = []
        for number, priority in enumerate(Priority):
            minutes = {name: _minutes(name, column[number]) for name, column in columns.items()}
            if minutes["solution_min"] is None:
                raise InvalidError("solution", "is needed for each priority")
            rows.append({"priority": priority.value, **minutes})
        return rows


class DayForm(ConsoleForm):
    """A day with other hours than usual; without times it is closed."""

    revision: int = Field(0, ge=0)
    day: str = Field("", max_length=10)
    opens: str = Field("", max_length=5)
    closes: str = Field("", max_length=5)
    note: str = Field("", max_length=200)

    def special(self) -> dict[str, Any]:
        """As it is stored; raises InvalidError."""
        try:
            day = date.fromisoformat(self.day)
        except ValueError:
            raise InvalidError("day", "is no day such as 2026-12-24") from None
        if bool(self.opens) != bool(self.closes):
            raise InvalidError("hours", "both times, or none when it is closed")
        for time in filter(None, (self.opens, self.closes)):
            if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", time, re.ASCII):
                raise InvalidError("hours", "are no times such as 08:00")
        if problem := bad_text(self.note):
            raise InvalidError("note", problem)
        hours = [[self.opens, self.closes]] if self.opens else []
        return {"day": day.isoformat(), "hours": hours, "note": self.note.strip()}


class FromQuery(shapes.Query):
    """The first day that is shown."""

    day_from: date | None = Field(None, alias="from")


@router.get("/contracts")
async def contracts_page(request: Request, call: ReadContracts) -> Response:
    """All contracts and calendars."""
    return render(
        request,
        "contracts.html",
        contracts=await contractbook.list_contracts(call.connection, limit=SHOWN),
        calendars=await calendarbook.list_calendars(call.connection, limit=SHOWN),
    )


@router.get("/contracts/{slug}")
async def contract_page(request: Request, call: ReadContracts, slug: SlugPath) -> Response:
    """One contract: targets, who is told, how it was kept."""
    return await _contract(request, call, slug)


@router.post("/contracts/{slug}")
async def save_targets(
    request: Request, call: WriteContracts, slug: SlugPath, form: Annotated[TargetsForm, Form()]
) -> Response:
    """Change the targets; when that is refused the page says why."""
    try:
        changes = {"targets": form.targets()}
        outcome = await contractbook.edit_contract(call.connection, slug, changes, revisions=frozenset({form.revision}))
    except FleetError as error:
        return await _contract(request, call, slug, refused=sentence(language_of(request), error))
    if not isinstance(outcome, contractbook.Contract):
        return await _contract(request, call, slug, refused=sentence(language_of(request), CHANGED))
    return RedirectResponse(f"/contracts/{slug}", HTTPStatus.SEE_OTHER)


@router.get("/calendars/{slug}")
async def calendar_page(
    request: Request, call: ReadContracts, slug: SlugPath, query: Annotated[FromQuery, Query()]
) -> Response:
    """One calendar, with the hours that it comes to in the next weeks."""
    return await _calendar(request, call, slug, query.day_from)


@router.post("/calendars/{slug}")
async def add_day(request: Request, call: WriteContracts, slug: SlugPath, form: Annotated[DayForm, Form()]) -> Response:
    """Say that a day is not as usual."""
    try:
        special = form.special()
        before = await calendarbook.find_calendar(call.connection, slug)
        others = [each for each in before.days if each["day"] != special["day"]]
        days = sorted([*others, special], key=lambda each: each["day"])
        outcome = await calendarbook.edit_calendar(
            call.connection, slug, {"days": days}, revisions=frozenset({form.revision})
        )
    except FleetError as error:
        return await _calendar(request, call, slug, None, refused=sentence(language_of(request), error))
    if not isinstance(outcome, calendarbook.CalendarRow):
        return await _calendar(request, call, slug, None, refused=sentence(language_of(request), CHANGED))
    return RedirectResponse(f"/calendars/{slug}?from={special['day']}", HTTPStatus.SEE_OTHER)


async def _contract(request: Request, call: Call, slug: str, *, refused: str | None = None) -> Response:
    found = await contractbook.find_contract(call.connection, slug)
    last = datetime.now(UTC).date().replace(day=1)
    first = (last - timedelta(days=28 * (SHOWN_MONTHS - 1))).replace(day=1)
    counted = []
    if call.principal.may(Permission.STATISTICS_READ):
        counted = await fulfilment.fulfilment(call.connection, first=first, last=last, contract=slug)
    return render(
        request,
        "contract.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.UNPROCESSABLE_ENTITY,
        path=f"/contracts/{slug}",
        calendars=await calendarbook.list_calendars(call.connection, limit=SHOWN),
        contract=found,
        counted=[line_of(each) for each in reversed(counted)],
        refused=refused,
        may_write=_may_write(call, found.organisation),
    )


async def _calendar(
    request: Request, call: Call, slug: str, first: date | None, *, refused: str | None = None
) -> Response:
    found = await calendarbook.find_calendar(call.connection, slug)
    first = first or local_day(found.calendar(), datetime.now(UTC))
    if not shapes.FIRST_YEAR < first.year < shapes.LAST_YEAR:
        raise InvalidError("from", f"years are {shapes.FIRST_YEAR + 1} to {shapes.LAST_YEAR - 1}")
    return render(
        request,
        "calendar.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.UNPROCESSABLE_ENTITY,
        path=f"/calendars/{slug}",
        calendar=found,
        notes={each["day"]: each.get("note", "") for each in found.days},
        shown=hours_of(found, first, SHOWN_DAYS),
        first=first,
        following=first + timedelta(days=SHOWN_DAYS),
        refused=refused,
        may_write=_may_write(call, found.organisation) and not found.always,
    )


def _may_write(call: Call, organisation: str | None) -> bool:
    """Whether the form is shown; what is for all is changed by who is bound to no organisation."""
    if not call.principal.may(Permission.CONTRACTS_WRITE):
        return False
    return organisation is not None or call.principal.scope(Permission.CONTRACTS_WRITE).organisations is None


def _minutes(field: str, text: str) -> int | None:
    """Minutes for `4:30`, `4` (hours); None for nothing."""
    if not text.strip():
        return None
    found = _TIME.fullmatch(text.strip())
    minutes = int(found[1]) * 60 + int(found[2] or 0) if found else 0
    if not 1 <= minutes <= MOST_MINUTES:
        raise InvalidError(field.removesuffix("_min"), "must be hours and minutes such as 4:30, up to 2160 hours")
    return minutes
