"""Models, components and placements in, everything out: all or none, by number and reason, and the books agree."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet.api.exportable import EXPORTS
from fleet.db.connect import connect
from fleet.db.migrate import migrate
from fleet.state.exchange.exports import Format
from tests.exchanging import MODELS, Connection, bring, differences, take, told
from tests.support import environment, rows, value

PIECE = "manufacturer,model,serial"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """A connection to this test's database."""
    opened = await connect(database, role="test", statement_timeout_s=None)
    yield opened
    await opened.close()


async def test_models_enter_and_are_described_anew(connection: Connection, database: str) -> None:
    report = await bring(connection, "models", MODELS)
    assert (report.done, report.created) == (True, 4)
    text = "manufacturer,name,kind,price\nmaker,TAB,tablet,1000\nMaker,Card,tablet,\nMaker,New,sim,\nMaker,new,sim,\n"
    report = await bring(connection, "models", text)
    assert told(report) == [
        (2, "maker TAB", "name: exists already"),
        (3, "Maker Card", "name: exists already"),
        (5, "Maker new", "name: stands in line 4 already"),
    ]
    report = await bring(connection, "models", text, update=True, skip_bad=True)
    assert (report.created, report.updated, report.unchanged) == (1, 1, 0)
    assert told(report)[0] == (3, "Maker Card", "kind: is sim in the books and stays so")
    assert rows(database, "SELECT name, price, revision FROM models WHERE price IS NOT NULL") == [("Tab", 1000, 2)]


async def test_components_enter_as_they_stand(connection: Connection, database: str) -> None:
    await bring(connection, "models", MODELS)
    await bring(connection, "kits", "kit,organisation,owner\nK-1,aalborg,nord\n")
    report = await bring(
        connection,
        "components",
        f"{PIECE},asset_tag,state,since,kit,location,organisation,supplier,calibrated_on,imei\n"
        "Maker,Tab,T-1,A-1,,2025-01-02,K-1,,,Shop,,490154203237518\n"
        "maker,oxi,O-1,,faulty,,K-1,,,,2026-01-01,\n"
        "Maker,Scale,S-1,,,2025-02-03,,Depot,nord,,,\n"
        "Maker,Card,C-1,,in_repair,,,,nord,,,\n",
    )
    assert told(report) == []
    assert (report.created, report.organisations_created) == (4, ("shop",))
    found = rows(
        database,
        "SELECT c.serial, c.state, k.kit, l.slug, o.slug, w.slug, c.calibration_due::text FROM components c"
        " LEFT JOIN kits k USING (kit_id) LEFT JOIN locations l ON l.location_id = c.location_id"
        " LEFT JOIN organisations o ON o.organisation_id = c.organisation_id"
        " LEFT JOIN organisations w ON w.organisation_id = c.owner_id ORDER BY component_id",
    )
    assert found == [
        ("T-1", "in_kit", "K-1", None, "aalborg", "nord", None),
        ("O-1", "faulty", "K-1", None, "aalborg", "nord", "2027-01-01"),
        ("S-1", "in_stock", None, "depot", "nord", "nord", None),
        ("C-1", "in_repair", None, None, "nord", "nord", None),
    ]
    assert value(database, "SELECT count(*) FROM kit_components WHERE upper_inf(during)") == 2
    assert await differences(connection) == []


