"""Settle a batch whatever happens: stored, or held and tried again, or bisected down to what the database refuses."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
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


class Settler:
    """Brings batches into the database through one `Writer`; keeps the window held while it is away."""

    def __init__(self, writer: Writer, decoder: Decoder) -> None:
        self._writer = writer
        self._decoder = decoder

    async def settle(
        self, batch: Sequence[Incoming], clock: ListeningClock, connection: Connection, *, write_clock: bool
    ) -> None:
        """Return when every message of `batch` is committed, as history or in the quarantine.

        Raises `NotLeaderError` when another process took the slot over meanwhile, `ConnectionLostError` when the
        broker went away while the database was not to be had: it will send the batch again.
        """
        reports, refusals = self._decode(batch)
        await self._store(reports, refusals, clock, connection, write_clock=write_clock)

    def _decode(self, batch: Sequence[Incoming]) -> tuple[list[Report], list[Refusal]]:
        reports: list[Report] = []
        refusals: list[Refusal] = []
        for message in batch:
            decoded = self._decoder.decode(message)
            if isinstance(decoded, Report):
                reports.append(decoded)
            elif decoded is not None:
                refusals.append(decoded)
        for kind, count in Counter(report.kind for report in reports).items():
            metrics.RECEIVED.labels(kind.value).inc(count)
        for kind_name, count in Counter(refusal.kind for refusal in refusals).items():
            metrics.RECEIVED.labels(kind_name).inc(count)
        return reports, refusals

    async def _store(
        self,
        reports: Sequence[Report],
        refusals: Sequence[Refusal],
        clock: ListeningClock,
        connection: Connection,
        *,
        write_clock: bool,
    ) -> None:
        """Store with retries; halve what the database refuses for its data, and quarantine a single one."""
        doubt_all = False
        retry_s = FIRST_RETRY_S
        while True:
            try:
                started = perf_counter()
                async with asyncio.timeout(ATTEMPT_DEADLINE_S):
                    plan = await self._writer.store(
                        reports, refusals, clock, write_clock=write_clock, doubt_all=doubt_all
                    )
                _count(plan, reports, refusals, perf_counter() - started)
            except (psycopg.Error, OSError, TimeoutError) as error:
                if isinstance(error, psycopg.Error) and is_datas_fault(error):
                    if len(reports) > 1:
                        log.warning(
                            "batch refused, halving it", messages=len(reports), error=first_line(error)
                        )
                        half = len(reports) // 2
                        await self._store(reports[:half], refusals, clock, connection, write_clock=False)
                        await self._store(reports[half:], (), clock, connection, write_clock=write_clock)
                        return
                    if not doubt_all:
                        doubt_all = True
                        continue
                    rejection = Rejection(Reason.REFUSED_BY_DATABASE, first_line(error)[:300])
                    refusals = [
                        *refusals,
                        *(refuse(report.source, rejection, report.kind) for report in reports),
                    ]
                    reports = ()
                    continue
                metrics.STORE_RETRIES.inc()
                log.warning("batch not stored, trying again", messages=len(reports), error=first_line(error))
                await self._recover(error, connection, retry_s)
                retry_s = min(retry_s * 2, LONGEST_RETRY_S)
            else:
                return

    async def _recover(self, error: BaseException, connection: Connection, retry_s: float) -> None:
        """Wait a little, then make sure that we are still the writer."""
        await asyncio.wait({connection.lost}, timeout=retry_s * random.uniform(0.5, 1.5))  # noqa: S311
        try:
            if isinstance(error, psycopg.Error) and is_missing_partition(error):
                log.warning("partitions were missing", made=await self._writer.ensure_partitions())
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


def _count(plan: Plan, reports: Sequence[Report], refusals: Sequence[Refusal], took_s: float) -> None:
    for kind, count in Counter(report.kind for _, report in plan.new).items():
        metrics.COMMITTED.labels(kind.value).inc(count)
    for kind, count in plan.repeats.items():
        metrics.DUPLICATE.labels(kind.value).inc(count)
    for refusal in (*refusals, *plan.refusals):
        metrics.QUARANTINED.labels(refusal.kind, refusal.reason.value).inc()
    if reports or refusals:
        metrics.BATCH_SIZE.observe(len(reports) + len(refusals))
        metrics.BATCH_SECONDS.observe(took_s)
