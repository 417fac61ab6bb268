"""What desks missed: reading by organisation as fast as by time, requests of many kits, what rules see."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from alembic import op
from psycopg import Connection

revision = "0004"
down_revision = "0003"

PARTS: tuple[str, ...] = ("audit", "desks", "rules", "care")


def upgrade() -> None:
    """Everything, part by part."""
    connection = cast("Connection[Any]", op.get_bind().connection.dbapi_connection)
    for part in PARTS:
        text = (Path(__file__).parent / "0004" / f"{part}.sql").read_text(encoding="utf-8")
        connection.execute(text.encode())
    connection.execute("CALL close_trigger_functions()")
