"""Files over HTTP: by permission and scope, in one transaction, streamed; and labels."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from fleet.access.roles import Role, allowed
from fleet.api import exports, imports
from fleet.api.exportable import EXPORTS
from fleet.db.connect import connect
from tests.api import api, caller, make_token, problem, running_app
from tests.exchanging import MODELS, bring, differences
from tests.people import add_organisations
from tests.support import execute, rows, value

CSV = {"Content-Type": "text/csv"}
PIECE = "manufacturer,model,serial"


@pytest.fixture
async def two(database: str) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Logistics of two municipalities, with a kit each."""
    add_organisations(database, "aalborg", "hjorring")
    connection = await connect(database, role="test")
    async with connection:
        await bring(connection, "models", MODELS)
        await bring(connection, "kits", "kit,state,organisation\nA-1,installed,aalborg\nH-1,installed,hjorring\n")
        await bring(connection, "components", f"{PIECE},asset_tag,kit\nMaker,Tab,H-SN,H-TAG,H-1\n")
    tokens = [await make_token(database, Role.LOGISTICS, organisation=slug) for slug in ("aalborg", "hjorring")]
    async with running_app(database) as app, caller(app, tokens[0]) as first, caller(app, tokens[1]) as second:
        yield first, second


async def send(client: httpx.AsyncClient, kind: str, text: str, **query: bool | str) -> httpx.Response:
    """Import a file."""
    return await client.post(f"/api/v1/imports/{kind}", content=text.encode(), headers=CSV, params=query)


