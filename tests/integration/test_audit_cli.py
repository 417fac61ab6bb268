"""`fleet audit …` and `fleet retention …` as an administrator types them, and the worker that keeps the chain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from fleet.alerts import sealer
from tests.integration.test_audit_chain import check, seal_all, tampering, write_lines
from tests.integration.test_users_cli import fleet
from tests.support import execute, rows, value


async def test_the_audit_verifies_until_somebody_changes_it(database: str, tmp_path: Path) -> None:
    write_lines(database, 3)
    await seal_all(database)
    head = fleet(database, tmp_path, "audit", "head").stdout.strip()
    assert head.partition(":")[0] == str(value(database, "SELECT count(*) FROM audit"))
    good = fleet(database, tmp_path, "audit", "verify", "--head", head)
    assert good.returncode == 0, good.stderr
    assert "1 noted heads compared: no faults" in good.stdout
    line = value(database, "SELECT max(audit_id) FROM audit")
    with tampering(database) as connection:
        connection.execute("UPDATE audit SET actor = 'somebody else' WHERE audit_id = %s", (line,))
    bad = fleet(database, tmp_path, "audit", "verify", "--json")
    assert bad.returncode == 1
    told = json.loads(bad.stdout)
    assert told["faults"] == 1
    assert told["findings"][0]["audit_id"] == line
    assert told["findings"][0]["fault"] == "hash_differs"
    assert f"line {line}: its row was changed" in fleet(database, tmp_path, "audit", "verify").stdout
    wrong = fleet(database, tmp_path, "audit", "verify", "--head", "7")
    assert (wrong.returncode, "POSITION:HASH" in wrong.stderr) == (2, True)


def test_the_audit_is_written_to_a_file(database: str, tmp_path: Path) -> None:
    write_lines(database, 2)
    assert fleet(database, tmp_path, "audit", "export", "audit.ndjson").returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "audit.ndjson").read_text().splitlines()]
    assert [line["action"] for line in lines[-3:]] == ["models.changed", "models.changed", "audit.exported"]
    assert lines[-1]["actor"].startswith("command line (")
    later = fleet(database, tmp_path, "audit", "export", "--from", "2999-01-01", "--format", "csv", "-")
    assert later.stdout.startswith("id,at,actor,")
    assert len(later.stdout.splitlines()) == 1
    missing = fleet(database, tmp_path, "audit", "export", "no/such/folder")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.ndjson"]


def test_retention_is_shown_set_and_applied(database: str, tmp_path: Path) -> None:
    execute(database, "INSERT INTO events (at, type, body) SELECT now() - interval '9 days', 'x', '{}'")
    assert fleet(database, tmp_path, "retention", "set", "events", "10").stdout == "events is kept for 10 days\n"
    wrong = fleet(database, tmp_path, "retention", "set", "events", "1000")
    assert (wrong.returncode, wrong.stderr) == (2, "fleet: keep_days: must lie between 1 and 90 for events\n")
    assert json.loads(fleet(database, tmp_path, "retention", "run", "--dry-run", "--json").stdout)["events"] == 0
    fleet(database, tmp_path, "retention", "set", "events", "8")
    assert fleet(database, tmp_path, "retention", "run", "--dry-run").stdout == "events: 1 would be removed\n"
    assert value(database, "SELECT count(*) FROM events") == 1
    assert fleet(database, tmp_path, "retention", "run").stdout == "events: 1 removed\n"
    assert fleet(database, tmp_path, "retention", "run").stdout == "nothing is past its time\n"
    items = json.loads(fleet(database, tmp_path, "retention", "show", "--json").stdout)["items"]
    shown = {each["kind"]: each for each in items}
    assert (shown["events"]["keep_days"], shown["events"]["last_removed"]) == (8, 1)
    assert "events" in fleet(database, tmp_path, "retention", "show").stdout
    (actor,) = rows(database, "SELECT DISTINCT actor FROM audit WHERE action = 'retention.applied'")[0]
    assert actor.startswith("command line (")


async def test_the_worker_chains_what_is_written_and_shows_what_waits(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "EVERY_S", 0.0)
    write_lines(database, 5)
    lines = value(database, "SELECT count(*) FROM audit")
    seen: list[tuple[float | None, ...]] = []

    async def pause(_: float) -> None:
        names = ("chain_position", "unsealed_lines", "unsealed_age_seconds")
        seen.append(tuple(REGISTRY.get_sample_value(f"fleet_audit_{name}") for name in names))

    await sealer.keep_sealed(database, lambda: len(seen) < 2, pause)
    assert seen[-1] == (lines, 0.0, 0.0)
    assert REGISTRY.get_sample_value("fleet_audit_chain_position") == 0, "another process shows it from now on"
    assert (await check(database)).unsealed == 0
