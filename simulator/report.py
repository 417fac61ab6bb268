"""The report of a run: a stable JSON document (`simulator-report/1`), and a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

SCHEMA = "simulator-report/1"


class Spread(msgspec.Struct, frozen=True):
    """Percentiles of seconds; all None without a sample."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Take the percentiles (nearest rank)."""
        ordered = sorted(values)
        if not ordered:
            return cls()
        last = len(ordered) - 1
        picked = (ordered[min(last, int(len(ordered) * part))] for part in (0.5, 0.95, 0.99, 1.0))
        return cls(len(ordered), *(round(value, 4) + 0.0 for value in picked))


class Messages(msgspec.Struct, frozen=True):
    """Counts from the tablets' side; `by_kind` are messages made, malformed ones as `malformed`."""

    made: int
    acknowledged: int
    unacknowledged: int
    refused: int
    dropped_at_bound: int
    sends: int
    resends: int
    by_kind: dict[str, int]
    acknowledged_by_kind: dict[str, int]


class Links(msgspec.Struct, frozen=True):
    """Counts of connections; `failures` by what went wrong, `other` is what seldom happens."""

    connects: int
    reconnects: int
    losses: int
    planned_cuts: int
    failures: dict[str, int]
    other: dict[str, int]


class Stored(msgspec.Struct, frozen=True):
    """The database against the ledger; examples are a few of each, as text."""

    checked: int
    stored: int
    missing: int
    duplicates: int
    foreign: int
    examples: dict[str, list[str]]
    quarantined: dict[str, int]
    alerts: dict[str, int]
    requests: dict[str, int]
    incidents: int
    settled_after_s: float


class Latency(msgspec.Struct, frozen=True):
    """Seconds from sending: until acknowledged by the broker, received by the server, visible after commit.

    `received_s` takes messages sent once; `commit_s` is sampled, one heartbeat at a time.
    """

    acknowledged_s: Spread = Spread()
    received_s: Spread = Spread()
    commit_s: Spread = Spread()


class Expectation(msgspec.Struct, frozen=True):
    """One thing that must hold, and what was found."""

    name: str
    met: bool
    detail: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one run; `passed` is what the exit code follows."""

    schema: str = SCHEMA
    scenario: str
    seed: int
    boot_prefix: str
    kits: int
    started_at: datetime
    stopped_at: datetime
    duration_s: float
    messages: Messages
    connections: Links
    latency: Latency
    database: Stored | None
    expectations: list[Expectation]
    passed: bool


def to_json(report: Report) -> str:
    """The report as one JSON object."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def to_table(report: Report) -> str:
    """The report for the terminal."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.scenario}: {report.kits} kits, {report.duration_s:.0f} s, seed {report.seed}, {report.boot_prefix}"
    yield from _counts(report)
    if report.database is not None:
        yield from _found(report.database)
    yield from _latencies(report.latency)
    for expectation in report.expectations:
        yield f"  {'met    ' if expectation.met else 'NOT MET'}  {expectation.name:<15} {expectation.detail}"
    if report.database is not None:
        for sort, examples in report.database.examples.items():
            for example in examples:
                yield f"           {sort}: {example}"
    yield "passed" if report.passed else "FAILED"


def _counts(report: Report) -> Iterator[str]:
    messages, links = report.messages, report.connections
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(messages.by_kind.items()))
    yield f"  messages     {messages.made} made ({kinds})"
    yield (
        f"               {messages.acknowledged} acknowledged, {messages.unacknowledged} not, "
        f"{messages.resends} sent again, {messages.refused} refused, {messages.dropped_at_bound} dropped at a bound"
    )
    yield (
        f"  connections  {links.connects} made, {links.reconnects} made again, {links.losses} lost, "
        f"{links.planned_cuts} cut on purpose, {sum(links.failures.values())} failed"
    )
    for reason, count in sorted({**links.failures, **links.other}.items()):
        yield f"               {count} times {reason}"


def _found(stored: Stored) -> Iterator[str]:
    yield (
        f"  database     {stored.stored} of {stored.checked} stored, {stored.missing} missing, "
        f"{stored.duplicates} more than once, {stored.foreign} never sent "
        f"(settled after {stored.settled_after_s:.1f} s)"
    )
    for name, counts in (("quarantine", stored.quarantined), ("alerts", stored.alerts), ("requests", stored.requests)):
        if counts:
            yield f"  {name:<12} " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    if stored.incidents:
        yield f"  incidents    {stored.incidents}"


def _latencies(latency: Latency) -> Iterator[str]:
    rows = (
        ("acknowledged", latency.acknowledged_s),
        ("received", latency.received_s),
        ("committed", latency.commit_s),
    )
    for name, spread in rows:
        if spread.count:
            yield (
                f"  {name:<12} p50 {spread.p50:.4f} s, p95 {spread.p95:.4f} s, p99 {spread.p99:.4f} s, "
                f"max {spread.max:.4f} s ({spread.count})"
            )
