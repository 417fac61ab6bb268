"""Rules and their variants as people edit them, every change with its version."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import errors
from psycopg.types.json import Jsonb

from fleet.alerts.judging.catalogue import CATALOGUE
from fleet.alerts.judging.parameters import able_to_speak, checked, plain
from fleet.alerts.rules import PRIORITY_OF, RuleName
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_one, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.registry.editing import Outdated, merged

_SQL = load_queries("fleet.alerts.judging", "editing.sql")
MOST_VARIANTS = 200
"""Variants of one rule."""
RULE_FIELDS = (
    "severity", "line", "priority", "for_s", "keep_firing_for_s", "enabled", "parameters",
    "flap_openings", "flap_window_s", "flap_quiet_s",
)  # fmt: skip
VARIANT_FIELDS = ("severity", "line", "for_s", "keep_firing_for_s", "enabled", "parameters", "note")
SCOPE_FIELDS = ("organisation", "programme", "kit_type", "model_id")
_OVERRIDES = ("severity", "line", "for_s", "keep_firing_for_s", "enabled", "parameters")


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule as it is set; `parameters` hold every parameter, `version` the newest change of it."""

    rule: str
    severity: str
    line: str
    priority: str
    for_s: float
    keep_firing_for_s: float
    enabled: bool
    parameters: Mapping[str, float]
    version: int
    flap_openings: int
    flap_window_s: float
    flap_quiet_s: float
    variants: int


@dataclass(frozen=True, slots=True)
class VariantRow:
    """Other settings for some kits; what is None, or not among `parameters`, is as without it."""

    variant_id: int
    rule: str
    organisation: str | None
    programme: str | None
    kit_type: str | None
    model_id: int | None
    severity: str | None
    line: str | None
    for_s: float | None
    keep_firing_for_s: float | None
    enabled: bool | None
    parameters: Mapping[str, float]
    note: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One change of a rule, or of the variant named."""

    version_id: int
    rule: str
    variant_id: int | None
    organisation: str | None
    at: datetime
    actor: str
    what: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


async def list_rules(connection: Connection, *, after: str = "", limit: int = 500) -> list[RuleRow]:
    """Rules by name."""
    return [_whole(row) for row in await fetch_all(connection, _SQL["rules"], _rule(None, after, limit), RuleRow)]


async def find_rule(connection: Connection, rule: str) -> RuleRow:
    """One rule; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["rules"], _rule(rule), RuleRow)
    if found is None or rule not in CATALOGUE:
        raise NotFoundError("rule", rule)
    return _whole(found)


async def edit_rule(
    connection: Connection,
    rule: str,
    changes: Mapping[str, Any],
    *,
    actor: str,
    revisions: frozenset[int] | None = None,
) -> RuleRow | Outdated:
    """Change a rule for all. With another severity goes its priority, unless that is given as well.

    Raises NotFoundError, InvalidError, and ForbiddenError for who is bound to an organisation.
    """
    async with connection.transaction():
        before = await find_rule(connection, rule)
        if await fetch_value(connection, _SQL["lock_rule"], {"rule": rule}) is None:
            raise ForbiddenError("the rule is the same for all: make a variant for your organisation instead")
        before = await find_rule(connection, rule)
        if revisions is not None and before.version not in revisions:
            return Outdated(before.version)
        after = _rule_after(before, changes)
        told = {name: getattr(before, name) for name in RULE_FIELDS}
        if after == told:
            return before
        version = await _note(connection, _Noted(rule, "changed", actor, told, after))
        values = {**after, "parameters": Jsonb(after["parameters"]), "rule": rule, "version": version}
        await connection.execute(_SQL["write_rule"], values)
        return await find_rule(connection, rule)


async def list_variants(connection: Connection, rule: str, *, after: int = 0, limit: int = 500) -> list[VariantRow]:
    """Variants of a rule by number."""
    values = {"rule": rule, "id": None, "after": after, "limit": limit}
    return await fetch_all(connection, _SQL["variants"], values, VariantRow)


async def find_variant(connection: Connection, rule: str, variant_id: int) -> VariantRow:
    """One variant; raises NotFoundError."""
    values = {"rule": rule, "id": variant_id, "after": 0, "limit": 1}
    found = await fetch_one(connection, _SQL["variants"], values, VariantRow)
    if found is None:
        raise NotFoundError("variant", str(variant_id))
    return found


async def add_variant(connection: Connection, rule: str, given: Mapping[str, Any], *, actor: str) -> VariantRow:
    """Set a rule otherwise for some kits.

    Raises NotFoundError, InvalidError, ConflictError (there is one for just those kits), and ForbiddenError outside of
    the caller's organisations.
    """
    await find_rule(connection, rule)
    if await fetch_value(connection, _SQL["count_variants"], {"rule": rule}) >= MOST_VARIANTS:
        raise ConflictError(f"a rule has at most {MOST_VARIANTS} variants")
    after = {name: given.get(name) for name in (*SCOPE_FIELDS, *VARIANT_FIELDS)}
    _check_scope(after)
    _check_overrides(rule, after)
    organisation_id = await _organisation(connection, after["organisation"])
    async with _within_scope(), connection.transaction():
        values = {**after, "parameters": Jsonb(after["parameters"]), "rule": rule, "organisation_id": organisation_id}
        made = await fetch_value(connection, _SQL["add_variant"], values)
        version = await _note(connection, _Noted(rule, "created", actor, None, after, made, organisation_id))
        await connection.execute(_SQL["set_version"], {"id": made, "version": version})
        return await find_variant(connection, rule, made)


