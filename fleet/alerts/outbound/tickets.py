"""What every outside ticket system is to us: the interface that a connector speaks, and the values it speaks in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fleet.alerts.outbound.queue import Refusal


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request of ours as others are told of it: what is wrong and where, nothing of the citizen."""

    number: str
    cause: str
    line: str
    priority: str
    kit: str | None
    link: str | None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket of theirs; `state` is their word, `ended` and `waiting` what it means."""

    id: str
    number: str
    title: str
    state: str
    ended: bool
    waiting: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody wrote at a ticket; `mark` is ours where we wrote it, and None where others did."""

    id: int
    text: str
    mark: str | None
    internal: bool


class OutsideError(Exception):
    """The other system did not do it.

    `lasting` says that the same request will never be taken, so what comes after it goes on.
    """

    def __init__(self, refusal: Refusal, *, lasting: bool = False) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.lasting = lasting


class TicketSystem(Protocol):
    """An outside ticket system; every call raises OutsideError when it is not done."""

    async def find(self, number: str) -> Ticket | None:
        """The ticket that we made for a request, if one was."""
        ...

    async def create(self, request: Outgoing) -> Ticket:
        """A ticket for a request."""
        ...

    async def update(self, ticket: str, *, ended: bool | None, priority: str) -> Ticket:
        """Close a ticket or open it again (None leaves that), and give it a priority of ours."""
        ...

    async def comment(self, ticket: str, text: str, mark: str) -> None:
        """Say something at a ticket, with a mark by which it is known to be ours."""
        ...

    async def changed_since(self, moment: datetime) -> Sequence[Ticket]:
        """Tickets of ours that were changed since then, the earliest change first; a bounded number."""
        ...

    async def comments(self, ticket: str) -> Sequence[Comment]:
        """What was written at a ticket, in order."""
        ...
