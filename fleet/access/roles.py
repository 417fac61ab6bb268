"""Who may do what: one table, role → permissions; what is not named is denied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum


class Role(StrEnum):
    """The task of whoever calls."""

    SUPPORT = "support"
    SERVICE = "service"
    MDM_ADMIN = "mdm_admin"
    LOGISTICS = "logistics"
    SECRETARIAT = "secretariat"
    AUDITOR = "auditor"
    ADMIN = "admin"
    GRAFANA = "grafana"


class Permission(StrEnum):
    """One thing a caller may do; every route names one."""

    KITS_READ = "kits.read"
    KITS_WRITE = "kits.write"
    KITS_MOVE = "kits.move"
    KITS_OVERRIDE = "kits.override"
    TELEMETRY_READ = "telemetry.read"
    COMMANDS_SEND = "commands.send"
    COMPONENTS_READ = "components.read"
    COMPONENTS_WRITE = "components.write"
    COMPONENTS_MOVE = "components.move"
    BOOKS_CORRECT = "books.correct"
    CATALOGUE_READ = "catalogue.read"
    CATALOGUE_WRITE = "catalogue.write"
    LOCATIONS_READ = "locations.read"
    LOCATIONS_WRITE = "locations.write"
    PLACEMENTS_READ = "placements.read"
    PLACEMENTS_WRITE = "placements.write"
    PLACEMENTS_ERASE = "placements.erase"
    ORDERS_READ = "orders.read"
    ORDERS_WRITE = "orders.write"
    STOCK_READ = "stock.read"
    STOCK_WRITE = "stock.write"
    FINDINGS_READ = "findings.read"
    FINDINGS_WRITE = "findings.write"
    BILLING_READ = "billing.read"
    ALERTS_READ = "alerts.read"
    ALERTS_ACKNOWLEDGE = "alerts.acknowledge"
    REQUESTS_READ = "requests.read"
    REQUESTS_WRITE = "requests.write"
    ORGANISATIONS_READ = "organisations.read"
    ORGANISATIONS_WRITE = "organisations.write"
    QUARANTINE_READ = "quarantine.read"
    QUARANTINE_PAYLOAD = "quarantine.payload"
    QUARANTINE_REDACT = "quarantine.redact"
    STATISTICS_READ = "statistics.read"
    AUDIT_READ = "audit.read"
    RETENTION_READ = "retention.read"
    RETENTION_WRITE = "retention.write"
    USERS_READ = "users.read"
    USERS_WRITE = "users.write"
    TOKENS_READ = "tokens.read"
    TOKENS_WRITE = "tokens.write"


P = Permission
_LOOK = frozenset(
    {
        P.KITS_READ,
        P.COMPONENTS_READ,
        P.CATALOGUE_READ,
        P.LOCATIONS_READ,
        P.FINDINGS_READ,
        P.ALERTS_READ,
        P.REQUESTS_READ,
        P.ORGANISATIONS_READ,
        P.STATISTICS_READ,
    }
)
# Which steps a role may take is a column of the lifecycle's table: support changes condition and place of a piece on
# the citizen's word, and scraps nothing.
_SUPPORT = _LOOK | {
    P.TELEMETRY_READ,
    P.COMMANDS_SEND,
    P.KITS_MOVE,
    P.COMPONENTS_MOVE,
    P.PLACEMENTS_READ,
    P.ALERTS_ACKNOWLEDGE,
    P.REQUESTS_WRITE,
}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.SUPPORT: _SUPPORT,
    Role.SERVICE: _SUPPORT
    | {
        P.KITS_WRITE,
        P.KITS_OVERRIDE,
        P.COMPONENTS_WRITE,
        P.STOCK_READ,
        P.FINDINGS_WRITE,
        P.QUARANTINE_READ,
        P.QUARANTINE_PAYLOAD,
    },
    Role.MDM_ADMIN: _LOOK
    | {
        P.TELEMETRY_READ,
        P.COMMANDS_SEND,
        P.KITS_WRITE,
        P.KITS_MOVE,
        P.CATALOGUE_WRITE,
        P.FINDINGS_WRITE,
        P.ALERTS_ACKNOWLEDGE,
        P.QUARANTINE_READ,
        P.QUARANTINE_PAYLOAD,
    },
    Role.LOGISTICS: _LOOK
    | {
        P.TELEMETRY_READ,
        P.COMMANDS_SEND,
        P.KITS_WRITE,
        P.KITS_MOVE,
        P.COMPONENTS_WRITE,
        P.COMPONENTS_MOVE,
        P.BOOKS_CORRECT,
        P.CATALOGUE_WRITE,
        P.LOCATIONS_WRITE,
        P.PLACEMENTS_READ,
        P.PLACEMENTS_WRITE,
        P.ORDERS_READ,
        P.ORDERS_WRITE,
        P.STOCK_READ,
        P.STOCK_WRITE,
        P.FINDINGS_WRITE,
        P.REQUESTS_WRITE,
    },
    Role.SECRETARIAT: _LOOK | {P.ORDERS_READ, P.STOCK_READ, P.BILLING_READ},
    Role.AUDITOR: _LOOK
    | {
        P.TELEMETRY_READ,
        P.ORDERS_READ,
        P.STOCK_READ,
        P.BILLING_READ,
        P.PLACEMENTS_READ,
        P.QUARANTINE_READ,
        P.AUDIT_READ,
        P.RETENTION_READ,
        P.USERS_READ,
        P.TOKENS_READ,
    },
    Role.ADMIN: frozenset(Permission),
    Role.GRAFANA: frozenset({P.STATISTICS_READ}),
}


NOT_LENT = frozenset(
    {
        P.ORGANISATIONS_WRITE,
        P.USERS_READ,
        P.USERS_WRITE,
        P.TOKENS_READ,
        P.TOKENS_WRITE,
        P.AUDIT_READ,
        P.RETENTION_READ,
        P.RETENTION_WRITE,
        P.PLACEMENTS_ERASE,
    }
)
"""What an agreement does not bring: an operator handles the kits of others, and does not administer them."""


def allowed(role: Role, permission: Permission) -> bool:
    """Whether `role` holds `permission`."""
    return permission in PERMISSIONS.get(role, frozenset())


def permission_table() -> Iterator[tuple[str, ...]]:
    """Rows for the docs: a heading (`permission`, each role), then one row per permission with `yes` or ``."""
    yield ("permission", *(role.value for role in Role))
    for permission in Permission:
        yield (permission.value, *("yes" if allowed(role, permission) else "" for role in Role))
