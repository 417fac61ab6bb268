"""Requests of before are under the contract that says what held before, and stand as they stood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from alembic import command

from fleet.db import migrate as migrating
from tests.sla_world import desk
from tests.support import execute, rows, value

NOW = datetime.now(UTC).replace(microsecond=0)


async def test_requests_of_the_release_before_go_on(empty_database: str) -> None:
    command.upgrade(migrating._config(empty_database), "0002")
    execute(empty_database, "INSERT INTO kits (kit, state) SELECT 'K-' || g, 'installed' FROM generate_series(1, 4) g")
    for number, (state, opened, resolved) in enumerate(
        [("open", 2, None), ("open", 30, None), ("resolved", 40, 20), ("closed", 90, 10)], 1
    ):
        execute(
            empty_database,
            "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at,"
            " resolved_at, resolution) VALUES (%s, %s, 'silent', 'support', 'high', %s, %s, %s, %s, %s)",
            f"SR-2026-00000{number}", number, state, NOW - timedelta(hours=opened),
            NOW - timedelta(hours=opened - 24), None if resolved is None else NOW - timedelta(hours=resolved),
            None if resolved is None else "proof",
        )  # fmt: skip
    audited = value(empty_database, "SELECT count(*) FROM audit")
    migrating.migrate(empty_database)
    found = rows(empty_database, "SELECT sla_state, sla_breaches FROM service_requests ORDER BY number")
    assert found == [("running", []), ("breached", ["solution"]), ("met", []), ("breached", ["solution"])]
    due = rows(empty_database, "SELECT request_id, due_at FROM service_requests ORDER BY request_id")
    told = "SELECT count(*) FROM audit WHERE subject_kind IN ('contracts', 'calendars', 'contract_targets')"
    assert value(empty_database, told) == 0
    assert value(empty_database, "SELECT count(*) FROM audit") >= audited
    async with desk(empty_database) as at:
        looked = await at.look(NOW + timedelta(hours=1))
        assert looked.requests == 2
        assert [(type_, body["number"]) for type_, body in await at.told()] == [("request.breached", "SR-2026-000002")]
    assert rows(empty_database, "SELECT request_id, due_at FROM service_requests ORDER BY request_id") == due
    after = rows(empty_database, "SELECT sla_state, sla_breaches FROM service_requests ORDER BY number")
    assert after == found


async def test_what_was_merged_before_is_measured_no_more_and_who_speaks_for_it_anew(empty_database: str) -> None:
    command.upgrade(migrating._config(empty_database), "0003")
    execute(
        empty_database,
        """
        INSERT INTO kits (kit, state) VALUES ('K-1', 'installed'), ('K-2', 'installed');
        INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, contract_id)
        SELECT 'SR-' || kit_id, kit_id, 'silent', 'support', 'high', 'open', now() - 10 * kit_id * interval '1 minute',
               now() + interval '1 day', (SELECT contract_id FROM contracts WHERE slug = 'standard') FROM kits;
        UPDATE service_requests SET state = 'closed', merged_into = 'SR-1', resolution = 'merged:SR-1',
               resolved_at = now(), sla_state = 'met', responded_at = now() WHERE number = 'SR-2';
        INSERT INTO request_events (request_id, at, actor, what, body)
        SELECT request_id, opened_at, 'system', 'opened',
               '{"by": "alert", "cause": "silent", "line": "support", "priority": "high"}' FROM service_requests;
        INSERT INTO organisations (slug, name) VALUES ('nord', 'Nord');
        INSERT INTO visits (number, kind, kit_id, organisation_id, ordered_at, planned_on, target_days, due_on, state,
                            ended_at, done_on, took_days, created_by)
        SELECT 'V-1', 'repair', 1, organisation_id, now(), current_date, 12, current_date, 'done', now(), current_date,
               0, 't'
        FROM organisations;
        """,
    )
    assert migrating.migrate(empty_database) == ("0003", migrating.head())
    stands = "SELECT sla_state, responded_at, next_escalation_at <= now() FROM service_requests ORDER BY number"
    assert rows(empty_database, stands) == [("running", None, True), ("none", None, None)]
    async with desk(empty_database) as at:
        await at.look(datetime.now(UTC))
    since = "SELECT due_at - interval '1 day' = (SELECT min(opened_at) FROM service_requests) FROM service_requests"
    assert rows(empty_database, f"{since} WHERE number = 'SR-1'") == [(True,)], "as old as the first"
    execute(empty_database, "UPDATE visits SET took_days = NULL")


async def test_what_had_ended_before_it_was_merged_stands_as_it_stood_and_nothing_old_is_told(
    empty_database: str,
) -> None:
    command.upgrade(migrating._config(empty_database), "0003")
    execute(
        empty_database,
        """
        INSERT INTO kits (kit, state) VALUES ('K-1', 'installed');
        INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, contract_id)
        SELECT v.number, 1, v.cause, 'support', 'high', 'open', now() - v.age, now() - v.age + interval '1 day',
               (SELECT contract_id FROM contracts WHERE slug = 'standard')
        FROM (VALUES ('SR-1', 'silent', interval '10 minutes'), ('SR-2', 'storage_low', interval '40 days'))
            AS v(number, cause, age);
        INSERT INTO request_events (request_id, at, actor, what, body)
        SELECT request_id, opened_at, 'system', 'opened',
               jsonb_build_object('by', 'alert', 'cause', cause, 'line', 'support', 'priority', 'high')
        FROM service_requests;
        INSERT INTO request_events (request_id, at, actor, what, body) VALUES
            (2, now() - interval '39 days 12 hours', 'system', 'state', '{"from": "open", "to": "resolved"}'),
            (2, now(), 'user 7 a', 'state', '{"from": "resolved", "to": "closed", "resolution": "merged:SR-1"}'),
            (2, now(), 'user 7 a', 'merged', '{"into": "SR-1"}');
        UPDATE service_requests SET state = 'closed', merged_into = 'SR-1', resolution = 'merged:SR-1',
               resolved_at = now() - interval '39 days 12 hours', closed_at = now(), sla_state = 'met'
        WHERE number = 'SR-2';
        """,
    )
    stands = "SELECT number, sla_state, due_at, next_escalation_at FROM service_requests ORDER BY number"
    before = rows(empty_database, stands)
    migrating.migrate(empty_database)
    assert rows(empty_database, stands) == before
    execute(empty_database, "UPDATE service_requests SET next_escalation_at = now() WHERE number = 'SR-1'")
    async with desk(empty_database) as at:
        await at.look(datetime.now(UTC))
        assert await at.told() == []
    assert [row[:3] for row in rows(empty_database, stands)] == [row[:3] for row in before]
