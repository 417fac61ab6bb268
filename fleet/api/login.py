"""Logging in to the console: by password and second factor, by a token, or at the provider. Gives outcomes, no pages.

No connection is held while a password is hashed or the provider is asked. The account that does not exist is treated in
every step like one with a wrong password.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

from fleet import metrics
from fleet.access import lockout, passwords, sessions, signon, tokens, totp, users
from fleet.access.entering import enter
from fleet.access.lockout import Attempt
from fleet.access.oidc import Failure, Flow, Identity, Provider
from fleet.access.passwords import HashingThreads
from fleet.access.principal import NOTHING, Principal, Scope
from fleet.access.sessions import Method, Need
from fleet.access.totp import Sealer
from fleet.access.users import LoginFacts
from fleet.api.auth import Connection, acting, origin_of
from fleet.errors import ForbiddenError, UnavailableError
from fleet.log import get_logger
from fleet.state.texts import looks_like_cpr

KNOWN_COOKIE = "fleet_known"
KNOWN_FOR_S = 180 * 24 * 3600
KNOWN_ACCOUNTS = 8
"""How many people a browser is remembered for, as where several share a desk."""

LOGIN = Principal("system", 0, "login", ())
SIGN_ON = Principal("system", 0, "single sign-on", ())

_LOG = get_logger("fleet.api.login")


class Refused(StrEnum):
    """Why a login was not taken, as far as people are told."""

    WRONG = "wrong"
    WRONG_CODE = "wrong_code"
    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a name
    PASSWORD_EXPIRED = "password_expired"  # noqa: S105
    STALE = "stale"
    NO_ROLE = "no_role"


@dataclass(frozen=True, slots=True)
class Wait:
    """Too many failures: the next attempt is taken in so many seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A new session; `secret` is for the browser, `need` what comes next, `account` who proved a password."""

    secret: str = field(repr=False)
    need: Need | None = None
    account: str | None = None


Outcome = LoggedIn | Refused | Wait | Failure


def hashing_of(request: Request) -> HashingThreads:
    """The threads of this process that hash passwords."""
    return cast("HashingThreads", request.app.state.hashing)


def sealer_of(request: Request) -> Sealer:
    """What encrypts second factors; raises UnavailableError where no key was set."""
    sealer: Sealer | None = request.app.state.sealer
    if sealer is None:
        raise UnavailableError("second factors need FLEET_SECRET_KEY, which is not set on this server")
    return sealer


def provider_of(request: Request) -> Provider | None:
    """The OpenID Connect provider; None when none is configured."""
    return cast("Provider | None", request.app.state.provider)


def cookie_name(request: Request, name: str) -> str:
    """Browsers take a name with the prefix from the very host over TLS only: no neighbour can plant such a one."""
    return f"__Host-{name}" if request.app.state.settings.secure_cookies else name


def attempt_at(request: Request, username: str) -> Attempt:
    """An attempt to log in to an account, counted by itself in a browser that the account was used from before."""
    return lockout.attempt(origin_of(request), username, _known(request).get(_mark(username)))


def remember_browser(request: Request, response: Response, username: str) -> None:
    """Let the browser show, the next time, that this account was used from it."""
    known = _known(request)
    mark = _mark(username)
    kept = {mark: known.pop(mark, None) or secrets.token_urlsafe(12), **known}
    value = _browsers(request).dumps(dict(list(kept.items())[:KNOWN_ACCOUNTS]))
    response.set_cookie(
        cookie_name(request, KNOWN_COOKIE),
        value if isinstance(value, str) else value.decode(),
        max_age=KNOWN_FOR_S,
        secure=request.app.state.settings.secure_cookies,
        httponly=True,
        samesite="strict",
    )


def _known(request: Request) -> dict[str, str]:
    """Whom the browser was used by before: a mark of each account, and what the browser is called there."""
    shown = request.cookies.get(cookie_name(request, KNOWN_COOKIE), "")
    try:
        known: dict[str, str] = _browsers(request).loads(shown, max_age=KNOWN_FOR_S)
    except BadData:
        return {}
    return known


def _browsers(request: Request) -> URLSafeTimedSerializer:
    return cast("URLSafeTimedSerializer", request.app.state.browsers)


def _mark(username: str) -> str:
    return lockout.account_key(username).hex()[:16]


async def by_password(request: Request, username: str, password: str) -> Outcome:
    """Check name and password; whoever has a second factor is asked for its code next."""
    made = attempt_at(request, username)
    async with acting(request, LOGIN, NOTHING) as connection:
        wait_s = await lockout.take(connection, made)
        facts = None if wait_s else await users.login_facts(connection, username=username)
    if wait_s:
        return _wait(Method.PASSWORD, wait_s)
    right = await hashing_of(request).verify(facts.password_hash if facts else None, password)
    if facts is None or not right or facts.disabled or facts.password_expired:
        return await _refuse(request, Method.PASSWORD, facts, _why(facts, right=right))
    newer = None
    if passwords.is_outdated(facts.password_hash or ""):
        newer = await hashing_of(request).hash(password)
    async with acting(request, facts.principal, NOTHING) as connection:
        if newer is not None:
            await users.rehash(connection, facts.user_id, newer)
        if facts.totp_secret is None:
            return await _complete(request, connection, facts, Method.PASSWORD, made)
        await lockout.give_back(connection, made)
        await end_present(request, connection)
        origin = origin_of(request)
        secret = await sessions.begin(connection, facts.principal, Method.PASSWORD, stage="code", origin=origin)
    return LoggedIn(secret, Need.CODE)


async def by_code(request: Request, code: str) -> Outcome:
    """The second step: a code of the app, or a recovery code."""
    async with acting(request, LOGIN, NOTHING) as connection:
        session = await sessions.authenticate(connection, str(request.session.get("session", "")))
        if session is None or session.need is not Need.CODE:
            return Refused.STALE
        facts = await users.login_facts(connection, user_id=session.principal.id)
        assert facts is not None
        made = attempt_at(request, facts.username)
        if wait_s := await lockout.take(connection, made):
            return _wait(Method.PASSWORD, wait_s)
        await enter(connection, facts.principal, NOTHING, origin=origin_of(request))
        if await factor_is_right(sealer_of(request), connection, facts, code):
            return await _complete(request, connection, facts, Method.PASSWORD, made)
    return await _refuse(request, Method.PASSWORD, facts, Refused.WRONG_CODE)


async def by_token(request: Request, token: str) -> Outcome:
    """A pasted token becomes a session, which ends with the token."""
    made = lockout.attempt(origin_of(request))
    async with acting(request, LOGIN, NOTHING) as connection:
        if wait_s := await lockout.take(connection, made):
            return _wait(Method.TOKEN, wait_s)
        holder = await tokens.authenticate(connection, token)
        if isinstance(holder, Principal):
            await enter(connection, holder, NOTHING, origin=origin_of(request))
            return await _complete(request, connection, holder, Method.TOKEN, made)
    return await _refuse(request, Method.TOKEN, None, Refused.WRONG_TOKEN, reason=holder.value)


async def by_provider(request: Request, provider: Provider, flow: Flow, answer: Mapping[str, str]) -> Outcome:
    """What the browser brings back from the provider becomes a session of the person it names."""
    made = lockout.attempt(origin_of(request))
    async with acting(request, LOGIN, NOTHING) as connection:
        wait_s = await lockout.take(connection, made)
    if wait_s:
        return _wait(Method.OIDC, wait_s)
    identity = await provider.finish(flow, answer)
    if isinstance(identity, Failure):
        metrics.LOGINS.labels(Method.OIDC.value, identity.value).inc()
        return identity
    try:
        async with acting(request, SIGN_ON, Scope(None)) as connection:
            facts = await signon.signed_on(
                connection,
                identity.issuer,
                identity.subject,
                identity.roles,
                username=account_name(identity),
                by=SIGN_ON,
            )
            if not facts.disabled:
                await enter(connection, facts.principal, NOTHING, origin=origin_of(request))
                return await _complete(request, connection, facts, Method.OIDC, made)
    except ForbiddenError:
        return await _refuse(request, Method.OIDC, None, Refused.NO_ROLE)
    return await _refuse(request, Method.OIDC, facts, Refused.NO_ROLE, reason="disabled")


def account_name(identity: Identity) -> str:
    """The name the provider gives where it is a fitting one; else one that says nothing."""
    name = identity.username
    if name is not None and users.USERNAME.fullmatch(name) and not looks_like_cpr(name):
        return name
    return signon.plain_name(identity.issuer, identity.subject)


async def factor_is_right(sealer: Sealer, connection: Connection, facts: LoginFacts, code: str) -> bool:
    """Whether `code` is a code of the app or a recovery code not used yet; takes it."""
    if totp.looks_like_recovery_code(code):
        code_hash = totp.hash_recovery_code(code)
        taken = await users.use_recovery_code(connection, facts.user_id, code_hash)
        if taken:
            await sessions.note(connection, "recovery_code_used", facts.principal, facts.organisation_id)
        return taken
    secret = sealer.open(facts.totp_secret or b"", facts.user_id)
    if secret is None:
        _LOG.error("a second factor cannot be read: was FLEET_SECRET_KEY changed?", user_id=facts.user_id)
        return False
    step = totp.matching_step(secret, code, datetime.now(UTC), facts.totp_last_step)
    return step is not None and await users.use_step(connection, facts.user_id, step)


async def any_user(request: Request) -> bool:
    """Whether there is any account yet; true from then on."""
    if not request.app.state.any_user:
        async with acting(request, LOGIN, NOTHING) as connection:
            request.app.state.any_user = await users.any_user(connection)
    return bool(request.app.state.any_user)


async def end_present(request: Request, connection: Connection) -> None:
    """End the session that the browser has at this moment."""
    if secret := request.session.get("session"):
        await sessions.end(connection, str(secret))


async def _complete(
    request: Request, connection: Connection, who: LoginFacts | Principal, method: Method, made: Attempt
) -> LoggedIn:
    """A new session in place of the browser's present one; the failures before it are forgiven."""
    holder, organisation_id = (who, None) if isinstance(who, Principal) else (who.principal, who.organisation_id)
    if holder.kind == "user":
        await users.logged_in(connection, holder.id)
    await lockout.succeeded(connection, made)
    await end_present(request, connection)
    await sessions.note(connection, "logged_in", holder, organisation_id, method=method.value)
    secret = await sessions.begin(connection, holder, method, origin=origin_of(request))
    metrics.LOGINS.labels(method.value, "logged_in").inc()
    _LOG.info("logged in", principal=holder.key, method=method.value)
    return LoggedIn(secret, account=holder.name if method is Method.PASSWORD else None)


async def _refuse(
    request: Request, method: Method, facts: LoginFacts | None, refused: Refused, *, reason: str | None = None
) -> Refused:
    """Tell the audit and the log, never what was typed; also for an account that there is not."""
    reason = reason or ("disabled" if facts is not None and facts.disabled else refused.value)
    who, organisation_id = (None, None) if facts is None else (facts.principal, facts.organisation_id)
    async with acting(request, LOGIN, NOTHING) as connection:
        await sessions.note(connection, "login_refused", who, organisation_id, method=method.value, reason=reason)
    metrics.LOGINS.labels(method.value, refused.value).inc()
    _LOG.warning("login refused", principal=who.key if who else None, method=method.value, reason=reason)
    return refused


def _why(facts: LoginFacts | None, *, right: bool) -> Refused:
    """Only who knows the password learns more than that it was wrong."""
    expired = right and facts is not None and facts.password_expired and not facts.disabled
    return Refused.PASSWORD_EXPIRED if expired else Refused.WRONG


def _wait(method: Method, seconds: int) -> Wait:
    metrics.LOGINS.labels(method.value, "wait").inc()
    _LOG.warning("login refused", method=method.value, reason="too many failures", wait_s=seconds)
    return Wait(seconds)
