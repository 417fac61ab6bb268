"""The worker compares books and reality: what changed at once, all in time; findings become alerts and requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet.alerts import comparing
from fleet.alerts.comparing import Compared, Comparer
from fleet.alerts.massevents import counting
from fleet.db import roles
from fleet.state.findings import store
from tests.alerts_world import World
from tests.findings_world import Books, opened
from tests.support import eventually, execute, process, rows, value

RULE = "books_against_reality"


class Desk(Books):
    """Books with the worker's rounds over them."""

    comparer: Comparer

    async def round(self, *, whole: bool = True) -> Compared:
        """One round, of the whole fleet or of what changed."""
        if whole:
            self.comparer = Comparer(self.connection)
        done = await self.comparer.round(self.now)
        while self.comparer.in_the_midst:
            more = await self.comparer.round(self.now)
            done.settled.add(more.settled)
            done.applied.add(more.applied)
            done.held = more.held
        return done

    async def alerts(self, rule: str = RULE) -> list[Any]:
        """Alerts of a rule with the state of their requests."""
        cursor = await self.connection.execute(
            "SELECT coalesce(k.kit, a.subject), a.severity, a.state, a.resolution, r.state, r.priority, r.line"
            " FROM alerts a LEFT JOIN kits k USING (kit_id)"
            " JOIN request_alerts USING (alert_id) JOIN service_requests r USING (request_id)"
            " WHERE a.rule = %s ORDER BY a.alert_id",
            (rule,),
        )
        return await cursor.fetchall()


@pytest.fixture
async def desk(database: str) -> AsyncIterator[Desk]:
    """Empty books, seen with the worker's rights."""
    async with opened(database) as books:
        made = Desk(books.connection)
        await made.do(f"SET ROLE {roles.WORKER}")
        yield made


async def test_findings_open_one_alert_with_its_request_and_clear_it(desk: Desk) -> None:
    kit_id = await desk.kit("K", "in_stock")
    await desk.piece(kit_id, "tablet", "T-1")
    await desk.round()
    assert await desk.alerts() == [("K", "minor", "active", None, "open", "normal", "logistics")]
    assert await desk.do("SELECT evidence #>> '{findings,0,kind}' FROM alerts") == "reports_while_stored"
    assert not (await desk.round()).applied.changed
    await desk.set_state(kit_id, "preparing", desk.now)
    await desk.round()
    assert await desk.alerts() == [("K", "minor", "cleared", "books_agree", "resolved", "normal", "logistics")]


async def test_a_second_finding_joins_the_alert_and_may_make_it_graver(desk: Desk) -> None:
    kit_id = await desk.kit("K")
    await desk.piece(kit_id, "scale", "W-1")
    await desk.pairing(kit_id)
    await desk.round()
    await desk.set_state(kit_id, "lost", desk.now - timedelta(days=1))
    await desk.round()
    assert await desk.alerts() == [("K", "major", "active", None, "open", "high", "logistics")]


async def test_a_scrapped_kit_that_reports_is_urgent_and_spoken_of_by_its_own_rule(desk: Desk) -> None:
    await desk.kit("K", "scrapped")
    await desk.round()
    assert await desk.alerts() == []
    alerts = await desk.alerts("credentials_misused")
    assert alerts == [("K", "critical", "active", None, "open", "urgent", "service")]


async def test_another_tablet_is_spoken_of_by_its_own_rule(desk: Desk) -> None:
    kit_id = await desk.kit("K")
    await desk.piece(kit_id, "tablet", "T-1")
    await desk.software(kit_id, None, tablet_serial="T-2")
    await desk.round()
    assert await desk.alerts() == []
    alerts = await desk.alerts("tablet_or_sim_swapped")
    assert alerts == [("K", "major", "active", None, "open", "high", "logistics")]


async def test_what_was_dismissed_ends_its_alert(desk: Desk) -> None:
    await desk.kit("K", "in_stock")
    await desk.round()
    finding = await desk.do("SELECT finding_id FROM findings")
    await store.dismiss(desk.connection, finding, reason="on show", until=None, actor="t")
    await desk.round()
    assert await desk.alerts() == [("K", "minor", "cleared", "dismissed", "resolved", "normal", "logistics")]
    assert not (await desk.round()).applied.changed


