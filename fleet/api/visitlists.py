"""`visit-failures` and `visit-settings`: why visits fail, by when they are to be done; and `statistics/visits`."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.visits import lists
from fleet.alerts.visits.lists import FailureReason
from fleet.alerts.visits.steps import Kind
from fleet.api import idempotency
from fleet.api.auth import Call, requires
from fleet.api.billing import Month
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug, SlugPath
from fleet.api.problems import documented, invalid
from fleet.api.shapes import PREFIX, Answer, Body, Line, Page, PageQuery, Title, decode_cursor, page
from fleet.api.shapes import Query as QueryFields
from fleet.api.visits import Failure, ReadVisits
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["visits"])

ReadContracts = Annotated[Call, requires(Permission.CONTRACTS_READ)]
WriteContracts = Annotated[Call, requires(Permission.CONTRACTS_WRITE)]
Days = Annotated[int, Field(ge=0, le=250)]
Name = Annotated[Line, Field(min_length=1)]
MOST_MONTHS = 36


class VisitFailure(Answer):
    """Why a visit may fail; one that is not `active` is not chosen any more."""

    failure: str
    title: Title
    active: bool
    revision: int


class FailureTitle(Body):
    """A text in the languages of the console."""

    en: Name
    da: Name


class FailureEdit(Body):
    """What is edited; a field that is not sent stays."""

    title: FailureTitle | None = None
    active: bool = True


class NewFailure(FailureEdit):
    """A line of the list."""

    failure: Failure
    title: FailureTitle


class FailureQuery(PageQuery):
    """Which lines of the list."""

    active: bool | None = None


class VisitSettings(Answer):
    """Within how many working days of the order a visit is to be done, where no contract says otherwise."""

    working_days: int
    urgent_days: int
    revision: int


class VisitSettingsEdit(Body):
    """What is edited; a field that is not sent stays. Visits that are planned already keep their targets."""

    working_days: Days = 12
    urgent_days: Days = 2


class ContractVisits(Answer):
    """What a contract says of that; null as for all."""

    slug: str
    working_days: int | None
    urgent_days: int | None
    revision: int


class ContractVisitsEdit(Body):
    """What is edited; a field that is not sent stays."""

    working_days: Days | None = None
    urgent_days: Days | None = None


class VisitFigures(Answer):
    """Visits of a kind done in a month for an organisation, and how often somebody came in vain, by reason.

    `within_target_share` is that of those done, without those `entered_afterwards`, `median_days` in working days from
    the order, `visits_per_kit` how often each kit that was visited was visited.
    """

    month: str
    kind: Kind
    organisation: str | None
    done: int
    within_target: int
    entered_afterwards: int
    within_target_share: float | None
    median_days: float | None
    kits: int
    visits_per_kit: float | None
    failed: int
    failures: dict[str, int]


class VisitStatistics(Answer):
    """Lines by month, kind and organisation."""

    items: list[VisitFigures]


class StatisticsQuery(QueryFields):
    """Which months, both included; the last twelve when nothing is said."""

    month_from: Month | None = Field(None, alias="from")
    month_to: Month | None = Field(None, alias="to")
    kind: Kind | None = None
    organisation: Slug | None = None


@router.get("/visit-failures", responses=documented())
async def list_failures(call: ReadVisits, query: Annotated[FailureQuery, Query()]) -> Page[VisitFailure]:
    """Reasons by name."""
    after = decode_cursor(query.cursor, str) or ("",)
    found = await lists.failures(call.connection, after=after[0], limit=query.limit + 1, active=query.active)
    kept, cursor = page(found, query.limit, "failure")
    return Page(items=[_failure(each) for each in kept], next=cursor)


@router.post("/visit-failures", status_code=201, responses=documented(409), response_model=VisitFailure)
async def add_failure(
    call: WriteContracts, request: Request, body: NewFailure, key: idempotency.Key = None
) -> Response:
    """A new reason; the list is the same for the whole installation."""

    async def work() -> VisitFailure:
        return _failure(await lists.add_failure(call.connection, _flat(body, set(NewFailure.model_fields))))

    return await idempotency.once(request, call, key, work, status=201)


@router.patch("/visit-failures/{failure}", responses=documented(404, 412))
async def edit_failure(
    call: WriteContracts, failure: Failure, edit: FailureEdit, response: Response, if_match: IfMatch = None
) -> VisitFailure:
    """Another text, or out of use."""
    changes, revisions = _flat(edit, edit.model_fields_set), seen_revisions(if_match)
    outcome = await lists.edit_failure(call.connection, failure, changes, revisions=revisions)
    return _failure(_tagged(outcome, response))


@router.get("/visit-settings", responses=documented())
async def get_settings(call: ReadVisits, response: Response) -> VisitSettings:
    """The targets for all; the `ETag` is for `If-Match`."""
    return VisitSettings.model_validate(_tagged(await lists.settings(call.connection), response))


@router.patch("/visit-settings", responses=documented(412))
async def set_settings(
    call: WriteContracts, edit: VisitSettingsEdit, response: Response, if_match: IfMatch = None
) -> VisitSettings:
    """Other targets, for visits that are planned from now on."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await lists.set_settings(call.connection, changes, revisions=seen_revisions(if_match))
    return VisitSettings.model_validate(_tagged(outcome, response))


