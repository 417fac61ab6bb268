"""Checks a finished ledger against a database, again and again until all is well or the time is up."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from fleet.protocol.topics import Topics
from simulator import judge
from simulator.compare import Index, acknowledged_after_s, compare, malformed_counts, time_range
from simulator.judge import Found
from simulator.ledger import Ledger
from simulator.ledger_file import Header
from simulator.report import Expectation, Latency, Spread, Stored
from simulator.store import Store, database_error

LONGEST_PAUSE_S = 3.0
SLACK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome for the report."""

    stored: Stored
    latency: Latency
    expectations: list[Expectation]


def check(header: Header, ledger: Ledger, dsn: str) -> Checked:
    """Read until everything is as expected, or `settle_s` have passed; then give the last reading.

    Blocks. A database that is away for a moment is waited for; raises UnavailableError at the end.
    """
    began = time.monotonic()
    index = Index(ledger)
    pause_s = 0.2
    while True:
        late = time.monotonic() - began >= header.scenario.expect.settle_s
        try:
            with Store(dsn) as store:
                checked = _reading(header, ledger, store, index, began)
            if late or all(one.met for one in checked.expectations):
                return checked
        except psycopg.Error as error:
            if late or not isinstance(error, psycopg.OperationalError):
                raise database_error(error) from None
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 1.5)


def _reading(header: Header, ledger: Ledger, store: Store, index: Index, began: float) -> Checked:
    found = _read(header, ledger, index, store)
    received = Spread.of(found.comparison.received_s)
    latency = Latency(Spread.of(acknowledged_after_s(ledger)), received, header.commit_s)
    expectations = _judge(header, ledger, found, latency)
    return Checked(_stored(found, time.monotonic() - began), latency, expectations)


def _read(header: Header, ledger: Ledger, index: Index, store: Store) -> Found:
    kits = header.scenario.kit_ids()
    since, until = time_range(ledger, datetime.now(UTC))
    messages = store.messages(since=since, until=until, boot_prefix=f"{ledger.boot_prefix}-", kits=kits)
    window = {"from": header.started_at, "to": _last_alert(header), "kits": kits}
    found = Found(comparison=compare(ledger, index, messages))
    found.quarantined = _ours(header, ledger, store.quarantined(header.started_at - SLACK))
    found.alerts = store.alerts(window)
    found.requests = store.requests(window)
    found.incidents = store.incidents(window)
    return found


def _last_alert(header: Header) -> datetime:
    """Once the run is over every kit is silent; what opens for that is no matter of the run."""
    scenario = header.scenario
    quiet_s = max(0.0, scenario.silent_after_s() - scenario.fleet.heartbeat_interval_s - 2)
    return header.started_at + timedelta(seconds=header.stopped_s + quiet_s)


def _ours(header: Header, ledger: Ledger, stored: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Quarantined topics of our kits; other devices are none of our business."""
    kits = set(header.scenario.kit_ids())
    _, sent = malformed_counts(ledger)
    topics = {topic for topic, _ in sent}
    start = Topics(header.topic_root).root + "/kits/"
    return {
        key: count
        for key, count in stored.items()
        if key[0] in topics or (key[0].startswith(start) and key[0][len(start) :].split("/")[0] in kits)
    }


def _judge(header: Header, ledger: Ledger, found: Found, latency: Latency) -> list[Expectation]:
    expect = header.scenario.expect
    judged = [judge.drained(ledger, header.drained)]
    if expect.exactly_once:
        judged.append(judge.exactly_once(found.comparison))
    if expect.quarantined is not False:
        judged.append(judge.quarantined(expect, *malformed_counts(ledger), found.quarantined))
    if expect.derive or expect.alerts or expect.requests or expect.suppressed:
        judged.append(judge.alerts(expect, header.expected, found.alerts))
        judged.append(judge.requests(expect, header.expected, found.requests))
        judged.append(judge.incidents(expect, header.expected, found.incidents, found.requests))
    if expect.resolved:
        judged.append(judge.resolved(header.expected, found))
    return [*judged, *judge.latency(expect, latency)]


def _stored(found: Found, settled_after_s: float) -> Stored:
    comparison = found.comparison
    quarantined: Counter[str] = Counter()
    for (_, reason), count in found.quarantined.items():
        quarantined[reason] += count
    return Stored(
        checked=comparison.checked,
        stored=comparison.stored,
        missing=comparison.missing,
        duplicates=comparison.duplicates,
        foreign=comparison.foreign,
        examples=comparison.examples,
        quarantined=dict(quarantined),
        alerts=dict(Counter(alert.rule for alert in found.alerts)),
        requests=dict(Counter(request.cause for request in found.requests)),
        incidents=len(found.incidents),
        settled_after_s=round(settled_after_s, 2),
    )
