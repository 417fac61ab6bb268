"""One look of the worker: read, decide, write, in a few short transactions.

What was detected and what it opens commit together, so a worker that dies leaves either both or neither, and the
next one finds the rest as it stands in the database.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts import read
from fleet.alerts.apply import apply
from fleet.alerts.evaluate import evaluate, wake
from fleet.alerts.judging import scan
from fleet.alerts.judging.facts import Clock
from fleet.alerts.judging.settings import Settings
from fleet.alerts.massevents import gathering, silent
from fleet.alerts.quieting import review
from fleet.alerts.result import TickResult
from fleet.alerts.rules import RuleName

__all__ = ["TickResult", "tick"]

Connection = AsyncConnection[Any]
Take = Callable[[Connection], Awaitable[tuple[list[int], bool]]]

BATCHES_PER_TICK = 5
SWEEPS_PER_TICK = 2
"""Batches of the round after a change of the settings: nobody waits for those."""


@dataclass(slots=True)
class _Moment:
    """What a tick decides by; `settings` are read anew when kits turn out to have a set of variants of their own."""

    settings: Settings
    clock: Clock
    now: datetime


async def tick(connection: Connection, now: datetime) -> TickResult:
    """Evaluate what changed since the last tick and what time has brought; `now` is the database's time."""
    began_s = time.perf_counter()
    result = TickResult()
    async with connection.transaction():
        await review.turn_windows(connection, now)
    at = _Moment(await read.settings(connection), await read.clock(connection, now), now)
    changed = await _batches(connection, read.take_from_queue, BATCHES_PER_TICK, at, result)
    await _due(connection, at, result)
    await _scanned(connection, at, result)
    if not changed:
        await _batches(connection, read.take_from_sweep, SWEEPS_PER_TICK, at, result)
    if RuleName.SILENT in at.settings.base:
        async with connection.transaction():
            await silent.look(connection, at.settings, now, result)
    async with connection.transaction():
        result.applied.add(await gathering.review(connection, at.settings.base, at.clock.clock_s, now))
    async with connection.transaction():
        result.applied.requests_opened += await review.lift(connection, now)
    result.duration_s = time.perf_counter() - began_s
    return result


async def _batches(connection: Connection, take: Take, most: int, at: _Moment, result: TickResult) -> bool:
    """Kits that wait to be evaluated, batch by batch; whether more are left than one tick takes."""
    more = False
    for _ in range(most):
        async with connection.transaction():
            kit_ids, more = await take(connection)
            await _evaluate(connection, kit_ids, at, result)
        if not more:
            break
    result.more |= more
    return more


async def _due(connection: Connection, at: _Moment, result: TickResult) -> None:
    """Kits whose time has come."""
    await _in_batches(connection, await read.kits_due(connection, at.clock, at.now), at, result)


async def _scanned(connection: Connection, at: _Moment, result: TickResult) -> None:
    """Kits whose latest heartbeat, or the listening clock, says otherwise than stands."""
    async with connection.transaction():
        kit_ids = await scan.differing(connection, at.settings, at.clock)
    await _in_batches(connection, kit_ids, at, result)
    result.more |= len(kit_ids) == scan.MOST


async def _in_batches(connection: Connection, kit_ids: Sequence[int], at: _Moment, result: TickResult) -> None:
    """Each batch in a transaction of its own, so that it holds what it changes in one order."""
    for begin in range(0, len(kit_ids), read.BATCH):
        async with connection.transaction():
            await _evaluate(connection, kit_ids[begin : begin + read.BATCH], at, result)


async def _evaluate(connection: Connection, kit_ids: Sequence[int], at: _Moment, result: TickResult) -> None:
    """Judge these kits by all rules and write what follows, in the caller's transaction."""
    if not kit_ids:
        return
    if at.settings.varies:
        await read.assign_sets(connection, kit_ids)
    facts = await read.facts(connection, kit_ids, at.settings, at.now)
    if at.settings.varies and any(each.rule_set not in at.settings.of for each in facts):
        at.settings = await read.settings(connection)
        facts = await read.facts(connection, kit_ids, at.settings, at.now)
    actions, wakes = [], {}
    for each in facts:
        rules = at.settings.rules_of(each.rule_set)
        actions += evaluate(each, rules, at.clock, at.now)
        wakes[each.kit_id] = wake(each, rules, at.now)
    result.evaluated += len(facts)
    await read.note_wakes(connection, wakes, at.now)
    gathered = await gathering.gather(connection, actions, at.settings.base, at.clock.clock_s, at.now)
    result.applied.add(await apply(connection, gathered, at.settings.base, at.now))
