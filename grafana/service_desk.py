"""*Service desk*: what is open and at risk, how fast the desk answers and solves, and what citizens call about."""

from __future__ import annotations

from collections.abc import Sequence

import service_desk_field
from columns import CLOCKS, COLOURED, LASTING, OPEN, SHARE, WHEN, organisation_choice, over, under
from grafana_foundation_sdk.builders import dashboard
from parts import (
    BLUE,
    GREEN,
    GREY,
    RED,
    YELLOW,
    AnyPanel,
    Listing,
    Place,
    Sql,
    Steps,
    bars,
    figure,
    frame,
    lines,
    listing,
    value_colors,
)

OURS = "coalesce(organisation, '(none)') IN (${organisation:sqlstring})"
REQUESTS = f"NOT merged AND (incident IS NOT NULL OR {OURS})"
"""A mass event's request is of all organisations; what was merged into another is counted there."""
NEXT_DUE = "least(due_at, CASE WHEN responded_at IS NULL THEN response_due_at END)"
AT_RISK = f"sla_state = 'running' AND now() > {NEXT_DUE} - ({NEXT_DUE} - opened_at) * 0.25"
BREACHED = "sla_state = 'breached'"
ENDED = f"state IN ('resolved', 'closed') AND $__timeFilter(resolved_at) AND {REQUESTS}"
FALSE_ALARM = "found_cause IN ('self-cleared', 'no_fault_found')"
CALLS = f"NOT voided AND $__timeFilter(at) AND {OURS}"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    made = frame(
        "Service desk",
        "fleet-service-desk",
        "Requests, calls and visits of the chosen organisations: what waits, what is promised, what came of it.",
        tags=["desk"],
        refresh="30s",
        since="now-30d",
    )
    made.with_variable(
        organisation_choice("grafana_kits", "grafana_service_requests", "grafana_calls", "grafana_visits")
    )
    for row, panels in (
        ("Open now", _open()),
        ("Service levels", _levels()),
        ("Calls", _calls()),
        ("Visits", service_desk_field.visits(OURS)),
        ("Alerts, mass events and maintenance", service_desk_field.alerts(OURS)),
    ):
        made.with_row(dashboard.Row(row))
        for panel in panels:
            made.with_panel(panel)
    return made


def _count(title: str, description: str, condition: str, steps: Steps) -> AnyPanel:
    sql = f"SELECT count(*) FROM grafana_service_requests WHERE {condition} AND {REQUESTS}"
    return figure(title, description, Place([Sql(sql)], width=4, height=4), steps=steps)


BY_LINE = Listing(
    "Open requests by line and priority",
    "Work in hand. At risk or breached rising at one line: it needs people, or forwards too late.",
    f"""
        SELECT line, priority, count(*) AS open, count(*) FILTER (WHERE NOT assigned) AS unassigned,
               count(*) FILTER (WHERE {AT_RISK}) AS at_risk, count(*) FILTER (WHERE {BREACHED}) AS breached,
               count(*) FILTER (WHERE sla_state = 'paused') AS waiting,
               extract(epoch FROM max(now() - opened_at)) AS oldest_s
        FROM grafana_service_requests WHERE {OPEN} AND {REQUESTS} GROUP BY line, priority
        ORDER BY array_position(ARRAY['support', 'service', 'logistics', 'supplier'], line),
                 array_position(ARRAY['urgent', 'high', 'normal', 'low'], priority)""",
    {
        "line": {"displayName": "Line"},
        "priority": {"displayName": "Priority"},
        "open": {"displayName": "Open"},
        "unassigned": {"displayName": "Given to nobody"},
        "at_risk": {"displayName": "At risk", **over(1), **COLOURED},
        "breached": {"displayName": "Breached", **over(1), **COLOURED},
        "waiting": {"displayName": "Waiting"},
        "oldest_s": {"displayName": "Oldest", **LASTING},
    },
    10,
    9,
)

