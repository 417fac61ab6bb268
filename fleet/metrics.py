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
QUARANTINED = Counter("fleet_messages_quarantined_total", "Messages that could not be taken", ["kind", "reason"])
BATCH_SIZE = Histogram(
    "fleet_batch_messages",
    "Messages per committed batch",
    buckets=(1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000),
)
BATCH_SECONDS = Histogram("fleet_batch_commit_seconds", "Time to store and commit one batch", buckets=LATENCY_BUCKETS_S)
COMMIT_LAG_SECONDS = Histogram(
    "fleet_commit_lag_seconds",
    "From receipt of a batch's oldest message to its commit",
    buckets=LATENCY_BUCKETS_S,
)
IN_FLIGHT = Gauge("fleet_messages_in_flight", "Received and not yet acknowledged")
READING_PAUSED = Counter("fleet_reading_paused_total", "Times the window was full and reading from the broker paused")
BROKER_CONNECTED = Gauge("fleet_broker_connected", "1 while connected and subscribed")
BROKER_CONNECTS = Counter("fleet_broker_connects_total", "Connection attempts by outcome", ["outcome"])
COMMAND_REPLIES = Counter("fleet_command_replies_total", "Answers of tablets to commands of ours", ["status"])
STORE_RETRIES = Counter("fleet_store_retries_total", "Batches tried again after an error of the database")
LISTENING = Gauge("fleet_listening", "1 while the listening clock runs")
LISTENING_CLOCK_SECONDS = Gauge("fleet_listening_clock_seconds", "Value of the listening clock")
INGEST_LEADER = Gauge("fleet_ingest_leader", "1 while this process holds the ingest slot, 0 while it stands by")

# api
HTTP_SECONDS = Histogram(
    "fleet_http_request_seconds",
    "Time to answer a request, by route template",
    ["method", "route", "status"],
    buckets=LATENCY_BUCKETS_S,
)
EVENT_SUBSCRIBERS = Gauge("fleet_event_subscribers", "Open event streams")
EVENT_SUBSCRIBERS_DROPPED = Counter(
    "fleet_event_subscribers_dropped_total", "Event streams ended because their reader was too slow"
)
EVENTS_SENT = Counter("fleet_events_published_total", "Changes handed to the event streams of this process")
LOGINS = Counter("fleet_logins_total", "Logins of the console, by method and what came of them", ["method", "outcome"])

