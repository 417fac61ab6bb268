"""`/healthz`, `/readyz` and `/metrics`: for those who run the process; open to all who reach the port."""

from __future__ import annotations

from http import HTTPStatus

import psycopg
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from psycopg.rows import dict_row
from psycopg_pool import PoolClosed, PoolTimeout

from fleet.api.auth import Connection, pool_of
from fleet.api.problems import MEDIA_TYPE, ProblemError
from fleet.api.shapes import Answer
from fleet.db.migrate import is_current
from fleet.db.queries import load_queries

router = APIRouter(tags=["operations"])

READY_WAIT_S = 2.0
FRESH_S = 5.0
"""Ingest tells at least every few seconds that it listens; older word counts as none."""

_SQL = load_queries("fleet.api", "operations.sql")


class Healthy(Answer):
    """The process answers."""

    status: str = "ok"


class Ready(Answer):
    """The whole main path is up: database, schema, ingest."""

    status: str = "ready"


@router.get("/healthz")
async def healthz() -> Healthy:
    """Whether the process lives; asks nobody else."""
    return Healthy()


@router.get("/readyz", responses={503: {"description": "Not ready; `reasons` tells why", "content": {MEDIA_TYPE: {}}}})
async def readyz(request: Request) -> Ready:
    """Whether the schema is current and ingest is subscribed and past its backlog."""
    try:
        async with pool_of(request).connection(timeout=READY_WAIT_S) as connection:
            reasons = await _reasons(connection)
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed):
        reasons = ["the database cannot be reached"]
    if reasons:
        more = {"reasons": reasons}
        headers = {"Retry-After": "1"}
        detail = "not ready: " + "; ".join(reasons)
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", detail, more=more, headers=headers)
    return Ready()


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics() -> Response:
    """Prometheus metrics of this process."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _reasons(connection: Connection) -> list[str]:
    if not await is_current(connection):
        return ["the schema is not that of this version: run `fleet migrate`"]
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["listening"])
        row = await cursor.fetchone()
    if row is None or row["age_s"] > FRESH_S:
        return ["ingest does not run"]
    if row["state"] != "listening":
        return [f"ingest is {row['state'].replace('_', ' ')}"]
    return []
