"""`connectors`: ticket systems of others that requests are kept in step with, both ways."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, Field, SecretStr

from fleet.alerts.outbound import outlets
from fleet.alerts.outbound.outlets import NewOutlet, OutletView
from fleet.api import idempotency
from fleet.api.etags import IfMatch
from fleet.api.organisations import Slug
from fleet.api.outletroutes import Outlets
from fleet.api.outlets import Faring, NewState, OutletQuery, Read, Write, checked_url, faring, sealed
from fleet.api.problems import documented
from fleet.api.shapes import PREFIX, Body, Line, NumberPath, Page, SupportLine
from fleet.api.webhooks import Url

router = APIRouter(prefix=PREFIX, tags=["connectors"])

KIND = "connector"
OPTIONS = frozenset({"group", "customer", "lines"})

Group = Annotated[Line, Field(min_length=1, max_length=100, examples=["Suppliers"])]
Customer = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,189}$", examples=["fleet@example.dk"])
]
Lines = Annotated[list[SupportLine], Field(max_length=4)]


def _printable(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().isprintable():
        raise ValueError("holds characters that cannot be sent")
    return secret


Token = Annotated[SecretStr, Field(min_length=1, max_length=500, strict=False), AfterValidator(_printable)]


class Connector(Faring):
    """A connector, never its token. Requests of `lines` get a ticket there (none named is all of them)."""

    system: Literal["zammad"]
    url: str
    group: str
    customer: str
    lines: list[SupportLine]


class ConnectorBody(Body):
    """A connector to make: `token` is an agent's there, `group` takes our tickets, `customer` is who they are from.

    With `signature_token` its webhook may be sent to `/notify/connectors/{id}`, so that changes come in at once.
    """

    system: Literal["zammad"] = "zammad"
    url: Url
    token: Token
    group: Group
    customer: Customer
    lines: Lines = Field(default_factory=list)
    organisation: Slug | None = None
    description: Line = ""
    signature_token: Token | None = None


class ConnectorEdit(Body):
    """What people edit; a field that is not sent stays."""

    url: Url | None = None
    group: Group | None = None
    customer: Customer | None = None
    lines: Lines | None = None
    description: Line | None = None
    state: NewState | None = None


class NewTokens(Body):
    """Secrets to replace; one that is not sent stays."""

    token: Token | None = None
    signature_token: Token | None = None


@router.get("/connectors", responses=documented())
async def list_connectors(call: Read, query: Annotated[OutletQuery, Query()]) -> Page[Connector]:
    """Connectors by number."""
    return await _outlets.page(call, query)


@router.post("/connectors", status_code=201, responses=documented(409), response_model=Connector)
async def create_connector(call: Write, request: Request, body: ConnectorBody, key: idempotency.Key = None) -> Response:
    """Connect a ticket system; requests that are opened or changed from now on get their tickets."""
    new = NewOutlet(
        KIND,
        ["request.*"],
        organisation=body.organisation,
        description=body.description,
        url=checked_url(request, body.url),
        options={"system": body.system, "group": body.group, "customer": body.customer, "lines": list(body.lines)},
        secret=_kept(request, body.token, "secret"),
        inbound_secret=_kept(request, body.signature_token, "inbound"),
    )

    async def work() -> Connector:
        return _connector(await outlets.create(call.connection, new, call.principal))

    return await idempotency.once(request, call, key, work, status=201, secret=True)


@router.get("/connectors/{id}", responses=documented(404))
async def get_connector(call: Read, id: NumberPath, response: Response) -> Connector:
    """One connector; its `ETag` is for `If-Match`."""
    return await _outlets.one(call, id, response)


@router.patch("/connectors/{id}", responses=documented(404, 412))
async def edit_connector(
    call: Write, request: Request, id: NumberPath, edit: ConnectorEdit, response: Response, *, if_match: IfMatch = None
) -> Connector:
    """Edit, pause or resume a connector."""
    values = edit.model_dump(exclude_none=True)
    if "url" in values:
        checked_url(request, values["url"])
    return await _outlets.edit(call, id, values, response, if_match)


@router.post("/connectors/{id}/tokens", responses=documented(404), response_model=Connector)
async def replace_tokens(
    call: Write, request: Request, id: NumberPath, body: NewTokens, key: idempotency.Key = None
) -> Response:
    """Replace the token for the other system, or the one that its webhook signs with."""
    token, inbound = _kept(request, body.token, "secret"), _kept(request, body.signature_token, "inbound")

    async def work() -> Connector:
        found = await outlets.find(call.connection, KIND, id)
        if token is not None:
            found = await outlets.set_secret(call.connection, KIND, id, token)
        if inbound is not None:
            found = await outlets.set_secret(call.connection, KIND, id, inbound, inbound=True)
        return _connector(found)

    return await idempotency.once(request, call, key, work, secret=True)


@router.delete("/connectors/{id}", status_code=204, responses=documented(404))
async def remove_connector(call: Write, id: NumberPath) -> None:
    """End a connector; tickets there stay as they are."""
    await outlets.remove(call.connection, KIND, id)


def _kept(request: Request, secret: SecretStr | None, part: str) -> bytes | None:
    return None if secret is None else sealed(request, KIND, secret.get_secret_value().encode(), part)


def _connector(found: OutletView) -> Connector:
    shown: dict[str, Any] = {"system": "zammad", "group": "", "customer": "", "lines": [], **found.options}
    return Connector(**faring(found), url=found.url or "", **shown)


_outlets = Outlets(KIND, OPTIONS, _connector)
