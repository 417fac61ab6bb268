"""Who acts, with which roles, and over which organisations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fleet.access.roles import NOT_LENT, Permission, Role, allowed

EVERYTHING = "*"
"""What the database's `fleet.scope` says for those who are bound to no organisation."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Organisations by id; None is the whole installation."""

    organisations: frozenset[int] | None

    @property
    def setting(self) -> str:
        """The value of `fleet.scope` that row-level security reads."""
        if self.organisations is None:
            return EVERYTHING
        return "{" + ",".join(str(each) for each in sorted(self.organisations)) + "}"

    def sees(self, *organisation_ids: int | None) -> bool:
        """Whether a thing of any of these organisations is in scope; one of none is the installation's alone."""
        return self.organisations is None or not self.organisations.isdisjoint(organisation_ids)


NOTHING = Scope(frozenset())


@dataclass(frozen=True, slots=True)
class Grant:
    """A role over organisations (with all below them); None is the whole installation.

    `root` is the organisation it was given for, `own` that with all below it; the others are there by agreement.
    """

    role: Role
    organisations: frozenset[int] | None = None
    root: int | None = None
    own: frozenset[int] = frozenset()

    def reach(self, permission: Permission) -> frozenset[int] | None:
        """Where the grant brings `permission`; None is the whole installation."""
        if not allowed(self.role, permission):
            return frozenset()
        return self.own if permission in NOT_LENT and self.organisations is not None else self.organisations

    def covers(self, organisation_ids: Iterable[int | None]) -> bool:
        """Whether the grant reaches a thing of any of these organisations."""
        return self.organisations is None or not self.organisations.isdisjoint(organisation_ids)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever calls, as proven by a token, a session or being at the command line."""

    kind: Literal["token", "user", "system"]
    id: int
    name: str
    grants: tuple[Grant, ...]

    def may(self, permission: Permission) -> bool:
        """Whether the caller holds `permission` anywhere."""
        return any(allowed(grant.role, permission) for grant in self.grants)

    def scope(self, permission: Permission) -> Scope:
        """Where the caller holds `permission`."""
        seen: set[int] = set()
        for grant in self.grants:
            reached = grant.reach(permission)
            if reached is None:
                return Scope(None)
            seen |= reached
        return Scope(frozenset(seen))

    def roles_for(self, *organisation_ids: int | None) -> frozenset[Role]:
        """The roles the caller has over a thing of these organisations (whose it is, who owns it)."""
        return frozenset(grant.role for grant in self.grants if grant.covers(organisation_ids))

    def holds(self, permission: Permission, *organisation_ids: int | None) -> bool:
        """Whether the caller holds `permission` over a thing of these organisations."""
        return self.scope(permission).sees(*organisation_ids)

    def roots(self, *roles: Role) -> frozenset[int] | None:
        """The organisations that one of the roles was given for; None when for the whole installation."""
        given = [grant for grant in self.grants if grant.role in roles]
        if any(grant.organisations is None for grant in given):
            return None
        return frozenset(grant.root for grant in given if grant.root is not None)

    @property
    def everywhere(self) -> Scope:
        """Wherever the caller has any role."""
        if any(grant.organisations is None for grant in self.grants):
            return Scope(None)
        return Scope(frozenset().union(*(grant.organisations or () for grant in self.grants)))

    @property
    def roles(self) -> frozenset[Role]:
        """All roles, wherever they count."""
        return frozenset(grant.role for grant in self.grants)

    @property
    def key(self) -> str:
        """What tells the caller from every other, for example `token:5`."""
        return f"{self.kind}:{self.id}"

    @property
    def actor(self) -> str:
        """The name that stands in the log of changes."""
        return self.name if self.kind == "system" else f"{self.kind} {self.id} {self.name}"


SYSTEM = Principal("system", 0, "command line", (Grant(Role.ADMIN),))
"""Whoever runs a command on the server itself."""
