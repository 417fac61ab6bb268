"""The lists that requests speak in, causes and remedies, and what they teach."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.requests import lists, reading
from fleet.api import servicerequestlists as api
from fleet.api.auth import Call, ReadRequests
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, render
from fleet.api.servicerequestlists import LessonQuery, WriteLists
from fleet.api.servicerequests import Cause
from fleet.api.shapes import Title
from fleet.errors import ConflictError, ForbiddenError
from fleet.state.registry.editing import Outdated
from fleet.state.texts import bad_text

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 500
SEVERITIES = ("critical", "major", "minor", "warning")
LINES = ("support", "service", "logistics", "supplier")
KINDS: Mapping[str, lists.Kind] = {"causes": "cause", "remedies": "remedy"}
LESSONS_BY = ("cause", "model", "kit_type", "os", "mdm", "app", "bluetooth", "firmware")
Listed = Literal["causes", "remedies"]
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)


class LineForm(ConsoleForm):
    """A line of a list as its form sends it; what remedies do not have stays empty."""

    name: str = Field("", max_length=100)
    title_en: str = Field("", max_length=300)
    title_da: str = Field("", max_length=300)
    opens: str = Field("", max_length=10)
    explains: str = Field("", max_length=10)
    proof: str = Field("", max_length=10)
    active: str = Field("", max_length=10)
    line: str = Field("support", max_length=20)
    severity: str = Field("minor", max_length=20)
    revision: int = Field(0, ge=0)

    def wrong(self, kind: lists.Kind, *, named: bool) -> dict[str, str]:
        """The text's key by the field that is wrong."""
        errors = {}
        if named and not _NAME.fullmatch(self.name.strip()):
            errors["name"] = "list_bad_name"
        for field in ("title_en", "title_da"):
            text = getattr(self, field).strip()
            if not text:
                errors[field] = "list_needs_text"
            elif bad_text(text):
                errors[field] = "scan_bad_reason"
        if kind == "cause" and (self.line not in LINES or self.severity not in SEVERITIES):
            errors["line"] = "scan_choose"
        if kind == "cause" and not (self.opens or self.explains):
            errors["opens"] = "list_needs_use"
        return errors

    def values(self, kind: lists.Kind) -> dict[str, Any]:
        """As it is stored."""
        texts = {"title_en": self.title_en.strip(), "title_da": self.title_da.strip(), "active": bool(self.active)}
        if kind == "remedy":
            return texts
        uses = {name: bool(getattr(self, name)) for name in ("opens", "explains", "proof")}
        return {**texts, **uses, "line": self.line, "severity": self.severity}


@router.get("/lists")
async def lists_page(request: Request, call: ReadRequests) -> Response:
    """Causes and remedies."""
    return await _lists(request, call)


@router.post("/lists/{listed}")
async def add(request: Request, call: WriteLists, listed: Listed, form: Annotated[LineForm, Form()]) -> Response:
    """Add a line; what is wrong stands beside its field."""
    kind = KINDS[listed]
    errors = form.wrong(kind, named=True)
    if not errors:
        try:
            await lists.add(call.connection, kind, {kind: form.name.strip(), **form.values(kind)})
            return RedirectResponse(f"/lists#{listed}", HTTPStatus.SEE_OTHER)
        except ConflictError:
            errors["name"] = "list_name_taken"
        except ForbiddenError:
            errors["name"] = "list_for_all"
    return await _lists(request, call, adding=listed, errors=errors, sent=form)


@router.get("/lists/{listed}/{name}")
async def line_page(request: Request, call: ReadRequests, listed: Listed, name: Cause) -> Response:
    """One line with its form."""
    row = await lists.find(call.connection, KINDS[listed], name)
    return _line(request, call, listed, row, form=LineForm(**_sent(row)))


@router.post("/lists/{listed}/{name}")
async def edit(
    request: Request, call: WriteLists, listed: Listed, name: Cause, form: Annotated[LineForm, Form()]
) -> Response:
    """Another text, another use, or out of use."""
    kind = KINDS[listed]
    row = await lists.find(call.connection, kind, name)
    errors = form.wrong(kind, named=False)
    if not errors:
        try:
            seen = frozenset({form.revision})
            outcome = await lists.edit(call.connection, kind, name, form.values(kind), revisions=seen)
        except ForbiddenError:
            errors["title_en"] = "list_for_all"
        else:
            if not isinstance(outcome, Outdated):
                return RedirectResponse(f"/lists#{listed}", HTTPStatus.SEE_OTHER)
            form.revision = outcome.revision
            errors["title_en"] = "list_stale"
    return _line(request, call, listed, row, form=form, errors=errors)


@router.get("/lessons")
async def lessons_page(request: Request, call: ReadRequests, query: Annotated[LessonQuery, Query()]) -> Response:
    """What was found and what helped."""
    found = await api.list_lessons(call, query)
    causes = await reading.rows(call.connection, "causes", _all("cause"))
    remedies = await reading.rows(call.connection, "remedies", _all("remedy"))
    return render(
        request,
        "lessons.html",
        live=False,
        lessons=found.items,
        query=query,
        choices=LESSONS_BY,
        titles={("cause", each["cause"]): _title(each) for each in causes}
        | {("remedy", each["remedy"]): _title(each) for each in remedies},
    )


async def _lists(
    request: Request,
    call: Call,
    *,
    adding: Listed | None = None,
    errors: Mapping[str, str] | None = None,
    sent: LineForm | None = None,
) -> Response:
    return render(
        request,
        "lists.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        path="/lists",
        live=False,
        causes=await reading.rows(call.connection, "causes", _all("cause")),
        remedies=await reading.rows(call.connection, "remedies", _all("remedy")),
        title=_title,
        adding=adding,
        errors=errors or {},
        sent=sent or LineForm(active="yes", opens="yes", explains="yes", proof="yes"),
        may_write=_may_write(call),
        lines=LINES,
        severities=SEVERITIES,
    )


def _line(
    request: Request,
    call: Call,
    listed: Listed,
    row: Mapping[str, Any],
    *,
    form: LineForm,
    errors: Mapping[str, str] | None = None,
) -> Response:
    name = row[KINDS[listed]]
    return render(
        request,
        "listline.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        path=f"/lists/{listed}/{name}",
        live=False,
        listed=listed,
        name=name,
        heading=_title(row),
        form=form,
        errors=errors or {},
        may_write=_may_write(call),
        lines=LINES,
        severities=SEVERITIES,
    )


def _sent(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line as its form would send it."""
    flags = {name: "yes" if row.get(name) else "" for name in ("opens", "explains", "proof", "active")}
    texts = {name: row[name] for name in ("title_en", "title_da", "revision")}
    return {**flags, **texts, **{name: row[name] for name in ("line", "severity") if name in row}}


def _may_write(call: Call) -> bool:
    """The lists are the same for all: they are kept by who is bound to no organisation."""
    return call.principal.scope(Permission.CONTRACTS_WRITE).organisations is None


def _title(row: Mapping[str, Any]) -> Title:
    return Title(en=row["title_en"], da=row["title_da"])


def _all(kind: lists.Kind) -> dict[str, Any]:
    return {"after": "", kind: None, "active": None, "limit": SHOWN}
