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
    CREDENTIALS_WRITE = "credentials.write"
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
    RULES_WRITE = "rules.write"
    WINDOWS_WRITE = "windows.write"
    CALLS_READ = "calls.read"
    CALLS_WRITE = "calls.write"
    VISITS_READ = "visits.read"
    VISITS_WRITE = "visits.write"
    CONTRACTS_READ = "contracts.read"
    CONTRACTS_WRITE = "contracts.write"
    WEBHOOKS_READ = "webhooks.read"
    WEBHOOKS_WRITE = "webhooks.write"
    ORGANISATIONS_READ = "organisations.read"
    ORGANISATIONS_WRITE = "organisations.write"
    QUARANTINE_READ = "quarantine.read"
    QUARANTINE_PAYLOAD = "quarantine.payload"
    QUARANTINE_REDACT = "quarantine.redact"
    STATISTICS_READ = "statistics.read"
    AUDIT_READ = "audit.read"
    AUDIT_REDACT = "audit.redact"
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
    P.CALLS_READ,
    P.CALLS_WRITE,
    P.VISITS_READ,
    P.VISITS_WRITE,
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
        P.RULES_WRITE,
        P.WINDOWS_WRITE,
        P.CONTRACTS_READ,
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
        P.RULES_WRITE,
        P.WINDOWS_WRITE,
        P.CREDENTIALS_WRITE,
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
        P.ALERTS_ACKNOWLEDGE,
        P.REQUESTS_WRITE,
        P.VISITS_READ,
        P.VISITS_WRITE,
        P.CREDENTIALS_WRITE,
    },
    Role.SECRETARIAT: _LOOK
    | {
        P.ORDERS_READ,
        P.STOCK_READ,
        P.BILLING_READ,
        P.CALLS_READ,
        P.VISITS_READ,
        P.CONTRACTS_READ,
        P.CONTRACTS_WRITE,
    },
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
        P.CALLS_READ,
        P.VISITS_READ,
        P.CONTRACTS_READ,
        P.WEBHOOKS_READ,
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
        P.AUDIT_REDACT,
        P.RETENTION_READ,
        P.RETENTION_WRITE,
        P.PLACEMENTS_ERASE,
        P.CONTRACTS_WRITE,
        P.WEBHOOKS_READ,
        P.WEBHOOKS_WRITE,
    }
)
"""What an agreement does not bring: an operator handles the kits of others, and does not administer them."""


TASKS: Mapping[Role, str] = {
    Role.SUPPORT: "first line: takes calls, finds kits, enters what the citizen says of condition or place, forwards",
    Role.SERVICE: "second line: solves what first line cannot; may take a step that a guard holds up",
    Role.MDM_ADMIN: "prepares the software of tablets: models, wanted versions, kits being made ready",
    Role.LOGISTICS: "orders, stores, bundles, delivers, sets up, takes down, cleans, calibrates, repairs, scraps",
    Role.SECRETARIAT: "contracts with their targets, statistics and what is charged for; changes nothing else",
    Role.AUDITOR: "proves who did and saw what; changes nothing",
    Role.ADMIN: "everything, and the only one who gives roles and tokens; logs in with a second factor",
    Role.GRAFANA: "a program that shows the counts",
}
"""What each role is for."""

