"""`bulk-transitions`: hundreds of steps in one request, all or none or each by itself, told as they are done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, model_validator

from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.api import components, idempotency
from fleet.api.auth import Call, RequiresBriefly, acting
from fleet.api.kitdetail import State
from fleet.api.problems import EXPECTED, ProblemBody, ProblemError, documented, invalid, to_problem
from fleet.api.shapes import PREFIX, Answer, Body, GivenMoment, KitId, Line, Number
from fleet.api.steps import Missing, missing
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.ledger import bulk
from fleet.state.ledger.bulk import Item, Outcome
from fleet.state.ledger.steps import Blocked, ComponentStep, KitStep, Taken
from fleet.state.lifecycle import ComponentState, KitState, NotAllowed

router = APIRouter(prefix=PREFIX)

MEDIA_TYPE = "application/x-ndjson"
MoveBriefly = Annotated[Principal, Depends(RequiresBriefly(Permission.KITS_MOVE))]
Code = Literal["invalid", "not_found", "forbidden", "conflict", "not_allowed", "guards_not_met"]


class BulkItem(Body):
    """A step of a kit or of a component, as at their `transitions`."""

    kit: KitId | None = None
    component: Number | None = None
    to: State | components.State
    location: Line | None = None
    reason: Line | None = None
    occurred_at: GivenMoment | None = None
    override: bool = False

    @model_validator(mode="after")
    def _one_subject(self) -> BulkItem:
        if (self.kit is None) == (self.component is None):
            raise ValueError("name a kit or a component")
        states = {state.value for state in (KitState if self.kit is not None else ComponentState)}
        if self.to not in states:
            raise ValueError(f"to: {self.to!r} is none of {', '.join(sorted(states))}")
        return self


class BulkBody(Body):
    """Steps to take; `all_or_nothing` takes none when one is refused, `itemised` those that can be taken."""

    mode: Literal["all_or_nothing", "itemised"]
    dry_run: bool = Field(False, description="Only say what would become of each")
    items: Annotated[list[BulkItem], Field(min_length=1, max_length=bulk.MAX_ITEMS)]


class BulkOutcome(Answer):
    """What became of the item at `index`: `possible` where it could be taken and nothing was kept.

    A refused one says why by `code` and `detail`; with the steps that are `allowed`, or the guards that are `unmet`.
    """

    index: int
    kit: str | None
    component: int | None
    outcome: Literal["done", "possible", "refused"]
    from_state: str | None = None
    to_state: str | None = None
    event_ids: list[int] = Field(default_factory=list)
    code: Code | None = None
    detail: str | None = None
    allowed: list[str] | None = None
    unmet: list[Missing] | None = None
    overridable: bool | None = None


class BulkReport(Answer):
    """All outcomes, in the order asked; `kept` when what was done stands in the books."""

    mode: Literal["all_or_nothing", "itemised"]
    dry_run: bool
    kept: bool
    taken: int
    refused: int
    items: list[BulkOutcome]


class BulkSummary(Answer):
    """The last line of a stream."""

    type: Literal["summary"] = "summary"
    mode: Literal["all_or_nothing", "itemised"]
    dry_run: bool
    kept: bool
    taken: int
    refused: int


_STREAM = {
    "description": "The outcomes; as NDJSON, where `Accept` asks for it, one line with `type` `item` for each as it is"
    " done (a few at a time are stored), then one of `type` `summary`, or `problem` where it could not go on",
    "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
}


@router.post(
    "/bulk-transitions",
    tags=["kits"],
    response_model=BulkReport,
    responses={200: _STREAM, **documented(409)},
)
async def bulk_transitions(
    principal: MoveBriefly, request: Request, body: BulkBody, key: idempotency.Key = None
) -> Any:
    """Take many steps; 409 when all or nothing was asked and one is refused, with every outcome in `items`."""
    items = [_item(index, each) for index, each in enumerate(body.items)]
    run = _Run(request, principal, body, items)
    if MEDIA_TYPE in request.headers.get("accept", ""):
        if key is not None:
            raise invalid("Idempotency-Key", "goes with the JSON answer, not with a stream", place="header")
        return StreamingResponse(run.lines(), media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
    return await run.report(key)


class _Run:
    """One request's steps, and what became of them so far."""

    def __init__(self, request: Request, principal: Principal, body: BulkBody, items: Sequence[Item]) -> None:
        self.request, self.principal, self.body, self.items = request, principal, body, items
        self.scope = principal.scope(Permission.KITS_MOVE)
        self.itemised = body.mode == "itemised"
        self.outcomes: list[Outcome] = []
        self.told: asyncio.Queue[BaseModel | None] = asyncio.Queue()

    async def report(self, key: str | None) -> Response:
        """Everything in one transaction and one answer."""
        async with acting(self.request, self.principal, self.scope) as connection:

            async def work() -> BulkReport:
                kept = await self._take(connection, self.items, self.outcomes.append)
                made = BulkReport(**self._counted(kept), items=self._answers(self.outcomes, kept=kept))
                if not kept and not self.body.dry_run:
                    raise _refused(made)
                return made

            return await idempotency.once(self.request, Call(connection, self.principal), key, work)

    async def lines(self) -> AsyncIterator[str]:
        """One line for each outcome, as it is known; the steps never wait for whoever reads."""
        task = asyncio.create_task(self._stream(), name="bulk")
        try:
            while (line := await self.told.get()) is not None:
                yield line.model_dump_json(exclude_none=True) + "\n"
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _stream(self) -> None:
        try:
            kept = await (self._by_chunks() if self.itemised and not self.body.dry_run else self._at_once())
            self.told.put_nowait(BulkSummary(**self._counted(kept)))
        except EXPECTED as error:
            problem = to_problem(error)
            told = {"title": problem.status.phrase, "status": problem.status.value, "detail": problem.detail}
            self.told.put_nowait(ProblemBody(type="problem", **told))
        finally:
            self.told.put_nowait(None)

    async def _by_chunks(self) -> bool:
        """A chunk is stored before it is told, so that what was told is done."""
        async with acting(self.request, self.principal, self.scope) as connection:
            chunks = await bulk.chunks(connection, self.items)
        for chunk in chunks:
            found: list[Outcome] = []
            async with acting(self.request, self.principal, self.scope) as connection:
                await self._take(connection, chunk, found.append)
            self.outcomes += found
            for outcome in found:
                self.told.put_nowait(_Line(**self._answer(outcome, kept=True)))
        return True

    async def _at_once(self) -> bool:
        def tell(outcome: Outcome) -> None:
            self.outcomes.append(outcome)
            self.told.put_nowait(_Line(**self._answer(outcome, kept=False)))

        async with acting(self.request, self.principal, self.scope) as connection:
            return await self._take(connection, self.items, tell)

    async def _take(self, connection: Any, items: Sequence[Item], tell: bulk.Tell) -> bool:
        how = {"itemised": self.itemised, "dry_run": self.body.dry_run}
        return await bulk.take_together(connection, items, by=self.principal, tell=tell, **how)

    def _counted(self, kept: bool) -> dict[str, Any]:
        refused = sum(each.refused for each in self.outcomes)
        how = {"mode": self.body.mode, "dry_run": self.body.dry_run, "kept": kept}
        return {**how, "taken": len(self.outcomes) - refused if kept else 0, "refused": refused}

    def _answers(self, outcomes: Sequence[Outcome], *, kept: bool) -> list[BulkOutcome]:
        ordered = sorted(outcomes, key=lambda each: each.index)
        return [BulkOutcome(**self._answer(each, kept=kept)) for each in ordered]

    def _answer(self, outcome: Outcome, *, kept: bool) -> dict[str, Any]:
        asked = self.body.items[outcome.index]
        about = {"index": outcome.index, "kit": asked.kit, "component": asked.component}
        if isinstance(outcome.result, Taken):
            taken = {"from_state": outcome.result.from_state, "to_state": outcome.result.to_state}
            events = list(outcome.result.event_ids) if kept else []
            return {**about, **taken, "outcome": "done" if kept else "possible", "event_ids": events}
        return {**about, "outcome": "refused", **_why(outcome.result)}


