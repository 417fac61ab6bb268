"""Lists within a scope: whichever query finds a page, it holds what the filters say, each once, in order."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import psycopg
import pytest

from fleet.access.entering import enter
from fleet.access.principal import SYSTEM, Scope
from fleet.db import roles
from fleet.db.connect import connect
from fleet.state import listing
from fleet.state.listing import KitFilter, KitPosition, KitSort, list_kits
from fleet.state.registry.components import list_components
from fleet.state.verdict import Health
from tests.people import add_organisations
from tests.support import execute, rows

pytestmark = pytest.mark.storage

SLUGS = ("a", "b", "c", "d")
STATES = ("in_stock", "ready", "lost")
SCOPES: tuple[frozenset[str] | None, ...] = (None, frozenset({"a"}), frozenset({"a", "c", "d"}), frozenset())


@dataclass(frozen=True, slots=True)
class Row:
    """A kit or a piece as it was entered."""

    key: Any
    state: str
    organisation: str
    owner: str
    kind: str
    location: str
    due: date


def fill(dsn: str, count: int = 120) -> None:
    """Kits and pieces, thrown together, with their models, types and places."""
    add_organisations(dsn, *SLUGS)
    execute(dsn, "INSERT INTO kit_types (kit_type) VALUES ('x'), ('y')")
    execute(
        dsn, "INSERT INTO models (kind, manufacturer, name) VALUES ('x', 'M', '1'), ('x', 'M', '2'), ('y', 'M', '3')"
    )
    execute(
        dsn, "INSERT INTO locations (slug, name, kind) VALUES ('here', 'Here', 'depot'), ('there', 'There', 'depot')"
    )
    chance = random.Random(4)
    entered = [
        (
            f"K-{chance.randrange(10**9):09d}",
            chance.choice(STATES),
            chance.choice(SLUGS),
            chance.choice(SLUGS),
            chance.choice("xy"),
            chance.randint(1, 3),
            chance.choice(("here", "there")),
            date(2027, 1, chance.randint(1, 28)),
        )
        for _ in range(count)
    ]
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        places = "(SELECT organisation_id FROM organisations WHERE slug = %s)"
        located = "(SELECT location_id FROM locations WHERE slug = %s)"
        for kit, state, whose, owner, kind, model, place, due in entered:
            cursor.execute(
                f"INSERT INTO kits (kit, state, organisation_id, owner_id, kit_type, location_id)"
                f" VALUES (%s, %s, {places}, {places}, %s, {located})",
                (kit, state, whose, owner, kind, place),
            )
            cursor.execute(
                f"INSERT INTO components"
                f" (model_id, serial, state, organisation_id, owner_id, location_id, calibration_due)"
                f" VALUES (%s, %s, %s, {places}, {places}, {located}, %s)",
                (model, kit, "in_stock" if state == "ready" else state, whose, owner, place, due),
            )
        cursor.execute("INSERT INTO kit_latest (kit_id) SELECT kit_id FROM kits")


def hear(dsn: str) -> None:
    """Most kits are heard, two at the same time each, and are of every health; the clock stands at 1000."""
    execute(dsn, "UPDATE kits SET state = 'installed', wanted_components = '{\"app\": \"2\"}' WHERE kit_id %% 5 > 0")
    execute(
        dsn,
        "UPDATE kit_latest l SET last_heard_at = '2026-11-01'::timestamptz + l.kit_id / 2 * interval '1 minute',"
        " heard_clock_s = 100 * (l.kit_id %% 11), watch_allowance_s = CASE WHEN k.state = 'installed' THEN 400 END,"
        " watch_interval_s = 100, watch_from_clock_s = 0, battery = l.kit_id %% 40"
        " FROM kits k WHERE k.kit_id = l.kit_id AND k.kit_id %% 7 > 0",
    )
    execute(
        dsn,
        "INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)"
        " SELECT kit_id, 'pairing', 'b', 1, now(), now(),"
        " jsonb_build_array(jsonb_build_object('paired', kit_id %% 4 > 0))"
        " FROM kits WHERE kit_id %% 3 = 0",
    )
    execute(dsn, "UPDATE listening SET clock_s = 1000, resumed_clock_s = 0, grace_from_clock_s = 0")
    # One that answers again and is held to be silent until its alert says otherwise.
    execute(
        dsn,
        "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " SELECT min(kit_id), 'silent', 'major', 'active', now(), '{}' FROM kit_latest"
        " WHERE heard_clock_s = 1000 AND watch_allowance_s IS NOT NULL",
    )


def entered(dsn: str, what: str) -> list[Row]:
    kit = what == "kits"
    query = (
        f"SELECT {'k.kit' if kit else 'k.component_id'}, k.state, o.slug, w.slug,"
        f" {'k.kit_type' if kit else 'm.kind'}, l.slug, {'date(now())' if kit else 'k.calibration_due'}"
        f" FROM {what} k {'' if kit else 'JOIN models m USING (model_id)'}"
        " JOIN organisations o ON o.organisation_id = k.organisation_id"
        " JOIN organisations w ON w.organisation_id = k.owner_id JOIN locations l USING (location_id) ORDER BY 1"
    )
    return [Row(*row) for row in rows(dsn, query)]


def within(scope: frozenset[str] | None, row: Row, chosen: Mapping[str, Any]) -> bool:
    if scope is None:
        return True
    # Who cannot see an organisation does not know its name either.
    named = {chosen[name] for name in ("organisation", "owner") if name in chosen}
    return named <= scope and (row.organisation in scope or row.owner in scope)


KIT_FILTERS: tuple[tuple[Mapping[str, Any], Callable[[Row], bool]], ...] = (
    ({}, lambda _: True),
    ({"state": "ready"}, lambda row: row.state == "ready"),
    ({"kit_type": "x"}, lambda row: row.kind == "x"),
    ({"organisation": "c"}, lambda row: row.organisation == "c"),
    ({"owner": "b", "state": "lost"}, lambda row: row.owner == "b" and row.state == "lost"),
    ({"location": "here"}, lambda row: row.location == "here"),
    ({"q": "K-0"}, lambda row: row.key.startswith("K-0")),
    ({"organisation": "nowhere"}, lambda _: False),
)
COMPONENT_FILTERS: tuple[tuple[Mapping[str, Any], Callable[[Row], bool]], ...] = (
    ({}, lambda _: True),
    ({"state": "in_stock"}, lambda row: row.state == "in_stock"),
    ({"kind": "x"}, lambda row: row.kind == "x"),
    ({"kind": "y", "state": "lost"}, lambda row: row.kind == "y" and row.state == "lost"),
    ({"organisation": "c"}, lambda row: row.organisation == "c"),
    ({"owner": "b", "kind": "x"}, lambda row: row.owner == "b" and row.kind == "x"),
    ({"location": "there"}, lambda row: row.location == "there"),
    ({"calibration_due_before": date(2027, 1, 9)}, lambda row: row.due < date(2027, 1, 9)),
    ({"kind": "nothing"}, lambda _: False),
)


async def all_kits(
    connection: Any, chosen: Mapping[str, Any], sort: KitSort, limit: int = 7, budget_s: float = 10
) -> list[str]:
    found: list[str] = []
    after: KitPosition | None = None
    for _ in range(100):
        page = await list_kits(connection, KitFilter(**chosen), sort=sort, after=after, limit=limit, budget_s=budget_s)
        found += [each.kit for each in page.kits]
        after = page.end
        if after is None:
            return found
    raise AssertionError("the list has no end")


async def all_components(connection: Any, chosen: Mapping[str, Any]) -> list[int]:
    found: list[int] = []
    for _ in range(100):
        page = await list_components(connection, after=found[-1] if found else 0, limit=7, **chosen)
        found += [each.component_id for each in page]
        if len(page) < 7:
            return found
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_list_holds_what_its_filters_say(database: str, scope: frozenset[str] | None) -> None:
    fill(database)
    kits, components = entered(database, "kits"), entered(database, "components")
    ids = dict(rows(database, "SELECT slug, organisation_id FROM organisations"))
    seen = Scope(None if scope is None else frozenset(ids[slug] for slug in scope))
    connection = await connect(database, role="test", run_as=roles.API)
    async with connection, connection.transaction():
        await enter(connection, SYSTEM, seen)
        for chosen, fits in KIT_FILTERS:
            expected = [row.key for row in kits if within(scope, row, chosen) and fits(row)]
            assert await all_kits(connection, chosen, KitSort.KIT) == expected, chosen
            assert await all_kits(connection, chosen, KitSort.KIT_DOWN) == expected[::-1], chosen
            assert sorted(await all_kits(connection, chosen, KitSort.HEARD)) == expected, chosen
        for chosen, fits in COMPONENT_FILTERS:
            numbers = [row.key for row in components if within(scope, row, chosen) and fits(row)]
            assert await all_components(connection, chosen) == numbers, chosen


JUDGED = """
SELECT kit_id, kit, last_heard_at, state, kit_type, organisation_id, owner_id,
       kit_health(state = 'installed', heard, silent, drifted, pairing_lost, battery_low, storage_low, clock_skewed)
