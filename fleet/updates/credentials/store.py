"""The credentials of kits in the books: issued, revoked, found, and how far the broker is with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from fleet.access import audit
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, NotFoundError
from fleet.state.lifecycle import FINAL
from fleet.updates.credentials.dynsec import KitEntry
from fleet.updates.credentials.passwords import Envelope, Hashed, hash_password, new_password

_SQL = load_queries("fleet.updates.credentials", "store.sql")
PAGE = 1000


class State(StrEnum):
    """Whether a kit's password counts."""

    ISSUED = "issued"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a kit enters the broker with, without the password.

    `applied_at` is when the broker had it so, None while it waits since `wanted_at`; `problem` is what it said last.
    """

    kit: str
    generation: int
    state: str
    tablet_id: int | None
    issued_at: datetime
    issued_by: str
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_because: str | None
    wanted_at: datetime
    applied_at: datetime | None
    attempts: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class Issued:
    """New credentials with their password, which nobody can be told again."""

    credentials: Credentials
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Due:
    """What the broker is to be told; `sealed` is the password on its way, None when it is not known any more."""

    kit_id: int
    kit: str
    generation: int
    state: str
    sealed: bytes | None = field(repr=False)
    change: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What the books say of a client at the broker; `waits_for_file` is what only the broker's file can bring."""

    kit_id: int
    kit: str
    generation: int
    state: str
    change: int
    applied: bool
    has_password: bool
    waits_for_file: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What the broker has not been told: passwords to enter, kits to keep out, and what waits for its file."""

    entering: int
    leaving: int
    for_file: int
    oldest_s: float
    problem: str | None


async def issue(
    connection: Connection,
    kit: str,
    *,
    by: str,
    envelope: Envelope | None,
    reason: str | None = None,
    seen: int | None = None,
) -> Issued:
    """A new password for a kit in place of the one before; without an `envelope` it reaches the broker by its file.

    `reason` goes into the audit; `seen` is the generation that is to be replaced, 0 where there was none. Raises
    NotFoundError, and ConflictError when the kit is gone for good or has got another password meanwhile.
    """
    password = new_password()
    hashed = hash_password(password)
    async with connection.transaction():
        found = await _locked(connection, kit)
        if found["state"] in FINAL:
            raise ConflictError(f"kit {kit} is {found['state']}: its tablet is let in no more")
        await _say_why(connection, found, reason, seen)
        values = {
            **found,
            "hash": hashed.hash,
            "salt": hashed.salt,
            "iterations": hashed.iterations,
            "sealed": None if envelope is None else envelope.seal(password, found["kit_id"]),
            "by": by,
        }
        await connection.execute(_SQL["issue"], values)
        await connection.execute(_SQL["clear_mark"], found)
        await connection.execute(_SQL["tell"], {**found, "kit": kit})
        return Issued(await _found(connection, kit), password)


async def withdraw(
    connection: Connection, kit: str, *, by: str, reason: str | None = None, seen: int | None = None
) -> None:
    """Let a kit in no more, for a `reason` that the audit keeps; doing it twice changes nothing.

    Raises NotFoundError when it never had a password, ConflictError when its generation is not the one `seen`.
    """
    async with connection.transaction():
        found = await _locked(connection, kit)
        await _say_why(connection, found, reason, seen)
        ended = await connection.execute(_SQL["withdraw"], {**found, "by": by})
        if ended.rowcount:
            await connection.execute(_SQL["mark"], found)
            await connection.execute(_SQL["tell"], {**found, "kit": kit})
        else:
            await _found(connection, kit)


async def look_up(connection: Connection, kit: str) -> Credentials:
    """The credentials of a kit; the audit tells of it. Raises NotFoundError when it has none or is not seen."""
    found = await _found(connection, kit)
    await audit.note(connection, "kit_credentials.read", "kit_credentials", kit)
    return found


async def without(connection: Connection, organisation: str | None, *, after: str = "") -> list[str]:
    """The next `PAGE` kits, by their id, that have no password that counts and could have one."""
    values = {"organisation": organisation, "after": after, "limit": PAGE}
    return [row["kit"] for row in await fetch_dicts(connection, _SQL["without"], values)]


async def count_without(connection: Connection, organisation: str | None) -> int:
    """How many kits that are, in an organisation and below it; raises NotFoundError."""
    if organisation is not None and not await fetch_value(
        connection, _SQL["organisation_exists"], {"organisation": organisation}
    ):
        raise NotFoundError("organisation", organisation)
    count: int = await fetch_value(connection, _SQL["count_without"], {"organisation": organisation})
    return count


async def entries(connection: Connection) -> AsyncIterator[KitEntry]:
    """Everything for the broker's file."""
    after = 0
    while found := await fetch_dicts(connection, _SQL["entries"], {"after": after, "limit": PAGE}):
        for row in found:
            yield _entry(row)
        after = found[-1]["kit_id"]


