"""Importing kits: all or nothing, opening balances, updates; and the command line around it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from fleet.db.connect import connect
from tests.exchanging import MODELS, bring, differences, take, told
from tests.support import environment, execute, rows, value

Connection = AsyncConnection[Any]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """A connection to this test's database."""
    opened = await connect(database, role="test", statement_timeout_s=None)
    yield opened
    await opened.close()


async def test_kits_enter_as_opening_balances(connection: Connection, database: str) -> None:
    execute(database, "UPDATE listening SET clock_s = 77")
    report = await bring(
        connection,
        "kits",
        "kit,state,expected_interval_s,organisation,wanted_components,since\n"
        "K-1,installed,7200,Aalborg Kommune,,2026-01-02T03:04:05Z\n"
        "K-2,,,aalborg-kommune,app=2,\n",
    )
    assert (report.done, report.created, report.organisations_created) == (True, 2, ("aalborg-kommune",))
    assert rows(database, "SELECT kit, state, expected_interval_s FROM kits ORDER BY kit") == [
        ("K-1", "installed", 7200),
        ("K-2", "in_stock", 300),
    ]
    assert rows(
        database, "SELECT watch_allowance_s, watch_interval_s, watch_from_clock_s FROM kit_latest ORDER BY kit_id"
    ) == [(10800, 7200, 77), (None, None, None)]
    assert rows(database, "SELECT what, before, actor FROM book_events") == [("opening", None, "command line")] * 2
    since = value(database, "SELECT occurred_at FROM book_events WHERE kit_id = 1")
    assert since.isoformat() == "2026-01-02T03:04:05+00:00"
    assert rows(database, "SELECT type, body FROM events") == [("kits.imported", {"created": 2, "updated": 0})]
    assert rows(database, "SELECT slug, name FROM organisations") == [("aalborg-kommune", "Aalborg Kommune")]


async def test_nothing_enters_when_any_line_is_bad(connection: Connection, database: str) -> None:
    await bring(connection, "kits", "kit\nK-1\n")
    text = "kit,tolerance\nK-1,\nK-2,\nK 3,\nK-2,\nK-5,0.5\n"
    report = await bring(connection, "kits", text)
    assert not report.done
    assert told(report) == [
        (2, "K-1", "kit: exists already"),
        (4, "K 3", "kit: 'K 3' is no kit id: 1 to 64 of A-Z a-z 0-9 _ -"),
        (5, "K-2", "kit: stands in line 3 already"),
        (6, "K-5", "tolerance: must be 1 to 100 intervals"),
    ]
    assert value(database, "SELECT count(*) FROM kits") == 1


async def test_a_dry_run_tells_what_would_be_and_stores_nothing(connection: Connection, database: str) -> None:
    text = "kit,organisation,location,kit_type\nK-1,Nord,Depot 1,copd\nK-2,,,\n"
    audited = value(database, "SELECT count(*) FROM audit")
    report = await bring(connection, "kits", text, dry_run=True)
    assert (report.done, report.dry_run, report.created, report.bad) == (False, True, 2, ())
    assert report.organisations_created == ("nord",)
    for table in ("kits", "organisations", "locations", "kit_types", "book_events", "events"):
        assert value(database, f"SELECT count(*) FROM {table}") == 0, table
    assert value(database, "SELECT count(*) FROM audit") == audited
    assert (await bring(connection, "kits", text)).created == 2


async def test_with_skip_bad_the_good_lines_enter(connection: Connection, database: str) -> None:
    await bring(connection, "kits", "kit,label\nK-1,kept\n")
    text = "kit,label,organisation\nK-1,other,only-here\nK-2,,\nK 3,,\nK-2,,\n"
    report = await bring(connection, "kits", text, skip_bad=True)
    assert (report.done, report.created, [bad.line for bad in report.bad]) == (True, 1, [2, 4, 5])
    assert rows(database, "SELECT kit, label FROM kits ORDER BY kit") == [("K-1", "kept"), ("K-2", "")]
    assert value(database, "SELECT count(*) FROM organisations") == 0


