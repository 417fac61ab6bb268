"""A server that behaves as Zammad's HTTP API does, as far as a connector meets it: run as a process of its own.

`python -m tests.zammad PORT TOKEN [SIGNATURE-TOKEN]` prints `up` when it listens. What tests do as people of the other
side goes to `/test/...`, which no Zammad has.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import uvicorn

STATES = ("new", "open", "pending reminder", "closed", "merged")
US, THEM = 7, 9


@dataclass
class Answer(Exception):
    """What a request ends with."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Zammad:
    """Tickets and articles in memory; `troubles` are statuses to answer before anything else."""

    token: str
    tickets: dict[int, dict[str, Any]] = field(default_factory=dict)
    articles: list[dict[str, Any]] = field(default_factory=list)
    troubles: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The application."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        try:
            raise self.answer(scope["method"], scope["path"], query, headers, body)
        except Answer as ended:
            answer = ended
        told = [(b"content-type", b"application/json"), *((n.encode(), v.encode()) for n, v in answer.headers.items())]
        await send({"type": "http.response.start", "status": answer.status, "headers": told})
        await send({"type": "http.response.body", "body": json.dumps(answer.body).encode()})

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """The way of one request."""
        if path.startswith("/test/"):
            return self.told(path.removeprefix("/test/"), json.loads(body or b"{}"))
        self.calls.append(f"{method} {path}")
        if headers.get("authorization") != f"Token token={self.token}":
            return Answer(401, {"error": "Invalid token"})
        if self.troubles:
            trouble = self.troubles.pop(0)
            return Answer(trouble["status"], {"error": "trouble"}, trouble.get("headers", {}))
        given = json.loads(body) if body else {}
        match (method, path.removeprefix("/api/v1").strip("/").split("/")):
            case ("GET", ["tickets", "search"]):
                return Answer(200, self.search(query))
            case ("POST", ["tickets"]):
                return Answer(201, self.create(given))
            case ("GET", ["tickets", number]):
                return Answer(200, self.ticket(number))
            case ("PUT", ["tickets", number]):
                return Answer(200, self.update(self.ticket(number), given))
            case ("POST", ["ticket_articles"]):
                return Answer(201, self.add_article(self.ticket(str(given.get("ticket_id"))), given, US))
            case ("GET", ["ticket_articles", "by_ticket", number]):
                ticket = self.ticket(number)
                return Answer(200, [each for each in self.articles if each["ticket_id"] == ticket["id"]])
        return Answer(404, {"error": "No route matches"})

    def told(self, what: str, given: dict[str, Any]) -> Answer:
        """What the other side's people do, and what tests want to know."""
        if what == "trouble":
            self.troubles.append(given)
        elif what == "article":
            self.add_article(self.tickets[given["ticket"]], given, THEM)
        elif what == "state":
            self.update(self.tickets[given["ticket"]], {"state": given["state"]})
        elif what == "delete":
            del self.tickets[given["ticket"]]
        elif what == "many":
            for number in range(given["count"]):
                self.create({"title": f"other {number}", "group": "g", "customer": "c", "tags": "fleet", "article": {}})
        return Answer(200, {"tickets": list(self.tickets.values()), "articles": self.articles, "calls": self.calls})

    def ticket(self, number: str) -> dict[str, Any]:
        """One ticket, or the answer that there is none."""
        if not number.isdecimal() or int(number) not in self.tickets:
            raise Answer(404, {"error": "Couldn't find Ticket with 'id'=" + number})
        return self.tickets[int(number)]

    def create(self, given: dict[str, Any]) -> dict[str, Any]:
        """A new ticket; 422 without what it needs."""
        for needed in ("title", "group", "customer", "article"):
            if needed not in given or given[needed] == "":
                raise Answer(422, {"error": f"Missing required value for field '{needed}'!"})
        if given["group"] == "Nowhere":
            raise Answer(422, {"error": "No lookup value found for 'group': \"Nowhere\""})
        number = len(self.tickets) + 1
        self.tickets[number] = {
            "id": number, "number": str(31000 + number), "title": given["title"], "group": given["group"],
            "customer": given["customer"], "state": given.get("state", "new"), "tags": given.get("tags", ""),
            "priority": given.get("priority", "2 normal"), "created_at": now(), "updated_at": now(),
        }  # fmt: skip
        self.add_article(self.tickets[number], given["article"], US)
        return self.tickets[number]

    def update(self, ticket: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Another state; 422 for one that there is not."""
        if given.get("state", "new") not in STATES:
            raise Answer(422, {"error": "No lookup value found for 'state'"})
        ticket.update(given, updated_at=now())
        return ticket

    def add_article(self, ticket: dict[str, Any], given: dict[str, Any], by: int) -> dict[str, Any]:
        """One more article."""
        article = {
            "id": len(self.articles) + 101, "ticket_id": ticket["id"], "subject": given.get("subject"),
            "body": given.get("body", ""), "internal": given.get("internal", False),
            "content_type": given.get("content_type", "text/html"), "created_by_id": by, "created_at": now(),
        }  # fmt: skip
        self.articles.append(article)
        ticket["updated_at"] = now()
        return article

    def search(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """The two forms of a query that a connector uses, page by page."""
        wanted = query["query"]
        since = re.search(r"updated_at:\[(\S+) TO \*\]", wanted)
        title = re.search(r'title:"([^"]+)"', wanted)
        found = [
            each
            for each in self.tickets.values()
            if "fleet" in each["tags"].split(",")
            and (since is None or each["updated_at"] >= since[1])
            and (title is None or title[1] in each["title"])
        ]
        found.sort(key=lambda each: each["updated_at"])
        size, page = min(int(query.get("per_page", 50)), 100), int(query.get("page", 1))
        return found[(page - 1) * size : page * size]


def now() -> str:
    """As Zammad writes moments."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Server(uvicorn.Server):
    """Says when it listens."""

    async def startup(self, sockets: Any = None) -> None:
        """Listen."""
        await super().startup(sockets)
        print("up", flush=True)


if __name__ == "__main__":
    Server(uvicorn.Config(Zammad(sys.argv[2]), port=int(sys.argv[1]), lifespan="off", log_level="warning")).run()
