"""What people and programs do with service requests.

Each use case appends to the log and writes what it comes to, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from psycopg import AsyncConnection, errors
from psycopg.types.json import Jsonb

from fleet.access.principal import Principal
from fleet.alerts.requests import deciding, proving, writing
from fleet.alerts.requests.deciding import Asking
from fleet.alerts.requests.log import UNRESOLVED, Entry, What
from fleet.alerts.requests.placing import NO_RETURN
from fleet.alerts.requests.priority import Impact, priority_of
from fleet.alerts.requests.steps import NotAllowed, may_come_back, vouches
from fleet.alerts.requests.whose import roles_over
from fleet.alerts.requests.writing import Change, New, Request
from fleet.db.queries import load_queries
from fleet.db.rows import fetch_dicts, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError

Connection = AsyncConnection[Any]
Decide = Callable[[Request, Asking], Sequence[Entry] | NotAllowed]

_SQL = load_queries("fleet.alerts.requests", "desk.sql")


@dataclass(frozen=True, slots=True)
class StaleRequest:
    """Somebody changed the request meanwhile; `revision` is that of now."""

    revision: int


@dataclass(frozen=True, slots=True)
class AlreadyOpen:
    """The request that is open for the kit and cause."""

    number: str


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request to open about a kit; `cause` is of the list or a rule; None leaves line and priority to the cause."""

    kit: str
    cause: str
    description: str = ""
    line: str | None = None
    priority: str | None = None
    assignee: str | None = None


Outcome = NotAllowed | StaleRequest | None


class Act(Protocol):
    """A use case about one request, with what is said bound already."""

    async def __call__(self, connection: Connection, number: str, /, *, by: Principal) -> Outcome:
        """Do it."""
        ...


async def open_request(connection: Connection, new: NewRequest, *, by: Principal) -> str | AlreadyOpen:
    """Open a request, or open again the one of the kit and cause that ended a moment ago; returns its number.

    Raises InvalidError for a kit, cause or assignee that there is not.
    """
    async with connection.transaction():
        kit_id = await fetch_value(connection, _SQL["kit"], {"kit": new.kit})
        if kit_id is None:
            raise InvalidError("kit", f"no kit named {new.kit!r}")
        found = await fetch_dicts(connection, _SQL["opening"], {"cause": new.cause})
        if not found:
            raise InvalidError("cause", "is none that a request may be opened for")
        account = await _account(connection, new.assignee)
        last = await _last_of_cause(connection, kit_id, new.cause)
        if last is not None:
            return AlreadyOpen(last.number) if last.now.state in UNRESOLVED else await _again(connection, last, new, by)
        priority = new.priority or await _priority(connection, kit_id, found[0])
        row = New(new.cause, new.line or found[0]["line"], priority, kit_id=kit_id)
        now = await _moment(connection)
        ((request, fresh),) = await writing.insert(connection, [row], now)
        if not fresh:
            return AlreadyOpen(request.number)
        entries = [_opened(new, row, by, now)]
        if account is not None:
            entries.append(Entry(What.ASSIGNED, by.actor, now, account))
        await writing.append(connection, [Change(request, entries)], now)
        return request.number


async def change_request(
    connection: Connection,
    number: str,
    changes: Mapping[str, Any],
    *,
    by: Principal,
    revisions: frozenset[int] | None = None,
    explains: bool = True,
) -> Outcome:
    """Change state, line, priority, resolution, found cause or remedy; a refusal is a value.

    `waiting_for` goes with waiting, `reason` with what is closed without proof; what ends says what was found and what
    helped, unless the caller cannot (`explains`). Raises NotFoundError, InvalidError, and ConflictError when another
    request for the same cause is open.
    """
    await _on_the_lists(connection, found_cause=changes.get("found_cause"), remedy=changes.get("remedy"))

    def decide(request: Request, asking: Asking) -> Sequence[Entry] | NotAllowed:
        return deciding.changed(request.now, changes, replace(asking, explains=explains))

    return await _act(connection, number, by, decide, revisions)


async def forward(connection: Connection, number: str, line: str, reason: str, *, by: Principal) -> Outcome:
    """To another line, with a reason. Raises NotFoundError, ConflictError."""
    return await _act(connection, number, by, lambda r, a: deciding.forwarded(r.now, line, reason, a))


