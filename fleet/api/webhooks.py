"""`webhooks`: where facts are sent to over HTTP, signed as Standard Webhooks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.alerts.outbound import outlets
from fleet.alerts.outbound.outlets import NewOutlet, OutletView
from fleet.alerts.outbound.sealing import new_secret, shown
from fleet.api import idempotency
from fleet.api.etags import IfMatch
from fleet.api.organisations import Slug
from fleet.api.outletroutes import Outlets, sent
from fleet.api.outlets import (
    Again,
    Delivery,
    Faring,
    NewState,
    OutletQuery,
    Patterns,
    Read,
    Write,
    checked_url,
    faring,
    sealed,
)
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Body, Line, Moment, NumberPath, Page

router = APIRouter(prefix=PREFIX, tags=["webhooks"])

KIND = "webhook"
Severity = Literal["critical", "major", "minor", "warning"]
Severities = Annotated[list[Severity], Field(min_length=1, max_length=4)]
Url = Annotated[str, Field(min_length=1, max_length=1000, examples=["https://desk.example.dk/fleet"])]
OPTIONS = frozenset({"severities"})


class Webhook(Faring):
    """A webhook, never its secret; `severities` narrows facts that have one, null is all.

    Until `previous_secret_until` the secret before signs as well.
    """

    url: str
    severities: list[Severity] | None
    previous_secret_until: Moment | None


class NewWebhook(Webhook):
    """A webhook whose secret was just made; `secret` is shown this once (null when the request is repeated)."""

    secret: str | None


class WebhookBody(Body):
    """A webhook to make; without an organisation it is for the whole installation."""

    url: Url
    events: Patterns
    organisation: Slug | None = None
    description: Line = ""
    severities: Severities | None = None


class WebhookEdit(Body):
    """What people edit; a field that is not sent stays, null takes severities away.

    `active` again after it was disabled, it hears of what happens from then on.
    """

    url: Url | None = None
    events: Patterns | None = None
    description: Line | None = None
    severities: Severities | None = None
    state: NewState | None = None


@router.get("/webhooks", responses=documented())
async def list_webhooks(call: Read, query: Annotated[OutletQuery, Query()]) -> Page[Webhook]:
    """Webhooks by number."""
    return await _outlets.page(call, query)


@router.post("/webhooks", status_code=201, responses=documented(409), response_model=NewWebhook)
async def create_webhook(call: Write, request: Request, body: WebhookBody, key: idempotency.Key = None) -> Response:
    """Make a webhook; it is sent what happens from now on, in order, each at least once."""
    secret = new_secret()
    options = {} if body.severities is None else {"severities": body.severities}
    new = NewOutlet(
        KIND,
        list(body.events),
        organisation=body.organisation,
        description=body.description,
        url=checked_url(request, body.url),
        options=options,
        secret=sealed(request, KIND, secret),
    )

    async def work() -> NewWebhook:
        made = await outlets.create(call.connection, new, call.principal)
        return NewWebhook(**_values(made), secret=shown(secret))

    return await idempotency.once(request, call, key, work, status=201, once_only="secret")


@router.get("/webhooks/{id}", responses=documented(404))
async def get_webhook(call: Read, id: NumberPath, response: Response) -> Webhook:
    """One webhook; its `ETag` is for `If-Match`."""
    return await _outlets.one(call, id, response)


@router.patch("/webhooks/{id}", responses=documented(404, 412))
async def edit_webhook(
    call: Write, request: Request, id: NumberPath, edit: WebhookEdit, response: Response, *, if_match: IfMatch = None
) -> Webhook:
    """Edit, pause or resume a webhook; one that was paused goes on where it stood."""
    values = sent(edit, OPTIONS)
    if "url" in values:
        checked_url(request, values["url"])
    return await _outlets.edit(call, id, values, response, if_match)


@router.delete("/webhooks/{id}", status_code=204, responses=documented(404))
async def remove_webhook(call: Write, id: NumberPath) -> None:
    """Remove a webhook with its deliveries."""
    await outlets.remove(call.connection, KIND, id)


@router.post("/webhooks/{id}/secret", responses=documented(404), response_model=NewWebhook)
async def replace_secret(call: Write, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Make another secret; for a day both sign, so that the receiver can change over."""
    secret = new_secret()
    kept = sealed(request, KIND, secret)

    async def work() -> NewWebhook:
        made = await outlets.set_secret(call.connection, KIND, id, kept)
        return NewWebhook(**_values(made), secret=shown(secret))

    return await idempotency.once(request, call, key, work, once_only="secret")


@router.post("/webhooks/{id}/ping", status_code=202, responses=documented(404, 409), response_model=Delivery)
async def ping_webhook(call: Write, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Send a message of type `ping` before all others; what became of it stands at `/deliveries/{id}`."""
    return await _outlets.ping(call, request, id, key)


@router.post("/webhooks/{id}/redeliver", responses=documented(404), response_model=Again)
async def redeliver_all(call: Write, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Send everything again that was given up, in order; the newest 10,000 at most."""

    async def work() -> Again:
        return Again(deliveries=await outlets.redeliver_all(call.connection, KIND, id))

    return await idempotency.once(request, call, key, work)


def _webhook(found: OutletView) -> Webhook:
    return Webhook(**_values(found))


def _values(found: OutletView) -> dict[str, Any]:
    return {
        **faring(found),
        "url": found.url,
        "severities": found.options.get("severities"),
        "previous_secret_until": found.previous_until,
    }


_outlets = Outlets(KIND, OPTIONS, _webhook)
