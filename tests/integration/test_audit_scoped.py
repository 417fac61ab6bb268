"""Pages of the audit within a scope: as the policy alone would show it, whoever asks and by whatever, both ways."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

import psycopg
import pytest
from alembic import command

from fleet.access import audit
from fleet.access.audit import Filters, Line
from fleet.access.entering import enter
from fleet.access.principal import SYSTEM, Scope
from fleet.db import migrate as migrating
from fleet.db import roles
from fleet.db.connect import connect
from tests.people import add_organisations
from tests.support import eventually, execute, rows, value, waits_for_lock

pytestmark = pytest.mark.storage

SLUGS = ("a", "b", "c", "d")
SCOPES: tuple[frozenset[str] | None, ...] = (None, frozenset({"a"}), frozenset({"a", "c", "d"}), frozenset())
ACTORS = ("anna", "bo", "carl")
ACTIONS = ("kits.changed", "kit.read", "orders.created")
KITS = 6
LINES = 80

PLAIN = """
SELECT a.audit_id
FROM audit a LEFT JOIN organisations o USING (organisation_id) LEFT JOIN known_kits k ON k.kit_id = a.kit_id
WHERE (%(actor)s::text IS NULL OR a.actor = %(actor)s) AND (%(principal)s::text IS NULL OR a.principal = %(principal)s)
  AND (%(action)s::text IS NULL OR a.action = %(action)s)
  AND (%(subject_kind)s::text IS NULL OR a.subject_kind = %(subject_kind)s)
  AND (%(subject)s::text IS NULL OR a.subject = %(subject)s) AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
