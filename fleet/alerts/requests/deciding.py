"""What people do with a request, decided as entries of its log: pure functions of how it stands and what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fleet.access.roles import Role
from fleet.alerts.requests import steps
from fleet.alerts.requests.log import ENDED, UNRESOLVED, Entry, Standing, What
from fleet.alerts.requests.priority import graver
from fleet.alerts.requests.steps import NotAllowed
from fleet.errors import ConflictError, ForbiddenError, InvalidError

INVERSE = {"related": "related", "caused_by": "causes", "duplicate_of": "duplicated_by"}
"""Kinds of links, and what the other request says of it."""
LESSON = {"found_cause": "was the cause", "remedy": "helped"}
"""What is asked of a request that ends by hand."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks and when: `roles` are those held over the request, `proven` is whether its kit shows that it is well.

    `explains` is whether they can say what was found; where they cannot (the ticket system of others), the request asks
    for it afterwards.
    """

    actor: str
    roles: frozenset[Role]
    now: datetime
    reopen_within: timedelta
    proven: bool = False
    explains: bool = True

    def entry(self, what: What, **body: Any) -> Entry:
        """An entry of theirs; members that say nothing are left out."""
        return Entry(what, self.actor, self.now, {name: value for name, value in body.items() if value is not None})


def changed(standing: Standing, changes: Mapping[str, Any], asking: Asking) -> list[Entry] | NotAllowed:
    """Another state, line, priority, resolution or lesson; what is as it was says nothing.

    What ends by hand says `found_cause` and `remedy`, and what ended without is given them later. Raises InvalidError,
    ConflictError.
    """
    entries: list[Entry] = []
    wanted = changes.get("state", standing.state)
    if wanted != standing.state or _says_more(standing, changes):
        moved = _moved(standing, wanted, changes, asking)
        if isinstance(moved, NotAllowed):
            return moved
        entries.append(moved)
    if (line := changes.get("line", standing.line)) != standing.line:
        entries.append(asking.entry(What.LINE, **{"from": standing.line, "to": line, "reason": changes.get("reason")}))
    if (priority := changes.get("priority", standing.priority)) != standing.priority:
        entries.append(asking.entry(What.PRIORITY, **{"from": standing.priority, "to": priority}))
    if entries:
        refuse_merged(standing)
    return entries


def refuse_merged(standing: Standing) -> None:
    """Raises ConflictError for a request for which another one speaks."""
    if standing.merged_into is not None:
        raise ConflictError(f"it was merged into {standing.merged_into}, which speaks for it")


def forwarded(standing: Standing, line: str, reason: str, asking: Asking) -> list[Entry]:
    """To another line, which is to find somebody of its own. Raises ConflictError when it is there or has ended."""
    if standing.state in ENDED:
        raise ConflictError(f"it is {standing.state}: open it again to forward it")
    if standing.line == line:
        raise ConflictError(f"it is with {line} already")
    entries = [asking.entry(What.LINE, **{"from": standing.line, "to": line, "reason": reason})]
    if standing.assignee is not None:
        entries.append(unassigned(asking))
    return entries


def unassigned(asking: Asking) -> Entry:
    """It is the line's again."""
    return Entry(What.ASSIGNED, asking.actor, asking.now, {"assignee": None, "user_id": None})


def resolved(
    standing: Standing, asking: Asking, *, cause: str, remedy: str, resolution: str | None
) -> list[Entry] | NotAllowed:
    """Solved as somebody says, with what is learned; of what ended already the lesson is put right.

    Raises ConflictError for what was merged.
    """
    said: dict[str, Any] = {"cause": cause, "remedy": remedy, "resolution": resolution}
    if standing.state == "closed":
        refuse_merged(standing)
        said |= {"from": "closed", "to": "closed", "proof": bool(standing.proven)}
        return [asking.entry(What.STATE, **said)]
    if standing.state != "resolved":
        step = steps.find(standing, "resolved", asking.roles, asking.now, asking.reopen_within)
        if isinstance(step, NotAllowed):
            return step
    return [asking.entry(What.STATE, **{"from": standing.state, "to": "resolved"}, **said)]


