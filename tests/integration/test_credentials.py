"""Credentials in the books: issued once, revoked with the kit and its tablet, kept from everybody's eyes."""

from __future__ import annotations

import csv
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet.access.principal import SYSTEM
from fleet.access.roles import Role
from fleet.state.ledger.corrections import Correction, correct
from fleet.state.ledger.steps import KitStep, Taken, take_kit_step
from fleet.state.lifecycle import KitState
from fleet.updates.credentials import store
from tests import ledger_world
from tests.api import api, caller, make_token, problem, running_app
from tests.ledger_world import ago, books
from tests.people import add_organisations
from tests.support import add_kits, environment, execute, rows, value

KEY = "a key of forty characters for tests only"
SCRAP = {"to": "scrapped", "reason": "screen broken beyond repair"}
ROW = (
    "SELECT state, revoked_because, password_hash IS NOT NULL, sealed IS NOT NULL, applied_at IS NULL"
    " FROM kit_credentials"
)


def path(kit: str) -> str:
    return f"/api/v1/kits/{kit}/credentials"


async def test_a_password_is_answered_once_and_stored_as_a_hash(database: str) -> None:
    add_kits(database, "K-1")
    async with api(database) as client:
        headers = {"Idempotency-Key": "one"}
        made = await client.post(path("K-1"), headers=headers)
        assert made.status_code == 201, made.text
        password = made.json()["password"]
        assert len(password) == 32
        again = await client.post(path("K-1"), headers=headers)
        assert again.status_code == 201
        assert again.json() == {**made.json(), "password": None}
        seen = (await client.get(path("K-1"))).json()
        assert "password" not in seen
        assert (seen["state"], seen["generation"], seen["applied_at"], seen["problem"]) == ("issued", 1, None, None)
        second = (await client.post(path("K-1"))).json()
        assert second["generation"] == 2
        assert second["password"] != password
    stored = value(database, "SELECT to_jsonb(c)::text FROM kit_credentials c")
    everything = rows(database, "SELECT to_jsonb(a)::text FROM audit a UNION ALL SELECT body::text FROM events")
    for text in (stored, *(text for (text,) in everything)):
        assert password not in text
        assert second["password"] not in text
    assert all("password_hash" not in text and "sealed" not in text for (text,) in everything)


async def test_every_look_and_change_is_told_in_the_audit(database: str) -> None:
    add_kits(database, "K-1")
    async with api(database) as client:
        await client.post(path("K-1"))
        await client.get(path("K-1"))
        await client.post(path("K-1"))
        await client.delete(path("K-1"))
    told = rows(database, "SELECT action FROM audit WHERE subject_kind = 'kit_credentials' ORDER BY audit_id")
    assert [action for (action,) in told] == [
        "kit_credentials.created",
        "kit_credentials.read",
        "kit_credentials.changed",
        "kit_credentials.changed",
    ]
    types = rows(database, "SELECT type, kit FROM events WHERE type LIKE 'credentials.%%' ORDER BY event_id")
    assert types == [("credentials.issued", "K-1")] * 2 + [("credentials.revoked", "K-1")]


async def test_what_is_not_there_or_gone_is_refused(database: str) -> None:
    add_kits(database, "K-1", state="in_stock")
    async with api(database) as client:
        problem(await client.get(path("K-1")), 404)
        problem(await client.delete(path("K-1")), 404)
        for answer in (await client.post(path("K-9")), await client.get(path("K-9")), await client.delete(path("K-9"))):
            problem(answer, 404)
        await client.post("/api/v1/kits/K-1/transitions", json=SCRAP)
        problem(await client.post(path("K-1")), 409)


@pytest.mark.parametrize("to", ["scrapped", "returned"])
async def test_with_the_kit_go_its_credentials(database: str, to: str) -> None:
    add_kits(database, "K-1", "K-2", state="in_stock")
    async with api(database) as client:
        for kit in ("K-1", "K-2"):
            await client.post(path(kit))
        await client.post("/api/v1/kits/K-1/transitions", json={"to": to, "reason": "beyond repair"})
        seen = (await client.get(path("K-1"))).json()
        assert (seen["state"], seen["revoked_because"], seen["applied_at"]) == ("revoked", "kit_gone", None)
        assert seen["revoked_by"] == seen["issued_by"]
    assert sorted(rows(database, ROW)) == [
        ("issued", None, True, True, True),
        ("revoked", "kit_gone", False, False, True),
    ]


async def test_a_step_taken_back_gives_no_credentials_back(database: str) -> None:
    async with books(database) as connection:
        ledger_world.add_catalogue(database)
        await ledger_world.add_kits(connection, "K-1")
        await store.issue(connection, "K-1", by="test", envelope=None)
        scrap = KitStep(KitState.SCRAPPED, occurred_at=ago(2), override=True, reason="beyond repair")
        taken = await take_kit_step(connection, "K-1", scrap, by=SYSTEM)
        assert isinstance(taken, Taken), taken
        taking_back = Correction("it was another one", void=True)
        await correct(connection, taken.event_ids[-1], taking_back, by=SYSTEM)
        assert value(database, "SELECT state FROM kits") == "preparing"
        assert value(database, "SELECT state FROM kit_credentials") == "revoked"


