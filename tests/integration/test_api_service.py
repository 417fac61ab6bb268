"""`fleet api` as a real process: starts without a database, survives its loss, ends in seconds."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from fleet.access.roles import Role
from tests.api import api, caller, make_token, problem, running_app, stream
from tests.support import Process, environment, eventually


@asynccontextmanager
async def fleet_api(database: str, folder: Path, **settings: str) -> AsyncIterator[tuple[Process, str]]:
    """`fleet api` on a free port: the process and its URL."""
    env = environment(database_url=database, http_port="0", log_format="json", **settings)
    running = Process(["fleet", "api"], env, folder / "api.log")
    try:
        found = await eventually(lambda: re.search(r"http://[\d.]+:\d+", running.output()), 20, "the address")
        yield running, found[0]
    finally:
        running.kill(signal.SIGTERM)


async def test_it_serves_and_ends_at_once_with_a_stream_open(database: str, tmp_path: Path) -> None:
    token = await make_token(database, Role.SUPPORT)
    async with fleet_api(database, tmp_path) as (process, url):
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/api/v1/kits")).json() == {"items": [], "next": None}
            assert "server" not in (await client.get("/healthz")).headers
        async with stream(url, token) as events:
            await events.event("ready")
            started = time.monotonic()
            await asyncio.to_thread(process.kill, signal.SIGTERM)
            assert await events.ended()
    assert time.monotonic() - started < 5
    assert process.popen.returncode == 0
    assert token not in process.output()
    assert "Traceback" not in process.output()


async def test_without_a_database_it_starts_and_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"postgresql://fleet:x@127.0.0.1:{taken.getsockname()[1]}/fleet"
        async with fleet_api(nowhere, tmp_path) as (_, url), httpx.AsyncClient(base_url=url, timeout=15) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert problem(await client.get("/readyz"), 503)["reasons"] == ["the database cannot be reached"]
            refused = await client.get("/api/v1/kits", headers={"Authorization": "Bearer flt_x"})
            problem(refused, 503)
            assert int(refused.headers["retry-after"]) > 0


async def test_a_busy_port_is_one_clear_line(database: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = environment(database_url=database, http_port=str(taken.getsockname()[1]))
        running = Process(["fleet", "api"], env, tmp_path / "api.log")
        await eventually(lambda: running.popen.poll() is not None, 20, "its end")
        running.kill()
    assert running.popen.returncode == 1
    assert "FLEET_HTTP_PORT" in running.output()
    assert len(running.output().splitlines()) == 1


@pytest.mark.storage
async def test_it_recovers_when_the_database_comes_back(database: str, admin_url: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
    async with api(database) as client:
        assert (await client.get("/api/v1/kits")).status_code == 200
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (conninfo_to_dict(database)["dbname"],),
            )
            for _ in range(2):
                problem(await client.get("/api/v1/kits"), 503)
            problem(await client.get("/readyz"), 503)
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))

        async def answers() -> bool:
            return (await client.get("/api/v1/kits")).status_code == 200

        await eventually(answers, 15, "the API to reach its database again")


async def test_a_database_without_a_schema_is_not_ready(empty_database: str) -> None:
    async with running_app(empty_database) as app, caller(app) as client:
        assert "fleet migrate" in problem(await client.get("/readyz"), 503)["reasons"][0]
