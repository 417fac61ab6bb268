"""*Fleet now*, what needs help and who is on it: silent and drifted kits, alerts, requests, incidents."""

from __future__ import annotations

from collections.abc import Sequence

from columns import CLOCKS, COLOURED, KIT, LASTING, OPEN, OVERDUE, SEVERITIES, WHEN, over, under
from parts import CHOSEN, CHOSEN_KIT, AnyPanel, Listing, Place, Sql, listing, value_colors


def help_needed() -> Sequence[AnyPanel]:
    """Kits that are silent or run other versions than wanted."""
    silent = f"""
        SELECT k.kit, k.label, k.organisation, k.last_heard_at,
               extract(epoch FROM now() - k.last_heard_at) AS quiet_s, a.opened_at AS alert_since, r.number AS request
        FROM grafana_kits k
        LEFT JOIN grafana_alerts a ON a.kit = k.kit AND a.rule = 'silent' AND a.state = 'active'
        LEFT JOIN grafana_service_requests r ON r.kit = k.kit AND r.cause = 'silent' AND r.{OPEN}
        WHERE k.state = 'installed' AND k.silent AND k.kit IN (SELECT kit FROM grafana_kits WHERE {CHOSEN})
        ORDER BY k.last_heard_at LIMIT 500"""
    drifted = f"""
        SELECT s.kit, s.component, s.version, s.wanted, a.opened_at AS alert_since, r.number AS request
        FROM grafana_software s JOIN grafana_kits k ON k.kit = s.kit AND k.state = 'installed' AND k.drifted
        LEFT JOIN grafana_alerts a ON a.kit = s.kit AND a.rule = 'version_drift' AND a.state = 'active'
        LEFT JOIN grafana_service_requests r ON r.kit = s.kit AND r.cause = 'version_drift' AND r.{OPEN}
        WHERE s.wanted IS NOT NULL AND s.version <> s.wanted
          AND s.kit IN (SELECT kit FROM grafana_kits WHERE {CHOSEN})
        ORDER BY a.opened_at, s.kit, s.component LIMIT 500"""
    return (
        listing(
            "Silent kits",
            "Longest first. Call the citizen with the guided questions: is it switched on, charged, in reach of a"
            " network? A request number says that somebody is on it.",
            Place([Sql(silent)], width=12, height=9),
            {
                "kit": KIT,
                "label": {"displayName": "Label"},
                "organisation": {"displayName": "Organisation"},
                "last_heard_at": {"displayName": "Last heard", **WHEN},
                "quiet_s": {"displayName": "Quiet for", **LASTING},
                "alert_since": {"displayName": "Alert since", **WHEN},
                "request": {"displayName": "Request"},
            },
        ),
        listing(
            "Kits with version drift",
            "What runs, and what is wanted. Many kits with the same component: correct what is wanted or roll out;"
            " one kit: look at its update.",
            Place([Sql(drifted)], width=12, height=9),
            {
                "kit": KIT,
                "component": {"displayName": "Component"},
                "version": {"displayName": "Runs"},
                "wanted": {"displayName": "Wanted"},
                "alert_since": {"displayName": "Alert since", **WHEN},
                "request": {"displayName": "Request"},
            },
        ),
    )


ALERTS = Listing(
    "Open alerts",
    "Each condition that holds now, oldest first; one per kit or place and rule. What is kept quiet (by an"
    " incident, a maintenance window, or because somebody shelved it) opens no request.",
    f"""
        SELECT id, kit, subject, rule, severity, opened_at, extract(epoch FROM now() - opened_at) AS age_s,
               acknowledged, flapping, suppressed_by
        FROM grafana_alerts WHERE state = 'active' AND (kit IS NULL OR {CHOSEN_KIT}) ORDER BY opened_at LIMIT 500""",
    {
        "id": {"custom.hidden": True},
        "kit": KIT,
        "subject": {"displayName": "Place"},
        "rule": {"displayName": "Rule"},
        "severity": {"displayName": "Severity", "mappings": value_colors(SEVERITIES), **COLOURED},
        "opened_at": {"displayName": "Since", **WHEN},
        "age_s": {"displayName": "Age", **LASTING},
        "acknowledged": {"displayName": "Seen"},
        "flapping": {"displayName": "Flapping"},
        "suppressed_by": {"displayName": "Kept quiet by"},
    },
    12,
    9,
)

BY_LINE = Listing(
    "Service requests by line",
    "Work in hand per line. Overdue rising: the line needs people, or forwards too late.",
    f"""
        SELECT line, count(*) AS open, count(*) FILTER (WHERE {OVERDUE}) AS overdue,
               extract(epoch FROM max(now() - opened_at)) AS oldest_s,
               extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY now() - opened_at)) AS median_s
        FROM grafana_service_requests WHERE {OPEN} AND (kit IS NULL OR {CHOSEN_KIT}) GROUP BY line ORDER BY line""",
    {
        "line": {"displayName": "Line"},
        "open": {"displayName": "Open"},
        "overdue": {"displayName": "Overdue", **over(1), **COLOURED},
        "oldest_s": {"displayName": "Oldest", **LASTING},
        "median_s": {"displayName": "Median age", **LASTING},
    },
    12,
    9,
)

REQUESTS = Listing(
    "Open service requests",
    "What is due first comes first; a negative time left is overdue. While clocks are paused (the citizen, a"
    " supplier or transport is waited for) the time left stands still.",
    f"""
        SELECT number, coalesce(kit, 'incident ' || incident, subject) AS about, cause, line, priority, state,
               sla_state, opened_at, extract(epoch FROM now() - opened_at) AS age_s,
               extract(epoch FROM due_at - now()) AS left_s
        FROM grafana_service_requests WHERE {OPEN} AND (kit IS NULL OR {CHOSEN_KIT}) ORDER BY due_at LIMIT 500""",
    {
        "number": {"displayName": "Request"},
        "about": {"displayName": "About"},
        "cause": {"displayName": "Cause"},
        "line": {"displayName": "Line"},
        "priority": {"displayName": "Priority"},
        "state": {"displayName": "State"},
        "sla_state": {"displayName": "Clocks", "mappings": value_colors(CLOCKS), **COLOURED},
        "opened_at": {"displayName": "Opened", **WHEN},
        "age_s": {"displayName": "Age", **LASTING},
        "left_s": {"displayName": "Time left", "unit": "dtdurations", **under(0), **COLOURED},
    },
    16,
    9,
)

INCIDENTS = Listing(
    "Incidents",
    "Mass events: many kits of a cohort fell out together. One request stands for all; what they have in common"
    " (network operator, model, version, region) is where to look first.",
    """
        SELECT id, rule, concat_ws(' ', cohort_kind, nullif(cohort_value, '')) AS cohort, state, opened_at,
               cleared_at, members, still_silent, installed_kits
        FROM grafana_incidents WHERE state = 'open' OR $__timeFilter(opened_at) ORDER BY opened_at DESC LIMIT 100""",
    {
        "id": {"displayName": "No.", "custom.width": 60},
        "rule": {"displayName": "Rule"},
        "cohort": {"displayName": "In common"},
        "state": {"displayName": "State"},
        "opened_at": {"displayName": "Opened", **WHEN},
        "cleared_at": {"displayName": "Cleared", **WHEN},
        "members": {"displayName": "Kits"},
        "still_silent": {"displayName": "Still out"},
        "installed_kits": {"displayName": "Of"},
    },
    8,
    9,
)


def cases() -> Sequence[AnyPanel]:
    """What is open, and who is on it."""
    return tuple(each.panel() for each in (ALERTS, BY_LINE, REQUESTS, INCIDENTS))
