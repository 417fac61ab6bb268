"""Where facts are sent to, as people make and change it: webhooks, mail subscriptions, connectors, their deliveries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.registry.editing import Outdated, merged

_SQL = load_queries("fleet.alerts.outbound", "outlets.sql")

MOST_OUTLETS = 500
"""In the whole installation: each reads every event."""
MOST_AGAIN = 10_000
"""Deliveries that are sent again at once."""
PATTERN = re.compile(r"\*|[a-z][a-z_]{0,40}\.(\*|[a-z][a-z_]{0,40})", re.ASCII)
EDITABLE = ("description", "events", "url", "address", "options", "state")


@dataclass(frozen=True, slots=True)
class OutletView:
    """An outlet as it is shown, without secrets.

    `failing_since` is when it last began to refuse; `pending` and `dead` are counted up to 10,001.
    """

    outlet_id: int
    kind: str
    organisation: str | None
    description: str
    events: list[str]
    url: str | None
    address: str | None
    username: str | None
    options: dict[str, Any]
    state: str
    disabled_reason: str | None
    previous_until: datetime | None
    created_at: datetime
    created_by: str | None
    revision: int
    failing_since: datetime | None
    failures: int
    last_error: str | None
    last_success_at: datetime | None
    overflowed: int
    pending: int
    dead: int


@dataclass(frozen=True, slots=True)
class NewOutlet:
    """An outlet to make; secrets are sealed already. Without an organisation it is for the whole installation."""

    kind: str
    events: list[str]
    organisation: str | None = None
    description: str = ""
    url: str | None = None
    address: str | None = None
    username: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    secret: bytes | None = field(default=None, repr=False)
    inbound_secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One fact for one outlet, without what was sent."""

    delivery_id: int
    outlet_id: int
    kind: str
    message_id: str
    type: str
    kit: str | None
    state: str
    queued_at: datetime
    attempts: int
    attempted_at: datetime | None
    ended_at: datetime | None
    status: int | None
    error: str | None


def bad_pattern(pattern: str) -> str | None:
    """Why this is no pattern of types of facts; None when it is."""
    return None if PATTERN.fullmatch(pattern) else "is no type of a fact: request.opened, alert.*, *"


async def create(connection: Connection, new: NewOutlet, by: Principal) -> OutletView:
    """Make an outlet; it hears of what happens from now on. Raises InvalidError, ConflictError."""
    if await fetch_value(connection, _SQL["count"], {}) >= MOST_OUTLETS:
        raise ConflictError(f"there are {MOST_OUTLETS} outlets, which is the most there may be: remove one")
    values = {
        "kind": new.kind,
        "organisation_id": await organisations.id_of(connection, new.organisation),
        "description": new.description,
        "events": new.events,
        "url": new.url,
        "address": new.address,
        "user_id": await _user_id(connection, new.username),
        "options": Jsonb(dict(new.options)),
        "secret": new.secret,
        "inbound_secret": new.inbound_secret,
        "created_by": by.actor,
    }
    outlet_id = await fetch_value(connection, _SQL["create"], values)
    return await find(connection, new.kind, outlet_id)


async def list_outlets(
    connection: Connection,
    kind: str,
    *,
    after: int = 0,
    limit: int = 100,
    organisation: str | None = None,
    state: str | None = None,
) -> list[OutletView]:
    """Outlets of a kind by number."""
    values = {"kind": kind, "after": after, "limit": limit, "organisation": organisation, "state": state}
    return await fetch_all(connection, _SQL["select"], {**values, "outlet_id": None}, OutletView)


async def find(connection: Connection, kind: str, outlet_id: int) -> OutletView:
    """One outlet; raises NotFoundError."""
    values = {"kind": kind, "after": 0, "limit": 1, "organisation": None, "state": None, "outlet_id": outlet_id}
    found = await fetch_all(connection, _SQL["select"], values, OutletView)
    if not found:
        raise NotFoundError(kind, str(outlet_id))
    return found[0]


async def edit(
    connection: Connection,
    kind: str,
    outlet_id: int,
    changes: Mapping[str, Any],
    *,
    revisions: frozenset[int] | None = None,
) -> OutletView | Outdated:
    """Change what people edit; `options` are merged. Raises NotFoundError."""
    async with connection.transaction():
        before = await _locked(connection, kind, outlet_id)
        if revisions is not None and before.revision not in revisions:
            return Outdated(before.revision)
        values = merged(before, changes, EDITABLE)
        values["options"] = Jsonb({**before.options, **changes.get("options", {})})
        await connection.execute(_SQL["update"], {**values, "outlet_id": outlet_id})
        return await find(connection, kind, outlet_id)


