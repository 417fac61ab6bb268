"""Marks of kits: filled for what was there before them, and right when two change one at the same time."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from alembic import command

from fleet.db import migrate as migrations
from fleet.protocol.topics import Kind
from tests.make import at, incoming, payload
from tests.settling import settling
from tests.support import add_kits, eventually, execute, rows, value, waits_for_lock

pytestmark = pytest.mark.storage

MARKED = "SELECT kit, health FROM kit_marks ORDER BY kit"


def test_what_was_there_before_marks_gets_them(empty_database: str) -> None:
    command.upgrade(migrations._config(empty_database), "0002")
    add_kits(empty_database, "never", "fine", "low", "skewed", "drifted", "unpaired", "retrieved")
    execute(empty_database, "UPDATE kit_latest SET heard_clock_s = 1, last_heard_at = now(), battery = 90")
    for kit, change in (
        ("never", "heard_clock_s = NULL, last_heard_at = NULL"),
        ("low", "battery = 3"),
        ("skewed", "clock_offset_s = 900"),
    ):
        execute(
            empty_database,
            f"UPDATE kit_latest SET {change} WHERE kit_id = (SELECT kit_id FROM kits WHERE kit = %s)",
            kit,
        )
    execute(empty_database, "UPDATE kits SET wanted_components = '{\"app\": \"2\"}' WHERE kit = 'drifted'")
    execute(empty_database, "UPDATE kits SET state = 'retrieved' WHERE kit = 'retrieved'")
    execute(
        empty_database,
        "INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)"
        " SELECT kit_id, CASE kit WHEN 'drifted' THEN 'software' ELSE 'pairing' END, 'b', 1, now(), now(),"
        " CASE kit WHEN 'drifted' THEN '{\"app\": \"1\"}' ELSE '[{\"paired\": false}]' END::jsonb"
        " FROM kits WHERE kit IN ('drifted', 'unpaired', 'retrieved')",
    )
    migrations.migrate(empty_database)
    assert dict(rows(empty_database, MARKED)) == {
        "never": "unknown",
        "fine": "ok",
        "low": "attention",
        "skewed": "attention",
        "drifted": "attention",
        "unpaired": "fault",
        "retrieved": "ok",
    }


async def test_two_who_change_what_one_mark_is_made_from_wait_for_each_other(database: str) -> None:
    """Neither the edit nor the report drifts by what was there before; by both together the kit does."""
    add_kits(database, "K-1")
    execute(database, 'UPDATE kits SET wanted_components = \'{"app": "1.1"}\'')
    async with settling(database) as it:
        await it.settle([incoming("K-1", Kind.SOFTWARE, payload(Kind.SOFTWARE, ts=at(0), mark=1), received_at=at(0))])
        assert value(database, "SELECT health FROM kit_marks") == "ok"
        newer = incoming("K-1", Kind.SOFTWARE, payload(Kind.SOFTWARE, ts=at(1), seq=2, mark=2), received_at=at(1))
        with psycopg.connect(database) as desk:
            desk.execute('UPDATE kits SET wanted_components = \'{"app": "1.2"}\'')
            settled = asyncio.create_task(it.settle([newer]))
            await eventually(lambda: waits_for_lock(database, ""), what="the report to wait for the edit")
            desk.commit()
        await settled
    assert value(database, "SELECT health FROM kit_marks") == "ok"


def test_a_message_that_changes_no_mark_writes_none(database: str) -> None:
    add_kits(database, "K-1")
    execute(database, "UPDATE kit_latest SET heard_clock_s = 1, battery = 80")
    before = value(database, "SELECT xmin::text FROM kit_marks")
    execute(database, "UPDATE kit_latest SET heard_clock_s = 2, battery = 20, storage_free_mb = 900, uptime_s = 5")
    assert value(database, "SELECT xmin::text FROM kit_marks") == before
    execute(database, "UPDATE kit_latest SET battery = 14")
    assert value(database, "SELECT health FROM kit_marks") == "attention"
