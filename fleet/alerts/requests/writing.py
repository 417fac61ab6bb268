"""Entries are appended to the logs of requests, and what they come to is written: set-based, in one transaction.

This is the only way in which a request changes; it never opens a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row, scalar_row
from psycopg.types.json import Jsonb

from fleet.alerts.requests.log import (
    MOVING,
    SYSTEM,
    UNRESOLVED,
    Entry,
    Standing,
    What,
    fold_all,
    in_order,
    replay,
)
from fleet.alerts.rules import Priority, due_at
from fleet.alerts.sla import recompute
from fleet.db.queries import load_queries
from fleet.errors import NotFoundError, UnavailableError

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.requests", "writing.sql")
_STANDING = tuple(each.name for each in fields(Standing))


@dataclass(frozen=True, slots=True)
class Settings:
    """How requests end and come back, the same for all; `proof_for_s` is how long a kit must be well."""

    reopen_within_s: int
    proof_for_s: int
    proof_within_s: int
    important_programmes: Sequence[str]
    revision: int

    @property
    def proof_for(self) -> timedelta:
        """How long a kit must be well after the fix."""
        return timedelta(seconds=self.proof_for_s)

    @property
    def proof_within(self) -> timedelta:
        """By when it must be."""
        return timedelta(seconds=self.proof_within_s)


@dataclass(frozen=True, slots=True)
class Request:
    """A locked request: what it is about, whose, and how it stands.

    `standing` is None for one just inserted. `revision` is that of what people change, `moved_at` when it was last
    moved; `reopen_within_s` is how long after its end it comes back.
    """

    request_id: int
    number: str
    kit_id: int | None
    kit: str | None
    incident_id: int | None
    organisation_id: int | None
    owner_id: int | None
    cause: str
    subject: str | None
    revision: int
    reopen_within_s: int
    moved_at: datetime | None
    standing: Standing | None

    @property
    def reopen_within(self) -> timedelta:
        """How long after its end it is opened again instead of a new one."""
        return timedelta(seconds=self.reopen_within_s)

    @property
    def now(self) -> Standing:
        """How it stands; only of a request that has been opened."""
        assert self.standing is not None
        return self.standing


@dataclass(frozen=True, slots=True)
class Change:
    """Entries for one request; a new one's begin with its opening."""

    request: Request
    entries: Sequence[Entry]

    @property
    def after(self) -> Standing:
        """What it comes to."""
        if self.request.standing is None:
            return replay(self.entries)
        return fold_all(self.request.standing, self.entries)


@dataclass(frozen=True, slots=True)
class New:
    """A request to insert, about a kit, an incident, or a place or organisation (`subject`)."""

    cause: str
    line: str
    priority: str
    kit_id: int | None = None
    incident_id: int | None = None
    subject: str | None = None
    organisation_id: int | None = None


async def settings(connection: Connection) -> Settings:
    """The settings as they are."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["settings"])
        row = await cursor.fetchone()
    assert row is not None
    return Settings(**row)


async def lock(
    connection: Connection, *, numbers: Sequence[str] = (), request_ids: Sequence[int] = ()
) -> dict[str, Request]:
    """Requests by number, kept from being changed by others until the transaction ends; unknown ones are missing.

    They are read once they are held: whoever had them may have written to their logs meanwhile.
    """
    if not numbers and not request_ids:
        return {}
    held = await hold(connection, numbers=numbers, request_ids=request_ids)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["held"], {"request_ids": held})
        rows = await cursor.fetchall()
    asked = {*numbers, *request_ids}
    return {row["number"]: _request(row) for row in rows if not asked.isdisjoint((row["number"], row["request_id"]))}


async def hold(connection: Connection, *, numbers: Sequence[str] = (), request_ids: Sequence[int] = ()) -> list[int]:
    """Lock requests, and those that speak for them, in the order of their ids; returns the ids of all.

    So two who want the same ones wait one for the other, not both. Raises UnavailableError where one was merged while
    it was waited for and who speaks for it now is held by somebody else: it is to be tried again.
    """
    values = {"numbers": list(numbers), "request_ids": list(request_ids)}
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["hold"], values)
        held = await cursor.fetchall()
        await cursor.execute(_SQL["hold_late"], {"held": held})
        if not await cursor.fetchone():
            raise UnavailableError("requests are being merged just now: try again")
    return held


async def lock_one(connection: Connection, number: str) -> Request:
    """One request; raises NotFoundError."""
    found = await lock(connection, numbers=[number])
    if number not in found:
        raise NotFoundError("service request", number)
    return found[number]


async def insert(connection: Connection, rows: Sequence[New], now: datetime) -> list[tuple[Request, bool]]:
    """Insert requests, each with whether it is new; one of the kit and cause that is open already takes its place."""
    given = [{**asdict(row), "opened_at": now, "due_at": due_at(Priority(row.priority), now)} for row in rows]
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["insert"], {"rows": Jsonb(_plain(given))})
        found = await cursor.fetchall()
    fresh = {row["request_id"]: row["fresh"] for row in found}
    locked = await lock(connection, request_ids=list(fresh))
    return [
        (_without_log(each) if fresh[each.request_id] else each, fresh[each.request_id]) for each in locked.values()
    ]


async def append(connection: Connection, changes: Sequence[Change], now: datetime) -> None:
    """Append entries, write what they come to and how it stands against its targets, and tell the event stream.

    What moves a request is never before what moved it last, whatever moment is given.
    """
    changes = [
        replace(change, entries=in_order(change.entries, change.request.moved_at))
        for change in changes
        if change.entries
    ]
    if not changes:
        return
    now = max([now, *(entry.at for change in changes for entry in change.entries if entry.what in MOVING)])
    after = [(change, change.after) for change in changes]
    await connection.execute(_SQL["append"], {"entries": Jsonb(_plain(_entries(changes)))})
    rows = [_row(change, standing) for change, standing in after]
    await connection.execute(_SQL["project"], {"rows": Jsonb(_plain(rows))})
    await recompute(connection, [change.request.request_id for change in changes], now)
    learned = [change.request.request_id for change, standing in after if _teaches(change, standing)]
    if learned:
        await connection.execute(_SQL["learn"], {"request_ids": learned, "now": now})
    told = [{"n": n, **_told(change, standing, now)} for n, (change, standing) in enumerate(after)]
    await connection.execute(_SQL["tell"], {"told": Jsonb(_plain(told))})


async def note(
    connection: Connection,
    request_id: int,
    what: What,
    body: Mapping[str, Any],
    *,
    actor: str,
    now: datetime,
    at: datetime | None = None,
) -> None:
    """One entry for one request: a visit, a call, a message that was sent. Raises NotFoundError."""
    found = await lock(connection, request_ids=[request_id])
    if not found:
        raise NotFoundError("service request", str(request_id))
    (request,) = found.values()
    await append(connection, [Change(request, [Entry(what, actor, at or now, body)])], now)


async def join_alerts(connection: Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Say which request (first) stands on which alert (second)."""
    if pairs:
        values = {"request_ids": [pair[0] for pair in pairs], "alert_ids": [pair[1] for pair in pairs]}
        await connection.execute(_SQL["join_alerts"], values)


