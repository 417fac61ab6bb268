"""`rules`: what the worker watches for, how it is set for all and otherwise for some, and every change of that."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from fleet.access.roles import Permission
from fleet.alerts.judging import editing
from fleet.alerts.judging.catalogue import CATALOGUE
from fleet.alerts.judging.editing import RuleRow, VariantRow, VersionRow
from fleet.alerts.rules import RuleName
from fleet.api import idempotency
from fleet.api.auth import Call, ReadAlerts, requires
from fleet.api.etags import IfMatch, etag, seen_revisions, stale
from fleet.api.organisations import Slug
from fleet.api.problems import documented
from fleet.api.shapes import (
    PREFIX,
    Answer,
    Body,
    Line,
    Moment,
    Page,
    PageQuery,
    Priority,
    Severity,
    SupportLine,
    Title,
    decode_cursor,
    page,
)
from fleet.state.registry.editing import Outdated

router = APIRouter(prefix=PREFIX, tags=["rules"])

WriteRules = Annotated[Call, requires(Permission.RULES_WRITE)]
RulePath = Annotated[str, Path(pattern=r"^[a-z][a-z_]{0,62}$", examples=["storage_low"])]
VariantPath = Annotated[int, Path(ge=1, le=2**31 - 1)]
Delay = Annotated[float, Field(ge=0, le=90 * 86_400)]
Parameters = Annotated[dict[str, float | int], Field(max_length=20)]
Word = Annotated[Line, Field(min_length=1, max_length=200)]
Source = Literal["clock", "heartbeat", "report", "books"]


class ParameterInfo(Answer):
    """A parameter of a rule: its unit, its bounds, what it is where nobody set it."""

    name: str
    unit: str
    least: float
    most: float
    default: float
    text: Title


class Rule(Answer):
    """What is watched for; the delays are seconds. `source` is what brings it about."""

    rule: str
    source: Source
    severity: Severity
    line: SupportLine
    priority: Priority
    for_s: float = Field(description="How long it must hold before an alert opens")
    keep_firing_for_s: float = Field(description="How long it must be gone before the alert clears")
    enabled: bool
    parameters: dict[str, float]
    parameter_info: list[ParameterInfo]
    flap_openings: int = Field(description="With so many openings within `flap_window_s` an alert is flapping")
    flap_window_s: float
    flap_quiet_s: float
    title: Title
    meaning: Title
    advice: Title
    variants: int = Field(description="How many variants of it the caller sees")
    version: int = Field(description="Number of the newest change; 0 before the first")


class RuleEdit(Body):
    """What people edit; a field that is not sent stays. With another severity goes its priority, if not sent too."""

    severity: Severity | None = None
    line: SupportLine | None = None
    priority: Priority | None = None
    for_s: Delay | None = None
    keep_firing_for_s: Delay | None = None
    enabled: bool | None = None
    parameters: Parameters | None = None
    flap_openings: Annotated[int, Field(ge=2, le=1000)] | None = None
    flap_window_s: Annotated[float, Field(ge=60, le=31 * 86_400)] | None = None
    flap_quiet_s: Annotated[float, Field(ge=0, le=31 * 86_400)] | None = None


class VariantFields(Body):
    """What is set otherwise; null is as without the variant. How often a kit should be heard is set with the kit."""

    severity: Severity | None = None
    line: SupportLine | None = None
    for_s: Delay | None = None
    keep_firing_for_s: Delay | None = None
    enabled: bool | None = None
    parameters: Parameters | None = None
    note: Annotated[Line, Field(max_length=1000)] | None = None


class NewVariant(VariantFields):
    """For which kits: an organisation with all below it, and/or one of programme, kit type, model of a piece.

    Of several that apply the more specific says more: model, kit type, programme, organisation only; alike, the deeper
    organisation.
    """

    organisation: Slug | None = None
    programme: Word | None = None
    kit_type: Word | None = None
    model_id: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class Variant(Answer):
    """Other settings of a rule for some kits."""

    id: int
    rule: str
    organisation: str | None
    programme: str | None
    kit_type: str | None
    model_id: int | None
    severity: Severity | None
    line: SupportLine | None
    for_s: float | None
    keep_firing_for_s: float | None
    enabled: bool | None
    parameters: dict[str, float]
    note: str
    version: int
    created_at: Moment
    updated_at: Moment


class Version(Answer):
    """One change of a rule, or of the variant `variant`; an alert's `rule_version` is such a number."""

    id: int
    variant: int | None
    organisation: str | None
    at: Moment
    actor: str
    what: Literal["created", "changed", "removed"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@router.get("/rules", responses=documented())
async def list_rules(call: ReadAlerts, query: Annotated[PageQuery, Query()]) -> Page[Rule]:
    """What the worker watches for."""
    after = decode_cursor(query.cursor, str) or ("",)
    found = await editing.list_rules(call.connection, after=after[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "rule")
    return Page(items=[shown(each) for each in kept], next=cursor)


@router.get("/rules/{rule}", responses=documented(404))
async def get_rule(call: ReadAlerts, rule: RulePath, response: Response) -> Rule:
    """One rule; its `ETag` is for `If-Match`."""
    return _tagged(await editing.find_rule(call.connection, rule), response)


@router.patch("/rules/{rule}", responses=documented(404, 412))
async def edit_rule(
    call: WriteRules, rule: RulePath, edit: RuleEdit, response: Response, if_match: IfMatch = None
) -> Rule:
    """Change a rule for all; the kits it is for are looked at again. For who is bound to no organisation."""
    changes = {name: value for name, value in edit.model_dump(exclude_unset=True).items() if value is not None}
    outcome = await editing.edit_rule(
        call.connection, rule, changes, actor=call.principal.actor, revisions=seen_revisions(if_match)
    )
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    return _tagged(outcome, response)


@router.get("/rules/{rule}/variants", responses=documented(404))
async def list_variants(call: ReadAlerts, rule: RulePath, query: Annotated[PageQuery, Query()]) -> Page[Variant]:
    """Variants of a rule by number."""
    await editing.find_rule(call.connection, rule)
    after = decode_cursor(query.cursor, int) or (0,)
    found = await editing.list_variants(call.connection, rule, after=after[0], limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "variant_id")
    return Page(items=[_variant(each) for each in kept], next=cursor)


@router.post("/rules/{rule}/variants", status_code=201, responses=documented(404, 409), response_model=Variant)
async def add_variant(
    call: WriteRules, request: Request, rule: RulePath, body: NewVariant, key: idempotency.Key = None
) -> Response:
    """Set a rule otherwise for some kits, of one's own organisations unless one is bound to none."""

    async def work() -> Variant:
        made = await editing.add_variant(call.connection, rule, body.model_dump(), actor=call.principal.actor)
        return _variant(made)

    return await idempotency.once(request, call, key, work, status=201)


@router.get("/rules/{rule}/variants/{id}", responses=documented(404))
async def get_variant(call: ReadAlerts, rule: RulePath, id: VariantPath, response: Response) -> Variant:
    """One variant; its `ETag` is for `If-Match`."""
    return _tagged_variant(await editing.find_variant(call.connection, rule, id), response)


@router.patch("/rules/{rule}/variants/{id}", responses=documented(404, 412))
async def edit_variant(
    call: WriteRules,
    rule: RulePath,
    id: VariantPath,
    edit: VariantFields,
    *,
    response: Response,
    if_match: IfMatch = None,
) -> Variant:
    """Change what a variant sets; a field that is not sent stays, null takes it back."""
    changes = edit.model_dump(include=edit.model_fields_set)
    outcome = await editing.edit_variant(
        call.connection, rule, id, changes, actor=call.principal.actor, revisions=seen_revisions(if_match)
    )
    if isinstance(outcome, Outdated):
        raise stale(outcome.revision)
    return _tagged_variant(outcome, response)


@router.delete("/rules/{rule}/variants/{id}", status_code=204, responses=documented(404))
async def remove_variant(call: WriteRules, rule: RulePath, id: VariantPath) -> None:
    """End a variant: the rule applies as it would without."""
    await editing.remove_variant(call.connection, rule, id, actor=call.principal.actor)


@router.get("/rules/{rule}/versions", responses=documented(404))
async def list_versions(call: ReadAlerts, rule: RulePath, query: Annotated[PageQuery, Query()]) -> Page[Version]:
    """Who changed the rule and its variants, and how; the newest first."""
    await editing.find_rule(call.connection, rule)
    before = decode_cursor(query.cursor, int) or (2**31 - 1,)
    found = await editing.list_versions(call.connection, rule, before=min(before[0], 2**31 - 1), limit=query.limit + 1)
    kept, cursor = page(found, query.limit, "version_id")
    return Page(items=[_version(each) for each in kept], next=cursor)


def shown(row: RuleRow) -> Rule:
    """A rule as it is answered."""
    about = CATALOGUE[RuleName(row.rule)]
    values = {name: getattr(row, name) for name in Rule.model_fields if name in RuleRow.__dataclass_fields__}
    texts = {name: Title.model_validate(getattr(about.text, name)) for name in ("title", "meaning", "advice")}
    info = [
        ParameterInfo(
            name=each.name,
            unit=each.metadata["unit"],
            least=each.metadata["least"],
            most=each.metadata["most"],
            default=float(getattr(about.default.parameters, each.name)),
            text=Title(en=each.metadata["en"], da=each.metadata["da"]),
        )
        for each in fields(about.parameters)
    ]
    return Rule(**values, **texts, source=about.source.value, parameter_info=info)


def _tagged(row: RuleRow, response: Response) -> Rule:
    response.headers["ETag"] = etag(row.version)
    return shown(row)


def _tagged_variant(row: VariantRow, response: Response) -> Variant:
    response.headers["ETag"] = etag(row.version)
    return _variant(row)


def _variant(row: VariantRow) -> Variant:
    values: dict[str, Any] = {name: getattr(row, name) for name in Variant.model_fields if name != "id"}
    return Variant(id=row.variant_id, **values)


def _version(row: VersionRow) -> Version:
    names = [name for name in Version.model_fields if name not in ("id", "variant")]
    values: dict[str, Any] = {name: getattr(row, name) for name in names}
    return Version(id=row.version_id, variant=row.variant_id, **values)
