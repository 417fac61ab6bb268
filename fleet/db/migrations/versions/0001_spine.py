"""The spine: books, latest state, history, alerts, requests, access and the views for Grafana."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from alembic import op
from psycopg import Connection

from fleet.db import storage

revision = "0001"
down_revision = None

PARTS = ("books", "history", "alerts", "access", "views")


def upgrade() -> None:
    """Make everything, in the storage that this server offers."""
    connection = cast("Connection[Any]", op.get_bind().connection.dbapi_connection)
    chosen = storage.choose(connection)
    for part in PARTS:
        text = (Path(__file__).parent / "0001" / f"{part}.sql").read_text(encoding="utf-8")
        connection.execute(text.replace("/*partitioned*/", storage.partition_clause(chosen)).encode())
        if part == "history":
            storage.make_history(connection, chosen)