@router.get("/contracts/{slug}/visit-targets", responses=documented(404))
async def get_contract_targets(call: ReadContracts, slug: SlugPath, response: Response) -> ContractVisits:
    """Within how many working days a contract wants visits done; the `ETag` is the contract's."""
    return ContractVisits.model_validate(_tagged(await lists.contract_target(call.connection, slug), response))


@router.patch("/contracts/{slug}/visit-targets", responses=documented(404, 412))
async def set_contract_targets(
    call: WriteContracts, slug: SlugPath, edit: ContractVisitsEdit, response: Response, if_match: IfMatch = None
) -> ContractVisits:
    """Other targets of a contract, for visits that are planned from now on."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await lists.set_contract_target(call.connection, slug, changes, revisions=seen_revisions(if_match))
    return ContractVisits.model_validate(_tagged(outcome, response))


@router.get("/statistics/visits", tags=["statistics"], responses=documented())
async def visit_statistics(call: ReadVisits, query: Annotated[StatisticsQuery, Query()]) -> VisitStatistics:
    """What was done in which time, and what failed why, by month, kind and organisation."""
    first, last = _days(query)
    found = await lists.statistics(
        call.connection, first=first, last=last, kind=query.kind, organisation=query.organisation
    )
    return VisitStatistics(items=[_figures(each) for each in found])


def _days(query: StatisticsQuery) -> tuple[date, date]:
    """The first and the last day of the months that are asked for."""
    to = date.fromisoformat(f"{query.month_to}-01") if query.month_to else datetime.now(UTC).date().replace(day=1)
    count = to.year * 12 + to.month - 1
    first = date.fromisoformat(f"{query.month_from}-01") if query.month_from else _month(count - 11)
    if not 0 <= count - (first.year * 12 + first.month - 1) < MOST_MONTHS:
        raise invalid("from", f"must be at most {MOST_MONTHS} months before `to`", place="query")
    return first, _month(count + 1) - timedelta(days=1)


def _month(count: int) -> date:
    return date(count // 12, count % 12 + 1, 1)


def _figures(found: lists.Figures) -> VisitFigures:
    names = VisitFigures.model_fields.keys() - {"within_target_share", "visits_per_kit"}
    values: dict[str, Any] = {name: getattr(found, name) for name in names}
    measured = found.done - found.entered_afterwards
    return VisitFigures(
        **values,
        within_target_share=round(found.within_target / measured, 4) if measured else None,
        visits_per_kit=round(found.done / found.kits, 2) if found.kits else None,
    )


def _tagged(outcome: Any, response: Response) -> Any:
    """What was found or changed, with its tag in the answer; raises the problem when somebody was faster."""
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    response.headers["ETag"] = etag(outcome.revision)
    return outcome


def _flat(body: Body, given: set[str]) -> dict[str, Any]:
    values = body.model_dump(include=given)
    title = values.pop("title", None)
    return values if title is None else {**values, "title_en": title["en"], "title_da": title["da"]}


def _failure(found: FailureReason) -> VisitFailure:
    title = Title(en=found.title_en, da=found.title_da)
    return VisitFailure(failure=found.failure, title=title, active=found.active, revision=found.revision)
