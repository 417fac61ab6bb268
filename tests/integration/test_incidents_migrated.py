"""A database of the version before, in the middle of a mass event, goes on with it."""

from __future__ import annotations

import pytest
from alembic import command

from fleet.db import migrate as migrating
from fleet.db.migrate import migrate
from tests.alerts_world import BEGIN
from tests.alerts_world import world as make_world
from tests.support import execute, rows

pytestmark = pytest.mark.storage

BEFORE = "0002"


async def test_an_open_incident_is_the_fleets_and_clears_as_ever(empty_database: str) -> None:
    command.upgrade(migrating._config(empty_database), BEFORE)
    execute(
        empty_database,
        """
        WITH kit AS (
            INSERT INTO kits (kit, state, expected_interval_s)
            SELECT 'K-' || g, 'installed', 60 FROM generate_series(1, 100) g RETURNING kit_id
        ), latest AS (
            INSERT INTO kit_latest (kit_id, last_heard_at, heard_clock_s, watch_allowance_s, watch_interval_s,
                                    watch_from_clock_s)
            SELECT kit_id, %s, CASE WHEN kit_id <= 40 THEN 9000 ELSE 10000 END, 180, 60, 0 FROM kit
        ), incident AS (
            INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)
            VALUES ('silent', 'open', %s, 9300, 100) RETURNING incident_id
        ), request AS (
            INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)
            SELECT 'SR-2026-000001', incident_id, 'silent', 'service', 'urgent', 'open', %s, %s FROM incident
        )
        INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s)
        SELECT incident_id, kit_id, %s, 9000, 180 FROM incident, kit WHERE kit_id <= 40
        """,
        *[BEGIN] * 5,
    )
    migrate(empty_database)
    migrated = rows(empty_database, "SELECT rule, cohort_kind, cohort_value, from_clock_s FROM incidents")
    assert migrated == [("silent", "fleet", "", 9000)]
    assert rows(empty_database, "SELECT DISTINCT rule FROM incident_members") == [("silent",)]
    async with make_world(empty_database) as world:
        kits = await world.scalars("SELECT kit_id FROM kits ORDER BY kit_id")
        await world.live(60, heard=kits[40:])
        assert await world.members() == set(kits[:40])
        await world.live(60, heard=kits)
        assert await world.value("SELECT state FROM incidents") == "cleared"
        assert await world.members() == set()
        assert await world.value("SELECT count(*) FROM alerts") == 0
