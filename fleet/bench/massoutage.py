"""A tenth of a large fleet falls silent within a minute: how soon it is one incident, what the worker needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from fleet.db.queries import load_queries

QUERIES = load_queries("fleet.bench", "massoutage.sql")
OPERATORS = ("TDC", "3", "Telia", "Telenor", "Lebara", "Lyca", "CBB", "Oister", "Fullrate", "Call me")
WITHIN_S = 60.0
DEADLINE_S = 300.0
POLL_S = 0.5
ALLOWANCE_S = 900.0
MOST_WARNINGS = 5
SETTLING_S = 20.0
"""The worker ticks so long over the quiet fleet before the outage, so that it is at its ordinary pace."""


@dataclass(frozen=True, slots=True)
class MassOutage:
    """Seconds after the first kit turned silent, None when it took too long; tick and memory are the worker's.

    `alerts` counts those that kits of the outage opened on their own: none should. `warnings` are what the worker
    complained of, each once.
    """

    kits_lost: int
    incidents: int
    incident_after_s: float | None
    kits_silent_then: int
    all_joined_after_s: float | None
    alerts: int
    longest_tick_s: float
    max_rss_bytes: int
    warnings: tuple[str, ...] = ()


def measure(dsn: str, folder: Path) -> MassOutage:
    """Break one mobile network of a fleet that has reported, with a real worker looking on."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        _spread(connection)
        log = folder / "worker.log"
        with _worker(dsn, log) as pid:
            clock = _Clock(connection)
            clock.run_until(lambda: False, SETTLING_S)
            lost = _break(connection, clock.clock_s)
            first_s = time.monotonic()
            found: dict[str, float] = {}
            clock.run_until(lambda: _seen(connection, first_s, lost, found), DEADLINE_S)
            silent = _one(connection, "SELECT count(*) FROM incident_members WHERE left_at IS NULL")
            alerts = _one(connection, "SELECT count(*) FROM alerts WHERE rule = 'silent'")
            incidents = _one(connection, "SELECT count(*) FROM incidents")
            rss = _peak_rss(pid)
    assert silent <= lost
    return MassOutage(
        kits_lost=lost,
        incidents=incidents,
        incident_after_s=found.get("incident"),
        kits_silent_then=int(found.get("silent", 0)),
        all_joined_after_s=found.get("joined"),
        alerts=alerts,
        longest_tick_s=_longest_tick_s(log),
        max_rss_bytes=rss,
        warnings=_warnings(log),
    )


class _Clock:
    """Moves the listening clock as ingest would, once a poll."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._at_s = time.monotonic()
        self.clock_s = 0.0

    def run_until(self, done: Callable[[], bool], most_s: float) -> None:
        """Let time pass until `done`, or for so long."""
        end_s = time.monotonic() + most_s
        while time.monotonic() < end_s and not done():
            time.sleep(POLL_S)
            now_s = time.monotonic()
            row = self._connection.execute(
                "UPDATE listening SET clock_s = clock_s + %s, updated_at = clock_timestamp() RETURNING clock_s",
                (now_s - self._at_s,),
            ).fetchone()
            assert row is not None
            self._at_s, self.clock_s = now_s, row[0]


def _spread(connection: psycopg.Connection) -> None:
    """Mobile networks, municipalities below regions: cohorts as a country has them; moving kits costs nothing here."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for name in ("make_regions", "make_municipalities", "spread_kits"):
            connection.execute(QUERIES[name])
    connection.execute(QUERIES["spread_operators"], {"operators": list(OPERATORS)})
    connection.execute(QUERIES["no_round"])
    connection.execute("VACUUM (ANALYZE) kits, kit_latest, organisations")


def _break(connection: psycopg.Connection, clock_s: float) -> int:
    """Kits of one network turn silent within a minute from now; they were last heard an allowance ago."""
    values = {"clock_s": clock_s, "allowance_s": ALLOWANCE_S, "within_s": WITHIN_S, "operator": OPERATORS[1]}
    return connection.execute(QUERIES["break_operator"], values).rowcount


def _seen(connection: psycopg.Connection, first_s: float, lost: int, found: dict[str, float]) -> bool:
    after_s = round(time.monotonic() - first_s, 1)
    if "incident" not in found and _one(connection, "SELECT count(*) FROM incidents"):
        found["incident"] = after_s
        found["silent"] = min(lost, lost * after_s / WITHIN_S)
    if "incident" in found and _one(connection, "SELECT count(*) FROM incident_members WHERE left_at IS NULL") >= lost:
        found["joined"] = after_s
    return "joined" in found


def _one(connection: psycopg.Connection, query: LiteralString) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def _worker(dsn: str, log: Path) -> Iterator[int]:
    names = {name: text for name, text in os.environ.items() if not name.startswith("FLEET_")}
    settings = {
        "FLEET_DATABASE_URL": dsn,
        "FLEET_MQTT_URL": "mqtt://127.0.0.1:1",
        "FLEET_METRICS_PORT": "0",
        "FLEET_LOG_FORMAT": "json",
        "FLEET_DATA_DIR": str(log.parent),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "fleet", "worker"], env=names | settings, stdout=out, stderr=out
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)


def _longest_tick_s(log: Path) -> float:
    return max((float(line["duration_s"]) for line in _lines(log) if line["event"] == "tick"), default=0.0)


def _warnings(log: Path) -> tuple[str, ...]:
    told = (f"{line['event']}: {line.get('error', '')}" for line in _lines(log) if line["level"] != "info")
    return tuple(dict.fromkeys(told))[:MOST_WARNINGS]


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def _peak_rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
