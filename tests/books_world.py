"""What the tests of the books share: a type of kit, pieces for it, and what its tablet would have reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support import execute, rows, value

API = "/api/v1"
KINDS = ("tablet", "sim", "scale", "oximeter")
SERIALS = {kind: f"{kind}-1" for kind in KINDS}


async def made(response: httpx.Response) -> Any:
    """The body of an answer that did what was asked."""
    assert response.is_success, response.text
    return response.json() if response.content else None


async def enter_type(client: httpx.AsyncClient) -> dict[str, int]:
    """A depot, a kit type `copd` and a model of each kind in it; the scale is calibrated. Gives models by kind."""
    await made(await client.post(f"{API}/locations", json={"slug": "depot", "name": "Depot", "kind": "depot"}))
    contents = dict.fromkeys(KINDS, 1)
    await made(await client.post(f"{API}/kit-types", json={"kit_type": "copd", "contents": contents}))
    models = {}
    for kind in KINDS:
        body: dict[str, Any] = {"kind": kind, "manufacturer": "Acme", "name": f"Acme {kind}"}
        if kind == "scale":
            body["calibration_interval_days"] = 730
        models[kind] = (await made(await client.post(f"{API}/models", json=body)))["id"]
    return models


async def enter_pieces(
    client: httpx.AsyncClient, models: Mapping[str, int], number: int = 1, **more: Any
) -> dict[str, int]:
    """One piece of each kind in the depot, with serial numbers `KIND-number`; gives their numbers by kind."""
    pieces = {}
    for kind, model_id in models.items():
        body: dict[str, Any] = {"model_id": model_id, "serial": f"{kind}-{number}", "location": "depot", **more}
        if kind == "scale":
            body["calibrated_on"] = "2026-11-01"
        pieces[kind] = (await made(await client.post(f"{API}/components", json=body)))["id"]
    return pieces


async def prepare(client: httpx.AsyncClient, database: str, kit: str, pieces: Mapping[str, int], **more: Any) -> None:
    """A new kit of type `copd`, with the pieces in it, that told its software: all it takes to be ready."""
    body = {"kit": kit, "kit_type": "copd", "location": "depot", "wanted_components": {"app": "2"}, **more}
    await made(await client.post(f"{API}/kits", json=body))
    await step(client, kit, "preparing")
    for piece in pieces.values():
        await made(await client.post(f"{API}/kits/{kit}/swaps", json={"incoming": piece}))
    tell(database, kit, software={"app": "2"})


async def step(client: httpx.AsyncClient, kit: str, to: str, **more: Any) -> dict[str, Any]:
    """Take a step that is possible; gives the kit."""
    found: dict[str, Any] = await made(await client.post(f"{API}/kits/{kit}/transitions", json={"to": to, **more}))
    return found


def tell(
    database: str,
    kit: str,
    *,
    ago: timedelta = timedelta(0),
    software: Mapping[str, str] | None = None,
    contact: tuple[str, ...] | None = None,
    live: bool = True,
) -> None:
    """What ingest stores when a tablet is heard, so long `ago`: a heartbeat, software, peripherals in contact."""
    at = datetime.now(UTC) - ago
    kit_id = value(database, "SELECT kit_id FROM kits WHERE kit = %s", kit)
    execute(
        database,
        "UPDATE kit_latest SET last_heard_at = CASE WHEN %s THEN greatest(last_heard_at, %s) ELSE last_heard_at END,"
        " heard_clock_s = 0, boot = 'b', seq = 1, time = %s, received_at = %s WHERE kit_id = %s",
        live,
        at,
        at,
        at,
        kit_id,
    )
    bodies: dict[str, Any] = {}
    if software is not None:
        bodies["software"] = dict(software)
    if contact is not None:
        stamp = at.isoformat()
        bodies["pairing"] = [
            {"serial": serial, "kind": serial.split("-")[0], "paired": True, "last_contact": stamp}
            for serial in contact
        ]
    for kind, body in bodies.items():
        execute(
            database,
            "INSERT INTO latest_reports VALUES (%s, %s, 'b', 2, %s, %s, %s::jsonb) ON CONFLICT (kit_id, kind) DO UPDATE"
            " SET time = excluded.time, received_at = excluded.received_at, body = excluded.body",
            kit_id,
            kind,
            at,
            at,
            json.dumps(body),
        )


def log_of(database: str, kit: str) -> list[tuple[Any, ...]]:
    """What, from, to and why of a kit's events, in the order in which they were told."""
    return rows(
        database,
        "SELECT what, from_state, to_state, reason FROM book_events JOIN kits USING (kit_id) WHERE kit = %s"
        " ORDER BY event_id",
        kit,
    )
