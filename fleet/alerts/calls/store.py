"""Calls in the database: recorded once, taken back with a reason, counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import errors
from psycopg.types.json import Jsonb

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.access.roles import Permission, Role, allowed
from fleet.alerts.requests import writing
from fleet.alerts.requests.log import What
from fleet.alerts.trees.walk import Step
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.texts import bad_text

_SQL = load_queries("fleet.alerts.calls", "calls.sql")
OLDEST = timedelta(days=31)
"""A call is entered within a month; what is older is charged and counted already."""
AHEAD = timedelta(minutes=5)
MAX_NOTE = 2000
FILTERS = (
    "kit",
    "organisation",
    "channel",
    "caller",
    "reason",
    "outcome",
    "tree",
    "request",
    "voided",
    "since",
    "until",
)


class Channel(StrEnum):
    """How the caller reached the first line."""

    PHONE = "phone"
    MAIL = "mail"
    PORTAL = "portal"


class Caller(StrEnum):
    """In which role somebody called; never who."""

    CITIZEN = "citizen"
    RELATIVE = "relative"
    NURSE = "nurse"
    MUNICIPALITY = "municipality"
    HOSPITAL = "hospital"
    TECHNICIAN = "technician"
    OTHER = "other"


class Reason(StrEnum):
    """What a call was about."""

    NOT_HEARD = "not_heard"
    MEASUREMENT_MISSING = "measurement_missing"
    BATTERY = "battery"
    APP = "app"
    CLOCK = "clock"
    DAMAGED = "damaged"
    LOST = "lost"
    INSTRUCTION = "instruction"
    DELIVERY = "delivery"
    QUESTION = "question"
    OTHER = "other"


class Outcome(StrEnum):
    """How a call ended."""

    SOLVED = "solved"
    ADVISED = "advised"
    FORWARDED = "forwarded"
    VISIT_PLANNED = "visit_planned"
    INFORMED = "informed"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call as it is entered. `organisation` is for calls that are about no kit; `path` is the way through `tree`."""

    at: datetime
    minutes: float
    channel: Channel
    caller: Caller
    reason: Reason
    outcome: Outcome
    kit: str | None = None
    organisation: str | None = None
    request: str | None = None
    tree: str | None = None
    tree_version: int | None = None
    path: Sequence[Step] = field(default_factory=tuple)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it is read; `path` holds node, answer and by whom."""

    call_id: int
    at: datetime
    minutes: float
    channel: str
    caller: str
    reason: str
    outcome: str
    kit: str | None
    organisation: str | None
    request: str | None
    tree: str | None
    tree_version: int | None
    path: list[dict[str, Any]]
    note: str
    actor: str
    recorded_at: datetime
    voided_at: datetime | None
    voided_by: str | None
    voided_reason: str | None


async def record(connection: Connection, new: NewCall, *, by: Principal, now: datetime) -> Call:
    """Enter a call, also in the log of the request that it is about, there at the time of its entry.

    Raises InvalidError naming a bad field, NotFoundError for a kit or request nobody knows.
    """
    _check(new, now)
    values = {
        **asdict(new),
        "path": Jsonb([_told(step) for step in new.path]),
        "kit_id": await _number(connection, "kit", new.kit),
        "organisation_id": await _whose(connection, new, by),
        "request_id": await _number(connection, "request", new.request),
        "actor": by.actor,
    }
    async with connection.transaction():
        call_id = await _insert(connection, values)
        await connection.execute(_SQL["announce"], {"call_id": call_id})
        said = {"outcome": new.outcome.value, "reason": new.reason.value, "minutes": new.minutes}
        await _tell(connection, values["request_id"], {"call": call_id, **said}, by)
    return await find(connection, int(call_id))


async def find(connection: Connection, call_id: int) -> Call:
    """One call; raises NotFoundError."""
    found = await list_calls(connection, before=call_id + 1, limit=1, call_id=call_id)
    if not found:
        raise NotFoundError("call", str(call_id))
    return found[0]


async def list_calls(connection: Connection, *, before: int, limit: int, **chosen: Any) -> list[Call]:
    """Calls, the newest first; filters are `FILTERS` and `call_id`."""
    values = {**dict.fromkeys((*FILTERS, "call_id")), **chosen, "before": before, "limit": limit}
    return await fetch_all(connection, _SQL["list"], values, Call)


async def void(connection: Connection, call_id: int, *, reason: str, by: Principal) -> Call:
    """Take a call back that was entered wrongly: it is not counted, and what was charged for it is countered.

    Raises NotFoundError, ConflictError when it was taken back already.
    """
    problem = bad_text(reason)
    if problem is not None:
        raise InvalidError("reason", problem)
    async with connection.transaction():
        before = await find(connection, call_id)
        values = {"call_id": call_id, "reason": reason, "actor": by.actor}
        if await fetch_value(connection, _SQL["void"], values) is None:
            raise ConflictError(f"call {call_id} was taken back already")
        request_id = await _number(connection, "request", before.request)
        await _tell(connection, request_id, {"call": call_id, "voided": True}, by)
    return await find(connection, call_id)


async def redact(connection: Connection, call_id: int) -> Call:
    """Blacken the note of a call; twice changes nothing. Raises NotFoundError."""
    await find(connection, call_id)
    await connection.execute(_SQL["redact"], {"call_id": call_id})
    return await find(connection, call_id)


async def counted(connection: Connection, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Calls by channel, caller, reason and outcome: `what`, `word`, `calls`, `minutes` (sum)."""
    return await fetch_dicts(connection, _SQL["counted"], values)


