"""The books: registry, event log, placements, logistics, users, audit, and who may see what."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from alembic import op
from psycopg import Connection

from fleet.db import roles, storage

revision = "0002"
down_revision = "0001"

PARTS = (
    "access",
    "audit",
    "books",
    "spine",
    "users",
    "commands",
    "logistics",
    "findings",
    "billing",
    "retention",
    "search",
    "views",
)


def upgrade() -> None:
    """Make the roles, then everything else part by part."""
    connection = cast("Connection[Any]", op.get_bind().connection.dbapi_connection)
    roles.make(connection)
    for part in PARTS:
        text = (Path(__file__).parent / "0002" / f"{part}.sql").read_text(encoding="utf-8")
        connection.execute(text.encode())
    storage.give_history(connection, roles.WORKER)
