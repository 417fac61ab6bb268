"""Visits are planned, moved, begun, called off, and fail; what is kept for them goes along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.access.roles import Role
from fleet.alerts.requests.log import UNRESOLVED
from fleet.alerts.sla.calendarbook import WORKING_DAYS, find_calendar
from fleet.alerts.sla.calendars import Calendar, local_day
from fleet.alerts.visits import bringing, steps, store
from fleet.alerts.visits.bringing import Bring
from fleet.alerts.visits.steps import DESK, Kind, NotAllowed, State
from fleet.alerts.visits.store import MAX_NOTE, SQL, Locked, Visit
from fleet.db.rows import Connection, fetch_dicts, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError
from fleet.state.registry.editing import Outdated, merged
from fleet.state.texts import bad_text, looks_like_cpr

OLDEST = timedelta(days=366)
"""How far back an order or a visit may be entered."""
FARTHEST = timedelta(days=731)
AHEAD = timedelta(minutes=5)
EDITABLE = ("planned_on", "window_from", "window_to", "crew", "urgent", "note")
"""And kit and placement, until it is begun."""

Outcome = Visit | NotAllowed | Outdated


@dataclass(frozen=True, slots=True)
class NewVisit:
    """A visit to plan, to a kit, a placement's home or (a training) an organisation, from a service request or none.

    `ordered_at` is when it was asked for, now when not said; `window_from` and `window_to` are Danish times (`08:00`).
    """

    kind: Kind
    planned_on: date
    kit: str | None = None
    placement_id: int | None = None
    organisation: str | None = None
    service_request: str | None = None
    urgent: bool = False
    ordered_at: datetime | None = None
    window_from: str | None = None
    window_to: str | None = None
    crew: str | None = None
    note: str = ""
    bring: Sequence[Bring] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a visit failed; with `planned_on` it is planned again at once."""

    failure: str
    note: str = ""
    occurred_at: datetime | None = None
    planned_on: date | None = None
    window_from: str | None = None
    window_to: str | None = None
    crew: str | None = None


@dataclass(frozen=True, slots=True)
class _Whose:
    """Where a visit leads and whose it is."""

    kit_id: int | None = None
    kit: str | None = None
    owner_id: int | None = None
    placement_id: int | None = None
    organisation_id: int | None = None


async def plan(connection: Connection, new: NewVisit, *, by: Principal) -> Visit:
    """Plan a visit and reserve what to bring, all of it or nothing.

    Raises InvalidError naming the field, ForbiddenError, ConflictError when something is not to be had.
    """
    async with connection.transaction():
        now = await store.moment(connection)
        ordered_at = new.ordered_at or now
        if not now - OLDEST <= ordered_at <= now + AHEAD:
            raise InvalidError("ordered_at", f"must lie within the last {OLDEST.days} days")
        _check(new.planned_on, (new.window_from, new.window_to), new.crew, new.note, now)
        request_id, about = await _request(connection, new.service_request)
        if None not in (new.kit, about) and new.kit != about:
            raise InvalidError("kit", f"{new.service_request} is about {about}")
        whose = await _whose(connection, new.kit or about, new.placement_id, new.organisation)
        if new.kind is not Kind.TRAINING and whose.kit_id is None and whose.placement_id is None:
            raise InvalidError("kit", "name a kit or a placement: only a training is about neither")
        _may(by, whose)
        values = {
            "kind": new.kind.value,
            **_where(whose),
            "request_id": request_id,
            "urgent": new.urgent,
            "ordered_at": ordered_at,
            **_when(new.planned_on, new.window_from, new.window_to, new.crew),
            "note": new.note,
            "actor": by.actor,
        }
        values |= await _target(connection, values)
        number = await fetch_value(connection, SQL["add"], values)
        visit = await store.lock(connection, number)
        for wanted in new.bring:
            await bringing.add(connection, visit, wanted, by=by)
        await store.note(connection, visit, "planned", by=by, planned_on=new.planned_on.isoformat())
        return await store.find_visit(connection, number)


async def change(
    connection: Connection,
    number: str,
    changes: Mapping[str, Any],
    *,
    by: Principal,
    revisions: frozenset[int] | None = None,
) -> Outcome:
    """Change fields of `EDITABLE`, kit or placement; a new day plans again what failed, and moves what is kept for it.

    Raises NotFoundError, InvalidError, ForbiddenError, ConflictError when something is kept for another one then.
    """
    async with connection.transaction():
        visit = await store.lock(connection, number)
        if revisions is not None and visit.revision not in revisions:
            return Outdated(visit.revision)
        if not visit.roles(by) & DESK:
            raise _forbidden(DESK)
        state = visit.state
        if "planned_on" in changes or state not in (State.PLANNED, State.UNDER_WAY):
            step = steps.find(state, State.PLANNED, visit.roles(by)) if state != State.PLANNED else None
            if isinstance(step, NotAllowed):
                return step
            if "planned_on" not in changes:
                raise ConflictError(f"visit {number} is {state}: give planned_on to plan it again")
            state = State.PLANNED.value
        await _write(connection, visit, {**changes, "state": state})
        if "planned_on" in changes:
            await store.note(connection, visit, "planned", by=by, planned_on=changes["planned_on"].isoformat())
        return await store.find_visit(connection, number)