PRESSING = Listing(
    "At risk or breached, one by one",
    "The next target comes first; a negative time left is that of a target that is past.",
    f"""
        SELECT number, coalesce(kit, 'incident ' || incident, subject) AS about, cause, line, priority, state,
               sla_state, opened_at, extract(epoch FROM {NEXT_DUE} - now()) AS left_s, contract
        FROM grafana_service_requests WHERE {OPEN} AND ({BREACHED} OR {AT_RISK}) AND {REQUESTS}
        ORDER BY {NEXT_DUE} LIMIT 200""",
    {
        "number": {"displayName": "Request"},
        "about": {"displayName": "About"},
        "cause": {"displayName": "Cause"},
        "line": {"displayName": "Line"},
        "priority": {"displayName": "Priority"},
        "state": {"displayName": "State"},
        "sla_state": {"displayName": "Clocks", "mappings": value_colors(CLOCKS), **COLOURED},
        "opened_at": {"displayName": "Opened", **WHEN},
        "left_s": {"displayName": "Time left", "unit": "dtdurations", **under(0), **COLOURED},
        "contract": {"displayName": "Contract"},
    },
    14,
    9,
)


def _open() -> Sequence[AnyPanel]:
    return (
        _count("Open requests", "Service requests that are not ended, at every line.", OPEN, [(None, BLUE)]),
        _count(
            "At risk",
            "Open requests of which less than a quarter of the time to the next target is left. Take these first.",
            f"{OPEN} AND {AT_RISK}",
            [(None, GREEN), (1, YELLOW)],
        ),
        _count(
            "Breached",
            "Open requests that missed a target (response, update or solution). Why stands in the request's log.",
            f"{OPEN} AND {BREACHED}",
            [(None, GREEN), (1, RED)],
        ),
        _count(
            "Waiting for others",
            "Open requests whose clocks are paused: the citizen, a supplier or transport is waited for. Many that are"
            " old: remind whoever is waited for.",
            f"{OPEN} AND sla_state = 'paused'",
            [(None, GREY)],
        ),
        _count(
            "Given to nobody",
            "Open requests that are their line's and no one person's.",
            f"{OPEN} AND NOT assigned",
            [(None, GREEN), (20, YELLOW)],
        ),
        figure(
            "False alarms",
            "Share of the requests ended in this time that went away by themselves or where no fault was found. Above a"
            " tenth people stop trusting: see by rule below, and try another setting with the rule's dry run.",
            Place(
                [
                    Sql(
                        f"SELECT avg(CASE WHEN {FALSE_ALARM} THEN 1.0 ELSE 0.0 END)"
                        f" FROM grafana_service_requests WHERE {ENDED}"
                    )
                ],
                width=4,
                height=4,
            ),
            unit="percentunit",
            steps=[(None, GREEN), (0.05, YELLOW), (0.1, RED)],
        ),
        BY_LINE.panel(),
        PRESSING.panel(),
    )


