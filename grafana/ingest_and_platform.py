"""*Ingest and platform*: does what tablets send get stored, and do the processes of ours keep up."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from parts import BLUE, GREEN, RED, YELLOW, AnyPanel, Place, Sql, Steps, figure, frame, lines, prom, value_colors

RATE = "[$__rate_interval]"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    made = frame(
        "Ingest and platform",
        "fleet-ingest-and-platform",
        "The server itself: from the broker to the database, the rules, and the API.",
        tags=["platform"],
        refresh="10s",
        since="now-1h",
    )
    for row, panels in (
        ("Does it work", _glance()),
        ("Messages", _messages()),
        ("Committing", _committing()),
        ("Broker and database", _connections()),
        ("Rules", _rules()),
        ("Beside the rules, and out to others", _beside()),
        ("API", _api()),
    ):
        made.with_row(dashboard.Row(row))
        for panel in panels:
            made.with_panel(panel)
    return made


def _figure(title: str, description: str, expression: str, steps: Steps, *, unit: str = "none") -> AnyPanel:
    place = Place(prom((expression, ""), instant=True), width=4, height=4)
    return figure(title, description, place, steps=steps, unit=unit)


def _glance() -> Sequence[AnyPanel]:
    exactly_one: Steps = [(None, RED), (1, GREEN), (2, RED)]
    return (
        figure(
            "Listening",
            "listening: connected, past the backlog and storing. catching_up: still reading what waited in the broker."
            " down: nothing is stored; tablets keep their messages, act within hours.",
            Place(
                [Sql("SELECT CASE WHEN age_s > 60 THEN 'down' ELSE state END AS state FROM grafana_listening")],
                width=4,
                height=4,
            ),
            mappings=value_colors({"listening": GREEN, "catching_up": YELLOW, "down": RED}),
            text=True,
        ),
        _figure(
            "Ingest leaders",
            "Exactly one takes the messages, the others stand by. None for more than seconds: the database cannot be"
            " reached or no ingest runs.",
            "sum(fleet_ingest_leader) or vector(0)",
            exactly_one,
        ),
        _figure(
            "Worker leaders",
            "Exactly one evaluates the rules. None for more than seconds: no alert opens or clears.",
            "sum(fleet_worker_leader) or vector(0)",
            exactly_one,
        ),
        _figure(
            "Processes down",
            "Scrape targets that do not answer. See which in Prometheus under Targets, then its log.",
            'count(up{job=~"ingest|worker|api"} == 0) or vector(0)',
            [(None, GREEN), (1, RED)],
        ),
        _figure(
            "Commit lag, p99",
            "From receipt of a batch's oldest message to its commit. Above a second the database is the bottleneck.",
            "histogram_quantile(0.99, sum by (le) (rate(fleet_commit_lag_seconds_bucket[5m])))",
            [(None, GREEN), (0.25, YELLOW), (1, RED)],
            unit="s",
        ),
        _figure(
            "Quarantined, last hour",
            "Messages that could not be taken. The reasons stand below and in Fleet now.",
            "sum(increase(fleet_messages_quarantined_total[1h])) or vector(0)",
            [(None, GREEN), (1, YELLOW), (1000, RED)],
        ),
    )


def _messages() -> Sequence[AnyPanel]:
    return (
        lines(
            "Messages per second",
            "received: read from the broker. committed: stored for the first time. duplicate: repeats, expected after"
            " reconnects. Received well above the sum of the others means work in flight or batches tried again.",
            Place(
                prom(
                    (f"sum(rate(fleet_messages_received_total{RATE}))", "received"),
                    (f"sum(rate(fleet_messages_committed_total{RATE}))", "committed"),
                    (f"sum(rate(fleet_messages_duplicate_total{RATE}))", "duplicate"),
                    (f"sum(rate(fleet_messages_quarantined_total{RATE}))", "quarantined"),
                ),
                width=12,
                height=8,
            ),
            unit="mps",
        ),
        lines(
            "Stored by kind",
            "What the kits report. Many software and pairing messages at once: tablets restart.",
            Place(prom((f"sum by (kind) (rate(fleet_messages_committed_total{RATE}))", "{{kind}}")), width=6, height=8),
            unit="mps",
            stacked=True,
        ),
        lines(
            "Quarantined by reason",
            "unknown_kit: not in the books. refused_by_database: look at the detail in the quarantine, it may be ours.",
            Place(
                prom((f"sum by (reason) (rate(fleet_messages_quarantined_total{RATE}))", "{{reason}}")),
                width=6,
                height=8,
            ),
            unit="mps",
            stacked=True,
        ),
    )


def _quantiles(metric: str, by: str = "le") -> list[tuple[str, str]]:
    return [
        (f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{RATE})))", f"p{q * 100:.0f}")
        for q in (0.5, 0.9, 0.99)
    ]


def _committing() -> Sequence[AnyPanel]:
    return (
        lines(
            "Commit lag",
            "From receipt of a batch's oldest message to its commit. Rising with steady traffic: the database slows.",
            Place(prom(*_quantiles("fleet_commit_lag_seconds")), width=8, height=8),
            unit="s",
            steps=[(None, GREEN), (0.25, RED)],
        ),
        lines(
            "Time to store a batch",
            "One transaction: history, latest state, changes. Compare with the lag: the rest is waiting.",
            Place(prom(*_quantiles("fleet_batch_commit_seconds")), width=8, height=8),
            unit="s",
        ),
        lines(
            "Messages per batch",
            "Grows by itself under load; at its bound all the time means that the limit is reached.",
            Place(
                prom(
                    (
                        f"sum(rate(fleet_batch_messages_sum{RATE})) / sum(rate(fleet_batch_messages_count{RATE}))",
                        "mean",
                    ),
                    (
                        f"histogram_quantile(0.99, sum by (le) (rate(fleet_batch_messages_bucket{RATE})))",
                        "p99",
                    ),
                ),
                width=8,
                height=8,
            ),
            unit="short",
        ),
        lines(
            "In flight",
            "Received and not yet acknowledged: the only buffer there is. At its bound, reading pauses.",
            Place(prom(("sum(fleet_messages_in_flight)", "messages")), width=8, height=7),
            unit="short",
        ),
        lines(
            "Reading paused",
            "Times per minute that the window was full. Now and then is fine; all the time means that the broker's"
            " memory fills instead: find what slows the database.",
            Place(prom((f"sum(rate(fleet_reading_paused_total{RATE})) * 60", "pauses per minute")), width=8, height=7),
            unit="short",
        ),
        lines(
            "Batches tried again",
            "After an error of the database that is not the data's fault. Nothing is lost meanwhile.",
            Place(prom((f"sum(rate(fleet_store_retries_total{RATE})) * 60", "retries per minute")), width=8, height=7),
            unit="short",
        ),
    )


def _connections() -> Sequence[AnyPanel]:
    return (
        lines(
            "Connected to the broker",
            "1 while the leading ingest is connected and subscribed. The broker's own losses cannot be seen here:"
            " watch $SYS/broker/publish/messages/dropped.",
            Place(
                prom(("max(fleet_broker_connected)", "connected"), ("max(fleet_listening)", "listening")),
                width=8,
                height=7,
            ),
            unit="short",
        ),
        lines(
            "Connection attempts",
            "Attempts per minute by outcome. Refused: look at user, password and access list of the broker.",
            Place(
                prom((f"sum by (outcome) (rate(fleet_broker_connects_total{RATE})) * 60", "{{outcome}}")),
                width=8,
                height=7,
            ),
            unit="short",
        ),
        lines(
            "Memory",
            "Resident memory of each process; flat whatever the load.",
            Place(
                prom(('process_resident_memory_bytes{job=~"ingest|worker|api"}', "{{job}} {{instance}}")),
                width=8,
                height=7,
            ),
            unit="bytes",
        ),
    )


def _rules() -> Sequence[AnyPanel]:
    return (
        lines(
            "Time of a tick",
            "One look at everything that changed and every deadline that passed. Above the tick's own interval,"
            " alerts come late.",
            Place(prom(*_quantiles("fleet_worker_tick_seconds")), width=8, height=8),
            unit="s",
            steps=[(None, GREEN), (1, RED)],
        ),
        lines(
            "Kits waiting for evaluation",
            "Changes that no rule has looked at yet; returns to zero every few seconds.",
            Place(
                prom(("max(fleet_evaluation_queue_entries)", "waiting"), ("max(fleet_silent_kits_held)", "held back")),
                width=8,
                height=8,
            ),
            unit="short",
        ),
        lines(
            "Alerts opened and cleared",
            "Per hour, by rule. Opened far above cleared for hours: something spreads.",
            Place(
                prom(
                    ("sum by (rule) (increase(fleet_alerts_opened_total[1h]))", "opened {{rule}}"),
                    ("sum by (rule) (increase(fleet_alerts_cleared_total[1h]))", "cleared {{rule}}"),
                ),
                width=8,
                height=8,
            ),
            unit="short",
        ),
        lines(
            "Open service requests",
            "Work in hand by line, and how much of all is overdue. Fleet now lists them.",
            Place(
                prom(
                    ("sum by (line) (max by (line, state) (fleet_service_requests_open))", "{{line}}"),
                    ("max(fleet_service_requests_overdue)", "overdue"),
                ),
                width=12,
                height=7,
            ),
            unit="short",
        ),
        lines(
            "Worker retries",
            "Times a task began anew after an error of the database, per minute.",
            Place(
                prom((f"sum by (task) (rate(fleet_worker_retries_total{RATE})) * 60", "{{task}}")), width=12, height=7
            ),
            unit="short",
        ),
    )


def _beside() -> Sequence[AnyPanel]:
    return (
        lines(
            "What waits beside the rules",
            "Since when a step of escalation, a count of cohorts, the broker's word on who may enter, or the audit's"
            " chain waits. Minutes and rising: that task of the worker stands still; its log says why.",
            Place(
                prom(
                    ("max(fleet_sla_waiting_age_seconds)", "escalations"),
                    ("max(fleet_cohort_count_age_seconds)", "count of cohorts"),
                    ("max(fleet_credentials_waiting_age_seconds)", "credentials"),
                    ("max(fleet_audit_unsealed_age_seconds)", "audit"),
                ),
                width=8,
                height=8,
            ),
            unit="s",
        ),
        lines(
            "Sent to others",
            "Facts per minute by what became of the attempt. failed is tried again for a day, dead was given up.",
            Place(
                prom((f"sum by (kind, outcome) (rate(fleet_deliveries_total{RATE})) * 60", "{{kind}} {{outcome}}")),
                width=8,
                height=8,
            ),
            unit="short",
        ),
        lines(
            "Waiting to be sent, and given up",
            "Rising: a receiver does not take what is sent, or no process sends. What was given up is sent again by"
            " hand once the receiver is mended.",
            Place(
                prom(
                    ("max by (kind) (fleet_deliveries_pending)", "{{kind}} waits"),
                    ("max by (kind) (fleet_deliveries_dead)", "{{kind}} given up"),
                    ("max by (kind) (fleet_outlets_failing)", "{{kind}} receivers that fail"),
                ),
                width=8,
                height=8,
            ),
            unit="short",
        ),
    )


def _api() -> Sequence[AnyPanel]:
    slow = f"histogram_quantile(0.95, sum by (le, route) (rate(fleet_http_request_seconds_bucket{RATE})))"
    errors = f'sum by (route) (rate(fleet_http_request_seconds_count{{status=~"5.."}}{RATE}))'
    return (
        lines(
            "Latency by route, p95",
            "Time to answer. One slow route: its query; all slow: the database or the machine.",
            Place(prom((slow, "{{route}}")), width=8, height=8),
            unit="s",
            steps=[(None, BLUE), (0.5, RED)],
        ),
        lines(
            "Requests per second",
            "By status. Many 401: a token has ended. Many 409 or 412: people edit the same thing.",
            Place(
                prom((f"sum by (status) (rate(fleet_http_request_seconds_count{RATE}))", "{{status}}")),
                width=8,
                height=8,
            ),
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Server errors and event streams",
            "Errors are ours: the log line has the request's id. Dropped streams: a reader was too slow.",
            Place(
                prom(
                    (errors, "errors {{route}}"),
                    ("sum(fleet_event_subscribers)", "open streams"),
                    (f"sum(rate(fleet_event_subscribers_dropped_total{RATE})) * 60", "dropped per minute"),
                ),
                width=8,
                height=8,
            ),
            unit="short",
        ),
    )
