"""Scan and move: one field for scanners and keyboards, a list of what was scanned, and one act for all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from psycopg import Rollback

from fleet.access.roles import Permission
from fleet.api import steps
from fleet.api.auth import Call, MoveKits
from fleet.api.console import handlingwords
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.console.scanlist import Said, ScanForm, Scanned, gathered, ref
from fleet.api.steps import MoveComponents
from fleet.errors import FleetError
from fleet.state.ledger import bulk, swaps
from fleet.state.ledger.steps import Blocked, ComponentStep, KitStep, Taken
from fleet.state.lifecycle import COMPONENT_FINAL, COMPONENTS, FINAL, KITS, ComponentState, KitState, NotAllowed
from fleet.state.logistics import handling
from fleet.state.logistics.handling import Subject, SwapOffer, Thing
from fleet.state.registry import locations
from fleet.state.texts import bad_text

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SUGGESTED_PLACES = 200
MOVE = "move"
STEP = "step:"
TRY = "try"
Outcomes = Literal["possible", "done", "same", "refused"]


@dataclass(frozen=True, slots=True)
class Result:
    """What became, or would become, of one thing; `error` says why not, or `unmet` what stands in the way."""

    outcome: Outcomes
    key: str = ""
    values: tuple[str, ...] = ()
    error: FleetError | None = None
    unmet: tuple[steps.Missing, ...] = ()
    states: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Acted:
    """What was asked for and what became of it: by thing, and in one line; `errors` name fields."""

    results: Mapping[Subject, Result]
    said: Said | None = None
    errors: Mapping[str, str] | None = None


@router.get("/scan")
async def scan_page(request: Request, call: MoveKits) -> Response:
    """An empty list, and the field."""
    return await _page(request, call, ScanForm(), Scanned())


@router.post("/scan")
async def scan(request: Request, call: MoveKits, form: Annotated[ScanForm, Form()]) -> Response:
    """Put what was scanned on the list; nothing is changed in the books."""
    return await _page(request, call, form, await gathered(call.connection, form))


@router.post("/scan/act")
async def act(request: Request, call: MoveKits, form: Annotated[ScanForm, Form()]) -> Response:
    """Do the same with everything on the list, or say what would become of each."""
    listed = await gathered(call.connection, form)
    acted = await _acted(call, form, listed.things)
    return await _page(request, call, form, await _again(call, form, listed), acted)


@router.post("/scan/swap")
async def swap(request: Request, call: MoveComponents, form: Annotated[ScanForm, Form()]) -> Response:
    """Put one piece into a kit, or take one out, or both; or say whether that could be."""
    listed = await gathered(call.connection, form)
    offer = handling.swap_offer(listed.things, call.principal)
    if offer is None:
        acted = Acted({}, Said("scan_no_swap", bad=True))
    else:
        acted = await _swapped(call, form, listed.things, offer)
    return await _page(request, call, form, await _again(call, form, listed), acted)


async def _again(call: Call, form: ScanForm, listed: Scanned) -> Scanned:
    """The list as it stands after an act."""
    if form.act != TRY:
        listed.things = await handling.things(call.connection, listed.subjects)
    return listed


async def _acted(call: Call, form: ScanForm, listed: Sequence[Thing]) -> Acted:
    if not listed:
        return Acted({}, Said("scan_nothing", bad=True))
    if form.do != MOVE and form.do.removeprefix(STEP) not in handling.common_steps(listed, call.principal):
        return Acted({}, errors={"do": "scan_choose"})
    target = form.do.removeprefix(STEP)
    if errors := await _errors(call, form, target=target, needs_place=form.do == MOVE):
        return Acted({}, errors=errors)
    itemised, dry_run = form.mode == "itemised", form.act == TRY
    results: dict[Subject, Result] = {}
    if form.do == MOVE:
        moved, kept = await handling.move_together(
            call.connection,
            [each.subject for each in listed],
            form.location.strip(),
            reason=form.reason.strip() or None,
            by=call.principal,
            itemised=itemised,
            dry_run=dry_run,
        )
        results = {each.subject: _of_move(each, kept=kept) for each in moved}
    else:
        outcomes: list[bulk.Outcome] = []
        items = [_item(index, each, form) for index, each in enumerate(listed)]
        kept = await bulk.take_together(
            call.connection, items, by=call.principal, tell=outcomes.append, itemised=itemised, dry_run=dry_run
        )
        results = {listed[each.index].subject: _of_step(each.result, kept=kept) for each in outcomes}
    return Acted(results, _summary(results, kept=kept, dry_run=dry_run))


async def _swapped(call: Call, form: ScanForm, listed: Sequence[Thing], offer: SwapOffer) -> Acted:
    if offer.outgoing is not None and form.state not in offer.states:
        return Acted({}, errors={"state": "scan_choose"})
    state = ComponentState(form.state) if offer.outgoing is not None else None
    if errors := await _errors(call, form, target=state or ""):
        return Acted({}, errors=errors)
    change = swaps.Swap(
        incoming=offer.incoming,
        outgoing=offer.outgoing,
        state=state,
        location=form.location.strip() or None,
        reason=form.reason.strip() or None,
        override=bool(form.override),
    )
    dry_run = form.act == TRY
    result = await _tried(call, offer.kit, change, dry_run=dry_run)
    results = {each.subject: result for each in listed}
    return Acted(results, _summary(results, kept=result.outcome == "done", dry_run=dry_run))


async def _tried(call: Call, kit: str, change: swaps.Swap, *, dry_run: bool) -> Result:
    result = Result("refused")
    try:
        async with call.connection.transaction() as transaction:
            outcome = await swaps.swap(call.connection, kit, change, by=call.principal)
            result = _of_swap(outcome, kit, change, dry_run=dry_run)
            if dry_run:
                raise Rollback(transaction)
    except FleetError as error:
        return Result("refused", error=error)
    return result


async def _errors(call: Call, form: ScanForm, *, target: str, needs_place: bool = False) -> dict[str, str]:
    """What is wrong with place and reason for a step to `target`: the text's key by the field."""
    errors = {}
    location, reason = form.location.strip(), form.reason.strip()
    if not location and needs_place:
        errors["location"] = "scan_needs_place"
    elif location and await locations.location_called(call.connection, location) is None:
        errors["location"] = "scan_no_such_place"
    if reason and bad_text(reason):
        errors["reason"] = "scan_bad_reason"
    elif not reason and (form.override or _asks_reason(target)):
        errors["reason"] = "scan_needs_reason"
    return errors


