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
    TELEMETRY_READ = "telemetry.read"
    ALERTS_READ = "alerts.read"
    ALERTS_ACKNOWLEDGE = "alerts.acknowledge"
    REQUESTS_READ = "requests.read"
    REQUESTS_WRITE = "requests.write"
    ORGANISATIONS_READ = "organisations.read"
    ORGANISATIONS_WRITE = "organisations.write"
    QUARANTINE_READ = "quarantine.read"
    STATISTICS_READ = "statistics.read"
    TOKENS_READ = "tokens.read"
    TOKENS_WRITE = "tokens.write"


P = Permission
_LOOK = frozenset({P.KITS_READ, P.ALERTS_READ, P.REQUESTS_READ, P.ORGANISATIONS_READ, P.STATISTICS_READ})
_SUPPORT = _LOOK | {P.TELEMETRY_READ, P.ALERTS_ACKNOWLEDGE, P.REQUESTS_WRITE}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.SUPPORT: _SUPPORT,
    Role.SERVICE: _SUPPORT | {P.KITS_WRITE, P.KITS_MOVE, P.QUARANTINE_READ},
    Role.MDM_ADMIN: _LOOK | {P.TELEMETRY_READ, P.KITS_WRITE, P.ALERTS_ACKNOWLEDGE, P.QUARANTINE_READ},
    Role.LOGISTICS: _LOOK | {P.KITS_WRITE, P.KITS_MOVE, P.REQUESTS_WRITE},
    Role.SECRETARIAT: _LOOK,
    Role.AUDITOR: _LOOK | {P.TELEMETRY_READ, P.QUARANTINE_READ, P.TOKENS_READ},
    Role.ADMIN: frozenset(Permission),
    Role.GRAFANA: frozenset({P.STATISTICS_READ}),
}


def allowed(role: Role, permission: Permission) -> bool:
    """Whether `role` holds `permission`."""
    return permission in PERMISSIONS.get(role, frozenset())


def permission_table() -> Iterator[tuple[str, ...]]:
    """Rows for the docs: a heading (`permission`, each role), then one row per permission with `yes` or ``."""
    yield ("permission", *(role.value for role in Role))
    for permission in Permission:
        yield (permission.value, *("yes" if allowed(role, permission) else "" for role in Role))
