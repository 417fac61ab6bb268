"""Looking up one kit among a million over HTTP, as a support agent's screen does."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from time import perf_counter

from fleet.access import tokens
from fleet.access.roles import Role
from fleet.bench.fleets import add_kits, temporary_database
from fleet.bench.publisher import kit_name
from fleet.db.connect import connect
from fleet.embedded.ports import free_port
from fleet.embedded.process import wait_for
from fleet.errors import UnavailableError

LOOKUPS = 1_000
WARM_UP = 50


@dataclass(frozen=True, slots=True)
class ApiResult:
    """Seconds per request over one kept connection."""

    kits: int
    kit_p50_s: float
    kit_p95_s: float
    list_p50_s: float
    list_p95_s: float


def measure(kits: int = 1_000_000) -> ApiResult:
    """Start `fleet api` on a database of that many kits and ask it for kits drawn at random."""
    with temporary_database() as (dsn, _):
        add_kits(dsn, kits, reported=True)
        secret = asyncio.run(_token(dsn))
        port = free_port()
        names = {name: text for name, text in os.environ.items() if not name.startswith("FLEET_")}
        settings = {"FLEET_DATABASE_URL": dsn, "FLEET_HTTP_PORT": str(port), "FLEET_LOG_LEVEL": "warning"}
        process = subprocess.Popen([sys.executable, "-m", "fleet", "api"], env=names | settings)
        try:
            if not wait_for(lambda: _answers(port), 20, 0.1):
                raise UnavailableError("the API did not answer within 20 s")
            return _ask(port, secret, kits)
        finally:
            process.terminate()
            process.wait(20)


async def _token(dsn: str) -> str:
    connection = await connect(dsn, role="bench")
    try:
        created = await tokens.create(connection, name="bench", role=Role.ADMIN)
    finally:
        await connection.close()
    return created.secret


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def _ask(port: int, secret: str, kits: int) -> ApiResult:
    draw = random.Random(1)  # noqa: S311 - the same kits every time
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    one = [_seconds(connection, f"/api/v1/kits/{kit_name(draw.randrange(kits))}", secret) for _ in range(LOOKUPS)]
    many = [
        _seconds(connection, f"/api/v1/kits?limit=50&q={kit_name(draw.randrange(kits))[:7]}", secret)
        for _ in range(LOOKUPS // 5)
    ]
    return ApiResult(kits, *(_at(one[WARM_UP:], share) for share in (0.5, 0.95)), *(_at(many, s) for s in (0.5, 0.95)))


def _seconds(connection: http.client.HTTPConnection, path: str, secret: str) -> float:
    started = perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise UnavailableError(f"GET {path} answered {answer.status}")
    return perf_counter() - started


def _at(seconds: list[float], share: float) -> float:
    return round(sorted(seconds)[int(len(seconds) * share)], 5)
