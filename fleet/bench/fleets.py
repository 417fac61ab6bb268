"""Databases with as many kits in the books as a measurement needs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from fleet.bench.publisher import kit_name
from fleet.db.migrate import migrate
from fleet.embedded import postgres


@contextmanager
def temporary_database(*, durable: bool = True) -> Iterator[tuple[str, Path]]:
    """A migrated database on a server of its own, and the folder it lies in."""
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the database's own user must be able to enter
        with postgres.start_temporary(folder / "db", durable=durable) as dsn:
            migrate(dsn)
            yield dsn, folder


def add_kits(dsn: str, count: int, *, reported: bool = False) -> None:
    """Enter `count` installed kits into the books; `reported` gives each a heartbeat, software and pairing."""
    with psycopg.connect(dsn) as connection:
        with connection.cursor().copy("COPY kits (kit, state, wanted_components) FROM STDIN") as copy:
            for number in range(count):
                copy.write_row((kit_name(number), "installed", '{"app": "4.2.0"}'))
        connection.execute(
            "INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, watch_from_clock_s)"
            " SELECT kit_id, 900, 300, 0 FROM kits"
        )
        if reported:
            _report(connection)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) kits, kit_latest, latest_reports")


def _report(connection: psycopg.Connection) -> None:
    connection.execute(
        "UPDATE kit_latest SET last_heard_at = now(), heard_clock_s = 1000 - 300 * random(), boot = 'b', seq = 1,"
        " time = now(), received_at = now(), battery = 80, network = '4g', online = true"
    )
    for kind, body in (
        ("software", '{"os": "14", "app": "4.2.0", "mdm": "9.1", "bluetooth": "5.3"}'),
        ("pairing", '[{"serial": "S-1", "kind": "scale", "paired": true}]'),
    ):
        connection.execute(
            "INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)"
            " SELECT kit_id, %s, 'b', 1, now(), now(), %s::jsonb FROM kits",
            (kind, body),
        )
    connection.execute(
        "UPDATE listening SET clock_s = 1000, resumed_clock_s = 0, state = 'listening', updated_at = clock_timestamp()"
    )
