"""The books of kits: create, edit and move, each with its log entry in one transaction.

Every change of state, interval or tolerance sets the kit's watch (when silence is a fault) in the same
transaction, asks the worker to evaluate the kit again and tells the event stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from fleet.db.queries import load_queries
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.lifecycle import KitState, NotAllowed, missing_data, transition
from fleet.state.texts import MAX_INTERVAL_S, bad_components, bad_kit, bad_text

DEFAULT_INTERVAL_S = 300
MAX_TOLERANCE = 100

_SQL = load_queries("fleet.state", "kits.sql")


@dataclass(frozen=True, slots=True)
class KitRecord:
    """A kit as the books have it; `organisation` is a slug, `revision` rises with every change."""

    kit_id: int
    kit: str
    label: str
    state: str
    organisation: str | None
    kit_type: str | None
    location: str | None
    expected_interval_s: int
    tolerance: float | None
    wanted_components: dict[str, str]
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewKit:
    """A kit to be entered; any state, as an opening balance."""

    kit: str
    label: str = ""
    state: str = KitState.IN_STOCK
    organisation: str | None = None
    kit_type: str | None = None
    location: str | None = None
    expected_interval_s: int = DEFAULT_INTERVAL_S
    tolerance: float | None = None
    wanted_components: Mapping[str, str] = field(default_factory=dict)


EDITABLE = (
    "label",
    "kit_type",
    "organisation",
    "expected_interval_s",
    "tolerance",
    "wanted_components",
)


@dataclass(frozen=True, slots=True)
class Stale:
    """The caller's revision is not the kit's present one: somebody else was faster."""

    revision: int


@dataclass(frozen=True, slots=True)
class Organisation:
    """A region, municipality or operator; `kits` is how many the books give it."""

    slug: str
    name: str
    created_at: datetime
    kits: int


Connection = AsyncConnection[Any]


async def find_kit(connection: Connection, kit: str) -> KitRecord:
    """The kit's record; raises NotFoundError."""
    return await _record(connection, "record", kit)


async def create_kit(connection: Connection, new: NewKit, *, actor: str) -> KitRecord:
    """Enter a kit; raises InvalidError naming a bad field, ConflictError when it exists."""
    _check(asdict(new))
    async with connection.transaction():
        await _check_organisation(connection, new.organisation)
        values = {**asdict(new), "wanted_components": Jsonb(dict(new.wanted_components))}
        async with connection.cursor(row_factory=scalar_row) as cursor:
            await cursor.execute(_SQL["insert"], values)
            kit_id = await cursor.fetchone()
        if kit_id is None:
            raise ConflictError(f"kit {new.kit} exists already")
        await connection.execute(_SQL["insert_latest"], {"kit_id": kit_id})
        after = {key: value for key, value in asdict(new).items() if key != "kit"}
        await _log(connection, kit_id, "opening", None, after, actor=actor)
        await _announce(connection, "kit.created", new.kit, {"state": str(new.state)})
        return await find_kit(connection, new.kit)


async def edit_kit(
    connection: Connection,
    kit: str,
    changes: Mapping[str, Any],
    *,
    actor: str,
    revisions: frozenset[int] | None = None,
) -> KitRecord | Stale:
    """Change fields of `EDITABLE`; `revisions`, when given, are those the caller has seen.

    Raises NotFoundError, and InvalidError naming a bad field. An edit that changes nothing leaves no trace.
    """
    _check(changes)
    async with connection.transaction():
        before = await _record(connection, "record_for_update", kit)
        if revisions is not None and before.revision not in revisions:
            return Stale(before.revision)
        await _check_organisation(connection, changes.get("organisation"))
        after = replace(before, **{name: changes[name] for name in EDITABLE if name in changes})
        if after == before:
            return before
        await _store(connection, before, after, what="edit", actor=actor, reason=None)
        await _announce(connection, "kit.edited", kit, {"fields": sorted(_difference(before, after)[1])})
        return await find_kit(connection, kit)


async def move_kit(
    connection: Connection,
    kit: str,
    to: KitState,
    *,
    actor: str,
    location: str | None = None,
    reason: str | None = None,
) -> KitRecord | NotAllowed:
    """Take one step of the lifecycle; what the table does not allow is answered with what it does.

    Raises InvalidError for missing or bad data (whatever the kit's state), then NotFoundError.
    """
    for name in sorted(missing_data(to, reason=reason)):
        raise InvalidError(name, f"is required for a step to {to}")
    _check({"location": location, "reason": reason})
    async with connection.transaction():
        before = await _record(connection, "record_for_update", kit)
        step = transition(KitState(before.state), to)
        if isinstance(step, NotAllowed):
            return step
        after = replace(before, state=to.value, location=location or before.location)
        await _store(connection, before, after, what="transition", actor=actor, reason=reason)
        body = {"from": before.state, "to": to.value}
        await _announce(connection, "kit.moved", kit, body)
        return await find_kit(connection, kit)


