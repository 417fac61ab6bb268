"""Who may see an event: whoever may read the thing it is about, where that thing is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fleet.access.principal import Principal, Scope
from fleet.access.roles import Permission

PERMISSION_OF: Mapping[str, Permission] = {
    "alert": Permission.ALERTS_READ,
    "call": Permission.CALLS_READ,
    "command": Permission.KITS_READ,
    "component": Permission.COMPONENTS_READ,
    "components": Permission.COMPONENTS_READ,
    "credentials": Permission.KITS_READ,
    "finding": Permission.FINDINGS_READ,
    "incident": Permission.ALERTS_READ,
    "kit": Permission.KITS_READ,
    "kits": Permission.KITS_READ,
    "maintenance": Permission.ALERTS_READ,
    "outlet": Permission.WEBHOOKS_READ,
    "placements": Permission.PLACEMENTS_READ,
    "request": Permission.REQUESTS_READ,
    "visit": Permission.VISITS_READ,
}
"""What reading an event asks for, by what its type begins with; an event that stands not here is shown to nobody."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one caller sees of the events, by thing."""

    scopes: Mapping[str, Scope]

    @classmethod
    def of(cls, principal: Principal) -> Sight:
        """What the caller's roles let through."""
        return cls({thing: principal.scope(permission) for thing, permission in PERMISSION_OF.items()})

    def sees(self, type_: str, *organisations: int | None) -> bool:
        """Whether an event of this type, about something of these organisations, may be shown."""
        scope = self.scopes.get(type_.partition(".")[0])
        return scope is not None and scope.sees(*organisations)


EVERYTHING = Sight(dict.fromkeys(PERMISSION_OF, Scope(None)))
"""Of whoever may read all there is."""
