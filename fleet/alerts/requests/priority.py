"""How soon a request must be answered: by how grave it is and whom it touches.

| severity | one kit | kit of an important programme | many kits |
|---|---|---|---|
| critical | urgent | urgent | urgent |
| major | high | urgent | urgent |
| minor | normal | high | urgent |
| warning | low | normal | high |

A rule may have a priority of its own, which takes the place of its severity's for one kit; which programmes are
important says `request_settings`. Many kits are those of an incident.
"""

from __future__ import annotations

from enum import IntEnum

from fleet.alerts.rules import PRIORITY_OF, Priority

_ORDER = (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.URGENT)


class Impact(IntEnum):
    """Whom a fault touches, as the steps by which it raises the priority."""

    KIT = 0
    IMPORTANT_PROGRAMME = 1
    MANY_KITS = 2


def priority_of(severity: str, impact: Impact, *, usual: str | None = None, own: str | None = None) -> Priority:
    """The priority of a fault; `own` is that of a rule for its `usual` severity."""
    base = Priority(own) if own is not None and severity == usual else PRIORITY_OF[severity]
    return _ORDER[min(_ORDER.index(base) + impact, len(_ORDER) - 1)]


def graver(one: str, other: str) -> bool:
    """Whether `one` must be answered sooner than `other`."""
    return _ORDER.index(Priority(one)) > _ORDER.index(Priority(other))
