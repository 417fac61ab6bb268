"""Which roles somebody holds over a request. Pure.

A request of a mass event is of all whose kits are in it: who holds a role over every one of them works on it as on any
other; who holds one over some reads it and says something.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleet.access.principal import Principal
from fleet.access.roles import Role

Parties = Sequence[Sequence[int | None]]
"""Whose the kits of a mass event are: an organisation and an owner, each pair once."""


def roles_over(
    principal: Principal, organisation_id: int | None, owner_id: int | None, parties: Parties | None
) -> frozenset[Role]:
    """The roles held over a request of this organisation and its kit's owner; `parties` are a mass event's, else None.

    Over what is nobody's, those hold them who are bound to no organisation.
    """
    held = principal.roles_for(*(each for each in (organisation_id, owner_id) if each is not None))
    if not parties:
        return held
    return held | frozenset.intersection(*(principal.roles_for(*party) for party in parties))
