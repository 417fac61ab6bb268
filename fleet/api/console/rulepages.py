"""The pages of the rules: what is watched for, how it is set, and what other settings would have done."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field, ValidationError

from fleet.access.roles import Permission
from fleet.alerts.judging import editing
from fleet.api import dryruns, rules
from fleet.api.auth import Call, ReadAlerts
from fleet.api.console.login import ConsoleForm
from fleet.api.console.refusals import sentence
from fleet.api.console.rendering import HtmlRoute, language_of, render
from fleet.api.dryruns import DryRunOrder
from fleet.api.rules import NewVariant, ParameterInfo, Rule, RuleEdit, RulePath, VariantPath, WriteRules
from fleet.errors import FleetError, InvalidError
from fleet.state.registry.editing import Outdated

router = APIRouter(route_class=HtmlRoute, include_in_schema=False, default_response_class=Response)

SHOWN = 50
SEVERITIES = ("critical", "major", "minor", "warning")
LINES = ("support", "service", "logistics", "supplier")
PRIORITIES = ("urgent", "high", "normal", "low")
DAYS = (1, 3, 7, 14, 30)


class RuleForm(ConsoleForm):
    """A rule as its form sends it; `parameters` in the order in which the rule has them."""

    version: int = Field(0, ge=0)
    severity: str = Field("", max_length=20)
    line: str = Field("", max_length=20)
    priority: str = Field("", max_length=20)
    for_s: str = Field("", max_length=20)
    keep_firing_for_s: str = Field("", max_length=20)
    enabled: str = Field("", max_length=10)
    parameters: list[str] = Field(default_factory=list, max_length=20)
    days: int = Field(7, ge=1, le=30)

    def settings(self, rule: Rule) -> dict[str, Any]:
        """What was asked for; raises InvalidError."""
        return {
            "severity": self.severity or rule.severity,
            "line": self.line or rule.line,
            "priority": self.priority or rule.priority,
            "for_s": _number("for_s", self.for_s),
            "keep_firing_for_s": _number("keep_firing_for_s", self.keep_firing_for_s),
            "enabled": bool(self.enabled),
            "parameters": _parameters(self.parameters, rule.parameter_info),
        }


class VariantForm(ConsoleForm):
    """A variant as its form sends it; what was left empty is as with the rule."""

    organisation: str = Field("", max_length=63)
    programme: str = Field("", max_length=200)
    kit_type: str = Field("", max_length=200)
    model_id: str = Field("", max_length=12)
    severity: str = Field("", max_length=20)
    line: str = Field("", max_length=20)
    for_s: str = Field("", max_length=20)
    keep_firing_for_s: str = Field("", max_length=20)
    enabled: str = Field("", max_length=10)
    parameters: list[str] = Field(default_factory=list, max_length=20)
    note: str = Field("", max_length=1000)

    def variant(self, rule: Rule) -> dict[str, Any]:
        """What was asked for; raises InvalidError."""
        if self.model_id and not (self.model_id.isascii() and self.model_id.isdecimal()):
            raise InvalidError("model_id", "is no number")
        parameters = _parameters(self.parameters, rule.parameter_info)
        return {
            "organisation": self.organisation.strip() or None,
            "programme": self.programme.strip() or None,
            "kit_type": self.kit_type.strip() or None,
            "model_id": int(self.model_id) if self.model_id else None,
            "severity": self.severity or None,
            "line": self.line or None,
            "for_s": _number("for_s", self.for_s),
            "keep_firing_for_s": _number("keep_firing_for_s", self.keep_firing_for_s),
            "enabled": None if not self.enabled else self.enabled == "yes",
            "parameters": {name: value for name, value in parameters.items() if value is not None},
            "note": self.note,
        }


@router.get("/rules")
async def rules_page(request: Request, call: ReadAlerts) -> Response:
    """Every rule with how it is set."""
    found = [rules.shown(each) for each in await editing.list_rules(call.connection)]
    return render(request, "rules.html", rules=found)


@router.get("/rules/{rule}")
async def rule_page(request: Request, call: ReadAlerts, rule: RulePath) -> Response:
    """One rule: its meaning, its form, its variants and changes."""
    return await _page(request, call, rule)


@router.post("/rules/{rule}")
async def save(request: Request, call: WriteRules, rule: RulePath, form: Annotated[RuleForm, Form()]) -> Response:
    """Change a rule; when it is refused the page says why."""
    try:
        shown = await _shown(call, rule)
        edit = _checked(RuleEdit, form.settings(shown))
        seen = frozenset({form.version})
        actor = call.principal.actor
        async with call.connection.transaction():
            outcome = await editing.edit_rule(call.connection, rule, edit, actor=actor, revisions=seen)
    except FleetError as error:
        return await _page(request, call, rule, refused=sentence(language_of(request), error))
    if isinstance(outcome, Outdated):
        return await _page(request, call, rule, stale=True)
    return _back(rule)


@router.post("/rules/{rule}/try")
async def try_out(request: Request, call: ReadAlerts, rule: RulePath, form: Annotated[RuleForm, Form()]) -> Response:
    """What the settings in the form would have done; nothing is changed."""
    try:
        shown = await _shown(call, rule)
        settings = form.settings(shown)
        order = DryRunOrder(**_checked(RuleEdit, settings), days=form.days)
        tried = await dryruns.tried(call, rule, order)
    except FleetError as error:
        return await _page(request, call, rule, refused=sentence(language_of(request), error))
    return await _page(request, call, rule, tried=tried, sent=settings, days=form.days)


@router.post("/rules/{rule}/variants")
async def add_variant(
    request: Request, call: WriteRules, rule: RulePath, form: Annotated[VariantForm, Form()]
) -> Response:
    """Set a rule otherwise for some kits; when it is refused the page says why."""
    try:
        new = _checked(NewVariant, form.variant(await _shown(call, rule)))
        async with call.connection.transaction():
            await editing.add_variant(call.connection, rule, new, actor=call.principal.actor)
    except FleetError as error:
        return await _page(request, call, rule, refused=sentence(language_of(request), error))
    return _back(rule)


@router.post("/rules/{rule}/variants/{id}/remove")
async def remove_variant(
    request: Request, call: WriteRules, rule: RulePath, id: VariantPath, form: Annotated[ConsoleForm, Form()]
) -> Response:
    """End a variant."""
    try:
        async with call.connection.transaction():
            await editing.remove_variant(call.connection, rule, id, actor=call.principal.actor)
    except FleetError as error:
        return await _page(request, call, rule, refused=sentence(language_of(request), error))
    return _back(rule)


async def _page(
    request: Request,
    call: Call,
    rule: str,
    *,
    refused: str | None = None,
    stale: bool = False,
    tried: dryruns.DryRun | None = None,
    sent: dict[str, Any] | None = None,
    days: int = 7,
) -> Response:
    shown = await _shown(call, rule)
    settings = shown.model_dump()
    if sent is not None:
        settings |= {**sent, "parameters": shown.parameters | sent["parameters"]}
    return render(
        request,
        "rule.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.CONFLICT if stale else HTTPStatus.OK,
        path=f"/rules/{rule}",
        rule=shown,
        settings=settings,
        variants=await editing.list_variants(call.connection, rule, limit=editing.MOST_VARIANTS),
        versions=await editing.list_versions(call.connection, rule, limit=SHOWN),
        may_write=call.principal.may(Permission.RULES_WRITE),
        may_write_all=call.principal.scope(Permission.RULES_WRITE).organisations is None,
        refused=refused,
        stale=stale,
        tried=tried,
        days=days,
        choices={"severities": SEVERITIES, "lines": LINES, "priorities": PRIORITIES, "days": DAYS},
        live=False,
    )


async def _shown(call: Call, rule: str) -> Rule:
    return rules.shown(await editing.find_rule(call.connection, rule))


def _back(rule: str) -> Response:
    return RedirectResponse(f"/rules/{rule}", HTTPStatus.SEE_OTHER)


def _parameters(given: Sequence[str], known: Sequence[ParameterInfo]) -> dict[str, float | None]:
    if len(given) != len(known):
        raise InvalidError("parameters", "are not those of the rule")
    return {info.name: _number(info.name, text) for info, text in zip(known, given, strict=True)}


def _number(name: str, text: str) -> float | None:
    """A number as people write it, with a comma too; None when nothing was written."""
    if not text.strip():
        return None
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise InvalidError(name, "is no number") from None


def _checked(model: type[RuleEdit | NewVariant], values: dict[str, Any]) -> dict[str, Any]:
    """As the API checks it; only what was given."""
    given = {name: value for name, value in values.items() if value is not None}
    if isinstance(given.get("parameters"), dict):
        given["parameters"] = {name: value for name, value in given["parameters"].items() if value is not None}
    try:
        return model.model_validate(given).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidError(".".join(str(part) for part in first["loc"]), first["msg"]) from None
