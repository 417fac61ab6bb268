"""*Service desk*, what happens out there: visits, alerts by rule, mass events, maintenance windows."""

from __future__ import annotations

from collections.abc import Sequence

from columns import COLOURED, KIT, SEVERITIES, SHARE, WHEN, over, under
from parts import BLUE, GREEN, RED, YELLOW, AnyPanel, Listing, Place, Sql, figure, listing, value_colors


def visits(ours: str) -> Sequence[AnyPanel]:
    """Visits done, failed and late; `ours` chooses the organisations."""
    waiting = f"state IN ('planned', 'under_way', 'failed') AND {ours}"
    since = "date_trunc('month', now()) - interval '12 months'"
    by_month = f"""
        WITH done AS (
            SELECT to_char(done_on, 'YYYY-MM') AS month, count(*) AS done, avg(took_days) AS mean_days,
                   avg(CASE WHEN within_target THEN 1.0 WHEN NOT within_target THEN 0.0 END) AS within_target,
                   avg(CASE WHEN within_target THEN 1.0 WHEN NOT within_target THEN 0.0 END)
                       FILTER (WHERE urgent) AS urgent_within
            FROM grafana_visits WHERE done_on >= {since} AND {ours} GROUP BY 1
        ), failed AS (
            SELECT to_char(at AT TIME ZONE 'Europe/Copenhagen', 'YYYY-MM') AS month, count(*) AS failed
            FROM grafana_visit_attempts WHERE at >= {since} AND {ours} GROUP BY 1
        )
        SELECT month, coalesce(done, 0) AS done, coalesce(failed, 0) AS failed, mean_days, within_target, urgent_within
        FROM done FULL JOIN failed USING (month) ORDER BY month DESC"""
    late = f"""
        SELECT number, kit, kind, state, urgent, to_char(planned_on, 'YYYY-MM-DD') AS planned,
               to_char(due_on, 'YYYY-MM-DD') AS due, attempts, failure
        FROM grafana_visits WHERE overdue AND {ours} ORDER BY due_on, number LIMIT 200"""
    return (
        figure(
            "Visits to do",
            "Visits that are planned, under way, or failed and not planned anew.",
            Place([Sql(f"SELECT count(*) FROM grafana_visits WHERE {waiting}")], width=4, height=4),
            steps=[(None, BLUE)],
        ),
        figure(
            "Visits past their target",
            "Visits that are not done and whose last day within the target is over. They stand in the list beside.",
            Place([Sql(f"SELECT count(*) FROM grafana_visits WHERE overdue AND {ours}")], width=4, height=4),
            steps=[(None, GREEN), (1, RED)],
        ),
        listing(
            "Visits past their target, one by one",
            "Longest first. A failed visit must be planned anew: its row says why it failed the last time.",
            Place([Sql(late)], width=16, height=8),
            {
                "number": {"displayName": "Visit"},
                "kit": KIT,
                "kind": {"displayName": "What for"},
                "state": {"displayName": "State"},
                "urgent": {"displayName": "Urgent"},
                "planned": {"displayName": "Planned"},
                "due": {"displayName": "Due"},
                "attempts": {"displayName": "Failed"},
                "failure": {"displayName": "Why"},
            },
        ),
        listing(
            "Visits by month",
            "By the day on which they were done or failed, twelve months back. Within target counts working days from"
            " the order: twelve, or two when urgent, unless a contract says otherwise.",
            Place([Sql(by_month)], width=24, height=7),
            {
                "month": {"displayName": "Month", "custom.width": 90},
                "done": {"displayName": "Done"},
                "failed": {"displayName": "Failed"},
                "mean_days": {"displayName": "Mean working days", "unit": "none", "decimals": 1},
                "within_target": {"displayName": "Within target", **SHARE, **under(0.9), **COLOURED},
                "urgent_within": {"displayName": "Urgent within target", **SHARE, **under(0.9), **COLOURED},
            },
        ),
    )


