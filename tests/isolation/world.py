"""Two municipalities side by side, each filled with everything, and an operator who works for one of them.

What belongs to a municipality carries its name in every text (labels, serials, references, reasons), so that a leak is
found by looking for the name in whatever was answered. A new kind of thing is added to `_fill` (over HTTP) or to
`world.sql` (what no API can make); the tests say what is still missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
from psycopg.types.json import Jsonb

from fleet.access.roles import Role
from fleet.api.shapes import PREFIX
from fleet.db.queries import load_queries
from fleet.state.registry.checks import luhn
from tests.api import caller, make_token, running_app

A, B = "zzalpha", "zzbravo"
"""The municipalities: names that stand in nothing else."""
REGION, ELSEWHERE, OPERATOR = "north", "zzsouth", "helper"
KINDS = ("tablet", "sim", "scale", "oximeter")
KIT_TYPE = "copd"

_SQL = load_queries("tests.isolation", "world.sql")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever calls: a role over an organisation; without one over the whole installation."""

    role: Role
    organisation: str | None = None

    def __str__(self) -> str:
        return f"{self.role} of {self.organisation or 'the installation'}"


OF_A, OF_B = Caller(Role.ADMIN, A), Caller(Role.ADMIN, B)
STRANGERS = (OF_A, Caller(Role.SUPPORT, A), Caller(Role.ADMIN, OPERATOR), Caller(Role.ADMIN, ELSEWHERE))
"""Those to whom B is none of their business."""


async def make_caller(database: str, who: Caller) -> str:
    """A token for a caller."""
    return await make_token(database, who.role, organisation=who.organisation)


async def build(database: str) -> None:
    """Fill a migrated, empty database."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(_SQL["listen"])
    token = await make_token(database, Role.ADMIN)
    async with running_app(database) as app, caller(app, token) as client:
        await _add_parties(client)
        for number, side in enumerate((A, B), 1):
            values = await _fill(Maker(client), side, number)
            _insert(database, values)
        for side in (A, B):
            async with caller(app, await make_caller(database, Caller(Role.ADMIN, side))) as own:
                await _leave_traces(Maker(own), database, side)


class Maker:
    """Asks for things to be made and insists that they are."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> Any:
        answer = await self._client.post(f"{PREFIX}{path}", json=body, headers=headers)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


async def _add_parties(client: httpx.AsyncClient) -> None:
    make = Maker(client)
    for slug in (REGION, "south"):
        await make("/organisations", {"slug": slug, "name": slug.title(), "kind": "region"})
    for slug, parent in ((A, REGION), (B, REGION), (ELSEWHERE, "south")):
        await make("/organisations", {"slug": slug, "name": slug.title(), "kind": "municipality", "parent": parent})
    for slug in (A, B):
        body = {"slug": f"{slug}-hospital", "name": f"Hospital of {slug}", "kind": "hospital", "parent": slug}
        await make("/organisations", body)
    for slug, kind in ((OPERATOR, "operator"), ("helper-too", "operator"), ("maker", "supplier"), ("bank", "lessor")):
        await make("/organisations", {"slug": slug, "name": slug.title(), "kind": kind})
    for kind in KINDS:
        await make("/models", {"kind": kind, "manufacturer": "Maker", "name": f"Model {kind}", "price": "100.00"})
    contents = dict.fromkeys(KINDS, 1)
    await make("/kit-types", {"kit_type": KIT_TYPE, "programme": KIT_TYPE, "contents": contents})


