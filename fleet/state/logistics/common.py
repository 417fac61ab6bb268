"""What the parts of logistics share: places by name, outcomes of the ledger, references of visits, dates."""

from __future__ import annotations

import calendar
import re
from datetime import date, datetime, timedelta
from typing import Any

from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_dicts, fetch_value
from fleet.errors import ConflictError, InvalidError
from fleet.state.ledger.steps import Blocked, Taken
from fleet.state.ledger.wording import english
from fleet.state.ledger.writing import AHEAD
from fleet.state.lifecycle import NotAllowed
from fleet.state.registry.locations import Location, location_called
from fleet.state.texts import looks_like_cpr

_SQL = load_queries("fleet.state.logistics", "common.sql")
SELLERS = frozenset({"supplier", "lessor"})
"""Kinds of organisations that equipment is bought or leased from."""
_VISIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,63}", re.ASCII)


async def location_of(connection: Connection, text: str, *, field: str = "location") -> Location:
    """The location with this slug or name, in use and visible; raises InvalidError naming `field`."""
    found = await location_called(connection, text.strip())
    if found is None:
        raise InvalidError(field, f"there is no {text!r}: enter the location first")
    return found


async def place_id(connection: Connection, text: str | None, *, field: str = "location") -> int | None:
    """The number of a location; None stays None. Raises as `location_of`."""
    return None if text is None else (await location_of(connection, text, field=field)).location_id


async def seller_id(connection: Connection, slug: str, *, field: str) -> int:
    """The number of a supplier or a lessor, from whom things come and to whom they go back; raises InvalidError."""
    found = await fetch_dicts(connection, _SQL["party"], {"slug": slug})
    if not found:
        raise InvalidError(field, f"there is none with the slug {slug!r}")
    if found[0]["kind"] not in SELLERS:
        raise InvalidError(field, f"{slug} is of kind {found[0]['kind']}: it must be a supplier or a lessor")
    number: int = found[0]["organisation_id"]
    return number


def taken(outcome: Taken | Blocked | NotAllowed, what: str) -> Taken:
    """The step, when it was taken; raises ConflictError that says why `what` could not take it."""
    match outcome:
        case Taken():
            return outcome
        case NotAllowed():
            allowed = ", ".join(outcome.allowed) or "nothing"
            raise ConflictError(f"{what} is {outcome.source}: from there it can become {allowed}, not {outcome.target}")
        case Blocked():
            raise ConflictError(f"{what}: " + "; ".join(english(each) for each in outcome.unmet))


def check_visit(text: str | None) -> str | None:
    """The number of a planned visit: no words, so that no name stands there; raises InvalidError."""
    if text is None:
        return None
    if looks_like_cpr(text):
        raise InvalidError("visit", "could be a civil registration number")
    if not _VISIT.fullmatch(text) or not any(each.isdigit() for each in text):
        raise InvalidError("visit", "must be a number such as V-2041: 1 to 64 of A-Z a-z 0-9 . _ : / # -, with a digit")
    return text


async def moment_of(connection: Connection, given: datetime | None, *, field: str = "occurred_at") -> datetime:
    """When it happened: as told, else now by the database's clock. Raises InvalidError when it lies in the future."""
    now: datetime = await fetch_value(connection, _SQL["now"], {})
    if given is not None and given > now + AHEAD:
        raise InvalidError(field, "lies in the future")
    return given or now


def months_after(day: date, months: int) -> date:
    """The same day so many months later, or the last of that month."""
    year, month = divmod(day.month - 1 + months, 12)
    last = calendar.monthrange(day.year + year, month + 1)[1]
    return date(day.year + year, month + 1, min(day.day, last))


def last_day(until: date | None) -> date | None:
    """The last day of a range whose end is not in it any more."""
    return None if until is None else until - timedelta(days=1)


def one_of(value: Any, name: str) -> Any:
    """A row that was written a moment ago and must be there."""
    assert value is not None, name
    return value
