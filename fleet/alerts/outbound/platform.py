"""Alerts about our own service, pushed to an Alertmanager (its HTTP API, version 2): never about a single kit.

The Alertmanager forgets what is not told again, so everything that holds is told each minute with an end a few minutes
ahead, and once more when it is over. Whoever leads tells; since when something holds comes from the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from fleet import metrics
from fleet.config import Settings
from fleet.db import roles
from fleet.db.connect import connect
from fleet.db.queries import load_queries
from fleet.db.rows import Connection, fetch_one
from fleet.log import get_logger

log = get_logger(__name__)
_SQL = load_queries("fleet.alerts.outbound", "platform.sql")

EVERY_S = 60.0
LASTS = timedelta(seconds=4 * EVERY_S)
"""How long what was told holds without being told again."""
STALE = timedelta(seconds=120)
"""The listening clock is written every second or so; this old it stands."""
QUEUE_BEHIND = 10_000
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Facts:
    """How the service stands: `queue` are changes that no rule has looked at, `breaches` requests past their time."""

    listening: str
    listened_at: datetime
    incidents: int
    incidents_since: datetime | None
    queue: int
    breaches: int
    breaches_since: datetime | None
    failing: int
    failing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """One alert about the service; `since` is None where the database does not know."""

    name: str
    severity: str
    since: datetime | None
    summary: str


def troubles(facts: Facts, now: datetime) -> list[Trouble]:
    """What is wrong now."""
    found = []
    if facts.listening != "listening" or now - facts.listened_at > STALE:
        found.append(Trouble("FleetNotListening", "critical", facts.listened_at, "Messages of tablets are not heard."))
    if facts.incidents:
        summary = f"{facts.incidents} mass event(s) are on."
        found.append(Trouble("FleetIncidentOpen", "critical", facts.incidents_since, summary))
    if facts.queue >= QUEUE_BEHIND:
        found.append(Trouble("FleetEvaluationBehind", "warning", None, "Rules look at changes later than they should."))
    if facts.breaches:
        summary = f"{facts.breaches} service request(s) are past their time."
        found.append(Trouble("FleetServiceLevelBreached", "warning", facts.breaches_since, summary))
    if facts.failing:
        summary = f"{facts.failing} receiver(s) have refused what is sent for an hour."
        found.append(Trouble("FleetDeliveryFailing", "warning", facts.failing_since, summary))
    return found


class Told:
    """What the Alertmanager was told, so that the end of it is told too."""

    def __init__(self, source: str | None) -> None:
        self._source = source
        self._since: dict[str, datetime] = {}
        self._last: dict[str, Trouble] = {}

    def alerts(self, found: Sequence[Trouble], now: datetime) -> list[dict[str, Any]]:
        """All that holds, and what was told before and holds no more; nothing of it is noted yet."""
        holding = {each.name for each in found}
        told = [self._alert(each, each.since or self._since.get(each.name, now), now + LASTS) for each in found]
        over = [each for name, each in self._last.items() if name not in holding]
        return told + [self._alert(each, self._since[each.name], now) for each in over]

    def taken(self, found: Sequence[Trouble], now: datetime) -> None:
        """The Alertmanager has taken them."""
        self._since = {each.name: each.since or self._since.get(each.name, now) for each in found}
        self._last = {each.name: each for each in found}

    def _alert(self, trouble: Trouble, since: datetime, until: datetime) -> dict[str, Any]:
        alert: dict[str, Any] = {
            "labels": {"alertname": trouble.name, "severity": trouble.severity, "service": "fleet"},
            "annotations": {"summary": trouble.summary},
            "startsAt": since.astimezone(UTC).isoformat(),
            "endsAt": until.astimezone(UTC).isoformat(),
        }
        return alert if self._source is None else {**alert, "generatorURL": self._source}


async def push(client: httpx.AsyncClient, url: str, alerts: Sequence[Mapping[str, Any]]) -> bool:
    """Hand alerts over; whether they were taken. What is wrong is told without the address."""
    try:
        answer = await client.post(f"{url}/api/v2/alerts", json=list(alerts))
    except httpx.HTTPError as error:
        metrics.PLATFORM_PUSHES.labels("unreachable").inc()
        log.warning("the Alertmanager cannot be told", error=type(error).__name__)
        return False
    metrics.PLATFORM_PUSHES.labels("taken" if answer.is_success else "refused").inc()
    if not answer.is_success:
        log.warning("the Alertmanager refused", status=answer.status_code)
    return answer.is_success


async def read(connection: Connection) -> Facts:
    """How the service stands now."""
    found = await fetch_one(connection, _SQL["facts"], {}, Facts)
    assert found is not None
    return found


async def tell_while(
    settings: Settings, dsn: str, going: Callable[[], bool], pause: Callable[[float], Awaitable[None]]
) -> None:
    """Tell the Alertmanager of the settings each minute while `going`; does nothing where none is set."""
    url = settings.alertmanager_url
    told = Told(settings.http_public_url)
    while going() and url is None:
        await pause(EVERY_S)
    if url is None:
        return
    connection = await connect(dsn, role="worker-platform", run_as=roles.WORKER)
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            while going():
                await tell(connection, client, url, told, datetime.now(UTC))
                await pause(EVERY_S)
    finally:
        await connection.close()


async def tell(connection: Connection, client: httpx.AsyncClient, url: str, told: Told, now: datetime) -> None:
    """Once."""
    found = troubles(await read(connection), now)
    alerts = told.alerts(found, now)
    if not alerts or await push(client, url, alerts):
        told.taken(found, now)
