"""What webhooks, mail subscriptions and connectors share over HTTP: fields, secrets, deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, Field

from fleet.access.roles import Permission
from fleet.alerts.outbound import outlets
from fleet.alerts.outbound.outlets import OutletView
from fleet.alerts.outbound.reach import Reach, bad_url
from fleet.alerts.outbound.sealing import OutletSealer
from fleet.alerts.outbound.work import purpose_of
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.organisations import Slug
from fleet.api.problems import documented, invalid, unavailable
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    Moment,
    NumberPath,
    Page,
    PageQuery,
    decode_cursor,
    page,
)
from fleet.config import Settings

router = APIRouter(prefix=PREFIX, tags=["webhooks"])

Read = Annotated[Call, requires(Permission.WEBHOOKS_READ)]
Write = Annotated[Call, requires(Permission.WEBHOOKS_WRITE)]

State = Literal["active", "paused", "disabled"]
NewState = Literal["active", "paused"]
DeliveryState = Literal["pending", "delivered", "dead"]


def _pattern(text: str) -> str:
    problem = outlets.bad_pattern(text)
    if problem is not None:
        raise ValueError(problem)
    return text


Pattern = Annotated[str, Field(max_length=90, examples=["request.*"]), AfterValidator(_pattern)]
"""A type of fact, `thing.*` or `*`."""
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=50)]


class Faring(Answer):
    """What every outlet tells of itself; `pending` and `dead` count its deliveries, up to 10,001.

    `failing_since` is when it last began to refuse, null while it takes what is sent; `overflowed` counts deliveries
    that were given up because too many waited.
    """

    id: int
    organisation: str | None
    description: str
    events: list[str]
    state: State
    disabled_reason: str | None
    failing_since: Moment | None
    failures: int
    last_error: str | None
    last_success_at: Moment | None
    overflowed: int
    pending: int
    dead: int
    created_at: Moment
    created_by: str | None
    revision: int


class OutletQuery(PageQuery):
    """Filters of outlets."""

    organisation: Slug | None = None
    state: State | None = None


class Delivery(Answer):
    """One fact for one outlet, without what was sent; `message_id` is the same at every attempt."""

    id: int
    outlet_id: int
    kind: Literal["webhook", "mail", "connector"]
    message_id: str
    type: str
    kit: str | None
    state: DeliveryState
    queued_at: Moment
    attempts: int
    attempted_at: Moment | None
    ended_at: Moment | None
    status: int | None
    error: str | None


class DeliveryQuery(PageQuery):
    """Filters of deliveries; `state=dead` is what was given up."""

    outlet_id: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    state: DeliveryState | None = None


class Again(Answer):
    """How many deliveries are sent again."""

    deliveries: int


@router.get("/deliveries", responses=documented())
async def list_deliveries(call: Read, query: Annotated[DeliveryQuery, Query()]) -> Page[Delivery]:
    """Deliveries, the newest first."""
    before = decode_cursor(query.cursor, int) or (MAX_ID,)
    found = await outlets.deliveries(
        call.connection, before=before[0], limit=query.limit + 1, outlet_id=query.outlet_id, state=query.state
    )
    kept, cursor = page(found, query.limit, "delivery_id")
    return Page(items=[delivery(each) for each in kept], next=cursor)


@router.get("/deliveries/{id}", responses=documented(404))
async def get_delivery(call: Read, id: NumberPath) -> Delivery:
    """One delivery."""
    return delivery(await outlets.find_delivery(call.connection, id))


@router.post("/deliveries/{id}/redeliver", responses=documented(404, 409), response_model=Delivery)
async def redeliver(call: Write, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Send one delivery again, before what came after it."""

    async def work() -> Delivery:
        return delivery(await outlets.redeliver(call.connection, id))

    return await idempotency.once(request, call, key, work)


def delivery(found: outlets.Delivery) -> Delivery:
    """As it is shown."""
    values: dict[str, Any] = {name: getattr(found, name) for name in Delivery.model_fields.keys() - {"id"}}
    return Delivery(id=found.delivery_id, **values)


def faring(found: OutletView) -> dict[str, Any]:
    """The fields that every outlet has."""
    values = {name: getattr(found, name) for name in Faring.model_fields.keys() - {"id"}}
    return {"id": found.outlet_id, **values}


def sealed(request: Request, kind: str, secret: bytes, part: str = "secret") -> bytes:
    """A secret as it is stored; raises 503 where no key is set."""
    settings: Settings = request.app.state.settings
    if settings.secret_key is None:
        raise unavailable("FLEET_SECRET_KEY is not set: without it no secret can be kept")
    return OutletSealer(settings.secret_key.get_secret_value()).seal(secret, purpose_of(kind, part))


def checked_url(request: Request, url: str) -> str:
    """A URL that may be sent to, as far as it tells by itself; raises 422."""
    settings: Settings = request.app.state.settings
    problem = bad_url(url, Reach.parse(settings.outbound_networks))
    if problem is not None:
        raise invalid("url", problem)
    return url


def changes_of(values: Mapping[str, Any], options: frozenset[str]) -> dict[str, Any]:
    """What an edit changes: fields of the outlet, and its options together."""
    changed = {name: value for name, value in values.items() if name not in options}
    return {**changed, "options": {name: value for name, value in values.items() if name in options}}
