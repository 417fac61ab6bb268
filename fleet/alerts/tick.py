"""One look of the worker: read, decide, write, in a few short transactions.

What was detected and what it opens commit together, so a worker that dies leaves either both or neither, and the
next one finds the rest as it stands in the database.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from fleet.alerts import read
from fleet.alerts.apply import apply
from fleet.alerts.evaluate import evaluate_drift
from fleet.alerts.massevents import silent
from fleet.alerts.result import TickResult
from fleet.alerts.rules import Rule, RuleName

__all__ = ["TickResult", "tick"]

Connection = AsyncConnection[Any]
Rules = Mapping[RuleName, Rule]

BATCHES_PER_TICK = 5


async def tick(connection: Connection, now: datetime) -> TickResult:
    """Evaluate what changed since the last tick and what time has brought; `now` is the database's time."""
    began_s = time.perf_counter()
    result = TickResult()
    rules = await read.rules(connection)
    if RuleName.VERSION_DRIFT in rules:
        await _drift(connection, rules, now, result)
    if RuleName.SILENT in rules:
        async with connection.transaction():
            await silent.look(connection, rules, now, result)
    result.duration_s = time.perf_counter() - began_s
    return result


async def _drift(connection: Connection, rules: Rules, now: datetime, result: TickResult) -> None:
    """Kits that changed, batch by batch, then those whose time has come."""
    for _ in range(BATCHES_PER_TICK):
        async with connection.transaction():
            kit_ids, result.more = await read.take_from_queue(connection)
            await _evaluate(connection, kit_ids, rules, now, result)
        if not result.more:
            break
    async with connection.transaction():
        kit_ids = await read.drift_kits_due(connection, rules[RuleName.VERSION_DRIFT], now)
        await _evaluate(connection, kit_ids, rules, now, result)


async def _evaluate(
    connection: Connection, kit_ids: list[int], rules: Rules, now: datetime, result: TickResult
) -> None:
    if not kit_ids:
        return
    rule = rules[RuleName.VERSION_DRIFT]
    facts = await read.drift_facts(connection, kit_ids)
    actions = [action for each in facts for action in evaluate_drift(each, rule, now)]
    result.evaluated += len(facts)
    result.applied.add(await apply(connection, actions, rules, now))
