"""Findings over HTTP: one list with what to do, acknowledged and dismissed by those who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from fleet.access.roles import Role
from fleet.state.findings.kinds import ABOUT, Kind
from tests.api import api, caller, make_token, pages, problem, running_app
from tests.findings_world import opened
from tests.support import execute, rows, value

PATH = "/api/v1/findings"


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client on books with two findings of one organisation and one of none."""
    execute(database, "INSERT INTO organisations (slug, name) VALUES ('a', 'A'), ('b', 'B')")
    async with opened(database) as books:
        await books.kit("K-1", "in_stock", organisation=1)
        await books.kit("K-2", "scrapped", organisation=1)
        await books.piece(None, "scale", "W-1", calibration_due=books.now.date() - timedelta(days=3))
        await books.compare()
    async with api(database) as client:
        yield client


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 3),
        ({"kind": "calibration_overdue"}, 1),
        ({"state": "open"}, 3),
        ({"state": "cleared"}, 0),
        ({"standing": True}, 3),
        ({"severity": "critical"}, 1),
        ({"kit": "K-1"}, 1),
        ({"component": 1}, 1),
        ({"organisation": "a"}, 2),
        ({"organisation": "b"}, 0),
        ({"limit": 1}, 3),
    ],
)
async def test_one_list(client: httpx.AsyncClient, query: dict[str, str], count: int) -> None:
    assert len(await pages(client, PATH, **query)) == count


async def test_it_says_what_to_do(client: httpx.AsyncClient) -> None:
    (found,) = await pages(client, PATH, kind="reports_while_scrapped")
    assert found["title"] == {"en": "A scrapped kit reports", "da": "Et skrottet telekit melder sig"}
    assert found["advice"]["en"].startswith("Block the SIM")
    assert (found["kit"], found["severity"], found["state"], found["organisation"]) == ("K-2", "critical", "open", "a")
    assert (await client.get(f"{PATH}/{found['id']}")).json() == found
    problem(await client.get(f"{PATH}/999"), 404)
    problem(await client.get(PATH, params={"kind": "hunch"}), 422, "kind")


async def test_acknowledge_and_dismiss(client: httpx.AsyncClient, database: str) -> None:
    (found,) = await pages(client, PATH, kit="K-1")
    path = f"{PATH}/{found['id']}"
    first = (await client.post(f"{path}/acknowledge")).json()
    assert (first["state"], first["acknowledged_by"] is not None) == ("acknowledged", True)
    assert (await client.post(f"{path}/acknowledge")).json() == first
    problem(await client.post(f"{path}/dismiss", json={"reason": ""}), 422, "reason")
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    problem(await client.post(f"{path}/dismiss", json={"reason": "x", "until": past}), 422, "until")
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    dismissed = (await client.post(f"{path}/dismiss", json={"reason": "on show", "until": until})).json()
    assert (dismissed["state"], dismissed["dismissed_reason"]) == ("dismissed", "on show")
    problem(await client.post(f"{path}/acknowledge"), 409)
    execute(database, "UPDATE findings SET state = 'cleared', cleared_at = now()")
    problem(await client.post(f"{path}/dismiss", json={"reason": "x"}), 409)
    told = "SELECT action, after ->> 'state' FROM audit WHERE subject_kind = 'findings' AND actor LIKE 'token %%'"
    assert rows(database, told) == [("findings.changed", "acknowledged"), ("findings.changed", "dismissed")]


async def test_nobody_answers_for_others(client: httpx.AsyncClient, database: str) -> None:
    finding = value(database, "SELECT finding_id FROM findings WHERE kind = 'reports_while_stored'")
    tokens = {slug: await make_token(database, Role.LOGISTICS, organisation=slug) for slug in ("a", "b")}
    support = await make_token(database, Role.SUPPORT, organisation="a")
    async with running_app(database) as app:
        async with caller(app, tokens["b"]) as other:
            assert await pages(other, PATH) == []
            problem(await other.get(f"{PATH}/{finding}"), 404)
            problem(await other.post(f"{PATH}/{finding}/dismiss", json={"reason": "x"}), 404)
        async with caller(app, support) as other:
            assert len(await pages(other, PATH)) == 2
            problem(await other.post(f"{PATH}/{finding}/acknowledge"), 403)
        async with caller(app, tokens["a"]) as owner:
            assert (await owner.post(f"{PATH}/{finding}/acknowledge")).status_code == 200


def test_every_kind_has_texts_in_both_languages() -> None:
    assert set(ABOUT) == set(Kind)
    for about in ABOUT.values():
        for text in (about.title, about.meaning, about.advice):
            assert text.en
            assert text.da
            assert text.en != text.da
