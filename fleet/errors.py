"""The error tree: small, and mapped to exit codes and HTTP once, at the edge.

An expected refusal inside the system is a value (a reason enum), not one of these; these are what ends
a command or a request. The message is one clear line: it names the thing and says what to do.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of both command lines."""

    DONE = 0
    FINDING = 1
    WRONG_USE = 2


class FleetError(Exception):
    """Base of everything that ends a command or request with a message for people."""

    exit_code = ExitCode.FINDING


class UsageError(FleetError):
    """The command, file or value given is wrong; nothing was done."""

    exit_code = ExitCode.WRONG_USE


class ConfigError(UsageError):
    """A setting is unknown or has a bad value; names the setting."""


class UnavailableError(FleetError):
    """Something we depend on (database, broker, port, folder) cannot be used now."""


class InvalidError(FleetError):
    """A value breaks a rule; `field` names it.

    Maps to HTTP 422.
    """

    exit_code = ExitCode.WRONG_USE

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class ForbiddenError(FleetError):
    """The caller's role does not allow it there. Maps to HTTP 403."""


class NotFoundError(FleetError):
    """Nothing by that name is visible to the caller. Maps to HTTP 404."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no {kind} named {name!r}")
        self.kind = kind
        self.name = name


class ConflictError(FleetError):
    """The state of the thing does not allow it. Maps to HTTP 409."""
