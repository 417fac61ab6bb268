"""The page of what a kit's tablet enters the broker with: how it stands, renewed, taken back, and a password once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api.auth import Call
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import Refusal, refusal
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.credentials import WriteCredentials, envelope_of
from fleet.api.shapes import KitPath
from fleet.errors import FleetError, InvalidError, NotFoundError
from fleet.state import reading
from fleet.state.lifecycle import FINAL
from fleet.state.registry import components
from fleet.state.texts import bad_text
from fleet.updates.credentials import store
from fleet.updates.credentials.store import Credentials, State

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

ISSUE_REASONS = ("first", "tablet", "forgotten", "misuse", "routine")
WITHDRAW_REASONS = ("gone", "misuse", "unused")
"""What is proposed; the reason is a text of one's own."""


class CredentialsForm(ConsoleForm):
    """What to do; `generation` is the one that was on the page, so that nothing is done twice by loading it again."""

    act: Literal["issue", "withdraw"]
    generation: int = Field(0, ge=0)
    reason: str = Field("", max_length=201)


@router.get("/kits/{kit}/credentials")
async def credentials_page(request: Request, call: WriteCredentials, kit: KitPath) -> Response:
    """Whether the kit's tablet is let in; the audit tells of each look."""
    return await _page(request, call, kit)


@router.post("/kits/{kit}/credentials")
async def change_credentials(
    request: Request, call: WriteCredentials, kit: KitPath, form: Annotated[CredentialsForm, Form()]
) -> Response:
    """Give a new password, which the answer shows this once, or take it back."""
    try:
        why = _reason(form)
        if form.act == "withdraw":
            await store.withdraw(call.connection, kit, by=call.principal.actor, reason=why, seen=form.generation)
            return RedirectResponse(f"/kits/{kit}/credentials", HTTPStatus.SEE_OTHER)
        issued = await store.issue(
            call.connection,
            kit,
            by=call.principal.actor,
            envelope=envelope_of(request),
            reason=why,
            seen=form.generation,
        )
    except FleetError as error:
        return await _page(request, call, kit, refused=refusal(language_of(request), error), sent=form)
    return await _page(request, call, kit, password=issued.password)


async def _page(
    request: Request,
    call: Call,
    kit: str,
    *,
    refused: Refusal | None = None,
    sent: CredentialsForm | None = None,
    password: str | None = None,
) -> Response:
    facts = await reading.get_kit(call.connection, kit)
    found = await _found(call, kit)
    return render(
        request,
        "credentials.html",
        status=HTTPStatus.OK if refused is None else HTTPStatus.CONFLICT,
        path=f"/kits/{kit}/credentials",
        live=False,
        kit=facts,
        found=found,
        counts=found is not None and found.state == State.ISSUED,
        gone=facts.state in FINAL,
        tablet=await _tablet(call, found),
        password=password,
        refused=refused,
        sent=sent,
        issue_reasons=ISSUE_REASONS,
        withdraw_reasons=WITHDRAW_REASONS,
    )


async def _found(call: Call, kit: str) -> Credentials | None:
    """What the books have; None while the kit never got a password."""
    try:
        return await store.look_up(call.connection, kit)
    except NotFoundError:
        return None


async def _tablet(call: Call, found: Credentials | None) -> str | None:
    """The serial number of the tablet that knows the password, where the caller sees it."""
    if found is None or found.tablet_id is None or not call.principal.may(Permission.COMPONENTS_READ):
        return None
    try:
        return (await components.find_component(call.connection, found.tablet_id)).serial
    except NotFoundError:
        return None


def _reason(form: CredentialsForm) -> str:
    """Why, as the audit keeps it; raises InvalidError."""
    said = " ".join(form.reason.split())
    if problem := (bad_text(said) if said else "is needed"):
        raise InvalidError("reason", problem)
    return said
