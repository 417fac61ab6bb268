"""The leading worker's task that compares books and reality: what changed at once, everything every few minutes.

It writes on a connection of its own in short transactions, so that the tick never waits for it. What it does is settled
by the database's own constraints; a second one beside it would change nothing more.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from fleet import metrics
from fleet.alerts import read
from fleet.alerts.actions import Action, HoldPending
from fleet.alerts.applied import Applied
from fleet.alerts.apply import apply
from fleet.alerts.books import STANDING, BookFacts, evaluate_books
from fleet.alerts.judging.catalogue import RULE_OF
from fleet.alerts.massevents.gathering import gather
from fleet.alerts.rules import RuleName
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.log import get_logger
from fleet.state.findings import store
from fleet.state.findings.kinds import Kind
from fleet.state.findings.store import Part, Settled

log = get_logger(__name__)
Connection = AsyncConnection[Any]

QUERIES = load_queries("fleet.alerts", "comparing.sql")
EVERY_S = 2.0
HEARING_EVERY_S = 30.0
WHOLE_EVERY_S = 300.0
LARGEST_SHARE = 0.1
"""Share of the time that comparing may take; a larger fleet is compared less often."""
SLICE_S = 1.0
KITS_AT_ONCE = 20_000
BATCHES = 5
ALERTS_AT_ONCE = 2_000
STATEMENT_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Compared:
    """What one round did; `held` kits wait, because it is being counted whether they are part of a mass event."""

    settled: Settled = field(default_factory=Settled)
    applied: Applied = field(default_factory=Applied)
    held: int = 0
    more: bool = False


Step = Callable[[Connection, datetime], Awaitable[Settled]]


class Comparer:
    """Rounds on one connection. A look at the whole fleet is cut into steps, of which a round takes a second's worth.

    What changes is compared at once, so that the whole is for what no queue tells of: time, and what was missed.
    """

    def __init__(self, connection: Connection, goes_on: Callable[[], bool] = lambda: True) -> None:
        self._connection, self._goes_on = connection, goes_on
        self._hearing_due_s = self._whole_due_s = 0.0
        self._steps: deque[Step] = deque()
        self._worked_s = 0.0

    @property
    def in_the_midst(self) -> bool:
        """Whether a look at the whole fleet is not finished yet."""
        return bool(self._steps)

    async def round(self, now: datetime) -> Compared:
        """What changed, then what is due, then the alerts that follow."""
        done = Compared()
        await self._changed(now, done)
        if perf_counter() >= self._hearing_due_s:
            took_s = await self._take(store.compare_hearing, now, done)
            self._hearing_due_s = perf_counter() + max(HEARING_EVERY_S, took_s / LARGEST_SHARE)
        if not self._steps and perf_counter() >= self._whole_due_s:
            self._steps.extend(await self._whole())
        if self._steps:
            await self._go_on(now, done)
        async with self._connection.transaction():
            await alert(self._connection, now, done)
        return done

    async def _changed(self, now: datetime, done: Compared) -> None:
        for _ in range(BATCHES):
            async with self._connection.transaction():
                kit_ids, done.more = await store.take_from_queue(self._connection)
                if kit_ids:
                    done.settled.add(await store.compare_kits(self._connection, store.part_of(kit_ids), now))
            if not done.more:
                return

    async def _whole(self) -> list[Step]:
        """Every kit, part by part, and what is looked for in all of them together."""
        self._worked_s = 0.0
        first, last = await store.bounds(self._connection)
        parts = [Part(at, min(at + KITS_AT_ONCE - 1, last)) for at in range(first, last + 1, KITS_AT_ONCE)]
        steps: list[Step] = [partial(_compare_part, part) for part in parts]
        return [*steps, store.compare_shared, store.compare_dates, store.compare_stock]

    async def _go_on(self, now: datetime, done: Compared) -> None:
        """Take steps for about a second."""
        end_s = perf_counter() + SLICE_S
        while self._steps and self._goes_on() and perf_counter() < end_s:
            self._worked_s += await self._take(self._steps[0], now, done)
            self._steps.popleft()
        done.more |= self.in_the_midst
        if not self._steps:
            self._whole_due_s = perf_counter() + max(WHOLE_EVERY_S, self._worked_s / LARGEST_SHARE)

    async def _take(self, step: Step, now: datetime, done: Compared) -> float:
        """One step in a transaction of its own; gives how long it took."""
        began_s = perf_counter()
        async with self._connection.transaction():
            done.settled.add(await step(self._connection, now))
        return perf_counter() - began_s


async def _compare_part(part: Part, connection: Connection, now: datetime) -> Settled:
    return await store.compare_kits(connection, part, now)


async def alert(connection: Connection, now: datetime, done: Compared) -> None:
    """Bring the alerts of every rule that findings feed up to what stands, in the caller's transaction."""
    settings = await read.settings(connection)
    speaks = {kind: rule for kind, rule in RULE_OF.items() if rule in settings.base}
    applying = [(number, rules[name]) for number, rules in settings.of.items() for name in set(speaks.values())]
    values = {
        "kinds": [str(kind) for kind in speaks],
        "rules": [str(rule) for rule in speaks.values()],
        "standing": list(STANDING),
        "of_rules": [str(rule.rule) for _, rule in applying],
        "of_sets": [number for number, _ in applying],
        "versions": [rule.version for _, rule in applying],
        "enabled": [rule.enabled for _, rule in applying],
        "for_s": [rule.for_s for _, rule in applying],
        "keep_s": [rule.keep_firing_for_s for _, rule in applying],
        "now": now,
        "limit": ALERTS_AT_ONCE,
    }
    async with connection.cursor(row_factory=class_row(BookFacts)) as rows:
        await rows.execute(QUERIES["book_facts"], values)
        facts = await rows.fetchall()
    actions: list[Action] = []
    began_s: dict[tuple[int, RuleName], float] = {}
    for each in facts:
        rule = settings.rules_of(each.rule_set)[RuleName(each.rule)]
        actions += evaluate_books(each, rule, now)
        if each.kit_id is not None and each.since is not None:
            began_s[each.kit_id, rule.rule] = each.since.timestamp() + rule.for_s
    clock = await read.clock(connection, now)
    gathered = await gather(connection, actions, settings.base, clock.clock_s, now, began_s=began_s)
    # Who waits is found again in the next round.
    ready = [action for action in gathered if not isinstance(action, HoldPending)]
    done.held = len(gathered) - len(ready)
    done.applied.add(await apply(connection, ready, settings.base, now))
    done.more |= len(facts) == ALERTS_AT_ONCE and done.held < len(facts)