async def test_an_update_changes_what_the_file_says_and_no_more(connection: Connection, database: str) -> None:
    execute(database, "UPDATE listening SET clock_s = 10")
    start = "kit,label,state,wanted_components\nK-1,one,installed,app=1\nK-2,,installed,\n"
    await bring(connection, "kits", start)
    execute(database, "UPDATE listening SET clock_s = 20")
    text = "kit,label,expected_interval_s,state\nK-1,two,,\nK-1,,60,\nK-2,,,lost\nK-3,,,installed\n"
    report = await bring(connection, "kits", text, update=True)
    assert (report.created, report.updated, report.unchanged) == (1, 2, 0)
    assert rows(database, "SELECT kit, label, state, revision, wanted_components FROM kits ORDER BY kit") == [
        ("K-1", "two", "installed", 2, {"app": "1"}),
        ("K-2", "", "lost", 2, {}),
        ("K-3", "", "installed", 1, {}),
    ]
    assert rows(
        database, "SELECT watch_allowance_s, watch_interval_s, watch_from_clock_s FROM kit_latest ORDER BY kit_id"
    ) == [(180, 60, 10), (None, None, None), (900, 300, 20)]
    logged = rows(
        database, "SELECT kit_id, what, after ->> 'state' FROM book_events WHERE before IS NOT NULL ORDER BY 1"
    )
    assert logged == [(1, "edit", "installed"), (2, "opening", "lost")]
    assert rows(database, "SELECT kit_id FROM evaluation_queue ORDER BY 1") == [(1,), (2,)]
    assert await differences(connection) == []


async def test_an_update_takes_pieces_and_placements_along(connection: Connection, database: str) -> None:
    await bring(connection, "models", MODELS)
    await bring(connection, "kits", "kit,state,organisation\nK-1,installed,nord\nK-2,installed,nord\n")
    await bring(connection, "components", "manufacturer,model,serial,kit\nMaker,Tab,S-1,K-1\n")
    await bring(connection, "placements", "reference,organisation,kit\nKOL-1,nord,K-1\nKOL-2,nord,K-2\n")
    moved = "kit,organisation,state,location\nK-1,syd,,\nK-2,,retrieved,depot\n"
    assert (await bring(connection, "kits", moved, update=True)).updated == 2
    slug = "SELECT o.slug FROM components c JOIN organisations o USING (organisation_id)"
    assert value(database, slug) == "syd"
    assert rows(database, "SELECT state FROM placements ORDER BY placement_id") == [("active",), ("ended",)]
    assert await differences(connection) == []
    report = await bring(connection, "kits", "kit,state\nK-1,scrapped\n", update=True)
    assert told(report) == [(2, "K-1", "state: pieces are still in it, and it would be scrapped")]


async def test_a_second_import_of_the_same_leaves_no_trace(connection: Connection, database: str) -> None:
    text = "kit,state,organisation\n" + "".join(f"K-{number},installed,nord\n" for number in range(5))
    await bring(connection, "kits", text, update=True)
    before = value(database, "SELECT count(*) FROM book_events")
    report = await bring(connection, "kits", text, update=True)
    assert (report.created, report.updated, report.unchanged) == (0, 0, 5)
    assert value(database, "SELECT count(*) FROM book_events") == before
    assert value(database, "SELECT count(*) FROM events") == 1


async def test_export_and_import_are_each_others_inverse(connection: Connection) -> None:
    await bring(
        connection,
        "kits",
        "kit,label,state,organisation,kit_type,expected_interval_s,tolerance,wanted_components\n"
        'K-1,"Æble; ""x""",installed,Nord,copd,600,1.5,app=1;os=14\n'
        "K-2,'=1+1,,,,,,\n",
    )
    text = await take(connection, "kits")
    report = await bring(connection, "kits", text, update=True)
    assert (report.updated, report.unchanged, report.bad) == (0, 2, ())


async def test_an_import_waits_for_an_edit_that_is_on(connection: Connection, database: str) -> None:
    await bring(connection, "kits", "kit\nK-1\n")
    with psycopg.connect(database) as other:
        other.execute("UPDATE kits SET label = 'x' WHERE kit = 'K-1'")
        await connection.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await bring(connection, "kits", "kit\nK-2\n")
    assert value(database, "SELECT count(*) FROM kits") == 1


