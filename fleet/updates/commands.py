"""Commands: what a tablet is asked to do. Asked for here, sent by `sender`, answered through ingest."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from fleet.access.principal import Principal
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.lifecycle import KitState
from fleet.state.texts import bad_text

_SQL = load_queries("fleet.updates", "commands.sql")

MAX_OPEN_PER_KIT = 10
"""Commands of one kit that are neither answered nor expired."""
MIN_EXPIRY_S, DEFAULT_EXPIRY_S, MAX_EXPIRY_S = 5, 300, 7 * 24 * 3600
MAX_ARGUMENTS_BYTES = 2048
UNREACHABLE = frozenset({KitState.SCRAPPED, KitState.RETURNED})
"""Kits in these states are no longer ours to command; their tablets' credentials are ended."""


class CommandName(StrEnum):
    """What a tablet can be asked."""

    PING = "ping"
    DIAGNOSTICS = "diagnostics"
    LOCATE = "locate"
    REBOOT = "reboot"
    REPAIR_PAIRING = "repair_pairing"


class CommandState(StrEnum):
    """How far a command has come. The last three are final, but an answer that comes late still ends what `expired`."""

    PENDING = "pending"
    SENT = "sent"
    REPLIED = "replied"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Command:
    """One command and what became of it.

    `delivery` is what the broker said to the last attempt: `taken`, `no_subscriber` or `refused`. `failed` is a reply
    with an error, or a refusal of the broker.
    """

    command_id: str
    kit: str
    name: str
    arguments: dict[str, Any]
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    state: str
    delivery: str | None
    attempts: int
    attempted_at: datetime | None
    sent_at: datetime | None
    replied_at: datetime | None
    reply_status: str | None
    result: Any


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command to send within `expires_in_s` seconds."""

    name: CommandName
    arguments: Mapping[str, Any]
    expires_in_s: float = DEFAULT_EXPIRY_S


async def ask(connection: Connection, kit: str, new: NewCommand, *, by: Principal) -> Command:
    """Have a command sent; it is on its way once the caller's transaction is committed.

    Raises NotFoundError, InvalidError, and ConflictError when the kit has too many open ones or is gone for good.
    """
    check_arguments(new.arguments)
    if not MIN_EXPIRY_S <= new.expires_in_s <= MAX_EXPIRY_S:
        raise InvalidError("expires_in_s", f"must lie between {MIN_EXPIRY_S} and {MAX_EXPIRY_S}")
    async with connection.transaction():
        found = await fetch_dicts(connection, _SQL["kit"], {"kit": kit})
        if not found:
            raise NotFoundError("kit", kit)
        if found[0]["state"] in UNREACHABLE:
            raise ConflictError(f"kit {kit} is {found[0]['state']}: there is nothing to command any more")
        waiting = await fetch_value(connection, _SQL["open_of_kit"], {"kit_id": found[0]["kit_id"]})
        if waiting >= MAX_OPEN_PER_KIT:
            raise ConflictError(f"kit {kit} has {waiting} open commands: wait until they are answered or expire")
        values = {
            "command_id": str(uuid.uuid4()),
            "kit_id": found[0]["kit_id"],
            "kit": kit,
            "name": new.name.value,
            "arguments": Jsonb(dict(new.arguments)),
            "requested_by": by.actor,
            "expires_in_s": new.expires_in_s,
        }
        await connection.execute(_SQL["enqueue"], values)
        return await find_command(connection, values["command_id"])


async def find_command(connection: Connection, command_id: str) -> Command:
    """One command; raises NotFoundError."""
    found = await fetch_one(connection, _SQL["find"], {"command_id": command_id}, Command)
    if found is None:
        raise NotFoundError("command", command_id)
    return found


async def list_commands(
    connection: Connection,
    kit: str,
    *,
    state: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 100,
) -> list[Command]:
    """Commands of a kit, the newest first, before the one asked for then; raises NotFoundError."""
    kit_id = await fetch_value(connection, _SQL["kit_id"], {"kit": kit})
    if kit_id is None:
        raise NotFoundError("kit", kit)
    at, command_id = before or (None, None)
    values = {"kit_id": kit_id, "state": state, "before_at": at, "before_id": command_id, "limit": limit}
    return await fetch_all(connection, _SQL["list"], values, Command)


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse what may not be stored or is too much for a topic; raises InvalidError."""
    try:
        size = len(json.dumps(arguments, allow_nan=False))
    except (ValueError, TypeError, RecursionError):
        raise InvalidError("arguments", "is no JSON object") from None
    if size > MAX_ARGUMENTS_BYTES:
        raise InvalidError("arguments", f"{size} bytes as JSON, at most {MAX_ARGUMENTS_BYTES}")
    for text in _texts(arguments):
        problem = bad_text(text, MAX_ARGUMENTS_BYTES)
        if problem is not None:
            raise InvalidError("arguments", problem)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
