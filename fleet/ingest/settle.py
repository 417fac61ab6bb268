"""Settle a batch whatever happens: stored, or held and tried again, or bisected down to what the database refuses."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import psycopg

from fleet import metrics
from fleet.db.connect import first_line
from fleet.ingest.connection import Connection, ConnectionLostError, Incoming
from fleet.ingest.decode import Decoder, Refusal, Report, refuse
from fleet.ingest.listening import ListeningClock
from fleet.ingest.plan import Plan
from fleet.ingest.store import NotLeaderError, Writer, is_datas_fault, is_missing_partition
from fleet.log import get_logger
from fleet.protocol.messages import Reason, Rejection

log = get_logger(__name__)

ATTEMPT_DEADLINE_S = 60.0
FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 2.0
LOCK_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch on its way: what can be stored, what goes to the quarantine, and the clock as it will stand then."""

    reports: Sequence[Report]
    refusals: Sequence[Refusal]
    clock: ListeningClock
    write_clock: bool


class Settler:
    """Brings batches into the database through one `Writer`; keeps the window held while it is away."""

    def __init__(self, writer: Writer, decoder: Decoder) -> None:
        self._writer = writer
        self._decoder = decoder

    async def settle(
        self, messages: Sequence[Incoming], clock: ListeningClock, connection: Connection, *, write_clock: bool
    ) -> None:
        """Return when every one of `messages` is committed, as history or in the quarantine.

        Raises `NotLeaderError` when another process took the slot over meanwhile, `ConnectionLostError` when the
        broker went away while the database was not to be had: it will send the batch again.
        """
        reports, refusals = self._decode(messages)
        await self._store(Decoded(reports, refusals, clock, write_clock), connection)

    def _decode(self, messages: Sequence[Incoming]) -> tuple[list[Report], list[Refusal]]:
        reports: list[Report] = []
        refusals: list[Refusal] = []
        for message in messages:
            decoded = self._decoder.decode(message)
            if isinstance(decoded, Report):
                reports.append(decoded)
            elif decoded is not None:
                refusals.append(decoded)
        received = Counter(str(report.kind) for report in reports) + Counter(refusal.kind for refusal in refusals)
        for kind, count in received.items():
            metrics.RECEIVED.labels(kind).inc(count)
        return reports, refusals

    async def _store(self, batch: Decoded, connection: Connection, *, doubt_all: bool = False) -> None:
        """Store with retries; what the database refuses for its data is taken apart instead."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self._attempt(batch, doubt_all=doubt_all)
            except (psycopg.Error, OSError, TimeoutError) as error:
                if batch.reports and isinstance(error, psycopg.Error) and is_datas_fault(error):
                    await self._take_apart(batch, error, connection, doubt_all=doubt_all)
                    return
                metrics.STORE_RETRIES.inc()
                metrics.LISTENING.set(0)
                log.warning("batch not stored, trying again", messages=len(batch.reports), error=first_line(error))
                await self._recover(error, batch, connection, retry_s)
                retry_s = min(retry_s * 2, LONGEST_RETRY_S)
            else:
                return

    async def _attempt(self, batch: Decoded, *, doubt_all: bool) -> None:
        started = perf_counter()
        async with asyncio.timeout(ATTEMPT_DEADLINE_S):
            plan = await self._writer.store(
                batch.reports, batch.refusals, batch.clock, write_clock=batch.write_clock, doubt_all=doubt_all
            )
        _count(plan, batch, perf_counter() - started)

    async def _take_apart(
        self, batch: Decoded, error: psycopg.Error, connection: Connection, *, doubt_all: bool
    ) -> None:
        """Halve a refused batch; a single message is looked up once more, then quarantined."""
        reports = batch.reports
        if batch.refusals:
            await self._store(replace(batch, reports=(), write_clock=False), connection)
            await self._store(replace(batch, refusals=()), connection)
        elif len(reports) > 1:
            log.warning("batch refused, halving it", messages=len(reports), error=first_line(error))
            half = len(reports) // 2
            await self._store(replace(batch, reports=reports[:half], write_clock=False), connection)
            await self._store(replace(batch, reports=reports[half:]), connection)
        elif not doubt_all:
            await self._store(batch, connection, doubt_all=True)
        else:
            rejection = Rejection(Reason.REFUSED_BY_DATABASE, first_line(error)[:300])
            refused = refuse(reports[0].source, rejection, reports[0].kind)
            await self._store(replace(batch, reports=(), refusals=(refused,)), connection)

    async def _recover(self, error: BaseException, batch: Decoded, connection: Connection, retry_s: float) -> None:
        """Wait a little, then make sure that we are still the writer."""
        await asyncio.wait({connection.lost}, timeout=retry_s * random.uniform(0.5, 1.5))  # noqa: S311
        try:
            if isinstance(error, psycopg.Error) and is_missing_partition(error):
                oldest = min(report.stamp.time for report in batch.reports).date()
                log.warning("partitions were missing", made=await self._writer.ensure_partitions(oldest))
            try:
                await self._writer.check()
            except psycopg.Error:
                await self._reopen(connection)
        except (psycopg.Error, OSError, TimeoutError) as still:
            log.warning("database away", error=first_line(still), held=connection.in_flight)
            if connection.lost.done():
                raise ConnectionLostError(connection.lost.result()) from still

    async def _reopen(self, connection: Connection) -> None:
        """Take the lock again; our own broken session may hold it for a moment longer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_PATIENCE_S
        while True:
            try:
                async with asyncio.timeout(ATTEMPT_DEADLINE_S):
                    await self._writer.open()
            except NotLeaderError:
                if loop.time() > deadline or connection.lost.done():
                    raise
                await asyncio.wait({connection.lost}, timeout=0.2)
            else:
                return


def _count(plan: Plan, batch: Decoded, took_s: float) -> None:
    for kind, count in Counter(report.kind for _, report in plan.new).items():
        metrics.COMMITTED.labels(kind.value).inc(count)
    for kind, count in plan.repeats.items():
        metrics.DUPLICATE.labels(kind.value).inc(count)
    for refusal in (*batch.refusals, *plan.refusals):
        metrics.QUARANTINED.labels(refusal.kind, refusal.reason.value).inc()
    if batch.reports or batch.refusals:
        metrics.BATCH_SIZE.observe(len(batch.reports) + len(batch.refusals))
        metrics.BATCH_SECONDS.observe(took_s)
