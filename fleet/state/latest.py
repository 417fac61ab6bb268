"""The latest state of each kit: what is known of it before a batch, and the fold of a batch into it.

The fold is for one writer at a time (the ingest that holds the slot's lock): it decides in memory, from the
`Mark` of each kit, what is newer, and writes set by set. Every function runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import Struct, json
from psycopg import AsyncConnection, AsyncCursor
from psycopg.types.json import Jsonb

from fleet import metrics
from fleet.db.binary import timestamptz
from fleet.db.queries import load_queries
from fleet.protocol.messages import Connection, ConnectionState, Heartbeat, Pairing, Payload, Software, Update
from fleet.protocol.times import Position, Stamp
from fleet.protocol.topics import Kind
from fleet.state import contact
from fleet.state.reported import Change, identity_changes, pairing_changes, software_changes

QUERIES = load_queries("fleet.state", "latest.sql")
STAGE_TYPES = [
    "int4", "int8", "int8", "int8", "int8", "float8", "float8", "float8",
    "float4", "int2", "bool", "text", "text", "text",
]  # fmt: skip


class Mark(Struct, gc=False):
    """What a writer must know of a kit: its number and, per kind, where its newest message stands."""

    kit_id: int
    newest: dict[Kind, Position]


class Accepted(Struct, frozen=True, gc=False):
    """A message that is newer than everything of its kit and kind before it."""

    kit_id: int
    kind: Kind
    boot: str
    seq: int
    stamp: Stamp
    received_at: datetime
    payload: Payload


@dataclass(frozen=True, slots=True)
class Fold:
    """What a batch does to the latest state.

    `heartbeats` holds the newest heartbeat per kit; `reports` every software, pairing and update report that was
    newer when it came, in order; `connections` presence messages in order; `heard` the kits that spoke, by
    receive time; `clock_s` the listening clock; `replies` the new answers to commands.
    """

    heartbeats: Mapping[int, Accepted]
    reports: Sequence[Accepted]
    connections: Sequence[Accepted]
    heard: Mapping[int, datetime]
    clock_s: float
    replies: Sequence[Accepted] = ()


async def load_marks(connection: AsyncConnection[Any], kits: Iterable[str]) -> dict[str, Mark]:
    """The marks of those of `kits` that the books know."""
    cursor = await connection.execute(QUERIES["load_kits"], {"kits": list(kits)})
    marks: dict[str, Mark] = {}
    by_id: dict[int, Mark] = {}
    for kit, kit_id, boot, seq, time, received_at in await cursor.fetchall():
        newest = {} if boot is None else {Kind.HEARTBEAT: Position(boot, seq, time, received_at)}
        marks[kit] = by_id[kit_id] = Mark(kit_id, newest)
    if by_id:
        cursor = await connection.execute(QUERIES["load_reports"], {"kit_ids": list(by_id)})
        for kit_id, kind, boot, seq, time, received_at in await cursor.fetchall():
            by_id[kit_id].newest[Kind(kind)] = Position(boot, seq, time, received_at)
    return marks


async def prepare(connection: AsyncConnection[Any]) -> None:
    """Make the connection's stage; once per connection."""
    await connection.execute(QUERIES["create_stage"])


async def fold(connection: AsyncConnection[Any], batch: Fold) -> None:
    """Write a batch into the latest state, with change records, events and the queue of the rules."""
    async with connection.cursor() as cursor:
        if batch.heartbeats:
            await _fold_heartbeats(cursor, batch)
        await _fold_heard(cursor, batch)
        if batch.connections:
            await _fold_connections(cursor, batch.connections)
        if batch.reports:
            await _fold_reports(cursor, batch.reports)
        if batch.replies:
            await _fold_replies(cursor, batch.replies)


async def _fold_heartbeats(cursor: AsyncCursor[Any], batch: Fold) -> None:
    async with cursor.copy(QUERIES["copy_stage"]) as copy:
        copy.set_types(STAGE_TYPES)
        for message in batch.heartbeats.values():
            await copy.write_row(_stage_row(message, batch.heard.get(message.kit_id)))
    await cursor.execute(QUERIES["fold_heartbeats"], {"clock_s": batch.clock_s})


def _stage_row(message: Accepted, heard_at: datetime | None) -> tuple[Any, ...]:
    heartbeat = message.payload
    assert isinstance(heartbeat, Heartbeat)
    at = message.stamp
    return (
        message.kit_id,
        None if heard_at is None else timestamptz(heard_at),
        message.seq,
        timestamptz(at.time),
        timestamptz(message.received_at),
        heartbeat.storage_free_mb,
        heartbeat.uptime_s,
        at.offset_s,
        heartbeat.battery,
        heartbeat.signal_dbm,
        heartbeat.charging,
        message.boot,
        heartbeat.network,
        heartbeat.operator,
    )


async def _fold_heard(cursor: AsyncCursor[Any], batch: Fold) -> None:
    others = {kit_id: at for kit_id, at in batch.heard.items() if kit_id not in batch.heartbeats}
    if others:
        await cursor.execute(
            QUERIES["fold_heard"],
            {"kit_ids": list(others), "heard_at": list(others.values()), "clock_s": batch.clock_s},
        )


