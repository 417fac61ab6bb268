"""The ingest process: stand by, lead, connect, pump; stop, drain, close."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime

import psycopg

from fleet import metrics
from fleet.config import Settings
from fleet.db.connect import first_line
from fleet.errors import UnavailableError
from fleet.ingest.connection import Connection, ConnectionLostError, Incoming, Window, open_connection
from fleet.ingest.decode import Decoder
from fleet.ingest.listening import MARKER_EVERY_S, ListeningClock, ListeningState
from fleet.ingest.settle import Settler
from fleet.ingest.store import NotLeaderError, Writer
from fleet.log import get_logger
from fleet.protocol.topics import Topics
from fleet.rolemain import serve_until_signal

log = get_logger(__name__)

SLOT = 0
BATCH_MESSAGES = 5_000
FLUSH_AGE_S = 0.025
STANDBY_POLL_S = 0.5
DRAIN_DEADLINE_S = 8.0
LONGEST_RECONNECT_S = 5.0
GC_THRESHOLDS = (100_000, 50, 100)
"""A batch makes tens of thousands of short-lived values without cycles: looking for cycles so often is waste."""


class Ingest:
    """One ingest process; `run` until `stop` is set."""

    def __init__(self, settings: Settings, stop: asyncio.Event, window: Window | None = None) -> None:
        self._endpoint = settings.endpoint()
        self._topics = Topics(settings.topic_root)
        self._client_id = f"fleet-ingest-{settings.topic_root.replace('/', '-')}-{SLOT}"
        self._marker_topic = self._topics.marker(self._client_id)
        self._marker_key = os.urandom(8).hex().encode()
        self._window = window
        self._stop = stop
        self._writer = Writer(settings.dsn(), SLOT)
        self._settler = Settler(self._writer, Decoder(self._topics))
        self._clock = ListeningClock()
        self._partitions_on: date | None = None

    async def run(self) -> None:
        """Stand by until the slot is free, lead until it is lost, and so on until `stop`."""
        try:
            while not self._stop.is_set():
                if await self._take_slot():
                    await self._lead()
        finally:
            await self._writer.close()

    async def _take_slot(self) -> bool:
        try:
            await self._writer.open()
            self._clock = await self._writer.read_clock()
            await self._make_partitions()
        except NotLeaderError:
            await self._pause(STANDBY_POLL_S)
            return False
        except (psycopg.Error, OSError) as error:
            log.warning("database away", error=first_line(error))
            await self._pause(STANDBY_POLL_S)
            return False
        log.info("leading", slot=SLOT, client_id=self._client_id)
        return True

    async def _lead(self) -> None:
        metrics.INGEST_LEADER.set(1)
        retry_s = 0.1
        try:
            while not self._stop.is_set():
                connected = await self._serve_connection()
                retry_s = 0.1 if connected else min(retry_s * 2, LONGEST_RECONNECT_S)
                await self._pause(retry_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                await self._writer.check()
        except (NotLeaderError, psycopg.Error, OSError) as error:
            log.warning("slot lost", error=first_line(error))
        finally:
            metrics.INGEST_LEADER.set(0)
            await self._writer.close()

    async def _serve_connection(self) -> bool:
        """Connect and pump until the connection ends; whether it stood at all."""
        connected = False
        try:
            async with open_connection(self._endpoint, self._client_id, self._window) as connection:
                connected = True
                metrics.BROKER_CONNECTS.labels("connected").inc()
                await self._pump_until_stop(connection)
        except (ConnectionLostError, UnavailableError) as error:
            metrics.BROKER_CONNECTS.labels("lost" if connected else "failed").inc()
            log.warning("broker away", error=str(error))
        finally:
            await self._disconnected()
        return connected

    async def _disconnected(self) -> None:
        metrics.BROKER_CONNECTED.set(0)
        metrics.LISTENING.set(0)
        metrics.IN_FLIGHT.set(0)
        self._clock = self._clock.disconnected()
        try:
            await self._writer.stop_clock()
        except psycopg.Error as error:
            log.warning("stopped clock not stored", error=first_line(error))

    async def _pump_until_stop(self, connection: Connection) -> None:
        """Pump and, once subscribed, send markers; ended by `stop` with a drain."""
        marker = asyncio.create_task(self._subscribe_and_mark(connection), name="marker")
        pump = asyncio.create_task(self._pump(connection), name="pump")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait({marker, pump, stop}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                await self._drain(connection, pump)
            elif pump.done():
                pump.result()
            else:
                marker.result()
        finally:
            for task in (marker, pump, stop):
                task.cancel()
            await asyncio.gather(marker, pump, stop, return_exceptions=True)

    async def _pump(self, connection: Connection) -> None:
        """Take a batch, settle it, acknowledge it in order; again."""
        while True:
            batch = await connection.take(BATCH_MESSAGES, FLUSH_AGE_S)
            await self._settle(batch, connection)
            connection.acknowledge(batch)
            if self._partitions_on != datetime.now(UTC).date():
                await self._make_partitions()

    async def _settle(self, batch: Sequence[Incoming], connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        messages = [message for message in batch if message.topic != self._marker_topic]
        sent_at_s = self._last_marker(batch)
        clock = self._clock if sent_at_s is None else self._clock.evidence(sent_at_s, loop.time())
        await self._settler.settle(messages, clock, connection, write_clock=sent_at_s is not None)
        if messages:
            lag = datetime.now(UTC) - messages[0].received_at
            metrics.COMMIT_LAG_SECONDS.observe(lag.total_seconds())
        self._clock = clock
        metrics.LISTENING.set(clock.state is ListeningState.LISTENING)
        metrics.LISTENING_CLOCK_SECONDS.set(clock.clock_s)

    def _last_marker(self, batch: Sequence[Incoming]) -> float | None:
        """When the last marker of ours in the batch was sent; others' and older processes' do not count."""
        for message in reversed(batch):
            if message.topic == self._marker_topic:
                key, _, sent_at = message.payload.partition(b" ")
                if key == self._marker_key:
                    return float(sent_at)
        return None

    async def _subscribe_and_mark(self, connection: Connection) -> None:
        """Subscribe while the pump is running already, then send a marker through the broker now and again."""
        await connection.subscribe(self._topics.everything)
        metrics.BROKER_CONNECTED.set(1)
        self._clock = self._clock.connected()
        log.info("subscribed", broker=str(self._endpoint))
        loop = asyncio.get_running_loop()
        while not connection.lost.done():
            connection.publish(self._marker_topic, self._marker_key + b" %.6f" % loop.time())
            await asyncio.wait({connection.lost}, timeout=MARKER_EVERY_S)
        raise ConnectionLostError(connection.lost.result())

    async def _drain(self, connection: Connection, pump: asyncio.Task[None]) -> None:
        """Read nothing more, settle and acknowledge what is here, say goodbye."""
        connection.stop_reading()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_DEADLINE_S
        while connection.in_flight and not pump.done() and loop.time() < deadline:
            await asyncio.wait({pump}, timeout=0.02)
        log.info("drained", unacknowledged=connection.in_flight)
        await connection.disconnect()

    async def _make_partitions(self) -> None:
        made = await self._writer.ensure_partitions()
        self._partitions_on = datetime.now(UTC).date()
        if made:
            log.info("partitions made", count=len(made))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def run(settings: Settings) -> None:
    """Entry of `fleet ingest`: until SIGTERM or SIGINT."""
    settings.dsn()
    settings.endpoint()
    gc.set_threshold(*GC_THRESHOLDS)
    main = serve_until_signal("ingest", settings, lambda stop: Ingest(settings, stop).run())
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
