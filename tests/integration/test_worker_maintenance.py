"""Housekeeping: partitions ahead, old things away, new things kept."""

from __future__ import annotations

import psycopg
import pytest

from fleet.alerts import apply, gauges, read, retention
from fleet.alerts.maintenance import maintain
from fleet.db.queries import Queries
from tests.support import execute, value

pytestmark = pytest.mark.storage


async def test_old_things_go_and_new_ones_stay(database: str) -> None:
    execute(
        database,
        "INSERT INTO events (at, type, body) SELECT now() - make_interval(days => d), 'x', '{}'"
        " FROM generate_series(0, 9) d ORDER BY d DESC",
    )
    execute(
        database,
        "INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload)"
        " SELECT now() - make_interval(days => d), 't', 'r', 'd', 0, '' FROM generate_series(80, 99) d",
    )
    execute(
        database,
        "INSERT INTO heartbeats (time, received_at, seq, kit_id, boot) VALUES (now(), now(), 1, 1, 'b')",
    )
    done = await maintain(database)
    assert done["events"] == value(database, "SELECT 10 - count(*) FROM events") == 3
    assert done["quarantine"] == 10
    assert value(database, "SELECT count(*) FROM heartbeats") == 1
    assert not any((await maintain(database)).values()), "a second run finds nothing to do"


@pytest.mark.parametrize("queries", [read.QUERIES, apply.QUERIES, retention.QUERIES, gauges.QUERIES])
async def test_every_query_stands_on_this_schema(database: str, queries: Queries) -> None:
    """Each is planned by the server; values are left unknown."""

    class Nothing(dict[str, None]):
        def __missing__(self, _: str) -> None:
            return None

    with psycopg.connect(database) as connection:
        for name, query in queries.items():
            cursor = connection.execute(b"EXPLAIN " + query, Nothing())
            assert cursor.fetchall(), name