async def test_every_bad_component_is_told_by_number_and_reason(connection: Connection, database: str) -> None:
    await bring(connection, "models", MODELS)
    await bring(connection, "kits", "kit,state,organisation\nK-1,,nord\nK-2,scrapped,nord\n")
    await bring(connection, "components", f"{PIECE},asset_tag\nMaker,Tab,T-1,A-1\n")
    text = (
        f"{PIECE},asset_tag,kit,imei,note,organisation,since,order_line_id\n"
        "Maker,Tab,T-1,,,,,,\n"
        'Maker,Tab,T-2,A-1,,,"two\nlines",,\n'
        "Maker,Tab,T-3,A-1,,,,,\n"
        "Maker,None,T-4,,,,,,\n"
        "Maker,Scale,S-1,,,490154203237518,,,\n"
        "Maker,Tab,T-5,,K-9,,,,\n"
        "Maker,Tab,T-6,,K-2,,,,\n"
        "Maker,Tab,T-7,,K-1,,,syd,\n"
        "Maker,Tab,T-8,,,,,,2999-01-01\n"
        "Maker,Tab,T-9,B,,,,,\n"
        "Maker,Tab,T-10,B,,,,,\n"
        "Maker,Tab,T-9,,,,,,\n"
        "Maker,Tab,T-11,,,,,,,7\n"
    )
    report = await bring(connection, "components", text, dry_run=True)
    assert told(report) == [
        (2, "Maker Tab T-1", "serial: is in the books already"),
        (3, "Maker Tab T-2", "note: holds a line break or another control character"),
        (5, "Maker Tab T-3", "asset_tag: is in the books already"),
        (6, "Maker None T-4", "model: there is no Maker None: enter the model first"),
        (7, "Maker Scale S-1", "imei: a scale has none"),
        (8, "Maker Tab T-5", "kit: there is no K-9"),
        (9, "Maker Tab T-6", "kit: K-2 is scrapped"),
        (10, "Maker Tab T-7", "organisation: is another than that of its kit"),
        (11, "Maker Tab T-8", "since: must lie between 1990-01-01 and 2199-12-31"),
        (13, "Maker Tab T-10", "asset_tag: stands in line 12 already"),
        (14, "Maker Tab T-9", "serial: stands in line 12 already"),
        (15, "Maker Tab T-11", "order_line_id: there is no line 7 for this model"),
    ]
    assert (report.done, report.created) == (False, 0)
    assert not (await bring(connection, "components", text)).done
    assert value(database, "SELECT count(*) FROM components") == 1
    report = await bring(connection, "components", text, skip_bad=True)
    assert (report.done, report.created, len(report.bad)) == (True, 1, 12)
    assert rows(database, "SELECT serial FROM components ORDER BY component_id") == [("T-1",), ("T-9",)]
    assert value(database, "SELECT count(*) FROM organisations WHERE slug = 'syd'") == 0


async def test_an_update_describes_and_does_not_move(connection: Connection, database: str) -> None:
    await bring(connection, "models", MODELS)
    await bring(
        connection, "components", f"{PIECE},note,price,location\nMaker,Tab,T-1,old,100,depot\nMaker,Tab,T-2,,,\n"
    )
    text = f"{PIECE},note,supplier,location\nMaker,Tab,T-1,new,Shop,depot\nMaker,Tab,T-2,,,\nMaker,Tab,T-3,,,\n"
    report = await bring(connection, "components", text, update=True)
    assert (report.created, report.updated, report.unchanged) == (1, 1, 1)
    edits = rows(database, "SELECT before, after, component_id FROM book_events WHERE what = 'edit'")
    assert edits == [({"note": "old", "supplier": None}, {"note": "new", "supplier": "shop"}, 1)]
    report = await bring(connection, "components", f"{PIECE},state\nMaker,Tab,T-1,lost\n", update=True)
    assert told(report) == [(2, "Maker Tab T-1", "state: is in_stock in the books; take a step")]
    assert await differences(connection) == []