async def start(connection: Connection, number: str, *, by: Principal) -> Outcome:
    """Say that the crew is on its way; twice says it once. Raises NotFoundError, ForbiddenError."""
    async with connection.transaction():
        visit = await store.lock(connection, number)
        if visit.state != State.UNDER_WAY:
            step = step_of(visit, State.UNDER_WAY, by)
            if isinstance(step, NotAllowed):
                return step
            await connection.execute(SQL["start"], {"visit_id": visit.visit_id})
            await store.note(connection, visit, "started", by=by)
        return await store.find_visit(connection, number)


async def cancel(connection: Connection, number: str, *, reason: str, by: Principal) -> Outcome:
    """Call it off; what was reserved is free again. Raises NotFoundError, InvalidError, ForbiddenError."""
    _check_text("reason", reason)
    async with connection.transaction():
        visit = await store.lock(connection, number)
        step = step_of(visit, State.CANCELLED, by)
        if isinstance(step, NotAllowed):
            return step
        await connection.execute(SQL["cancel"], {"visit_id": visit.visit_id, "reason": reason})
        about = {"visit_id": visit.visit_id, "outcome": "released"}
        await connection.execute(SQL["end_reservations"], about)
        await store.note(connection, visit, "cancelled", by=by)
        return await store.find_visit(connection, number)


async def fail(connection: Connection, number: str, failed: Failure, *, by: Principal) -> Outcome:
    """Say why somebody went there in vain, and when it is tried again if that is known already.

    What was reserved is kept until the planned day, or until the new one. Raises NotFoundError, InvalidError,
    ForbiddenError.
    """
    if failed.note:
        _check_text("note", failed.note)
    async with connection.transaction():
        visit = await store.lock(connection, number)
        now = await store.moment(connection)
        at = failed.occurred_at or now
        if not now - OLDEST <= at <= now + AHEAD:
            raise InvalidError("occurred_at", f"must lie within the last {OLDEST.days} days")
        if await fetch_value(connection, SQL["failure"], {"failure": failed.failure}) is None:
            raise InvalidError("failure", "is not on the list")
        step = step_of(visit, State.FAILED, by)
        if isinstance(step, NotAllowed):
            return step
        said = {"visit_id": visit.visit_id, "at": at, "failure": failed.failure, "note": failed.note}
        await connection.execute(SQL["fail"], {**said, "actor": by.actor})
        await store.note(connection, visit, "failed", by=by, failure=failed.failure, attempt=visit.attempts + 1)
        if failed.planned_on is not None:
            again = {name: getattr(failed, name) for name in ("planned_on", "window_from", "window_to", "crew")}
            if failed.window_from is None and failed.window_to is None:
                del again["window_from"], again["window_to"]
            if failed.crew is None:
                del again["crew"]
            await _write(connection, visit, {**again, "state": State.PLANNED.value})
            await store.note(connection, visit, "planned", by=by, planned_on=failed.planned_on.isoformat())
        return await store.find_visit(connection, number)


async def working_days(connection: Connection) -> Calendar:
    """The Danish working days that targets are measured in."""
    return (await find_calendar(connection, WORKING_DAYS)).calendar()


async def _write(connection: Connection, visit: Locked, changes: Mapping[str, Any]) -> None:
    after = merged(visit, changes, EDITABLE)
    now = await store.moment(connection)
    window = (after["window_from"], after["window_to"])
    _check(after["planned_on"], window, after["crew"], after["note"], now, new="planned_on" in changes)
    whose = _Whose(visit.kit_id, visit.kit, visit.owner_id, visit.placement_id, visit.organisation_id)
    if changes.keys() & {"kit", "placement_id"}:
        if visit.state == State.UNDER_WAY:
            raise ConflictError(f"visit {visit.number} is under way: to whom it leads stays")
        kit, placement_id = changes.get("kit", visit.kit), changes.get("placement_id", visit.placement_id)
        whose = await _whose(connection, kit, placement_id, None)
        if whose.organisation_id is None:
            raise InvalidError("kit", "name a kit or a placement")
    values: dict[str, Any] = {
        **{name: getattr(visit, name) for name in ("visit_id", "ordered_at", "target_days", "due_on")},
        **after,
        **_where(whose),
        "state": changes["state"],
    }
    if after["urgent"] != visit.urgent or whose.organisation_id != visit.organisation_id:
        values |= await _target(connection, values)
    await connection.execute(SQL["change"], values)
    if after["planned_on"] != visit.planned_on:
        moved = {"visit_id": visit.visit_id, "planned_on": after["planned_on"]}
        await connection.execute(SQL["move_reservations"], moved)


