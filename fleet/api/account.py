"""What people do with their own account: password and second factor. Refusals are values; nothing here is a page.

Whoever sits at an unlocked screen has a session but not the password, so each of these asks for it, and wrong ones
count like failed logins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from fastapi import Request

from fleet.access import lockout, passwords, sessions, totp, users
from fleet.access.passwords import Weakness
from fleet.access.principal import NOTHING, Principal
from fleet.access.roles import Role
from fleet.access.sessions import Need
from fleet.access.users import LoginFacts
from fleet.api.auth import Connection, acting, session_of
from fleet.api.login import LOGIN, Wait, attempt_at, hashing_of, sealer_of
from fleet.errors import ConflictError, ForbiddenError


class Trouble(StrEnum):
    """Why a change of one's own account was not made."""

    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a name
    WRONG_CODE = "wrong_code"
    NOTHING_PROPOSED = "nothing_proposed"
    UNCHANGED = "unchanged"


SAID: dict[Trouble, str] = {
    Trouble.WRONG_PASSWORD: "is not your present password",
    Trouble.WRONG_CODE: "is not the code that the app shows now",
    Trouble.NOTHING_PROPOSED: "there is no second factor to confirm: begin anew",
    Trouble.UNCHANGED: "is your present password",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A second factor that counts once a code of it was given."""

    uri: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Own:
    """How one's own account stands."""

    username: str
    single_sign_on: bool
    second_factor: bool
    recovery_codes_left: int


async def own(connection: Connection, principal: Principal) -> Own | None:
    """The caller's account; None for a token."""
    if principal.kind != "user":
        return None
    found = await users.find(connection, principal.id)
    left = await users.recovery_codes_left(connection, principal.id)
    return Own(found.username, found.single_sign_on, found.second_factor, left)


async def change_password(
    request: Request, principal: Principal, current: str, new: str
) -> Trouble | Weakness | Wait | None:
    """Set a password of one's own choice; the other sessions of the account end."""
    facts = await _proven(request, principal, current)
    if not isinstance(facts, LoginFacts):
        return facts
    if (weak := passwords.weakness(new, facts.username)) is not None:
        return weak
    if await hashing_of(request).verify(facts.password_hash, new):
        return Trouble.UNCHANGED
    password_hash = await hashing_of(request).hash(new)
    async with acting(request, principal, NOTHING) as connection:
        await users.set_own_password(connection, facts.user_id, password_hash, but=_this_session(request))
    return None


async def propose_factor(request: Request, principal: Principal, password: str) -> Proposal | Trouble | Wait:
    """A new secret for an app, beside the present one if there is one."""
    sealer = sealer_of(request)
    facts = await _proven(request, principal, password)
    if not isinstance(facts, LoginFacts):
        return facts
    secret = totp.new_secret()
    async with acting(request, principal, NOTHING) as connection:
        await users.propose_second_factor(connection, facts.user_id, sealer.seal(secret, facts.user_id))
    return _proposal(secret, facts)


async def confirm_factor(request: Request, principal: Principal, code: str) -> list[str] | Trouble | Wait:
    """Take the proposed secret into use with a code of it; gives recovery codes, shown this once."""
    sealer = sealer_of(request)
    made = attempt_at(request, principal.name)
    async with acting(request, principal, NOTHING) as connection:
        facts = await _facts(connection, principal)
        if wait_s := await lockout.take(connection, made):
            return Wait(wait_s)
        secret = sealer.open(facts.totp_pending or b"", facts.user_id)
        if secret is None:
            return Trouble.NOTHING_PROPOSED
        step = totp.matching_step(secret, code, datetime.now(UTC), None)
        if step is None:
            return Trouble.WRONG_CODE
        await lockout.give_back(connection, made)
        codes = totp.new_recovery_codes()
        hashes = [totp.hash_recovery_code(each) for each in codes]
        sealed = sealer.seal(secret, facts.user_id)
        await users.confirm_second_factor(connection, facts.user_id, sealed, step, hashes)
        await sessions.end_all(connection, facts.user_id, but=_this_session(request))
    return codes


async def pending_factor(request: Request, principal: Principal) -> Proposal | None:
    """The second factor that waits for its confirmation."""
    async with acting(request, principal, NOTHING) as connection:
        facts = await _facts(connection, principal)
    secret = sealer_of(request).open(facts.totp_pending or b"", facts.user_id)
    return None if secret is None else _proposal(secret, facts)


async def present_need(request: Request, connection: Connection) -> Need | None:
    """What the session needs at this moment, which is not what it needed when the request began."""
    session = await sessions.authenticate(connection, str(request.session.get("session", "")))
    return None if session is None else session.need


async def remove_factor(request: Request, principal: Principal, password: str) -> Trouble | Wait | None:
    """Log in by password alone from now on; raises ForbiddenError for those who must have a second factor."""
    if Role.ADMIN in principal.roles:
        raise ForbiddenError("administrators need a second factor; set up another one in its place")
    facts = await _proven(request, principal, password)
    if not isinstance(facts, LoginFacts):
        return facts
    async with acting(request, principal, NOTHING) as connection:
        await users.forget_second_factor(connection, facts.user_id)
    return None


async def _proven(request: Request, principal: Principal, password: str) -> LoginFacts | Trouble | Wait:
    """What is known of the caller's account, once the password was right."""
    made = attempt_at(request, principal.name)
    async with acting(request, LOGIN, NOTHING) as connection:
        facts = await _facts(connection, principal)
        if wait_s := await lockout.take(connection, made):
            return Wait(wait_s)
    right = await hashing_of(request).verify(facts.password_hash, password)
    if not right:
        return Trouble.WRONG_PASSWORD
    async with acting(request, LOGIN, NOTHING) as connection:
        await lockout.give_back(connection, made)
    return facts


async def _facts(connection: Connection, principal: Principal) -> LoginFacts:
    if principal.kind != "user":
        raise ForbiddenError("a token has no password: log in as a user")
    facts = await users.login_facts(connection, user_id=principal.id)
    if facts is None or facts.password_hash is None:
        raise ConflictError("this account logs in at a provider: change it there")
    return facts


def _proposal(secret: bytes, facts: LoginFacts) -> Proposal:
    return Proposal(totp.provisioning_uri(secret, facts.username), totp.typed_secret(secret))


def _this_session(request: Request) -> int | None:
    session = session_of(request)
    return None if session is None else session.session_id
