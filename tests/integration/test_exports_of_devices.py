"""What tablets sent, what could not be taken, and who works here, as files: all of it, for those who may, and told."""

from __future__ import annotations

import base64
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fleet.access.roles import Role
from tests.api import caller, make_token, problem, running_app
from tests.integration.test_exchange import fleet
from tests.support import rows

V1 = "/api/v1"
WORLD = """
INSERT INTO organisations (slug, name) VALUES ('nord', 'Nord'), ('syd', 'Syd');
INSERT INTO kits (kit, state, organisation_id) SELECT 'K-' || slug, 'installed', organisation_id FROM organisations;
INSERT INTO custodies (kit_id, organisation_id, during)
SELECT kit_id, organisation_id, tstzrange(now() - interval '2 days', NULL) FROM kits WHERE kit = 'K-nord' UNION ALL
SELECT k.kit_id, o.organisation_id, tstzrange(now() - interval '20 days', now() - interval '2 days')
FROM kits k, organisations o WHERE kit = 'K-nord' AND slug = 'syd';
INSERT INTO kit_latest (kit_id, last_heard_at, boot, seq, time, received_at, battery)
SELECT kit_id, now(), 'b', 2, now(), now(), 55 FROM kits;
INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)
SELECT kit_id, 'software', 'b', 1, now(), now(), '{"app": "4.2"}' FROM kits;
INSERT INTO heartbeats (time, received_at, seq, kit_id, battery, boot)
SELECT at, at, n, kit_id, 50 + n, 'b'
FROM kits, (VALUES (1, now() - interval '3 days'), (2, now() - interval '1 day')) v (n, at)
WHERE kit = 'K-nord';
INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload)
VALUES (now(), 'fleet/v1/kits/K-9/heartbeat', 'unknown_kit', 'x', 300, convert_to(repeat('secret ', 40), 'UTF8'));
INSERT INTO users (username, organisation_id, password_hash, created_by)
SELECT slug || '-anna', organisation_id, '$argon2id$hash', 'test' FROM organisations;
INSERT INTO user_roles (user_id, role, organisation_id) SELECT user_id, 'support', organisation_id FROM users;
"""


@pytest.fixture
def world(database: str) -> str:
    """A kit of each of two municipalities; that of the one was the other's until two days ago."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(WORLD.encode())
    return database


def ago(*, days: int) -> str:
    """A time so many days before now."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat().replace("+00:00", "Z")


async def file_of(app: Any, world: str, role: Role, kind: str, whose: str | None, **query: str) -> Any:
    """An export, line by line; the answer itself where there is none."""
    token = await make_token(world, role, organisation=whose)
    async with caller(app, token) as client:
        answer = await client.get(f"{V1}/exports/{kind}", params=query)
    return list(csv.DictReader(io.StringIO(answer.text))) if answer.status_code == 200 else answer


async def test_the_newest_of_every_kit(world: str) -> None:
    async with running_app(world) as app:
        (line,) = await file_of(app, world, Role.SERVICE, "latest-states", "nord")
        assert (line["kit"], line["battery"], line["software"]) == ("K-nord", "55.0", "app=4.2")
        everything = await file_of(app, world, Role.SERVICE, "latest-states", None)
        assert [line["kit"] for line in everything] == ["K-nord", "K-syd"]
        assert len(await file_of(app, world, Role.SERVICE, "latest-states", None, organisation="syd")) == 1
        problem(await file_of(app, world, Role.SECRETARIAT, "latest-states", None), 403)


async def test_heartbeats_of_a_kit_are_of_the_time_in_which_it_was_ones_own(world: str) -> None:
    span = {"kit": "K-nord", "from": ago(days=10), "to": ago(days=0)}
    async with running_app(world) as app:
        for organisation, told in ((None, ["51.0", "52.0"]), ("nord", ["52.0"]), ("syd", ["51.0"])):
            lines = await file_of(app, world, Role.SERVICE, "heartbeats", organisation, **span)
            assert [line["battery"] for line in lines] == told, organisation
        later = {**span, "from": ago(days=2)}
        assert len(await file_of(app, world, Role.SERVICE, "heartbeats", None, **later)) == 1
        problem(await file_of(app, world, Role.SERVICE, "heartbeats", "nord", **{**span, "kit": "K-syd"}), 404)
        problem(await file_of(app, world, Role.SERVICE, "heartbeats", "nord"), 422, "kit")
        for wrong in ({"from": ago(days=500)}, {"from": ago(days=-1)}):
            problem(await file_of(app, world, Role.SERVICE, "heartbeats", "nord", **{**span, **wrong}), 422, "from")
        problem(await file_of(app, world, Role.SECRETARIAT, "heartbeats", None, **span), 403)


async def test_what_could_not_be_taken_and_for_few_what_stood_in_it(world: str) -> None:
    async with running_app(world) as app:
        (line,) = await file_of(app, world, Role.AUDITOR, "quarantine", None)
        assert (line["reason"], line["size_bytes"]) == ("unknown_kit", "300")
        assert "payload_base64" not in line
        problem(await file_of(app, world, Role.AUDITOR, "quarantine-payloads", None), 403)
        (line,) = await file_of(app, world, Role.SERVICE, "quarantine-payloads", None)
        assert base64.b64decode(line["payload_base64"]) == b"secret " * 40
        # It is the installation's: nobody who is bound to an organisation is shown any of it.
        assert await file_of(app, world, Role.SERVICE, "quarantine-payloads", "nord") == []
    told = rows(world, "SELECT subject FROM audit WHERE action = 'quarantine.exported'")
    assert told == [("quarantine-payloads",)] * 2


async def test_accounts_without_anything_that_opens_a_door(world: str) -> None:
    async with running_app(world) as app:
        (line,) = await file_of(app, world, Role.ADMIN, "users", "nord")
        assert (line["username"], line["organisation"], line["disabled"]) == ("nord-anna", "nord", "false")
        assert line["roles"] == '[{"role":"support","organisation":"nord"}]'
        assert "argon2" not in str(line)
        assert not {"password_hash", "totp_secret", "oidc_subject"} & line.keys()
        assert len(await file_of(app, world, Role.AUDITOR, "users", None)) == 2
        problem(await file_of(app, world, Role.SUPPORT, "users", None), 403)
    assert len(rows(world, "SELECT FROM audit WHERE action = 'users.exported'")) == 2


def test_heartbeats_on_the_command_line(world: str) -> None:
    took = fleet(world, "export", "heartbeats", "--kit", "K-nord", "--to", ago(days=2)[:19])
    assert took.returncode == 0, took.stderr
    assert [line["battery"] for line in csv.DictReader(io.StringIO(took.stdout.decode()))] == ["51.0"]
    for wrong, code in (
        (("heartbeats",), 2),
        (("kits", "--kit", "K-nord"), 2),
        (("kits", "--from", "2026-10-01"), 2),
        (("heartbeats", "--kit", "K-none"), 1),
    ):
        refused = fleet(world, "export", *wrong)
        assert (refused.returncode, refused.stderr.count(b"\n")) == (code, 1), refused.stderr
