"""The pages of maintenance windows, and what is done about an alert: taken care of, shelved, and back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.quieting import handling, windows
from fleet.alerts.quieting.recurrence import ZONE
from fleet.api import alerts
from fleet.api.auth import AcknowledgeAlerts, Call, ReadAlerts
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import sentence
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.maintenancewindows import MaintenanceWindow, WindowQuery, WriteWindows, get_window, list_windows
from fleet.api.problems import invalid
from fleet.api.shapes import NumberPath
from fleet.errors import FleetError, InvalidError
from fleet.state.registry import kittypes, models
from fleet.state.texts import bad_text

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN_WINDOWS = 100
SHOWN_TIMES = 40
SUGGESTED = 200
SHELF_HOURS = (1, 4, 24, 72, 168, 720)
REPEATS = ("", "DAILY", "WEEKLY", "MONTHLY")


@dataclass(frozen=True, slots=True)
class Shown:
    """A time of a window in the calendar."""

    window: MaintenanceWindow
    begins_at: datetime
    ends_at: datetime


class CommentForm(ConsoleForm):
    """What whoever takes care of an alert says."""

    comment: str = Field("", max_length=200)


class ShelfForm(ConsoleForm):
    """For how many hours an alert is not wanted, and why."""

    hours: int = Field(24, ge=1, le=720)
    reason: str = Field("", max_length=200)


class WindowForm(ConsoleForm):
    """A window as the form sends it, its times by Danish clocks; what was left empty says nothing."""

    title: str = Field("", max_length=200)
    organisation: str = Field("", max_length=63)
    location: str = Field("", max_length=63)
    kits: str = Field("", max_length=70_000)
    kit_type: str = Field("", max_length=200)
    model_id: str = Field("", max_length=12)
    programme: str = Field("", max_length=200)
    rules: list[str] = Field(default_factory=list, max_length=100)
    starts_at: str = Field("", max_length=40)
    ends_at: str = Field("", max_length=40)
    repeat: Literal["", "DAILY", "WEEKLY", "MONTHLY"] = ""
    until: str = Field("", max_length=10)
    collect: str = Field("", max_length=10)

    def window(self) -> windows.NewWindow:
        """What was asked for; raises InvalidError."""
        ends_at = _moment("ends_at", self.ends_at)
        if ends_at is None:
            raise InvalidError("ends_at", "is needed")
        if self.model_id and not (self.model_id.isascii() and self.model_id.isdecimal()):
            raise InvalidError("model_id", "is no number")
        return windows.NewWindow(
            title=self.title.strip(),
            starts_at=_moment("starts_at", self.starts_at),
            ends_at=ends_at,
            organisation=self.organisation.strip() or None,
            location=self.location.strip() or None,
            kits=self.kits.replace(",", " ").split() or None,
            kit_type=self.kit_type.strip() or None,
            model_id=int(self.model_id) if self.model_id else None,
            programme=self.programme.strip() or None,
            rules=self.rules or None,
            collect=bool(self.collect),
            recurrence=self._recurrence(),
        )

    def _recurrence(self) -> str | None:
        if not self.repeat:
            return None
        return f"FREQ={self.repeat}" + (f";UNTIL={self.until.replace('-', '')}" if self.until else "")


class EndForm(ConsoleForm):
    """Whether all times to come end as well."""

    series: str = Field("", max_length=10)


@router.get("/maintenance")
async def windows_page(request: Request, call: ReadAlerts) -> Response:
    """What is on and comes next, all windows, and the form for another."""
    return await _page(request, call)


@router.post("/maintenance")
async def plan(request: Request, call: WriteWindows, form: Annotated[WindowForm, Form()]) -> Response:
    """Plan a window; when it is refused the page says why, with the form as it was sent."""
    try:
        async with call.connection.transaction():
            made = await windows.plan_window(call.connection, form.window(), by=call.principal)
    except FleetError as error:
        return await _page(request, call, refused=sentence(language_of(request), error), sent=form)
    return RedirectResponse(f"/maintenance/{made.window_id}", HTTPStatus.SEE_OTHER)


@router.get("/maintenance/{id}")
async def window_page(request: Request, call: ReadAlerts, id: NumberPath) -> Response:
    """One window: for what, when it is on and was."""
    found = await get_window(call, id, Response())
    past = await windows.past_times(call.connection, id, before=2**63 - 1, limit=SHOWN_TIMES)
    return render(
        request,
        "window.html",
        window=found,
        past=past,
        may_write=call.principal.may(Permission.WINDOWS_WRITE),
    )


@router.post("/maintenance/{id}/end")
async def end(call: WriteWindows, id: NumberPath, form: Annotated[EndForm, Form()]) -> Response:
    """End the time that is on, or all."""
    await windows.end_window(call.connection, id, series=bool(form.series))
    return RedirectResponse(f"/maintenance/{id}", HTTPStatus.SEE_OTHER)


@router.post("/alerts/{id}/acknowledge")
async def acknowledge(call: AcknowledgeAlerts, id: NumberPath, form: Annotated[CommentForm, Form()]) -> Response:
    """Take care of an alert."""
    comment = _said("comment", form.comment) if form.comment.strip() else None
    await handling.acknowledge(call.connection, id, actor=call.principal.actor, comment=comment)
    return await _back(call, id)


@router.post("/alerts/{id}/unacknowledge")
async def unacknowledge(call: AcknowledgeAlerts, id: NumberPath, _: Annotated[ConsoleForm, Form()]) -> Response:
    """Take that back."""
    await handling.unacknowledge(call.connection, id, actor=call.principal.actor)
    return await _back(call, id)


@router.post("/alerts/{id}/shelve")
async def shelve(call: AcknowledgeAlerts, id: NumberPath, form: Annotated[ShelfForm, Form()]) -> Response:
    """Keep an alert quiet for some hours."""
    until = await windows.moment(call.connection) + timedelta(hours=form.hours)
    reason = _said("reason", form.reason)
    await handling.shelve(call.connection, id, until=until, reason=reason, actor=call.principal.actor)
    return await _back(call, id)


@router.post("/alerts/{id}/unshelve")
async def unshelve(call: AcknowledgeAlerts, id: NumberPath, _: Annotated[ConsoleForm, Form()]) -> Response:
    """Let an alert be heard again."""
    await handling.unshelve(call.connection, id, actor=call.principal.actor)
    return await _back(call, id)


async def _back(call: Call, alert_id: int) -> Response:
    alert = await alerts.get_alert(call, alert_id)
    return RedirectResponse("/" if alert.kit is None else f"/kits/{alert.kit}", HTTPStatus.SEE_OTHER)


def _said(field: str, text: str) -> str:
    """A text that may be stored; raises 422."""
    said = text.strip()
    if problem := (bad_text(said) if said else "is needed"):
        raise invalid(field, problem)
    return said


def _moment(field: str, text: str) -> datetime | None:
    """A time of a form, by Danish clocks."""
    if not text.strip():
        return None
    try:
        given = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidError(field, "is no time such as 2026-12-24 08:00") from None
    return (given if given.tzinfo else given.replace(tzinfo=ZONE)).astimezone(UTC)


async def _page(
    request: Request, call: Call, *, refused: str | None = None, sent: WindowForm | None = None
) -> Response:
    found = await list_windows(call, WindowQuery(limit=SHOWN_WINDOWS))
    times = [Shown(each, time.begins_at, time.ends_at) for each in found.items for time in each.upcoming]
    return render(
        request,
        "windows.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.UNPROCESSABLE_ENTITY,
        path="/maintenance",
        windows=found.items,
        times=sorted(times, key=lambda each: each.begins_at)[:SHOWN_TIMES],
        refused=refused,
        sent=sent or WindowForm(collect="yes"),
        **await _choices(call),
    )


async def _choices(call: Call) -> dict[str, Any]:
    """What the form offers; nothing to those who may plan none."""
    if not call.principal.may(Permission.WINDOWS_WRITE):
        return {"may_write": False}
    return {
        "may_write": True,
        "rules": await windows.rule_names(call.connection),
        "models": await models.list_models(call.connection, limit=SUGGESTED),
        "kit_types": await kittypes.list_kit_types(call.connection, limit=SUGGESTED),
        "repeats": REPEATS,
    }