async def test_pieces_without_a_kit_are_one_alert_of_their_organisation(desk: Desk) -> None:
    yesterday = desk.now.date() - timedelta(days=1)
    for number in range(3):
        await desk.piece(None, "scale", f"W-{number}", calibration_due=yesterday)
    await desk.round()
    assert await desk.standing() == ["calibration_overdue"] * 3
    told = ("installation", "minor", "active", None, "open", "normal", "logistics")
    assert await desk.alerts("calibration_due") == [told]
    await desk.piece(None, "scale", "W-9", calibration_due=yesterday)
    assert not (await desk.round()).applied.opened
    assert await desk.do("SELECT jsonb_array_length(evidence -> 'findings') FROM alerts") == 4
    await desk.do("UPDATE components SET calibration_due = NULL")
    await desk.round()
    ended = ("installation", "minor", "cleared", "books_agree", "resolved", "normal", "logistics")
    assert await desk.alerts("calibration_due") == [ended]
    types = "SELECT array_agg(type ORDER BY event_id) FROM events WHERE body ->> 'subject' = 'installation'"
    assert await desk.do(types) == ["request.opened", "alert.opened", "alert.cleared", "request.resolved"]


async def test_what_changed_is_compared_at_once(desk: Desk) -> None:
    """The tick hands the kits on that it takes from the queue of the rules."""
    await desk.round()
    kit_id = await desk.kit("K-1")
    await desk.kit("K-2", "in_stock")
    await desk.piece(kit_id, "tablet", "T-1")
    await desk.software(kit_id, None, tablet_serial="T-2")
    await desk.do("INSERT INTO evaluation_queue (kit_id) SELECT %s FROM generate_series(1, 3)", kit_id)
    world = World(desk.connection)
    await world.tick()
    assert await desk.do("SELECT array_agg(kit_id) FROM finding_queue") == [kit_id]
    await desk.round(whole=False)
    assert await desk.standing() == ["other_tablet"]
    assert await desk.do("SELECT count(*) FROM finding_queue") == 0


async def test_what_describes_a_piece_or_a_model_changes(desk: Desk) -> None:
    kit_id = await desk.kit("K")
    await desk.piece(kit_id, "tablet", "T-1")
    await desk.piece(kit_id, "scale", "W-1")
    await desk.software(kit_id, None, imei="490154203237518")
    await desk.pairing(kit_id, {"serial": "W-1", "firmware": "1.9"})
    await desk.round()
    await desk.do("UPDATE components SET imei = '356938035643809' WHERE serial = 'T-1'")
    await desk.do("UPDATE models SET expected_firmware = '2.0' WHERE kind = 'scale'")
    await desk.round(whole=False)
    assert await desk.standing() == ["firmware_differs", "other_tablet"]


async def incidents(desk: Desk, state: str = "open") -> list[Any]:
    """Mass events by rule and cohort with how many kits they have."""
    cursor = await desk.connection.execute(
        "SELECT rule, cohort_kind || ':' || cohort_value, count(m.kit_id) FILTER (WHERE m.left_at IS NULL)"
        " FROM incidents i LEFT JOIN incident_members m USING (incident_id, rule)"
        " WHERE i.state = %s GROUP BY i.incident_id ORDER BY i.incident_id",
        (state,),
    )
    return await cursor.fetchall()


async def test_very_many_at_once_are_one_mass_event_also_of_kits_in_store(desk: Desk) -> None:
    for number in range(22):
        await desk.kit(f"K-{number}", "in_stock")
    done = await desk.round()
    assert (done.held, await incidents(desk)) == (0, [(RULE, "fleet:", 22)])
    assert await desk.alerts() == [], "none has a request of its own"
    assert await desk.do("SELECT count(*) FROM alerts WHERE suppressed_by LIKE 'incident:%%'") == 22
    await desk.kit("L", "lost")
    await desk.round()
    assert await incidents(desk) == [(RULE, "fleet:", 23)], "who follows belongs to it"
    await desk.do("UPDATE kits SET state = 'ready' WHERE kit_id %% 4 <> 0")
    await desk.round()
    world = World(desk.connection)
    world.now = desk.now
    await world.tick()
    assert await incidents(desk) == []
    assert await incidents(desk, "cleared") == [(RULE, "fleet:", 5)]
    world.now += timedelta(minutes=16)
    await world.listen()
    await world.tick()
    assert len(await desk.alerts()) == 5, "who is wrong still is told of when it is over"


