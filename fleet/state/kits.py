"""The books of kits: create and edit, each with its log entry in one transaction. Steps and places are the ledger's.

Every change of interval or tolerance sets the kit's watch (when silence is a fault) in the same transaction, asks the
worker to evaluate the kit again and tells the event stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_one, fetch_value
from fleet.errors import ConflictError, InvalidError, NotFoundError
from fleet.state.ledger import store
from fleet.state.ledger.assigning import assign_kit, check_may_own
from fleet.state.ledger.events import Event, What
from fleet.state.ledger.opening import open_kits
from fleet.state.ledger.places import location_id
from fleet.state.ledger.store import Entry
from fleet.state.lifecycle import KitState
from fleet.state.registry.editing import Outdated
from fleet.state.texts import MAX_INTERVAL_S, bad_components, bad_kit, bad_text

DEFAULT_INTERVAL_S = 300
MAX_TOLERANCE = 100

_SQL = load_queries("fleet.state", "kits.sql")


@dataclass(frozen=True, slots=True)
class KitRecord:
    """A kit as the books have it; organisations and locations are slugs, `revision` rises with every change."""

    kit_id: int
    kit: str
    label: str
    state: str
    state_since: datetime
    organisation: str | None
    owner: str | None
    organisation_id: int | None
    owner_id: int | None
    kit_type: str | None
    location: str | None
    placement: int | None
    expected_interval_s: int
    tolerance: float | None
    wanted_components: dict[str, str]
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewKit:
    """A kit to be entered; any state, as an opening balance. Without an owner it is the organisation's own."""

    kit: str
    label: str = ""
    state: str = KitState.IN_STOCK
    organisation: str | None = None
    owner: str | None = None
    kit_type: str | None = None
    location: str | None = None
    expected_interval_s: int = DEFAULT_INTERVAL_S
    tolerance: float | None = None
    wanted_components: Mapping[str, str] = field(default_factory=dict)


EDITABLE = ("label", "kit_type", "expected_interval_s", "tolerance", "wanted_components")
"""What describes a kit. `organisation` and `owner` can be edited too: that assigns it, with all that is in it."""


async def find_kit(connection: Connection, kit: str) -> KitRecord:
    """The kit's record; raises NotFoundError."""
    return await _record(connection, "record", kit)


async def create_kit(connection: Connection, new: NewKit, *, by: Principal) -> KitRecord:
    """Enter a kit; raises InvalidError naming a bad field, ConflictError when it exists, ForbiddenError."""
    _check(asdict(new))
    async with connection.transaction():
        organisation_id = await organisations.id_of(connection, new.organisation)
        owner_id = await organisations.id_of(connection, new.owner or new.organisation, field="owner")
        check_may_own(by, Permission.KITS_WRITE, organisation_id, owner_id)
        await _check_kit_type(connection, new.kit_type)
        whose = {"organisation_id": organisation_id, "owner_id": owner_id}
        place = None if new.location is None else await location_id(connection, new.location)
        values = {**asdict(new), **whose, "location_id": place, "wanted_components": Jsonb(dict(new.wanted_components))}
        kit_id = await fetch_value(connection, _SQL["insert"], values)
        if kit_id is None:
            raise ConflictError(f"kit {new.kit} exists already")
        await connection.execute(_SQL["insert_latest"], {"kit_id": kit_id})
        after = {key: value for key, value in asdict(new).items() if key not in ("kit", "state")}
        await open_kits(connection, [kit_id], actor=by.actor, after=after)
        await store.announce(connection, "kit.created", new.kit, {"state": str(new.state)})
        return await find_kit(connection, new.kit)


async def edit_kit(
    connection: Connection,
    kit: str,
    changes: Mapping[str, Any],
    *,
    by: Principal,
    revisions: frozenset[int] | None = None,
) -> KitRecord | Outdated:
    """Change fields of `EDITABLE`, or whose it is; `revisions`, when given, are those the caller has seen.

    Raises NotFoundError, ForbiddenError, and InvalidError naming a bad field. An edit that changes nothing leaves no
    trace. The answer is the kit as it was left, also where the caller no longer sees it.
    """
    _check(changes)
    async with connection.transaction():
        before = await _record(connection, "record_for_update", kit)
        if revisions is not None and before.revision not in revisions:
            return Outdated(before.revision)
        after = replace(before, **{name: changes[name] for name in EDITABLE if name in changes})
        if after != before:
            await _check_kit_type(connection, after.kit_type)
            await _store(connection, before, after, by=by)
        await _assign(connection, before, changes, by=by)
        return await fetch_one(connection, _SQL["record"], {"kit": kit}, KitRecord) or after


async def _assign(connection: Connection, before: KitRecord, changes: Mapping[str, Any], *, by: Principal) -> None:
    if not changes.keys() & {"organisation", "owner"}:
        return
    organisation = changes.get("organisation", before.organisation)
    owner = changes.get("owner", before.owner)
    await assign_kit(
        connection,
        before.kit_id,
        organisation_id=await organisations.id_of(connection, organisation),
        owner_id=await organisations.id_of(connection, owner, field="owner"),
        by=by,
    )


async def _record(connection: Connection, query: str, kit: str) -> KitRecord:
    row = await fetch_one(connection, _SQL[query], {"kit": kit}, KitRecord)
    if row is None:
        raise NotFoundError("kit", kit)
    return row


async def _store(connection: Connection, before: KitRecord, after: KitRecord, *, by: Principal) -> None:
    await connection.execute(
        _SQL["update"], {**asdict(after), "wanted_components": Jsonb(dict(after.wanted_components))}
    )
    names = [f.name for f in fields(KitRecord) if getattr(before, f.name) != getattr(after, f.name)]
    if {"expected_interval_s", "tolerance"} & set(names):
        await connection.execute(store.SQL["set_watch"], {"kit_id": after.kit_id})
    (now,) = await store.scalars(connection, "now", {})
    event = Event(
        event_id=0,
        occurred_at=now,
        what=What.EDIT,
        kit_id=after.kit_id,
        organisation_id=before.organisation_id,
        owner_id=before.owner_id,
    )
    was, becomes = ({name: getattr(each, name) for name in names} for each in (before, after))
    await store.append(connection, [Entry(event, before=was, after=becomes)], actor=by.actor)
    await store.enqueue(connection, after.kit_id)
    await store.announce(connection, "kit.edited", after.kit, {"fields": sorted(names)})


async def _check_kit_type(connection: Connection, kit_type: str | None) -> None:
    if kit_type is not None and not await fetch_value(connection, _SQL["kit_type_exists"], {"kit_type": kit_type}):
        raise InvalidError("kit_type", f"there is no {kit_type!r}; make it with POST /api/v1/kit-types")


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