async def set_secret(
    connection: Connection, kind: str, outlet_id: int, sealed: bytes, *, inbound: bool = False
) -> OutletView:
    """Replace a secret; of a webhook the one before signs for a day more. Raises NotFoundError."""
    async with connection.transaction():
        await _locked(connection, kind, outlet_id)
        query = _SQL["set_inbound_secret" if inbound else "set_secret"]
        await connection.execute(query, {"outlet_id": outlet_id, "secret": sealed})
        return await find(connection, kind, outlet_id)


async def remove(connection: Connection, kind: str, outlet_id: int) -> None:
    """Remove an outlet with its deliveries; raises NotFoundError."""
    async with connection.transaction():
        await _locked(connection, kind, outlet_id)
        await connection.execute(_SQL["remove"], {"outlet_id": outlet_id})


async def ping(connection: Connection, kind: str, outlet_id: int) -> Delivery:
    """Queue a test delivery before all others; raises NotFoundError, ConflictError when it is not active."""
    outlet = await find(connection, kind, outlet_id)
    if outlet.state != "active":
        raise ConflictError(f"it is {outlet.state}: make it active first")
    delivery_id = await fetch_value(connection, _SQL["ping"], {"outlet_id": outlet_id})
    return await find_delivery(connection, delivery_id)


async def deliveries(
    connection: Connection,
    *,
    before: int = 2**63 - 1,
    limit: int = 100,
    outlet_id: int | None = None,
    state: str | None = None,
) -> list[Delivery]:
    """Deliveries, the newest first."""
    values = {"before": before, "limit": limit, "outlet_id": outlet_id, "state": state, "delivery_id": None}
    return await fetch_all(connection, _SQL["deliveries"], values, Delivery)


async def find_delivery(connection: Connection, delivery_id: int) -> Delivery:
    """One delivery; raises NotFoundError."""
    values = {"before": 2**63 - 1, "limit": 1, "outlet_id": None, "state": None, "delivery_id": delivery_id}
    found = await fetch_all(connection, _SQL["deliveries"], values, Delivery)
    if not found:
        raise NotFoundError("delivery", str(delivery_id))
    return found[0]


async def redeliver(connection: Connection, delivery_id: int) -> Delivery:
    """Send one delivery again that was given up, or taken; raises NotFoundError, ConflictError when it waits."""
    found = await find_delivery(connection, delivery_id)
    values = {"outlet_id": found.outlet_id, "delivery_id": delivery_id, "limit": 1}
    if not await fetch_value(connection, _SQL["redeliver"], values):
        raise ConflictError("it waits to be sent already")
    return await find_delivery(connection, delivery_id)


async def redeliver_all(connection: Connection, kind: str, outlet_id: int) -> int:
    """Send everything again that was given up, the newest 10,000 at most; how many. Raises NotFoundError."""
    await find(connection, kind, outlet_id)
    values = {"outlet_id": outlet_id, "delivery_id": None, "limit": MOST_AGAIN}
    return int(await fetch_value(connection, _SQL["redeliver"], values))


async def inbound_secret(connection: Connection, outlet_id: int) -> bytes | None:
    """What the other side of an active connector signs with, sealed; None when there is none. For whoever calls."""
    found: bytes | None = await fetch_value(connection, _SQL["inbound_secret"], {"outlet_id": outlet_id})
    return found


async def hurry(connection: Connection, outlet_id: int) -> None:
    """Let a connector look at the other side at once; only after its signature was checked."""
    await connection.execute(_SQL["hurry"], {"outlet_id": outlet_id})


async def end_subscription(connection: Connection, outlet_id: int) -> bool:
    """End a mail subscription by the signed link in a mail; whether there was one."""
    return bool(await fetch_value(connection, _SQL["end_subscription"], {"outlet_id": outlet_id}))


async def _locked(connection: Connection, kind: str, outlet_id: int) -> OutletView:
    if await fetch_value(connection, _SQL["lock"], {"outlet_id": outlet_id, "kind": kind}) is None:
        raise NotFoundError(kind, str(outlet_id))
    return await find(connection, kind, outlet_id)


async def _user_id(connection: Connection, username: str | None) -> int | None:
    if username is None:
        return None
    found = await fetch_value(connection, _SQL["user_id"], {"username": username})
    if found is None:
        raise InvalidError("username", f"no account is named {username!r}")
    return int(found)
