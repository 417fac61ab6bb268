"""docs/reference/metrics.md, from what `fleet.metrics` registers."""

from __future__ import annotations

from prometheus_client.metrics import MetricWrapperBase

from fleet import metrics
from fleet.docs.markdown import code, document, table

INTRODUCTION = """
Every role shows them at `/metrics`: `fleet api` on its own port, `fleet ingest` and `fleet worker` on
`FLEET_METRICS_PORT`. All roles name all of them; a role counts only its own. Spares stand by with 0, so add up
(`sum`) counters and leaders, and take the highest (`max`) of gauges. No label holds a kit.
"""


def registered() -> dict[str, MetricWrapperBase]:
    """Each metric by the name under which Prometheus stores it (a histogram's without suffix)."""
    found = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family, *_) = metric.describe()
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            found[family.name + suffix] = metric
    return found


def page() -> str:
    """The page."""
    rows = []
    for name, metric in registered().items():
        (family, *_) = metric.describe()
        labels = ", ".join(code(label) for label in metric._labelnames)
        rows.append((code(name), family.type, labels, family.documentation))
    return document("Metrics", INTRODUCTION, table(("name", "type", "labels", "meaning"), rows))