async def test_new_credentials_take_the_mark_back(database: str) -> None:
    add_kits(database, "K-1")
    mark = "SELECT credentials_revoked_at IS NOT NULL FROM kits"
    async with api(database) as client:
        await client.post(path("K-1"))
        await client.delete(path("K-1"))
        assert value(database, mark)
        await client.post(path("K-1"))
        assert not value(database, mark)
    assert rows(database, ROW) == [("issued", None, True, True, True)]


async def test_an_import_that_scraps_revokes(database: str, tmp_path: Path) -> None:
    add_kits(database, "K-1", state="in_stock")
    async with api(database) as client:
        await client.post(path("K-1"))
    (tmp_path / "kits.csv").write_text("kit,state\nK-1,scrapped\n")
    done = run(database, "kits", "import", "--update", str(tmp_path / "kits.csv"))
    assert done.returncode == 0, done.stderr
    assert rows(database, ROW) == [("revoked", "kit_gone", False, False, True)]


async def test_others_kits_and_other_roles_are_kept_out(database: str) -> None:
    add_organisations(database, "hjorring", "aalborg")
    add_kits(database, "K-1")
    whose = "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations WHERE slug = 'hjorring')"
    execute(database, whose)
    async with running_app(database) as app:
        for role, organisation, status in ((Role.SUPPORT, None, 403), (Role.ADMIN, "aalborg", 404)):
            token = await make_token(database, role, organisation=organisation)
            async with caller(app, token) as client:
                for method in ("GET", "POST", "DELETE"):
                    problem(await client.request(method, path("K-1")), status)
    assert value(database, "SELECT count(*) FROM kit_credentials") == 0


def test_no_process_but_the_worker_reads_hashes(database: str) -> None:
    asked = [
        (role, f"SELECT {column} FROM kit_credentials")
        for role in ("fleet_api", "fleet_ingest")
        for column in ("password_hash", "salt", "sealed")
    ]
    with psycopg.connect(database, autocommit=True) as connection:
        for role, query in [*asked, ("fleet_api", "SELECT revoke_credentials(ARRAY[1], 'kit_gone')")]:
            connection.execute(f"SET ROLE {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query.encode())
            connection.execute("RESET ROLE")


def run(database: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    given = environment(database_url=database, secret_key=KEY, **settings)
    command = [sys.executable, "-m", "fleet", *arguments]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)


def passwords(file: Path) -> dict[str, str]:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open(newline="") as lines:
        return {row["kit"]: row["password"] for row in csv.DictReader(lines)}


def test_many_at_once_go_to_a_file_of_their_own(database: str, tmp_path: Path) -> None:
    add_kits(database, "K-1", "K-2")
    add_kits(database, "K-3", state="scrapped")
    first = run(database, "broker", "credentials", str(tmp_path / "one.csv"), "--kits", "K-1")
    assert first.returncode == 0, first.stderr
    rest = run(database, "broker", "credentials", str(tmp_path / "two.csv"), "--missing", "--by-file")
    assert rest.returncode == 0, rest.stderr
    given = {**passwords(tmp_path / "one.csv"), **passwords(tmp_path / "two.csv")}
    assert set(given) == {"K-1", "K-2"}
    for text in (first.stdout, rest.stdout):
        assert not any(password in text for password in given.values())
    status = run(database, "broker", "status", "--json")
    assert json.loads(status.stdout) | {"oldest_s": 0} == {
        "entering": 1,
        "leaving": 0,
        "for_file": 1,
        "oldest_s": 0,
        "problem": None,
    }
    urls = {"mqtt_url": "mqtt://fleet:one@127.0.0.1", "mqtt_admin_url": "mqtt://admin:two@127.0.0.1"}
    made = run(database, "broker", "config", str(tmp_path / "broker.json"), **urls)
    assert made.returncode == 0, made.stderr
    told = "SELECT after FROM audit WHERE action = 'kit_credentials.exported'"
    assert value(database, told) == {"rows": 2}
    content: dict[str, Any] = json.loads((tmp_path / "broker.json").read_text())
    assert [each["username"] for each in content["clients"]] == ["admin", "fleet", "K-1", "K-2"]
    assert not any(password in (tmp_path / "broker.json").read_text() for password in given.values())


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["credentials", "{}/x.csv"], {}, "--missing"),
        (["credentials", "{}/x.csv", "--kits", "K-1", "--missing"], {}, "--missing"),
        (["credentials", "{}/x.csv", "--kits", "K-1", "--by-file"], {}, "--missing"),
        (["credentials", "{}/x.csv", "--kits", "K-1,K-1"], {}, "each once"),
        (["credentials", "{}", "--kits", "K-1"], {}, "File exists"),
        (["credentials", "{}/x.csv", "--kits", "K-9"], {}, "K-9"),
        (["credentials", "{}/x.csv", "--missing", "--organisation", "nowhere"], {}, "nowhere"),
        (["config", "{}/x.json"], {}, "FLEET_MQTT_ADMIN_URL"),
        (["config", "{}/x.json"], {"mqtt_admin_url": "mqtt://h", "mqtt_url": "mqtt://h"}, "no user and password"),
    ],
)
def test_wrong_use_is_one_line(
    database: str, tmp_path: Path, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    add_kits(database, "K-1")
    done = run(database, "broker", *(each.format(tmp_path) for each in arguments), **settings)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert value(database, "SELECT count(*) FROM kit_credentials") == 0
