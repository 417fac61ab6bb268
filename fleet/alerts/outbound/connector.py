"""Requests of ours and tickets of an outside system kept in step, both ways.

Ours go out in the order of their facts; theirs come in by polling, hurried by their webhook. A state is compared with
the last one known of the other side, what we wrote there carries a mark, what came from there has this connector as its
actor: so nothing comes back as news, and a step that is done twice does nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fleet.access.principal import Grant, Principal
from fleet.access.roles import Role
from fleet.alerts.outbound import queue
from fleet.alerts.outbound.queue import Outlet, Refusal, Waiting
from fleet.alerts.outbound.tickets import Comment, Outgoing, OutsideError, Ticket, TicketSystem
from fleet.alerts.outbound.work import Work
from fleet.alerts.outbound.zammad import OVERLAP, Zammad
from fleet.alerts.requests import desk
from fleet.alerts.requests.log import ENDED
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.log import get_logger
from fleet.state.texts import MAX_LABEL, bad_text, looks_like_cpr

log = get_logger(__name__)
SQL = load_queries("fleet.alerts.outbound", "connector.sql")

BATCH = 20
MOST_COMMENTS = 50
POLL_EVERY = timedelta(seconds=60)
UNREAD_FOR = timedelta(days=1)
"""So long the comments of a ticket that cannot be read are asked for again; its state is taken over all the same."""
WITHHELD = "(the text of the other side is not kept: look at the ticket)"


@dataclass(frozen=True, slots=True)
class Ours:
    """A request, and the ticket that stands for it, where there is one."""

    request_id: int
    number: str
    cause: str
    line: str
    priority: str
    state: str
    kit: str | None
    last_event: int
    ticket: str | None
    remote_state: str | None
    sent_priority: str | None
    event_sent: int | None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A ticket of theirs that stands for a request, and how far we know of it."""

    request_id: int
    number: str
    state: str
    ticket: str
    remote_state: str
    article_seen: int


@dataclass(frozen=True, slots=True)
class Said:
    """A comment to pass on."""

    event_id: int
    text: str


async def deliver(work: Work, outlet: Outlet) -> None:
    """Send what waits and look for what is new there; raises TryLaterError when it is not done."""
    token = work.open(outlet.secret, work.purpose(outlet))
    if token is None:
        raise await work.failed(outlet, [], Refusal("the token cannot be read: FLEET_SECRET_KEY changed"))
    system = Zammad(
        work.poster,
        outlet.url or "",
        token.decode(),
        group=outlet.options.get("group", "Users"),
        customer=outlet.options.get("customer", ""),
    )
    await _send_all(work, outlet, system)
    await _poll(work, outlet, system)


def acting_as(outlet: Outlet) -> Principal:
    """Who acts for the other side; second line, so that it may say that a fault is gone."""
    return Principal("system", 0, f"connector:{outlet.outlet_id}", (Grant(Role.SERVICE),))


async def _send_all(work: Work, outlet: Outlet, system: TicketSystem) -> None:
    while work.going():
        async with work.pool.connection() as connection:
            batch = await queue.waiting(connection, outlet.outlet_id, BATCH)
        if not batch:
            return
        for each in batch:
            await _send(work, outlet, system, each)


async def _send(work: Work, outlet: Outlet, system: TicketSystem, fact: Waiting) -> None:
    number = fact.payload.get("data", {}).get("number")
    refusal: OutsideError | None = None
    try:
        if isinstance(number, str):
            await _push(work, outlet, system, number)
    except OutsideError as error:
        refusal = error
    now = datetime.now(UTC)
    if refusal is not None and not refusal.lasting:
        raise await work.failed(outlet, [fact], refusal.refusal)
    async with work.pool.connection() as connection:
        if refusal is None:
            await queue.taken(connection, outlet, [fact], now)
        else:
            await queue.give_up(connection, outlet, [fact], refusal.refusal, now)


async def _push(work: Work, outlet: Outlet, system: TicketSystem, number: str) -> None:
    """Bring the ticket of a request to what the request says now, whatever was sent before."""
    about: dict[str, Any] = {"outlet_id": outlet.outlet_id}
    async with work.pool.connection() as connection:
        ours = await fetch_one(connection, SQL["request"], {**about, "number": number}, Ours)
    if ours is None or (ours.ticket is None and not _is_for_them(ours, outlet)):
        return
    ticket, known, priority = ours.ticket, ours.remote_state, ours.sent_priority
    about = {**about, "request_id": ours.request_id, "priority": ours.priority}
    if ticket is None:
        made = await system.find(number) or await system.create(_outgoing(work, ours))
        ticket, known, priority = made.id, made.state, ours.priority
        values = {**about, "ticket": ticket, "number": made.number, "remote_state": known}
        async with work.pool.connection() as connection:
            await connection.execute(SQL["note_ticket"], values)
    await _pass_on(work, outlet, system, ours, ticket)
    ended = ours.state in ENDED
    if ended != _meant(known) or ours.priority != priority:
        wanted = ended if ended != _meant(known) else None
        known = (await system.update(ticket, ended=wanted, priority=ours.priority)).state
    async with work.pool.connection() as connection:
        await connection.execute(SQL["note_sent"], {**about, "remote_state": known, "event_sent": ours.last_event})


