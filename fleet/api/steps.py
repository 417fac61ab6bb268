"""Steps of kits and components, swaps and moves; what stands in the way of one is told item by item."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from fleet.access import organisations
from fleet.access.roles import Permission
from fleet.api import components, idempotency
from fleet.api.auth import Call, MoveKits, ReadKits, requires
from fleet.api.etags import etag
from fleet.api.kitdetail import KitDetail, State, kit_detail
from fleet.api.organisations import Slug
from fleet.api.problems import ProblemError, documented, step_not_allowed
from fleet.api.shapes import PREFIX, Answer, Body, GivenMoment, KitPath, Line, Number, NumberPath
from fleet.state.ledger import assigning, moves, options, steps, swaps
from fleet.state.ledger.guards import Unmet, UnmetCode
from fleet.state.ledger.steps import Blocked, ComponentStep, KitStep, Taken
from fleet.state.ledger.swaps import Swap
from fleet.state.ledger.wording import danish, english
from fleet.state.lifecycle import ComponentState, Guard, KitState, NotAllowed
from fleet.state.registry.components import find_component

router = APIRouter(prefix=PREFIX)

MoveComponents = Annotated[Call, requires(Permission.COMPONENTS_MOVE)]
WriteComponents = Annotated[Call, requires(Permission.COMPONENTS_WRITE)]
Happened = Annotated[GivenMoment | None, Field(description="When it happened, where that is told afterwards")]
Override = Annotated[bool, Field(description="Take it although guards are not met; needs a reason and a role that may")]
OutState = Literal[
    "in_stock", "faulty", "cleaning", "calibrating", "in_repair", "at_supplier", "scrapped", "lost", "returned"
]


class TransitionBody(Body):
    """A step of a kit's life; scrapping, losing and returning need a `reason`.

    With a `placement` the kit is in that home; an installation without a word goes to the one planned for the kit.
    """

    to: State
    location: Line | None = None
    placement: Number | None = None
    reason: Line | None = None
    occurred_at: Happened = None
    arrived_at: Annotated[
        GivenMoment | None, Field(description="When it came to where it is installed: what is heard later is its proof")
    ] = None
    override: Override = False
    with_components: bool = Field(False, description="The pieces in it go the same way (scrapped, returned)")


class ComponentTransitionBody(Body):
    """A step of a component's life; one in a kit comes out by it unless it only breaks or is mended there."""

    to: components.State
    location: Line | None = None
    reason: Line | None = None
    occurred_at: Happened = None
    override: Override = False


class SwapBody(Body):
    """Components by number: one goes in, one comes out and is `state` then, or both in one event."""

    incoming: Number | None = None
    outgoing: Number | None = None
    state: OutState | None = None
    location: Line | None = None
    reason: Line | None = None
    occurred_at: Happened = None
    override: Override = False


class KitMoveBody(Body):
    """Where a kit is, without a step: a location, or the home of a placement at which it arrived."""

    location: Line | None = None
    placement: Number | None = None
    reason: Line | None = None
    occurred_at: Happened = None


class MoveBody(Body):
    """Where a component is, without a step."""

    location: Line
    reason: Line | None = None
    occurred_at: Happened = None


class AssignmentBody(Body):
    """Whose a component is from now on: responsible for it, and who bought it (as before when not sent)."""

    organisation: Slug | None
    owner: Slug | None = None
    reason: Line | None = None


class Assignment(Answer):
    """Whose a component is now; the caller may no longer see it."""

    id: int
    organisation: str | None
    owner: str | None


class Missing(Answer):
    """One thing that stands in the way; the members of `facts` depend on `code`."""

    guard: Guard
    code: UnmetCode
    detail: str
    detail_da: str
    facts: dict[str, Any]


class Option(Answer):
    """A step that the caller may take, with what it asks for; `unmet` stands in its way now."""

    to: State
    required: list[str]
    guards: list[Guard]
    unmet: list[Missing]
    overridable: bool


class Options(Answer):
    """What can be done with a kit; a form is made of it."""

    items: list[Option]


@router.get("/kits/{kit}/steps", tags=["kits"], responses=documented(404, 409))
async def list_steps(call: ReadKits, kit: KitPath) -> Options:
    """The steps a kit has for the caller, what each asks for and what stands in its way."""
    found = await options.kit_options(call.connection, kit, by=call.principal)
    return Options(
        items=[
            Option(
                to=each.to.value,
                required=sorted(each.required),
                guards=list(each.guards),
                unmet=[missing(item) for item in each.unmet],
                overridable=each.overridable,
            )
            for each in found
        ]
    )