async def _fill(make: Maker, side: str, number: int) -> dict[str, Any]:
    """One municipality's things; gives what `world.sql` needs to know of them."""
    operator = OPERATOR if side == A else "helper-too"
    await make(f"/organisations/{side}/agreements", {"operator": operator, "note": f"of {side}"})
    roles = [{"role": "support", "organisation": side}]
    user = await make("/users", {"username": f"{side}-user", "organisation": side, "roles": roles})
    await make("/tokens", {"name": f"{side} dashboards", "role": "grafana", "organisation": side})
    for place, kind in (("depot", "depot"), ("van", "vehicle")):
        body = {"slug": f"{side}-{place}", "name": f"The {place} of {side}", "kind": kind, "organisation": side}
        await make("/locations", body)
    # Not of the kit: a piece that is due for calibration.
    body = {**_piece(side, number, 30, "scale"), "calibrated_on": "2026-01-01", "calibration_due": "2026-11-01"}
    await make("/components", body)
    pieces = {kind: await make("/components", _piece(side, number, at, kind)) for at, kind in enumerate(KINDS)}
    spares = [await make("/components", _piece(side, number, at + 10, kind)) for at, kind in enumerate(KINDS)]
    more = [await make("/components", _piece(side, number, at + 20, "scale")) for at in range(3)]
    await _calibrate(make, side, spares[2])
    await _add_contract(make, side)
    await make("/rules/storage_low/variants", {"organisation": side, "for_s": 1, "note": f"for {side}"})
    await _add_outlets(make, side)
    await _add_kits(make, side, pieces)
    used = f"{side}-installed"
    await make(f"/kits/{used}/swaps", _swap(side, pieces["scale"], spares[2]))
    await make(f"/kits/{used}/commands", {"name": "ping", "arguments": {"note": side}})
    for name in ("stock", "planned", "lent", "installed"):
        await make(f"/kits/{side}-{name}/credentials")
    await make(f"/components/{more[0]['id']}/transitions", {"to": "faulty", "reason": f"dropped at {side}"})
    call = {"kit": used, "minutes": 3, "caller": "citizen", "reason": "question", "outcome": "informed"}
    await make("/calls", {**call, "note": f"about {side}"})
    await _visit(make, side, used, more[2]["id"])
    homes = await make("/placements/look-up", {"reference": f"{side}-ref-1"})
    return {
        "side": side,
        "kit": used,
        "user_id": user["id"],
        "component_id": more[1]["id"],
        "faulty_id": more[0]["id"],
        "placement_id": homes["items"][0]["id"],
        "evidence": Jsonb({"note": side}),
        "software": Jsonb({"app": side}),
        "pairing": Jsonb([{"serial": f"{side}-scale", "kind": "scale", "paired": True, "last_contact": None}]),
    }


async def _visit(make: Maker, side: str, kit: str, piece: int) -> None:
    """A visit that failed once and is planned again for today, with something to bring."""
    today = datetime.now(UTC).astimezone(ZoneInfo("Europe/Copenhagen")).date().isoformat()
    body = {"kind": "repair", "kit": kit, "planned_on": today, "crew": f"{side}-crew", "note": f"at {side}"}
    visit = (await make("/visits", {**body, "bring": [{"component_id": piece}]}))["number"]
    again = {"failure": "nobody_home", "note": f"nobody at {side}", "planned_on": today}
    await make(f"/visits/{visit}/fail", again)


async def _add_contract(make: Maker, side: str) -> None:
    """What is promised, and the hours that it counts in."""
    hours = {"mon": [["08:00", "16:00"]]}
    of = {"organisation": side}
    await make("/calendars", {"slug": f"{side}-hours", "name": f"Hours of {side}", "hours": hours, **of})
    targets = [{"priority": each, "solution_min": 60} for each in ("urgent", "high", "normal", "low")]
    step = {"target": "solution", "percent": 50}
    body = {"calendar": f"{side}-hours", "valid_from": "2020-01-01T00:00:00Z", "targets": targets, **of}
    await make("/contracts", {"slug": f"{side}-contract", "name": f"Contract of {side}", "escalations": [step], **body})


async def _add_outlets(make: Maker, side: str) -> None:
    """Where facts are sent to, and who is written to."""
    of = {"organisation": side, "description": side, "events": ["request.*"]}
    await make("/webhooks", {"url": f"https://{side}.example/hook", **of})
    await make("/mail-subscriptions", {"address": f"{side}@example.dk", "username": f"{side}-user", **of})