async def resolve(
    connection: Connection, number: str, *, cause: str, remedy: str, resolution: str | None, by: Principal
) -> Outcome:
    """Say that it is solved, with what was found and what helped; proof closes it, or opens it again.

    Raises NotFoundError, and InvalidError for a cause or remedy that is not on the lists.
    """
    await _on_the_lists(connection, cause=cause, remedy=remedy)

    def decide(request: Request, asking: Asking) -> Sequence[Entry] | NotAllowed:
        return deciding.resolved(request.now, asking, cause=cause, remedy=remedy, resolution=resolution)

    return await _act(connection, number, by, decide)


async def reopen(connection: Connection, number: str, reason: str, *, by: Principal) -> Outcome:
    """Open again what was resolved or closed. Raises NotFoundError, ConflictError."""
    changes = {"state": "open", "reason": reason}
    return await _act(connection, number, by, lambda r, a: _if_ended(r, deciding.changed(r.now, changes, a)))


async def assign(connection: Connection, number: str, assignee: str | None, *, by: Principal) -> Outcome:
    """Give it to an account, or back to its line (None). Raises NotFoundError, InvalidError."""
    account = await _account(connection, assignee) or {"assignee": None, "user_id": None}

    def decide(request: Request, asking: Asking) -> Sequence[Entry]:
        deciding.refuse_merged(request.now)
        same = account["assignee"] == request.now.assignee
        return [] if same else [Entry(What.ASSIGNED, asking.actor, asking.now, account)]

    return await _act(connection, number, by, decide)


async def comment(connection: Connection, number: str, text: str, audience: str, *, by: Principal) -> Outcome:
    """Say something, `internal` or to the `reporter`. Raises NotFoundError."""

    def said(_: Request, asking: Asking) -> Sequence[Entry]:
        return [asking.entry(What.COMMENT, text=text, audience=audience)]

    return await _act(connection, number, by, said, in_part=True)


async def refer(
    connection: Connection, number: str, title: str, *, url: str | None, document: str | None, by: Principal
) -> Outcome:
    """Point to something that is kept elsewhere, never its content. Raises NotFoundError."""
    said = {"title": title, "url": url, "document": document}
    return await _act(connection, number, by, lambda _, a: [a.entry(What.REFERENCE, **said)], in_part=True)


async def link(connection: Connection, number: str, kind: str, other: str, *, by: Principal) -> Outcome:
    """Say in both logs how two requests belong together; twice says it once. Raises NotFoundError, ConflictError.

    It says so too where somebody vouches for it who may close them without proof.
    """
    if number == other:
        raise ConflictError("a request is not linked with itself")
    async with connection.transaction():
        first, second = await _two(connection, number, other)
        asking = [await _asking(connection, each, by, in_part=True) for each in (first, second)]
        vouched = {"vouched": True} if all(vouches(each.roles) for each in asking) else {}
        body = {"kind": kind, "to": other, **vouched}
        values = {"request_id": first.request_id, "body": Jsonb(body)}
        if await fetch_value(connection, _SQL["is_linked"], values):
            return None
        now = await _moment(connection)
        back = {"kind": deciding.INVERSE[kind], "to": number, **vouched}
        changes = [
            Change(first, [Entry(What.LINKED, by.actor, now, body)]),
            Change(second, [Entry(What.LINKED, by.actor, now, back)]),
        ]
        await writing.append(connection, changes, now)
    return None


async def merge(connection: Connection, number: str, into: str, *, by: Principal) -> Outcome:
    """Let another request speak for this one, which is closed: its alerts go there, and both are read together.

    Raises NotFoundError, ConflictError (also where they are of different organisations), and ForbiddenError where they
    are not about one thing and the caller may not close them without proof.
    """
    async with connection.transaction():
        source, target = await _two(connection, number, into)
        asking = await _asking(connection, source, by)
        await _asking(connection, target, by)
        values = {"source": source.request_id, "target": target.request_id}
        (related,) = await fetch_dicts(connection, _SQL["belong"], values)
        left, taken = deciding.merged(source.now, target.now, (number, into), asking, **related)
        await connection.execute(_SQL["move_alerts"], values)
        await writing.append(connection, [Change(source, left), Change(target, taken)], asking.now)
    return None


async def redact_request(connection: Connection, number: str, *, why: str) -> None:
    """Empty what people wrote about a request, in its log and the audit too; twice changes nothing.

    Raises NotFoundError.
    """
    if not await fetch_value(connection, _SQL["redact_request"], {"number": number, "why": why}):
        raise NotFoundError("service request", number)