async def due(connection: Connection, limit: int) -> list[Due]:
    """What the broker is to be told now, who is kept out first."""
    return await fetch_all(connection, _SQL["due"], {"limit": limit}, Due)


async def note_applied(connection: Connection, each: Due | Expected) -> float | None:
    """The broker has it so; the seconds it took, None when something else is wanted by now."""
    took_s: float | None = await fetch_value(connection, _SQL["applied"], _key(each))
    return took_s


async def put_off(connection: Connection, each: Due, problem: str, pause_s: float) -> None:
    """The broker said no: try again later."""
    await connection.execute(_SQL["put_off"], {**_key(each), "problem": problem, "pause_s": pause_s})


async def leave_to_file(connection: Connection, each: Due, problem: str) -> None:
    """Only the broker's file or a new password can help."""
    await connection.execute(_SQL["leave_to_file"], {**_key(each), "problem": problem})


async def expected(connection: Connection, kits: Sequence[str]) -> dict[str, Expected]:
    """What the books say of these clients, by kit; of what they do not know, nothing."""
    found = await fetch_all(connection, _SQL["expected"], {"kits": list(kits)}, Expected)
    return {each.kit: each for each in found}


async def applied_and_issued(connection: Connection) -> AsyncIterator[list[tuple[int, str, int]]]:
    """Pages of (kit_id, kit, change) that the broker should know."""
    after = 0
    while found := await fetch_dicts(connection, _SQL["applied_issued"], {"after": after, "limit": PAGE}):
        yield [(row["kit_id"], row["kit"], row["change"]) for row in found]
        after = found[-1]["kit_id"]


async def want_again(connection: Connection, seen: Sequence[tuple[int, int]]) -> None:
    """Have the broker told anew of (kit_id, change), unless something else is wanted by now."""
    values = {"kit_ids": [kit_id for kit_id, _ in seen], "changes": [change for _, change in seen]}
    await connection.execute(_SQL["want_again"], values)


async def standing(connection: Connection) -> Standing:
    """How much the broker has not been told."""
    found = await fetch_one(connection, _SQL["standing"], {}, Standing)
    assert found is not None
    return found


async def take_lock(connection: Connection, lock: int) -> bool:
    """Whether this session is the one that keeps the broker."""
    return bool(await fetch_value(connection, _SQL["lock"], {"lock": lock}))


async def _locked(connection: Connection, kit: str) -> dict[str, Any]:
    found = await fetch_dicts(connection, _SQL["lock_kit"], {"kit": kit})
    if not found:
        raise NotFoundError("kit", kit)
    return found[0]


async def _say_why(connection: Connection, kit: dict[str, Any], reason: str | None, seen: int | None) -> None:
    if seen is not None and seen != (await fetch_value(connection, _SQL["generation"], kit) or 0):
        raise ConflictError("it was changed meanwhile: look at it anew")
    if reason is not None:
        await connection.execute(_SQL["say_why"], {"reason": reason})


async def _found(connection: Connection, kit: str) -> Credentials:
    found = await fetch_one(connection, _SQL["find"], {"kit": kit}, Credentials)
    if found is None:
        raise NotFoundError("credentials of kit" if await _exists(connection, kit) else "kit", kit)
    return found


async def _exists(connection: Connection, kit: str) -> bool:
    return bool(await fetch_value(connection, _SQL["kit_exists"], {"kit": kit}))


def _entry(row: dict[str, Any]) -> KitEntry:
    hashed = None if row["password_hash"] is None else Hashed(row["password_hash"], row["salt"], row["iterations"])
    return KitEntry(row["kit"], row["generation"], hashed)


def _key(each: Due | Expected) -> dict[str, int]:
    return {"kit_id": each.kit_id, "change": each.change}
