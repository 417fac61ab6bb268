"""What others send without a login: a ticket system's webhook by its signature, an end of mail by a signed link."""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response

from fleet.alerts.outbound import outlets
from fleet.alerts.outbound.mail import subscription_of
from fleet.alerts.outbound.sealing import OutletSealer
from fleet.alerts.outbound.work import purpose_of
from fleet.api.auth import pool_of, unauthorised
from fleet.api.console.rendering import HtmlRoute, render
from fleet.api.shapes import NumberPath
from fleet.config import Settings
from fleet.errors import NotFoundError

router = APIRouter(include_in_schema=False, default_response_class=Response)
pages = APIRouter(include_in_schema=False, default_response_class=Response, route_class=HtmlRoute)

Signed = Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9._-]+$")]


@pages.get("/unsubscribe/{signed}")
async def ask_to_unsubscribe(request: Request, signed: Signed) -> Response:
    """The page that the link in a mail leads to; it asks first, since programs follow links by themselves."""
    _named(request, signed)
    return render(request, "unsubscribe.html", signed=signed, ended=False, live=False)


@pages.post("/unsubscribe/{signed}")
async def unsubscribe(request: Request, signed: Signed) -> Response:
    """End a mail subscription and forget its address, by hand or by a mail program's one click (RFC 8058)."""
    async with pool_of(request).connection() as connection, connection.transaction():
        await outlets.end_subscription(connection, _named(request, signed))
    return render(request, "unsubscribe.html", signed=signed, ended=True, live=False)


def _named(request: Request, signed: str) -> int:
    found = subscription_of(request.app.state.settings, signed)
    if found is None:
        raise NotFoundError("subscription", "that")
    return found


Signature = Annotated[
    str | None,
    Header(alias="X-Hub-Signature", max_length=200, description="`sha1=` and the HMAC-SHA1 of the body, in hex"),
]


@router.post("/notify/connectors/{id}", status_code=202)
async def notify(request: Request, id: NumberPath, x_hub_signature: Signature = None) -> None:
    """For the other system's webhook: look at its tickets now. Nothing of what is sent is believed or kept."""
    body = await request.body()
    async with pool_of(request).connection() as connection:
        sealed = await outlets.inbound_secret(connection, id)
        if not _is_signed(request.app.state.settings, sealed, body, x_hub_signature or ""):
            raise unauthorised("unknown_token", "the signature is not that of this connector")
        await outlets.hurry(connection, id)


def _is_signed(settings: Settings, sealed: bytes | None, body: bytes, given: str) -> bool:
    if sealed is None or settings.secret_key is None:
        return False
    key = OutletSealer(settings.secret_key.get_secret_value()).open(sealed, purpose_of("connector", "inbound"))
    # Zammad signs with SHA-1; as a keyed hash that still holds.
    wanted = "" if key is None else "sha1=" + hmac.new(key, body, hashlib.sha1).hexdigest()
    return bool(wanted) and hmac.compare_digest(wanted.encode(), given.encode(errors="replace"))


router.include_router(pages)
