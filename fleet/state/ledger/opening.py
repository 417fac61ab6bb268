"""The beginning of a history: what was entered into the books by an INSERT gets its opening event and its spells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from fleet.state.ledger.store import SQL, Connection


async def open_kits(
    connection: Connection,
    kit_ids: Collection[int],
    *,
    actor: str,
    after: Mapping[str, Any] | None = None,
    batch: UUID | None = None,
    reason: str | None = None,
) -> None:
    """Enter kits as they stand, from their `state_since` on; `after` is what people read of it besides the state.

    In the transaction of the INSERT, by a statement of its own, so that policies see the rows.
    """
    values = {"kit_ids": list(kit_ids), **_values(actor, after, batch, reason)}
    await connection.execute(SQL["opened_kits"], values)


async def open_components(
    connection: Connection,
    component_ids: Collection[int],
    *,
    actor: str,
    after: Mapping[str, Any] | None = None,
    batch: UUID | None = None,
    reason: str | None = None,
) -> None:
    """Enter components as they stand, those in a kit with their place in it; as `open_kits`."""
    values = {"component_ids": list(component_ids), **_values(actor, after, batch, reason)}
    await connection.execute(SQL["opened_components"], values)


def _values(actor: str, after: Mapping[str, Any] | None, batch: UUID | None, reason: str | None) -> dict[str, Any]:
    return {
        "actor": actor,
        "after": None if after is None else Jsonb(dict(after)),
        "batch": batch,
        "reason": reason,
    }
