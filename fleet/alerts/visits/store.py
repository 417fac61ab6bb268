"""Visits in the database: read, locked, and what a change of one leaves in its request's log and the event stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fleet.access.principal import Principal
from fleet.access.roles import Role
from fleet.alerts.requests import writing
from fleet.alerts.requests.log import Entry, What
from fleet.alerts.requests.writing import Change
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import NotFoundError
from fleet.state.logistics import stock

SQL = load_queries("fleet.alerts.visits", "visits.sql")

FILTERS = (
    "state",
    "kind",
    "kit",
    "placement_id",
    "organisation",
    "crew",
    "day_from",
    "day_to",
    "service_request",
    "overdue",
)
FIRST_DAY = date(1970, 1, 1)
MAX_NOTE = 2000
MAX_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit as it is read.

    `planned_on` and the window (`08:00`) are in Danish time. `due_on` is the last day within the target, `took_days`
    the working days that it took; `failure` is why it failed last.
    """

    visit_id: int
    number: str
    kind: str
    state: str
    kit: str | None
    placement_id: int | None
    organisation: str | None
    service_request: str | None
    urgent: bool
    ordered_at: datetime
    planned_on: date
    window_from: str | None
    window_to: str | None
    crew: str | None
    target_days: int
    due_on: date
    overdue: bool
    attempts: int
    failure: str | None
    started_at: datetime | None
    arrived_at: datetime | None
    ended_at: datetime | None
    done_on: date | None
    took_days: int | None
    instruction_given: bool | None
    receipt: str | None
    old_equipment_taken: bool | None
    note: str
    ended_reason: str | None
    created_by: str
    created_at: datetime
    revision: int
    organisation_id: int
    owner_id: int | None

    def roles(self, by: Principal) -> frozenset[Role]:
        """The roles the caller has over it."""
        return _roles(by, self.organisation_id, self.owner_id)

    @property
    def day(self) -> str:
        """The planned day as a text, for the cursor of a list."""
        return self.planned_on.isoformat()


@dataclass(frozen=True, slots=True)
class Locked:
    """A visit kept from being changed by others until the transaction ends."""

    visit_id: int
    number: str
    kind: str
    state: str
    kit_id: int | None
    kit: str | None
    owner_id: int | None
    placement_id: int | None
    organisation_id: int
    request_id: int | None
    urgent: bool
    ordered_at: datetime
    planned_on: date
    window_from: str | None
    window_to: str | None
    crew: str | None
    target_days: int
    due_on: date
    note: str
    attempts: int
    revision: int

    def roles(self, by: Principal) -> frozenset[Role]:
        """The roles the caller has over it."""
        return _roles(by, self.organisation_id, self.owner_id)


@dataclass(frozen=True, slots=True)
class Line:
    """Something to bring, kept by a reservation: a model (`name`, `quantity` of it), a component or a kit.

    Place, state and piece of the reservation are None where the stock is not the reader's to see.
    """

    line_id: int
    what: str
    model_id: int | None
    name: str
    device: str | None
    quantity: int
    location: str | None
    reservation_id: int
    reservation_state: str | None
    component_id: int | None
    location_id: int | None
    organisation_id: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A time somebody went there in vain: when, why, and who was to go."""

    at: datetime
    failure: str
    planned_on: date
    crew: str | None
    note: str
    actor: str


async def list_visits(
    connection: Connection, *, after: tuple[date, int] = (FIRST_DAY, 0), limit: int = 100, **chosen: Any
) -> list[Visit]:
    """Visits by planned day and number; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys((*FILTERS, "number")), **chosen, "limit": limit}
    return await fetch_all(connection, SQL["list"], {**values, "after_day": after[0], "after": after[1]}, Visit)


async def find_visit(connection: Connection, number: str) -> Visit:
    """One visit; raises NotFoundError."""
    found = await list_visits(connection, number=number, limit=1)
    if not found:
        raise NotFoundError("visit", number)
    return found[0]


async def lock(connection: Connection, number: str) -> Locked:
    """One visit, locked; raises NotFoundError."""
    found = await fetch_one(connection, SQL["lock"], {"number": number}, Locked)
    if found is None:
        raise NotFoundError("visit", number)
    return found


async def lines_of(connection: Connection, visit_ids: Sequence[int]) -> list[Line]:
    """What to bring, visit by visit."""
    return await fetch_all(connection, SQL["lines"], {"visit_ids": list(visit_ids)}, Line)


async def attempts_of(connection: Connection, visit_id: int) -> list[Attempt]:
    """The times it failed, the newest first."""
    values = {"visit_id": visit_id, "limit": MAX_ATTEMPTS}
    return await fetch_all(connection, SQL["attempts"], values, Attempt)


async def shortage(connection: Connection, line: Line) -> int:
    """How many of what is kept for this line and others are not there; none of a certain piece, or while not seen."""
    if line.model_id is None or line.location_id is None or line.reservation_state != "active":
        return 0
    free = await stock.free(connection, line.model_id, line.location_id, line.organisation_id)
    return min(max(-free, 0), line.quantity)


async def note(
    connection: Connection, visit: Locked, did: str, *, by: Principal, failure: str | None = None, **more: Any
) -> None:
    """Tell the event stream what became of a visit, and the log of the request that it is for."""
    told = {"visit_id": visit.visit_id, "type": f"visit.{did}", "failure": failure}
    await connection.execute(SQL["tell"], told)
    if visit.request_id is None:
        return
    found = await writing.lock(connection, request_ids=[visit.request_id])
    now = await moment(connection)
    body = {"visit": visit.number, "kind": visit.kind, "did": did, "failure": failure, **more}
    entry = Entry(What.VISIT, by.actor, now, {name: value for name, value in body.items() if value is not None})
    await writing.append(connection, [Change(request, [entry]) for request in found.values()], now)


async def redact(connection: Connection, number: str) -> Visit:
    """Blacken what people wrote about a visit; twice changes nothing. Raises NotFoundError."""
    found = await find_visit(connection, number)
    await connection.execute(SQL["redact"], {"visit_id": found.visit_id})
    return await find_visit(connection, number)


async def moment(connection: Connection) -> datetime:
    """Now, by the database's transaction."""
    now: datetime = await fetch_value(connection, SQL["now"], {})
    return now


def _roles(by: Principal, organisation_id: int, owner_id: int | None) -> frozenset[Role]:
    return by.roles_for(*(each for each in (organisation_id, owner_id) if each is not None))
