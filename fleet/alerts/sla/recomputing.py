"""Requests measured anew from their logs, and the outcome written beside them in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row

from fleet.alerts.sla.escalating import Plan, plan
from fleet.alerts.sla.measuring import Clocks, follow, measure, unmeasured
from fleet.alerts.sla.terms import Event, Terms, entries_of, terms_of, told_keys
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]

_SQL = load_queries("fleet.alerts.sla", "sla.sql")

BATCH = 2000
"""Requests whose logs are held in memory at once."""


@dataclass(frozen=True, slots=True)
class Header:
    """What of a request does not stand in its log; another one is measured for one that was `merged` unresolved."""

    request_id: int
    contract_id: int
    priority: str
    opened_at: datetime
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """A request as it stands, and what is to be told of it."""

    header: Header
    terms: Terms
    clocks: Clocks
    plan: Plan


async def recompute(connection: Connection, request_ids: Iterable[int], now: datetime) -> int:
    """Measure requests from their logs and write how they stand; returns how many.

    Call it in the transaction that appended to the logs. Who speaks for one of them is measured with it. A request
    without a contract gets the one that applied when it was opened.
    """
    given = set(request_ids)
    cursor = await connection.execute(_SQL["speakers"], {"request_ids": list(given)})
    wanted = sorted(given.union(row[0] for row in await cursor.fetchall()))
    count = 0
    for start in range(0, len(wanted), BATCH):
        found = await measured(connection, wanted[start : start + BATCH], now)
        await _project(connection, found)
        count += len(found)
    return count


async def measured(connection: Connection, request_ids: Sequence[int], now: datetime) -> list[Measured]:
    """A batch of requests as they stand; writes nothing but which contract applies."""
    if not request_ids:
        return []
    values = {"request_ids": list(request_ids)}
    await connection.execute(_SQL["fix_contracts"], values)
    async with connection.cursor(row_factory=class_row(Header)) as cursor:
        await cursor.execute(_SQL["headers"], values)
        headers = await cursor.fetchall()
    logs = await _logs(connection, "logs", values)
    spoken_for = await _logs(connection, "spoken_for", values)
    terms = await terms_by_contract(connection, {each.contract_id for each in headers})
    now = now.astimezone(UTC)
    return [
        judge(each, logs.get(each.request_id, []), terms[each.contract_id], now, spoken_for.get(each.request_id, []))
        for each in headers
    ]


async def terms_by_contract(connection: Connection, contract_ids: Iterable[int]) -> dict[int, Terms]:
    """The terms of contracts by their numbers."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["terms"], {"contract_ids": list(contract_ids)})
        return {row["contract_id"]: terms_of(row) for row in await cursor.fetchall()}


def judge(
    header: Header, events: Sequence[Event], terms: Terms, now: datetime, spoken_for: Sequence[Event] = ()
) -> Measured:
    """One request from its log and those of whom it speaks for; `now` in UTC.

    What was merged unresolved has no clock. What was told of it already is not told again of who speaks for it.
    """
    log = entries_of(events, header.opened_at, header.priority, spoken_for)
    clocks = measure(log, terms.calendar, terms.targets, now)
    if header.merged:
        return Measured(header, terms, unmeasured(clocks), Plan((), None))
    known = told_keys([*events, *spoken_for])
    return Measured(header, terms, clocks, plan(follow(log, now), clocks, terms.calendar, terms.steps, known))


async def _logs(connection: Connection, query: str, values: Mapping[str, Any]) -> dict[int, list[Event]]:
    async with connection.cursor(row_factory=class_row(Event)) as cursor:
        await cursor.execute(_SQL[query], values)
        return {number: list(each) for number, each in groupby(await cursor.fetchall(), lambda row: row.request_id)}


async def _project(connection: Connection, found: Sequence[Measured]) -> None:
    if found:
        rows = [_row(each) for each in found]
        await connection.execute(_SQL["project"], {name: [row[name] for row in rows] for name in rows[0]})


def _row(each: Measured) -> Mapping[str, Any]:
    clocks = each.clocks
    return {
        "request_id": each.header.request_id,
        "response_due_at": clocks.response.due,
        "update_due_at": clocks.update.due if clocks.update.at is None else None,
        "due_at": clocks.solution.due,
        "responded_at": clocks.response.at,
        "sla_state": clocks.state,
        "sla_breaches": ",".join(clocks.breaches),
        "next_escalation_at": each.plan.look_at,
    }
