"""What ends a run, each with its exit code; one clear line for people."""

from __future__ import annotations


class SimulatorError(Exception):
    """Base of all; the message names the thing and says what to do."""

    exit_code = 1


class ScenarioError(SimulatorError):
    """A scenario, option or environment variable is wrong; nothing was done."""

    exit_code = 2


class UnavailableError(SimulatorError):
    """The broker or the database cannot be used now."""


class LedgerError(SimulatorError):
    """A ledger file cannot be read or written."""

    exit_code = 2
