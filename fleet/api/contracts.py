"""`contracts`: what is promised of service requests, for whom, and whom to tell before it is broken."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission, Role
from fleet.alerts.sla import contractbook, fulfilment
from fleet.api import idempotency, shapes
from fleet.api.auth import Call, requires
from fleet.api.billing import Month
from fleet.api.calendars import Name, ReadContracts, WriteContracts
from fleet.api.catalogue import TypeName
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug, SlugPath
from fleet.api.problems import documented, invalid
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    GivenMoment,
    KitId,
    Line,
    Moment,
    NewSlug,
    Page,
    PageQuery,
    Priority,
    Word,
    decode_cursor,
    page,
)
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX)

MOST_MONTHS = 36
MOST_MINUTES = 129_600
"""Ninety days around the clock."""

ReadRequestStatistics = Annotated[Call, requires(Permission.STATISTICS_READ)]
Minutes = Annotated[int, Field(ge=1, le=MOST_MINUTES, description="Minutes of the calendar's open hours")]
TargetName = Literal["response", "update", "solution"]
Notify = Literal["line", "assignee", "role"]


class ContractTarget(Body):
    """What is promised of a priority: first response, how often something is done or said, solution."""

    priority: Priority
    response_min: Minutes | None = None
    update_min: Minutes | None = None
    solution_min: Minutes


class Escalation(Body):
    """A step before (or after) a breach: at a share of the target's time, or so many open minutes before its end.

    It becomes an event `request.escalated` that says whom to `notify`; with `raise_priority` the request goes one up.
    """

    target: TargetName
    percent: Annotated[int, Field(ge=1, le=500)] | None = None
    before_min: Minutes | None = None
    notify: Notify = "line"
    role: Role | None = Field(None, strict=False)
    raise_priority: bool = False


class ContractFields(Body):
    """What describes a contract; `reopen_days` null is as for all, `update_min` stands in where no priority says it."""

    valid_until: GivenMoment | None = None
    reopen_days: Annotated[int, Field(ge=0, le=365)] | None = None
    update_min: Minutes | None = None
    escalations: Annotated[list[Escalation], Field(max_length=contractbook.MAX_STEPS)] = Field(default_factory=list)


Targets = Annotated[
    list[ContractTarget],
    Field(
        min_length=4,
        max_length=4,
        description="Each priority once",
        examples=[
            [
                {"priority": "urgent", "response_min": 30, "solution_min": 240},
                {"priority": "high", "response_min": 120, "solution_min": 480},
                {"priority": "normal", "solution_min": 1440},
                {"priority": "low", "solution_min": 4800},
            ]
        ],
    ),
]


class NewContract(ContractFields):
    """A contract to enter: for the kits of an organisation and those below it, of a programme, of a kit type."""

    slug: NewSlug
    name: Name
    organisation: Slug | None = None
    programme: Annotated[Line, Field(min_length=1)] | None = None
    kit_type: TypeName | None = None
    calendar: Slug = Field(examples=["working-days"])
    valid_from: GivenMoment
    targets: Targets


class ContractEdit(ContractFields):
    """What people edit; a field that is not sent stays. Whom it is for does not change."""

    name: Name = ""
    calendar: Slug = ""
    valid_from: GivenMoment | None = None
    targets: Targets = Field(default_factory=list)


class ShownTarget(Answer):
    """Targets of a priority in open minutes."""

    priority: Priority
    response_min: int | None
    update_min: int | None
    solution_min: int


class ShownEscalation(Answer):
    """A step of escalation."""

    target: TargetName
    percent: int | None
    before_min: int | None
    notify: Notify
    role: str | None
    raise_priority: bool


class Contract(Answer):
    """A contract; what of organisation, programme and kit type is null is for all."""

    slug: str
    name: str
    organisation: str | None
    programme: str | None
    kit_type: str | None
    calendar: str
    valid_from: Moment
    valid_until: Moment | None
    reopen_days: int | None
    update_min: int | None
    targets: list[ShownTarget]
    escalations: list[ShownEscalation]
    revision: int
    created_at: Moment
    to_measure: int = Field(description="Open requests that are still to be measured anew after a change")


class ContractQuery(PageQuery):
    """Filters of contracts; `valid_at` finds those that hold at that time."""

    organisation: Slug | None = None
    programme: Word | None = None
    kit_type: Word | None = None
    calendar: Slug | None = None
    valid_at: Moment | None = None


class Applies(Answer):
    """Whether the contract is the one that a request of the kit would be opened under now.

    `instead` is the one that is, null where that is a contract you do not see.
    """

    contract: str
    kit: str
    applies: bool
    instead: str | None


class AppliesQuery(shapes.Query):
    """Of which kit."""

    kit: KitId


class Fulfilment(Answer):
    """Requests opened in a month under a contract with a priority, and how many missed a target so far.

    `..._met` are those that reached it in time, `solution_fulfilled` their share of those that did or are late.
    """

    month: str
    contract: str | None
    priority: Priority
    requests: int
    open: int
    response_met: int
    response_late: int
    update_late: int
    solution_met: int
    solution_late: int
    solution_fulfilled: float | None


class FulfilmentAnswer(Answer):
    """Lines by month, contract and priority; requests that were merged into others are left out."""

    items: list[Fulfilment]


class FulfilmentQuery(shapes.Query):
    """Which months of opening, both included; the last twelve when nothing is said."""

    month_from: Month | None = Field(None, alias="from")
    month_to: Month | None = Field(None, alias="to")
    contract: Slug | None = None


@router.get("/contracts", tags=["contracts"], responses=documented())
async def list_contracts(call: ReadContracts, query: Annotated[ContractQuery, Query()]) -> Page[Contract]:
    """Contracts by slug."""
    after = decode_cursor(query.cursor, str) or ("",)
    chosen = query.model_dump(include=set(contractbook.FILTERS))
    found = await contractbook.list_contracts(call.connection, after=after[0], limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "slug")
    return Page(items=[_contract(each) for each in kept], next=cursor)


@router.post("/contracts", tags=["contracts"], status_code=201, responses=documented(409), response_model=Contract)
async def add_contract(
    call: WriteContracts, request: Request, body: NewContract, key: idempotency.Key = None
) -> Response:
    """Enter a contract; it applies to requests that are opened from then on."""

    async def work() -> Contract:
        new = contractbook.NewContract(**body.model_dump())
        return _contract(await contractbook.add_contract(call.connection, new))

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/contracts/{slug}", tags=["contracts"], responses=documented(404))
async def get_contract(call: ReadContracts, slug: SlugPath, response: Response) -> Contract:
    """One contract; its `ETag` is for `If-Match`."""
    found = await contractbook.find_contract(call.connection, slug)
    response.headers["ETag"] = etag(found.revision)
    return _contract(found)


@router.patch("/contracts/{slug}", tags=["contracts"], responses=documented(404, 412))
async def edit_contract(
    call: WriteContracts, slug: SlugPath, edit: ContractEdit, response: Response, if_match: IfMatch = None
) -> Contract:
    """Edit a contract; those that ended stay as they were.

    Its open requests are measured anew in the background: `to_measure` says how many are left.
    """
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await contractbook.edit_contract(call.connection, slug, changes, revisions=seen_revisions(if_match))
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return _contract(outcome)


@router.delete("/contracts/{slug}", tags=["contracts"], status_code=204, responses=documented(404, 409))
async def delete_contract(call: WriteContracts, slug: SlugPath) -> None:
    """Delete a contract under which nothing was opened."""
    await contractbook.delete_contract(call.connection, slug)


@router.get("/contracts/{slug}/applies-to", tags=["contracts"], responses=documented(404))
async def applies_to(call: ReadContracts, slug: SlugPath, query: Annotated[AppliesQuery, Query()]) -> Applies:
    """Whether a contract is the kit's: the nearest organisation's goes first, then its kit type's, its programme's."""
    contract = await contractbook.find_contract(call.connection, slug)
    found = await contractbook.contract_of_kit(call.connection, query.kit)
    applies = found.contract_id == contract.contract_id
    return Applies(contract=slug, kit=found.kit, applies=applies, instead=None if applies else found.contract)


@router.get("/statistics/sla", tags=["statistics"], responses=documented())
async def sla_statistics(call: ReadRequestStatistics, query: Annotated[FulfilmentQuery, Query()]) -> FulfilmentAnswer:
    """How contracts were fulfilled, by month of opening, contract and priority."""
    first, last = _months(query)
    found = await fulfilment.fulfilment(call.connection, first=first, last=last, contract=query.contract)
    return FulfilmentAnswer(items=[line_of(each) for each in found])


def _months(query: FulfilmentQuery) -> tuple[date, date]:
    last = date.fromisoformat(f"{query.month_to}-01") if query.month_to else datetime.now(UTC).date().replace(day=1)
    count = last.year * 12 + last.month - 1
    first = date.fromisoformat(f"{query.month_from}-01") if query.month_from else _month(count - 11)
    if not 0 <= count - (first.year * 12 + first.month - 1) < MOST_MONTHS:
        raise invalid("from", f"must be at most {MOST_MONTHS} months before `to`", place="query")
    return first, last


def _month(count: int) -> date:
    return date(count // 12, count % 12 + 1, 1)


def line_of(found: fulfilment.Fulfilment) -> Fulfilment:
    """A line with the share of promises kept."""
    names = Fulfilment.model_fields.keys() - {"solution_fulfilled"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    # What is open and not late yet says nothing about the promise.
    decided = found.solution_met + found.solution_late
    return Fulfilment(**values, solution_fulfilled=round(found.solution_met / decided, 4) if decided else None)


def _contract(found: contractbook.Contract) -> Contract:
    names = Contract.model_fields.keys() - {"targets", "escalations"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    return Contract(
        **values,
        targets=[ShownTarget(**each) for each in found.targets],
        escalations=[ShownEscalation(**each) for each in found.escalations],
    )
