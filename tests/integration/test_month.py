"""Some weeks of many kits, simulated: requests are right and faults are found, as `fleet bench month` measures."""

from __future__ import annotations

from fleet.bench.month import MANY, CauseResult, MonthResult, play
from simulator.truth import SHARES

PRECISION, RECALL = 0.98, 0.99
LATE_S = 2 * 3600.0
"""Heartbeats and looks are hourly."""


def told(result: MonthResult) -> str:
    """What was wrong, by cause."""
    return "\n".join(f"{cause}: {each}" for cause, each in result.by_cause.items())


async def test_requests_are_right_and_faults_are_found(database: str) -> None:
    result = await play(database, 420, 16, seed=1, step_s=3600.0)
    many: CauseResult = result.by_cause[MANY]
    assert (many.faults, many.requests, many.right) == (1, 1, 1), "a mobile network was away for a day"
    assert result.precision >= PRECISION, told(result)
    assert result.recall >= RECALL, told(result)
    assert result.repeated == 0
    assert all(result.by_cause[cause].found for cause in SHARES), told(result)
    assert result.late_s is not None
    assert result.late_s <= LATE_S, told(result)