async def lengths(connection: Connection, values: Mapping[str, Any]) -> dict[str, Any]:
    """How many and how long: `calls`, `mean`, `median`, `longest` in minutes, `kits` they were about."""
    (row,) = await fetch_dicts(connection, _SQL["lengths"], values)
    return row


async def by_hour(connection: Connection, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Calls by telephone per weekday (1 is Monday) and hour in Denmark: `weekday`, `hour`, `calls`, `minutes`."""
    return await fetch_dicts(connection, _SQL["by_hour"], values)


async def _whose(connection: Connection, new: NewCall, by: Principal) -> int | None:
    """Of whom the caller is, where no kit tells: as said, else whom the agent works for, else nobody."""
    if new.kit is not None or new.organisation is not None:
        return await organisations.id_of(connection, new.organisation)
    roots = by.roots(*(role for role in Role if allowed(role, Permission.CALLS_WRITE)))
    if roots is None:
        return None
    if len(roots) != 1:
        raise InvalidError("organisation", "say of which of yours the caller is, or name the kit")
    return next(iter(roots))


async def _tell(connection: Connection, request_id: int | None, said: Mapping[str, Any], by: Principal) -> None:
    if request_id is not None:
        now = await fetch_value(connection, _SQL["moment"], {})
        await writing.note(connection, request_id, What.CALL, said, actor=by.actor, now=now)


def _check(new: NewCall, now: datetime) -> None:
    if not now - OLDEST <= new.at <= now + AHEAD:
        raise InvalidError("at", f"must lie within the last {OLDEST.days} days")
    if not 0 <= new.minutes <= 600:
        raise InvalidError("minutes", "must be 0 to 600")
    problem = bad_text(new.note.replace("\n", " "), MAX_NOTE) if new.note else None
    if problem is not None:
        raise InvalidError("note", problem)
    if new.outcome is Outcome.FORWARDED and new.request is None:
        raise InvalidError("request", "a call that was forwarded names the service request")


async def _insert(connection: Connection, values: Mapping[str, Any]) -> int:
    """It is of whose the kit was when it rang, and entered by who sees those."""
    try:
        async with connection.transaction():
            call_id: int = await fetch_value(connection, _SQL["insert"], values)
            return call_id
    except errors.InsufficientPrivilege as error:
        if values["kit_id"] is None:
            raise
        raise InvalidError("at", f"the kit was with others then: {values['kit']}") from error


def _told(step: Step) -> dict[str, Any]:
    return {"node": step.node, "answer": step.answer, "by": step.by, "fact": step.fact}


async def _number(connection: Connection, what: str, name: str | None) -> int | None:
    if name is None:
        return None
    number = await fetch_value(connection, _SQL[f"{what}_number"], {"name": name})
    if number is None:
        raise NotFoundError({"kit": "kit", "request": "service request"}[what], name)
    return int(number)
