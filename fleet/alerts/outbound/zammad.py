"""Zammad's HTTP API (https://docs.zammad.org/en/latest/api/intro.html) as a ticket system.

Our tickets carry the tag `fleet` and begin their title with `[number]`; comments of ours carry a mark in their subject.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fleet.alerts.outbound.posting import MAX_ANSWER_BYTES, Failure, Poster
from fleet.alerts.outbound.queue import Refusal
from fleet.alerts.outbound.tickets import Comment, Outgoing, OutsideError, Ticket

TAG = "fleet"
PAGE = 50
MOST_PAGES = 20
ENDED = frozenset({"closed", "merged", "removed"})
PRIORITIES: Mapping[str, str] = {"urgent": "3 high", "high": "3 high", "normal": "2 normal", "low": "1 low"}
_MARK = re.compile(r"fleet:[A-Za-z0-9:-]{1,80}")
_TAGS = re.compile(r"<[^>]{0,2000}>")
_LASTING = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})


class Zammad:
    """One Zammad, entered with a token of an agent; `group` takes our tickets, `customer` is who they are from."""

    def __init__(self, poster: Poster, url: str, token: str, *, group: str, customer: str) -> None:
        self._poster = poster
        self._url = url.rstrip("/") + "/api/v1"
        self._headers = {"authorization": f"Token token={token}", "accept": "application/json"}
        self._group = group
        self._customer = customer

    async def find(self, number: str) -> Ticket | None:
        """By the title; the search knows a new ticket after a second or so."""
        found = await self._search(f'tags:{TAG} AND title:"{number}"', 1)
        return next((each for each in found if each.title.startswith(f"[{number}]")), None)

    async def create(self, request: Outgoing) -> Ticket:
        """With a first article that says what is wrong."""
        told = [request.cause, request.kit or "", request.line, request.priority, request.link or ""]
        body = {
            "title": f"[{request.number}] {' · '.join(filter(None, told[:2]))}",
            "group": self._group,
            "customer": self._customer,
            "priority": PRIORITIES.get(request.priority, PRIORITIES["normal"]),
            "tags": TAG,
            "article": {
                "subject": f"fleet:{request.number}",
                "body": "\n".join(filter(None, told)),
                "type": "note",
                "internal": False,
                "content_type": "text/plain",
            },
        }
        return _ticket(await self._ask("POST", "/tickets?expand=true", body))

    async def update(self, ticket: str, *, ended: bool | None, priority: str) -> Ticket:
        """Their states `closed` and `open`, and the nearest of their priorities."""
        body = {"priority": PRIORITIES.get(priority, PRIORITIES["normal"])}
        if ended is not None:
            body["state"] = "closed" if ended else "open"
        return _ticket(await self._ask("PUT", f"/tickets/{ticket}?expand=true", body))

    async def comment(self, ticket: str, text: str, mark: str) -> None:
        """As a note that others see."""
        body = {
            "ticket_id": int(ticket),
            "subject": mark,
            "body": text,
            "type": "note",
            "internal": False,
            "content_type": "text/plain",
        }
        await self._ask("POST", "/ticket_articles", body)

    async def changed_since(self, moment: datetime) -> Sequence[Ticket]:
        """The earliest first, a thousand at most."""
        since = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found: list[Ticket] = []
        for number in range(1, MOST_PAGES + 1):
            page = await self._search(f"tags:{TAG} AND updated_at:[{since} TO *]", number)
            found += page
            if len(page) < PAGE:
                break
        return found

    async def comments(self, ticket: str) -> Sequence[Comment]:
        """Articles of a ticket."""
        found = await self._ask("GET", f"/ticket_articles/by_ticket/{ticket}")
        return [_comment(each) for each in found]

    async def _search(self, query: str, page: int) -> list[Ticket]:
        values = {
            "query": query,
            "sort_by": "updated_at",
            "order_by": "asc",
            "page": page,
            "per_page": PAGE,
            "expand": "true",
        }
        found = await self._ask("GET", f"/tickets/search?{urlencode(values)}")
        return [_ticket(each) for each in found]

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        sent = b"" if body is None else json.dumps(body).encode()
        headers = self._headers if body is None else {**self._headers, "content-type": "application/json"}
        answer = await self._poster.send(
            method, self._url + path, headers=headers, body=sent, most_bytes=MAX_ANSWER_BYTES
        )
        if isinstance(answer, Failure):
            raise OutsideError(Refusal(answer.reason))
        if not answer.ok:
            refusal = Refusal(f"answered {answer.status}", answer.status, answer.retry_after_s)
            raise OutsideError(refusal, lasting=answer.status in _LASTING)
        try:
            return json.loads(answer.body)
        except ValueError:
            raise OutsideError(Refusal("answered something that is no JSON, or too much", answer.status)) from None


def _ticket(found: Any) -> Ticket:
    try:
        state = str(found["state"])
        return Ticket(
            id=str(int(found["id"])),
            number=str(found["number"]),
            title=str(found["title"]),
            state=state,
            ended=state in ENDED,
            waiting=state.startswith("pending"),
            updated_at=datetime.fromisoformat(str(found["updated_at"])).astimezone(UTC),
        )
    except (KeyError, TypeError, ValueError):
        raise OutsideError(Refusal("answered something that is no ticket")) from None


def _comment(found: Any) -> Comment:
    try:
        mark = _MARK.fullmatch(str(found.get("subject") or ""))
        return Comment(
            int(found["id"]), _text(found), None if mark is None else mark[0], bool(found.get("internal", True))
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise OutsideError(Refusal("answered something that is no article")) from None


def _text(found: Mapping[str, Any]) -> str:
    text = str(found.get("body") or "")
    if "html" in str(found.get("content_type", "")):
        text = unescape(_TAGS.sub(" ", text))
    return " ".join(text.split())


OVERLAP = timedelta(minutes=1)
"""How much of the past is looked at again: their clock is not ours, and their search is late."""
