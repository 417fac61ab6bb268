"""The steps of a service request: one table of what may follow what, who may take it, and what it asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fleet.access.roles import Role
from fleet.alerts.requests.log import ENDED, Standing

DESK = frozenset({Role.SUPPORT, Role.SERVICE, Role.LOGISTICS, Role.ADMIN})
"""Whoever works on requests."""
BEHIND_IT = DESK - {Role.SUPPORT}
"""Those who may say that a fault is gone although the kit does not show it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One allowed step; `asks` names what must be said with it."""

    source: str
    target: str
    roles: frozenset[Role] = field(default=DESK)
    asks: tuple[str, ...] = ()


STEPS: tuple[Step, ...] = (
    Step("open", "in_progress"),
    Step("open", "waiting"),
    Step("open", "resolved"),
    Step("in_progress", "open"),
    Step("in_progress", "waiting"),
    Step("in_progress", "resolved"),
    Step("waiting", "open"),
    Step("waiting", "in_progress"),
    Step("waiting", "resolved"),
    Step("resolved", "open"),
    Step("resolved", "closed", BEHIND_IT, asks=("reason",)),
    Step("closed", "open", asks=("reason",)),
)
"""Closed is opened again within the window of `request_settings` and not once it was merged into another. What `closed`
asks for is not needed where the kit shows by itself that it is well."""


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """A request in `state` has no step to the wanted one; `allowed` are those it has for whoever asks."""

    state: str
    wanted: str
    allowed: tuple[str, ...]


def allowed(standing: Standing, roles: Iterable[Role], now: datetime, reopen_within: timedelta) -> tuple[str, ...]:
    """States that a request may go to now, for somebody with these roles."""
    return tuple(step.target for step in _open_to(standing, frozenset(roles), now, reopen_within))


def find(
    standing: Standing, wanted: str, roles: Iterable[Role], now: datetime, reopen_within: timedelta
) -> Step | NotAllowed:
    """The step to a state, or what is allowed instead."""
    steps = _open_to(standing, frozenset(roles), now, reopen_within)
    for step in steps:
        if step.target == wanted:
            return step
    return NotAllowed(standing.state, wanted, tuple(step.target for step in steps))


def may_come_back(standing: Standing, now: datetime, reopen_within: timedelta) -> bool:
    """Whether a request that ended is the one to open again, instead of a new one."""
    ended = standing.resolved_at
    return ended is not None and standing.merged_into is None and now - ended <= reopen_within


def _open_to(standing: Standing, roles: frozenset[Role], now: datetime, reopen_within: timedelta) -> list[Step]:
    if standing.merged_into is not None:
        return []
    late = standing.state == "closed" and not may_come_back(standing, now, reopen_within)
    return [step for step in STEPS if step.source == standing.state and step.roles & roles and not late]


def vouches(roles: Iterable[Role]) -> bool:
    """Whether somebody with these roles may say that a fault is gone, or is another's, although no kit shows it."""
    return not BEHIND_IT.isdisjoint(roles)


def is_ended(state: str) -> bool:
    """Whether nobody works on a request in this state."""
    return state in ENDED