async def compare_while(dsn: str, goes_on: Callable[[], bool], pause: Callable[[float], Awaitable[None]]) -> None:
    """Round after round until `goes_on` says no; raises what the database raises."""
    connection = await connect(dsn, role="worker-books", run_as=roles.WORKER, statement_timeout_s=STATEMENT_TIMEOUT_S)
    try:
        comparer = Comparer(connection, goes_on)
        while goes_on():
            began_s = perf_counter()
            done = await comparer.round(await _now(connection))
            _tell(done, await _standing(connection))
            took_s = perf_counter() - began_s
            await pause(max(0.0 if done.more else EVERY_S, took_s * (1 / LARGEST_SHARE - 1) if done.more else 0.0))
    finally:
        for kind in Kind:
            metrics.FINDINGS.labels(kind).set(0)
        metrics.FINDINGS_HELD.set(0)
        await connection.close()


async def _now(connection: Connection) -> datetime:
    cursor = await connection.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


async def _standing(connection: Connection) -> dict[str, int]:
    cursor = await connection.execute(QUERIES["count_findings"])
    return dict(await cursor.fetchall())


def _tell(done: Compared, standing: dict[str, int]) -> None:
    for kind in Kind:
        metrics.FINDINGS.labels(kind).set(standing.get(kind, 0))
    metrics.FINDINGS_HELD.set(done.held)
    for kind, count in done.settled.opened.items():
        metrics.FINDINGS_OPENED.labels(kind).inc(count)
    applied = done.applied
    for rule, count in applied.opened.items():
        metrics.ALERTS_OPENED.labels(rule).inc(count)
    for (rule, resolution), count in applied.cleared.items():
        metrics.ALERTS_CLEARED.labels(rule, resolution).inc(count)
    metrics.REQUESTS_OPENED.inc(applied.requests_opened)
    metrics.REQUESTS_RESOLVED.inc(applied.requests_resolved)
    if done.settled.changed or applied.changed:
        log.info(
            "compared with the books",
            opened=_counts(done.settled.opened),
            cleared=_counts(done.settled.cleared),
            alerts_opened=applied.opened.total(),
            alerts_cleared=applied.cleared.total(),
            held=done.held,
        )


def _counts(kinds: Counter[Kind]) -> dict[str, int]:
    return {kind.value: count for kind, count in kinds.items()}