# worker
WORKER_LEADER = Gauge("fleet_worker_leader", "1 while this process leads, 0 while it stands by")
WORKER_RETRIES = Counter(
    "fleet_worker_retries_total", "Times a task of the worker began anew after an error of the database", ["task"]
)
TICK_SECONDS = Histogram("fleet_worker_tick_seconds", "Time of one tick", buckets=LATENCY_BUCKETS_S)
EVALUATION_QUEUE = Gauge("fleet_evaluation_queue_entries", "Changes of kits that no rule has looked at yet")
SILENT_HELD = Gauge(
    "fleet_silent_kits_held", "Silent kits that wait at the last tick, because a mass event may be building"
)
ALERTS_ACTIVE = Gauge("fleet_alerts_active", "Active alerts", ["rule"])
ALERTS_SUPPRESSED = Gauge("fleet_alerts_suppressed", "Active alerts that are kept quiet, by what", ["by"])
ALERTS_OPENED = Counter("fleet_alerts_opened_total", "Alerts opened", ["rule"])
ALERTS_CLEARED = Counter("fleet_alerts_cleared_total", "Alerts cleared", ["rule", "resolution"])
REQUESTS_OPEN = Gauge("fleet_service_requests_open", "Service requests that are not ended", ["line", "state"])
REQUESTS_OPENED = Counter("fleet_service_requests_opened_total", "Service requests opened by rules")
REQUESTS_RESOLVED = Counter("fleet_service_requests_resolved_total", "Service requests ended by rules")
REQUESTS_PROVEN = Counter(
    "fleet_service_requests_proven_total",
    "Resolved requests that closed or opened again, by what proof said",
    ["verdict"],
)
SLA_BREACHES = Gauge("fleet_service_requests_overdue", "Service requests past their due time")
SLA_OPEN = Gauge(
    "fleet_sla_open_breaches",
    "Open service requests that missed a target, by priority and target",
    ["priority", "target"],
)
SLA_BREACHED = Counter("fleet_sla_breaches_total", "Targets of service requests missed", ["priority", "target"])
SLA_ESCALATED = Counter("fleet_sla_escalations_total", "Steps of escalation told before or after a breach", ["target"])
SLA_WAITING_AGE_SECONDS = Gauge(
    "fleet_sla_waiting_age_seconds", "Since when a step of escalation or a breach should have been told and is not"
)
INCIDENTS_OPEN = Gauge("fleet_incidents_open", "Mass events that are on")
INCIDENTS_OPENED = Counter("fleet_incidents_opened_total", "Mass events opened")
INCIDENT_MEMBERS = Gauge("fleet_incident_members", "Kits in a mass event, or not yet released from one")
COHORT_COUNT_AGE_SECONDS = Gauge(
    "fleet_cohort_count_age_seconds", "Since when a count of the kits of cohorts is asked for and not done"
)
KITS = Gauge("fleet_kits", "Kits by lifecycle state", ["state"])
KITS_BY_HEALTH = Gauge("fleet_kits_installed", "Installed kits by verdict", ["health"])
COMMANDS_OPEN = Gauge("fleet_commands_open", "Commands that are neither answered nor expired", ["state"])
COMMANDS_SENT = Counter(
    "fleet_commands_sent_total", "Attempts to send a command, by what the broker said (lost: nothing)", ["delivery"]
)
COMMANDS_EXPIRED = Counter("fleet_commands_expired_total", "Commands whose time ended without an answer")
COMMAND_SEND_SECONDS = Histogram(
    "fleet_command_send_seconds", "From asking for a command to the broker's taking it", buckets=LATENCY_BUCKETS_S
)
CREDENTIALS_CONNECTED = Gauge(
    "fleet_credentials_broker_connected", "1 while this process can tell the broker who may enter"
)
CREDENTIALS_WAITING = Gauge(
    "fleet_credentials_waiting", "Kits of which the broker has not been told (for_file: only its file can)", ["state"]
)
CREDENTIALS_WAITING_AGE_SECONDS = Gauge(
    "fleet_credentials_waiting_age_seconds", "Since when the oldest of them waits, but for those that wait for the file"
)
CREDENTIALS_TOLD = Counter(
    "fleet_credentials_told_total", "Times the broker was told of a kit, and what came of it", ["state", "outcome"]
)
CREDENTIALS_SECONDS = Histogram(
    "fleet_credentials_apply_seconds", "From the fact in the books to the broker's having it", buckets=LATENCY_BUCKETS_S
)
CREDENTIALS_DIFFERENCES = Counter(
    "fleet_credentials_differences_total", "What differed when the whole broker was compared with the books", ["what"]
)
FINDINGS = Gauge("fleet_findings", "Findings that stand: books and reality disagree", ["kind"])
FINDINGS_OPENED = Counter("fleet_findings_opened_total", "Findings opened", ["kind"])
FINDINGS_HELD = Gauge(
    "fleet_findings_held", "Kits with a finding that wait while it is counted whether they are part of a mass event"
)
BILLABLE = Counter("fleet_billable_entries_total", "Entries and counter-entries of what is charged", ["what"])
MAINTAINED = Counter("fleet_maintenance_total", "Partitions and rows made or removed by maintenance", ["what"])
RETENTION_FAILURES = Counter(
    "fleet_retention_failures_total", "Times a kind of data past its time could not be removed", ["kind"]
)
AUDIT_UNSEALED = Gauge("fleet_audit_unsealed_lines", "Lines of the audit that wait for their link in the chain")
AUDIT_UNSEALED_AGE_SECONDS = Gauge("fleet_audit_unsealed_age_seconds", "Age of the oldest such line")
AUDIT_POSITION = Gauge("fleet_audit_chain_position", "Last position of the chain; falls only when its end was cut off")

# out to others
DELIVERIES = Counter(
    "fleet_deliveries_total", "Facts sent to others, by what became of the attempt", ["kind", "outcome"]
)
DELIVERY_SECONDS = Histogram(
    "fleet_delivery_seconds", "Time of one attempt to send something to others", ["kind"], buckets=LATENCY_BUCKETS_S
)
DELIVERIES_DEAD = Gauge("fleet_deliveries_dead", "Deliveries that were given up and not sent again", ["kind"])
DELIVERIES_PENDING = Gauge("fleet_deliveries_pending", "Deliveries that wait", ["kind"])
DELIVERY_AGE_SECONDS = Gauge("fleet_delivery_queue_age_seconds", "Age of the oldest delivery that waits", ["kind"])
OUTLETS_FAILING = Gauge("fleet_outlets_failing", "Places that facts are sent to and that do not take them", ["kind"])
PLATFORM_PUSHES = Counter(
    "fleet_platform_alert_pushes_total", "Times the Alertmanager was told how this service stands", ["outcome"]
)


def serve_metrics(port: int, host: str = "127.0.0.1") -> int:
    """Show `/metrics` on `port` of the address `host`; port 0 takes a free one. Returns the port."""
    try:
        server, _ = start_http_server(port, addr=host)
    except OSError as error:
        raise UnavailableError(f"FLEET_METRICS_PORT {port} on {host}: {error.strerror or error}") from None
    return int(server.server_port)
