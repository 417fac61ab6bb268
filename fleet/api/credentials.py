"""`credentials`: what a kit's tablet enters the broker with; the password is answered once, and never again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Request, Response

from fleet.access.roles import Permission
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Answer, KitPath, Line, Moment
from fleet.errors import UnavailableError
from fleet.updates.credentials import store
from fleet.updates.credentials.passwords import Envelope

router = APIRouter(prefix=PREFIX, tags=["credentials"])

WriteCredentials = Annotated[Call, requires(Permission.CREDENTIALS_WRITE)]
Why = Annotated[Line | None, Query(min_length=1, description="Why, for the audit; nothing about a citizen")]


class Credentials(Answer):
    """What the kit's tablet enters the broker with, without the password.

    User name and client id are the kit's id. `applied_at` is when the broker had it so; while it is null the broker is
    yet to be told, since `wanted_at`, and `problem` is what it said last. `tablet_id` is the tablet that was in the kit
    then: when that is scrapped or returned, the password counts no more.
    """

    kit: str
    generation: int
    state: Literal["issued", "revoked"]
    tablet_id: int | None
    issued_at: Moment
    issued_by: str
    revoked_at: Moment | None
    revoked_by: str | None
    revoked_because: Literal["kit_gone", "tablet_gone", "withdrawn"] | None
    wanted_at: Moment
    applied_at: Moment | None
    attempts: int
    problem: str | None


class NewCredentials(Credentials):
    """Credentials with the password, answered this once: null when the same request is answered again."""

    password: str | None


@router.post("/kits/{kit}/credentials", status_code=201, responses=documented(404, 409), response_model=NewCredentials)
async def issue_credentials(
    call: WriteCredentials, request: Request, kit: KitPath, reason: Why = None, key: idempotency.Key = None
) -> Response:
    """Give the kit's tablet a new password; the one before, if any, counts no more once the broker is told."""
    envelope = envelope_of(request)

    async def work() -> NewCredentials:
        issued = await store.issue(call.connection, kit, by=call.principal.actor, envelope=envelope, reason=reason)
        return NewCredentials(**asdict(issued.credentials), password=issued.password)

    return await idempotency.once(request, call, key, work, status=201, once_only="password")


@router.get("/kits/{kit}/credentials", responses=documented(404))
async def get_credentials(call: WriteCredentials, kit: KitPath) -> Credentials:
    """Whether the kit's tablet is let in, and whether the broker has been told; the audit tells of each look."""
    return Credentials(**asdict(await store.look_up(call.connection, kit)))


@router.delete("/kits/{kit}/credentials", status_code=204, responses=documented(404))
async def withdraw_credentials(call: WriteCredentials, kit: KitPath, reason: Why = None) -> None:
    """Let the kit's tablet in no more, and end its connection; doing it twice changes nothing."""
    await store.withdraw(call.connection, kit, by=call.principal.actor, reason=reason)


def envelope_of(request: Request) -> Envelope:
    """What keeps passwords on their way to the broker; raises UnavailableError where no key was set."""
    key = request.app.state.settings.secret_key
    if key is None:
        raise UnavailableError("passwords of tablets need FLEET_SECRET_KEY, which is not set on this server")
    return Envelope(cast("str", key.get_secret_value()))