async def _act(
    connection: Connection,
    number: str,
    by: Principal,
    decide: Decide,
    revisions: frozenset[int] | None = None,
    *,
    in_part: bool = False,
) -> Outcome:
    """`in_part` is for what they may do as well who see only some kits of a mass event."""
    async with connection.transaction():
        request = await writing.lock_one(connection, number)
        if revisions is not None and request.revision not in revisions:
            return StaleRequest(request.revision)
        asking = await _asking(connection, request, by, in_part=in_part)
        entries = decide(request, asking)
        if isinstance(entries, NotAllowed):
            return entries
        try:
            async with connection.transaction():
                await writing.append(connection, [Change(request, entries)], asking.now)
        except errors.UniqueViolation:
            raise ConflictError(f"another request for the kit and cause of {number} is open") from None
    return None


async def _on_the_lists(connection: Connection, *, remedy: str | None, **cause: str | None) -> None:
    """Raises InvalidError naming the field for a cause or remedy that nobody may give."""
    ((field, found),) = cause.items()
    (known,) = await fetch_dicts(connection, _SQL["explains"], {"cause": found, "remedy": remedy})
    for name, given, listed in ((field, found, known["cause"]), ("remedy", remedy, known["remedy"])):
        if given is not None and not listed:
            raise InvalidError(name, "is not on the list")


async def _asking(connection: Connection, request: Request, by: Principal, *, in_part: bool = False) -> Asking:
    """Raises ForbiddenError for a mass event that is of others as well, unless what is done may be done `in_part`."""
    now = await _moment(connection)
    parties = None
    if request.incident_id is not None:
        parties = await fetch_value(connection, _SQL["parties"], {"incident_id": request.incident_id})
    roles = roles_over(by, request.organisation_id, request.owner_id, parties)
    if not roles and not in_part:
        raise ForbiddenError(f"{request.number} is of a mass event with kits of others: you may read and comment")
    resolved = request.now.state == "resolved"
    proven = resolved and await proving.proven_now(connection, request.request_id, now)
    return Asking(by.actor, roles, now, request.reopen_within, proven)


async def _last_of_cause(connection: Connection, kit_id: int, cause: str) -> Request | None:
    """The request that is open, or the one to open again; None when it takes a new one."""
    found = await fetch_dicts(connection, _SQL["last_of_cause"], {"kit_id": kit_id, "cause": cause})
    if not found:
        return None
    request = (await writing.lock(connection, numbers=[found[0]["number"]])).get(found[0]["number"])
    if request is None or request.now.state in UNRESOLVED:
        return request
    now = await _moment(connection)
    comes_back = may_come_back(request.now, now, request.reopen_within) and request.now.resolution not in NO_RETURN
    return request if found[0]["its_own"] and comes_back else None


async def _again(connection: Connection, request: Request, new: NewRequest, by: Principal) -> str:
    now = await _moment(connection)
    body = {"from": request.now.state, "to": "open", "because": "returned"}
    entries = [Entry(What.STATE, by.actor, now, body)]
    if new.description:
        said = {"text": new.description, "audience": "internal"}
        entries.append(Entry(What.COMMENT, by.actor, now, said))
    await writing.append(connection, [Change(request, entries)], now)
    return request.number


def _opened(new: NewRequest, row: New, by: Principal, now: datetime) -> Entry:
    via = "agent" if by.kind == "user" else "program"
    body = {"by": via, "cause": row.cause, "line": row.line, "priority": row.priority}
    if new.description:
        body["description"] = new.description
    return Entry(What.OPENED, by.actor, now, body)


async def _priority(connection: Connection, kit_id: int, cause: Mapping[str, Any]) -> str:
    important = await fetch_value(connection, _SQL["is_important"], {"kit_id": kit_id})
    impact = Impact.IMPORTANT_PROGRAMME if important else Impact.KIT
    return priority_of(cause["severity"], impact, usual=cause["severity"], own=cause["own"]).value


async def _account(connection: Connection, username: str | None) -> dict[str, Any] | None:
    if username is None:
        return None
    found = await fetch_dicts(connection, _SQL["account"], {"username": username})
    if not found:
        raise InvalidError("assignee", f"no account named {username!r}")
    return {"assignee": found[0]["username"], "user_id": found[0]["user_id"]}


async def _two(connection: Connection, number: str, other: str) -> tuple[Request, Request]:
    found = await writing.lock(connection, numbers=[number, other])
    for each in (number, other):
        if each not in found:
            raise NotFoundError("service request", each)
    return found[number], found[other]


def _if_ended(request: Request, entries: Sequence[Entry] | NotAllowed) -> Sequence[Entry] | NotAllowed:
    if request.now.state in UNRESOLVED:
        raise ConflictError(f"it is {request.now.state} already")
    return entries


async def _moment(connection: Connection) -> datetime:
    moment: datetime = await fetch_value(connection, _SQL["moment"], {})
    return moment
