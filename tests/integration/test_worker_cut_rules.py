"""Killed before any statement, with every rule in play and beside the tick: exactly one of each afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from fleet.alerts.requests import writing
from fleet.alerts.requests.log import Entry, What
from fleet.alerts.requests.proving import prove
from fleet.alerts.requests.writing import Change
from fleet.alerts.sla.watching import look
from tests.alerts_world import World
from tests.alerts_world import world as make_world
from tests.integration.test_worker_cut import Cut, KilledError, cut_of, killed_everywhere, number

pytestmark = pytest.mark.storage

RULES = {
    "never_heard",
    "version_drift",
    "pairing_lost",
    "peripheral_battery_low",
    "update_failed",
    "not_charging",
    "storage_low",
    "no_network",
    "clock_skew",
    "silent",
}
DEVICES = [
    {"serial": "S-1", "kind": "scale", "paired": False},
    {"serial": "S-2", "kind": "oximeter", "paired": True, "battery": 3},
]


async def cut_everywhere(work: Callable[[], Awaitable[Any]], cut: Cut) -> None:
    """Do it until it comes through, each time killed one statement later."""
    for statements in range(500):
        cut.left = statements
        try:
            await work()
        except KilledError:
            continue
        finally:
            cut.left = None
        return
    raise AssertionError("it never came through")


async def ill(world: World) -> int:
    """A kit that is silent soon, one never heard, and one with every other fault; the rules' delays are none."""
    _, broken, unheard = await world.add(3)
    await world.connection.execute("UPDATE rules SET for_s = 0")
    await world.connection.execute(
        "UPDATE kit_latest SET time = %s, received_at = %s, battery = 20, charging = false, storage_free_mb = 5,"
        " signal_dbm = -120, network = '2g', clock_offset_s = 900 WHERE kit_id = %s",
        (world.now, world.now, broken),
    )
    await world.connection.execute(
        "UPDATE kit_latest SET heard_clock_s = NULL, last_heard_at = NULL, watch_from_clock_s = %s WHERE kit_id = %s",
        (world.clock_s - 2000, unheard),
    )
    for kind, body in (("pairing", DEVICES), ("update", {"campaign": "c1", "state": "failed"})):
        await world.connection.execute(
            "INSERT INTO latest_reports VALUES (%s, %s, 'b', 1, %s, %s, %s)",
            (broken, kind, world.now, world.now, Jsonb(body)),
        )
    await world.report(broken, app="1")
    await world.want(broken, app="2")
    return broken


async def test_every_rule_and_its_request_once(database: str) -> None:
    async with make_world(database) as world:
        cut = cut_of(world)
        broken = await ill(world)
        await killed_everywhere(world, cut)
        await world.advance(200, heard=[broken])
        await killed_everywhere(world, cut)
        found = await world.rows("SELECT rule, count(*) FROM alerts WHERE state = 'active' GROUP BY rule")
        assert dict(found) == dict.fromkeys(RULES, 1)
        assert await number(world, "service_requests") == len(RULES)
        for what in ("alert.opened", "request.opened"):
            assert await number(world, f"events WHERE type = '{what}'") == len(RULES)
        assert await number(world, "request_events WHERE what = 'opened'") == len(RULES)
        assert cut.cuts > 60, "it was cut at every statement"
        await world.check()


async def test_each_step_of_escalation_and_each_proof_once(database: str) -> None:
    async with make_world(database) as world:
        (kit,) = await world.add(1)
        cut = cut_of(world)
        await world.connection.execute(
            "INSERT INTO escalations (contract_id, step, target, percent, raise_priority)"
            " SELECT contract_id, n, 'solution', 40 * n, n = 2 FROM contracts, generate_series(1, 2) n"
        )
        await world.advance(200)
        await world.tick()
        for hours in (10, 20, 25):
            now = world.now + timedelta(hours=hours)
            await cut_everywhere(lambda now=now: look(world.connection, now), cut)  # type: ignore[misc]
        assert await number(world, "request_events WHERE what = 'escalated' AND NOT body ? 'breached'") == 2
        assert await number(world, "events WHERE type = 'request.breached'") == 1
        assert await number(world, "request_events WHERE what = 'priority'") == 1

        await solved(world, kit)
        later = world.now + timedelta(days=3)
        await cut_everywhere(lambda: prove(world.connection, later), cut)
        assert await number(world, "request_events WHERE body ->> 'because' = 'not_proven'") == 1
        assert await number(world, "service_requests WHERE state = 'open' AND reopened = 1") == 1
        assert cut.cuts > 10


async def solved(world: World, kit: int) -> None:
    """Somebody says that the kit's request is solved, which it is not."""
    found = await world.scalars("SELECT request_id FROM service_requests WHERE kit_id = %s", kit)
    locked = await writing.lock(world.connection, request_ids=found)
    entry = Entry(What.STATE, "test", world.now, {"from": "open", "to": "resolved", "cause": "tablet_fault"})
    await writing.append(world.connection, [Change(each, [entry]) for each in locked.values()], world.now)
