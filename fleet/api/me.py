"""`me`: whoever calls, and what they do with their own account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fleet.access import passwords, totp, users
from fleet.access.passwords import Weakness
from fleet.access.principal import NOTHING, Principal
from fleet.access.roles import Permission
from fleet.access.sessions import Need
from fleet.api import account, idempotency
from fleet.api.account import Proposal, Trouble
from fleet.api.administration import RoleName
from fleet.api.auth import Call, LoggedIn, LoggedInBriefly, acting, session_of
from fleet.api.login import LOGIN, Wait
from fleet.api.problems import ProblemError, documented, invalid
from fleet.api.shapes import PREFIX, Answer, Body

router = APIRouter(prefix=PREFIX, tags=["me"])

Password = Annotated[str, Field(min_length=1, max_length=300)]
Code = Annotated[str, Field(min_length=1, max_length=40)]


class Reach(Answer):
    """One role of the caller: over which organisation it was given, and how many it reaches (null: all)."""

    role: RoleName
    organisation: str | None
    reaches: int | None


class Me(Answer):
    """Who calls and what they may do; `need` is what must be done before anything else."""

    kind: Literal["user", "token", "system"]
    name: str
    roles: list[Reach]
    permissions: list[Permission]
    need: Literal["new_password", "second_factor"] | None
    single_sign_on: bool
    second_factor: bool
    recovery_codes_left: int


class PasswordChange(Body):
    """One's own password."""

    current: Password
    new: Password


class PasswordBody(Body):
    """The present password, to show that it is really you."""

    password: Password


class CodeBody(Body):
    """A code of the app."""

    code: Code


class Enrolment(Answer):
    """What an app needs: the address behind the QR code, the secret for typing, the QR code as a `data:` address."""

    uri: str
    secret: str
    qr: str


class Next(Answer):
    """The change was made; `need` is what must be done before anything else."""

    need: Literal["new_password", "second_factor"] | None


class ProposedFactor(Answer):
    """A second factor to be confirmed; `enrolment` is shown this once (null when the request is repeated)."""

    enrolment: Enrolment | None


class ConfirmedFactor(Answer):
    """The second factor counts; `recovery_codes` are shown this once (null when the request is repeated)."""

    recovery_codes: list[str] | None


@router.get("/me", responses=documented())
async def get_me(call: LoggedIn, request: Request) -> Me:
    """Who calls, with which roles and permissions."""
    session = session_of(request)
    own = await account.own(call.connection, call.principal)
    return Me(
        kind=call.principal.kind,
        name=call.principal.name,
        roles=await _reach(call),
        permissions=sorted(each for each in Permission if call.principal.may(each)),
        need=None if session is None else _need(session.need),
        single_sign_on=own is not None and own.single_sign_on,
        second_factor=own is not None and own.second_factor,
        recovery_codes_left=0 if own is None else own.recovery_codes_left,
    )


@router.post("/me/password", responses=documented(409, 429), response_model=Next)
async def change_password(
    principal: LoggedInBriefly, request: Request, body: PasswordChange, key: idempotency.Key = None
) -> Response:
    """Change one's own password; the other sessions of the account end."""

    async def work() -> Next:
        trouble = await account.change_password(request, principal, body.current, body.new)
        if trouble is not None:
            raise _problem(trouble, "current" if trouble is Trouble.WRONG_PASSWORD else "new")
        return await _next(request)

    return await _own_once(request, principal, key, work)


@router.post("/me/totp", responses=documented(409, 429), response_model=ProposedFactor)
async def propose_totp(
    principal: LoggedInBriefly, request: Request, body: PasswordBody, key: idempotency.Key = None
) -> Response:
    """Begin with a second factor, also in place of the present one; it counts once it is confirmed."""

    async def work() -> ProposedFactor:
        made = await account.propose_factor(request, principal, body.password)
        if not isinstance(made, Proposal):
            raise _problem(made, "password")
        return ProposedFactor(enrolment=Enrolment(uri=made.uri, secret=made.secret, qr=totp.qr_data_uri(made.uri)))

    return await _own_once(request, principal, key, work, once_only="enrolment")


@router.post("/me/totp/confirm", responses=documented(409, 429), response_model=ConfirmedFactor)
async def confirm_totp(
    principal: LoggedInBriefly, request: Request, body: CodeBody, key: idempotency.Key = None
) -> Response:
    """Take the second factor into use with a code of the app; the other sessions of the account end."""

    async def work() -> ConfirmedFactor:
        codes = await account.confirm_factor(request, principal, body.code)
        if not isinstance(codes, list):
            raise _problem(codes, "code")
        return ConfirmedFactor(recovery_codes=codes)

    return await _own_once(request, principal, key, work, once_only="recovery_codes")


@router.post("/me/totp/remove", responses=documented(409, 429), response_model=Next)
async def remove_totp(
    principal: LoggedInBriefly, request: Request, body: PasswordBody, key: idempotency.Key = None
) -> Response:
    """Log in by password alone from now on; not for administrators."""

    async def work() -> Next:
        trouble = await account.remove_factor(request, principal, body.password)
        if trouble is not None:
            raise _problem(trouble, "password")
        return await _next(request)

    return await _own_once(request, principal, key, work)


async def _own_once(
    request: Request,
    principal: Principal,
    key: str | None,
    work: Callable[[], Awaitable[BaseModel]],
    *,
    once_only: str | None = None,
) -> Response:
    """As `idempotency.once`, for work with transactions of its own, whose failures must count."""
    async with acting(request, principal, NOTHING) as connection:
        earlier = await idempotency.answered(request, Call(connection, principal), key)
    if earlier is not None:
        return earlier
    body = await work()

    async def done() -> BaseModel:
        return body

    async with acting(request, principal, NOTHING) as connection:
        call = Call(connection, principal)
        return await idempotency.once(request, call, key, done, once_only=once_only, secret=True)


async def _next(request: Request) -> Next:
    """What comes next after the change."""
    async with acting(request, LOGIN, NOTHING) as connection:
        return Next(need=_need(await account.present_need(request, connection)))


def _need(need: Need | None) -> Literal["new_password", "second_factor"] | None:
    match need:
        case Need.NEW_PASSWORD:
            return "new_password"
        case Need.SECOND_FACTOR:
            return "second_factor"
    return None


def _problem(trouble: Trouble | Weakness | Wait, field: str) -> ProblemError:
    match trouble:
        case Wait():
            return ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too-many-failures",
                f"too many failures: try again in {trouble.seconds} s",
                headers={"Retry-After": str(trouble.seconds)},
            )
        case Trouble():
            return invalid(field, account.SAID[trouble])
    return invalid(field, passwords.SAID[trouble])


async def _reach(call: Call) -> list[Reach]:
    slugs = await users.slugs(call.connection, [grant.root for grant in call.principal.grants])
    return [
        Reach(
            role=grant.role.value,
            organisation=None if grant.root is None else slugs.get(grant.root),
            reaches=None if grant.organisations is None else len(grant.organisations),
        )
        for grant in call.principal.grants
    ]