async def test_an_update_that_makes_many_report_another_model_is_one_case(desk: Desk) -> None:
    for number in range(70):
        kit_id = await desk.kit(f"K-{number}")
        await desk.piece(kit_id, "scale", f"W-{number}", model="W1")
        await desk.report(kit_id, "software", {"os": "15" if number < 60 else "14"})
        other = number < 40 or number in (62, 63)
        await desk.pairing(kit_id, {"serial": f"W-{number}", "model": "W2" if other else "W1"})
    await desk.round()
    assert await incidents(desk) == [(RULE, "os:15", 40)]
    assert [each[0] for each in await desk.alerts()] == ["K-62", "K-63"], "theirs is another matter"
    assert await desk.do("SELECT count(*) FROM service_requests WHERE incident_id IS NOT NULL") == 1
    assert not (await desk.round()).applied.changed


async def test_findings_of_long_ago_that_may_open_only_now_are_one_mass_event(desk: Desk) -> None:
    await desk.do("UPDATE rules SET enabled = false WHERE rule = %s", RULE)
    for number in range(25):
        await desk.kit(f"K-{number}", "in_stock")
    await desk.round()
    desk.now += timedelta(hours=1)
    await desk.do("UPDATE rules SET enabled = true WHERE rule = %s", RULE)
    done = await desk.round()
    assert (done.held, done.applied.requests_opened) == (0, 1)
    assert [members for _, _, members in await incidents(desk)] == [25]
    assert await desk.alerts() == []


async def test_a_mass_event_that_ends_while_somebody_joins_it_costs_nobody_anything(
    desk: Desk, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(25):
        await desk.kit(f"K-{number}", "in_stock")
    await desk.round()
    assert len(await incidents(desk)) == 1
    await desk.kit("K-late", "in_stock")
    gather = comparing.gather

    async def gather_and_lose(*about: Any, **more: Any) -> Any:
        found = await gather(*about, **more)
        execute(
            database,
            "UPDATE incidents SET state = 'cleared', cleared_at = now(), left_at_clear = 0, cleared_clock_s = 1",
        )
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(comparing, "gather", gather_and_lose)
        await desk.round()
    desk.now += timedelta(minutes=1)
    await desk.round()
    late = "SELECT count(*) FROM alerts JOIN kits USING (kit_id) WHERE kit = 'K-late' AND alerts.state = 'active'"
    joined = "SELECT count(*) FROM incident_members JOIN kits USING (kit_id) WHERE kit = 'K-late' AND left_at IS NULL"
    assert value(database, late) + value(database, joined) >= 1


async def test_where_mass_events_are_switched_off_each_is_told_of(desk: Desk) -> None:
    await desk.do("UPDATE incident_settings SET enabled = false WHERE rule = %s RETURNING rule", RULE)
    for number in range(25):
        await desk.kit(f"K-{number}", "in_stock")
    await desk.round()
    assert (len(await desk.alerts()), await incidents(desk)) == (25, [])


async def test_those_of_a_large_fleet_wait_until_it_is_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "SMALL", 5)
    await desk.do("INSERT INTO kit_types (kit_type) VALUES ('demo') RETURNING kit_type")
    for number in range(25):
        await desk.kit(f"K-{number}", "in_stock")
    await desk.do("UPDATE cohort_counts SET kits = 1000, counted_at = %s RETURNING kits", desk.now - timedelta(hours=1))
    done = await desk.round()
    assert (done.held, done.more, await desk.alerts()) == (25, False, [])
    assert await desk.do("SELECT count(*) FROM pending_alerts") == 0
    async with desk.connection.transaction():
        await counting.count(desk.connection, desk.now)
    done = await desk.round()
    assert (done.held, await incidents(desk)) == (0, [(RULE, "fleet:", 25)])