async def _fold_connections(cursor: AsyncCursor[Any], messages: Sequence[Accepted]) -> None:
    rows = []
    for message in messages:
        assert isinstance(message.payload, Connection)
        online = message.payload.state is ConnectionState.ONLINE
        rows.append({"kit_id": message.kit_id, "at": message.stamp.time, "ts": message.payload.ts, "online": online})
    await cursor.executemany(QUERIES["fold_connection"], rows)


async def _fold_reports(cursor: AsyncCursor[Any], messages: Sequence[Accepted]) -> None:
    await cursor.execute(QUERIES["load_bodies"], {"kit_ids": list({message.kit_id for message in messages})})
    bodies: dict[tuple[int, Kind], Any] = {}
    identities: dict[int, Any] = {}
    for kit_id, kind, body, identity in await cursor.fetchall():
        bodies[kit_id, Kind(kind)] = body
        if identity is not None:
            identities[kit_id] = identity
    newest: dict[tuple[int, Kind], tuple[Accepted, Any]] = {}
    changes: list[tuple[Accepted, Change]] = []
    evaluate: set[int] = set()
    for message in messages:
        key = (message.kit_id, message.kind)
        before, after = bodies.get(key), body_of(message.payload, message.stamp)
        changes += [(message, change) for change in changes_between(message.kind, before, after)]
        if before != after:
            evaluate.add(message.kit_id)
        identity = identity_of(message.payload)
        if identity is not None and identity != identities.get(message.kit_id):
            changes += [(message, change) for change in identity_changes(identities.get(message.kit_id), identity)]
            evaluate.add(message.kit_id)
            identities[message.kit_id] = identity
        bodies[key] = after
        newest[key] = (message, after)
    await cursor.executemany(QUERIES["fold_report"], [_report_row(*entry) for entry in newest.values()])
    if changes:
        await cursor.executemany(QUERIES["insert_change"], [_change_row(*entry) for entry in changes])
        await cursor.executemany(QUERIES["insert_event"], [_event_row(*entry) for entry in changes])
    if evaluate:
        await cursor.execute(QUERIES["queue_evaluation"], {"kit_ids": list(evaluate)})


async def _fold_replies(cursor: AsyncCursor[Any], messages: Sequence[Accepted]) -> None:
    bodies = [body_of(message.payload, message.stamp) for message in messages]
    values = {
        "kit_ids": [message.kit_id for message in messages],
        "commands": [message.boot for message in messages],
        "statuses": [body["status"] for body in bodies],
        "received_at": [message.received_at for message in messages],
        "results": [json.encode(body["result"]).decode() if "result" in body else None for body in bodies],
    }
    await cursor.execute(QUERIES["fold_replies"], values)
    for (status,) in await cursor.fetchall():
        metrics.COMMAND_REPLIES.labels(status).inc()


def body_of(payload: Payload, stamp: Stamp) -> Any:
    """What of a report is kept as JSON: the components, the peripherals, or all but the identity."""
    match payload:
        case Software():
            return dict(payload.components)
        case Pairing():
            return contact.kept(payload.peripherals, stamp)
        case Update():
            document = json.decode(json.encode(payload))
            return {name: value for name, value in document.items() if name not in ("ts", "boot", "seq")}
        case _:
            document = json.decode(json.encode(payload))
            document.pop("ts")
            return document


def identity_of(payload: Payload) -> dict[str, str] | None:
    """Which tablet and which SIM a software report says it comes from; None when it says nothing of that."""
    if not isinstance(payload, Software):
        return None
    told = {"tablet_serial": payload.tablet_serial, "imei": payload.imei, "iccid": payload.iccid}
    return {name: text for name, text in told.items() if text is not None} or None


def changes_between(kind: Kind, before: Any, after: Any) -> Iterable[Change]:
    """The change records between two bodies of one kind."""
    if kind is Kind.SOFTWARE:
        return software_changes(before, after)
    if kind is Kind.PAIRING:
        return pairing_changes(before, after)
    return ()


def _report_row(message: Accepted, body: Any) -> dict[str, Any]:
    identity = identity_of(message.payload)
    return {
        "kit_id": message.kit_id,
        "kind": message.kind.value,
        "boot": message.boot,
        "seq": message.seq,
        "time": message.stamp.time,
        "received_at": message.received_at,
        "body": Jsonb(body),
        "identity": None if identity is None else Jsonb(identity),
    }


def _change_row(message: Accepted, change: Change) -> dict[str, Any]:
    return {
        "kit_id": message.kit_id,
        "time": message.stamp.time,
        "received_at": message.received_at,
        "what": change.what.value,
        "subject": change.subject,
        "before": change.before,
        "after": change.after,
    }


def _event_row(message: Accepted, change: Change) -> dict[str, Any]:
    body = {
        "what": change.what.value,
        "subject": change.subject,
        "before": change.before,
        "after": change.after,
    }
    return {"kit_id": message.kit_id, "type": "kit.changed", "body": Jsonb(body)}
