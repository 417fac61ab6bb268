"""The README's table of measured figures, from `fleet bench --json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fleet.docs.markdown import table
from fleet.errors import UsageError

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Row = tuple[str, str, Callable[[Any], str]]


def _count(value: Any) -> str:
    return f"{float(value):,.0f}"


def _share(value: Any) -> str:
    return f"{float(value):.2f}"


def _precise(value: Any) -> str:
    return f"{float(value):.4f}"


def _seconds(value: Any) -> str:
    return f"{float(value):,.1f} s"


def _milliseconds(value: Any) -> str:
    return f"{float(value) * 1000:,.1f} ms"


def _megabytes(value: Any) -> str:
    return f"{float(value) / 1_000_000:,.0f} MB"


# What is shown: where it stands in the JSON, what it is called, and how it is written.
ROWS: tuple[Row, ...] = (
    ("ingest.null_consumer_msgs_s", "messages/s of a consumer that stores nothing (the broker's own limit)", _count),
    ("ingest.ingest_msgs_s", "messages/s of `fleet ingest`, committed before acknowledged", _count),
    ("ingest.ratio", "the second as a share of the first", _share),
    ("ingest.plain_msgs_s", "messages/s of aiomqtt with one INSERT per message, for scale", _count),
    ("ingest.p99_commit_lag_s", "p99 from receipt to commit, at half load", _milliseconds),
    ("ingest.max_rss_bytes", "memory of ingest at its highest", _megabytes),
    ("api.kit_p50_s", "API, all about one kit: median", _milliseconds),
    ("api.kit_p95_s", "API, all about one kit: p95", _milliseconds),
    ("api.list_p95_s", "API, a page of kits: p95", _milliseconds),
    ("month.kits", "kits of the simulated month", _count),
    ("month.precision", "share of its service requests that are right", _precise),
    ("month.recall", "share of its faults that were found", _precise),
)
WORKER_ROWS: tuple[Row, ...] = (
    ("quiet_tick_s", "tick of the worker when nothing changed", _milliseconds),
    ("changed_tick_s", "tick of the worker after changes", _milliseconds),
    ("mass_outage.incident_after_s", "a tenth of the fleet falls silent: its one incident after", _seconds),
    ("mass_outage.longest_tick_s", "the longest tick meanwhile", _seconds),
    ("mass_outage.max_rss_bytes", "memory of the worker meanwhile", _megabytes),
)

# Of each group the slowest kind, for whoever it is slowest for: that is what is promised.
BOOKS_ROWS: tuple[tuple[str, str], ...] = (
    ("search_", "the slowest search (id, label, serial, last four, placement reference): p95"),
    ("list_", "a page of kits or components: p95"),
    ("filter_", "a page with a filter, common or rare: p95"),
    ("health_", "a page of kits of one health, by id or by when they were heard: p95"),
    ("audit_", "a page of the audit, whoever asks: p95"),
    ("kit", "all about one kit: p95"),
    ("step", "a step of a kit's life: p95"),
)


def placed(readme: str, bench: Mapping[str, Any]) -> str:
    """The README with the table between its two markers."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise UsageError(f"README.md needs {BEGIN} and {END} once each")
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{rendered(bench)}\n{END}{after}"


def rendered(bench: Mapping[str, Any]) -> str:
    """The table; a figure that was not measured is left out."""
    rows = _found(bench, ROWS, "")
    for kits, values in (bench.get("worker") or {}).items():
        rows += _found(values, WORKER_ROWS, f", {int(kits):,} kits")
    rows += _books(bench.get("books") or {})
    return table(("measured", "figure"), rows)


def _books(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    kits = f", {int(values['kits']):,} kits and components" if values else ""
    found = []
    for prefix, name in BOOKS_ROWS:
        spreads = [
            float(spread["p95_s"])
            for kind, scopes in values.get("requests", {}).items()
            for spread in scopes.values()
            if kind.startswith(prefix)
        ]
        if spreads:
            found.append((name + kits, _milliseconds(max(spreads))))
    if "import_s" in values:
        found.append((f"a file of {int(values['imported']):,} components into them", _seconds(values["import_s"])))
    return found


def _found(values: Mapping[str, Any], rows: tuple[Row, ...], suffix: str) -> list[tuple[str, str]]:
    present = ((name, write, _at(values, path)) for path, name, write in rows)
    return [(name + suffix, write(value)) for name, write, value in present if value is not None]


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(values, Mapping) or name not in values:
            return None
        values = values[name]
    return values
