"""Hundreds of steps from a file, and the erasure of a reference, on the command line: as over HTTP."""

from __future__ import annotations

import json

from tests.api import api
from tests.integration.test_bulk import states, stocked
from tests.integration.test_exchange import fleet
from tests.people import add_organisations
from tests.support import rows, value

MIXED = b"kit;component;to;reason\nK-0000;;scrapped;broken\nK-0001;;installed;\nK-0002;;scrapped;broken\n;1;faulty;\n"


async def test_all_or_none_and_each_by_itself(database: str) -> None:
    await stocked(database, 3)
    none = fleet(database, "steps", "-", stdin=MIXED)
    assert none.returncode == 1, none.stderr
    assert none.stdout.decode().splitlines() == [
        "line 3 (K-0001): there is no step from preparing to installed",
        "0 steps taken, 3 possible and not taken, 1 refused",
    ]
    tried = fleet(database, "steps", "-", "--itemised", "--dry-run", "--json", stdin=MIXED)
    report = json.loads(tried.stdout)
    assert (tried.returncode, report["kept"], report["taken"], report["refused"]) == (1, False, 0, 1)
    assert states(database) == {"preparing": 3}
    done = fleet(database, "steps", "-", "--itemised", stdin=MIXED)
    assert done.stdout.decode().splitlines()[-1] == "3 steps taken, 0 possible and not taken, 1 refused"
    assert states(database) == {"preparing": 1, "scrapped": 2}
    assert value(database, "SELECT state FROM components WHERE component_id = 1") == "faulty"
    actors = rows(database, "SELECT DISTINCT actor FROM book_events WHERE to_state = 'scrapped'")
    assert [actor.startswith("command line") for (actor,) in actors] == [True]


async def test_many_steps_tell_how_far_they_are(database: str) -> None:
    names = await stocked(database, 60)
    text = "kit,to,reason\n" + "".join(f"{name},scrapped,old\n" for name in names)
    for more, told in (((), b"60 steps taken"), (("--itemised",), b"0 steps taken")):
        done = fleet(database, "steps", "-", *more, stdin=text.encode())
        assert done.stdout.splitlines()[-1].startswith(told), done.stdout
        assert done.stderr.splitlines() == [b"25 of 60 tried", b"50 of 60 tried", b"60 of 60 tried"]
    assert states(database) == {"scrapped": 60}


async def test_a_file_with_a_bad_line_is_not_begun(database: str) -> None:
    await stocked(database, 1)
    for text, code, told in (
        (b"kit,to\nK-0000,scrapped\nK-0000,nowhere\n,lost\n", 1, b"no step was tried: 2 bad lines"),
        (b"kit,to\n", 2, b"holds no step"),
        (b"kit,state\nK-0000,lost\n", 2, b"unknown column"),
        (b"kit,to\n" + b"K-0000,lost\n" * 501, 2, b"more than 500 steps"),
    ):
        refused = fleet(database, "steps", "-", stdin=text)
        assert (refused.returncode, refused.stdout) == (code, b""), refused.stderr
        assert told in refused.stderr.splitlines()[-1]
    assert states(database) == {"preparing": 1}


async def test_a_reference_is_forgotten_for_good(database: str) -> None:
    add_organisations(database, "a-by")
    async with api(database) as client:
        sent = {"reference": "KOL-NORD-8841", "organisation": "a-by"}
        planned = (await client.post("/api/v1/placements", json=sent)).json()
    number = planned["reference_id"]
    for arguments, stdin, code in (
        (("none", "--reason", "asked for"), None, 2),
        ((str(number), "--reason", " "), None, 2),
        ((str(number), "--reason", "of 010101-1234"), None, 2),
        (("99", "--reason", "asked for"), None, 1),
        (("-", "--reason", "asked for"), b"KOL-OTHER\n", 1),
    ):
        refused = fleet(database, "placements", "erase", *arguments, stdin=stdin)
        assert (refused.returncode, refused.stderr.count(b"\n")) == (code, 1), refused.stderr
        assert b"KOL" not in refused.stderr
    assert value(database, "SELECT reference FROM placement_references") == "KOL-NORD-8841"
    done = fleet(database, "placements", "erase", "-", "--reason", "asked for", stdin=b"KOL-NORD-8841\n")
    assert done.stdout == f"reference {number} is erased\n".encode(), done.stderr
    assert rows(database, "SELECT reference, erased_at IS NOT NULL FROM placement_references") == [(None, True)]
    (told,) = rows(database, "SELECT subject, reason, actor FROM audit WHERE action = 'placement.erased'")
    assert told[:2] == (str(number), "asked for")
    assert told[2].startswith("command line")
