"""SQL and Python say the same about every kit."""

from __future__ import annotations

from itertools import product

import psycopg

from fleet.state.verdict import Facts, verdict

NAMES = ("installed", "heard", "silent", "drifted", "pairing_lost", "battery_low", "storage_low", "clock_skewed")


def test_kit_health_agrees_over_all_combinations(database: str) -> None:
    combinations = list(product((False, True), repeat=len(NAMES)))
    with psycopg.connect(database) as connection:
        columns = ", ".join(NAMES)
        found = connection.execute(
            f"SELECT {columns}, kit_health({columns}) FROM unnest("
            f"{', '.join(['%s::boolean[]'] * len(NAMES))}) AS v({columns})".encode(),
            [list(values) for values in zip(*combinations, strict=True)],
        ).fetchall()
    assert len(found) == 2 ** len(NAMES)
    for *values, health in found:
        facts = dict(zip(NAMES, values, strict=True))
        state = "installed" if facts.pop("installed") else "in_stock"
        assert verdict(Facts(state=state, **facts)).health.value == health, facts
