"""What the outbound part stands on: procrastinate's schema as the package wants it, and nobody's but the worker's."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from procrastinate.schema import SchemaManager

from fleet.db.migrate import MIGRATIONS
from tests.support import rows

JOBS = Path(MIGRATIONS) / "versions/0003/jobs.sql"


def test_the_schema_of_jobs_is_that_of_the_package() -> None:
    assert SchemaManager.get_schema().strip() in JOBS.read_text(encoding="utf-8")


@pytest.mark.storage
@pytest.mark.parametrize("role", ["fleet_api", "fleet_ingest", "fleet_grafana"])
def test_only_the_worker_reaches_jobs(database: str, role: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(b"SET ROLE " + role.encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM jobs.procrastinate_jobs")


def test_secrets_are_written_and_never_read_by_the_api(database: str) -> None:
    readable = rows(
        database,
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'outlets'::regclass AND attnum > 0"
        " AND NOT has_column_privilege('fleet_api', attrelid, attnum, 'SELECT')",
    )
    assert {name for (name,) in readable} == {"secret", "previous_secret", "inbound_secret"}
