"""*Fleet now*: is the fleet healthy, what broke, since when, is it us or them."""

from __future__ import annotations

from collections.abc import Sequence

import fleet_now_cases
import fleet_now_changes
from columns import OPEN, OVERDUE, organisation_choice
from grafana_foundation_sdk.builders import dashboard
from parts import (
    CHOSEN,
    CHOSEN_KIT,
    GREEN,
    HEALTH_COLORS,
    ORANGE,
    RED,
    YELLOW,
    AnyPanel,
    Place,
    Sql,
    bars,
    figure,
    frame,
    lines,
    value_colors,
)


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
    made.with_variable(organisation_choice("grafana_kits")).with_variable(_kit())
    for row, panels in _rows():
        made.with_row(dashboard.Row(row))
        for panel in panels:
            made.with_panel(panel)
    return made


def _kit() -> dashboard.TextBoxVariable:
    return dashboard.TextBoxVariable("kit").label("Kit begins with").default_value("")


def _rows() -> Sequence[tuple[str, Sequence[AnyPanel]]]:
    return (
        ("At a glance", _glance()),
        ("Kits", _kits()),
        ("What needs help", fleet_now_cases.help_needed()),
        ("Alerts and service requests", fleet_now_cases.cases()),
        ("Versions, pairings and what changed", fleet_now_changes.changes()),
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
            "Service requests past the time by which they should be solved; those that wait for others are not.",
            f"SELECT count(*) FROM grafana_service_requests WHERE {OPEN} AND {OVERDUE}"
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
