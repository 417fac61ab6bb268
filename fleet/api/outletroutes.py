"""What routes of webhooks, mail subscriptions and connectors do alike; the routes stand in the module of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request, Response

from fleet.alerts.outbound import outlets
from fleet.alerts.outbound.outlets import OutletView
from fleet.api import idempotency
from fleet.api.auth import Call
from fleet.api.etags import etag, seen_revisions, stale
from fleet.api.outlets import Delivery, Faring, OutletQuery, changes_of, delivery
from fleet.api.shapes import Body, Page, decode_cursor, page
from fleet.state.registry.editing import Outdated

Shown = TypeVar("Shown", bound=Faring)


@dataclass(frozen=True, slots=True)
class Outlets(Generic[Shown]):
    """Outlets of one `kind`, as `show` shows them; `options` are the fields that only this kind has."""

    kind: str
    options: frozenset[str]
    show: Callable[[OutletView], Shown]

    async def page(self, call: Call, query: OutletQuery) -> Page[Shown]:
        """Those in scope by number."""
        after = decode_cursor(query.cursor, int) or (0,)
        found = await outlets.list_outlets(
            call.connection,
            self.kind,
            after=after[0],
            limit=query.limit + 1,
            organisation=query.organisation,
            state=query.state,
        )
        kept, cursor = page(found, query.limit, "outlet_id")
        return Page(items=[self.show(each) for each in kept], next=cursor)

    async def one(self, call: Call, id_: int, response: Response) -> Shown:
        """One of them, with its tag. Raises NotFoundError."""
        return self._tagged(await outlets.find(call.connection, self.kind, id_), response)

    async def edit(
        self, call: Call, id_: int, values: Mapping[str, Any], response: Response, if_match: str | None
    ) -> Shown:
        """Change it if it is as whoever edits has seen it. Raises NotFoundError; 412 when it is not."""
        changes = changes_of(values, self.options)
        outcome = await outlets.edit(call.connection, self.kind, id_, changes, revisions=seen_revisions(if_match))
        if isinstance(outcome, Outdated):
            raise stale(outcome.revision)
        return self._tagged(outcome, response)

    async def ping(self, call: Call, request: Request, id_: int, key: str | None) -> Response:
        """Send something to try it, once per key. Raises NotFoundError, ConflictError."""

        async def work() -> Delivery:
            return delivery(await outlets.ping(call.connection, self.kind, id_))

        return await idempotency.once(request, call, key, work, status=202)

    def _tagged(self, found: OutletView, response: Response) -> Shown:
        response.headers["ETag"] = etag(found.revision)
        return self.show(found)


def sent(edit: Body, taken_away: frozenset[str]) -> dict[str, Any]:
    """The fields that were sent; null means something for those that can be taken away only."""
    values = edit.model_dump(exclude_unset=True)
    return {name: value for name, value in values.items() if value is not None or name in taken_away}
