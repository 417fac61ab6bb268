"""The audit, redaction and retention over HTTP: what is told, to whom, and what can be taken back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fleet.access import audit, sealing
from fleet.access.roles import Role
from fleet.db import roles
from fleet.db.connect import connect
from tests.api import caller, make_token, pages, problem, running_app
from tests.people import add_organisations
from tests.support import execute, rows, value

V1 = "/api/v1"
MODEL = {"kind": "scale", "manufacturer": "Acme", "name": "S1"}


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    async with running_app(database) as running:
        yield running


@pytest.fixture
async def admin(database: str, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(app, await make_token(database, Role.ADMIN)) as client:
        yield client


async def verified(database: str) -> int:
    """How many faults the chain has once everything is chained."""
    worker = await connect(database, role="test", run_as=roles.WORKER)
    async with worker:
        while (await sealing.seal(worker)).more:
            pass
    owner = await connect(database, role="test")
    async with owner:
        return (await sealing.verify(owner)).report.faults


async def changed_model(admin: httpx.AsyncClient) -> int:
    """A model entered, then changed; gives its number."""
    made = await admin.post(f"{V1}/models", json=MODEL)
    number: int = made.json()["id"]
    answer = await admin.patch(f"{V1}/models/{number}", json={"price": "210.50"})
    assert answer.status_code == 200, answer.text
    return number


async def test_who_when_from_where_and_what_changed(admin: httpx.AsyncClient) -> None:
    number = await changed_model(admin)
    changed, created = await pages(admin, f"{V1}/audit", subject_kind="models", subject=str(number), limit=1)
    assert (created["action"], created["before"], created["after"]["manufacturer"]) == ("models.created", None, "Acme")
    assert (changed["action"], changed["before"], changed["after"]) == (
        "models.changed",
        {"price": None},
        {"price": 210.5},
    )
    assert changed["principal"].startswith("token:")
    assert changed["actor"].endswith("test admin")
    assert changed["origin"] == "127.0.0.1"
    assert (await admin.get(f"{V1}/audit/{changed['id']}")).json() == changed
    for filters, found in (
        ({"action": "models.changed"}, [changed]),
        ({"principal": changed["principal"], "subject_kind": "models"}, [changed, created]),
        ({"actor": changed["actor"], "subject_kind": "models", "at_to": changed["at"]}, [created]),
        ({"subject_kind": "models", "at_from": changed["at"]}, [changed]),
        ({"kit": "K-none"}, []),
        ({"organisation": "none"}, []),
    ):
        assert await pages(admin, f"{V1}/audit", **filters) == found, filters
    problem(await admin.get(f"{V1}/audit/999999"), 404)
    problem(await admin.get(f"{V1}/audit", params={"cursor": "x"}), 422, "cursor")


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_everything_is_exported_page_by_page_and_that_is_told(
    admin: httpx.AsyncClient, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "EXPORT_PAGE", 2)
    for name in ("S1", "S2", "S3", 'å, "S4"\n'):
        await admin.post(f"{V1}/models", json={**MODEL, "name": name.strip()})
    answer = await admin.get(f"{V1}/audit/export", params={"format": form, "action": "models.created"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="audit.{form}"'
    lines: list[dict[str, Any]]
    if form == "ndjson":
        lines = [json.loads(line) for line in answer.text.splitlines()]
    else:
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        lines = [{**line, "after": json.loads(line["after"])} for line in lines]
    assert [line["after"]["name"] for line in lines] == ["S1", "S2", "S3", 'å, "S4"']
    (told,) = await pages(admin, f"{V1}/audit", action="audit.exported")
    assert told["after"] == {"format": form, "action": "models.created"}


async def test_an_organisation_reads_what_is_its_own(database: str, app: FastAPI, admin: httpx.AsyncClient) -> None:
    add_organisations(database, "a-by", "b-by")
    for slug in ("a-by", "b-by"):
        made = await admin.post(f"{V1}/kits", json={"kit": f"K-{slug}", "organisation": slug})
        assert made.status_code == 201, made.text
    token = await make_token(database, Role.AUDITOR, organisation="a-by")
    async with caller(app, token) as auditor:
        mine = await pages(auditor, f"{V1}/audit")
        assert {line["kit"] for line in mine if line["kit"]} == {"K-a-by"}
        assert {line["organisation"] for line in mine} == {"a-by"}
        exported = await auditor.get(f"{V1}/audit/export")
        assert "K-a-by" in exported.text
        assert "b-by" not in exported.text
        (other, *_) = list(await pages(admin, f"{V1}/audit", kit="K-b-by"))
        problem(await auditor.get(f"{V1}/audit/{other['id']}"), 404)
        problem(await auditor.post(f"{V1}/audit/{other['id']}/redact", json={"keys": ["x"], "reason": "x"}), 403)
    async with caller(app, await make_token(database, Role.ADMIN, organisation="a-by")) as local:
        problem(await local.post(f"{V1}/audit/{other['id']}/redact", json={"keys": ["x"], "reason": "x"}), 404)
        problem(await local.patch(f"{V1}/retention/events", json={"keep_days": 10}), 403)
        assert len((await local.get(f"{V1}/retention")).json()["items"]) > 10


async def test_the_head_is_what_one_notes(database: str, admin: httpx.AsyncClient) -> None:
    await changed_model(admin)
    assert (await admin.get(f"{V1}/audit/head")).json()["position"] == 0
    assert await verified(database) == 0
    head = (await admin.get(f"{V1}/audit/head")).json()
    assert head["head"] == f"{head['position']}:{head['hash']}"
    assert (head["position"], head["unsealed"]) == (value(database, "SELECT count(*) FROM audit"), 0)


async def test_a_text_is_redacted_and_the_chain_verifies(database: str, admin: httpx.AsyncClient) -> None:
    number = await changed_model(admin)
    assert await verified(database) == 0
    line = (await pages(admin, f"{V1}/audit", subject_kind="models", subject=str(number)))[1]
    sent = {"keys": ["name"], "reason": "a person's name"}
    blacked = (await admin.post(f"{V1}/audit/{line['id']}/redact", json=sent)).json()
    assert blacked["after"] == {**line["after"], "name": "[redacted]"}
    assert blacked["redacted_at"] is not None
    assert (await admin.post(f"{V1}/audit/{line['id']}/redact", json=sent)).json() == blacked
    (told,) = await pages(admin, f"{V1}/audit", action="audit.redacted")
    assert (told["subject"], told["reason"]) == (str(line["id"]), "a person's name")
    assert await verified(database) == 0
    problem(await admin.post(f"{V1}/audit/{line['id']}/redact", json={"keys": [], "reason": "x"}), 422, "keys")
    problem(await admin.post(f"{V1}/audit/999999/redact", json=sent), 404)


async def test_reasons_in_the_books_are_redacted_wherever_they_stand(database: str, admin: httpx.AsyncClient) -> None:
    await admin.post(f"{V1}/kits", json={"kit": "K-1"})
    moved = await admin.post(f"{V1}/kits/K-1/transitions", json={"to": "lost", "reason": "Inger has moved"})
    assert moved.status_code == 200, moved.text
    event = value(database, "SELECT event_id FROM book_events WHERE reason = 'Inger has moved'")
    sent = {"keys": ["reason"], "reason": "a name"}
    gone = await admin.post(f"{V1}/book-events/{event}/redact", json=sent)
    assert gone.json() == {"id": event, "keys": ["reason"]}
    assert value(database, "SELECT reason FROM book_events WHERE event_id = %s", event) == "[redacted]"
    assert "Inger" not in json.dumps(await pages(admin, f"{V1}/audit"))
    problem(await admin.post(f"{V1}/book-events/999999/redact", json=sent), 404)
    assert await verified(database) == 0


async def test_resolutions_are_redacted_wherever_they_stand(database: str, admin: httpx.AsyncClient) -> None:
    await admin.post(f"{V1}/kits", json={"kit": "K-1"})
    execute(
        database,
        "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)"
        " SELECT 'SR-1', kit_id, 'silent', 'support', 'high', 'open', now(), now() FROM kits",
    )
    change = {"state": "resolved", "resolution": "Inger had switched it off"}
    change |= {"found_cause": "switched_off", "remedy": "advice"}
    assert (await admin.patch(f"{V1}/service-requests/SR-1", json=change)).status_code == 200
    assert "Inger" in json.dumps(await pages(admin, f"{V1}/audit"))
    for _ in range(2):
        sent = {"reason": "a name"}
        gone = await admin.post(f"{V1}/service-requests/SR-1/redact", json=sent)
        assert gone.json()["resolution"] == "[redacted]", gone.text
    assert (await admin.get(f"{V1}/service-requests/SR-1")).json()["resolution"] == "[redacted]"
    assert "Inger" not in json.dumps(await pages(admin, f"{V1}/audit"))
    problem(await admin.post(f"{V1}/service-requests/SR-2/redact", json=sent), 404)
    assert await verified(database) == 0


async def test_what_stood_in_a_refused_message_is_for_few_and_can_go(
    database: str, app: FastAPI, admin: httpx.AsyncClient
) -> None:
    execute(
        database,
        "INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload)"
        " VALUES (now(), 'fleet/v1/kits/0101011234/heartbeat', 'unknown_kit', 'x', 5, 'Inger')",
    )
    (message,) = await pages(admin, f"{V1}/quarantine")
    path = f"{V1}/quarantine/{message['id']}"
    for role, status in ((Role.AUDITOR, 403), (Role.SUPPORT, 403), (Role.SERVICE, 200)):
        async with caller(app, await make_token(database, role)) as client:
            assert (await client.get(path)).status_code == status, role
            problem(await client.post(f"{path}/redact", json={"reason": "x"}), 403)
    (read,) = await pages(admin, f"{V1}/audit", action="quarantine.read")
    assert (read["subject"], read["actor"][-7:]) == (str(message["id"]), "service")
    for _ in range(2):
        answer = await admin.post(f"{path}/redact", json={"reason": "a name"}, headers={"Idempotency-Key": "once"})
        assert answer.json()["redacted_at"] is not None, answer.text
    gone = (await admin.get(path)).json()
    assert (gone["payload_base64"], gone["topic"]) == ("", "fleet/v1/kits/[redacted]/heartbeat")
    assert gone["redacted_at"] is not None
    assert len(await pages(admin, f"{V1}/audit", action="quarantine.redacted")) == 1
    problem(await admin.post(f"{V1}/quarantine/77/redact", json={"reason": "x"}), 404)


async def test_how_long_data_is_kept_is_seen_and_set(database: str, app: FastAPI, admin: httpx.AsyncClient) -> None:
    shown = {each["kind"]: each for each in await pages(admin, f"{V1}/retention", limit=5)}
    assert shown["history"]["keep_days"] == 400
    one = await admin.get(f"{V1}/retention/events")
    assert one.json() == shown["events"]
    stale = {"If-Match": '"7"'}
    problem(await admin.patch(f"{V1}/retention/events", json={"keep_days": 10}, headers=stale), 412)
    seen = {"If-Match": one.headers["etag"]}
    changed = await admin.patch(f"{V1}/retention/events", json={"keep_days": 10}, headers=seen)
    assert (changed.json()["keep_days"], changed.headers["etag"]) == (10, '"2"')
    problem(await admin.patch(f"{V1}/retention/events", json={"keep_days": 91}), 422, "keep_days")
    problem(await admin.patch(f"{V1}/retention/nothing", json={"keep_days": 9}), 404)
    (line,) = await pages(admin, f"{V1}/audit", action="retention_policies.changed")
    assert (line["before"], line["after"]) == ({"keep_days": 7}, {"keep_days": 10})
    async with caller(app, await make_token(database, Role.AUDITOR)) as auditor:
        problem(await auditor.patch(f"{V1}/retention/events", json={"keep_days": 10}), 403)
        execute(
            database,
            "INSERT INTO retention_runs (kind, cutoff, removed, complete) VALUES ('events', now(), 3, true),"
            " ('audit', now(), 0, true), ('events', now(), 0, true)",
        )
        runs = await pages(auditor, f"{V1}/retention/runs", kind="events", limit=1)
        assert [(run["removed"], run["complete"]) for run in runs] == [(0, True), (3, True)]
        assert (await auditor.get(f"{V1}/retention/events")).json()["last_removed"] == 0


async def test_reads_of_references_are_told_and_texts_are_not(database: str, admin: httpx.AsyncClient) -> None:
    add_organisations(database, "a-by")
    planned = await admin.post(f"{V1}/placements", json={"reference": "KOL-NORD-8841", "organisation": "a-by"})
    assert planned.status_code == 201, planned.text
    await admin.get(f"{V1}/placements/{planned.json()['id']}")
    told = await pages(admin, f"{V1}/audit", action="placement.read")
    assert {line["subject"] for line in told} == {str(planned.json()["reference_id"])}
    assert rows(database, "SELECT count(*) FROM audit WHERE audit::text LIKE '%%KOL-NORD%%'") == [(0,)]


async def test_texts_about_a_mass_event_of_many_are_not_one_organisations_to_redact(
    database: str, app: FastAPI
) -> None:
    add_organisations(database, "a-by", "b-by")
    execute(
        database,
        "WITH made AS (INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)"
        " VALUES ('silent', 'open', now(), 1, 100) RETURNING incident_id), kit AS ("
        " INSERT INTO kits (kit, state, organisation_id) SELECT 'K-' || slug, 'installed', organisation_id"
        " FROM organisations RETURNING kit_id), request AS ("
        " INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)"
        " SELECT 'SR-2026-900001', incident_id, 'silent', 'service', 'urgent', 'open', now(), now() FROM made)"
        " INSERT INTO incident_members (incident_id, kit_id, joined_at)"
        " SELECT incident_id, kit_id, now() FROM made, kit",
    )
    path = f"{V1}/service-requests/SR-2026-900001"
    async with caller(app, await make_token(database, Role.ADMIN, organisation="a-by")) as local:
        assert (await local.get(path)).status_code == 200
        problem(await local.post(f"{path}/redact", json={"reason": "x"}), 404)
    async with caller(app, await make_token(database, Role.ADMIN)) as admin:
        assert (await admin.post(f"{path}/redact", json={"reason": "x"})).status_code == 200