class _Line(BulkOutcome):
    """An outcome as a line of a stream."""

    type: Literal["item"] = "item"


def _item(index: int, body: BulkItem) -> Item:
    values = body.model_dump(include={"location", "reason", "occurred_at", "override"})
    if body.kit is not None:
        return Item(index, body.kit, KitStep(KitState(body.to), **values))
    return Item(index, body.component or 0, ComponentStep(ComponentState(body.to), **values))


def _why(refusal: bulk.Refusal) -> dict[str, Any]:
    detail = bulk.why(refusal)
    match refusal:
        case Blocked():
            unmet = [missing(each) for each in refusal.unmet]
            return {"code": "guards_not_met", "detail": detail, "unmet": unmet, "overridable": refusal.overridable}
        case NotAllowed():
            return {"code": "not_allowed", "detail": detail, "allowed": list(refusal.allowed)}
    return {"code": _CODES[type(refusal)], "detail": detail}


_CODES: dict[type[Exception], Code] = {
    InvalidError: "invalid",
    NotFoundError: "not_found",
    ForbiddenError: "forbidden",
    ConflictError: "conflict",
}


def _refused(report: BulkReport) -> ProblemError:
    detail = f"{report.refused} of {len(report.items)} steps are refused, so none was taken"
    more = report.model_dump(mode="json", exclude_none=True)
    return ProblemError(HTTPStatus.CONFLICT, "bulk-refused", detail, more=more)
