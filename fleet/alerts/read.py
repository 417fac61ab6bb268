"""What the rules need to know, read from the database: bounded lists, all of a batch at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row, scalar_row

from fleet.alerts.judging.catalogue import CATALOGUE, JUDGED, Source
from fleet.alerts.judging.facts import Clock, KitFacts, Standing
from fleet.alerts.judging.parameters import LONGEST_WINDOW_S, PairingLost, checked
from fleet.alerts.judging.reported import out_of_contact
from fleet.alerts.judging.settings import Settings, Variant, resolve
from fleet.alerts.rules import Line, Priority, Rule, RuleName, has_held
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]

QUERIES = load_queries("fleet.alerts", "read.sql")
BATCH = 2_000
"""Kits evaluated at once."""
LISTENING_STALE_S = 5.0
"""A listening clock not written for this long says nothing about now."""
USED_WITHIN = timedelta(days=30)
_OF_HEARTBEATS = [name for name, about in JUDGED if about.source is Source.HEARTBEAT]


async def rules(connection: Connection) -> dict[RuleName, Rule]:
    """Every rule that this code knows, as it stands now; what a parameter of it lacks is its default."""
    rows = await _dicts(connection, "rules", {})
    return {RuleName(row["rule"]): _rule(row) for row in rows if row["rule"] in CATALOGUE}


async def settings(connection: Connection) -> Settings:
    """Every rule with the variants that apply to some kits."""
    base = await rules(connection)
    variants = [
        Variant(**{**row, "rule": RuleName(row["rule"]), "line": None if row["line"] is None else Line(row["line"])})
        for row in await _dicts(connection, "variants", {})
        if row["rule"] in base
    ]
    sets = await _dicts(connection, "rule_sets", {}) if variants else []
    return resolve(base, variants, {row["rule_set"]: row["variants"] for row in sets})


async def clock(connection: Connection, now: datetime) -> Clock:
    """The listening clock at this moment."""
    (row,) = await _dicts(connection, "clock", {"now": now, "stale_s": LISTENING_STALE_S})
    return Clock(**row)


async def take_from_queue(connection: Connection) -> tuple[list[int], bool]:
    """Kits to evaluate, removed from the queue in the order they came, and whether there may be more."""
    rows: list[int] = await _scalars(connection, "take_from_queue", {"limit": BATCH})
    return sorted(set(rows)), len(rows) == BATCH


async def take_from_sweep(connection: Connection) -> tuple[list[int], bool]:
    """Kits whose turn it is in the round after a change of the settings, and whether the round goes on.

    At its end sets of variants that are of no use any more are forgotten.
    """
    rows = await _dicts(connection, "take_from_sweep", {"limit": BATCH})
    if not rows:
        return [], False
    if not rows[0]["goes_on"]:
        await connection.execute(QUERIES["forget_rule_sets"])
    return [row["kit_id"] for row in rows if row["kit_id"] is not None], rows[0]["goes_on"]


async def kits_due(connection: Connection, at: Clock, now: datetime) -> list[int]:
    """Kits of which something pending, a recovery or a wake has come of age, as far as it may open now."""
    values = {
        "now": now,
        "clock_s": at.clock_s,
        "resumed_clock_s": at.resumed_clock_s,
        "hears": at.hears,
        "of_heartbeats": _OF_HEARTBEATS,
        "limit": BATCH,
    }
    return sorted(set(await _scalars(connection, "kits_due", values)))


async def assign_sets(connection: Connection, kit_ids: Sequence[int]) -> None:
    """Note which variants apply to these kits."""
    values = {"kit_ids": list(kit_ids)}
    await connection.execute(QUERIES["make_rule_sets"], values)
    await connection.execute(QUERIES["assign_rule_sets"], values)


async def facts(connection: Connection, kit_ids: Sequence[int], known: Settings, now: datetime) -> list[KitFacts]:
    """What the rules see of these kits."""
    values = {"kit_ids": list(kit_ids), "now": now, "starts_within_s": LONGEST_WINDOW_S}
    found = [_facts(row) for row in await _dicts(connection, "facts", values)]
    found = await _with_pauses(connection, found, known)
    wanting = [each.kit_id for each in found if _needs_days(each, known, now)]
    if not wanting:
        return found
    rows = await _dicts(connection, "used_days", {"kit_ids": wanting, "after": now - USED_WITHIN})
    days: dict[int, frozenset[date]] = {row["kit_id"]: frozenset(row["days"]) for row in rows}
    return [replace(each, used_days=days.get(each.kit_id)) for each in found]


async def _with_pauses(connection: Connection, found: list[KitFacts], known: Settings) -> list[KitFacts]:
    """The facts with the times for which tablets were switched off, of kits about which something may open by now."""
    since = {each.kit_id: first for each in found if (first := _restarted_since(each, known)) is not None}
    if not since:
        return found
    values = {"kit_ids": list(since), "since": list(since.values())}
    rows = await _dicts(connection, "pauses", values)
    pauses = {row["kit_id"]: tuple(zip(row["off"], row["on"], strict=True)) for row in rows}
    return [replace(each, pauses=pauses.get(each.kit_id, ())) for each in found]


def _restarted_since(kit: KitFacts, known: Settings) -> datetime | None:
    """Since when what its heartbeats say is pending, if that may open by now and the tablet has begun anew since."""
    if kit.received_at is None or not kit.boots:
        return None
    rules = known.rules_of(kit.rule_set)
    ripe = [
        standing.pending_since
        for name, standing in kit.standing.items()
        if name in _OF_HEARTBEATS
        and name in rules
        and standing.pending_since is not None
        and has_held(standing.pending_since, kit.received_at, rules[name].for_s)
    ]
    return min(ripe) if ripe and max(kit.boots) > min(ripe) else None


async def note_wakes(connection: Connection, wakes: Mapping[int, datetime | None], now: datetime) -> None:
    """Keep when to look at each of these kits again; a later moment than is kept already waits for that one."""
    values = {"kit_ids": list(wakes), "moments": list(wakes.values()), "now": now}
    await connection.execute(QUERIES["note_wakes"], values)


def _needs_days(kit: KitFacts, known: Settings, now: datetime) -> bool:
    rule = known.rules_of(kit.rule_set).get(RuleName.PAIRING_LOST)
    if rule is None or not rule.enabled or not kit.watched or not isinstance(rule.parameters, PairingLost):
        return False
    return out_of_contact(kit, rule.parameters.used_days, now)


def _rule(row: Mapping[str, Any]) -> Rule:
    name = RuleName(row["rule"])
    return Rule(
        name,
        row["severity"],
        Line(row["line"]),
        Priority(row["priority"]),
        row["for_s"],
        row["keep_firing_for_s"],
        row["enabled"],
        checked(CATALOGUE[name].parameters, row["parameters"]),
        row["version"],
    )


def _facts(row: dict[str, Any]) -> KitFacts:
    standing = {
        RuleName(each["rule"]): Standing(**{name: _moment(name, each.get(name)) for name in _STANDING})
        for each in row.pop("standing") or ()
        if each["rule"] in CATALOGUE
    }
    return KitFacts(**{**row, "boots": tuple(row["boots"] or ())}, standing=standing)


_STANDING = tuple(each.name for each in fields(Standing))
_MOMENTS = ("pending_since", "recovering_since", "clears_at")


def _moment(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name in _MOMENTS and value is not None else value


async def _dicts(connection: Connection, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(QUERIES[query], values)
        return await cursor.fetchall()


async def _scalars(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(QUERIES[query], values)
        return await cursor.fetchall()