def _asks_reason(state: str) -> bool:
    """Whether a step to a state of either life is told with a reason."""
    kit = state in set(KitState) and KITS.missing_data(KitState(state), reason=None)
    piece = state in set(ComponentState) and COMPONENTS.missing_data(ComponentState(state), reason=None)
    return bool(kit or piece)


def _item(index: int, thing: Thing, form: ScanForm) -> bulk.Item:
    state = form.do.removeprefix(STEP)
    values: dict[str, Any] = {
        "location": form.location.strip() or None,
        "reason": form.reason.strip() or None,
        "override": bool(form.override),
    }
    if thing.kit is None:
        return bulk.Item(index, thing.subject, ComponentStep(ComponentState(state), **values))
    along = bool(form.with_components) and KitState(state) in FINAL
    return bulk.Item(index, thing.subject, KitStep(KitState(state), with_components=along, **values))


def _of_move(moved: handling.Moved, *, kept: bool) -> Result:
    if not isinstance(moved.result, tuple):
        return Result("refused", error=moved.result)
    if not moved.result:
        return Result("same", "scan_there_already")
    return Result("done" if kept else "possible", "scan_moved" if kept else "scan_would_move")


def _of_step(result: Taken | bulk.Refusal, *, kept: bool) -> Result:
    if isinstance(result, Taken):
        return Result("done" if kept else "possible", states=(result.from_state, result.to_state))
    return _refused(result)


def _of_swap(outcome: Taken | Blocked | NotAllowed, kit: str, change: swaps.Swap, *, dry_run: bool) -> Result:
    if not isinstance(outcome, Taken):
        return _refused(outcome)
    both = change.incoming is not None and change.outgoing is not None
    key = "swap" if both else "in" if change.incoming is not None else "out"
    return Result("possible" if dry_run else "done", f"scan_did_{key}", (kit,))


def _refused(refusal: bulk.Refusal) -> Result:
    match refusal:
        case Blocked():
            return Result("refused", unmet=tuple(steps.missing(each) for each in refusal.unmet))
        case NotAllowed():
            return Result("refused", "scan_no_step", states=(refusal.source, refusal.target))
    return Result("refused", error=refusal)


def _summary(results: Mapping[Subject, Result], *, kept: bool, dry_run: bool) -> Said:
    refused = sum(each.outcome == "refused" for each in results.values())
    taken = len(results) - refused
    if dry_run:
        return Said("scan_tried", (taken, refused), bad=bool(refused))
    if not kept:
        return Said("scan_none_done", (refused,), bad=True)
    return Said("scan_done", (taken, refused), bad=bool(refused))


async def _page(request: Request, call: Call, form: ScanForm, listed: Scanned, acted: Acted | None = None) -> Response:
    errors = (acted and acted.errors) or {}
    said = [*listed.said, *([acted.said] if acted and acted.said else [])]
    refused = acted is not None and (errors or (acted.said and acted.said.bad and form.act != TRY))
    offered = handling.common_steps(listed.things, call.principal)
    final = {state.value for state in (*FINAL, *COMPONENT_FINAL)}
    return render(
        request,
        "scan.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.CONFLICT if refused else HTTPStatus.OK,
        path="/scan",
        live=False,
        form=form,
        listed=listed,
        ref=ref,
        said=said,
        results=acted.results if acted else {},
        worded=partial(handlingwords.said, language_of(request)),
        errors=errors,
        steps=offered,
        can_move=handling.can_move(listed.things),
        swap=handling.swap_offer(listed.things, call.principal)
        if call.principal.may(Permission.COMPONENTS_MOVE)
        else None,
        leaving=any(each.kit is not None for each in listed.things) and bool(final & set(offered)),
        may_override=call.principal.may(Permission.KITS_OVERRIDE),
        places=await locations.list_locations(call.connection, active=True, limit=SUGGESTED_PLACES),
        full=len(listed.things) >= handling.MAX_THINGS,
    )
