"""What stands in the log, and how corrections change what it says. Pure.

One row is one thing that happened to one subject:

- a kit's `opening`, `status`, `location`, `assign` or `edit` names `kit_id` and no component;
- a component's names `component_id`; an `opening` of one that is in a kit names the kit too;
- a `swap` names the kit, the piece that went in (`component_id`) or the one that came out (`removed_id`), or both;
  its state and place are those that the piece that came out got.

`to_state`, `location_id` and `placement_id` are what the subject got; a `location` without either says that the place
is not known. `organisation_id` and `owner_id` are whose it was then, and what an `opening` or `assign` made it.
A `correction` names the subjects of the event it corrects, and `after` holds `{"void": true}` or the values that
replace the event's: `occurred_at`, `to_state`, `location_id` with `placement_id`. A correction is itself corrected by
voiding it. Nothing is ever changed or removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace


class What(StrEnum):
    """Kinds of event."""

    OPENING = "opening"
    STATUS = "status"
    LOCATION = "location"
    EDIT = "edit"
    SWAP = "swap"
    ASSIGN = "assign"
    CORRECTION = "correction"


class Event(Struct, frozen=True, gc=False, kw_only=True):
    """What replay needs of a row of `book_events`; `what` is one of `What`."""

    event_id: int
    occurred_at: datetime
    what: str
    kit_id: int | None = None
    component_id: int | None = None
    removed_id: int | None = None
    to_state: str | None = None
    location_id: int | None = None
    placement_id: int | None = None
    organisation_id: int | None = None
    owner_id: int | None = None
    corrects: int | None = None
    after: Mapping[str, Any] | None = None


VOID = "void"


def effective(events: Iterable[Event]) -> list[Event]:
    """The events that count, as corrected, in the order in which they happened."""
    rows = list(events)
    corrections = [row for row in rows if row.corrects is not None]
    if corrections:
        rows = list(_corrected(rows, corrections))
    rows.sort(key=_order)
    return rows


def standing(corrections: Collection[Event]) -> dict[int, list[Event]]:
    """By the event they correct, the corrections that still count, in the order in which they were made.

    A correction can be voided by a later one only, so looking from the newest backwards settles each.
    """
    found: dict[int, list[Event]] = {}
    for correction in sorted(corrections, key=lambda each: -each.event_id):
        assert correction.corrects is not None
        if not is_void(found.get(correction.event_id, ())):
            found.setdefault(correction.corrects, []).insert(0, correction)
    return found


def is_void(corrections: Iterable[Event]) -> bool:
    """Whether an event with these standing corrections does not count."""
    return any((correction.after or {}).get(VOID) for correction in corrections)


def replacements(corrections: Iterable[Event]) -> dict[str, Any]:
    """The values that standing corrections put in place of an event's; the last one said wins."""
    values: dict[str, Any] = {}
    for correction in corrections:
        values |= correction.after or {}
    values.pop(VOID, None)
    return values


def corrected(event: Event, values: Mapping[str, Any]) -> Event:
    """The event with `values` in place of its own; times may be RFC 3339 text."""
    known = {name: value for name, value in values.items() if name in _REPLACEABLE}
    at = known.get("occurred_at")
    if isinstance(at, str):
        known["occurred_at"] = datetime.fromisoformat(at)
    if known.keys() & _PLACE.keys():
        known = {**_PLACE, **known}
    return replace(event, **known)


_PLACE: dict[str, Any] = {"location_id": None, "placement_id": None}
"""A place is replaced as one."""
_REPLACEABLE = frozenset({"occurred_at", "to_state", *_PLACE})


def _order(event: Event) -> tuple[datetime, int]:
    return event.occurred_at, event.event_id


def _corrected(rows: Iterable[Event], corrections: Collection[Event]) -> Iterable[Event]:
    by_event = standing(corrections)
    for row in rows:
        of_it = by_event.get(row.event_id, ())
        if row.corrects is None and not is_void(of_it):
            yield corrected(row, replacements(of_it)) if of_it else row
