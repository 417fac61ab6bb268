"""Service levels: business calendars, contracts, clocks measured from requests' logs, escalation before a breach."""

from __future__ import annotations

from fleet.alerts.sla.recomputing import recompute

__all__ = ["recompute"]
