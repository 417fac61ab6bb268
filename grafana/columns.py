"""How columns of tables are dressed, and which kits and organisations a dashboard is about: the same everywhere."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models
from parts import BLUE, GREEN, GREY, ORANGE, POSTGRES, RED, YELLOW, Properties

KIT: Properties = {
    "displayName": "Kit",
    "custom.width": 130,
    "links": [{"title": "Open in the console", "url": "${console}/kits/${__value.raw}", "targetBlank": True}],
}
WHEN: Properties = {"unit": "dateTimeFromNow", "custom.width": 140}
LASTING: Properties = {"unit": "dtdurations", "custom.width": 150}
SHARE: Properties = {"unit": "percentunit", "decimals": 1}
COLOURED: Properties = {"custom.cellOptions": {"type": "color-text"}}
SEVERITIES = {"critical": RED, "major": ORANGE, "minor": YELLOW, "warning": BLUE}
CLOCKS = {"running": GREEN, "paused": GREY, "met": GREEN, "breached": RED}

OPEN = "state IN ('open', 'in_progress', 'waiting')"
OVERDUE = "due_at < now() AND sla_state <> 'paused'"
"""Past its time: while others are waited for, a request's clocks stand."""


def over(limit: float) -> Properties:
    """Red from this value on."""
    return {
        "thresholds": {"mode": "absolute", "steps": [{"value": None, "color": GREY}, {"value": limit, "color": RED}]}
    }


def under(limit: float) -> Properties:
    """Red below this value."""
    return {
        "thresholds": {"mode": "absolute", "steps": [{"value": None, "color": RED}, {"value": limit, "color": GREEN}]}
    }


def organisation_choice(*views: str) -> dashboard.QueryVariable:
    """The organisations that stand in these views; `(none)` always, so that "All" never becomes an empty list."""
    found = " UNION ".join(f"SELECT organisation FROM {view} WHERE organisation IS NOT NULL" for view in views)
    return (
        dashboard.QueryVariable("organisation")
        .label("Organisation")
        .datasource(POSTGRES)
        .query(f"SELECT '(none)' AS organisation UNION {found} ORDER BY 1")
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