@router.post("/kits/{kit}/transitions", tags=["kits"], response_model=KitDetail, responses=documented(404, 409))
async def move_kit(
    call: MoveKits, request: Request, kit: KitPath, body: TransitionBody, key: idempotency.Key = None
) -> Response:
    """Take a step of the lifecycle; 409 tells the steps that are allowed, or each guard that is not met."""

    async def work() -> KitDetail:
        step = KitStep(**{**body.model_dump(), "to": KitState(body.to)})
        taken("kit", await steps.take_kit_step(call.connection, kit, step, by=call.principal))
        return await kit_detail(call, kit)

    return await idempotency.once(request, call, key, work, headers=_tagged, once_only="placement")


@router.post("/kits/{kit}/swaps", tags=["kits"], response_model=KitDetail, responses=documented(404, 409))
async def swap(
    call: MoveComponents, request: Request, kit: KitPath, body: SwapBody, key: idempotency.Key = None
) -> Response:
    """Put a piece into a kit, take one out, or both in one event."""

    async def work() -> KitDetail:
        values = {**body.model_dump(), "state": None if body.state is None else ComponentState(body.state)}
        taken("component", await swaps.swap(call.connection, kit, Swap(**values), by=call.principal))
        return await kit_detail(call, kit)

    return await idempotency.once(request, call, key, work, headers=_tagged, once_only="placement")


@router.post("/kits/{kit}/moves", tags=["kits"], response_model=KitDetail, responses=documented(404, 409))
async def locate_kit(
    call: MoveKits, request: Request, kit: KitPath, body: KitMoveBody, key: idempotency.Key = None
) -> Response:
    """Say where a kit is, without a step: at a location, or arrived in the home of a placement."""

    async def work() -> KitDetail:
        await moves.move_kit(call.connection, kit, by=call.principal, **body.model_dump())
        return await kit_detail(call, kit)

    return await idempotency.once(request, call, key, work, headers=_tagged, once_only="placement")


@router.post(
    "/components/{id}/transitions",
    tags=["components"],
    response_model=components.Component,
    responses=documented(404, 409),
)
async def move_component(
    call: MoveComponents, request: Request, id: NumberPath, body: ComponentTransitionBody, key: idempotency.Key = None
) -> Response:
    """Take a step of a component's life; 409 tells the steps that are allowed, or each guard that is not met."""

    async def work() -> components.Component:
        step = ComponentStep(**{**body.model_dump(), "to": ComponentState(body.to)})
        taken("component", await steps.take_component_step(call.connection, id, step, by=call.principal))
        return components.component(await find_component(call.connection, id))

    return await idempotency.once(request, call, key, work, headers=_tagged)


@router.post(
    "/components/{id}/moves", tags=["components"], response_model=components.Component, responses=documented(404, 409)
)
async def locate_component(
    call: MoveComponents, request: Request, id: NumberPath, body: MoveBody, key: idempotency.Key = None
) -> Response:
    """Say where a component is, without a step; one in a kit is where the kit is."""

    async def work() -> components.Component:
        await moves.move_component(call.connection, id, by=call.principal, **body.model_dump())
        return components.component(await find_component(call.connection, id))

    return await idempotency.once(request, call, key, work, headers=_tagged)


@router.post(
    "/components/{id}/assignments", tags=["components"], response_model=Assignment, responses=documented(404, 409)
)
async def assign_component(
    call: WriteComponents, request: Request, id: NumberPath, body: AssignmentBody, key: idempotency.Key = None
) -> Response:
    """Give a component to another organisation; it takes its future along and leaves its past. Twice is once."""

    async def work() -> Assignment:
        found = await find_component(call.connection, id)
        owner = body.owner if "owner" in body.model_fields_set else found.owner
        await assigning.assign_component(
            call.connection,
            id,
            organisation_id=await organisations.id_of(call.connection, body.organisation),
            owner_id=await organisations.id_of(call.connection, owner, field="owner"),
            by=call.principal,
            reason=body.reason,
        )
        return Assignment(id=id, organisation=body.organisation, owner=owner)

    return await idempotency.once(request, call, key, work)


def taken(what: str, outcome: Taken | Blocked | NotAllowed) -> Taken:
    """The outcome when the step was taken; raises the problem otherwise."""
    match outcome:
        case NotAllowed():
            raise step_not_allowed(what, outcome.source, outcome.target, outcome.allowed)
        case Blocked():
            raise guards_not_met(outcome)
    return outcome


def guards_not_met(outcome: Blocked) -> ProblemError:
    """409 that tells each thing that is missing."""
    detail = "; ".join(english(each) for each in outcome.unmet)
    unmet = [missing(each).model_dump(mode="json") for each in outcome.unmet]
    more = {"unmet": unmet, "overridable": outcome.overridable}
    return ProblemError(HTTPStatus.CONFLICT, "guards-not-met", detail, more=more)


def missing(unmet: Unmet) -> Missing:
    """As it is answered."""
    told = {"detail": english(unmet), "detail_da": danish(unmet)}
    return Missing(guard=unmet.guard, code=unmet.code, facts=dict(unmet.facts), **told)


def _tagged(body: Mapping[str, Any]) -> dict[str, str]:
    return {"ETag": etag(body["revision"])}