async def test_placements_begin_when_they_began(connection: Connection, database: str) -> None:
    await bring(
        connection,
        "kits",
        "kit,state,organisation,since,location\nK-1,installed,nord,2026-01-05,\nK-2,paused,nord,2026-01-05,depot\n"
        "K-3,in_stock,nord,,depot\nK-4,installed,nord,2026-01-05,\nK-5,faulty,nord,,depot\nK-6,installed,nord,,\n",
    )
    await bring(connection, "kits", "kit,location\nK-4,depot\n", update=True)
    text = (
        "reference,organisation,kit,begun,planned_until,programme\n"
        "KOL-1,nord,K-1,2025-06-01,2027-01-01,copd\nKOL-2,nord,K-2,2025-06-01,,\nKOL-3,nord,K-3,,,\n"
        "KOL-4,nord,K-4,2026-02-01,,\nKOL-5,nord,K-5,2026-06-01,,\nKOL-6,nord,K-6,,,\nKOL-7,nord,,,,\n"
    )
    dry = await bring(connection, "placements", text, dry_run=True)
    assert (dry.created, dry.bad) == (7, ())
    assert value(database, "SELECT count(*) FROM placement_references") == 0
    report = await bring(connection, "placements", text)
    assert (report.done, report.created) == (True, 7)
    entered = "SELECT reference, p.state FROM placements p JOIN placement_references USING (reference_id) ORDER BY 1"
    assert rows(database, entered) == [
        (f"KOL-{number}", "planned" if number in (3, 7) else "active") for number in range(1, 8)
    ]
    homes = "SELECT kit, location_id FROM kits WHERE placement_id IS NOT NULL ORDER BY 1"
    assert rows(database, homes) == [(f"K-{number}", None) for number in (1, 2, 4, 5, 6)]
    begun = "SELECT lower(y.during)::date::text FROM stays y JOIN kits USING (kit_id) WHERE kit = 'K-1'"
    assert rows(database, begun) == [("2025-06-01",)]
    assert await differences(connection) == []
    again = await bring(connection, "placements", text, skip_bad=True)
    assert [bad.reason for bad in again.bad] == [
        *["kit: is with a citizen already"] * 2,
        "kit: has another placement planned",
        *["kit: is with a citizen already"] * 3,
    ]


async def test_a_placement_that_the_books_contradict_is_refused(connection: Connection, database: str) -> None:
    await bring(connection, "kits", "kit,state,organisation,since\nK-1,in_stock,nord,2026-01-01\nK-2,installed,nord,\n")
    await bring(connection, "kits", "kit,state\nK-1,installed\n", update=True)
    text = (
        "reference,organisation,kit,state,begun\nKOL-1,nord,K-1,,2025-01-01\nKOL-2,nord,K-9,,\n"
        "KOL-3,nord,K-2,,2199-01-01\nKOL-4,nord,K-2,,\n"
    )
    report = await bring(connection, "placements", text)
    assert told(report) == [
        (
            2,
            "K-1 nord",
            "begun: after that the books have the kit in another state or place, or with another organisation",
        ),
        (3, "K-9 nord", "kit: there is no K-9"),
        (4, "K-2 nord", "begun: lies in the future"),
        (5, "K-2 nord", "kit: stands in line 4 already"),
    ]
    assert value(database, "SELECT count(*) FROM placements") == 0


async def test_what_is_exported_makes_the_same_books(
    connection: Connection, database: str, empty_database: str
) -> None:
    await bring(connection, "models", MODELS)
    await bring(
        connection,
        "kits",
        "kit,label,state,organisation,owner,location,kit_type,wanted_components,since\n"
        "K-1,'=cmd,installed,aalborg,nord,,copd,app=1;os=2,2025-01-01\n-K2,,in_stock,nord,,Depot 1,,,2025-01-01\n",
    )
    await bring(
        connection,
        "components",
        f"{PIECE},kit,location,organisation,price,note,calibrated_on,lessor\n"
        'Maker,Tab,@1,K-1,,,10.5,"a; ""b"", c",,L A\n'
        "Maker,Oxi,+2,,Depot 1,nord,,-,2026-01-01,\n",
    )
    placed = "reference,organisation,kit,begun\nKOL-1,aalborg,K-1,2025-03-01\nKOL-2,aalborg,-K2,\n"
    assert (await bring(connection, "placements", placed)).done
    files = {kind: await take(connection, kind) for kind in ("models", "kits", "components", "placements", "stays")}
    assert "'@1" in files["components"]
    assert "'-K2" in files["kits"]

    await asyncio.to_thread(migrate, empty_database)
    other = await connect(empty_database, role="test")
    async with other:
        for kind in ("models", "kits", "components", "placements"):
            report = await bring(other, kind, files[kind])
            assert (report.done, told(report)) == (True, []), kind
        assert {kind: await take(other, kind) for kind in files} == files
        assert await differences(other) == []


