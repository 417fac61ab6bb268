"""The log of a service request and what it comes to: pure functions of values.

A request's row is the projection of its log, entry by entry; whoever changes a request appends entries and writes what
they come to, in one transaction (`writing.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

SYSTEM = "system"
"""Who acts where rules and clocks do."""
REDACTED = "[redacted]"
TEXTS = ("text", "reason", "description", "title", "url", "document")
"""Members of an entry that hold what people wrote; `resolution` may as well."""
ENDED = frozenset({"resolved", "closed"})
UNRESOLVED = frozenset({"open", "in_progress", "waiting"})


class What(StrEnum):
    """What an entry of the log tells."""

    OPENED = "opened"
    STATE = "state"
    LINE = "line"
    PRIORITY = "priority"
    ASSIGNED = "assigned"
    COMMENT = "comment"
    REFERENCE = "reference"
    ALERT = "alert"
    LINKED = "linked"
    MERGED = "merged"
    VISIT = "visit"
    CALL = "call"
    TOLD = "told"
    ESCALATED = "escalated"
    REDACTED = "redacted"


MOVING = frozenset({What.OPENED, What.STATE, What.LINE, What.PRIORITY, What.ASSIGNED, What.MERGED})
"""What changes how a request stands: these follow each other in time as they do in the log."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: `at` is when it happened, `actor` is `system` or whoever did it."""

    what: What
    actor: str
    at: datetime
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_text(self) -> bool:
        """Whether it holds what people wrote."""
        by_hand = self.actor != SYSTEM and bool(self.body.get("resolution"))
        return by_hand or any(self.body.get(name) for name in TEXTS)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a log comes to.

    `assignee` is an account, None while the request is the line's. `resolution` says why it ended, `proven` (once
    closed) whether the kit itself showed that the fault is gone. `merged_into` is the number of the request that
    speaks for it.
    """

    cause: str
    line: str
    priority: str
    state: str
    opened_by: str
    opened_at: datetime
    description: str = ""
    waiting_for: str | None = None
    assignee_id: int | None = None
    assignee: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolution: str | None = None
    found_cause: str | None = None
    remedy: str | None = None
    closed_at: datetime | None = None
    proven: bool | None = None
    merged_into: str | None = None
    reopened: int = 0
    has_text: bool = False


def replay(entries: Iterable[Entry]) -> Standing:
    """What a whole log comes to; its first entry is the opening."""
    first, *others = entries
    standing = opened(first)
    for entry in others:
        standing = fold(standing, entry)
    return standing


def opened(entry: Entry) -> Standing:
    """A request at its opening."""
    body = entry.body
    return Standing(
        cause=body["cause"],
        line=body["line"],
        priority=body["priority"],
        state="open",
        opened_by=body["by"],
        opened_at=entry.at,
        description=body.get("description", ""),
        has_text=entry.has_text,
    )


def fold(standing: Standing, entry: Entry) -> Standing:
    """What one more entry makes of it."""
    body = entry.body
    counted = replace(standing, has_text=standing.has_text or entry.has_text)
    changed: dict[str, Any] = {}
    match entry.what:
        case What.STATE:
            return _moved(counted, entry)
        case What.LINE | What.PRIORITY:
            changed = {entry.what.value: body["to"]}
        case What.ASSIGNED:
            changed = {"assignee": body["assignee"], "assignee_id": body["user_id"]}
        case What.MERGED if "into" in body:
            changed = {"merged_into": body["into"]}
        case What.REDACTED:
            changed = {"has_text": False}
    return replace(counted, **changed)


def fold_all(standing: Standing, entries: Iterable[Entry]) -> Standing:
    """What these entries make of it, one after the other."""
    for entry in entries:
        standing = fold(standing, entry)
    return standing


def in_order(entries: Sequence[Entry], moved_at: datetime | None) -> list[Entry]:
    """The entries, none that moves the request before the last that did, which was at `moved_at`.

    A tick decides by the moment at which it began, a desk by that of its transaction, and either may be written first.
    """
    ordered = []
    for entry in entries:
        if entry.what not in MOVING:
            ordered.append(entry)
            continue
        moved_at = entry.at if moved_at is None else max(entry.at, moved_at)
        ordered.append(replace(entry, at=moved_at))
    return ordered


def _moved(standing: Standing, entry: Entry) -> Standing:
    body, to = entry.body, entry.body["to"]
    standing = replace(standing, state=to, waiting_for=body.get("waiting_for"))
    if to in UNRESOLVED:
        again = body["from"] in ENDED
        return replace(
            standing, resolved_at=None, resolved_by=None, resolution=None, found_cause=None, remedy=None,
            closed_at=None, proven=None, reopened=standing.reopened + again,
        )  # fmt: skip
    first = standing.resolved_at is None
    return replace(
        standing,
        resolved_at=entry.at if first else standing.resolved_at,
        resolved_by=entry.actor if first else standing.resolved_by,
        resolution=body.get("resolution", standing.resolution),
        found_cause=body.get("cause", standing.found_cause),
        remedy=body.get("remedy", standing.remedy),
        closed_at=(standing.closed_at or entry.at) if to == "closed" else None,
        proven=bool(body.get("proof")) if to == "closed" else None,
    )