async def test_nobody_waits_for_longer_than_the_window(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "SMALL", 5)
    for number in range(25):
        await desk.kit(f"K-{number}", "in_stock")
    await desk.do("UPDATE cohort_counts SET kits = 1000, counted_at = %s RETURNING kits", desk.now - timedelta(hours=1))
    assert (await desk.round()).held == 25
    desk.now += timedelta(seconds=301)
    assert (await desk.round()).held == 0
    assert len(await desk.alerts()) == 25


async def test_the_fleet_is_compared_in_parts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "KITS_AT_ONCE", 3)
    for number in range(10):
        await desk.kit(f"K-{number}", "in_stock")
    await desk.round()
    assert (await desk.standing()).count("reports_while_stored") == 10
    await desk.do("UPDATE kits SET state = 'ready' WHERE kit_id %% 2 = 0")
    await desk.round()
    assert (await desk.standing()).count("reports_while_stored") == 5


async def test_a_rule_switched_off_ends_its_alerts(desk: Desk) -> None:
    await desk.kit("K", "in_stock")
    await desk.round()
    await desk.do("UPDATE rules SET enabled = false WHERE rule = 'books_against_reality'")
    await desk.round()
    assert [each[3] for each in await desk.alerts()] == ["rule_disabled"]
    assert await desk.standing() == ["reports_while_stored"]


async def test_a_variant_is_heeded_for_kits_in_store_as_well(desk: Desk) -> None:
    await desk.do("INSERT INTO kit_types (kit_type) VALUES ('demo')")
    kit_id = await desk.kit("K", "in_stock")
    await desk.kit("L", "in_stock")
    await desk.do("UPDATE kits SET kit_type = 'demo' WHERE kit_id = %s", kit_id)
    await desk.do("INSERT INTO rule_variants (rule, kit_type, enabled) VALUES (%s, 'demo', false)", RULE)
    await World(desk.connection).tick()
    await desk.round()
    assert [each[0] for each in await desk.alerts()] == ["L"]
    await desk.do("DELETE FROM rule_variants")
    await World(desk.connection).tick()
    await desk.round()
    assert [each[0] for each in await desk.alerts()] == ["L", "K"]


async def test_the_process_does_it(database: str, tmp_path: Path) -> None:
    """A real worker finds, alerts and charges by itself."""
    async with opened(database) as books:
        await books.kit("K", "in_stock")
        await books.do("INSERT INTO organisations (slug, name, kind) VALUES ('kommune', 'K', 'municipality')")
        await books.do(
            "INSERT INTO placement_references (organisation_id, reference)"
            " SELECT organisation_id, 'P-0001' FROM organisations"
        )
        await books.do(
            "INSERT INTO placements (kit_id, reference_id, organisation_id, programme)"
            " SELECT k.kit_id, r.reference_id, r.organisation_id, 'KOL' FROM kits k, placement_references r"
        )
        await books.do(
            "INSERT INTO book_events (what, kit_id, to_state, actor, occurred_at)"
            " SELECT 'opening', kit_id, 'dispatched', 't',"
            " now() - interval '1 minute' FROM kits"
        )
        await books.do(
            "INSERT INTO book_events (what, kit_id, from_state, to_state, placement_id, actor)"
            " SELECT 'status', kit_id, 'dispatched', 'installed', placement_id, 't' FROM placements"
        )
    with process("fleet", "worker", log=tmp_path / "worker.log", database_url=database):
        active = "SELECT count(*) FROM alerts WHERE rule = 'books_against_reality' AND state = 'active'"
        await eventually(lambda: value(database, active) == 1, 30, "an alert")
        charged = "SELECT kind, programme, quantity FROM billable_events"
        await eventually(lambda: rows(database, charged) == [("set_up", "KOL", 1)], 30, "a charge")
        execute(database, "UPDATE kits SET state = 'preparing'")
        execute(database, "INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM kits")
        await eventually(lambda: value(database, active) == 0, 30, "the alert's end")


async def test_who_waits_for_their_time_keep_nobody_else_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "ALERTS_AT_ONCE", 1)
    await desk.do("UPDATE rules SET for_s = 3600 WHERE rule = 'books_against_reality' RETURNING rule")
    await desk.kit("K-1", "in_stock")
    await desk.kit("K-2", "scrapped")
    await desk.round()
    assert (await desk.alerts(), len(await desk.alerts("credentials_misused"))) == ([], 1)