async def entries_of(connection: Connection, request_ids: Sequence[int]) -> dict[int, list[Entry]]:
    """The whole logs of requests, the oldest entry first."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["entries"], {"request_ids": list(request_ids)})
        rows = await cursor.fetchall()
    logs: dict[int, list[Entry]] = {request_id: [] for request_id in request_ids}
    for row in rows:
        logs[row["request_id"]].append(Entry(What(row["what"]), row["actor"], row["at"], row["body"]))
    return logs


def _request(row: Mapping[str, Any]) -> Request:
    about = {each.name: row[each.name] for each in fields(Request) if each.name != "standing"}
    return Request(**about, standing=Standing(**{name: row[name] for name in _STANDING}))


def _without_log(request: Request) -> Request:
    about = {each.name: getattr(request, each.name) for each in fields(Request) if each.name != "standing"}
    return Request(**about, standing=None)


def _entries(changes: Sequence[Change]) -> list[dict[str, Any]]:
    flat = [(change.request.request_id, entry) for change in changes for entry in change.entries]
    return [
        {"n": n, "request_id": i, "at": e.at, "actor": e.actor, "what": e.what.value, "body": e.body}
        for n, (i, e) in enumerate(flat)
    ]


def _row(change: Change, after: Standing) -> dict[str, Any]:
    return {"request_id": change.request.request_id, **{name: getattr(after, name) for name in _STANDING}}


def _teaches(change: Change, after: Standing) -> bool:
    before = change.request.standing
    lesson = (after.found_cause, after.remedy)
    return None not in lesson and (before is None or (before.found_cause, before.remedy) != lesson)


def _told(change: Change, after: Standing, now: datetime) -> dict[str, Any]:
    request = change.request
    body = {
        "number": request.number,
        "incident": request.incident_id,
        "subject": request.subject,
        "cause": after.cause,
        "state": after.state,
        "line": after.line,
        "priority": after.priority,
        "assignee": after.assignee,
        "resolution": after.resolution if after.resolved_by == SYSTEM else None,
        "merged_into": after.merged_into,
        "by": change.entries[-1].actor,
        "what": sorted({entry.what.value for entry in change.entries}),
    }
    type_ = _type(request.standing, after, change.entries)
    return {"request_id": request.request_id, "at": now, "type": type_, "kit": request.kit, "body": body}


def _type(before: Standing | None, after: Standing, entries: Sequence[Entry]) -> str:
    """What the event stream calls it: the gravest of what happened at once."""
    if before is None:
        return "request.opened"
    whats = {entry.what for entry in entries}
    if before.merged_into != after.merged_into:
        return "request.merged"
    if before.state != after.state:
        if after.reopened > before.reopened:
            return "request.reopened"
        ended = after.state not in UNRESOLVED
        first = ended and before.state in UNRESOLVED
        return "request.resolved" if first else "request.closed" if ended else "request.changed"
    by_what = {What.COMMENT: "request.commented", What.ASSIGNED: "request.assigned"}
    return by_what[entries[0].what] if len(whats) == 1 and entries[0].what in by_what else "request.changed"


def _plain(value: Any) -> Any:
    """Values that JSON has, out of times and mappings."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