def _levels() -> Sequence[AnyPanel]:
    month = "to_char(date_trunc('month', resolved_at, 'UTC') AT TIME ZONE 'UTC', 'YYYY-MM')"
    by_month = f"""
        SELECT {month} AS month, count(*) AS ended,
               extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY responded_at - opened_at)) AS response_s,
               extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY resolved_at - opened_at)) AS solution_s,
               avg(CASE WHEN response_missed THEN 0.0 ELSE 1.0 END) AS responded_in_time,
               avg(CASE WHEN solution_missed THEN 0.0 ELSE 1.0 END) AS solved_in_time,
               avg(CASE WHEN {FALSE_ALARM} THEN 1.0 ELSE 0.0 END) AS false_alarms, sum(reopened) AS reopened
        FROM grafana_service_requests
        WHERE state IN ('resolved', 'closed') AND {REQUESTS}
          AND resolved_at >= date_trunc('month', now(), 'UTC') - interval '12 months'
        GROUP BY 1 ORDER BY 1 DESC"""
    by_cause = f"""
        SELECT cause, count(*) AS ended, avg(CASE WHEN {FALSE_ALARM} THEN 1.0 ELSE 0.0 END) AS false_alarms,
               extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY resolved_at - opened_at)) AS solution_s,
               avg(CASE WHEN proven THEN 1.0 WHEN NOT proven THEN 0.0 END) AS proven
        FROM grafana_service_requests WHERE {ENDED} GROUP BY cause ORDER BY 2 DESC, 1 LIMIT 40"""
    found = f"""
        SELECT coalesce(found_cause, 'not said') AS found, count(*) AS requests
        FROM grafana_service_requests WHERE {ENDED} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"""
    return (
        listing(
            "Response and solution by month",
            "Requests by the month (UTC) in which they ended, twelve months back, whatever time is chosen above. Median"
            " times are by the wall clock; in time is by the contract's hours, with pauses left out.",
            Place([Sql(by_month)], width=12, height=9),
            {
                "month": {"displayName": "Month", "custom.width": 90},
                "ended": {"displayName": "Ended"},
                "response_s": {"displayName": "Median to response", **LASTING},
                "solution_s": {"displayName": "Median to solution", **LASTING},
                "responded_in_time": {"displayName": "Answered in time", **SHARE, **under(0.9), **COLOURED},
                "solved_in_time": {"displayName": "Solved in time", **SHARE, **under(0.9), **COLOURED},
                "false_alarms": {"displayName": "False alarms", **SHARE, **over(0.1), **COLOURED},
                "reopened": {"displayName": "Opened again"},
            },
        ),
        listing(
            "Ended requests by cause",
            "A cause with many false alarms: its rule asks for another setting, or its kits are off by habit.",
            Place([Sql(by_cause)], width=7, height=9),
            {
                "cause": {"displayName": "Cause"},
                "ended": {"displayName": "Ended"},
                "false_alarms": {"displayName": "False alarms", **SHARE, **over(0.1), **COLOURED},
                "solution_s": {"displayName": "Median to solution", **LASTING},
                "proven": {"displayName": "Proven", **SHARE},
            },
        ),
        bars(
            "What was found",
            "Causes of the requests that ended in this time; self-cleared: it went away by itself.",
            Place([Sql(found)], width=5, height=9),
            "found",
            lengths="requests",
        ),
    )


def _calls() -> Sequence[AnyPanel]:
    def per_day(column: str) -> Place:
        sql = f"""
            SELECT $__timeGroupAlias(at, 1440m), {column} AS metric, count(*) AS calls
            FROM grafana_calls WHERE {CALLS} GROUP BY 1, 2 ORDER BY 1"""
        return Place([Sql(sql, time_series=True)], width=8, height=8)

    reasons = f"""
        SELECT reason, count(*) AS calls, avg(minutes) * 60 AS mean_s, max(minutes) * 60 AS longest_s,
               avg(CASE WHEN outcome IN ('solved', 'advised', 'informed') THEN 1.0 ELSE 0.0 END) AS at_once
        FROM grafana_calls WHERE {CALLS} GROUP BY reason ORDER BY 2 DESC, 1"""
    return (
        lines(
            "Calls per day by reason",
            "Contacts at the first line by day (UTC). One reason that rises: look for a mass event or a bad update.",
            per_day("reason"),
            unit="short",
            stacked=True,
        ),
        lines(
            "Calls per day by outcome",
            "solved, advised and informed ended with the call; forwarded and visit_planned cost more. Forwarded"
            " rising: the problem trees lack an answer.",
            per_day("outcome"),
            unit="short",
            stacked=True,
        ),
        listing(
            "Calls by reason",
            "How long they take, and the share that ended with the call. The usual mean is three minutes.",
            Place([Sql(reasons)], width=8, height=8),
            {
                "reason": {"displayName": "Reason"},
                "calls": {"displayName": "Calls"},
                "mean_s": {"displayName": "Mean", **LASTING},
                "longest_s": {"displayName": "Longest", **LASTING},
                "at_once": {"displayName": "Ended at once", **SHARE},
            },
        ),
    )
