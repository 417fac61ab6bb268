"""Requests of mass events: who sees every kit works on them, who sees some reads and comments; also in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import psycopg
import pytest

from fleet.access.roles import Role
from fleet.alerts.requests import opening
from fleet.db.connect import connect
from tests.api import caller, make_token, problem, running_app
from tests.people import add_organisations
from tests.support import add_kits, execute, rows, value

PATH = "/api/v1/service-requests"
ACTS = {
    "forward": {"line": "supplier", "reason": "theirs"},
    "assign": {"assignee": None},
    "resolve": {"cause": "operator_outage", "remedy": "nothing"},
    "reopen": {"reason": "not over"},
}


@pytest.fixture
async def number(database: str) -> str:
    """The request of a mass event in two municipalities of one region, and in one of another."""
    add_organisations(database, "north", "south", kind="region")
    add_organisations(database, "a", "b", under="north")
    add_organisations(database, "helper", kind="operator")
    add_kits(database, "K-A", "K-B", "K-A2")
    execute(
        database,
        "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations"
        " WHERE slug = lower(substr(kit, 3, 1)))",
    )
    connection = await connect(database, role="test")
    async with connection:
        cursor = await connection.execute(
            "INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)"
            " VALUES ('silent', 'open', now(), 1, 9) RETURNING incident_id"
        )
        (incident,) = await cursor.fetchone() or (None,)
        await connection.execute(
            "INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s)"
            " SELECT %s, kit_id, now(), 1, 30 FROM kits",
            (incident,),
        )
        await opening.open_for_incident(connection, incident, datetime.now(UTC))
    return str(value(database, "SELECT number FROM service_requests"))


@asynccontextmanager
async def at(database: str, organisation: str, role: Role = Role.SERVICE) -> AsyncIterator[httpx.AsyncClient]:
    token = await make_token(database, role, organisation=organisation)
    async with running_app(database) as app, caller(app, token) as client:
        yield client


async def test_who_sees_some_reads_and_comments_and_no_more(database: str, number: str) -> None:
    async with at(database, "a") as client:
        shown = (await client.get(f"{PATH}/{number}")).json()
        assert shown["allowed_steps"] == []
        said = await client.post(f"{PATH}/{number}/comments", json={"text": "ours are back"})
        assert said.status_code == 200, said.text
        assert said.json()["allowed_steps"] == []
        for act, body in ACTS.items():
            problem(await client.post(f"{PATH}/{number}/{act}", json=body), 403)
        problem(await client.patch(f"{PATH}/{number}", json={"state": "in_progress"}), 403)
        mine = await client.post(PATH, json={"kit": "K-A", "cause": "tablet_fault"})
        problem(await client.post(f"{PATH}/{mine.json()['number']}/merge", json={"into": number}), 403)
        problem(await client.post(f"{PATH}/{number}/merge", json={"into": mine.json()["number"]}), 403)
    assert rows(database, "SELECT state, line FROM service_requests WHERE incident_id IS NOT NULL") == [
        ("open", "service")
    ]
    assert value(database, "SELECT count(*) FROM events WHERE type = 'request.commented'") == 1


@pytest.mark.parametrize("who", ["region", "operator", "left"])
async def test_who_sees_every_kit_works_on_it(database: str, number: str, who: str) -> None:
    organisation = {"region": "north", "operator": "helper", "left": "a"}[who]
    if who == "operator":
        execute(
            database,
            "INSERT INTO agreements (operator_id, organisation_id) SELECT h.organisation_id, o.organisation_id"
            " FROM organisations h, organisations o WHERE h.slug = 'helper' AND o.slug IN ('a', 'b')",
        )
    if who == "left":
        execute(
            database,
            "UPDATE incident_members SET left_at = now(), outcome = 'returned'"
            " WHERE kit_id = (SELECT kit_id FROM kits WHERE kit = 'K-B')",
        )
    async with at(database, organisation) as client:
        shown = (await client.get(f"{PATH}/{number}")).json()
        assert "in_progress" in shown["allowed_steps"]
        changed = await client.patch(f"{PATH}/{number}", json={"state": "in_progress", "priority": "high"})
        assert changed.status_code == 200, changed.text
        for act in ("forward", "assign", "resolve", "reopen"):
            answer = await client.post(f"{PATH}/{number}/{act}", json=ACTS[act])
            assert answer.status_code == 200, answer.text
    assert value(database, "SELECT reopened FROM service_requests") == 1


async def test_a_role_over_some_kits_is_none_over_all(database: str, number: str) -> None:
    async with at(database, "north", Role.AUDITOR) as client:
        assert (await client.get(f"{PATH}/{number}")).json()["allowed_steps"] == []
    async with at(database, "south") as client:
        problem(await client.get(f"{PATH}/{number}"), 404)


@pytest.mark.parametrize("slug", ["a", "north"])
def test_the_database_itself_refuses(database: str, number: str, slug: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        scope = connection.execute(
            "SELECT subtree_of(ARRAY(SELECT organisation_id FROM organisations WHERE slug = %s))::text", (slug,)
        ).fetchone()
        assert scope is not None
        with connection.transaction():
            connection.execute("SET LOCAL ROLE fleet_api")
            connection.execute("SELECT set_config('fleet.scope', %s, true)", scope)
            for statement, in_part in (
                ("UPDATE service_requests SET has_text = true WHERE incident_id IS NOT NULL", True),
                (_ENTRY.format(what="comment"), True),
                (_ENTRY.format(what="state"), False),
                ("UPDATE service_requests SET state = 'in_progress' WHERE incident_id IS NOT NULL", False),
            ):
                if in_part or slug == "north":
                    assert connection.execute(statement.encode()).rowcount == 1, statement
                else:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                        connection.execute(statement.encode())


_ENTRY = (
    "INSERT INTO request_events (request_id, at, actor, what) SELECT request_id, now(), 'somebody', '{what}'"
    " FROM service_requests WHERE incident_id IS NOT NULL"
)
