"""Looking up one kit among a million over HTTP, as a support agent's screen does."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from fleet.access import tokens
from fleet.access.roles import Role
from fleet.bench.fleets import add_kits, temporary_database
from fleet.bench.publisher import kit_name
from fleet.bench.serving import Client, at_share, serving
from fleet.db.connect import connect

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
        with serving(dsn) as port:
            return _ask(Client(port, secret), kits)


async def _token(dsn: str) -> str:
    connection = await connect(dsn, role="bench")
    try:
        created = await tokens.create(connection, name="bench", role=Role.ADMIN)
    finally:
        await connection.close()
    return created.secret


def _ask(client: Client, kits: int) -> ApiResult:
    draw = random.Random(1)  # noqa: S311 - the same kits every time
    one = [client.ask(f"/api/v1/kits/{kit_name(draw.randrange(kits))}")[0] for _ in range(LOOKUPS)]
    many = [client.ask(f"/api/v1/kits?limit=50&q={kit_name(draw.randrange(kits))[:7]}")[0] for _ in range(LOOKUPS // 5)]
    client.close()
    return ApiResult(
        kits, *(at_share(one[WARM_UP:], s) for s in (0.5, 0.95)), *(at_share(many, s) for s in (0.5, 0.95))
    )