async def _pass_on(work: Work, outlet: Outlet, system: TicketSystem, ours: Ours, ticket: str) -> None:
    own = acting_as(outlet).actor
    values = {"request_id": ours.request_id, "after": ours.event_sent or 0, "own": own, "limit": MOST_COMMENTS}
    async with work.pool.connection() as connection:
        said = await fetch_all(connection, SQL["comments"], values, Said)
    if not said:
        return
    there = {each.mark for each in await system.comments(ticket)}
    for each in said:
        mark = f"fleet:{ours.number}:{each.event_id}"
        if mark not in there:
            await system.comment(ticket, each.text, mark)


async def _poll(work: Work, outlet: Outlet, system: TicketSystem) -> None:
    """Take in what changed there; how far was looked is noted as far as all of it was taken."""
    now = datetime.now(UTC)
    if outlet.polled_at is not None and now - outlet.polled_at < POLL_EVERY:
        return
    since = outlet.polled_until or now - timedelta(days=1)
    try:
        changed = await system.changed_since(since - OVERLAP)
        unread = await _take_in_all(work, outlet, system, changed)
    except OutsideError as error:
        raise await work.failed(outlet, [], error.refusal) from error
    # What could not be read is looked at again for a while, and holds nothing else up meanwhile.
    behind = [each.updated_at for each in unread if now - each.updated_at < UNREAD_FOR]
    until = min(behind) if behind else max([since, *(each.updated_at for each in changed)])
    async with work.pool.connection() as connection:
        await connection.execute(SQL["polled"], {"outlet_id": outlet.outlet_id, "now": now, "until": until})


async def _take_in_all(work: Work, outlet: Outlet, system: TicketSystem, changed: Sequence[Ticket]) -> list[Ticket]:
    """Take in each ticket by itself; returns those of which only the state could be taken.

    Raises OutsideError when none of several can be read: then it is the other system, and not a ticket of it.
    """
    async with work.pool.connection() as connection:
        values = {"outlet_id": outlet.outlet_id, "tickets": [each.id for each in changed]}
        mapped = {each.ticket: each for each in await fetch_all(connection, SQL["mapped"], values, Mapped)}
    ours = [each for each in changed if each.id in mapped]
    unread: list[Ticket] = []
    for ticket in ours:
        if not work.going():
            break
        comments: Sequence[Comment] = ()
        try:
            comments = await system.comments(ticket.id)
        except OutsideError as error:
            unread.append(ticket)
            if len(unread) == len(ours) > 1:
                raise
            log.warning("comments of a ticket cannot be read", request=mapped[ticket.id].number, reason=str(error))
        await _take_in(work, outlet, mapped[ticket.id], ticket, comments)
    return unread


async def _take_in(work: Work, outlet: Outlet, ours: Mapped, theirs: Ticket, comments: Sequence[Comment]) -> None:
    """What is new at a ticket, and that it was seen, in one transaction."""
    new = [each for each in comments if each.id > ours.article_seen]
    if not new and theirs.state == ours.remote_state:
        return
    by = acting_as(outlet)
    async with work.pool.connection() as connection, connection.transaction():
        for each in new:
            if each.mark is None and not each.internal and each.text:
                await desk.comment(connection, ours.number, kept_text(each.text), "internal", by=by)
        if theirs.state != ours.remote_state:
            await _follow(connection, ours, theirs, by)
        seen = max([ours.article_seen, *(each.id for each in new)])
        values = {"outlet_id": outlet.outlet_id, "request_id": ours.request_id, "article_seen": seen}
        await connection.execute(SQL["note_seen"], {**values, "remote_state": theirs.state})


async def _follow(connection: Connection, ours: Mapped, theirs: Ticket, by: Principal) -> None:
    changes = changes_for(ours.state, theirs)
    if changes is None:
        return
    refused: object
    try:
        async with connection.transaction():
            refused = await desk.change_request(connection, ours.number, changes, by=by, explains=False)
    except (ConflictError, InvalidError, NotFoundError) as error:
        refused = error
    if refused is not None:
        log.warning("a state of the other side cannot be taken over", request=ours.number, state=theirs.state)


def changes_for(state: str, theirs: Ticket) -> dict[str, Any] | None:
    """What the state of their ticket changes about a request in `state`; None for nothing."""
    if theirs.ended:
        return None if state in ENDED else {"state": "resolved"}
    if theirs.waiting:
        return None if state in ENDED or state == "waiting" else {"state": "waiting", "waiting_for": "supplier"}
    if state in ENDED:
        return {"state": "open", "reason": "the other side opened its ticket again"}
    return {"state": "in_progress"} if state == "waiting" else None


def kept_text(text: str) -> str:
    """What is kept of a text of theirs: cut to what a line holds, and not at all when it may name a citizen."""
    cut = "".join(sign if sign.isprintable() else " " for sign in text)
    cut = cut if len(cut) <= MAX_LABEL else cut[: MAX_LABEL - 1].rstrip() + "…"
    return WITHHELD if looks_like_cpr(text) or bad_text(cut) is not None else cut


def _meant(state: str | None) -> bool:
    return state in ("closed", "merged", "removed")


def _is_for_them(ours: Ours, outlet: Outlet) -> bool:
    """Whether a request gets a ticket: one that is not over, of the lines that are theirs."""
    lines = outlet.options.get("lines")
    return ours.state not in ENDED and (not lines or ours.line in lines)


def _outgoing(work: Work, ours: Ours) -> Outgoing:
    base = work.settings.http_public_url
    link = f"{base}/kits/{ours.kit}" if base and ours.kit else None
    return Outgoing(ours.number, ours.cause, ours.line, ours.priority, ours.kit, link)
