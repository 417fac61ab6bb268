"""Maintenance windows as people plan them: for which kits, when, for which rules; edited and ended, also while on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from fleet.access import organisations
from fleet.access.principal import Principal
from fleet.access.roles import Permission
from fleet.alerts.quieting import recurrence
from fleet.alerts.quieting.recurrence import Occurrence
from fleet.alerts.quieting.review import Plan, next_time
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_all, fetch_dicts, fetch_one, fetch_value
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.registry.checks import checked
from fleet.state.registry.editing import Outdated, merged
from fleet.state.registry.models import find_model
from fleet.state.texts import bad_text

_SQL = load_queries("fleet.alerts.quieting", "windows.sql")

LONGEST = timedelta(days=30)
LONGEST_RECURRING = timedelta(days=7)
FURTHEST = timedelta(days=731)
"""How far ahead a window may begin."""
JUST_NOW = timedelta(minutes=5)
"""A beginning so little ago is meant as now."""
MAX_OPEN = 200
"""Windows of one organisation that are not over."""
MAX_KITS = 1_000
MAX_UPCOMING = 10

FILTERS = ("state", "organisation", "location", "kit", "kit_type", "model_id", "collect")
EDITABLE = (
    "title",
    "location",
    "kit_type",
    "model_id",
    "programme",
    "kits",
    "rules",
    "collect",
    "starts_at",
    "ends_at",
    "recurrence",
)


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window. It is for what is of `organisation` with what is below it (None: all), narrowed by place,
    kit type, model of a piece, programme and `kits`, all that is given together. Places and organisations themselves,
    of which alerts may be, are in it where it says nothing of kits.

    `starts_at` to `ends_at` is the first time, `current_from` to `current_to` the one that is on or next; `state` is
    planned, on or ended. `rules` None is all of them.
    """

    window_id: int
    organisation: str | None
    organisation_id: int | None
    location: str | None
    location_id: int | None
    title: str
    kit_type: str | None
    model_id: int | None
    programme: str | None
    kits: list[str] | None
    rules: list[str] | None
    collect: bool
    starts_at: datetime
    ends_at: datetime
    recurrence: str | None
    current_from: datetime | None
    current_to: datetime | None
    resumes_at: datetime | None
    ended_at: datetime | None
    state: str
    created_by: str
    created_at: datetime
    revision: int

    @property
    def plan(self) -> Plan:
        """When it is on."""
        return Plan(
            self.window_id,
            self.starts_at,
            self.ends_at,
            self.recurrence,
            self.current_from,
            self.current_to,
            self.resumes_at,
        )


@dataclass(frozen=True, slots=True)
class NewWindow:
    """A window to plan; without `starts_at` it begins now."""

    title: str
    ends_at: datetime
    starts_at: datetime | None = None
    organisation: str | None = None
    location: str | None = None
    kit_type: str | None = None
    model_id: int | None = None
    programme: str | None = None
    kits: Sequence[str] | None = None
    rules: Sequence[str] | None = None
    collect: bool = True
    recurrence: str | None = None


@dataclass(frozen=True, slots=True)
class PastTime:
    """One time that a window was on, or is on, as the worker saw it."""

    occurrence_id: int
    rules: list[str] | None
    collect: bool
    began_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Locked:
    window_id: int
    revision: int


async def list_windows(connection: Connection, *, before: int, limit: int = 100, **chosen: Any) -> list[Window]:
    """Windows, the newest first; filters of `FILTERS`, None does not count."""
    values = {**dict.fromkeys((*FILTERS, "id")), **chosen, "before": before, "limit": limit}
    return await fetch_all(connection, _SQL["list"], values, Window)


async def find_window(connection: Connection, window_id: int) -> Window:
    """One window; raises NotFoundError."""
    found = await list_windows(connection, before=2**63 - 1, id=window_id, limit=1)
    if not found:
        raise NotFoundError("maintenance window", str(window_id))
    return found[0]


async def windows_of_kit(connection: Connection, kit: str) -> list[dict[str, Any]]:
    """The windows that are on for a kit, whoever made them: number, until when, for which rules."""
    return await fetch_dicts(connection, _SQL["of_kit"], {"kit": kit})


async def past_times(connection: Connection, window_id: int, *, before: int, limit: int) -> list[PastTime]:
    """When a window was on, the newest first."""
    values = {"id": window_id, "before": before, "limit": limit}
    return await fetch_all(connection, _SQL["occurrences"], values, PastTime)


async def moment(connection: Connection) -> datetime:
    """What time it is for the transaction."""
    now: datetime = await fetch_value(connection, _SQL["now"], {})
    return now


