"""Service levels on the database: contracts that apply, projections of the log, steps told once."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from prometheus_client.samples import Sample

from fleet import metrics
from fleet.alerts import gauges
from fleet.alerts.rules import ANSWER_WITHIN
from fleet.alerts.sla import recompute
from fleet.alerts.sla.watching import REMEASURED_AT_ONCE
from fleet.db import roles
from fleet.db.connect import connect
from tests.people import add_organisations
from tests.sla_world import BEGIN, SYSTEM, add_steps, desk, hours, set_targets
from tests.support import execute, rows, value


async def test_what_held_before_there_were_contracts_holds(database: str) -> None:
    async with desk(database) as at:
        for priority, within in ANSWER_WITHIN.items():
            row = await at.measure(await at.open(f"K-{priority}", priority=priority), BEGIN)
            assert row["due_at"] == BEGIN + within
            assert (row["response_due_at"], row["update_due_at"], row["sla_state"]) == (None, None, "running")


async def test_how_a_request_stands_follows_its_log(database: str) -> None:
    set_targets(database, "standard", response_min=60, update_min=240, solution_min=480)
    async with desk(database) as at:
        number = await at.open()
        row = await at.measure(number, hours(0.5))
        assert (row["response_due_at"], row["due_at"], row["responded_at"]) == (hours(1), hours(8), None)
        await at.note(number, "state", hours(0.5), to="waiting", waiting_for="citizen")
        row = await at.measure(number, hours(20))
        assert (row["sla_state"], row["sla_breaches"], row["due_at"]) == ("paused", [], hours(27.5))
        await at.note(number, "state", hours(20), to="in_progress")
        row = await at.measure(number, hours(21))
        assert (row["sla_state"], row["update_due_at"], row["responded_at"]) == ("running", hours(24), hours(0.5))
        await at.note(number, "state", hours(29), to="resolved")
        row = await at.measure(number, hours(30))
        assert (row["sla_state"], row["sla_breaches"]) == ("breached", ["update", "solution"])
        assert row["next_escalation_at"] is None
        # It turns out that a supplier was waited for: entered afterwards, it counts from when it was.
        await at.note(number, "state", hours(21), to="waiting", waiting_for="supplier")
        await at.note(number, "state", hours(28), to="in_progress")
        row = await at.measure(number, hours(40))
        assert (row["sla_state"], row["sla_breaches"]) == ("met", [])


async def test_a_contract_or_a_log_that_says_too_little_stops_nobody(database: str) -> None:
    execute(database, "DELETE FROM contract_targets WHERE priority = 'high'")
    async with desk(database) as at:
        number = await at.open()
        execute(
            database,
            "INSERT INTO request_events (request_id, at, actor, what) VALUES (%s, %s, 'user 1 a', 'priority')",
            number, hours(1),
        )  # fmt: skip
        assert (await at.look(hours(90))).requests == 1
        row = await at.row(number)
        assert (row["sla_state"], row["due_at"]) == ("running", BEGIN + timedelta(days=3660))


async def test_measuring_again_changes_nothing(database: str) -> None:
    async with desk(database) as at:
        number = await at.open()
        first = await at.measure(number, hours(1))
        before = value(database, "SELECT xmin::text FROM service_requests WHERE request_id = %s", number)
        assert await at.measure(number, hours(1)) == first
        assert value(database, "SELECT xmin::text FROM service_requests WHERE request_id = %s", number) == before


def _contract(database: str, slug: str, organisation: str | None = None, **of: str) -> None:
    execute(
        database,
        "INSERT INTO contracts (slug, name, organisation_id, programme, kit_type, calendar_id, valid_from, valid_until)"
        " SELECT %s, %s, (SELECT organisation_id FROM organisations WHERE slug = %s), %s, %s, calendar_id,"
        " '2020-01-01', %s FROM calendars WHERE slug = 'always'",
        slug, slug, organisation, of.get("programme"), of.get("kit_type"), of.get("until"),
    )  # fmt: skip
    execute(
        database,
        "INSERT INTO contract_targets (contract_id, priority, solution_min, organisation_id)"
        " SELECT contract_id, unnest(ARRAY['urgent', 'high', 'normal', 'low']), 60, organisation_id"
        " FROM contracts WHERE slug = %s",
        slug,
    )


def _applying(database: str, organisation: str | None, programme: str | None, kit_type: str | None) -> str:
    found: str = value(
        database,
        "SELECT slug FROM contracts WHERE contract_id = contract_for("
        "(SELECT organisation_id FROM organisations WHERE slug = %s), %s, %s, %s)",
        organisation, programme, kit_type, BEGIN,
    )  # fmt: skip
    return found


def test_the_nearest_contract_applies(database: str) -> None:
    add_organisations(database, "nord", kind="region")
    add_organisations(database, "aalborg", "thisted", under="nord")
    execute(database, "INSERT INTO kit_types (kit_type) VALUES ('copd-2')")
    _contract(database, "for-copd", programme="copd")
    _contract(database, "of-nord", "nord")
    _contract(database, "of-nord-copd", "nord", programme="copd")
    _contract(database, "of-nord-type", "nord", kit_type="copd-2")
    _contract(database, "of-aalborg-once", "aalborg", until="2026-11-01")
    _contract(database, "of-aalborg-heart", "aalborg", programme="heart")
    for organisation, programme, kit_type, slug in (
        (None, None, None, "standard"),
        (None, "copd", None, "for-copd"),
        ("nord", None, None, "of-nord"),
        ("aalborg", None, None, "of-nord"),
        ("aalborg", "copd", None, "of-nord-copd"),
        ("thisted", "copd", "copd-2", "of-nord-type"),
        ("aalborg", "heart", "copd-2", "of-aalborg-heart"),
    ):
        assert _applying(database, organisation, programme, kit_type) == slug


async def test_a_contract_is_fixed_with_the_request(database: str) -> None:
    add_organisations(database, "nord", kind="region")
    execute(database, "INSERT INTO kit_types (kit_type, programme) VALUES ('copd-2', 'copd')")
    execute(
        database,
        "INSERT INTO kits (kit, state, kit_type, organisation_id) SELECT 'K', 'installed', 'copd-2', organisation_id"
        " FROM organisations WHERE slug = 'nord'",
    )
    _contract(database, "of-nord-copd", "nord", programme="copd")
    async with desk(database) as at:
        number = await at.open("K")
        assert (await at.measure(number, BEGIN))["due_at"] == hours(1)
        _contract(database, "of-nord-type", "nord", kit_type="copd-2")
        execute(database, "UPDATE kits SET kit_type = NULL")
        assert (await at.measure(number, BEGIN))["due_at"] == hours(1)


async def test_steps_and_breaches_are_told_once(database: str) -> None:
    set_targets(database, "standard", solution_min=480)
    add_steps(database, "standard", ("solution", 50, None, False), ("solution", None, 30, False))
    async with desk(database) as at:
        number = await at.open()
        await at.measure(number, BEGIN)
        for hour in (1, 4, 4.5, 5, 7.5, 7.6, 8, 8.1, 9, 20):
            await at.look(hours(hour))
            await at.look(hours(hour))
        told = await at.told()
        assert [(type_, body.get("step")) for type_, body in told] == [
            ("request.escalated", "50%"),
            ("request.escalated", "-30min"),
            ("request.breached", None),
        ]
        assert {body["number"] for _, body in told} == {(await at.row(number))["number"]}
        assert "key" not in told[0][1]
        row = await at.row(number)
        assert (row["sla_state"], row["next_escalation_at"]) == ("breached", None)


async def test_after_time_away_each_clock_is_told_of_once(database: str) -> None:
    set_targets(database, "standard", response_min=60, solution_min=480)
    add_steps(
        database,
        "standard",
        ("response", 50, None, False),
        ("solution", 50, None, False),
        ("solution", 90, None, False),
    )
    async with desk(database) as at:
        for name in ("K-1", "K-2"):
            await at.measure(await at.open(name), BEGIN)
        looked = await at.look(hours(90))
        assert looked.requests == 2
        assert sorted(type_ for type_, _ in await at.told()) == ["request.breached"] * 4 + ["request.escalated"] * 4
        assert {body["step"] for type_, body in await at.told() if type_ == "request.escalated"} == {"50%", "90%"}
        await at.look(hours(91))
        assert len(await at.told()) == 8


async def test_a_step_may_raise_the_priority(database: str) -> None:
    add_steps(database, "standard", ("solution", 50, None, True))
    async with desk(database) as at:
        number = await at.open(priority="normal")
        await at.measure(number, BEGIN)
        await at.look(hours(36))
        row = await at.row(number)
        assert (row["priority"], row["due_at"]) == ("high", hours(24))
        changed = rows(database, "SELECT body FROM request_events WHERE what = 'priority'")
        assert changed == [({"from": "normal", "to": "high", "why": "escalation"},)]
        await at.look(hours(36.1))
        assert [type_ for type_, _ in await at.told()] == ["request.escalated", "request.breached"]
        assert (await at.row(number))["priority"] == "high"


async def test_what_dies_before_it_commits_told_nothing(database: str) -> None:
    add_steps(database, "standard", ("solution", 50, None, False))
    async with desk(database) as at:
        await at.measure(await at.open(), BEGIN)
        async with at.connection.transaction(force_rollback=True):
            await at.look(hours(13))
            assert len(await at.told()) == 1
        assert await at.told() == []
        await at.look(hours(13))
        assert len(await at.told()) == 1
        # Whoever told it in another way meanwhile: the log takes the key once.
        with pytest.raises(psycopg.errors.UniqueViolation):
            execute(
                database,
                "INSERT INTO request_events (request_id, at, actor, what, body)"
                " SELECT request_id, at, actor, what, body FROM request_events WHERE what = 'escalated'",
            )


async def test_who_waits_is_told_nothing_and_ended_requests_neither(database: str) -> None:
    add_steps(database, "standard", ("solution", 50, None, False))
    async with desk(database) as at:
        waits, ended = await at.open("K-1"), await at.open("K-2")
        await at.note(waits, "state", hours(1), to="waiting", waiting_for="supplier")
        await at.note(ended, "state", hours(1), actor=SYSTEM, to="resolved")
        for number in (waits, ended):
            await at.measure(number, hours(1))
        for hour in (12, 24, 48, 480):
            await at.look(hours(hour))
        assert await at.told() == []
        row = await at.row(waits)
        assert (row["sla_state"], row["due_at"]) == ("paused", hours(480 + 23)), "its due time moves on with now"


async def test_a_request_that_nobody_measured_is_found(database: str) -> None:
    async with desk(database) as at:
        number = await at.open()
        await at.look(hours(1))
        assert (await at.row(number))["due_at"] == hours(24)


async def test_a_changed_contract_measures_its_open_requests_anew(database: str) -> None:
    async with desk(database) as at:
        number, over = await at.open("K-1"), await at.open("K-2")
        await at.note(over, "state", hours(2), to="resolved")
        for each in (number, over):
            await at.measure(each, hours(3))
        set_targets(database, "standard", solution_min=600)
        execute(database, "UPDATE contracts SET remeasure_from = 0 WHERE slug = 'standard'")
        looked = await at.look(hours(4))
        assert looked.remeasured == 1
        assert ((await at.row(number))["due_at"], (await at.row(over))["due_at"]) == (hours(10), hours(24))
        assert value(database, "SELECT count(*) FROM contracts WHERE remeasure_from IS NOT NULL") == 0


async def test_many_are_measured_anew_in_portions_and_none_is_left_out_where_a_worker_died(database: str) -> None:
    count = 2 * REMEASURED_AT_ONCE + 7
    execute(
        database, "INSERT INTO kits (kit, state) SELECT 'K-' || g, 'installed' FROM generate_series(1, %s) g", count
    )
    execute(
        database,
        "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, contract_id)"
        " SELECT 'SR-' || kit_id, kit_id, 'silent', 'support', 'high', 'open', %s, %s,"
        " (SELECT contract_id FROM contracts WHERE slug = 'standard') FROM kits",
        BEGIN, BEGIN,
    )  # fmt: skip
    set_targets(database, "standard", solution_min=600)
    execute(database, "UPDATE contracts SET remeasure_from = 0 WHERE slug = 'standard'")
    left = "SELECT requests_to_measure(contract_id) FROM contracts WHERE slug = 'standard'"
    async with desk(database) as at:
        portions = []
        while value(database, left):
            # One that dies in the midst leaves all to the next.
            async with at.connection.transaction(force_rollback=True):
                await at.look(hours(1))
            before = value(database, left)
            looked = await at.look(hours(1))
            portions.append(looked.remeasured)
            assert value(database, left) == before - looked.remeasured
        assert portions == [REMEASURED_AT_ONCE, REMEASURED_AT_ONCE, 7]
    assert rows(database, "SELECT DISTINCT due_at FROM service_requests") == [(hours(10),)]
    assert value(database, "SELECT remeasure_from FROM contracts WHERE slug = 'standard'") is None


async def test_thousands_are_measured_at_once(database: str) -> None:
    count = 2000
    execute(
        database,
        "INSERT INTO kits (kit, state) SELECT 'K-' || g, 'installed' FROM generate_series(1, %s) g",
        count,
    )
    execute(
        database,
        "INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)"
        " SELECT service_request_number(now()), kit_id, 'silent', 'support', 'high', 'open', %s, %s FROM kits",
        BEGIN, BEGIN,
    )  # fmt: skip
    async with desk(database) as at:
        async with at.connection.transaction():
            numbers = [n for (n,) in rows(database, "SELECT request_id FROM service_requests")]
            assert await recompute(at.connection, numbers, BEGIN) == count
        due = rows(database, "SELECT DISTINCT due_at FROM service_requests")
        assert due == [(BEGIN + timedelta(days=1),)]


async def test_who_does_not_see_a_contract_measures_by_it_all_the_same(database: str) -> None:
    add_organisations(database, "nord", kind="region")
    add_organisations(database, "aalborg", under="nord")
    _contract(database, "of-nord", "nord")
    execute(
        database,
        "INSERT INTO kits (kit, state, organisation_id) SELECT 'K', 'installed', organisation_id FROM organisations"
        " WHERE slug = 'aalborg'",
    )
    async with desk(database) as at:
        number = await at.open("K")
    connection = await connect(database, role="test", run_as=roles.API)
    async with connection, connection.transaction():
        scope = value(database, "SELECT ARRAY[organisation_id]::text FROM organisations WHERE slug = 'aalborg'")
        await connection.execute("SELECT set_config('fleet.scope', %s, true)", (scope,))
        cursor = await connection.execute("SELECT slug FROM contracts")
        assert await cursor.fetchall() == [("standard",)]
        assert await recompute(connection, [number], BEGIN) == 1
    assert value(database, "SELECT due_at FROM service_requests") == hours(1)


async def test_the_gauges_tell_of_missed_targets_and_not_of_what_waits(database: str) -> None:
    set_targets(database, "standard", response_min=60, solution_min=480)
    async with desk(database) as at:
        late, waits = await at.open("K-1"), await at.open("K-2", priority="low")
        await at.note(waits, "state", hours(0.5), to="waiting", waiting_for="citizen")
        for number in (late, waits):
            await at.measure(number, hours(9))
        try:
            await gauges.work(at.connection)
            found = {(each.labels["priority"], each.labels["target"]): each.value for each in _samples()}
            missed = {key for key, count in found.items() if count}
            assert missed == {("high", "response"), ("high", "solution")}
            assert len(found) == 12
        finally:
            gauges.forget()


def _samples() -> list[Sample]:
    (family,) = metrics.SLA_OPEN.collect()
    return list(family.samples)
