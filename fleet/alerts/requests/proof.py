"""Whether a fault is gone, by what the kit itself shows after the fix: a pure function of values.

A request that was resolved closes once its kit was well for a while: heard since, not silent, every device paired and
in contact since the fix, none of the alerts it stands on come back. What somebody resolved by hand and no kit proves in
time opens again; what cleared by itself closes then as well, and says that it was not proven.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from fleet.alerts.requests.log import SYSTEM
from fleet.state.contact import proven_contact

INTERVALS = 2
"""A kit that is heard seldom gets at least so many of its intervals to show that it is well."""


class Verdict(StrEnum):
    """What becomes of a request that was resolved."""

    WAIT = "wait"
    PROVEN = "proven"
    """It closes: the kit was well for long enough."""
    LAPSED = "lapsed"
    """It closes without proof: there is nothing to prove any more, or it ended by itself and nothing speaks against."""
    FAILED = "failed"
    """It opens again: the fix did not hold."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a kit must be well (`proof_for`), and by when it must be (`within`), both since the fix."""

    proof_for: timedelta
    within: timedelta


@dataclass(frozen=True, slots=True)
class Facts:
    """A resolved request and its kit; of an incident only whether it is on again (`failing`).

    `wants_proof` is False where the kit need not show anything: its cause is not that it does not work, or another
    request has taken its place. `watched` is whether it is about a kit that is installed, `failing` whether an alert
    that it stands on is active, `cleared_at` when the last of those cleared. `peripherals` are those the tablet
    reported last, at `peripherals_at`; None when it never did.
    """

    request_id: int
    resolved_at: datetime
    resolved_by: str
    incident: bool
    watched: bool
    failing: bool
    wants_proof: bool = True
    cleared_at: datetime | None = None
    heard_at: datetime | None = None
    silent: bool = False
    interval_s: float = 0.0
    peripherals: Sequence[Mapping[str, Any]] | None = None
    peripherals_at: datetime | None = None

    @property
    def by_hand(self) -> bool:
        """Whether somebody said so, and not the kit."""
        return self.resolved_by != SYSTEM


def judge(facts: Facts, rules: Rules, now: datetime) -> Verdict:
    """What becomes of the request now."""
    age = now - facts.resolved_at
    if age < rules.proof_for:
        return Verdict.WAIT
    if not facts.wants_proof:
        return Verdict.LAPSED
    if facts.failing:
        return Verdict.FAILED if facts.by_hand else Verdict.WAIT
    if is_well(facts, rules, now):
        return Verdict.PROVEN
    late = age >= max(rules.within, timedelta(seconds=INTERVALS * facts.interval_s))
    if not facts.watched or (late and not facts.by_hand):
        return Verdict.LAPSED
    return Verdict.FAILED if late else Verdict.WAIT


def is_well(facts: Facts, rules: Rules, now: datetime) -> bool:
    """Whether the kit has shown for long enough that it is well."""
    if facts.incident and not facts.failing:
        return now - facts.resolved_at >= rules.proof_for
    if facts.failing or not facts.watched or facts.silent:
        return False
    begins = max(facts.resolved_at, facts.cleared_at or facts.resolved_at)
    if now - begins < rules.proof_for or facts.heard_at is None or facts.heard_at < begins + rules.proof_for:
        return False
    return all(_in_contact(each, facts) for each in facts.peripherals or ())


def _in_contact(peripheral: Mapping[str, Any], facts: Facts) -> bool:
    if not peripheral.get("paired") or facts.peripherals_at is None:
        return False
    contact = proven_contact(peripheral.get("last_contact"), facts.peripherals_at)
    return contact is not None and contact >= facts.resolved_at