def merged(
    source: Standing, target: Standing, numbers: tuple[str, str], asking: Asking, *, belong: bool, apart: bool = False
) -> tuple[list[Entry], list[Entry]]:
    """What both logs say when the first is merged into the second.

    `belong` is whether they are about one thing: a kit, a place, a mass event with its kit, or what somebody who may
    close a request linked. Merging ends a request without proof: into any other only those may who may end it so.
    `apart` are requests of different organisations, of which nobody ends one by the other.
    Raises ConflictError, ForbiddenError.
    """
    its_own, others = numbers
    if its_own == others:
        raise ConflictError("a request cannot be merged into itself")
    if source.merged_into is not None:
        raise ConflictError(f"it was merged into {source.merged_into} already")
    if target.state not in UNRESOLVED:
        raise ConflictError(f"{others} is {target.state}: open it again to merge others into it")
    if apart:
        raise ConflictError(f"{its_own} and {others} are of different organisations: link them, each ends by itself")
    if not belong and not steps.vouches(asking.roles):
        raise ForbiddenError(
            f"{its_own} and {others} are not about the same kit, place or mass event: somebody who may close a request"
            " without proof links or merges them"
        )
    said = {"from": source.state, "to": "closed", "resolution": f"merged:{others}"}
    left = [asking.entry(What.STATE, **said), asking.entry(What.MERGED, into=others)]
    taken = [Entry(What.MERGED, asking.actor, asking.now, {"from": its_own})]
    if source.state in UNRESOLVED and graver(source.priority, target.priority):
        taken.append(asking.entry(What.PRIORITY, **{"from": target.priority, "to": source.priority}))
    return left, taken


def _moved(standing: Standing, wanted: str, changes: Mapping[str, Any], asking: Asking) -> Entry | NotAllowed:
    body: dict[str, Any] = {"from": standing.state, "to": wanted}
    if wanted != standing.state:
        step = steps.find(standing, wanted, asking.roles, asking.now, asking.reopen_within)
        if isinstance(step, NotAllowed):
            return step
        given = changes.get("reason") or (changes.get("resolution") if wanted == "closed" else None)
        if "reason" in step.asks and not given and not (wanted == "closed" and asking.proven):
            raise InvalidError("reason", "say why, since the kit does not show it" if wanted == "closed" else "say why")
    if wanted == "waiting":
        body["waiting_for"] = changes.get("waiting_for") or "other"
    elif changes.get("waiting_for") is not None:
        raise InvalidError("waiting_for", "goes with the state waiting")
    if wanted == "closed":
        body["proof"] = bool(standing.proven) if standing.state == "closed" else asking.proven
    if wanted in ENDED:
        body |= _learned(standing, wanted, changes, asking)
    for field in ("resolution", *LESSON):
        if wanted not in ENDED and changes.get(field) is not None:
            raise InvalidError(field, "goes with the states resolved and closed")
    return asking.entry(What.STATE, **body, reason=changes.get("reason"))


def _learned(standing: Standing, wanted: str, changes: Mapping[str, Any], asking: Asking) -> dict[str, Any]:
    """What is said of how it ended. Raises InvalidError for what nobody has said yet of what is ended now."""
    for field, told in LESSON.items():
        missing = changes.get(field) is None and getattr(standing, field) is None
        if missing and wanted != standing.state and asking.explains:
            raise InvalidError(field, f"say what {told}, as one of the list")
    learned = {"cause": changes.get("found_cause"), "remedy": changes.get("remedy")}
    return {"resolution": changes.get("resolution"), **learned}


def _says_more(standing: Standing, changes: Mapping[str, Any]) -> bool:
    """Whether something is said about the state it is in already."""
    waits = changes.get("waiting_for", standing.waiting_for) != standing.waiting_for
    said = (changes.get(name) not in (None, getattr(standing, name)) for name in ("resolution", *LESSON))
    return waits or any(said)