def upcoming(window: Window, now: datetime, count: int = MAX_UPCOMING) -> list[Occurrence]:
    """The next times of a window, the one that is on among them."""
    if window.current_from is None:
        return []
    rule = None if window.recurrence is None else recurrence.parse(window.recurrence)
    times = recurrence.occurrences(window.starts_at, window.ends_at - window.starts_at, rule, after=now)
    return list(islice((each for each in times if each.begins_at >= window.current_from), count))


async def plan_window(connection: Connection, new: NewWindow, *, by: Principal) -> Window:
    """Enter a window; raises InvalidError, ForbiddenError, and ConflictError when there are too many."""
    async with connection.transaction():
        now = await moment(connection)
        if new.starts_at is None:
            new = replace(new, starts_at=now)
        assert new.starts_at is not None
        if new.starts_at < now - JUST_NOW:
            raise InvalidError("starts_at", "is past; leave it out to begin now")
        values = {**asdict(new), "created_by": by.actor}
        _check_times(values, now)
        values["organisation_id"] = await _organisation(connection, new.organisation, by)
        if await fetch_value(connection, _SQL["count_open"], values) >= MAX_OPEN:
            raise ConflictError(f"there are {MAX_OPEN} windows already that are not over: end some")
        kit_ids = await _check_scope(connection, values)
        window_id = await fetch_value(connection, _SQL["add"], values)
        await _set_kits(connection, window_id, kit_ids)
        return await find_window(connection, window_id)


async def edit_window(
    connection: Connection, window_id: int, changes: Mapping[str, Any], *, revisions: frozenset[int] | None = None
) -> Window | Outdated:
    """Change fields of `EDITABLE`, also while it is on; raises NotFoundError, InvalidError, ConflictError."""
    async with connection.transaction():
        before, outdated = await _locked(connection, window_id, revisions)
        if outdated is not None:
            return outdated
        if before.state == "ended":
            raise ConflictError("the window is over")
        now = await moment(connection)
        values = {**merged(before, changes, EDITABLE), "id": window_id, "ended_at": None}
        moved = {name for name in ("starts_at", "ends_at", "recurrence") if values[name] != getattr(before, name)}
        _check_moved(before, values, moved, now)
        kit_ids = await _check_scope(connection, values)
        if values["location"] == before.location:
            values["location_id"] = before.location_id  # also where the place is none of the caller's
        await connection.execute(_SQL["edit"], {**values, **_time(before, values, moved, now)})
        await _set_kits(connection, window_id, kit_ids)
        return await find_window(connection, window_id)


async def end_window(connection: Connection, window_id: int, *, series: bool) -> Window:
    """End the time that is on, and with `series` all that were to come; what is over already stays as it is.

    Raises NotFoundError, and ConflictError where no time is on of one that recurs.
    """
    async with connection.transaction():
        window, _ = await _locked(connection, window_id, None)
        if window.state == "ended":
            return window
        now = await moment(connection)
        if window.recurrence is not None and not series and window.state != "on":
            raise ConflictError("the window is not on now: end the series, or edit it")
        time = None
        if window.recurrence is not None and not series:
            time = next_time(replace(window.plan, resumes_at=now), now)
        await connection.execute(_SQL["end"], {"id": window_id, "now": now, **_times_of(time, now)})
        return await find_window(connection, window_id)


async def _locked(
    connection: Connection, window_id: int, revisions: frozenset[int] | None
) -> tuple[Window, Outdated | None]:
    held = await fetch_one(connection, _SQL["lock"], {"id": window_id}, _Locked)
    if held is None:
        raise NotFoundError("maintenance window", str(window_id))
    outdated = revisions is not None and held.revision not in revisions
    return await find_window(connection, window_id), Outdated(held.revision) if outdated else None


async def _organisation(connection: Connection, slug: str | None, by: Principal) -> int | None:
    """Whose kits it is for; who is bound to organisations names one of them."""
    organisation_id = await organisations.id_of(connection, slug)
    scope = by.scope(Permission.WINDOWS_WRITE)
    if organisation_id is None and scope.organisations is not None:
        raise InvalidError("organisation", "is needed of who is bound to some: the window is for what is below it")
    if not scope.sees(organisation_id):
        raise ForbiddenError(f"{slug} is none of yours")
    return organisation_id


