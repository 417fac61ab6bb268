"""Counting a place: begin, scan what is there, see what is missing, misplaced or too much, and close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import stocktakes as api
from fleet.api.auth import Call
from fleet.api.console import handlingwords
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.console.scanlist import (
    MAX_ASKED,
    MAX_CODES,
    MOST_TEXT,
    Asked,
    Said,
    asked_about,
    printable,
    ref,
    subject_of,
    unclear_of,
)
from fleet.api.console.texts import Language
from fleet.api.shapes import NumberPath
from fleet.api.stocktakes import ReadStock, ResultQuery, StocktakeQuery, WriteStock
from fleet.db.rows import Connection
from fleet.errors import ConflictError, InvalidError
from fleet.state.logistics import handling, scanning, stocktakes
from fleet.state.logistics.handling import Subject
from fleet.state.logistics.stocktakes import Action, Finding, Resolution, Stocktake
from fleet.state.registry import locations
from fleet.state.texts import bad_text

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN_EACH = 50
SHOWN_ONE = 200
SUGGESTED_PLACES = 200
TO_LOOK_AT = (Finding.MISSING, Finding.MISPLACED, Finding.EXTRA, Finding.UNKNOWN)
_Text = Annotated[str, Field(max_length=MOST_TEXT)]


class BeginForm(ConsoleForm):
    """Where to count, and a note."""

    location: str = Field("", max_length=200)
    note: str = Field("", max_length=200)


class CountForm(ConsoleForm):
    """What was scanned; `asked`, `pick` and `drop` as at scanning and moving."""

    code: list[_Text] = Field(default_factory=list, max_length=MAX_CODES)
    asked: list[_Text] = Field(default_factory=list, max_length=MAX_ASKED)
    pick: str = Field("", max_length=MOST_TEXT)
    drop: str = Field("", max_length=MOST_TEXT)


class CloseForm(ConsoleForm):
    """What to do about items: `k:` and a kit or `c:` and a piece, `=` and the action; `sure` that all was scanned."""

    resolve: list[_Text] = Field(default_factory=list, max_length=stocktakes.MAX_RESOLUTIONS)
    move_all: str = Field("", max_length=10)
    sure: str = Field("", max_length=10)
    reason: str = Field("", max_length=200)

    def chosen(self) -> dict[Subject, Action]:
        """What was chosen for which item."""
        found = {}
        for text in self.resolve:
            carried, _, action = text.partition("=")
            subject = subject_of(carried)
            if subject is not None and action in set(Action):
                found[subject] = Action(action)
        return found


@dataclass(frozen=True, slots=True)
class Shown:
    """One finding with its items; `more` where there are others."""

    finding: Finding
    items: Sequence[Any]
    more: bool
    next_query: str | None = None


@router.get("/stocktakes")
async def stocktakes_page(request: Request, call: ReadStock, query: Annotated[StocktakeQuery, Query()]) -> Response:
    """Stock-takes, those that are open when nothing else is asked for, and the form that begins one."""
    return await _list(request, call, query)


@router.post("/stocktakes")
async def begin(request: Request, call: WriteStock, form: Annotated[BeginForm, Form()]) -> Response:
    """Begin to count a place."""
    errors = {}
    found = await locations.location_called(call.connection, form.location.strip()) if form.location.strip() else None
    if found is None:
        errors["location"] = "scan_no_such_place" if form.location.strip() else "scan_needs_place"
    if form.note.strip() and bad_text(form.note.strip()):
        errors["note"] = "scan_bad_reason"
    if found is not None and not errors:
        try:
            made = await stocktakes.open_stocktake(
                call.connection, location=found.slug, note=form.note.strip(), by=call.principal
            )
        except ConflictError:
            errors["location"] = "stocktake_open_already"
        else:
            return RedirectResponse(f"/stocktakes/{made.stocktake_id}", HTTPStatus.SEE_OTHER)
    return await _list(request, call, StocktakeQuery(), errors=errors, sent=form)


@router.get("/stocktakes/{id}")
async def stocktake_page(
    request: Request, call: ReadStock, id: NumberPath, query: Annotated[ResultQuery, Query()]
) -> Response:
    """One stock-take: the field, how far it is, and what differs."""
    return await _page(request, call, id, query)


@router.post("/stocktakes/{id}/scan")
async def scan(request: Request, call: WriteStock, id: NumberPath, form: Annotated[CountForm, Form()]) -> Response:
    """Note what is there."""
    language = language_of(request)
    unclear = unclear_of(form.asked)
    said: list[Said] = []
    if picked := subject_of(form.pick.partition("=")[0]):
        unclear.pop(form.pick.partition("=")[2], None)
        said.append(await _noted(call, id, language, [picked]))
    elif form.drop.startswith("="):
        unclear.pop(form.drop[1:], None)
    for typed in form.code:
        if typed.strip():
            said.append(await _scanned(call, id, typed, unclear=unclear, language=language))
    wanted = [each for found in unclear.values() for each in found]
    seen = {each.subject: each for each in await handling.things(call.connection, wanted)}
    return await _page(request, call, id, ResultQuery(), said=said, asked=asked_about(unclear, seen))


@router.post("/stocktakes/{id}/close")
async def close(request: Request, call: WriteStock, id: NumberPath, form: Annotated[CloseForm, Form()]) -> Response:
    """Keep the result for good and do what was chosen; when that is refused the page says why, as it was sent."""
    reason = form.reason.strip()
    errors = {} if form.sure else {"sure": "stocktake_say_sure"}
    if reason and bad_text(reason):
        errors["reason"] = "scan_bad_reason"
    elif not reason and Action.LOST in form.chosen().values():
        errors["reason"] = "scan_needs_reason"
    if errors:
        return await _page(request, call, id, ResultQuery(), errors=errors, sent=form)
    try:
        await stocktakes.close(call.connection, id, await _resolutions(call.connection, id, form), by=call.principal)
    except (ConflictError, InvalidError) as error:
        return await _page(
            request, call, id, ResultQuery(), refused=handlingwords.said(language_of(request), error), sent=form
        )
    return RedirectResponse(f"/stocktakes/{id}", HTTPStatus.SEE_OTHER)


@router.post("/stocktakes/{id}/cancel")
async def cancel(request: Request, call: WriteStock, id: NumberPath, form: Annotated[ConsoleForm, Form()]) -> Response:
    """Give it up; no result is kept."""
    try:
        await stocktakes.cancel(call.connection, id, by=call.principal)
    except ConflictError as error:
        return await _page(request, call, id, ResultQuery(), refused=handlingwords.said(language_of(request), error))
    return RedirectResponse("/stocktakes", HTTPStatus.SEE_OTHER)


async def _scanned(
    call: Call, id: int, typed: str, *, unclear: dict[str, Sequence[Subject]], language: Language
) -> Said:
    meaning = await handling.meaning_of(call.connection, typed)
    code = printable(meaning.code)
    if meaning.forbidden:
        return Said("scan_forbidden", bad=True)
    if not meaning.subjects:
        return await _noted(call, id, language, [], code)
    if len(meaning.subjects) == 1:
        return await _noted(call, id, language, meaning.subjects)
    if len(unclear) >= MAX_ASKED and code not in unclear:
        return Said("scan_too_unclear", (MAX_ASKED,), bad=True)
    unclear[code] = meaning.subjects
    return Said("scan_ambiguous", (code,), bad=True)


async def _noted(call: Call, id: int, language: Language, subjects: Sequence[Subject], code: str | None = None) -> Said:
    pieces = [each for each in subjects if isinstance(each, int)]
    kits = [each for each in subjects if isinstance(each, str)]
    codes = [] if code is None else [code]
    try:
        (found,) = await scanning.scan(call.connection, id, codes, component_ids=pieces, kits=kits, by=call.principal)
    except (ConflictError, InvalidError) as error:
        return Said("stocktake_refused", (handlingwords.said(language, error),), bad=True)
    return Said(f"stocktake_{found.outcome}", (found.code,), bad=found.outcome == "unknown")


async def _resolutions(connection: Connection, id: int, form: CloseForm) -> list[Resolution]:
    chosen = form.chosen()
    if form.move_all:
        stocktake = await stocktakes.find_stocktake(connection, id)
        limit = stocktakes.MAX_RESOLUTIONS
        found = await stocktakes.result(connection, stocktake, limit=limit, finding=Finding.MISPLACED)
        chosen |= {each.kit or each.component_id or 0: Action.MOVE for each in found}
    reason = form.reason.strip() or None
    return [
        Resolution(
            action,
            component_id=subject if isinstance(subject, int) else None,
            kit=subject if isinstance(subject, str) else None,
            reason=reason,
        )
        for subject, action in chosen.items()
    ]


async def _list(
    request: Request,
    call: Call,
    query: StocktakeQuery,
    *,
    errors: Mapping[str, str] | None = None,
    sent: BeginForm | None = None,
) -> Response:
    state = query.state or "open"
    found = await api.list_stocktakes(call, query.model_copy(update={"state": state}))
    return render(
        request,
        "stocktakes.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        path="/stocktakes",
        live=False,
        stocktakes=found.items,
        state=state,
        next_query=urlencode({"state": state, "cursor": found.next}) if found.next else None,
        errors=errors or {},
        sent=sent or BeginForm(),
        may_write=call.principal.may(Permission.STOCK_WRITE),
        places=await locations.list_locations(call.connection, active=True, limit=SUGGESTED_PLACES),
    )


async def _page(
    request: Request,
    call: Call,
    id: int,
    query: ResultQuery,
    *,
    said: Sequence[Said] = (),
    asked: Sequence[Asked] = (),
    errors: Mapping[str, str] | None = None,
    refused: str | None = None,
    sent: CloseForm | None = None,
) -> Response:
    stocktake = await stocktakes.find_stocktake(call.connection, id)
    sent = sent or CloseForm()
    may_write = call.principal.may(Permission.STOCK_WRITE) and stocktake.state == "open"
    return render(
        request,
        "stocktake.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.CONFLICT if refused else HTTPStatus.OK,
        path=f"/stocktakes/{id}",
        live=False,
        stocktake=stocktake,
        shown=[] if stocktake.state == "cancelled" else await _shown(call, stocktake, query),
        only=query.finding,
        said=said,
        asked=asked,
        ref=ref,
        actions_for=actions_for,
        errors=errors or {},
        refused=refused,
        sent=sent,
        chosen={ref(subject): action.value for subject, action in sent.chosen().items()},
        may_write=may_write,
        may_move=may_write and call.principal.may(Permission.KITS_MOVE),
    )


async def _shown(call: Call, stocktake: Stocktake, query: ResultQuery) -> list[Shown]:
    """What differs, some of each finding; or all of the one that was asked for, page by page."""
    if query.finding is not None:
        found = await api.get_result(call, stocktake.stocktake_id, query.model_copy(update={"limit": SHOWN_ONE}))
        following = urlencode({"finding": query.finding, "cursor": found.next}) if found.next else None
        return [Shown(Finding(query.finding), found.items, more=False, next_query=following)]
    parts = []
    for finding in TO_LOOK_AT:
        items = await stocktakes.result(call.connection, stocktake, limit=SHOWN_EACH + 1, finding=finding)
        parts.append(Shown(finding, items[:SHOWN_EACH], more=len(items) > SHOWN_EACH))
    return parts


def actions_for(finding: str, state: str | None) -> list[str]:
    """What can be done about an item: what is lost is found by it, everything else that is too much is moved here."""
    if finding == Finding.EXTRA:
        return [Action.FOUND.value if state == "lost" else Action.MOVE.value]
    return sorted(action.value for action in stocktakes.FITTING.get(Finding(finding), frozenset()))
