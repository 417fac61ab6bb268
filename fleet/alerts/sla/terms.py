"""What a contract promises as values, out of rows; and a request's log, out of its events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fleet.alerts.rules import Priority
from fleet.alerts.sla.calendars import HORIZON, Calendar, Spans
from fleet.alerts.sla.escalating import Step
from fleet.alerts.sla.measuring import Entry, Promise, Target

PERSON = "user "
"""How the actor of an entry begins that an account of a person made; tokens and the systems of others are programs."""
CARE = frozenset({"opened", "comment", "call", "visit", "assigned", "line", "priority", "state"})
"""What somebody does about a request; links, references, mergers and redactions only put its papers in order."""
STEP_FIELDS = ("percent", "before_min", "notify", "role", "raise_priority")
NOTHING = Promise(HORIZON)
"""For a priority of which a contract says nothing."""
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Terms:
    """A contract as it is measured by: calendar, targets by priority, steps of escalation."""

    calendar: Calendar
    targets: Mapping[str, Promise]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A row of a request's log."""

    request_id: int
    event_id: int
    at: datetime
    actor: str
    what: str
    body: Mapping[str, Any]


def terms_of(row: Mapping[str, Any]) -> Terms:
    """Terms of a row of `sla_terms()`."""
    promised = {each["priority"]: promise_of(each, row["update_min"]) for each in row["targets"]}
    return Terms(
        calendar_of(row["calendar"]),
        {priority.value: promised.get(priority.value, NOTHING) for priority in Priority},
        tuple(step_of(each) for each in row["steps"]),
    )


def calendar_of(row: Mapping[str, Any]) -> Calendar:
    """A calendar out of its row; hours stand there as `08:00`."""
    return Calendar(
        hours=tuple(spans_of(row["hours"].get(day, [])) for day in WEEKDAYS),
        time_zone=row["time_zone"],
        always=row["always"],
        holidays=row["holidays"],
        optional=tuple(sorted(row["optional_days"].items())),
        days=tuple((date.fromisoformat(each["day"]), spans_of(each["hours"])) for each in row["days"]),
    )


def spans_of(hours: Iterable[Iterable[str]]) -> Spans:
    """Minutes of the day for pairs such as `["08:00", "16:00"]`; the end of the day is `24:00`."""
    return tuple((_minutes(start), _minutes(end)) for start, end in hours)


def promise_of(row: Mapping[str, Any], update_min: int | None) -> Promise:
    """The targets of one priority; `update_min` is the contract's where the priority has none of its own."""
    update = row["update_min"] if row["update_min"] is not None else update_min
    return Promise(timedelta(minutes=row["solution_min"]), _duration(row["response_min"]), _duration(update))


def step_of(row: Mapping[str, Any]) -> Step:
    """A step of escalation out of its row."""
    return Step(target=Target(row["target"]), **{name: row[name] for name in STEP_FIELDS})


def entries_of(
    events: Iterable[Event], opened_at: datetime, priority: str, spoken_for: Iterable[Event] = ()
) -> list[Entry]:
    """The log as it is measured: in the order of what happened when, opening first.

    `priority` is the request's of now, for logs whose opening does not tell any. `spoken_for` are the logs of requests
    that were merged into it unresolved: it is as old as the first of them, and what was done about them was done about
    it.
    """
    ordered = sorted(events, key=lambda each: (each.at, each.event_id))
    opening = next((each for each in ordered if each.what == "opened"), None)
    first = opening.body.get("priority") if opening else None
    first = first or next((each.body.get("from") for each in ordered if each.what == "priority"), None) or priority
    opened = (opening.at if opening else opened_at).astimezone(UTC)
    others = list(spoken_for)
    begun = min([opened, *(each.at.astimezone(UTC) for each in others if each.what == "opened")])
    by_somebody = opening is not None and _cares(opening)
    entries = [Entry(begun, by_somebody and begun == opened, "open", priority=first)]
    entries += [Entry(opened, by_somebody)] if begun < opened else []
    voided = _voided([*ordered, *others])
    entries += [_entry(each, voided) for each in ordered if each is not opening]
    entries += [Entry(each.at.astimezone(UTC), _cares(each, voided)) for each in others]
    # A step that was entered too early is taken to be of the opening.
    return [entries[0], *sorted(entries[1:], key=lambda each: each.at)]


def told_keys(events: Iterable[Event]) -> frozenset[str]:
    """The keys of the steps of escalation that the log tells of."""
    keys: set[str] = set()
    for each in events:
        if each.what == "escalated":
            keys |= {each.body.get("key", ""), *each.body.get("along", [])}
    return frozenset(keys)


def _cares(event: Event, voided: Collection[int] = ()) -> bool:
    """Whether a person did something about the request; a call that was entered wrongly is none, nor is a merger."""
    if event.what == "state" and str(event.body.get("resolution", "")).startswith("merged:"):
        return False
    by_a_person = event.actor.startswith(PERSON) and event.what in CARE
    return by_a_person and not (event.what == "call" and event.body.get("call") in voided)


def _voided(events: Iterable[Event]) -> frozenset[int]:
    return frozenset(each.body["call"] for each in events if each.what == "call" and each.body.get("voided"))


def _entry(event: Event, voided: Collection[int]) -> Entry:
    at, human = event.at.astimezone(UTC), _cares(event, voided)
    match event.what:
        case "state":
            return Entry(at, human, event.body.get("to"), event.body.get("waiting_for"))
        case "priority":
            return Entry(at, human, priority=event.body.get("to"))
        case _:
            return Entry(at, human)


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _duration(minutes: int | None) -> timedelta | None:
    return None if minutes is None else timedelta(minutes=minutes)
