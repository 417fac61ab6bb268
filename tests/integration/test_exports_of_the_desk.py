"""What the service desk, the field and the rules come to, as files: every line, and for whom."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import psycopg
import pytest

from fleet.access.roles import Role
from tests.api import caller, make_token, running_app
from tests.support import rows

DESK = """
INSERT INTO organisations (slug, name) VALUES ('nord', 'Nord'), ('syd', 'Syd');
INSERT INTO kits (kit, state, organisation_id)
SELECT 'K-' || slug, 'installed', organisation_id FROM organisations;
INSERT INTO service_requests (number, kit_id, organisation_id, cause, line, priority, state, opened_at, due_at)
SELECT 'SR-' || kit, kit_id, organisation_id, 'damaged', 'logistics', 'low', 'open', now(), now() FROM kits;
INSERT INTO request_events (request_id, at, actor, what, body)
SELECT request_id, now(), 'agent', what, body::jsonb
FROM service_requests, (VALUES ('opened', '{}'), ('comment', '{"text": "cracked"}')) AS v (what, body);
INSERT INTO calls (at, minutes, channel, caller, reason, outcome, kit_id, note, actor, path)
SELECT now(), 2.5, 'phone', 'nurse', 'damaged', 'forwarded', kit_id, 'dropped', 'agent', '[{"node": "start"}]'
FROM kits;
INSERT INTO visits (number, kind, kit_id, organisation_id, ordered_at, planned_on, window_from, window_to, target_days,
                    due_on, created_by)
SELECT 'V-' || kit, 'swap', kit_id, organisation_id, now(), '2026-12-01', '08:00', '10:00', 12, '2026-12-08', 'agent'
FROM kits;
INSERT INTO visit_attempts (visit_id, at, failure, planned_on, note, actor)
SELECT visit_id, now(), 'nobody_home', '2026-11-30', 'rang twice', 'agent' FROM visits;
INSERT INTO maintenance_windows (organisation_id, title, names_kits, rules, starts_at, ends_at, current_from,
                                 current_to, created_by)
SELECT organisation_id, 'roof', true, '{silent}', now(), now() + interval '1 hour', now(),
       now() + interval '1 hour', 'agent'
FROM organisations;
INSERT INTO maintenance_window_kits (window_id, kit_id) SELECT window_id, kit_id FROM maintenance_windows JOIN kits
USING (organisation_id);
INSERT INTO rule_variants (rule, organisation_id, severity, parameters, note)
SELECT 'storage_low', organisation_id, 'major', '{"below_mb": 100}', 'old tablets' FROM organisations;
"""


@pytest.fixture
def desk(database: str) -> str:
    """Two municipalities with one of everything."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(DESK.encode())
    return database


async def file_of(client: httpx.AsyncClient, kind: str) -> list[dict[str, Any]]:
    """An export, line by line."""
    answer = await client.get(f"/api/v1/exports/{kind}")
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


async def test_the_desk_and_the_field_as_files(desk: str) -> None:
    token = await make_token(desk, Role.ADMIN, organisation="nord")
    async with running_app(desk) as app, caller(app, token) as client:
        log = await file_of(client, "service-request-log")
        assert [(line["number"], line["what"], line["body"]) for line in log] == [
            ("SR-K-nord", "opened", ""),
            ("SR-K-nord", "comment", "text=cracked"),
        ]
        (call,) = await file_of(client, "calls")
        assert (call["kit"], call["minutes"], call["note"]) == ("K-nord", "2.5", "dropped")
        assert call["path"] == '[{"node":"start"}]'
        (visit,) = await file_of(client, "visits")
        assert (visit["number"], visit["planned_on"], visit["window_from"]) == ("V-K-nord", "2026-12-01", "08:00")
        assert '"failure":"nobody_home"' in visit["failures"]
        (window,) = await file_of(client, "maintenance-windows")
        assert (window["organisation"], window["kits"], window["rules"]) == ("nord", '["K-nord"]', '["silent"]')


async def test_rules_with_variants_and_contracts_with_targets_as_files(desk: str) -> None:
    token = await make_token(desk, Role.ADMIN, organisation="nord")
    async with running_app(desk) as app, caller(app, token) as client:
        rules = await file_of(client, "rules")
        assert len({line["rule"] for line in rules}) == len(rules) - 1 == rows(desk, "SELECT count(*) FROM rules")[0][0]
        rule, variant = (line for line in rules if line["rule"] == "storage_low")
        assert (rule["variant_id"], rule["organisation"], rule["severity"]) == ("", "", "minor")
        assert (variant["organisation"], variant["severity"], variant["for_s"]) == ("nord", "major", "")
        assert variant["parameters"] == '{"below_mb":100}'
        contracts = await file_of(client, "contracts")
        assert [(line["slug"], line["priority"], line["solution_min"]) for line in contracts] == [
            ("standard", "urgent", "240"),
            ("standard", "high", "1440"),
            ("standard", "normal", "4320"),
            ("standard", "low", "14400"),
        ]


async def test_who_may_not_read_it_gets_no_file_of_it(desk: str) -> None:
    async with running_app(desk) as app:
        for role, kind in ((Role.SUPPORT, "contracts"), (Role.MDM_ADMIN, "calls"), (Role.GRAFANA, "visits")):
            async with caller(app, await make_token(desk, role, organisation="nord")) as client:
                assert (await client.get(f"/api/v1/exports/{kind}")).status_code == 403, (role, kind)