def fleet(database: str, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "fleet", *arguments],
        env=environment(database_url=database),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_the_command_line_imports_and_exports(database: str, tmp_path: Path) -> None:
    file = tmp_path / "kits.csv"
    file.write_text("kit;state\nK-1;installed\nK-2;\n")
    done = fleet(database, "kits", "import", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 kits entered, 0 changed, 0 as they were, 0 lines left out\n"

    again = fleet(database, "kits", "import", str(file))
    assert again.returncode == 1
    assert again.stderr.splitlines() == [
        "line 2 (K-1): kit: exists already",
        "line 3 (K-2): kit: exists already",
        "fleet: nothing was imported: 2 bad lines (--skip-bad imports the others)",
    ]
    as_json = fleet(database, "kits", "import", "-", "--update", "--json", stdin=b"kit,label\nK-1,x\nK-3,\n")
    report = json.loads(as_json.stdout)
    assert (report["created"], report["updated"], report["done"]) == (1, 1, True)

    out = tmp_path / "out.csv"
    assert fleet(database, "kits", "export", str(out)).returncode == 0
    printed = fleet(database, "kits", "export").stdout
    assert printed == out.read_text()
    assert re.fullmatch(r"K-1,x,installed,,,300,,,,,\S+Z", printed.splitlines()[1])
    dry = fleet(database, "kits", "import", "-", "--dry-run", stdin=b"kit\nK-1\nK-9\n")
    assert (dry.returncode, dry.stderr.splitlines()[0]) == (1, "line 2 (K-1): kit: exists already")
    dry = fleet(database, "kits", "import", "-", "--dry-run", stdin=b"kit\nK-9\n")
    assert dry.stdout == "1 kits would be entered, 0 changed, 0 as they were, 0 lines left out\n"
    assert fleet(database, "kits", "export").stdout == printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kits.csv", "out.csv"]


def test_wrong_use_is_one_clear_line(database: str, empty_database: str, tmp_path: Path) -> None:
    file = tmp_path / "kits.csv"
    file.write_text("kit,colour\nK-1,red\n")
    for dsn, arguments, code, said in (
        (database, ("kits", "import", str(file)), 2, "unknown column 'colour'"),
        (database, ("kits", "import", str(tmp_path / "none.csv")), 2, "No such file"),
        (database, ("kits", "export", str(tmp_path / "no" / "folder.csv")), 2, "No such file"),
        (database, ("token", "revoke", "99"), 1, "no token named '99'"),
        (database, ("token", "create", "--name", " ", "--role", "admin"), 2, "name"),
        (empty_database, ("token", "list"), 1, "fleet migrate"),
        ("postgresql://x@127.0.0.1:1/x", ("token", "list"), 1, "database"),
    ):
        done = fleet(dsn, *arguments)
        assert done.returncode == code, (arguments, done)
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_tokens_on_the_command_line(database: str) -> None:
    plain = fleet(database, "token", "create", "--name", "Scripts", "--role", "support")
    assert plain.stdout.startswith("flt_")
    assert len(plain.stdout.split()) == 1
    made = json.loads(
        fleet(database, "token", "create", "--name", "CI", "--role", "admin", "--expires-days", "2", "--json").stdout
    )
    assert made["token"].endswith(made["hint"])
    listed = fleet(database, "token", "list").stdout
    assert "Scripts" in listed
    assert made["token"] not in listed
    assert fleet(database, "token", "revoke", str(made["id"])).returncode == 0
    states = {
        token["name"]: token["revoked_at"]
        for token in json.loads(fleet(database, "token", "list", "--json").stdout)["items"]
    }
    assert states["Scripts"] is None
    assert states["CI"]


async def test_many_kits_take_seconds(connection: Connection, database: str) -> None:
    """A loose bound against row-by-row work: 20,000 kits one by one would take far longer."""
    text = "kit,state\n" + "".join(f"K-{number:06d},installed\n" for number in range(20_000))
    started = time.monotonic()
    await bring(connection, "kits", text)
    assert time.monotonic() - started < 30
    assert value(database, "SELECT count(*) FROM kit_latest") == 20_000
