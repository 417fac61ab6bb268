"""A pass over the latest state of the kits: of whom a condition differs from what stands.

A large fleet is gone through in parts, one a tick: what a heartbeat tells matters after minutes, not seconds. The
comparisons are those of the judges in `tablet.py`, with the thresholds of each set of variants beside each other;
whoever differs is judged in full. What is as it stands is not read again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import scalar_row

from fleet.alerts.judging import parameters as p
from fleet.alerts.judging.catalogue import SCANNED
from fleet.alerts.judging.facts import BACK_WITHIN_S, Clock
from fleet.alerts.judging.settings import Settings
from fleet.alerts.rules import Rule, RuleName
from fleet.db.queries import load_queries

Connection = AsyncConnection[Any]

QUERIES = load_queries("fleet.alerts.judging", "scan.sql")
PART = 250_000
"""Kits looked over in one tick."""
MOST = 10_000
"""Kits that are found to differ in one tick; more wait for the next pass."""
NEVER = 1e9
"""No number reaches it: the threshold of a rule that is off."""
R = RuleName

_THRESHOLDS: dict[str, tuple[RuleName, Callable[[Any], float], float]] = {
    "battery": (R.TABLET_BATTERY_LOW, lambda v: v.below_percent, -NEVER),
    "uncharged": (R.NOT_CHARGING, lambda v: v.below_percent, -NEVER),
    "uncharged_from": (R.NOT_CHARGING, lambda v: v.from_percent, NEVER),
    "storage_mb": (R.STORAGE_LOW, lambda v: v.below_mb, -NEVER),
    "signal_dbm": (R.NO_NETWORK, lambda v: v.weak_below_dbm, -NEVER),
    "late_s": (R.NO_NETWORK, lambda v: v.late_s, NEVER),
    "skew_s": (R.CLOCK_SKEW, lambda v: v.over_s, NEVER),
    "unheard_s": (R.NEVER_HEARD, lambda v: v.at_least_s, NEVER),
}
"""Each threshold: its rule, its value among the parameters, and the value that nothing reaches."""


async def differing(connection: Connection, settings: Settings, clock: Clock) -> list[int]:
    """Kits of the next part whose conditions are not what stands, `MOST` at most; inside the caller's transaction."""
    cursor = await connection.execute(QUERIES["take_part"], {"size": PART})
    part = await cursor.fetchone()
    assert part is not None
    values = {**values_of(settings, clock), "after": part[0], "upto": part[1]}
    await connection.execute(QUERIES["plan"], {"nestloop": "off"})
    async with connection.cursor(row_factory=scalar_row) as rows:
        # Planned for the thresholds at hand.
        await rows.execute(QUERIES["differing"], values, prepare=False)
        found: list[int] = await rows.fetchall()
    await connection.execute(QUERIES["plan"], {"nestloop": "on"})
    return found


def values_of(settings: Settings, clock: Clock) -> dict[str, Any]:
    """What the query compares with: per threshold an array by set of variants, and the widest of it."""
    highest = max(settings.of)
    by_set = [settings.rules_of(number) for number in range(highest + 1)]
    values: dict[str, Any] = {
        "clock_s": clock.clock_s,
        "resumed_clock_s": clock.resumed_clock_s,
        "grace_from_clock_s": clock.grace_from_clock_s,
        "back_within_s": BACK_WITHIN_S,
        "rules": [str(name) for name in SCANNED],
        "bits": [1 << place for place in range(len(SCANNED))],
        "limit": MOST,
        **{str(name): 1 << place for place, name in enumerate(SCANNED)},
    }
    for name, (rule, value, off) in _THRESHOLDS.items():
        each = [_threshold(rules.get(rule), value, off) for rules in by_set]
        values[name] = each
        values[f"any_{name}"] = max(each) if off < 0 else min(each)
    values["any_battery"] = max(values["any_battery"], values["any_uncharged"])
    values["offline"] = [_is_on(rules.get(R.NO_NETWORK)) for rules in by_set]
    return values


def _threshold(rule: Rule | None, value: Callable[[Any], float], off: float) -> float:
    if rule is None or not rule.enabled or isinstance(rule.parameters, p.NoParameters):
        return off
    return value(rule.parameters)


def _is_on(rule: Rule | None) -> bool:
    return rule is not None and rule.enabled