async def test_every_kind_is_exported_in_both_forms(connection: Connection) -> None:
    await bring(connection, "models", MODELS)
    await bring(connection, "kits", "kit,state,organisation,location\nK-1,installed,nord,depot\nK-2,,syd,depot\n")
    await bring(connection, "components", f"{PIECE},kit\nMaker,Tab,T-1,K-1\n")
    await bring(connection, "placements", "reference,organisation,kit\nKOL-1,nord,K-1\n")
    for kind, export in EXPORTS.items():
        for organisation in (None, "nord") if export.by_organisation else (None,):
            lines = (await take(connection, kind, Format.NDJSON, organisation)).splitlines()
            told_by_csv = (await take(connection, kind, Format.CSV, organisation)).splitlines()
            assert len(told_by_csv) == len(lines) + 1, kind
            for line in lines:
                assert list(json.loads(line)) == told_by_csv[0].split(","), kind
    assert [
        json.loads(line)["kit"] for line in (await take(connection, "kits", Format.NDJSON, "syd")).splitlines()
    ] == ["K-2"]


async def test_many_components_take_seconds(connection: Connection, database: str) -> None:
    """A loose bound against row-by-row work, also where the planner knows nothing of the tables."""
    await bring(connection, "models", MODELS)
    await bring(connection, "kits", "kit,organisation\n" + "".join(f"K-{number},nord\n" for number in range(1000)))
    pieces = (f"Maker,Tab,T-{n},{f'K-{n % 1000}' if n % 2 else ''},{'' if n % 2 else 'depot'}\n" for n in range(10_000))
    text = f"{PIECE},kit,location\n" + "".join(pieces)
    started = time.monotonic()
    report = await bring(connection, "components", text)
    assert time.monotonic() - started < 60
    assert report.created == value(database, "SELECT count(*) FROM components") == 10_000
    assert await differences(connection) == []


def fleet(database: str, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "fleet", *arguments],
        env=environment(database_url=database),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_the_command_line(database: str, tmp_path: Path) -> None:
    assert fleet(database, "models", "import", "-", stdin=MODELS.encode()).stdout.startswith(b"4 models entered")
    file = tmp_path / "components.csv"
    file.write_text(f"{PIECE}\nMaker,Tab,T-1\nMaker,Gone,T-2\n")
    dry = fleet(database, "components", "import", str(file), "--dry-run", "--json")
    assert (dry.returncode, json.loads(dry.stdout)["bad"][0]["line"]) == (1, 3)
    done = fleet(database, "components", "import", str(file), "--skip-bad")
    assert done.stdout == b"1 components entered, 0 changed, 0 as they were, 1 lines left out\n"
    placed = fleet(database, "placements", "import", "-", stdin=b"reference,organisation\nKOL-1,nord\n")
    assert placed.returncode == 0, placed.stderr
    out = tmp_path / "out.ndjson"
    assert fleet(database, "export", "placements", "--format", "ndjson", str(out)).returncode == 0
    assert json.loads(out.read_text())["reference"] == "KOL-1"
    assert rows(database, "SELECT action, subject FROM audit WHERE action = 'placement.exported'") == [
        ("placement.exported", "placements")
    ]
    wrong = fleet(database, "export", "nothing")
    assert (wrong.returncode, wrong.stderr.count(b"\n")) == (2, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["components.csv", "out.ndjson"]
