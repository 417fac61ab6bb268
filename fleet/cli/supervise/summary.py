"""The live summary: a few numbers read through the API and from ingest's metrics."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.cli.supervise.fetch import fetch, fetch_json, samples
from fleet.cli.supervise.plan import Plan
from fleet.cli.supervise.screen import Screen
from fleet.cli.supervise.supervisor import Supervisor

_ON_TERMINAL_S = 2.0
_ELSEWHERE_S = 10.0
_HINT_EVERY_S = 30.0
_BOUND_EVERY_S = 60.0
_NAMED = 4
_MOST = 500
_HEARTBEATS = "fleet_messages_committed_total"


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is shown; None where nobody answered. `at_s` is a monotonic time.

    `alerts` are those that somebody is told of, `suppressed` those for which a mass event or a window speaks.
    """

    at_s: float
    heartbeats: float | None
    kits: Mapping[str, int] | None
    alerts: list[dict[str, Any]] | None
    requests: list[dict[str, Any]] | None
    suppressed: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where the numbers come from."""

    plan: Plan
    token: str

    def read(self) -> Numbers:
        """Read everything once; blocks."""
        statistics = self._get("statistics")
        return Numbers(
            at_s=time.monotonic(),
            heartbeats=self._heartbeats(),
            kits=None if statistics is None else statistics["kits"]["installed_by_health"],
            alerts=self._items(f"alerts?state=active&suppressed=false&limit={_MOST}"),
            requests=self._items(f"service-requests?state=open&limit={_MOST}"),
            suppressed=self._items(f"alerts?state=active&suppressed=true&limit={_MOST}"),
        )

    def _get(self, path: str) -> Any:
        return fetch_json(f"{self.plan.http_url}/api/v1/{path}", self.token)

    def _items(self, path: str) -> list[dict[str, Any]] | None:
        page = self._get(path)
        return None if page is None else list(page["items"])

    def _heartbeats(self) -> float | None:
        try:
            status, text = fetch(self.plan.metrics_urls["ingest"])
        except (OSError, http.client.HTTPException):
            return None
        return samples(text.decode(), _HEARTBEATS).get('kind="heartbeat"', 0.0) if status == 200 else None


def lines(now: Numbers, before: Numbers | None, console: str) -> list[str]:
    """The summary of `now`; rates since `before`."""
    return [
        f"console     {console}",
        f"heartbeats  {_rate(now, before)}",
        f"kits        {_counts(now.kits)}",
        f"alerts      {_listed(now.alerts, _alert, now.suppressed)}",
        f"requests    {_listed(now.requests, _request)}",
    ]


def _rate(now: Numbers, before: Numbers | None) -> str:
    if now.heartbeats is None:
        return "ingest does not answer"
    total = f"{now.heartbeats:,.0f} stored"
    if before is None or before.heartbeats is None or now.at_s <= before.at_s:
        return total
    # The counter begins anew with the process.
    per_s = max(now.heartbeats - before.heartbeats, 0.0) / (now.at_s - before.at_s)
    return f"{per_s:,.1f}/s, {total}"


def _counts(kits: Mapping[str, int] | None) -> str:
    if kits is None:
        return "the API does not answer"
    told = [f"{count:,} {health}" for health, count in kits.items() if count]
    return ", ".join(told) or "none yet"


def _listed(
    items: list[dict[str, Any]] | None,
    told: Callable[[dict[str, Any]], str],
    suppressed: list[dict[str, Any]] | None = None,
) -> str:
    if items is None:
        return "the API does not answer"
    quiet = f" ({_count(suppressed)} suppressed)" if suppressed else ""
    if not items:
        return f"none{quiet}"
    more = f" and {_count(items[_NAMED:], _MOST - _NAMED)} more" if len(items) > _NAMED else ""
    return f"{_count(items)}{quiet}: " + ", ".join(told(item) for item in items[:_NAMED]) + more


def _count(items: list[dict[str, Any]], most: int = _MOST) -> str:
    """How many there are; a page that is full may not be all."""
    return f"{len(items)}+" if len(items) >= most else str(len(items))


def _alert(alert: dict[str, Any]) -> str:
    return f"{alert['kit'] or alert['subject']} {alert['rule']}"


def _request(request: dict[str, Any]) -> str:
    return f"{request['number']} {request['kit'] or request.get('subject') or 'incident'} {request['cause']}"


async def follow(source: Source, supervisor: Supervisor, view: Screen) -> None:
    """Show the summary, hint at errors and bound the logs until cancelled."""
    before: Numbers | None = None
    hints = _Hints(supervisor, view)
    while True:
        now = await asyncio.to_thread(source.read)
        view.show(lines(now, before, source.plan.http_url))
        before = now
        hints.give()
        await asyncio.sleep(_ON_TERMINAL_S if view.live else _ELSEWHERE_S)


@dataclass(slots=True)
class _Hints:
    """Errors that roles log, told now and then; and their logs bounded."""

    supervisor: Supervisor
    view: Screen
    _told_at_s: float = 0.0
    _bounded_at_s: float = 0.0

    def give(self) -> None:
        now = time.monotonic()
        if now - self._bounded_at_s > _BOUND_EVERY_S:
            self.supervisor.logs.bound()
            self._bounded_at_s = now
        if now - self._told_at_s < _HINT_EVERY_S:
            return
        for role in ("ingest", "worker", "api", "simulator"):
            error = self.supervisor.logs.new_error(role)
            if error is not None:
                self.view.say(f"{role} logged: {error[:200]} (more in {self.supervisor.logs.path(role)})")
                self._told_at_s = now
