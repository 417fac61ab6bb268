"""Alerts that people trust: rules, mass events, requests and their targets, calls, visits, and telling others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from alembic import op
from psycopg import Connection

revision = "0003"
down_revision = "0002"

PARTS = (
    "marks",
    "credentials",
    "rules",
    "incidents",
    "requests",
    "sla",
    "quieting",
    "calls",
    "visits",
    "jobs",
    "outbound",
    "retention",
    "views",
)


def upgrade() -> None:
    """Everything, part by part."""
    connection = cast("Connection[Any]", op.get_bind().connection.dbapi_connection)
    for part in PARTS:
        text = (Path(__file__).parent / "0003" / f"{part}.sql").read_text(encoding="utf-8")
        connection.execute(text.encode())