async def _add_kits(make: Maker, side: str, pieces: Mapping[str, Any]) -> None:
    """One in stock, one planned for a home, one owned by the region, one with a citizen."""
    for name, owner, state in (
        ("stock", side, "in_stock"),
        ("planned", side, "preparing"),
        ("lent", REGION, "in_stock"),
        ("installed", side, "preparing"),
    ):
        body = {"kit": f"{side}-{name}", "label": f"{side} {name}", "state": state, "organisation": side}
        await make("/kits", {**body, "owner": owner, "kit_type": KIT_TYPE, "location": f"{side}-depot"})
    used = f"{side}-installed"
    for piece in pieces.values():
        await make(f"/kits/{used}/swaps", {"incoming": piece["id"], "override": True, "reason": f"for {side}"})
    for number, kit in ((1, used), (2, f"{side}-planned")):
        body = {"reference": f"{side}-ref-{number}", "organisation": side, "kit": kit, "programme": KIT_TYPE}
        await make("/placements", {**body, "planned_from": "2026-01-01"})
    for state in ("ready", "dispatched", "installed"):
        step = {"to": state, "override": True, "reason": f"as {side} wants it"}
        await make(f"/kits/{used}/transitions", step)


async def _calibrate(make: Maker, side: str, piece: Mapping[str, Any]) -> None:
    body = {"done_on": "2026-10-01", "due": "2030-01-01", "by": f"workshop of {side}", "certificate": side}
    await make(f"/components/{piece['id']}/calibrations", body)


def _piece(side: str, number: int, at: int, kind: str) -> dict[str, Any]:
    """A component with everything that tells it from others."""
    body: dict[str, Any] = {
        "model_id": 1 + KINDS.index(kind),
        "serial": f"{side}-{kind}-{at}",
        "asset_tag": f"{side}-tag-{at}",
        "organisation": side,
        "location": f"{side}-depot",
        "supplier": "maker",
        "lessor": "bank",
        "lease_contract": f"{side}-lease",
        "lease_until": "2030-01-01",
        "warranty_until": "2029-01-01",
        "note": f"for {side}",
    }
    own = 100 * number + at
    if kind == "tablet":
        body["imei"] = _with_check_digit(f"35000000{own:06}")
    elif kind == "sim":
        body["iccid"] = _with_check_digit(f"8945000000000{own:05}")
    else:
        body |= {"bluetooth_address": f"00:1A:7D:DA:{number:02X}:{at:02X}", "system_id": f"001A7DFFFEDA{own:04X}"}
    return body


def _with_check_digit(digits: str) -> str:
    return next(digits + last for last in "0123456789" if luhn(digits + last))


def _swap(side: str, out: Mapping[str, Any], into: Mapping[str, Any]) -> dict[str, Any]:
    there = {"state": "cleaning", "location": f"{side}-depot"}
    return {"outgoing": out["id"], "incoming": into["id"], "override": True, "reason": f"worn at {side}", **there}


def _insert(database: str, values: Mapping[str, Any]) -> None:
    """What only tablets, rules and the clock make."""
    with psycopg.connect(database, autocommit=True) as connection:
        for name, query in _SQL.items():
            if name != "listen":
                try:
                    connection.execute(query, values)
                except psycopg.Error as error:
                    raise AssertionError(f"world.sql, {name}: {error}") from error


async def _leave_traces(make: Maker, database: str, side: str) -> None:
    """What comes of calling: a kept answer, a line of the audit about a reference that was read."""
    with psycopg.connect(database) as connection:
        query = "SELECT alert_id FROM alerts WHERE suppressed_by IS NULL AND evidence ->> 'note' = %s"
        found = connection.execute(query, (side,)).fetchone()
    assert found
    await make(f"/alerts/{found[0]}/acknowledge", **{"Idempotency-Key": f"{side}-key"})
    await make("/placements/look-up", {"reference": f"{side}-ref-1"})
    body = {"kit": f"{side}-installed", "cause": "instruction", "description": f"asked by {side}"}
    request = (await make("/service-requests", body))["number"]
    await make(f"/service-requests/{request}/comments", {"text": f"said at {side}"})
    await make(f"/service-requests/{request}/assign", {"assignee": f"{side}-user"})
    lesson = {"cause": "instruction", "remedy": "advice", "resolution": f"told {side}"}
    await make(f"/service-requests/{request}/resolve", lesson)