async def _target(connection: Connection, values: Mapping[str, Any]) -> dict[str, Any]:
    """By when it is to be done, as contract or settings say now."""
    days = await fetch_value(connection, SQL["target"], values)
    calendar = await working_days(connection)
    ordered = local_day(calendar, values["ordered_at"])
    return {"target_days": days, "due_on": steps.due_on(calendar, ordered, days)}


async def _request(connection: Connection, number: str | None) -> tuple[int | None, str | None]:
    """A request's number in the database, and the kit that it is about."""
    if number is None:
        return None, None
    found = await fetch_dicts(connection, SQL["request"], {"number": number})
    if not found:
        raise InvalidError("service_request", f"there is no {number}")
    if found[0]["state"] not in UNRESOLVED:
        raise ConflictError(f"{number} is {found[0]['state']}: open it again to plan a visit for it")
    return found[0]["request_id"], found[0]["kit"]


async def _whose(connection: Connection, kit: str | None, placement_id: int | None, organisation: str | None) -> _Whose:
    """Kit, placement and organisation as they go together; raises InvalidError."""
    about: dict[str, Any] = {}
    if kit is not None:
        found = await fetch_dicts(connection, SQL["kit"], {"kit": kit})
        if not found:
            raise InvalidError("kit", f"there is no {kit!r}")
        about = found[0]
    number = placement_id if placement_id is not None else about.get("placement_id")
    if number is not None:
        rows = await fetch_dicts(connection, SQL["placement"], {"placement_id": number})
        if not rows and placement_id is not None:
            raise InvalidError("placement_id", f"there is no placement {placement_id}")
        if rows:
            _check_placement(rows[0], kit, named=placement_id is not None)
            about = {**about, "placement_id": number, "organisation_id": rows[0]["organisation_id"]}
    named = await organisations.id_of(connection, organisation)
    known = about.get("organisation_id")
    if None not in (named, known) and named != known:
        raise InvalidError("organisation", "is not that of the kit or the placement: leave it out")
    if named is None and known is None:
        raise InvalidError("organisation", "of whom is it? name the organisation")
    return _Whose(**{**about, "organisation_id": named if known is None else known})


def _check_placement(found: Mapping[str, Any], kit: str | None, *, named: bool) -> None:
    if not named:
        return
    if found["state"] in ("ended", "cancelled"):
        raise ConflictError(f"placement {found['placement_id']} is {found['state']}")
    if None not in (kit, found["kit"]) and kit != found["kit"]:
        raise InvalidError("placement_id", f"placement {found['placement_id']} is for another kit")


def step_of(visit: Locked, wanted: State, by: Principal) -> steps.Step | NotAllowed:
    """The step, or what is allowed; raises ForbiddenError for a role that has no part in it at all."""
    step = steps.find(visit.state, wanted, visit.roles(by))
    if isinstance(step, NotAllowed):
        takers = [each.roles for each in steps.STEPS if each.source == visit.state and each.target is wanted]
        if takers and not takers[0] & visit.roles(by):
            raise _forbidden(takers[0])
    return step


def _may(by: Principal, whose: _Whose) -> None:
    ids = [each for each in (whose.organisation_id, whose.owner_id) if each is not None]
    if not by.roles_for(*ids) & DESK:
        raise _forbidden(DESK)


def _forbidden(roles: frozenset[Role]) -> ForbiddenError:
    return ForbiddenError(f"it takes one of the roles {', '.join(sorted(roles))} there")


def _where(whose: _Whose) -> dict[str, Any]:
    return {name: getattr(whose, name) for name in ("kit_id", "placement_id", "organisation_id")}


def _when(planned_on: date, window_from: str | None, window_to: str | None, crew: str | None) -> dict[str, Any]:
    return {"planned_on": planned_on, "window_from": window_from, "window_to": window_to, "crew": crew}


def _check(
    planned_on: date | None,
    window: tuple[str | None, str | None],
    crew: str | None,
    note: str | None,
    now: datetime,
    *,
    new: bool = True,
) -> None:
    if planned_on is None:
        raise InvalidError("planned_on", "cannot be empty")
    if new and not (now - OLDEST).date() <= planned_on <= (now + FARTHEST).date():
        raise InvalidError("planned_on", "must lie within the last year or the next two")
    begins, ends = window
    if (begins is None) != (ends is None):
        raise InvalidError("window_to" if ends is None else "window_from", "a window has both ends")
    if begins is not None and ends is not None and ends <= begins:
        raise InvalidError("window_to", "is not after window_from")
    if crew is not None and looks_like_cpr(crew):
        raise InvalidError("crew", "could be a civil registration number")
    if note is None:
        raise InvalidError("note", "cannot be null: leave it empty")
    if note:
        _check_text("note", note, MAX_NOTE)


def _check_text(field: str, text: str, limit: int = MAX_NOTE) -> None:
    problem = bad_text(text.replace("\n", " "), limit) if text else "is empty"
    if problem is not None:
        raise InvalidError(field, problem)