async def test_one_imports_for_ones_own_only(database: str, two: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    aalborg, hjorring = two
    kits = "kit,organisation\nA-2,aalborg\nA-3,hjorring\nA-4,\nH-1,aalborg\nA-5,nowhere\n"
    report = problem(await send(aalborg, "kits", kits), 422)["report"]
    # What others have is told only when everything else is right.
    assert [(bad["line"], bad["reason"]) for bad in report["bad"]] == [
        (3, "organisation: there is no hjorring"),
        (4, "organisation: say whose it is"),
        (6, "organisation: there is no nowhere"),
    ]
    report = problem(await send(aalborg, "kits", "kit,organisation\nH-1,aalborg\nA-2,aalborg\n"), 422)["report"]
    assert report["bad"] == [{"line": 2, "key": "H-1", "reason": "kit: exists already"}]
    answer = await send(aalborg, "kits", kits, skip_bad=True)
    assert (answer.status_code, answer.json()["created"], answer.json()["bad_lines"]) == (200, 1, 4)

    pieces = (
        f"{PIECE},asset_tag,kit,organisation\n"
        "Maker,Tab,H-SN,,,aalborg\nMaker,Tab,N-1,H-TAG,,aalborg\nMaker,Tab,N-2,,H-1,\n"
    )
    report = problem(await send(aalborg, "components", pieces), 422)["report"]
    assert [(bad["line"], bad["reason"]) for bad in report["bad"]] == [(4, "kit: there is no H-1")]
    report = (await send(aalborg, "components", pieces, skip_bad=True)).json()
    assert [(bad["line"], bad["reason"]) for bad in report["bad"]] == [
        (2, "serial: is in the books already"),
        (3, "serial, asset_tag: one of them is in the books already"),
        (4, "kit: there is no H-1"),
    ]
    placed = "reference,organisation,kit\nKOL-1,aalborg,A-1\nKOL-2,aalborg,H-1\nKOL-3,hjorring,\n"
    report = (await send(aalborg, "placements", placed, skip_bad=True)).json()
    assert (report["created"], [bad["line"] for bad in report["bad"]]) == (1, [3, 4])
    update = "kit,organisation\nA-1,hjorring\n"
    assert problem(await send(aalborg, "kits", update, update=True), 422)["report"]["bad_lines"] == 1
    connection = await connect(database, role="test")
    async with connection:
        assert await differences(connection) == []
    assert (await hjorring.get("/api/v1/kits")).json()["items"][0]["kit"] == "H-1"


async def test_a_scoped_import_writes_everything_that_belongs_to_it(
    database: str, two: tuple[httpx.AsyncClient, httpx.AsyncClient]
) -> None:
    aalborg, _ = two
    execute(
        database,
        "INSERT INTO locations (slug, name, kind, organisation_id) SELECT 'a-depot', 'Depot', 'depot', organisation_id"
        " FROM organisations WHERE slug = 'aalborg'",
    )
    kits = "kit,state,organisation,location\nA-2,installed,aalborg,\nA-3,,aalborg,Depot\n"
    dry = (await send(aalborg, "kits", kits, dry_run=True)).json()
    assert (dry["done"], dry["dry_run"], dry["created"]) == (False, True, 2)
    assert (await send(aalborg, "kits", kits)).json()["created"] == 2
    pieces = f"{PIECE},kit,organisation,location\nMaker,Tab,S-1,A-2,,\nMaker,Oxi,S-2,,aalborg,a-depot\n"
    assert (await send(aalborg, "components", pieces)).json()["created"] == 2
    described = f"{PIECE},note\nMaker,Tab,S-1,described\n"
    assert (await send(aalborg, "components", described, update=True)).json()["updated"] == 1
    moved = "kit,state,location\nA-2,,\nA-3,preparing,a-depot\nA-1,retrieved,a-depot\n"
    placed = "reference,organisation,kit,begun\nKOL-1,aalborg,A-2,2026-01-01\n"
    assert (await send(aalborg, "placements", placed)).json()["created"] == 1
    assert (await send(aalborg, "kits", moved, update=True)).json()["updated"] == 2
    connection = await connect(database, role="test")
    async with connection:
        assert await differences(connection) == []
    actors = rows(database, "SELECT DISTINCT actor FROM book_events WHERE recorded_at > now() - interval '1 hour'")
    assert any(actor.startswith("token") for (actor,) in actors)


async def test_an_update_goes_around_no_guards(database: str, two: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    text = "kit,state,label\nA-1,scrapped,new\n"
    token = await make_token(database, Role.MDM_ADMIN, organisation="aalborg")
    async with running_app(database) as app, caller(app, token) as mdm:
        report = problem(await send(mdm, "kits", text, update=True), 422)["report"]
        assert report["bad"][0]["reason"] == "state: is installed in the books; take a step"
        assert (await send(mdm, "kits", "kit,label\nA-1,new\n", update=True)).json()["updated"] == 1
    assert (await send(two[0], "kits", text, update=True)).json()["updated"] == 1


async def test_a_repeat_with_the_same_key_imports_once(
    database: str, two: tuple[httpx.AsyncClient, httpx.AsyncClient]
) -> None:
    aalborg, _ = two
    headers = {**CSV, "Idempotency-Key": "one"}
    text = b"kit,organisation\nA-2,aalborg\n"
    answers = [await aalborg.post("/api/v1/imports/kits", content=text, headers=headers) for _ in range(2)]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 2
    assert value(database, "SELECT count(*) FROM kits WHERE kit = 'A-2'") == 1


async def test_what_is_no_file_is_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api(database, Role.ADMIN) as client:
        problem(await send(client, "kits", "colour\nred\n"), 422, "body")
        problem(await send(client, "kits", ""), 422, "body")
        problem(await send(client, "kits", 'kit\nK-1\n"K'), 422, "body")
        problem(await send(client, "placements", "reference\n", update=True), 422, "update")
        problem(await client.post("/api/v1/imports/kits", json={"kit": "K-1"}), 415)
        # Larger than what other routes take, and within the limit of this one.
        large = "kit\n" + "".join(f"K-{number:060d}\n" for number in range(5000))
        assert (await send(client, "kits", large, dry_run=True)).json()["created"] == 5000
        assert value(database, "SELECT count(*) FROM kits") == 0
        too_much = {**CSV, "Content-Length": str(imports.MAX_IMPORT_BYTES + 1)}
        problem(await client.post("/api/v1/imports/kits", content=b"kit\n", headers=too_much), 413)
        monkeypatch.setattr(imports, "MAX_TOLD", 2)
        report = problem(await send(client, "kits", "kit\n/\n/\n/\n"), 422)["report"]
        assert (report["bad_lines"], len(report["bad"])) == (3, 2)
    async with api(database, Role.AUDITOR) as client:
        problem(await send(client, "kits", "kit\nK-1\n"), 403)


async def test_one_exports_what_one_sees(database: str, two: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    aalborg, hjorring = two
    await send(aalborg, "placements", "reference,organisation,kit\nKOL-1,aalborg,A-1\n")
    for kind in EXPORTS:
        for form in ("csv", "ndjson"):
            of_one = {"kit": "A-1"} if EXPORTS[kind].by_span else {}
            answer = await aalborg.get(f"/api/v1/exports/{kind}", params={"format": form, **of_one})
            if not allowed(Role.LOGISTICS, EXPORTS[kind].permission):
                problem(answer, 403)
                continue
            assert answer.status_code == 200, (kind, answer.text)
            assert "H-1" not in answer.text
            assert "H-SN" not in answer.text
            assert "hjorring" not in answer.text
            assert answer.headers["content-disposition"] == f'attachment; filename="{kind}.{form}"'
    assert "H-1" in (await hjorring.get("/api/v1/exports/kits")).text
    assert "KOL-1" in (await aalborg.get("/api/v1/exports/placements")).text
    assert "KOL-1" not in (await hjorring.get("/api/v1/exports/placements")).text
    line = json.loads((await aalborg.get("/api/v1/exports/kits?format=ndjson&organisation=aalborg")).text)
    assert (line["kit"], line["organisation"]) == ("A-1", "aalborg")
    problem(await aalborg.get("/api/v1/exports/kits?organisation=hjorring"), 422, "organisation")
    problem(await aalborg.get("/api/v1/exports/kits?format=xml"), 422, "format")
    problem(await aalborg.get("/api/v1/exports/models?organisation=aalborg"), 422, "organisation")
    noted = value(database, "SELECT count(*) FROM audit WHERE action = 'placement.exported'")
    assert noted == 4
    secretariat = await make_token(database, Role.SECRETARIAT)
    async with running_app(database) as app, caller(app, secretariat) as client:
        problem(await client.get("/api/v1/exports/placements"), 403)


async def test_exports_and_imports_at_once_are_bounded(database: str) -> None:
    async with api(database, Role.ADMIN) as client:
        async with exports._PLACES, exports._PLACES, exports._PLACES:
            problem(await client.get("/api/v1/exports/kits"), 503)
        async with imports._PLACES, imports._PLACES:
            problem(await send(client, "kits", "kit\nK-1\n"), 503)


async def test_labels(database: str, two: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    aalborg, hjorring = two
    answer = await aalborg.get("/api/v1/labels", params={"kits": "A-1"})
    assert answer.status_code == 200
    assert ">A-1</text>" in answer.text
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    number = value(database, "SELECT component_id FROM components")
    answer = await hjorring.get(
        "/api/v1/labels", params={"components": str(number), "format": "pdf", "sheet": "roll-62"}
    )
    assert answer.content.startswith(b"%PDF-")
    problem(await aalborg.get("/api/v1/labels", params={"components": str(number)}), 422, "components")
    problem(await aalborg.get("/api/v1/labels", params={"kits": "A-1,H-1"}), 422, "kits")
    problem(await aalborg.get("/api/v1/labels"), 422, "kits")
    problem(await aalborg.get("/api/v1/labels", params={"kits": "A-1", "location": "x"}), 422, "kits")
    problem(await aalborg.get("/api/v1/labels", params={"kits": ",".join(["A-1"] * 501)}), 422, "kits")