async def organisations(connection: Connection, *, after: str = "", limit: int = 500) -> list[Organisation]:
    """Organisations by slug with how many kits they have."""
    async with connection.cursor(row_factory=class_row(Organisation)) as cursor:
        await cursor.execute(_SQL["organisations"], {"after": after, "limit": limit})
        return await cursor.fetchall()


async def add_organisation(connection: Connection, *, slug: str, name: str) -> Organisation:
    """Enter an organisation; raises ConflictError when the slug is taken."""
    async with connection.cursor(row_factory=class_row(Organisation)) as cursor:
        await cursor.execute(_SQL["add_organisation"], {"slug": slug, "name": name})
        row = await cursor.fetchone()
    if row is None:
        raise ConflictError(f"organisation {slug} exists already")
    return row


async def _record(connection: Connection, query: str, kit: str) -> KitRecord:
    async with connection.cursor(row_factory=class_row(KitRecord)) as cursor:
        await cursor.execute(_SQL[query], {"kit": kit})
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("kit", kit)
    return row


async def _store(
    connection: Connection, before: KitRecord, after: KitRecord, *, what: str, actor: str, reason: str | None
) -> None:
    values = {**asdict(after), "wanted_components": Jsonb(after.wanted_components)}
    await connection.execute(_SQL["update"], values)
    was, becomes = _difference(before, after)
    if becomes.keys() & {"state", "expected_interval_s", "tolerance"}:
        await connection.execute(_SQL["set_watch"], {"kit_id": after.kit_id})
    await _log(connection, after.kit_id, what, was, becomes, actor=actor, reason=reason)
    await connection.execute(_SQL["enqueue"], {"kit_id": after.kit_id})


def _difference(before: KitRecord, after: KitRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [f.name for f in fields(KitRecord) if getattr(before, f.name) != getattr(after, f.name)]
    return {name: getattr(before, name) for name in names}, {name: getattr(after, name) for name in names}


async def _log(
    connection: Connection,
    kit_id: int,
    what: str,
    before: dict[str, Any] | None,
    after: dict[str, Any],
    *,
    actor: str,
    reason: str | None = None,
) -> None:
    values = {
        "kit_id": kit_id,
        "what": what,
        "before": None if before is None else Jsonb(before),
        "after": Jsonb(after),
        "actor": actor,
        "reason": reason,
    }
    await connection.execute(_SQL["log"], values)


async def _announce(connection: Connection, type_: str, kit: str | None, body: dict[str, Any]) -> None:
    await connection.execute(_SQL["announce"], {"type": type_, "kit": kit, "body": Jsonb(body)})


async def _check_organisation(connection: Connection, slug: str | None) -> None:
    if slug is None:
        return
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_SQL["organisation_exists"], {"slug": slug})
        if not await cursor.fetchone():
            raise InvalidError("organisation", f"there is none with the slug {slug!r}")


def _check(values: Mapping[str, Any]) -> None:
    """Refuse what the books may not hold; InvalidError names the field."""
    for name, value in values.items():
        problem = bad_value(name, value)
        if problem is not None:
            raise InvalidError(name, problem)


def bad_value(name: str, value: Any) -> str | None:
    """Why field `name` of a kit may not be `value`; None when it may."""
    return None if value is None else _RULES.get(name, bad_text)(value)


def _bad_state(value: str) -> str | None:
    return None if value in set(KitState) else f"{value!r} is none of {', '.join(KitState)}"


def _bad_interval(value: int) -> str | None:
    return None if 1 <= value <= MAX_INTERVAL_S else f"must be 1 to {MAX_INTERVAL_S} seconds"


def _bad_tolerance(value: float) -> str | None:
    # NaN compares with nothing, so it is refused as well.
    return None if 1 <= value <= MAX_TOLERANCE else f"must be 1 to {MAX_TOLERANCE} intervals"


_RULES: dict[str, Callable[[Any], str | None]] = {
    "kit": bad_kit,
    "state": _bad_state,
    "wanted_components": bad_components,
    "expected_interval_s": _bad_interval,
    "tolerance": _bad_tolerance,
}