async def edit_variant(
    connection: Connection,
    rule: str,
    variant_id: int,
    changes: Mapping[str, Any],
    *,
    actor: str,
    revisions: frozenset[int] | None = None,
) -> VariantRow | Outdated:
    """Change what a variant sets; for whom it is stays. Raises NotFoundError, InvalidError, ForbiddenError."""
    async with _within_scope(), connection.transaction():
        before = await _locked_variant(connection, rule, variant_id)
        if revisions is not None and before.version not in revisions:
            return Outdated(before.version)
        after = {name: getattr(before, name) for name in SCOPE_FIELDS} | merged(before, changes, VARIANT_FIELDS)
        _check_overrides(rule, after)
        organisation_id = await _organisation(connection, before.organisation)
        told = _told(before)
        if after == told:
            return before
        noted = _Noted(rule, "changed", actor, told, after, variant_id, organisation_id)
        version = await _note(connection, noted)
        values = {**after, "parameters": Jsonb(after["parameters"]), "id": variant_id, "version": version}
        await connection.execute(_SQL["write_variant"], values)
        return await find_variant(connection, rule, variant_id)


async def remove_variant(connection: Connection, rule: str, variant_id: int, *, actor: str) -> None:
    """End a variant; its versions stay. Raises NotFoundError, ForbiddenError."""
    async with _within_scope(), connection.transaction():
        before = await _locked_variant(connection, rule, variant_id)
        organisation_id = await _organisation(connection, before.organisation)
        noted = _Noted(rule, "removed", actor, _told(before), None, variant_id, organisation_id)
        await _note(connection, noted)
        await connection.execute(_SQL["remove_variant"], {"id": variant_id})


async def list_versions(
    connection: Connection, rule: str, *, before: int = 2**31 - 1, limit: int = 100
) -> list[VersionRow]:
    """Changes of a rule and its variants, the newest first."""
    return await fetch_all(connection, _SQL["versions"], {"rule": rule, "before": before, "limit": limit}, VersionRow)


def _rule(rule: str | None, after: str = "", limit: int = 1) -> dict[str, Any]:
    return {"rule": rule, "known": [str(name) for name in CATALOGUE], "after": after, "limit": limit}


def _whole(row: RuleRow) -> RuleRow:
    """With every parameter, also those at their default."""
    values = {name: getattr(row, name) for name in RuleRow.__dataclass_fields__}
    kind = CATALOGUE[RuleName(row.rule)].parameters
    return RuleRow(**{**values, "parameters": plain(checked(kind, row.parameters))})


def _rule_after(before: RuleRow, changes: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(changes)
    if given.get("severity", before.severity) != before.severity:
        given.setdefault("priority", PRIORITY_OF[given["severity"]].value)
    after = merged(before, given, RULE_FIELDS)
    kind = CATALOGUE[RuleName(before.rule)].parameters
    base = checked(kind, before.parameters)
    after["parameters"] = plain(able_to_speak(checked(kind, given.get("parameters") or {}, base=base)))
    return after


def _check_scope(after: Mapping[str, Any]) -> None:
    chosen = [name for name in SCOPE_FIELDS if after[name] is not None]
    if not chosen:
        raise InvalidError("organisation", "say for which kits: an organisation, programme, kit type or model")
    if len([name for name in chosen if name != "organisation"]) > 1:
        raise InvalidError(chosen[-1], "only one of programme, kit_type and model_id, with or without an organisation")


def _check_overrides(rule: str, after: dict[str, Any]) -> None:
    """Complete and check what is set otherwise: at least one thing, within bounds."""
    after["parameters"] = after["parameters"] or {}
    after["note"] = after["note"] or ""
    checked(CATALOGUE[RuleName(rule)].parameters, after["parameters"])
    if all(after[name] in (None, {}) for name in _OVERRIDES):
        raise InvalidError("parameters", "nothing is set otherwise")


def _told(row: VariantRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*SCOPE_FIELDS, *VARIANT_FIELDS)}


async def _locked_variant(connection: Connection, rule: str, variant_id: int) -> VariantRow:
    await find_variant(connection, rule, variant_id)
    if await fetch_value(connection, _SQL["lock_variant"], {"id": variant_id}) is None:
        raise ForbiddenError("the variant is for more than your organisation")
    return await find_variant(connection, rule, variant_id)


async def _organisation(connection: Connection, slug: str | None) -> int | None:
    if slug is None:
        return None
    found = await fetch_value(connection, _SQL["organisation"], {"slug": slug})
    if found is None:
        raise InvalidError("organisation", f"no organisation {slug}")
    return int(found)


@dataclass(frozen=True, slots=True)
class _Noted:
    """A change as it is kept."""

    rule: str
    what: str
    actor: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    variant_id: int | None = None
    organisation_id: int | None = None


async def _note(connection: Connection, noted: _Noted) -> int:
    """Keep a change; gives its number."""
    values = {name: getattr(noted, name) for name in _Noted.__dataclass_fields__}
    for name in ("before", "after"):
        if values[name] is not None:
            # What people wrote stands in one place only, where it can be emptied.
            values[name] = Jsonb({key: value for key, value in values[name].items() if key != "note"})
    version: int = await fetch_value(connection, _SQL["note_version"], values)
    return version


@asynccontextmanager
async def _within_scope() -> AsyncIterator[None]:
    """What the database refuses, in words."""
    try:
        yield
    except errors.InsufficientPrivilege:
        raise ForbiddenError("variants are made for your own organisations: name one of them") from None
    except errors.UniqueViolation:
        raise ConflictError("there is a variant for just those kits: edit that one") from None
    except errors.ForeignKeyViolation as error:
        field = "model_id" if "model" in (error.diag.constraint_name or "") else "kit_type"
        raise InvalidError(field, "is not in the catalogue") from None