OF_INCIDENT = {"mappings": value_colors({"open": RED, "cleared": GREEN})}
OF_WINDOW = {"mappings": value_colors({"on": YELLOW, "planned": BLUE})}
BY_RULE = Listing(
    "Alerts by rule",
    "Told: somebody is asked to do something. The others hold and are kept quiet by a mass event, by"
    " maintenance, or because somebody shelved them. Flapping ones came and went too often; many of those ask"
    " for another setting of the rule.",
    """
        SELECT r.rule, r.severity, r.enabled, count(a.id) FILTER (WHERE a.suppressed_by IS NULL) AS told,
               count(a.id) FILTER (WHERE a.suppressed_by LIKE 'incident:%') AS by_incident,
               count(a.id) FILTER (WHERE a.suppressed_by LIKE 'maintenance:%') AS by_maintenance,
               count(a.id) FILTER (WHERE a.suppressed_by LIKE 'shelved:%') AS shelved,
               count(a.id) FILTER (WHERE a.flapping) AS flapping, count(a.id) FILTER (WHERE a.acknowledged) AS seen
        FROM grafana_rules r
        LEFT JOIN (SELECT * FROM grafana_alerts WHERE state = 'active' AND {ours}) a USING (rule)
        GROUP BY r.rule, r.severity, r.enabled ORDER BY 4 DESC, 1""",
    {
        "rule": {"displayName": "Rule"},
        "severity": {"displayName": "Severity", "mappings": value_colors(SEVERITIES), **COLOURED},
        "enabled": {"displayName": "On"},
        "told": {"displayName": "Told"},
        "by_incident": {"displayName": "In incident"},
        "by_maintenance": {"displayName": "Maintenance"},
        "shelved": {"displayName": "Shelved"},
        "flapping": {"displayName": "Flapping", **over(1), **COLOURED},
        "seen": {"displayName": "Seen"},
    },
    12,
    10,
)

MASS_EVENTS = Listing(
    "Mass events and what they have in common",
    "The cohort that explains each best: network operator, model, version, region. Share of the whole fleet"
    " only where nothing narrower does.",
    """
        SELECT i.*, r.number AS request
        FROM (SELECT id, rule, cohort_kind, cohort_value, state, opened_at, cleared_at, members, still_silent,
                     installed_kits, members::numeric / nullif(installed_kits, 0) AS share
              FROM grafana_incidents WHERE state = 'open' OR $__timeFilter(opened_at)) i
        LEFT JOIN grafana_service_requests r ON r.incident = i.id
        ORDER BY i.opened_at DESC LIMIT 100""",
    {
        "id": {"displayName": "No.", "custom.width": 60},
        "rule": {"displayName": "Rule"},
        "cohort_kind": {"displayName": "In common"},
        "cohort_value": {"displayName": "Which"},
        "state": {"displayName": "State", **OF_INCIDENT, **COLOURED},
        "opened_at": {"displayName": "Opened", **WHEN},
        "cleared_at": {"displayName": "Cleared", **WHEN},
        "members": {"displayName": "Kits"},
        "still_silent": {"displayName": "Still out"},
        "installed_kits": {"displayName": "Of"},
        "share": {"displayName": "Share", **SHARE},
        "request": {"displayName": "Request"},
    },
    12,
    10,
)

WINDOWS = Listing(
    "Maintenance windows",
    "On or to come: for these kits and rules nothing is told meanwhile. Without collection nothing is judged"
    " either, and silence does not count.",
    """
        SELECT id, organisation, concat_ws(', ', kit_type, model, programme, named_kits || ' kits') AS kits,
               coalesce(array_to_string(rules, ', '), 'all') AS rules, collect, state, current_from, current_to,
               recurrence IS NOT NULL AS again
        FROM grafana_maintenance_windows WHERE state <> 'ended' AND {ours} ORDER BY current_from LIMIT 100""",
    {
        "id": {"displayName": "No.", "custom.width": 60},
        "organisation": {"displayName": "Organisation"},
        "kits": {"displayName": "Only"},
        "rules": {"displayName": "Rules"},
        "collect": {"displayName": "Collects"},
        "state": {"displayName": "State", **OF_WINDOW, **COLOURED},
        "current_from": {"displayName": "From", **WHEN},
        "current_to": {"displayName": "To", **WHEN},
        "again": {"displayName": "Again"},
    },
    24,
    7,
)


def alerts(ours: str) -> Sequence[AnyPanel]:
    """What the rules say, what is kept quiet and by what; `ours` chooses the organisations."""
    return tuple(each.panel(ours) for each in (BY_RULE, MASS_EVENTS, WINDOWS))
