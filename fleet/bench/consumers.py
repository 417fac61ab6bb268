"""What ingest is compared with: a consumer that stores nothing, and one that stores the plain way."""

from __future__ import annotations

import asyncio
import signal
import sys

import aiomqtt
import msgspec
import psycopg

from fleet import metrics
from fleet.ingest.connection import Connection, open_connection
from fleet.protocol.endpoint import Endpoint
from fleet.protocol.messages import Heartbeat
from fleet.protocol.topics import Kind, Topics


async def acknowledge_at_once(url: str, port: int) -> None:
    """(a) Read and acknowledge, nothing else: the broker's own limit."""
    metrics.serve_metrics(port)
    async with open_connection(Endpoint.parse(url), "fleet-bench-null") as connection:
        pump = asyncio.create_task(_acknowledge(connection))
        await connection.subscribe(Topics().everything)
        print("ready", flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        pump.cancel()
        await connection.disconnect(forget_session=True)


async def _acknowledge(connection: Connection) -> None:
    counter = metrics.COMMITTED.labels(Kind.HEARTBEAT.value)
    while True:
        batch = await connection.take(5_000, 0.005)
        connection.acknowledge(batch)
        counter.inc(len(batch))


async def insert_each(url: str, port: int, dsn: str) -> None:
    """(c) aiomqtt and one INSERT and commit per message, for scale."""
    metrics.serve_metrics(port)
    counter = metrics.COMMITTED.labels(Kind.HEARTBEAT.value)
    endpoint, topics = Endpoint.parse(url), Topics()
    decoder = msgspec.json.Decoder(Heartbeat)
    async with (
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection,
        aiomqtt.Client(endpoint.host, endpoint.port, protocol=aiomqtt.ProtocolVersion.V5) as client,
    ):
        await client.subscribe(topics.everything, qos=1)
        print("ready", flush=True)
        async for message in client.messages:
            heartbeat = decoder.decode(bytes(message.payload))
            await connection.execute(
                b"INSERT INTO heartbeats (time, received_at, seq, kit_id, battery, boot)"
                b" SELECT %s, now(), %s, kit_id, %s, %s FROM kits WHERE kit = %s",
                (heartbeat.ts, heartbeat.seq, heartbeat.battery, heartbeat.boot, message.topic.value.split("/")[3]),
            )
            counter.inc()


def main() -> None:
    """`python -m fleet.bench.consumers null|insert URL PORT [DSN]`."""
    kind, url, port, *rest = sys.argv[1:]
    import uvloop  # noqa: PLC0415

    if kind == "null":
        uvloop.run(acknowledge_at_once(url, int(port)))
    else:
        asyncio.run(insert_each(url, int(port), rest[0]))


if __name__ == "__main__":
    main()
