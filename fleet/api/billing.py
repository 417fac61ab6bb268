"""`billable-events`: what partners are charged for, entry by entry and by month."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from fleet.access.roles import Permission
from fleet.api import shapes
from fleet.api.auth import Call, requires
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
    MAX_ID,
    PREFIX,
    Answer,
    KitId,
    Moment,
    Page,
    PageQuery,
    Word,
    decode_cursor,
    page,
)
from fleet.state.billing import store
from fleet.state.billing.derive import Kind

router = APIRouter(prefix=PREFIX, tags=["billing"])

ReadBilling = Annotated[Call, requires(Permission.BILLING_READ)]
Month = Annotated[str, Field(pattern=r"^(19[7-9]\d|2\d{3})-(0[1-9]|1[0-2])$", examples=["2026-11"])]


class BillableEvent(Answer):
    """An entry: what, for which municipality (`organisation`) and programme, how much.

    `day` is the day in Denmark on which it happened, of rental the first one, and `until_day` the day after the last.
    `quantity` of a counter-entry is negative and `counter_of` names the entry it takes back. `event_id` is the event
    of the log it was read from.
    """

    id: int
    kind: Kind
    organisation: str
    programme: str | None
    kit: str | None
    placement_id: int | None
    quantity: int
    occurred_at: Moment
    day: date
    until_day: date
    recorded_at: Moment
    event_id: int | None
    counter_of: int | None


class BillingQuery(PageQuery):
    """Filters of entries; `from` and `to` are days, both included."""

    day_from: date | None = Field(None, alias="from")
    day_to: date | None = Field(None, alias="to")
    kind: Kind | None = None
    organisation: Slug | None = None
    programme: Word | None = None
    kit: KitId | None = None


class SummaryLine(Answer):
    """What a municipality is charged of one kind for one programme; the counts tell how the sum came about."""

    organisation: str
    programme: str | None
    kind: Kind
    quantity: int
    entries: int
    counter_entries: int


class Summary(Answer):
    """A month's sums. `closed` once its rental is recorded; `through` is the last entry counted.

    Asked again with the same `through` the answer is the same for ever; corrections made since are in a later one.
    """

    month: str
    closed: bool
    through: int
    items: list[SummaryLine]


class SummaryQuery(shapes.Query):
    """Which month; `through` counts entries up to that number only."""

    month: Month
    through: Annotated[int, Field(ge=0, le=MAX_ID)] | None = None
    organisation: Slug | None = None


@router.get("/billable-events", responses=documented())
async def list_billable_events(call: ReadBilling, query: Annotated[BillingQuery, Query()]) -> Page[BillableEvent]:
    """Entries by number, which is the order in which they were recorded."""
    after = decode_cursor(query.cursor, int) or (0,)
    chosen = query.model_dump(exclude={"cursor", "limit"})
    found = await store.list_entries(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "entry_id")
    return Page(items=[_entry(each) for each in kept], next=cursor)


@router.get("/billable-events/summary", responses=documented())
async def sum_billable_events(call: ReadBilling, query: Annotated[SummaryQuery, Query()]) -> Summary:
    """The sums of a month by municipality, programme and kind."""
    month = date.fromisoformat(f"{query.month}-01")
    found = await store.summary(call.connection, month, through=query.through, organisation=query.organisation)
    items = [SummaryLine.model_validate(line) for line in found.lines]
    return Summary(month=query.month, closed=found.closed, through=found.through, items=items)


def _entry(found: store.Entry) -> BillableEvent:
    names = set(BillableEvent.model_fields) - {"id", "event_id"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    return BillableEvent(id=found.entry_id, event_id=found.source_event_id, **values)
