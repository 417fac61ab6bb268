"""Whether a kit works, in one word and with reasons: a pure function of the facts.

The facts come from the view `kit_facts`; `kit_health()` in SQL says the same word, for dashboards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Health(StrEnum):
    """The verdict, from good to bad; `unknown` while a kit was never heard."""

    OK = "ok"
    ATTENTION = "attention"
    FAULT = "fault"
    SILENT = "silent"
    UNKNOWN = "unknown"


class ReasonCode(StrEnum):
    """Why the verdict is what it is."""

    NEVER_HEARD = "never_heard"
    SILENT = "silent"
    PAIRING_LOST = "pairing_lost"
    VERSION_DRIFT = "version_drift"
    BATTERY_LOW = "battery_low"
    STORAGE_LOW = "storage_low"
    CLOCK_AHEAD = "clock_ahead"
    CLOCK_BEHIND = "clock_behind"
    NOT_INSTALLED = "not_installed"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason; what `details` holds depends on the code and is documented with the API."""

    code: ReasonCode
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict is made from; the booleans are those of `kit_facts`."""

    state: str
    heard: bool
    silent: bool
    drifted: bool
    pairing_lost: bool
    battery_low: bool
    storage_low: bool
    clock_skewed: bool
    last_heard_at: datetime | None = None
    battery: float | None = None
    storage_free_mb: float | None = None
    clock_offset_s: float | None = None
    wanted_components: Mapping[str, str] = field(default_factory=dict)
    software: Mapping[str, str] | None = None
    peripherals: Sequence[Mapping[str, Any]] | None = None

    @property
    def installed(self) -> bool:
        """Whether faults of use (silence, lost pairing) count."""
        return self.state == "installed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word and every reason that holds, the weightiest first."""

    health: Health
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """A component whose reported version is not the wanted one; `reported` is None when it is not there."""

    component: str
    wanted: str
    reported: str | None


_WEIGHT = {
    ReasonCode.NEVER_HEARD: Health.UNKNOWN,
    ReasonCode.SILENT: Health.SILENT,
    ReasonCode.PAIRING_LOST: Health.FAULT,
    ReasonCode.VERSION_DRIFT: Health.ATTENTION,
    ReasonCode.BATTERY_LOW: Health.ATTENTION,
    ReasonCode.STORAGE_LOW: Health.ATTENTION,
    ReasonCode.CLOCK_AHEAD: Health.ATTENTION,
    ReasonCode.CLOCK_BEHIND: Health.ATTENTION,
    ReasonCode.NOT_INSTALLED: Health.OK,
}
_BADNESS = {health: rank for rank, health in enumerate(Health)}


def verdict(facts: Facts) -> Verdict:
    """Judge the facts."""
    reasons = sorted(_reasons(facts), key=lambda reason: -_BADNESS[_WEIGHT[reason.code]])
    return Verdict(_WEIGHT[reasons[0].code] if reasons else Health.OK, tuple(reasons))


def drift(wanted: Mapping[str, str], reported: Mapping[str, str] | None) -> list[Drift]:
    """Every component that is not as wanted; nothing while no software was reported at all."""
    if reported is None:
        return []
    return [
        Drift(name, version, reported.get(name))
        for name, version in sorted(wanted.items())
        if reported.get(name) != version
    ]


def _reasons(facts: Facts) -> Iterator[Reason]:
    if not facts.heard:
        yield Reason(ReasonCode.NEVER_HEARD)
    elif facts.silent:
        yield Reason(ReasonCode.SILENT, {"since": facts.last_heard_at})
    yield from _reported(facts)
    if not facts.installed:
        yield Reason(ReasonCode.NOT_INSTALLED, {"state": facts.state})


def _reported(facts: Facts) -> Iterator[Reason]:
    if facts.pairing_lost and facts.installed:
        lost = [item for item in facts.peripherals or () if not item.get("paired")]
        yield Reason(
            ReasonCode.PAIRING_LOST,
            {"peripherals": [{key: item.get(key) for key in ("serial", "kind", "model")} for item in lost]},
        )
    if facts.drifted:
        drifted = drift(facts.wanted_components, facts.software)
        components = [
            {"component": item.component, "wanted": item.wanted, "reported": item.reported} for item in drifted
        ]
        yield Reason(ReasonCode.VERSION_DRIFT, {"components": components})
    if facts.battery_low:
        yield Reason(ReasonCode.BATTERY_LOW, {"battery": facts.battery})
    if facts.storage_low:
        yield Reason(ReasonCode.STORAGE_LOW, {"storage_free_mb": facts.storage_free_mb})
    if facts.clock_skewed:
        ahead = (facts.clock_offset_s or 0) > 0
        code = ReasonCode.CLOCK_AHEAD if ahead else ReasonCode.CLOCK_BEHIND
        yield Reason(code, {"offset_s": facts.clock_offset_s})