def _check_times(values: Mapping[str, Any], now: datetime) -> None:
    starts_at, ends_at = values["starts_at"], values["ends_at"]
    longest = LONGEST if values["recurrence"] is None else LONGEST_RECURRING
    if ends_at <= starts_at:
        raise InvalidError("ends_at", "must be after starts_at")
    if values["recurrence"] is None and ends_at <= now:
        raise InvalidError("ends_at", "is past")
    if ends_at - starts_at > longest:
        raise InvalidError("ends_at", f"a window lasts {longest.days} days at most")
    if starts_at > now + FURTHEST:
        raise InvalidError("starts_at", f"must be within {FURTHEST.days} days")
    if values["recurrence"] is not None:
        _check_recurrence(values)


def _check_recurrence(values: Mapping[str, Any]) -> None:
    try:
        rule = recurrence.parse(values["recurrence"])
    except ValueError as error:
        raise InvalidError("recurrence", str(error)) from None
    problem = recurrence.problem(values["starts_at"], values["ends_at"] - values["starts_at"], rule)
    if problem is not None:
        raise InvalidError("recurrence", problem)


def _check_moved(before: Window, values: Mapping[str, Any], moved: set[str], now: datetime) -> None:
    for name in ("starts_at", "ends_at"):
        if values[name] is None:
            raise InvalidError(name, "is needed")
    if "starts_at" in moved and before.starts_at <= now:
        raise InvalidError("starts_at", "it has begun already")
    if "starts_at" in moved and values["starts_at"] < now - JUST_NOW:
        raise InvalidError("starts_at", "is past")
    if moved:
        _check_times(values, now)


def _time(before: Window, values: Mapping[str, Any], moved: set[str], now: datetime) -> dict[str, datetime | None]:
    """The time that is on or next after an edit; the one that is on stays unless it is moved away."""
    if not moved:
        return {"current_from": before.current_from, "current_to": before.current_to}
    names = ("starts_at", "ends_at", "recurrence")
    time = next_time(replace(before.plan, **{name: values[name] for name in names}), now)
    if time is None:
        raise InvalidError("recurrence", "leaves no time to come: end the window instead")
    return _times_of(time, now)


def _times_of(time: Occurrence | None, now: datetime) -> dict[str, datetime | None]:
    if time is None:
        return {"current_from": None, "current_to": None, "ended_at": now}
    return {"current_from": time.begins_at, "current_to": time.ends_at, "ended_at": None}


async def _check_scope(connection: Connection, values: dict[str, Any]) -> list[int]:
    """Check what the window is for and put it into the form of the row; gives the kits it names."""
    checked({"programme": values["programme"]})
    if problem := (bad_text(values["title"]) if values["title"] else "is empty"):
        raise InvalidError("title", problem)
    if values["model_id"] is not None:
        await _known_model(connection, values["model_id"])
    kit_type = values["kit_type"]
    if kit_type is not None and not await fetch_value(connection, _SQL["kit_type_exists"], {"kit_type": kit_type}):
        raise InvalidError("kit_type", f"there is no kit type {kit_type!r}")
    values["location_id"] = await _location_id(connection, values["location"])
    await _check_rules(connection, values)
    values["names_kits"] = values["kits"] is not None
    return await _kit_ids(connection, values["kits"] or ())


async def _location_id(connection: Connection, slug: str | None) -> int | None:
    if slug is None:
        return None
    found: int | None = await fetch_value(connection, _SQL["location_id"], {"slug": slug})
    if found is None:
        raise InvalidError("location", f"there is no place {slug!r}")
    return found


async def _known_model(connection: Connection, model_id: int) -> None:
    try:
        await find_model(connection, model_id)
    except NotFoundError:
        raise InvalidError("model_id", f"there is no model {model_id}") from None


async def rule_names(connection: Connection) -> list[str]:
    """The rules that a window can be for, by name."""
    return [each["rule"] for each in await fetch_dicts(connection, _SQL["known_rules"], {})]


async def _check_rules(connection: Connection, values: dict[str, Any]) -> None:
    if values["rules"] is not None:
        if unknown := sorted(set(values["rules"]) - set(await rule_names(connection))):
            raise InvalidError("rules", f"there is no rule {unknown[0]!r}")
        values["rules"] = sorted(set(values["rules"]))


async def _kit_ids(connection: Connection, kits: Sequence[str]) -> list[int]:
    found = {each["kit"]: each["kit_id"] for each in await fetch_dicts(connection, _SQL["kit_ids"], {"kits": [*kits]})}
    missing = sorted(set(kits) - found.keys())
    if missing:
        raise InvalidError("kits", f"there is no kit {missing[0]!r}")
    return sorted(found.values())


async def _set_kits(connection: Connection, window_id: int, kit_ids: list[int]) -> None:
    values = {"id": window_id, "kit_ids": kit_ids}
    await connection.execute(_SQL["remove_kits"], values)
    await connection.execute(_SQL["add_kits"], values)
