"""`mail-subscriptions`: who is written to about what, when, in which language; and how they end it themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, Field

from fleet.alerts.outbound import outlets
from fleet.alerts.outbound.outlets import NewOutlet, OutletView
from fleet.api import idempotency
from fleet.api.etags import IfMatch
from fleet.api.organisations import Slug
from fleet.api.outletroutes import Outlets, sent
from fleet.api.outlets import (
    Delivery,
    Faring,
    NewState,
    OutletQuery,
    Patterns,
    Read,
    Write,
    faring,
)
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Body, Line, NumberPath, Page
from fleet.api.webhooks import Severities, Severity
from fleet.state.texts import CIVIL_NUMBER, looks_like_cpr

router = APIRouter(prefix=PREFIX, tags=["mail-subscriptions"])

KIND = "mail"
OPTIONS = frozenset(
    {"language", "pace", "daily_at", "quiet_from", "quiet_until", "time_zone", "urgent_passes", "severities"}
)


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is no time zone like Europe/Copenhagen")
    return name


def _address(text: str) -> str:
    if looks_like_cpr(text):
        raise ValueError(CIVIL_NUMBER)
    return text


Address = Annotated[
    str,
    Field(
        max_length=254,
        pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
        examples=["vagt@example.dk"],
    ),
    AfterValidator(_address),
]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]
Zone = Annotated[str, Field(max_length=64, examples=["Europe/Copenhagen"]), AfterValidator(_zone)]
Language = Literal["da", "en"]
Pace = Literal["now", "hourly", "daily"]
Username = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._@-]{1,62}$", examples=["vagt-01"])]


class Subscription(Faring):
    """A mail subscription. Times of day are those of `time_zone`.

    In quiet hours nothing is sent, with `urgent_passes` but for critical alerts and urgent requests. Ten mails an hour
    at most; what comes beyond is told in one.
    """

    address: str
    username: str | None
    language: Language
    pace: Pace
    daily_at: TimeOfDay
    quiet_from: TimeOfDay | None
    quiet_until: TimeOfDay | None
    time_zone: str
    urgent_passes: bool
    severities: list[Severity] | None


class SubscriptionBody(Body):
    """A subscription to make; with `username` it ends with that account. Without an organisation it is for all."""

    address: Address
    events: Patterns
    organisation: Slug | None = None
    description: Line = ""
    username: Username | None = None
    language: Language = "da"
    pace: Pace = "now"
    daily_at: TimeOfDay = "07:00"
    quiet_from: TimeOfDay | None = None
    quiet_until: TimeOfDay | None = None
    time_zone: Zone = "Europe/Copenhagen"
    urgent_passes: bool = False
    severities: Severities | None = None


class SubscriptionEdit(Body):
    """What people edit; a field that is not sent stays, null takes quiet hours and severities away."""

    address: Address | None = None
    events: Patterns | None = None
    description: Line | None = None
    language: Language | None = None
    pace: Pace | None = None
    daily_at: TimeOfDay | None = None
    quiet_from: TimeOfDay | None = None
    quiet_until: TimeOfDay | None = None
    time_zone: Zone | None = None
    urgent_passes: bool | None = None
    severities: Severities | None = None
    state: NewState | None = None


_TAKEN_AWAY = frozenset({"quiet_from", "quiet_until", "severities"})


@router.get("/mail-subscriptions", responses=documented())
async def list_subscriptions(call: Read, query: Annotated[OutletQuery, Query()]) -> Page[Subscription]:
    """Mail subscriptions by number."""
    return await _outlets.page(call, query)


@router.post("/mail-subscriptions", status_code=201, responses=documented(409), response_model=Subscription)
async def create_subscription(
    call: Write, request: Request, body: SubscriptionBody, key: idempotency.Key = None
) -> Response:
    """Write to an address about what happens from now on."""
    options = body.model_dump(include=set(OPTIONS), exclude_none=True)
    new = NewOutlet(
        KIND,
        list(body.events),
        organisation=body.organisation,
        description=body.description,
        address=body.address,
        username=body.username,
        options=options,
    )

    async def work() -> Subscription:
        return _subscription(await outlets.create(call.connection, new, call.principal))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/mail-subscriptions/{id}", responses=documented(404))
async def get_subscription(call: Read, id: NumberPath, response: Response) -> Subscription:
    """One subscription; its `ETag` is for `If-Match`."""
    return await _outlets.one(call, id, response)


@router.patch("/mail-subscriptions/{id}", responses=documented(404, 412))
async def edit_subscription(
    call: Write, id: NumberPath, edit: SubscriptionEdit, response: Response, if_match: IfMatch = None
) -> Subscription:
    """Edit, pause or resume a subscription."""
    values = sent(edit, _TAKEN_AWAY)
    return await _outlets.edit(call, id, values, response, if_match)


@router.delete("/mail-subscriptions/{id}", status_code=204, responses=documented(404))
async def remove_subscription(call: Write, id: NumberPath) -> None:
    """End a subscription and forget its address."""
    await outlets.remove(call.connection, KIND, id)


@router.post("/mail-subscriptions/{id}/ping", status_code=202, responses=documented(404, 409), response_model=Delivery)
async def ping_subscription(call: Write, request: Request, id: NumberPath, key: idempotency.Key = None) -> Response:
    """Send a mail to try it; what became of it stands at `/deliveries/{id}`."""
    return await _outlets.ping(call, request, id, key)


def _subscription(found: OutletView) -> Subscription:
    options: dict[str, Any] = {
        "language": "da",
        "pace": "now",
        "daily_at": "07:00",
        "quiet_from": None,
        "quiet_until": None,
        "time_zone": "Europe/Copenhagen",
        "urgent_passes": False,
        "severities": None,
        **found.options,
    }
    return Subscription(**faring(found), address=found.address or "", username=found.username, **options)


_outlets = Outlets(KIND, OPTIONS, _subscription)
