"""Requests of the release before get a log that says as much as is known, and go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from alembic import command

from fleet.alerts.requests import opening
from fleet.db import migrate as migrating
from fleet.db.connect import connect
from tests.requests_world import differences
from tests.support import execute, rows, value

NOW = datetime.now(UTC).replace(microsecond=0)


async def test_requests_of_before_have_their_logs_and_come_back(empty_database: str) -> None:
    command.upgrade(migrating._config(empty_database), "0002")
    execute(empty_database, "INSERT INTO kits (kit, state) SELECT 'K-' || g, 'installed' FROM generate_series(1, 3) g")
    execute(
        empty_database,
        "WITH made AS (INSERT INTO service_requests"
        " (number, kit_id, cause, line, priority, state, opened_at, due_at, resolved_at, resolution)"
        " SELECT 'SR-2026-00000' || g, g, 'silent', 'support', 'high',"
        "   (ARRAY['in_progress', 'resolved', 'closed'])[g], %s, %s, CASE WHEN g > 1 THEN %s::timestamptz END,"
        "   (ARRAY[NULL, 'proof', 'by phone'])[g] FROM generate_series(1, 3) g RETURNING request_id, kit_id),"
        " alerts AS (INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " SELECT kit_id, 'silent', 'major', 'active', %s, '{}' FROM made WHERE kit_id = 1 RETURNING alert_id, kit_id)"
        " INSERT INTO request_alerts SELECT request_id, alert_id FROM made JOIN alerts USING (kit_id)",
        NOW - timedelta(hours=3), NOW, NOW - timedelta(hours=1), NOW - timedelta(hours=3),
    )  # fmt: skip
    audited = value(empty_database, "SELECT count(*) FROM audit WHERE subject_kind = 'service_requests'")
    migrating.migrate(empty_database)
    told = value(empty_database, "SELECT count(*) FROM audit WHERE subject_kind = 'service_requests'")
    assert told == audited, "nobody changed anything"
    log = rows(empty_database, "SELECT request_id, actor, what, body ->> 'to' FROM request_events ORDER BY 1, event_id")
    assert log == [
        (1, "system", "opened", None), (1, "system", "alert", None), (1, "system", "state", "in_progress"),
        (2, "system", "opened", None), (2, "system", "state", "resolved"),
        (3, "system", "opened", None), (3, "unknown", "state", "closed"),
    ]  # fmt: skip
    assert rows(empty_database, "SELECT has_text, proven FROM service_requests ORDER BY number") == [
        (False, None), (False, None), (True, False),
    ]  # fmt: skip
    async with await connect(empty_database, role="test") as connection:
        assert await differences(connection) == []
        cursor = await connection.execute(
            "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
            " SELECT g, 'silent', 'major', 'active', %s, '{}' FROM generate_series(2, 3) g RETURNING alert_id",
            (NOW,),
        )
        alerts = [row[0] for row in await cursor.fetchall()]
        assert await opening.open_for_alerts(connection, alerts, NOW) == 2
        assert await differences(connection) == []
    assert value(empty_database, "SELECT count(*) FROM service_requests WHERE state = 'open' AND reopened = 1") == 2