MEANINGS: Mapping[Permission, str] = {
    P.KITS_READ: "See kits: state, place, verdict, versions, pairing, history, and follow their changes as events.",
    P.KITS_WRITE: "Enter kits and edit what describes them: label, type, expected interval, wanted versions.",
    P.KITS_MOVE: "Take a step in a kit's life or change its place; which steps, the lifecycle's table says by role.",
    P.KITS_OVERRIDE: "Take a step although a guard is not met, with a reason that the log keeps.",
    P.CREDENTIALS_WRITE: "Give a tablet the password it enters the broker with, and take it back.",
    P.TELEMETRY_READ: "Read the messages that tablets sent, one by one.",
    P.COMMANDS_SEND: "Ask a tablet for something, such as to report now.",
    P.COMPONENTS_READ: "See components with supplier, warranty, lease, calibration and where they were.",
    P.COMPONENTS_WRITE: "Enter components, edit what describes them, record calibrations.",
    P.COMPONENTS_MOVE: "Change a component's condition, place or kit; which steps, the lifecycle's table says by role.",
    P.BOOKS_CORRECT: "Say in the log that something was otherwise than it says; what stood there stays readable.",
    P.CATALOGUE_READ: "See models and kit types.",
    P.CATALOGUE_WRITE: "Enter and edit models and kit types.",
    P.LOCATIONS_READ: "See depots, repair shops, vehicles and other places.",
    P.LOCATIONS_WRITE: "Enter and edit places.",
    P.PLACEMENTS_READ: "See the pseudonym that a kit is placed under; the audit tells of each look.",
    P.PLACEMENTS_WRITE: "Place kits, end placements, put a pseudonym right.",
    P.PLACEMENTS_ERASE: "Erase a pseudonym for good, and export what is kept under it.",
    P.ORDERS_READ: "See purchase orders, their lines and prices.",
    P.ORDERS_WRITE: "Order, change orders, take in what arrives.",
    P.STOCK_READ: "See stock levels, stock-takes, reservations, repairs and queues.",
    P.STOCK_WRITE: "Set minimum stock, take stock, reserve, send to repair and close repairs.",
    P.FINDINGS_READ: "See where the books and what tablets report disagree.",
    P.FINDINGS_WRITE: "Close a finding, with what was done.",
    P.BILLING_READ: "See what is charged for, by month and municipality.",
    P.ALERTS_READ: "See alerts, incidents and rules.",
    P.ALERTS_ACKNOWLEDGE: "Say that one takes care of an alert.",
    P.REQUESTS_READ: "See service requests.",
    P.RULES_WRITE: "Change what is watched for, when it opens and whom it is for; try a change on the past.",
    P.WINDOWS_WRITE: "Plan and end maintenance windows.",
    P.CALLS_READ: "See the records of calls, and the problem trees.",
    P.CALLS_WRITE: "Record a call, and walk a problem tree.",
    P.VISITS_READ: "See planned and past visits, and what to bring.",
    P.VISITS_WRITE: "Plan visits, move them, complete them or say why they failed.",
    P.CONTRACTS_READ: "See contracts with their targets, and business calendars.",
    P.CONTRACTS_WRITE: "Enter and edit contracts, targets and business calendars.",
    P.WEBHOOKS_READ: "See where facts are sent to and what became of each delivery, never a secret.",
    P.WEBHOOKS_WRITE: "Make, change and end webhooks, mail subscriptions and connectors; send again.",
    P.REQUESTS_WRITE: "Open service requests, forward them, change line, priority and state.",
    P.ORGANISATIONS_READ: "See the organisations one works for, what is below them, and who has an agreement.",
    P.ORGANISATIONS_WRITE: "Enter organisations below one's own, edit them, make and end agreements.",
    P.QUARANTINE_READ: "See which messages could not be taken, and why.",
    P.QUARANTINE_PAYLOAD: "See what stood in such a message, which may be what should not be kept.",
    P.QUARANTINE_REDACT: "Blacken what stood in such a message.",
    P.STATISTICS_READ: "See counts over all kits in scope.",
    P.AUDIT_READ: "Read, export and verify the audit.",
    P.AUDIT_REDACT: "Blacken texts that must not be kept in the audit, the log of the books and service requests.",
    P.RETENTION_READ: "See how long each kind of data is kept and what was removed.",
    P.RETENTION_WRITE: "Change how long data is kept, within what is allowed.",
    P.USERS_READ: "See the accounts of people, never a secret.",
    P.USERS_WRITE: "Make, disable and move accounts, give and take roles, reset passwords and second factors.",
    P.TOKENS_READ: "See the tokens of programs, never a secret.",
    P.TOKENS_WRITE: "Make and revoke tokens.",
}
"""What each permission is for, a sentence each."""


def allowed(role: Role, permission: Permission) -> bool:
    """Whether `role` holds `permission`."""
    return permission in PERMISSIONS.get(role, frozenset())


def permission_table() -> Iterator[tuple[str, ...]]:
    """Rows for the docs: a heading (`permission`, each role), then one row per permission with `yes` or ``."""
    yield ("permission", *(role.value for role in Role))
    for permission in Permission:
        yield (permission.value, *("yes" if allowed(role, permission) else "" for role in Role))
