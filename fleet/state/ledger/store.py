"""The log in the database: lock its subjects, read their events, append.

Every function runs in the caller's transaction. Locks are taken in one order everywhere (kits by number, then
components by number), so that two writers wait for each other and never in a circle.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from msgspec.structs import replace
from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from fleet.db.queries import load_queries
from fleet.errors import ConflictError, NotFoundError
from fleet.state.ledger.events import Event, What
from fleet.state.ledger.log import ComponentRow, KitRow, Log

SQL = load_queries("fleet.state.ledger", "ledger.sql")
Connection = AsyncConnection[Any]
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to be appended, with what only people read of it."""

    event: Event
    from_state: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    backdated: bool = False
    override: bool = False
    batch: UUID | None = None
    reason: str | None = None


async def kit_id_of(connection: Connection, kit: str) -> int:
    """The number of a kit; raises NotFoundError."""
    found = await kit_ids_of(connection, [kit])
    if kit not in found:
        raise NotFoundError("kit", kit)
    return found[kit]


async def kit_ids_of(connection: Connection, kits: Collection[str]) -> dict[str, int]:
    """The numbers of those of `kits` that the caller sees."""
    cursor = await connection.execute(SQL["kit_ids"], {"kits": list(kits)})
    return {kit: kit_id for kit_id, kit in await cursor.fetchall()}


@asynccontextmanager
async def opened(
    connection: Connection, *, kits: Collection[int] = (), components: Collection[int] = (), bundles: bool = False
) -> AsyncIterator[Log]:
    """Lock the subjects and read their events; `bundles` locks the components in the kits as well.

    The kits that the components are in are locked with them. What the caller does not see is not in the log. Raises
    ConflictError when a component was moved while its lock was waited for. Inside, the log is read with other eyes
    than the caller's: answer nothing from the database there. To be used inside `connection.transaction()`, which takes
    that back when something is raised.
    """
    log = await _open(connection, kits, components, bundles=bundles)
    yield log
    await connection.execute(SQL["end_replay"])


async def append(connection: Connection, entries: Sequence[Entry], *, actor: str) -> list[int]:
    """Write events to the log; gives their numbers, in order."""
    if len(entries) == 1:
        return await scalars(connection, "append", _values(entries[0], actor))
    numbers: list[int] = []
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.executemany(SQL["append"], [_values(entry, actor) for entry in entries], returning=True)
        async for _ in cursor.results():
            number = await cursor.fetchone()
            assert number is not None, "each event gets a number"
            numbers.append(number)
    return numbers


async def enqueue(connection: Connection, kit_id: int) -> None:
    """Have the rules look at the kit again."""
    await connection.execute(SQL["enqueue"], {"kit_id": kit_id})


async def announce(
    connection: Connection,
    type_: str,
    kit: str | None,
    body: Mapping[str, Any],
    *,
    organisation_id: int | None = None,
    owner_id: int | None = None,
) -> None:
    """Tell the event stream; whose it is goes with the kit, or is given where there is none."""
    values = {
        "type": type_,
        "kit": kit,
        "body": Jsonb(dict(body)),
        "organisation_id": organisation_id,
        "owner_id": owner_id,
    }
    await connection.execute(SQL["announce"], values)


async def rows(connection: Connection, row_type: type[R], query: str, values: Mapping[str, Any]) -> list[R]:
    """The rows of a query as `row_type`."""
    async with connection.cursor(row_factory=class_row(row_type)) as cursor:
        await cursor.execute(SQL[query], values)
        return await cursor.fetchall()


async def scalars(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    """The first column of a query."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(SQL[query], values)
        return await cursor.fetchall()


async def _open(connection: Connection, kits: Collection[int], components: Collection[int], *, bundles: bool) -> Log:
    holding = await scalars(connection, "kits_holding", {"component_ids": list(components)}) if components else []
    kit_ids = sorted({*kits, *holding})
    kit_rows = await rows(connection, KitRow, "lock_kits", {"kit_ids": kit_ids}) if kit_ids else []
    held = await scalars(connection, "components_held", {"kit_ids": kit_ids}) if bundles and kit_ids else []
    component_ids = sorted({*components, *held})
    pieces = (
        await rows(connection, ComponentRow, "lock_components", {"component_ids": component_ids})
        if component_ids
        else []
    )
    for piece in pieces:
        if piece.kit_id is not None and piece.kit_id not in kit_ids:
            raise ConflictError(f"component {piece.serial} was moved this very moment: try again")
    named = {"kit_ids": [row.kit_id for row in kit_rows], "component_ids": [row.component_id for row in pieces]}
    (now,) = await scalars(connection, "begin_replay", named)
    log = Log(now, kit_rows, pieces, await rows(connection, Event, "events", named))
    await _open_unopened(connection, log)
    return log


async def _open_unopened(connection: Connection, log: Log) -> None:
    """What stands in the books without a history gets an opening as it stands, so that its history can go on."""
    kits, components = log.unopened()
    entries = [Entry(_opening_of_kit(row), reason=_UNOPENED) for row in kits]
    entries += [Entry(_opening_of_component(row), reason=_UNOPENED) for row in components]
    if entries:
        numbers = await append(connection, entries, actor="ledger")
        log.add(*(replace(entry.event, event_id=number) for entry, number in zip(entries, numbers, strict=True)))


_UNOPENED = "it stood in the books without a history"


def _opening_of_kit(row: KitRow) -> Event:
    return Event(
        event_id=0,
        occurred_at=row.state_since,
        what=What.OPENING,
        kit_id=row.kit_id,
        to_state=row.state,
        location_id=row.location_id,
        placement_id=row.placement_id,
        organisation_id=row.organisation_id,
        owner_id=row.owner_id,
    )


def _opening_of_component(row: ComponentRow) -> Event:
    return Event(
        event_id=0,
        occurred_at=row.state_since,
        what=What.OPENING,
        kit_id=row.kit_id,
        component_id=row.component_id,
        to_state=row.state,
        location_id=row.location_id,
        organisation_id=row.organisation_id,
        owner_id=row.owner_id,
    )


def _values(entry: Entry, actor: str) -> dict[str, Any]:
    event = entry.event
    after = entry.after if event.corrects is None else event.after
    return {
        "occurred_at": event.occurred_at,
        "what": str(event.what),
        "kit_id": event.kit_id,
        "component_id": event.component_id,
        "removed_id": event.removed_id,
        "from_state": entry.from_state,
        "to_state": event.to_state,
        "location_id": event.location_id,
        "placement_id": event.placement_id,
        "organisation_id": event.organisation_id,
        "owner_id": event.owner_id,
        "before": None if entry.before is None else Jsonb(dict(entry.before)),
        "after": None if after is None else Jsonb(dict(after)),
        "corrects": event.corrects,
        "backdated": entry.backdated,
        "override": entry.override,
        "batch": entry.batch,
        "actor": actor,
        "reason": entry.reason,
    }
