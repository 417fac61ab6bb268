"""The worker's tick and desks at the same requests at the same time: they wait for each other, hardly ever both."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from fleet.access.principal import SYSTEM, Grant, Principal
from fleet.access.roles import Role
from fleet.alerts.quieting import handling
from fleet.alerts.requests import desk, proving, writing
from fleet.alerts.sla import watching
from fleet.db import roles
from fleet.db.connect import connect
from fleet.errors import FleetError
from tests.alerts_world import World
from tests.alerts_world import world as make_world
from tests.requests_world import differences
from tests.support import eventually

FOR_S = 5.0
DESKS = 5
KITS = 12
RARELY = 50
"""At most one act in so many has to be done again."""
AGENT = Principal("user", 7, "agent", (Grant(Role.SERVICE),))
Connection = AsyncConnection[Any]
SEEN_SOON = b"SELECT set_config('deadlock_timeout', '20ms', false)"
"""Who waits so long is looked at for whether both wait."""


@pytest.fixture
async def fleet(database: str) -> AsyncIterator[World]:
    """Kits of two organisations that fail by two rules each, with a request for either."""
    async with make_world(database) as made:
        await made.connection.execute(SEEN_SOON)
        await made.connection.execute("INSERT INTO organisations (slug, name) VALUES ('a', 'A'), ('b', 'B')")
        await made.connection.execute("UPDATE incident_settings SET enabled = false")
        await made.connection.execute("UPDATE rules SET flap_openings = 1000, for_s = 0, keep_firing_for_s = 0")
        for kit in await made.add(KITS):
            await made.want(kit, app="2")
            await made.report(kit, app="1")
        await made.live(240, step_s=20)
        assert await made.open_requests() == 2 * KITS
        yield made


async def _tick(fleet: World, ends_s: float) -> Counter[str]:
    """Ticks in which a third of the kits gets well and another third fails again."""
    done: Counter[str] = Counter()
    kits = await fleet.scalars("SELECT kit_id FROM kits ORDER BY kit_id")
    third = KITS // 3
    while monotonic() < ends_s:
        random.shuffle(kits)
        await fleet.connection.execute(
            "UPDATE latest_reports SET body = jsonb_build_object("
            "'app', CASE WHEN kit_id = ANY (%s) THEN '2' ELSE '1' END) WHERE kit_id = ANY (%s)",
            (kits[:third], kits[: 2 * third]),
        )
        await fleet.connection.execute("INSERT INTO evaluation_queue (kit_id) SELECT unnest(%s)", (kits[: 2 * third],))
        await fleet.advance(20, heard=kits[: 2 * third])
        await _counted(done, "tick", fleet.tick())
    return done


async def _beside(database: str, ends_s: float) -> Counter[str]:
    """The worker's tasks beside the tick."""
    done: Counter[str] = Counter()
    async with await _connected(database) as connection:
        while monotonic() < ends_s:
            now = await _now(connection)
            await connection.execute("UPDATE contracts SET remeasure_from = 0")
            await _counted(done, "proof", proving.prove(connection, now))
            await _counted(done, "sla", watching.look(connection, now))
    return done


async def _desk(database: str, ends_s: float) -> Counter[str]:
    """Somebody who does whatever can be done, to requests at random."""
    done: Counter[str] = Counter()
    async with await _connected(database) as connection:
        while monotonic() < ends_s:
            cursor = await connection.execute("SELECT number FROM service_requests ORDER BY random() LIMIT 2")
            first, second = [row[0] for row in await cursor.fetchall()]
            what = random.choice(list(ACTS))
            await _counted(done, what, ACTS[what](connection, first, second))
    return done


async def _counted(done: Counter[str], what: str, work: Awaitable[Any]) -> None:
    try:
        await work
        done[what] += 1
    except FleetError:
        done["refused"] += 1
    except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
        # Whoever was first has the place; the worker does it again, a desk is told to.
        done["again"] += 1


async def _acknowledge(connection: Connection, first: str, second: str) -> None:
    cursor = await connection.execute("SELECT alert_id FROM alerts WHERE state = 'active' ORDER BY random() LIMIT 1")
    for (alert_id,) in await cursor.fetchall():
        await handling.acknowledge(connection, alert_id, actor="somebody", comment="seen")


async def _move(connection: Connection, first: str, second: str) -> None:
    await connection.execute(
        "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations ORDER BY random() LIMIT 1)"
        " WHERE kit_id = (SELECT kit_id FROM kits ORDER BY random() LIMIT 1)"
    )


ACTS: dict[str, Callable[[Connection, str, str], Awaitable[Any]]] = {
    "merge": lambda c, a, b: desk.merge(c, a, b, by=SYSTEM),
    "link": lambda c, a, b: desk.link(c, a, "related", b, by=SYSTEM),
    "comment": lambda c, a, _: desk.comment(c, a, "said", "internal", by=SYSTEM),
    "work": lambda c, a, _: desk.change_request(c, a, {"state": "in_progress"}, by=SYSTEM),
    "resolve": lambda c, a, _: desk.resolve(c, a, cause="use_error", remedy="advice", resolution=None, by=SYSTEM),
    "reopen": lambda c, a, _: desk.reopen(c, a, "again", by=SYSTEM),
    "acknowledge": _acknowledge,
    "move": _move,
}


async def _connected(database: str) -> Connection:
    connection = await connect(database, role="test")
    await connection.execute(SEEN_SOON)
    await connection.execute(f"SET ROLE {roles.WORKER}".encode())
    return connection


async def _now(connection: Connection) -> Any:
    cursor = await connection.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    assert row is not None
    return row[0]


async def test_ticks_and_desks_hardly_ever_wait_for_each_other_both(fleet: World, database: str) -> None:
    ends_s = monotonic() + FOR_S
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_tick(fleet, ends_s)), group.create_task(_beside(database, ends_s))]
        tasks += [group.create_task(_desk(database, ends_s)) for _ in range(DESKS)]
    done = sum((task.result() for task in tasks), Counter[str]())
    assert done["again"] * RARELY <= done.total(), done
    assert {"tick", "proof", "sla", "merge", "resolve", "move"} <= done.keys(), done
    assert await differences(fleet.connection) == []


async def test_who_comments_on_what_was_merged_holds_who_speaks_for_it_first(fleet: World, database: str) -> None:
    numbers = "SELECT number FROM service_requests WHERE kit_id = (SELECT min(kit_id) FROM kits) ORDER BY request_id"
    speaks, merged = await fleet.scalars(numbers)
    await desk.merge(fleet.connection, merged, speaks, by=SYSTEM)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with await _connected(database) as tick, await _connected(database) as other:
        async with asyncio.TaskGroup() as group, tick.transaction():
            await writing.hold(tick, numbers=[speaks])
            said = group.create_task(desk.comment(other, merged, "said", "internal", by=AGENT))
            await eventually(lambda: fleet.value(waiting))
            await tick.execute("SELECT FROM service_requests WHERE number = %s FOR UPDATE NOWAIT", (merged,))
        assert said.done()
    assert await fleet.scalars("SELECT responded_at IS NOT NULL FROM service_requests WHERE number = %s", speaks) == [
        True
    ]