ORDER BY a.at, a.audit_id
"""


def fill(dsn: str) -> None:
    """Lines about kits and others, of each organisation and of none, between changes of owner; some at one time."""
    add_organisations(dsn, *SLUGS)
    chance = random.Random(7)
    with psycopg.connect(dsn) as connection:
        (ids,) = connection.execute("SELECT array_agg(organisation_id) FROM organisations").fetchone() or ([],)
        for number in range(KITS):
            connection.execute(
                "INSERT INTO kits (kit, state, organisation_id, owner_id) VALUES (%s, 'in_stock', %s, %s)",
                (f"K-{number}", chance.choice(ids), chance.choice([*ids, None])),
            )
        (kits,) = connection.execute("SELECT array_agg(kit_id) FROM kits").fetchone() or ([],)
        for number in range(LINES):
            line = {
                "actor": chance.choice(ACTORS),
                "principal": chance.choice(["token:1", "token:2", None]),
                "action": chance.choice(ACTIONS),
                "kind": chance.choice(["kits", "orders"]),
                "subject": str(number % 20),
                "organisation": chance.choice([*ids, None]),
                "kit": chance.choice([*kits, None]),
                "minute": number // 3 if number < LINES / 2 else chance.randrange(15),
            }
            connection.execute(
                "INSERT INTO audit (at, actor, principal, action, subject_kind, subject, organisation_id, kit_id)"
                " VALUES (timestamptz '2026-11-01' + make_interval(mins => %(minute)s), %(actor)s, %(principal)s,"
                " %(action)s, %(kind)s, %(subject)s, %(organisation)s, %(kit)s)",
                line,
            )
            if number % 8 == 0:
                change = "UPDATE kits SET owner_id = %s, revision = revision + 1 WHERE kit_id = %s"
                connection.execute(change, (chance.choice([*ids, None]), chance.choice(kits)))


@asynccontextmanager
async def reading(dsn: str, slugs: frozenset[str] | None) -> AsyncIterator[Any]:
    """A connection of the API within a scope."""
    seen = None
    if slugs is not None:
        query = "SELECT organisation_id FROM organisations WHERE slug = ANY (%s)"
        seen = frozenset(number for (number,) in rows(dsn, query, sorted(slugs)))
    connection = await connect(dsn, role="test", run_as=roles.API)
    async with connection, connection.transaction():
        await enter(connection, SYSTEM, Scope(seen))
        yield connection


def asked(dsn: str) -> Sequence[Filters]:
    """One filter at a time, and some together."""
    since = datetime.fromisoformat("2026-11-01T00:03:00+00:00")
    until = datetime.fromisoformat("2026-11-01T00:13:00+00:00")
    return (
        Filters(),
        Filters(actor="anna"),
        Filters(principal="token:1"),
        Filters(action="kit.read"),
        Filters(subject_kind="orders"),
        Filters(subject="3"),
        Filters(subject_kind="kits", subject="4"),
        Filters(kit="K-2"),
        Filters(organisation="a"),
        Filters(organisation="b"),
        Filters(since=since, until=until),
        Filters(organisation="b", actor="bo", since=since),
        Filters(actor="carl", action="orders.created", until=until),
        Filters(actor="nobody"),
        Filters(kit="K-none"),
        Filters(organisation="none"),
    )


async def listed(connection: Any, filters: Filters, limit: int) -> list[Line]:
    found: list[Line] = []
    while page := await audit.list_lines(
        connection, filters, before=(found[-1].at, found[-1].id) if found else None, limit=limit
    ):
        found += page
    return found


async def exported(connection: Any, filters: Filters) -> list[Line]:
    found: list[Line] = []
    while page := await audit.export_page(connection, filters, after=(found[-1].at, found[-1].id) if found else None):
        found += page
    return found


@pytest.mark.parametrize("look", [1, audit.FIRST_LOOK])
@pytest.mark.parametrize("limit", [3, 200])
async def test_pages_are_what_the_policy_alone_would_show(
    database: str, look: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "FIRST_LOOK", look)
    monkeypatch.setattr(audit, "EXPORT_PAGE", limit)
    fill(database)
    shown = 0
    for scope in SCOPES:
        async with reading(database, scope) as connection:
            for filters in asked(database):
                plain = await connection.execute(PLAIN, asdict(filters))
                numbers = [number for (number,) in await plain.fetchall()]
                assert [line.id for line in await exported(connection, filters)] == numbers, (scope, filters)
                assert [line.id for line in await listed(connection, filters, limit)] == numbers[::-1], (scope, filters)
                shown += len(numbers)
    assert shown > 6 * LINES


async def test_lines_of_owned_kits_follow_the_owner_and_go_with_their_line(database: str) -> None:
    fill(database)
    wanted = (
        "SELECT a.audit_id, k.owner_id FROM audit a JOIN kits k USING (kit_id)"
        " WHERE k.owner_id IS DISTINCT FROM a.organisation_id AND k.owner_id IS NOT NULL ORDER BY 1"
    )
    kept = "SELECT audit_id, owner_id FROM audit_owned ORDER BY 1"
    assert rows(database, kept) == rows(database, wanted) != []
    execute(database, "UPDATE kits SET owner_id = (SELECT min(organisation_id) FROM organisations)")
    assert rows(database, kept) == rows(database, wanted) != []
    with psycopg.connect(database) as connection:
        connection.execute("SET LOCAL fleet.lifted = 'retention'")
        connection.execute("DELETE FROM audit WHERE audit_id IN (SELECT audit_id FROM audit_owned LIMIT 5)")
    assert rows(database, kept) == rows(database, wanted) != []


async def test_a_line_written_while_the_kit_changes_hands_is_its_new_owners(database: str) -> None:
    add_organisations(database, *SLUGS)
    execute(database, "INSERT INTO kits (kit, state, organisation_id) SELECT 'K', 'in_stock', min(organisation_id)"
            " FROM organisations")  # fmt: skip
    owner = "UPDATE kits SET owner_id = (SELECT max(organisation_id) FROM organisations)"
    writer = await connect(database, role="test")
    mover = await connect(database, role="test")
    async with writer, mover:
        async with writer.transaction():
            await writer.execute(
                "SELECT note_audit('x', 'x', '1', min(organisation_id), kit_id => min(kit_id)) FROM kits"
            )
            moving = asyncio.create_task(mover.execute(owner.encode()))
            await eventually(lambda: waits_for_lock(database, "UPDATE kits"), what="the change of owner to wait")
        await moving
    assert value(
        database, "SELECT count(*) FROM audit_owned JOIN audit USING (audit_id) WHERE subject = '1' AND owner_id ="
        " (SELECT max(organisation_id) FROM organisations)"
    ) == 1  # fmt: skip


def test_lines_of_before_are_found_by_the_owner_of_their_kit(empty_database: str) -> None:
    command.upgrade(migrating._config(empty_database), "0003")
    execute(empty_database, "INSERT INTO organisations (slug, name) VALUES ('lender', 'L'), ('user', 'U')")
    execute(
        empty_database,
        "INSERT INTO kits (kit, state, organisation_id, owner_id)"
        " SELECT 'K-' || o.slug, 'installed', u.organisation_id, o.organisation_id"
        " FROM organisations o, organisations u WHERE u.slug = 'user'",
    )
    execute(empty_database, "SELECT note_audit('x', 'kits', kit, organisation_id, kit_id => kit_id) FROM kits")
    migrating.migrate(empty_database)
    lent = (
        "SELECT a.action, k.kit, o.slug FROM audit_owned a JOIN kits k USING (kit_id)"
        " JOIN organisations o ON o.organisation_id = a.owner_id"
    )
    assert rows(empty_database, lent) == [("x", "K-lender", "lender")]
