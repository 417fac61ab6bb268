"""Pieces into kits and out of them: a swap is one event, old out and new in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.access.principal import Principal
from fleet.access.roles import Permission, Role
from fleet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from fleet.state.ledger.book import ComponentBook, Place, value_at
from fleet.state.ledger.events import Event, What
from fleet.state.ledger.facts import piece_facts
from fleet.state.ledger.guards import ComponentFacts, Unmet, UnmetCode, unmet
from fleet.state.ledger.log import Log
from fleet.state.ledger.places import check_location, location_id
from fleet.state.ledger.steps import Blocked, Taken, check_reason, may_override, refused
from fleet.state.ledger.store import Connection, Entry, kit_id_of, opened
from fleet.state.ledger.writing import Marks, moment, write
from fleet.state.lifecycle import (
    BUNDLING,
    COMPONENTS,
    FIELD,
    OVERRIDABLE,
    SEALED,
    SWAPPING,
    ComponentState,
    Guard,
    KitState,
    NotAllowed,
    Step,
)


@dataclass(frozen=True, slots=True)
class Swap:
    """Components by number: `incoming` goes into the kit, `outgoing` comes out, is `state` then and goes to `location`.

    Without a location a piece that comes out is where the kit is.
    """

    incoming: int | None = None
    outgoing: int | None = None
    state: ComponentState | None = None
    location: str | None = None
    occurred_at: datetime | None = None
    reason: str | None = None
    override: bool = False


def check_swap(swap: Swap) -> None:
    """Refuse what no kit's state makes right; raises InvalidError."""
    if swap.incoming is None and swap.outgoing is None:
        raise InvalidError("incoming", "name the piece that goes in, the one that comes out, or both")
    if swap.incoming == swap.outgoing:
        raise InvalidError("incoming", "is the piece that comes out")
    if (swap.outgoing is None) != (swap.state is None):
        raise InvalidError("state", "is what becomes of the piece that comes out")
    if swap.state is ComponentState.IN_KIT:
        raise InvalidError("state", "a piece that comes out is not in a kit")
    check_location(swap.location)
    if swap.state is not None:
        check_reason(COMPONENTS.missing_data(swap.state, reason=swap.reason), swap.state, swap.reason, swap.override)
