"""Times as options: a day, or a time of a day, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def utc(moment: datetime | None) -> datetime | None:
    """What was given, as UTC; None stays."""
    return None if moment is None else moment.replace(tzinfo=UTC)
