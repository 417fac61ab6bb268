"""The page of one's own account: password and second factor."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from pydantic import Field

from fleet.access import totp
from fleet.access.passwords import Weakness
from fleet.access.principal import Principal
from fleet.access.roles import Role
from fleet.api import account
from fleet.api.account import Proposal, Trouble
from fleet.api.auth import LoggedIn, LoggedInBriefly, acting, session_of
from fleet.api.console.login import ConsoleForm
from fleet.api.console.rendering import HtmlRoute, render
from fleet.api.login import Wait

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

PATH = "/account"


class PasswordForm(ConsoleForm):
    """The present password, and the new one twice; `username` is for the browser, which keeps them together."""

    username: str = Field("", max_length=300)
    current: str = Field("", max_length=300)
    new: str = Field("", max_length=300)
    again: str = Field("", max_length=300)


class ProofForm(ConsoleForm):
    """The present password."""

    password: str = Field("", max_length=300)


class ConfirmForm(ConsoleForm):
    """A code of the app."""

    code: str = Field("", max_length=40)


@router.get("/account")
async def account_page(request: Request, call: LoggedIn) -> Response:
    """What one may do, and the forms for password and second factor."""
    return await _page(request, call.principal)


@router.post("/account/password")
async def change_password(
    request: Request, principal: LoggedInBriefly, form: Annotated[PasswordForm, Form()]
) -> Response:
    """Change the password."""
    if form.new != form.again:
        return await _page(request, principal, notice="trouble.not_the_same", status=422)
    trouble = await account.change_password(request, principal, form.current, form.new)
    return await _told(request, principal, trouble, "account.password_changed")


@router.post("/account/second-factor")
async def propose(request: Request, principal: LoggedInBriefly, form: Annotated[ProofForm, Form()]) -> Response:
    """Show the QR code of a new second factor."""
    made = await account.propose_factor(request, principal, form.password)
    if isinstance(made, Proposal):
        return _proposal(request, made)
    return await _told(request, principal, made, "")


@router.post("/account/second-factor/confirm")
async def confirm(request: Request, principal: LoggedInBriefly, form: Annotated[ConfirmForm, Form()]) -> Response:
    """Take the second factor into use and show the recovery codes."""
    codes = await account.confirm_factor(request, principal, form.code)
    if isinstance(codes, list):
        return render(request, "recovery.html", codes=codes, path=PATH, live=False)
    pending = await account.pending_factor(request, principal) if codes is Trouble.WRONG_CODE else None
    if pending is not None:
        return _proposal(request, pending, notice="trouble.wrong_code", status=422)
    return await _told(request, principal, codes, "")


@router.post("/account/second-factor/remove")
async def remove(request: Request, principal: LoggedInBriefly, form: Annotated[ProofForm, Form()]) -> Response:
    """Log in by password alone from now on."""
    trouble = await account.remove_factor(request, principal, form.password)
    return await _told(request, principal, trouble, "account.factor_removed")


async def _told(
    request: Request, principal: Principal, trouble: Trouble | Weakness | Wait | None, done: str
) -> Response:
    """The account's page with what became of it."""
    if isinstance(trouble, Wait):
        response = await _page(request, principal, wait_s=trouble.seconds, status=429)
        response.headers["Retry-After"] = str(trouble.seconds)
        return response
    if trouble is None:
        return await _page(request, principal, done=done)
    return await _page(request, principal, notice=f"trouble.{trouble.value}", status=422)


async def _page(
    request: Request,
    principal: Principal,
    *,
    status: int = 200,
    notice: str | None = None,
    done: str | None = None,
    wait_s: int | None = None,
) -> Response:
    # As it is now: what was just done may have changed what is needed.
    async with acting(request, principal, principal.everywhere) as connection:
        own = await account.own(connection, principal)
        session = session_of(request)
        need = None if session is None else await account.present_need(request, connection)
        values: dict[str, Any] = {"own": own, "need": need, "notice": notice, "done": done, "wait_s": wait_s}
    must = Role.ADMIN in principal.roles
    return render(
        request, "account.html", status=status, path=PATH, who=principal, must=must, live=need is None, **values
    )


def _proposal(request: Request, made: Proposal, *, status: int = 200, notice: str | None = None) -> Response:
    qr = totp.qr_svg(made.uri)
    return render(request, "factor.html", status=status, path=PATH, proposal=made, qr=qr, notice=notice, live=False)
