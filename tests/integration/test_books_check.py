"""The books are compared with their log, said in words where they differ, and repaired."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet.access.principal import SYSTEM
from fleet.state.ledger.assigning import assign_kit
from fleet.state.ledger.check import check, rebuild
from fleet.state.ledger.moves import move_component, move_kit
from fleet.state.ledger.steps import KitStep, Taken, take_kit_step
from fleet.state.ledger.swaps import Swap, swap
from fleet.state.lifecycle import KitState
from tests.exchanging import bring
from tests.ledger_world import (
    Connection,
    add_catalogue,
    add_kits,
    add_pieces,
    add_placement,
    ago,
    books,
    differences,
    organisation_id,
)
from tests.support import Process, environment, execute, value

TROUBLES = {
    "UPDATE kits SET state = 'scrapped' WHERE kit = 'K-1'": "state is scrapped and by the log preparing",
    "UPDATE kits SET location_id = NULL WHERE kit = 'K-1'": "location is nothing and by the log",
    "UPDATE kits SET owner_id = NULL WHERE kit = 'K-1'": "owner is nothing and by the log",
    "UPDATE kits SET state_since = now() WHERE kit = 'K-1'": "since is",
    "DELETE FROM stays WHERE kit_id IS NOT NULL": "stay location",
    "DELETE FROM custodies": "custody",
    "UPDATE kit_components SET during = tstzrange(now(), NULL)": "time in a kit",
    "DELETE FROM kit_components": "is in the log and not stored",
    "UPDATE components SET kit_id = NULL, state = 'in_stock' WHERE kit_id IS NOT NULL": "kit is nothing",
    "INSERT INTO stays (component_id, location_id, during) SELECT component_id, 1, '[2020-01-01,2020-01-02)'"
    " FROM components": "is stored and not in the log",
}


async def lived(connection: Connection, database: str) -> None:
    """Two kits and two pieces, one of which went into a kit."""
    add_catalogue(database)
    await add_kits(connection, "K-1", "K-2", organisation="nord")
    (one, _) = await add_pieces(connection, "S-1", "S-2", organisation="nord")
    assert isinstance(await swap(connection, "K-1", Swap(incoming=one, occurred_at=ago(30)), by=SYSTEM), Taken)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_difference_is_told_and_repaired(database: str, trouble: str) -> None:
    async with books(database) as connection:
        await lived(connection, database)
        assert await differences(connection) == []
        execute(database, trouble)
        found = await differences(connection)
        assert any(TROUBLES[trouble] in each.detail for each in found), found
        before = value(database, "SELECT count(*) FROM book_events")
        assert [each async for each in rebuild(connection, found)] == []
        assert await differences(connection) == []
        assert value(database, "SELECT count(*) FROM book_events") == before
        assert value(database, "SELECT count(*) FROM audit WHERE action = 'books.rebuilt'") >= 1


async def test_what_stands_without_a_history_is_opened(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        execute(database, "INSERT INTO kits (kit, state, location_id) VALUES ('K-1', 'in_stock', 1)")
        execute(database, "INSERT INTO components (model_id, serial, state) VALUES (1, 'S', 'in_stock')")
        found = await differences(connection)
        assert [each.detail for each in found] == ["stands in the books without a history"] * 2
        assert [each async for each in rebuild(connection, found)] == []
        assert await differences(connection) == []


async def test_a_log_that_cannot_be_read_is_told_and_left_alone(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        first, second = await add_kits(connection, "K-1", "K-2", state="ordered")
        execute(
            database,
            "INSERT INTO book_events (what, kit_id, to_state, actor) VALUES ('status', %s, 'installed', 'test')",
            first,
        )
        execute(database, "DELETE FROM stays WHERE kit_id = %s", second)
        found = await differences(connection)
        assert "cannot be read at event" in str(found[0])
        assert not found[0].repairable
        failed = [each async for each in rebuild(connection, found)]
        assert [each.name for each in failed] == ["K-1"]
        assert await differences(connection) == [found[0]]


async def test_the_batches_are_bounded(database: str) -> None:
    async with books(database) as connection:
        add_catalogue(database)
        await add_kits(connection, *(f"K-{number}" for number in range(7)))
        execute(database, "DELETE FROM stays WHERE mod(kit_id, 3) = 0")
        batches = [checked async for checked in check(connection, batch=3)]
        assert [checked.subjects for checked in batches] == [3, 3, 1]
        assert sum(len(checked.found) for checked in batches) == 2


async def test_after_an_import_the_books_are_as_the_log_says(database: str) -> None:
    """Of new kits, and of those that an import changes: their state, their place, whose they are."""
    lines = ("kit,state,organisation,location", "K-1,in_stock,nord,depot", "K-2,installed,,van", "K-3,lost,nord,van")
    more = ("kit,state,organisation,location", "K-1,lost,aalborg,", "K-2,in_stock,nord,depot", "K-3,preparing,,")
    third = ("kit,state,organisation,location", "K-3,retrieved,hjorring,van", "K-1,lost,nord,van")
    async with books(database) as connection:
        add_catalogue(database)
        for text in (lines, more, third):
            report = await bring(connection, "kits", "\n".join(text), update=True)
            assert report.done, report
            assert await differences(connection) == []
            if text is more:
                (piece,) = await add_pieces(connection, "S-1", organisation="nord")
                assert isinstance(await swap(connection, "K-3", Swap(incoming=piece), by=SYSTEM), Taken)


async def test_an_import_takes_a_kit_out_of_a_home_as_a_step_does(database: str) -> None:
    async with books(database) as connection:
        await lived(connection, database)
        placement = add_placement(database, "K-1")
        override = {"override": True, "reason": "test"}
        for to, days in ((KitState.READY, 20), (KitState.DISPATCHED, 19), (KitState.INSTALLED, 18)):
            step = KitStep(to, occurred_at=ago(days), **override)  # type: ignore[arg-type]
            assert isinstance(await take_kit_step(connection, "K-1", step, by=SYSTEM), Taken)
        assert value(database, "SELECT state FROM placements WHERE placement_id = %s", placement) == "active"
        assert (await bring(connection, "kits", "kit,state\nK-1,in_stock\n", update=True)).done
        assert await differences(connection) == []
        assert value(database, "SELECT state FROM placements WHERE placement_id = %s", placement) == "ended"


async def test_the_command_checks_and_repairs(database: str, tmp_path: Path) -> None:
    async with books(database) as connection:
        await lived(connection, database)
        kit_id = value(database, "SELECT kit_id FROM kits WHERE kit = 'K-2'")
        hjorring = organisation_id(database, "hjorring")
        await assign_kit(connection, kit_id, organisation_id=hjorring, owner_id=None, by=SYSTEM)
        await move_kit(connection, "K-2", location="van", by=SYSTEM)
        await move_component(connection, 2, location="workshop", by=SYSTEM)
    assert run(database, tmp_path, "check") == (0, "2 kits and 2 components checked: 0 differences\n")
    execute(database, "UPDATE kits SET state = 'lost' WHERE kit = 'K-2'")
    code, text = run(database, tmp_path, "check")
    assert code == 1
    assert "kit K-2: state is lost and by the log preparing" in text
    code, text = run(database, tmp_path, "rebuild", "--dry-run", "--json")
    assert (code, json.loads(text)["repaired"]) == (0, 1)
    assert value(database, "SELECT state FROM kits WHERE kit = 'K-2'") == "lost"
    assert run(database, tmp_path, "rebuild")[0] == 0
    code, text = run(database, tmp_path, "check", "--json")
    report = json.loads(text)
    assert (code, report["kits"], report["components"], report["found"]) == (0, 2, 2, [])


def run(database: str, folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `fleet books …`."""
    log = folder / f"{'-'.join(arguments)}.log"
    log.unlink(missing_ok=True)
    process = Process(["fleet", "books", *arguments], environment(database_url=database), log)
    process.popen.wait(timeout=30)
    process.kill()
    return process.popen.returncode, process.output()
