"""Every metric of every role, in one place, and the small server that shows them.

Names follow Prometheus' rules: prefix `fleet_`, base units, no per-kit labels.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, Info, start_http_server

from fleet import __version__
from fleet.errors import UnavailableError

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

BUILD = Info("fleet_build", "Version of the running code")
BUILD.info({"version": __version__})

# ingest
RECEIVED = Counter("fleet_messages_received_total", "Messages read from the broker", ["kind"])
COMMITTED = Counter("fleet_messages_committed_total", "Messages stored for the first time", ["kind"])
DUPLICATE = Counter(
    "fleet_messages_duplicate_total", "Repeats of stored messages, acknowledged and passed over", ["kind"]
)
QUARANTINED = Counter(
    "fleet_messages_quarantined_total", "Messages that could not be taken", ["kind", "reason"]
)
BATCH_SIZE = Histogram(
    "fleet_batch_messages",
    "Messages per committed batch",
    buckets=(1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000),
)
BATCH_SECONDS = Histogram(
    "fleet_batch_commit_seconds", "Time to store and commit one batch", buckets=LATENCY_BUCKETS_S
)
COMMIT_LAG_SECONDS = Histogram(
    "fleet_commit_lag_seconds",
    "From receipt of a batch's oldest message to its commit",
    buckets=LATENCY_BUCKETS_S,
)
IN_FLIGHT = Gauge("fleet_messages_in_flight", "Received and not yet acknowledged")
READING_PAUSED = Counter(
    "fleet_reading_paused_total", "Times the window was full and reading from the broker paused"
)
BROKER_CONNECTED = Gauge("fleet_broker_connected", "1 while connected and subscribed")
BROKER_CONNECTS = Counter("fleet_broker_connects_total", "Connection attempts by outcome", ["outcome"])
STORE_RETRIES = Counter("fleet_store_retries_total", "Batches tried again after an error of the database")
LISTENING = Gauge("fleet_listening", "1 while the listening clock runs")
LISTENING_CLOCK_SECONDS = Gauge("fleet_listening_clock_seconds", "Value of the listening clock")
INGEST_LEADER = Gauge(
    "fleet_ingest_leader", "1 while this process holds the ingest slot, 0 while it stands by"
)


def serve_metrics(port: int) -> int:
    """Show `/metrics` on `port` of every address of this machine's loopback; 0 takes a free one. Returns the port."""
    try:
        server, _ = start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise UnavailableError(f"FLEET_METRICS_PORT {port}: {error.strerror or error}") from None
    return int(server.server_port)
