"""docs/reference/roles.md, from the one table of roles and permissions."""

from __future__ import annotations

from fleet.access.roles import MEANINGS, NOT_LENT, TASKS, Permission, permission_table
from fleet.docs.markdown import code, document, table

INTRODUCTION = """
Every route of the API and every page of the console names one permission; what a role does not hold is refused (`403`
with the `permission` that is missing). Only the login itself, `/healthz`, `/readyz`, `/metrics` and `/openapi.json` ask
for none, and one's own account (`/api/v1/me`) asks for nothing but being logged in. Tests walk all routes, and try each
with every role.

A role is given over an organisation with all below it, or over the whole installation, and each permission reaches as
far as the roles that bring it. What is outside is not there: not found, not listed, not counted, enforced by row-level
security in the database as well. Which steps a role may take in the life of a kit or a piece stands in the tables of
[lifecycle](lifecycle.md), column "roles".

An operator's people also reach the organisations that have an agreement with it, while the agreement lasts, except for
what is marked "own only". Nobody gives a role, or a token, that they do not hold themselves or administer, and
nobody changes the account of somebody who may do more.
"""


def page() -> str:
    """The page."""
    return document("Roles and permissions", INTRODUCTION, "## Roles", _roles(), "## Permissions", _permissions())


def _roles() -> str:
    return table(("role", "task"), [(code(role), task) for role, task in TASKS.items()])


def _permissions() -> str:
    heading, *rows = permission_table()
    shown = [(code(name), MEANINGS[Permission(name)], *held, _own_only(name)) for name, *held in rows]
    return table(("permission", "for", *heading[1:], "own only"), shown)


def _own_only(name: str) -> str:
    return "own only" if Permission(name) in NOT_LENT else ""
