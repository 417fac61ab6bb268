"""`visits`: somebody goes to a kit on a planned day; listed by day, planned, moved."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, Field

from fleet.access.roles import Permission
from fleet.alerts.visits import planning, steps, store
from fleet.alerts.visits.bringing import MAX_LINES, Bring
from fleet.alerts.visits.planning import Outcome
from fleet.alerts.visits.steps import WORK, Kind, NotAllowed, State
from fleet.alerts.visits.store import MAX_NOTE
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.orders import ModelId
from fleet.api.organisations import Slug
from fleet.api.problems import documented, invalid, step_not_allowed
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    GivenDay,
    GivenMoment,
    KitId,
    Moment,
    Number,
    NumberText,
    Page,
    PageQuery,
    decode_cursor,
    page,
)
from fleet.state.registry.editing import Outdated
from fleet.state.texts import CIVIL_NUMBER, looks_like_cpr

router = APIRouter(prefix=PREFIX, tags=["visits"])

ReadVisits = Annotated[Call, requires(Permission.VISITS_READ)]
WriteVisits = Annotated[Call, requires(Permission.VISITS_WRITE)]


def _no_civil_number(text: str) -> str:
    if looks_like_cpr(text):
        raise ValueError(CIVIL_NUMBER)
    return text


Crew = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", description="A code or account; no name", examples=["van-2"]),
    AfterValidator(_no_civil_number),
]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["08:00"])]
Note = Annotated[str, Field(max_length=MAX_NOTE)]
Failure = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$", examples=["nobody_home"])]
Receipt = Literal["citizen", "relative", "care_staff"]


class Visit(Answer):
    """A visit. `planned_on` and the window are Danish time; `due_on` is the last day within its target.

    The target are `target_days` Danish working days from `ordered_at`; `took_days` are those it took. `failure` is why
    it failed last; `receipt` is in which role somebody received or handed over the equipment.
    """

    number: str
    kind: Kind
    state: State
    kit: str | None
    placement_id: int | None
    organisation: str | None
    service_request: str | None
    urgent: bool
    ordered_at: Moment
    planned_on: date
    window_from: str | None
    window_to: str | None
    crew: str | None
    target_days: int
    due_on: date
    overdue: bool
    attempts: int
    failure: str | None
    started_at: Moment | None
    arrived_at: Moment | None
    ended_at: Moment | None
    done_on: date | None
    took_days: int | None
    instruction_given: bool | None
    receipt: Receipt | None
    old_equipment_taken: bool | None
    note: str
    ended_reason: str | None
    created_by: str
    created_at: Moment
    revision: int


class Line(Answer):
    """Something to bring: `name` is the model, the piece or the kit, `short` how many of it are not there yet.

    `reserved` is the state of its reservation, null where the stock is not yours to see.
    """

    id: int
    what: Literal["model", "component", "kit"]
    model_id: int | None
    name: str
    device: str | None
    quantity: int
    location: str | None
    reservation_id: int
    reserved: Literal["active", "fulfilled", "released"] | None
    short: int


class Attempt(Answer):
    """A time somebody went there in vain."""

    at: Moment
    failure: str
    planned_on: date
    crew: str | None
    note: str
    actor: str


class VisitDetail(Visit):
    """A visit with what to bring, how often it failed, what can be done with it, and what its kind asks at the end."""

    bring: list[Line]
    failures: list[Attempt]
    allowed_steps: list[State]
    asks: list[steps.Ask]


class BringBody(Body):
    """Something to bring: so many of a model from a location, a certain component, or a kit.

    `organisation` is whose stock of the model, that of the location when not given. `beyond_stock` says that more than
    is free now is meant.
    """

    model_id: ModelId | None = None
    location: Slug | None = None
    organisation: Slug | None = None
    quantity: Annotated[int, Field(ge=1, le=10_000)] = 1
    component_id: Number | None = None
    kit: KitId | None = None
    beyond_stock: bool = False

    def bring(self) -> Bring:
        """As the use case takes it."""
        return Bring(**self.model_dump())


class NewVisit(Body):
    """A visit to plan: to a kit, to a placement's home, or (a training) to an organisation.

    Its target counts from `ordered_at`, when it was asked for. What to bring is reserved until the planned day.
    """

    kind: Annotated[Kind, Field(strict=False)]
    planned_on: GivenDay
    kit: KitId | None = None
    placement_id: Number | None = None
    organisation: Slug | None = None
    service_request: NumberText | None = None
    urgent: bool = False
    ordered_at: GivenMoment | None = None
    window_from: TimeOfDay | None = None
    window_to: TimeOfDay | None = None
    crew: Crew | None = None
    note: Note = ""
    bring: Annotated[list[BringBody], Field(max_length=MAX_LINES)] = Field(default_factory=list)

    def new(self) -> planning.NewVisit:
        """As the use case takes it."""
        plain = self.model_dump(exclude={"bring"})
        return planning.NewVisit(**plain, bring=[each.bring() for each in self.bring])


class VisitEdit(Body):
    """What is edited; a field that is not sent stays. A new day plans again what failed, and moves its reservations."""

    planned_on: GivenDay | None = None
    window_from: TimeOfDay | None = None
    window_to: TimeOfDay | None = None
    crew: Crew | None = None
    urgent: bool = False
    note: Note = ""
    kit: KitId | None = None
    placement_id: Number | None = None


class VisitQuery(PageQuery):
    """Filters of visits; the days are planned days, both included. `overdue` are those past their target."""

    state: State | None = None
    kind: Kind | None = None
    kit: KitId | None = None
    placement_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    organisation: Slug | None = None
    crew: Crew | None = None
    day_from: date | None = None
    day_to: date | None = None
    service_request: NumberText | None = None
    overdue: bool | None = None


@router.get("/visits", responses=documented())
async def list_visits(call: ReadVisits, query: Annotated[VisitQuery, Query()]) -> Page[Visit]:
    """Visits by planned day."""
    chosen = query.model_dump(include=set(store.FILTERS))
    found = await store.list_visits(call.connection, after=_after(query.cursor), limit=query.limit + 1, **chosen)
    kept, cursor = page(found, query.limit, "day", "visit_id")
    return Page(items=[visit_of(each) for each in kept], next=cursor)


@router.post("/visits", status_code=201, responses=documented(409), response_model=VisitDetail)
async def plan_visit(call: WriteVisits, request: Request, body: NewVisit, key: idempotency.Key = None) -> Response:
    """Plan a visit and reserve what to bring; what is not free is refused."""

    async def work() -> VisitDetail:
        return await detail_of(call, await planning.plan(call.connection, body.new(), by=call.principal))

    return await idempotency.once(request, call, key, work, status=201, headers=tagged)


@router.get("/visits/{number}", responses=documented(404))
async def get_visit(call: ReadVisits, number: NumberText, response: Response) -> VisitDetail:
    """One visit; its `ETag` is for `If-Match`."""
    found = await detail_of(call, await store.find_visit(call.connection, number))
    response.headers["ETag"] = etag(found.revision)
    return found


@router.patch("/visits/{number}", responses=documented(404, 409, 412))
async def change_visit(
    call: WriteVisits, number: NumberText, edit: VisitEdit, response: Response, if_match: IfMatch = None
) -> VisitDetail:
    """Move it, give it to another crew, or plan again what failed."""
    changes = edit.model_dump(include=edit.model_fields_set)
    revisions = seen_revisions(if_match)
    outcome = await planning.change(call.connection, number, changes, by=call.principal, revisions=revisions)
    found = await detail_of(call, done(outcome))
    response.headers["ETag"] = etag(found.revision)
    return found


def done(outcome: Outcome) -> store.Visit:
    """The visit when it was done; raises the problem otherwise."""
    match outcome:
        case Outdated():
            raise stale(outcome.revision)
        case NotAllowed():
            raise step_not_allowed("visit", outcome.state, outcome.wanted, outcome.allowed)
    return outcome


def visit_of(found: store.Visit) -> Visit:
    """As it is answered."""
    values: dict[str, Any] = {name: getattr(found, name) for name in Visit.model_fields}
    return Visit(**values)


async def detail_of(call: Call, found: store.Visit) -> VisitDetail:
    """A visit with everything about it."""
    lines = [
        line_of(each, await store.shortage(call.connection, each))
        for each in await store.lines_of(call.connection, [found.visit_id])
    ]
    roles = found.roles(call.principal) if call.principal.may(Permission.VISITS_WRITE) else frozenset()
    attempts = await store.attempts_of(call.connection, found.visit_id)
    return VisitDetail(
        **visit_of(found).model_dump(),
        bring=lines,
        failures=[Attempt.model_validate(each) for each in attempts],
        allowed_steps=[State(each) for each in steps.allowed(found.state, roles)],
        asks=list(WORK[Kind(found.kind)].asks),
    )


def line_of(found: store.Line, short: int) -> Line:
    """As it is answered."""
    names = Line.model_fields.keys() - {"id", "reserved", "short"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    return Line(id=found.line_id, reserved=found.reservation_state, short=short, **values)


def tagged(body: Any) -> dict[str, str]:
    """The tag of a visit's answer."""
    return {"ETag": etag(body["revision"])}


def _after(cursor: str | None) -> tuple[date, int]:
    values = decode_cursor(cursor, str, int)
    if values is None:
        return store.FIRST_DAY, 0
    try:
        return date.fromisoformat(values[0]), values[1]
    except ValueError:
        raise invalid("cursor", "is not one that this list gave", place="query") from None
