"""The chain over the audit in a real database: sealing, verifying, and every way of tampering that we thought of."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from fleet.access import audit, sealing
from fleet.access.chain import Fault, Head
from fleet.access.sealing import Verified
from fleet.db import roles
from fleet.db.connect import connect
from fleet.embedded import postgres as embedded_postgres
from fleet.embedded.binaries import programs
from tests.support import execute, rows, value

NOTE = "SELECT note_audit('models.changed', 'models', '12', NULL, %s::jsonb, %s::jsonb, 'new list')"


@pytest.fixture
def database(database: str) -> str:
    """A database whose audit is empty: what the migration wrote into it is not of interest here."""
    with tampering(database) as connection:
        connection.execute("TRUNCATE audit")
    return database


def write_lines(database: str, count: int) -> None:
    """So many lines, each of a transaction of its own."""
    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(count):
            connection.execute(NOTE.encode(), ('{"price": 199.00}', '{"price": 210.50}'))


@asynccontextmanager
async def as_worker(database: str) -> AsyncIterator[sealing.Connection]:
    """A connection with the rights that the sealer has."""
    connection = await connect(database, role="test", run_as=roles.WORKER)
    async with connection:
        yield connection


async def seal_all(database: str, batch: int = sealing.BATCH) -> int:
    """Chain until nothing waits; how many lines got their link."""
    links = 0
    async with as_worker(database) as connection:
        while True:
            done = await sealing.seal(connection, batch)
            links += done.links
            if not done.more:
                return links


async def check(database: str, *noted: Head) -> Verified:
    connection = await connect(database, role="test")
    async with connection:
        return await sealing.verify(connection, noted)


async def head_of(database: str) -> Head:
    connection = await connect(database, role="test")
    async with connection:
        return (await audit.standing(connection)).head


def found(verified: Verified) -> list[tuple[int | None, Fault]]:
    return [(finding.position, finding.fault) for finding in verified.report.findings]


@contextmanager
def tampering(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's session in which no trigger runs."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


def id_at(database: str, position: int) -> int:
    number: int = value(database, "SELECT audit_id FROM audit_chain WHERE position = %s", position)
    return number


async def test_what_was_written_is_chained_once_and_verifies(database: str) -> None:
    write_lines(database, 7)
    assert await seal_all(database, batch=3) == 7
    assert await seal_all(database) == 0
    write_lines(database, 2)
    verified = await check(database, await head_of(database))
    assert (verified.report.faults, verified.report.links, verified.unsealed) == (0, 7, 2)
    assert await seal_all(database) == 2
    assert (await check(database)).report.links == 9


async def test_writers_wait_for_nobody_and_the_later_of_two_may_end_first(database: str) -> None:
    with psycopg.connect(database) as slow, psycopg.connect(database, autocommit=True) as fast:
        slow.execute("SELECT note_audit('slow.first', 'test', '1', NULL)")
        fast.execute("SELECT note_audit('fast', 'test', '2', NULL)")
        assert await seal_all(database) == 0, "the slow one could still come before it"
        connection = await connect(database, role="test")
        async with connection:
            standing = await audit.standing(connection)
        assert (standing.unsealed, standing.head.position) == (1, 0)
        assert standing.unsealed_since is not None
        slow.execute("SELECT note_audit('slow.second', 'test', '3', NULL)")
        slow.commit()
    assert await seal_all(database) == 3
    order = "SELECT action FROM audit_chain JOIN audit USING (audit_id) ORDER BY position"
    assert [action for (action,) in rows(database, order)] == ["slow.first", "slow.second", "fast"]
    assert (await check(database)).report.faults == 0


async def test_two_sealers_at_once_follow_each_other(database: str) -> None:
    write_lines(database, 4)
    async with as_worker(database) as first, as_worker(database) as second:
        async with first.transaction():
            assert (await sealing.seal(first, 2)).links == 2
            await second.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await sealing.seal(second, 2)
        await second.execute("SET lock_timeout = '5s'")
        assert (await sealing.seal(second, 2)).head.position == 4
    assert (await check(database)).report.faults == 0


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE audit SET actor = 'somebody else' WHERE audit_id = {third}", (3, Fault.HASH_DIFFERS)),
        ("UPDATE audit SET at = at + interval '1 us' WHERE audit_id = {third}", (3, Fault.HASH_DIFFERS)),
        ("UPDATE audit SET after = '{{\"price\": 1}}' WHERE audit_id = {third}", (3, Fault.TEXTS_CHANGED)),
        ("UPDATE audit SET reason = NULL WHERE audit_id = {third}", (3, Fault.TEXTS_CHANGED)),
        (
            "UPDATE audit SET salt = NULL, redacted_at = now(), after = '{{}}' WHERE audit_id = {third}",
            (3, Fault.REDACTION_UNTOLD),
        ),
        ("DELETE FROM audit WHERE audit_id = {third}", (3, Fault.ROW_MISSING)),
        ("DELETE FROM audit_chain WHERE position = 3", (4, Fault.POSITIONS_MISSING)),
        ("UPDATE audit_chain SET hash = sha256('x') WHERE position = 3", (3, Fault.HASH_DIFFERS)),
        (
            "UPDATE audit_chain SET audit_id = CASE audit_id WHEN {third} THEN -1 ELSE {third} END"
            " WHERE position IN (3, 4); UPDATE audit_chain SET audit_id = {fourth} WHERE audit_id = -1",
            (3, Fault.TEXTS_CHANGED),
        ),
        (
            "INSERT INTO audit (tx, action, subject_kind) SELECT tx, 'x', 'x' FROM audit WHERE audit_id = {third}",
            (None, Fault.ROW_INSERTED),
        ),
        (
            "INSERT INTO audit_anchors SELECT position, hash FROM audit_chain WHERE position = 3;"
            " DELETE FROM audit WHERE audit_id <= {third}; DELETE FROM audit_chain WHERE position <= 3",
            (4, Fault.REMOVAL_UNTOLD),
        ),
        (
            "DELETE FROM audit WHERE audit_id > {fourth}; DELETE FROM audit_chain WHERE position > 4",
            (None, Fault.HEAD_BEYOND_END),
        ),
    ],
    ids=[
        "actor", "time", "text", "reason", "redaction without a note", "row deleted", "link deleted", "link changed",
        "two swapped", "row inserted", "beginning cut off", "end cut off",
    ],
)  # fmt: skip
async def test_tampering_shows(database: str, statement: str, expected: tuple[int | None, Fault]) -> None:
    write_lines(database, 6)
    await seal_all(database)
    numbers = {"third": str(id_at(database, 3)), "fourth": str(id_at(database, 4))}
    with tampering(database) as connection:
        for part in statement.split("; "):
            if "THEN -1" in part:  # the numbers are unique, so they are exchanged one after the other
                for step in ("-1 WHERE position = 3", "{third} WHERE position = 4"):
                    connection.execute(f"UPDATE audit_chain SET audit_id = {step}".format(**numbers).encode())
                continue
            connection.execute(part.format(**numbers).encode())
    assert expected in found(await check(database))


async def test_an_end_cut_off_with_care_shows_against_a_noted_head(database: str) -> None:
    write_lines(database, 6)
    await seal_all(database)
    noted = await head_of(database)
    with tampering(database) as connection:
        connection.execute("DELETE FROM audit WHERE audit_id = (SELECT max(audit_id) FROM audit)")
        connection.execute("DELETE FROM audit_chain WHERE position = 6")
        connection.execute(
            "UPDATE audit_sealer SET (tx, audit_id) = (SELECT tx, audit_id FROM audit ORDER BY audit_id DESC LIMIT 1)"
        )
    assert found(await check(database)) == []
    assert found(await check(database, noted)) == [(6, Fault.HEAD_BEYOND_END)]
    write_lines(database, 1)
    await seal_all(database)
    assert found(await check(database, noted)) == [(6, Fault.HEAD_DIFFERS)]


async def test_a_redacted_line_verifies_and_its_texts_are_gone(database: str) -> None:
    write_lines(database, 3)
    await seal_all(database)
    connection = await connect(database, role="test")
    async with connection:
        number = id_at(database, 2)
        line = await audit.redact_line(connection, number, ["reason", "price"], why="a name")
        assert (line.before, line.reason) == ({"price": "[redacted]"}, "[redacted]")
        again = await audit.redact_line(connection, number, ["reason"], why="once more")
        assert again == line
        assert value(database, "SELECT count(*) FROM audit WHERE action = 'audit.redacted'") == 1
        await seal_all(database)
        note = value(database, "SELECT audit_id FROM audit WHERE action = 'audit.redacted'")
        await audit.redact_line(connection, note, ["reason"], why="the note told too much")
    await seal_all(database)
    verified = await check(database)
    assert (verified.report.faults, verified.report.redacted) == (0, 2)
    with tampering(database) as connection_:
        connection_.execute(b"UPDATE audit SET after = '{}' WHERE audit_id = %d" % number)
    assert found(await check(database)) == [(2, Fault.REDACTION_UNTOLD)]


async def test_lines_past_their_time_go_and_the_rest_verifies(database: str) -> None:
    write_lines(database, 6)
    with tampering(database) as connection:
        connection.execute(
            "UPDATE audit SET at = at - interval '1000 days' WHERE audit_id < 4 + (SELECT min(audit_id) FROM audit)"
        )
    await seal_all(database)
    first = await head_of(database)
    async with as_worker(database) as worker:
        cursor = await worker.execute("SELECT trim_audit(now() - interval '900 days', 100)")
        assert await cursor.fetchone() == (4,)
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            await worker.execute("SELECT trim_audit(now(), 100)")
    assert found(await check(database)) == [], "the line that tells of it need not be chained yet"
    await seal_all(database)
    verified = await check(database, first)
    assert (verified.report.faults, verified.report.first, verified.report.links) == (0, 5, 3)


async def test_the_worker_may_chain_and_nothing_else(database: str) -> None:
    write_lines(database, 2)
    await seal_all(database)
    for statement in (
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit",
        "INSERT INTO audit (action, subject_kind) VALUES ('x', 'x')",
        "UPDATE audit_chain SET hash = hash",
        "DELETE FROM audit_chain",
        "INSERT INTO audit_anchors (position, hash) SELECT position, hash FROM audit_chain",
        "SET LOCAL fleet.lifted = 'retention'; DELETE FROM audit",
    ):
        async with as_worker(database) as worker:
            *before, last = statement.split("; ")
            async with worker.transaction(force_rollback=True):
                for part in before:
                    await worker.execute(part.encode())
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await worker.execute(last.encode())


def _dump(url: str, to: str, folder: Path) -> None:
    file = folder / "dump.sql"
    bin_ = programs(None)
    subprocess.run([bin_ / "pg_dump", "--file", file, url], check=True, timeout=60)
    subprocess.run(
        [bin_ / "psql", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", file, to], check=True, timeout=60, stdout=-3
    )


async def test_a_restore_on_another_server_goes_on_with_the_chain(
    database: str, template: str | None, tmp_path: Path
) -> None:
    """There transactions count from the beginning, and lines were restored that had no link yet."""
    if template is None:
        pytest.skip("restoring TimescaleDB needs more than pg_dump")
    execute(database, "DO 'BEGIN FOR n IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END'")
    write_lines(database, 5)
    await seal_all(database)
    write_lines(database, 3)
    noted = await head_of(database)
    with embedded_postgres.start_temporary(tmp_path / "other") as other:
        with psycopg.connect(other, autocommit=True) as connection:
            roles.make(connection)
            connection.execute(sql.SQL("CREATE DATABASE restored"))
        restored = other.rpartition("/")[0] + "/restored"
        _dump(database, restored, tmp_path)
        highest = value(database, "SELECT max(tx)::text::bigint FROM audit")
        assert value(restored, "SELECT pg_current_xact_id()::text::bigint") < highest, "the case is worth its name"
        write_lines(restored, 2)
        assert await seal_all(restored, batch=2) == 5
        write_lines(restored, 2)
        assert await seal_all(restored) == 2
        verified = await check(restored, noted)
        assert (found(verified), verified.unsealed, verified.report.links) == ([], 0, 12)
        with tampering(restored) as session:
            session.execute(
                "INSERT INTO audit (audit_id, action, subject_kind) OVERRIDING SYSTEM VALUE VALUES (0, 'x', 'x')"
            )
        assert (None, Fault.ROW_INSERTED) in found(await check(restored))


def test_a_new_installation_chains_by_transaction_from_the_beginning(database: str) -> None:
    execute(database, "SET ROLE fleet_worker; SELECT begin_chain_on(1)")
    assert value(database, "SELECT system_identifier FROM audit_sealer") == 1
    assert value(database, "SELECT tx::text FROM audit_sealer") == "0"
