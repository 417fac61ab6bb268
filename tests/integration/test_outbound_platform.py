"""What an Alertmanager is told of our own service: what holds again and again, what is over once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from fleet.alerts.outbound.platform import EVERY_S, Facts, Told, read, tell, troubles
from tests.outbound_world import outbound
from tests.receiver import Receiver, receiving, statuses
from tests.support import execute

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FINE = Facts("listening", NOW, 0, None, 0, 0, None, 0, None)
EARLIER = NOW - timedelta(hours=3)


def named(facts: Facts) -> list[str]:
    return [each.name for each in troubles(facts, NOW)]


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (FINE, []),
        (Facts("down", NOW, 0, None, 0, 0, None, 0, None), ["FleetNotListening"]),
        (Facts("listening", NOW - timedelta(minutes=3), 0, None, 0, 0, None, 0, None), ["FleetNotListening"]),
        (Facts("listening", NOW, 1, EARLIER, 0, 0, None, 0, None), ["FleetIncidentOpen"]),
        (Facts("listening", NOW, 0, None, 10_000, 0, None, 0, None), ["FleetEvaluationBehind"]),
        (Facts("listening", NOW, 0, None, 9_999, 2, EARLIER, 0, None), ["FleetServiceLevelBreached"]),
        (Facts("listening", NOW, 0, None, 0, 0, None, 1, EARLIER), ["FleetDeliveryFailing"]),
    ],
)
def test_what_is_wrong(facts: Facts, names: list[str]) -> None:
    assert named(facts) == names


async def once(here: Any, there: Receiver, told: Told, now: datetime) -> list[dict[str, Any]]:
    before = len(there.taken)
    async with httpx.AsyncClient() as client:
        await tell(here.connection, client, there.url, told, now)
    return [alert for each in there.taken[before:] for alert in each.json]


async def test_it_is_told_while_it_holds_and_once_when_it_is_over(database: str) -> None:
    execute(database, "UPDATE listening SET state = 'down', updated_at = %s", EARLIER)
    async with receiving() as there, outbound(database) as here:
        assert (await read(here.connection)).listening == "down"
        told = Told("https://fleet.example.dk")
        (first,) = await once(here, there, told, NOW)
        assert there.taken[0].path == "/api/v2/alerts"
        assert first["labels"] == {"alertname": "FleetNotListening", "severity": "critical", "service": "fleet"}
        assert datetime.fromisoformat(first["startsAt"]) == EARLIER
        assert datetime.fromisoformat(first["endsAt"]) > NOW + timedelta(seconds=2 * EVERY_S)
        (second,) = await once(here, there, told, NOW + timedelta(minutes=1))
        assert second["startsAt"] == first["startsAt"]
        assert second["endsAt"] > first["endsAt"]
        over = NOW + timedelta(minutes=2)
        execute(database, "UPDATE listening SET state = 'listening', updated_at = %s", over)
        there.answer = statuses(503)
        await once(here, there, told, over)
        (end,) = await once(here, there, told, over)  # it was not taken, so it is told again
        assert datetime.fromisoformat(end["endsAt"]) == over
        assert await once(here, there, told, over) == []


async def test_an_alertmanager_that_is_away_stops_nothing(database: str) -> None:
    execute(database, "UPDATE listening SET state = 'down'")
    async with outbound(database) as here, httpx.AsyncClient() as client:
        await tell(here.connection, client, "http://127.0.0.1:9", Told(None), NOW)