FROM kit_facts ORDER BY last_heard_at NULLS FIRST, kit
"""


@pytest.mark.parametrize("scope", SCOPES[::2])
@pytest.mark.parametrize("way", ["few", "walked", "late"])
async def test_by_every_health_and_order_a_list_is_what_is_judged(
    database: str, scope: frozenset[str] | None, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 180)
    hear(database)
    if way != "few":
        monkeypatch.setattr(listing, "FEW", 3)
        monkeypatch.setattr(listing, "SAMPLED", 4)
        monkeypatch.setattr(listing, "LOOKS", (1,) if way == "late" else (4,))
    ids = dict(rows(database, "SELECT slug, organisation_id FROM organisations"))
    numbers = None if scope is None else frozenset(ids[slug] for slug in scope)
    judged = [row for row in rows(database, JUDGED) if numbers is None or row[5] in numbers or row[6] in numbers]
    assert {row[7] for row in judged} == set(Health)
    connection = await connect(database, role="test", run_as=roles.API)
    async with connection, connection.transaction():
        await enter(connection, SYSTEM, Scope(numbers))
        found = partial(all_kits, connection, limit=20, budget_s=0.0 if way == "late" else 10.0)
        for health in (None, *Health):
            for narrowed in ({}, {"state": "installed"}, {"kit_type": "x"}):
                by_time = [
                    row[1]
                    for row in judged
                    if health in (None, row[7])
                    and narrowed.get("state", row[3]) == row[3]
                    and narrowed.get("kit_type", row[4]) == row[4]
                ]
                chosen = {"health": health, **narrowed}
                assert await found(chosen, KitSort.HEARD) == by_time, chosen
                assert await found(chosen, KitSort.HEARD_DOWN) == by_time[::-1], chosen
                assert await found(chosen, KitSort.KIT) == sorted(by_time), chosen
                assert await found(chosen, KitSort.KIT_DOWN) == sorted(by_time)[::-1], chosen
