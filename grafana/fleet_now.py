"""*Fleet now*: is the fleet healthy, what broke, since when, is it us or them."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models
from parts import (
    BLUE,
    CHOSEN,
    CHOSEN_KIT,
    GREEN,
    GREY,
    HEALTH_COLORS,
    ORANGE,
    POSTGRES,
    RED,
    YELLOW,
    AnyPanel,
    Place,
    Properties,
    Sql,
    bars,
    figure,
    frame,
    lines,
    listing,
    value_colors,
)

KIT: Properties = {
    "displayName": "Kit",
    "custom.width": 130,
    "links": [{"title": "Open in the console", "url": "${console}/kits/${__value.raw}", "targetBlank": True}],
}
WHEN: Properties = {"unit": "dateTimeFromNow", "custom.width": 140}
LASTING: Properties = {"unit": "dtdurations", "custom.width": 150}
OPEN = "state IN ('open', 'in_progress', 'waiting')"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    made = frame(
        "Fleet now",
        "fleet-now",
        "The kits of the chosen organisations: how they are, which need help, and who is on it.",
        tags=["kits"],
        refresh="30s",
        since="now-24h",
    )
    made.with_variable(_organisation()).with_variable(_kit())
    for row, panels in _rows():
        made.with_row(dashboard.Row(row))
        for panel in panels:
            made.with_panel(panel)
    return made


def _organisation() -> dashboard.QueryVariable:
    # `(none)` is always an option, so that "All" never becomes an empty list.
    query = (
        "SELECT '(none)' AS organisation"
        " UNION SELECT organisation FROM grafana_kits WHERE organisation IS NOT NULL ORDER BY 1"
    )
    return (
        dashboard.QueryVariable("organisation")
        .label("Organisation")
        .datasource(POSTGRES)
        .query(query)
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _kit() -> dashboard.TextBoxVariable:
    return dashboard.TextBoxVariable("kit").label("Kit begins with").default_value("")


def _rows() -> Sequence[tuple[str, Sequence[AnyPanel]]]:
    return (
        ("At a glance", _glance()),
        ("Kits", _kits()),
        ("What needs help", _help()),
        ("Alerts and service requests", _cases()),
        ("Versions, pairings and what changed", _changes()),
    )


def _number(title: str, description: str, sql: str, *, bad_from: float = 1, color: str = RED) -> AnyPanel:
    place = Place([Sql(sql)], width=3, height=4)
    return figure(title, description, place, steps=[(None, GREEN), (bad_from, color)])


def _glance() -> Sequence[AnyPanel]:
    listening = figure(
        "We are listening",
        "Whether ingest is connected, past its backlog and storing. While it is not, no kit can turn silent: look at"
        " Ingest and platform first, because the fault is ours.",
        Place(
            [Sql("SELECT CASE WHEN age_s > 60 THEN 'down' ELSE state END AS state FROM grafana_listening")],
            width=3,
            height=4,
        ),
        mappings=value_colors({"listening": GREEN, "catching_up": YELLOW, "down": RED}),
        text=True,
    )
    return (
        listening,
        _number(
            "Installed kits",
            "Kits at citizens' homes, expected to report.",
            f"SELECT count(*) FROM grafana_kits WHERE state = 'installed' AND {CHOSEN}",
            bad_from=1e9,
        ),
        figure(
            "Reporting",
            "Share of the installed kits that were heard and are not silent. A sudden fall over all kits is a mass"
            " event: look at Incidents before calling citizens.",
            Place(
                [
                    Sql(
                        "SELECT avg(CASE WHEN last_heard_at IS NOT NULL AND NOT silent THEN 1.0 ELSE 0.0 END)"
                        f" FROM grafana_kits WHERE state = 'installed' AND {CHOSEN}"
                    )
                ],
                width=3,
                height=4,
            ),
            unit="percentunit",
            steps=[(None, RED), (0.9, YELLOW), (0.98, GREEN)],
        ),
        _number(
            "Silent",
            "Installed kits not heard for longer than allowed, counted in time in which we were listening.",
            f"SELECT count(*) FROM grafana_kits WHERE state = 'installed' AND silent AND {CHOSEN}",
        ),
        _number(
            "Version drift",
            "Installed kits that run another version than wanted. Plan an update, or correct what is wanted.",
            f"SELECT count(*) FROM grafana_kits WHERE state = 'installed' AND drifted AND {CHOSEN}",
            color=YELLOW,
        ),
        _number(
            "Pairing lost",
            "Installed kits with a peripheral that is no longer paired: measurements do not arrive.",
            f"SELECT count(*) FROM grafana_kits WHERE state = 'installed' AND pairing_lost AND {CHOSEN}",
            color=ORANGE,
        ),
        _number(
            "Open incidents",
            "Mass events that are on. Their kits open no requests of their own.",
            "SELECT count(*) FROM grafana_incidents WHERE state = 'open'",
        ),
        _number(
            "Overdue requests",
            "Service requests past the time by which they should be solved.",
            f"SELECT count(*) FROM grafana_service_requests WHERE {OPEN} AND due_at < now()"
            f" AND (kit IS NULL OR {CHOSEN_KIT})",
        ),
    )


def _kits() -> Sequence[AnyPanel]:
    heartbeats = f"""
        SELECT $__timeGroupAlias(ts, $__interval), count(*) * 60.0 / ($__interval_ms / 1000.0) AS "heartbeats"
        FROM grafana_heartbeats WHERE $__timeFilter(ts) AND {CHOSEN_KIT} GROUP BY 1 ORDER BY 1"""
    return (
        bars(
            "Installed kits by verdict",
            "ok: all is well. attention: drift, low battery or storage, wrong clock. fault: a pairing is lost."
            " silent: not heard. unknown: never heard since it is in the books.",
            Place(
                [
                    Sql(
                        f"SELECT health, count(*) AS kits FROM grafana_kits WHERE state = 'installed' AND {CHOSEN}"
                        " GROUP BY health ORDER BY 2 DESC"
                    )
                ],
                width=6,
                height=8,
            ),
            "health",
            colors=HEALTH_COLORS,
        ),
        bars(
            "Kits by lifecycle state",
            "Where every kit in the books stands. Only installed kits are expected to report.",
            Place(
                [
                    Sql(
                        f"SELECT state, count(*) AS kits FROM grafana_kits WHERE {CHOSEN}"
                        " GROUP BY state ORDER BY 2 DESC"
                    )
                ],
                width=6,
                height=8,
            ),
            "state",
        ),
        lines(
            "Heartbeats per minute",
            "By the tablets' own time, so what was buffered fills its gap afterwards. A dip that fills again was the"
            " network or us; one that stays is kits that were off.",
            Place([Sql(heartbeats, time_series=True)], width=12, height=8),
            unit="short",
        ),
    )


def _help() -> Sequence[AnyPanel]:
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


def _cases() -> Sequence[AnyPanel]:
    alerts = f"""
        SELECT id, kit, rule, severity, opened_at, extract(epoch FROM now() - opened_at) AS age_s, acknowledged
        FROM grafana_alerts WHERE state = 'active' AND {CHOSEN_KIT} ORDER BY opened_at LIMIT 500"""
    lines_sql = f"""
        SELECT line, count(*) AS open, count(*) FILTER (WHERE due_at < now()) AS overdue,
               extract(epoch FROM max(now() - opened_at)) AS oldest_s,
               extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY now() - opened_at)) AS median_s
        FROM grafana_service_requests WHERE {OPEN} AND (kit IS NULL OR {CHOSEN_KIT}) GROUP BY line ORDER BY line"""
    requests = f"""
        SELECT number, coalesce(kit, 'incident ' || incident) AS about, cause, line, priority, state, opened_at,
               extract(epoch FROM now() - opened_at) AS age_s, extract(epoch FROM due_at - now()) AS left_s
        FROM grafana_service_requests WHERE {OPEN} AND (kit IS NULL OR {CHOSEN_KIT}) ORDER BY due_at LIMIT 500"""
    incidents = """
        SELECT id, rule, state, opened_at, cleared_at, members, still_silent, installed_kits
        FROM grafana_incidents WHERE state = 'open' OR $__timeFilter(opened_at) ORDER BY opened_at DESC LIMIT 100"""
    severities = {"critical": RED, "major": ORANGE, "minor": YELLOW, "warning": BLUE}
    coloured = {"custom.cellOptions": {"type": "color-text"}}
    return (
        listing(
            "Open alerts",
            "Each condition that holds now, oldest first; one per kit and rule.",
            Place([Sql(alerts)], width=12, height=9),
            {
                "id": {"custom.hidden": True},
                "kit": KIT,
                "rule": {"displayName": "Rule"},
                "severity": {"displayName": "Severity", "mappings": value_colors(severities), **coloured},
                "opened_at": {"displayName": "Since", **WHEN},
                "age_s": {"displayName": "Age", **LASTING},
                "acknowledged": {"displayName": "Seen"},
            },
        ),
        listing(
            "Service requests by line",
            "Work in hand per line. Overdue rising: the line needs people, or forwards too late.",
            Place([Sql(lines_sql)], width=12, height=9),
            {
                "line": {"displayName": "Line"},
                "open": {"displayName": "Open"},
                "overdue": {"displayName": "Overdue", **_over(1), **coloured},
                "oldest_s": {"displayName": "Oldest", **LASTING},
                "median_s": {"displayName": "Median age", **LASTING},
            },
        ),
        listing(
            "Open service requests",
            "What is due first comes first; a negative time left is overdue.",
            Place([Sql(requests)], width=16, height=9),
            {
                "number": {"displayName": "Request"},
                "about": {"displayName": "Kit or incident"},
                "cause": {"displayName": "Cause"},
                "line": {"displayName": "Line"},
                "priority": {"displayName": "Priority"},
                "state": {"displayName": "State"},
                "opened_at": {"displayName": "Opened", **WHEN},
                "age_s": {"displayName": "Age", **LASTING},
                "left_s": {"displayName": "Time left", "unit": "dtdurations", **_under(0), **coloured},
            },
        ),
        listing(
            "Incidents",
            "Mass events: many kits turned silent together. One request stands for all; find the common cause"
            " (network operator, region, broker) before single kits.",
            Place([Sql(incidents)], width=8, height=9),
            {
                "id": {"displayName": "No.", "custom.width": 60},
                "rule": {"displayName": "Rule"},
                "state": {"displayName": "State"},
                "opened_at": {"displayName": "Opened", **WHEN},
                "cleared_at": {"displayName": "Cleared", **WHEN},
                "members": {"displayName": "Kits"},
                "still_silent": {"displayName": "Still silent"},
                "installed_kits": {"displayName": "Of installed"},
            },
        ),
    )


def _changes() -> Sequence[AnyPanel]:
    versions = f"""
        SELECT component || ' ' || version AS version, count(*) AS kits
        FROM grafana_software s JOIN grafana_kits k USING (kit)
        WHERE k.state = 'installed' AND kit IN (SELECT kit FROM grafana_kits WHERE {CHOSEN})
        GROUP BY component, version ORDER BY component, 2 DESC LIMIT 40"""
    pairings = f"""
        SELECT p.kit, p.kind, p.model, p.serial, p.last_contact, p.time AS reported_at
        FROM grafana_peripherals p JOIN grafana_kits k ON k.kit = p.kit AND k.state = 'installed'
        WHERE NOT p.paired AND p.kit IN (SELECT kit FROM grafana_kits WHERE {CHOSEN})
        ORDER BY p.last_contact NULLS FIRST LIMIT 500"""
    changes = f"""
        SELECT time, kit, what, subject, before, after FROM grafana_changes
        WHERE $__timeFilter(received_at) AND {CHOSEN_KIT} ORDER BY id DESC LIMIT 200"""
    quarantine = """
        SELECT $__timeGroupAlias(received_at, $__interval), reason AS metric, count(*) AS messages
        FROM grafana_quarantine WHERE $__timeFilter(received_at) GROUP BY 1, 2 ORDER BY 1"""
    return (
        bars(
            "Versions on installed kits",
            "How far each version of each component has spread. More than two of one component: finish the roll-out.",
            Place([Sql(versions)], width=8, height=10),
            "version",
        ),
        listing(
            "Lost pairings",
            "Peripherals that the tablet no longer reaches. Ask for a measurement; else repair the pairing.",
            Place([Sql(pairings)], width=16, height=10),
            {
                "kit": KIT,
                "kind": {"displayName": "Peripheral"},
                "model": {"displayName": "Model"},
                "serial": {"displayName": "Serial number"},
                "last_contact": {"displayName": "Last contact", **WHEN},
                "reported_at": {"displayName": "Reported", **WHEN},
            },
        ),
        listing(
            "Recent changes",
            "Versions and pairings that changed. Many of one kind at once: an update reached the fleet.",
            Place([Sql(changes)], width=12, height=10),
            {
                "time": {"displayName": "When", **WHEN},
                "kit": KIT,
                "what": {"displayName": "What"},
                "subject": {"displayName": "Of"},
                "before": {"displayName": "Before"},
                "after": {"displayName": "After"},
            },
        ),
        lines(
            "Quarantined messages by reason",
            "Messages that could not be taken; they are kept for a look. unknown_kit: a kit is missing from the books."
            " invalid_field or invalid_json: an app version sends what it should not.",
            Place([Sql(quarantine, time_series=True)], width=12, height=10),
            unit="short",
            stacked=True,
        ),
    )


def _over(limit: float) -> Properties:
    return {
        "thresholds": {"mode": "absolute", "steps": [{"value": None, "color": GREY}, {"value": limit, "color": RED}]}
    }


def _under(limit: float) -> Properties:
    return {
        "thresholds": {"mode": "absolute", "steps": [{"value": None, "color": RED}, {"value": limit, "color": GREEN}]}
    }
