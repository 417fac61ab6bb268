"""`quarantine` and `tokens`."""

from __future__ import annotations

import base64
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access import tokens
from fleet.access.roles import Permission, Role
from fleet.api import idempotency
from fleet.api.auth import Call, ReadQuarantine, ReadTokens, WriteTokens, requires
from fleet.api.problems import documented
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    Body,
    Line,
    Moment,
    NumberPath,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.protocol.messages import Reason
from fleet.state import quarantine

router = APIRouter(prefix=PREFIX)

ReadPayload = Annotated[Call, requires(Permission.QUARANTINE_PAYLOAD)]
RedactPayload = Annotated[Call, requires(Permission.QUARANTINE_REDACT)]

RoleName = Literal["support", "service", "mdm_admin", "logistics", "secretariat", "auditor", "admin", "grafana"]


class Quarantined(Answer):
    """A message that could not be taken; `redacted_at` is when what stood in it was removed."""

    id: int
    received_at: Moment
    topic: str
    reason: str
    detail: str
    size_bytes: int
    redacted_at: Moment | None


class QuarantinedPayload(Quarantined):
    """With the first 4 KiB of what stood in it; empty once redacted."""

    payload_base64: str


class QuarantineRedaction(Body):
    """Why a payload goes."""

    reason: Annotated[Line, Field(min_length=1, max_length=1000)]


class QuarantineQuery(PageQuery):
    """Filters of the quarantine."""

    reason: Reason | None = None
    topic: Word | None = None


class Token(Answer):
    """A token, never its secret; `hint` is its last four characters."""

    id: int
    name: str
    role: RoleName
    organisation: str | None
    hint: str
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None
    created_by: str | None


class NewToken(Token):
    """A token just made; `token` is shown this once (null when the same request is repeated)."""

    token: str | None


class TokenQuery(PageQuery):
    """Filters of tokens."""

    role: RoleName | None = None
    name: Word | None = None
    organisation: Word | None = None


class TokenBody(Body):
    """A token to make; without an organisation it is for the whole installation."""

    name: Annotated[Line, Field(min_length=1, max_length=tokens.MAX_NAME)]
    role: RoleName
    organisation: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = None
    expires_days: Annotated[int, Field(ge=1, le=36500)] | None = None


@router.get("/quarantine", tags=["quarantine"], responses=documented())
async def list_quarantine(call: ReadQuarantine, query: Annotated[QuarantineQuery, Query()]) -> Page[Quarantined]:
    """Messages that could not be taken, the newest first, without what stood in them."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    found = await quarantine.list_quarantined(
        call.connection, before=before[0], limit=query.limit + 1, reason=query.reason, topic=query.topic
    )
    kept, cursor = page(found, query.limit, "id")
    return Page(items=[Quarantined.model_validate(each) for each in kept], next=cursor)


@router.get("/quarantine/{id}", tags=["quarantine"], responses=documented(404))
async def get_quarantined(call: ReadPayload, id: NumberPath) -> QuarantinedPayload:
    """One message with what stood in it; the audit tells of each look."""
    found, payload = await quarantine.reveal(call.connection, id)
    return QuarantinedPayload(**asdict(found), payload_base64=base64.b64encode(payload).decode())


@router.post("/quarantine/{id}/redact", tags=["quarantine"], responses=documented(404), response_model=Quarantined)
async def redact_quarantined(
    call: RedactPayload, request: Request, id: NumberPath, body: QuarantineRedaction, key: idempotency.Key = None
) -> Response:
    """Remove what stood in a message for good; doing it twice changes nothing."""

    async def work() -> Quarantined:
        return Quarantined.model_validate(await quarantine.redact(call.connection, id, why=body.reason))

    return await idempotency.once(request, call, key, work)


@router.get("/tokens", tags=["tokens"], responses=documented())
async def list_tokens(call: ReadTokens, query: Annotated[TokenQuery, Query()]) -> Page[Token]:
    """Tokens by id, the revoked ones too."""
    after = decode_cursor(query.cursor, int) or (0,)
    found = await tokens.list_tokens(
        call.connection,
        after=after[0],
        limit=query.limit + 1,
        role=query.role,
        name=query.name,
        organisation=query.organisation,
    )
    kept, cursor = page(found, query.limit, "token_id")
    return Page(items=[Token(**_token(each)) for each in kept], next=cursor)


@router.post("/tokens", status_code=201, tags=["tokens"], responses=documented(), response_model=NewToken)
async def create_token(call: WriteTokens, request: Request, body: TokenBody, key: idempotency.Key = None) -> Response:
    """Make a token; its secret is answered this once."""

    async def work() -> NewToken:
        ends = datetime.now(UTC) + timedelta(days=body.expires_days) if body.expires_days else None
        new = await tokens.create(
            call.connection,
            name=body.name,
            role=Role(body.role),
            organisation=body.organisation,
            expires_at=ends,
            by=call.principal,
        )
        return NewToken(**_token(new.token), token=new.secret)

    return await idempotency.once(request, call, key, work, status=201, once_only="token")


@router.delete("/tokens/{id}", status_code=204, tags=["tokens"], responses=documented(404))
async def revoke_token(call: WriteTokens, id: NumberPath) -> None:
    """End a token at once; doing it twice changes nothing."""
    await tokens.revoke(call.connection, id)


def _token(token: tokens.Token) -> dict[str, Any]:
    values = asdict(token)
    return {"id": values.pop("token_id"), **values}
