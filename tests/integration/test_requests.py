"""Alerts become service requests, come back and end by proof; a request's row is what its log comes to."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from fleet.access.principal import SYSTEM, Grant, Principal
from fleet.access.roles import Role
from fleet.alerts.requests import desk, opening, proving
from fleet.alerts.requests.proof import Verdict
from fleet.alerts.sla import watching
from fleet.db import roles
from fleet.errors import ConflictError
from tests.alerts_world import World
from tests.alerts_world import world as make_world
from tests.requests_world import differences

DAY = timedelta(days=1)
AGENT = Principal("user", 7, "agent", (Grant(Role.SERVICE),))


class Desk(World):
    """A fleet whose alerts are written by the test itself, with the worker's rights."""

    async def alert(self, kit_id: int, rule: str = "silent", severity: str = "major") -> int:
        """An active alert, not yet in any request."""
        return int(
            await self.value(
                "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
                " VALUES (%s, %s, %s, 'active', %s, '{}') RETURNING alert_id",
                kit_id, rule, severity, self.now,
            )
        )  # fmt: skip

    async def clear(self, *alert_ids: int, resolution: str = "proof") -> int:
        """Alerts clear, and their requests with them; how many of those ended."""
        await self.connection.execute(
            "UPDATE alerts SET state = 'cleared', cleared_at = %s, resolution = %s WHERE alert_id = ANY (%s)",
            (self.now, resolution, list(alert_ids)),
        )
        return await opening.resolve_for_alerts(self.connection, alert_ids, self.now)

    async def open(self, *alert_ids: int) -> int:
        """Requests for alerts; how many are open now that were not."""
        return await opening.open_for_alerts(self.connection, alert_ids, self.now)

    async def requests(self, columns: str = "state, reopened") -> list[Any]:
        """What the requests say, by number."""
        return await self.rows(f"SELECT {columns} FROM service_requests ORDER BY request_id")

    async def pass_(self, time: timedelta) -> None:
        """The kits are heard at the end of it."""
        await self.advance(time.total_seconds(), heard=await self.scalars("SELECT kit_id FROM kits"))

    async def paired(self, kit_id: int, *peripherals: dict[str, Any]) -> None:
        """What the tablet says of its devices."""
        await self.connection.execute(
            "INSERT INTO latest_reports VALUES (%s, 'pairing', 'b', 1, %s, %s, %s)"
            " ON CONFLICT (kit_id, kind) DO UPDATE SET body = excluded.body, time = excluded.time",
            (kit_id, self.now, self.now, Jsonb(list(peripherals))),
        )


@pytest.fixture
async def world(database: str) -> AsyncIterator[Desk]:
    async with make_world(database) as made:
        desk = Desk(made.connection)
        await desk.listen()
        await desk.connection.execute(f"SET ROLE {roles.WORKER}".encode())
        yield desk
        assert await differences(desk.connection) == [], "every row is what its log comes to"


async def test_later_alerts_join_the_open_request(world: Desk) -> None:
    (kit,) = await world.add(1)
    first = await world.alert(kit)
    assert await world.open(first) == 1
    assert await world.open(first) == 0, "twice is once"
    await world.connection.execute("UPDATE alerts SET state = 'cleared', cleared_at = now(), resolution = 'proof'")
    assert await world.open(await world.alert(kit, severity="critical")) == 0
    assert await world.requests("state, priority") == [("open", "urgent")]
    assert await world.value("SELECT count(*) FROM request_alerts") == 2


async def test_a_tick_that_began_before_a_desk_wrote_comes_after_it(world: Desk) -> None:
    """The step of the desk is at a moment that the tick, which writes later, had not reached when it began."""
    (kit,) = await world.add(1)
    alert = await world.alert(kit)
    await world.open(alert)
    number = await world.value("SELECT number FROM service_requests")
    assert await desk.change_request(world.connection, number, {"state": "in_progress"}, by=SYSTEM) is None
    moved = await world.value("SELECT max(at) FROM request_events WHERE what = 'state'")
    assert world.now < moved
    assert await world.clear(alert) == 1
    assert await world.requests("state, resolved_at") == [("resolved", moved)]
    steps = await world.scalars("SELECT at FROM request_events WHERE what IN ('opened', 'state') ORDER BY event_id")
    assert steps == sorted(steps)


async def test_suppressed_alerts_open_nothing_until_they_are_told(world: Desk) -> None:
    (kit,) = await world.add(1)
    alert = await world.alert(kit)
    await world.connection.execute("UPDATE alerts SET suppressed_by = 'maintenance:1'")
    assert await world.open(alert) == 0
    await world.connection.execute("UPDATE alerts SET suppressed_by = NULL")
    assert await world.open(alert) == 1


async def test_what_comes_back_within_the_window_opens_its_request_again(world: Desk) -> None:
    (kit,) = await world.add(1)
    alert = await world.alert(kit)
    await world.open(alert)
    assert await world.clear(alert) == 1
    assert await world.requests("state, resolution, found_cause") == [("resolved", "proof", "self-cleared")]
    await world.pass_(6 * DAY)
    alert = await world.alert(kit)
    assert await world.open(alert) == 1
    assert await world.requests() == [("open", 1)]
    await world.clear(alert)
    await world.pass_(8 * DAY)
    await world.open(await world.alert(kit))
    assert await world.requests() == [("resolved", 1), ("open", 0)]
    types = await world.scalars("SELECT type FROM events ORDER BY event_id")
    assert types == [
        "request.opened", "request.resolved", "request.reopened", "request.resolved", "request.opened",
    ]  # fmt: skip


async def test_a_contract_says_how_long_a_request_comes_back(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    await world.connection.execute("UPDATE contracts SET reopen_days = 1")
    (kit,) = await world.add(1)
    alert = await world.alert(kit)
    await world.open(alert)
    await world.clear(alert)
    await world.pass_(2 * DAY)
    await world.open(await world.alert(kit))
    assert await world.requests() == [("resolved", 0), ("open", 0)]


async def test_a_kit_that_was_away_begins_anew(world: Desk) -> None:
    (kit,) = await world.add(1)
    alert = await world.alert(kit)
    await world.open(alert)
    await world.clear(alert, resolution="not_watched")
    await world.open(await world.alert(kit))
    assert await world.requests() == [("resolved", 0), ("open", 0)]


async def test_an_important_programme_is_answered_sooner(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    await world.connection.execute("UPDATE request_settings SET important_programmes = '{heart}'")
    await world.connection.execute("INSERT INTO kit_types (kit_type, programme) VALUES ('h', 'heart')")
    kits = await world.add(2)
    await world.connection.execute("UPDATE kits SET kit_type = 'h' WHERE kit_id = %s", (kits[0],))
    await world.open(*[await world.alert(kit) for kit in kits])
    assert await world.requests("priority") == [("urgent",), ("high",)]


async def test_alerts_of_a_merged_request_go_to_the_one_that_speaks_for_it(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    kits = await world.add(2)
    alerts = [await world.alert(kit) for kit in kits]
    await world.open(*alerts)
    first, second = [row[0] for row in await world.requests("number")]
    await desk.merge(world.connection, first, second, by=SYSTEM)
    assert await world.requests("state, resolution, merged_into") == [
        ("closed", f"merged:{second}", second), ("open", None, None),
    ]  # fmt: skip
    await world.connection.execute("UPDATE alerts SET state = 'cleared', cleared_at = now(), resolution = 'proof'")
    assert await world.open(await world.alert(kits[0])) == 0
    assert await world.value("SELECT count(*) FROM request_alerts JOIN service_requests USING (request_id)") == 3
    assert await world.value("SELECT count(DISTINCT request_id) FROM request_alerts") == 1


async def test_a_request_closes_when_its_kit_was_well_for_a_while(world: Desk) -> None:
    (kit,) = await world.add(1, interval_s=3600)
    alert = await world.alert(kit)
    await world.open(alert)
    await world.clear(alert)
    scale = {"serial": "W", "kind": "scale", "paired": True}
    await world.paired(kit, {**scale, "last_contact": None})
    await world.pass_(DAY)
    assert await proving.prove(world.connection, world.now) == {}
    await world.paired(kit, {**scale, "last_contact": (world.now + timedelta(hours=6)).isoformat()})
    assert await proving.prove(world.connection, world.now) == {}, "a contact after its report is none"
    await world.paired(kit, {**scale, "last_contact": world.now.isoformat()})
    await world.advance(7 * 3600)
    assert await proving.prove(world.connection, world.now) == {}, "silent again"
    await world.pass_(timedelta(seconds=1))
    assert await proving.prove(world.connection, world.now) == {Verdict.PROVEN: 1}
    assert await world.requests("state, proven, resolution") == [("closed", True, "proof")]
    assert await world.scalars("SELECT type FROM events ORDER BY event_id DESC LIMIT 1") == ["request.closed"]
    assert await proving.prove(world.connection, world.now) == {}


async def test_what_was_resolved_by_hand_opens_again_when_nothing_proves_it(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    kits = await world.add(2)
    alerts = [await world.alert(kit) for kit in kits]
    await world.open(*alerts)
    for (number,) in await world.requests("number"):
        outcome = await desk.resolve(
            world.connection, number, cause="tablet_fault", remedy="restarted", resolution=None, by=SYSTEM
        )
        assert outcome is None
    resolved_at = await world.value("SELECT max(resolved_at) FROM service_requests")
    await world.connection.execute(
        "UPDATE alerts SET state = 'cleared', cleared_at = now(), resolution = 'proof' WHERE alert_id = %s", alerts[:1]
    )
    world.now = resolved_at + DAY
    assert await proving.prove(world.connection, world.now) == {Verdict.FAILED: 1}
    assert await world.requests() == [("resolved", 0), ("open", 1)]
    world.now = resolved_at + 14 * DAY
    assert await proving.prove(world.connection, world.now) == {Verdict.FAILED: 1}
    assert await world.requests() == [("open", 1), ("open", 1)]
    assert (
        await world.scalars("SELECT body ->> 'because' FROM request_events WHERE body ? 'because'")
        == ["not_proven"] * 2
    )


async def test_what_ends_because_its_rule_is_off_says_so_and_is_not_proven(world: Desk) -> None:
    (kit,) = await world.add(1)
    alert = await world.alert(kit, "storage_low")
    await world.open(alert)
    incident = await _incident(world)
    await world.connection.execute("RESET ROLE")
    await world.execute_rule("UPDATE rules SET enabled = false WHERE rule IN ('silent', 'storage_low')")
    assert await world.clear(alert, resolution="rule_disabled") == 1
    assert await _over(world, incident) == 1
    assert await world.requests("resolution, found_cause") == [("rule_disabled", None)] * 2
    because = "SELECT body ->> 'because' FROM request_events WHERE what = 'state'"
    assert await world.scalars(because) == ["rule_disabled"] * 2
    await world.pass_(2 * DAY)
    assert await proving.prove(world.connection, world.now) == {Verdict.LAPSED: 2}
    assert await world.requests("state, proven") == [("closed", False)] * 2


async def test_an_incident_has_one_request_that_ends_and_closes_with_it(world: Desk) -> None:
    incident = await world.value(
        "INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)"
        " VALUES ('silent', 'open', %s, 1, 9) RETURNING incident_id",
        world.now,
    )
    assert await opening.open_for_incident(world.connection, incident, world.now) == 1
    assert await opening.open_for_incident(world.connection, incident, world.now) == 0
    assert await world.requests("state, priority, line") == [("open", "urgent", "service")]
    await world.connection.execute(
        "UPDATE incidents SET state = 'cleared', cleared_at = %s, cleared_clock_s = 2", (world.now,)
    )
    assert await opening.resolve_for_incident(world.connection, incident, world.now) == 1
    assert await opening.resolve_for_incident(world.connection, incident, world.now) == 0
    assert await proving.prove(world.connection, world.now + DAY) == {Verdict.PROVEN: 1}


async def test_what_ended_says_what_ran_on_the_tablet(world: Desk) -> None:
    (kit,) = await world.add(1)
    await world.report(kit, app="4.2", os="14", tablet_serial="T-1")
    alert = await world.alert(kit)
    await world.open(alert)
    await world.clear(alert)
    lessons = await world.rows("SELECT cause, found_cause, remedy, versions FROM request_lessons")
    assert lessons == [("silent", "self-cleared", "self-cleared", {"app": "4.2", "os": "14"})]


async def test_two_thousand_alerts_of_a_tick_open_and_end_their_requests_at_once(world: Desk) -> None:
    kits = await world.add(2_000)
    alerts = await world.scalars(
        "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)"
        " SELECT unnest(%s::integer[]), 'silent', 'major', 'active', %s, '{}' RETURNING alert_id",
        kits,
        world.now,
    )
    began_s = time.perf_counter()
    async with world.connection.transaction():
        assert await world.open(*alerts) == 2_000
    opened_s = time.perf_counter()
    async with world.connection.transaction():
        assert await world.clear(*alerts) == 2_000
    ended_s = time.perf_counter()
    print(f"opened in {opened_s - began_s:.2f} s, ended in {ended_s - opened_s:.2f} s")
    assert max(opened_s - began_s, ended_s - opened_s) < 10, "a bound for busy machines: the bench has the figures"


async def test_a_request_past_its_time_goes_with_its_log_and_its_texts_before_it(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    kits = await world.add(2)
    alerts = [await world.alert(kit) for kit in kits]
    await world.open(*alerts)
    first, second = [row[0] for row in await world.requests("number")]
    await desk.comment(world.connection, first, "said", "internal", by=SYSTEM)
    await desk.merge(world.connection, first, second, by=SYSTEM)
    await world.clear(*alerts)
    await world.connection.execute(
        "INSERT INTO calls (at, minutes, channel, caller, reason, outcome, request_id, actor)"
        " SELECT now(), 3, 'phone', 'nurse', 'not_heard', 'forwarded', request_id, 't' FROM service_requests"
        " WHERE number = %s",
        (second,),
    )
    await world.connection.execute(f"SET ROLE {roles.WORKER}".encode())
    late = await world.value("SELECT max(resolved_at) + interval '1 s' FROM service_requests")
    assert await world.value("SELECT redact_old_requests(%s, 100)", late) == 1
    assert await world.value("SELECT redact_old_requests(%s, 100)", late) == 0
    assert await world.value("SELECT count(*) FROM request_events WHERE body ->> 'text' = '[redacted]'") == 1
    assert await world.requests("number, resolution") == [(first, f"merged:{second}"), (second, "proof")]
    assert await differences(world.connection) == []
    assert await world.value("SELECT trim_requests(%s, 100)", late) == 2
    for table in ("service_requests", "request_events", "request_lessons", "request_alerts"):
        assert await world.value(f"SELECT count(*) FROM {table}") == 0, table
    assert await world.rows("SELECT request_id FROM calls") == [(None,)]


async def _incident(world: Desk) -> int:
    """An open mass event with its request."""
    incident = await world.value(
        "INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)"
        " VALUES ('silent', 'open', %s, 1, 100) RETURNING incident_id",
        world.now,
    )
    assert await opening.open_for_incident(world.connection, incident, world.now) == 1
    return int(incident)


async def _over(world: Desk, incident: int) -> int:
    """The mass event clears; how many requests end with it."""
    await world.connection.execute(
        "UPDATE incidents SET state = 'cleared', cleared_at = %s, cleared_clock_s = 2", (world.now,)
    )
    return await opening.resolve_for_incident(world.connection, incident, world.now)


@pytest.mark.parametrize("first", ["alert", "incident"])
async def test_a_mass_event_that_speaks_for_a_kit_too_ends_with_the_last_of_both(world: Desk, first: str) -> None:
    await world.connection.execute("RESET ROLE")
    incident = await _incident(world)
    (kit,) = await world.add(1)
    alert = await world.alert(kit, "version_drift", "minor")
    await world.open(alert)
    everyones, its_own = [row[0] for row in await world.requests("number")]
    await desk.merge(world.connection, its_own, everyones, by=SYSTEM)
    if first == "alert":
        assert await world.clear(alert) == 0
        assert await _over(world, incident) == 1
    else:
        assert await _over(world, incident) == 0
        assert await world.clear(alert) == 1
    assert await world.requests("state") == [("resolved",), ("closed",)]


async def test_what_speaks_for_others_is_as_old_as_the_first_of_them(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    kits = await world.add(2)
    await world.open(await world.alert(kits[0]))
    await world.advance(1800)
    first = (await world.requests("number"))[0][0]
    began = world.now - timedelta(minutes=30)
    await world.connection.execute("UPDATE contract_targets SET response_min = 60")
    await world.connection.execute(
        "INSERT INTO request_events (request_id, at, actor, what, body)"
        " SELECT request_id, %s, 'user 7 agent', 'comment', '{}' FROM service_requests",
        (world.now,),
    )
    await world.advance(3600)
    await world.open(await world.alert(kits[1]))
    second = (await world.requests("number"))[1][0]
    await desk.merge(world.connection, first, second, by=AGENT)
    clocks = "sla_state, response_due_at, responded_at, due_at"
    left, taken = await world.requests(clocks)
    assert (left[0], *left[1:3]) == ("none", None, None)
    assert taken[1:3] == (began + timedelta(hours=1), began + timedelta(minutes=30)), "somebody had answered"
    assert taken[3] == began + timedelta(days=1)
    assert await world.scalars("SELECT next_escalation_at FROM service_requests WHERE number = %s", first) == [None]


async def test_what_ended_before_it_was_merged_keeps_its_clock_and_makes_no_other_older(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    (kit,) = await world.add(1)
    older = await world.alert(kit, "storage_low")
    await world.open(older)
    oldest = await world.alert(kit, "peripheral_battery_low")
    await world.open(oldest)
    early, late = (row[0] for row in await world.requests("number"))
    await world.clear(older, oldest)
    await world.connection.execute(
        "WITH merged AS (UPDATE service_requests SET merged_into = %(into)s WHERE number = %(number)s"
        " RETURNING request_id)"
        " INSERT INTO request_events (request_id, at, actor, what, body)"
        " SELECT request_id, %(now)s, 'system', 'merged', jsonb_build_object('into', %(into)s::text) FROM merged",
        {"into": early, "number": late, "now": world.now},
    )
    world.now = await world.value("SELECT now()")
    await world.open(await world.alert(kit, "silent"))
    speaks = (await world.requests("number"))[-1][0]
    clocks = "number, sla_state, sla_breaches, response_due_at, responded_at, due_at, next_escalation_at"
    before = await world.requests(clocks)
    await desk.merge(world.connection, early, speaks, by=AGENT)
    assert await world.requests(clocks) == before
    assert [row[1] for row in before] == ["met", "met", "running"]
    assert (await world.value("SELECT count(*) FROM logs_spoken_for(ARRAY(SELECT request_id FROM service_requests"
                              " WHERE number = %s))", speaks)) == 0  # fmt: skip


async def test_what_was_told_of_one_is_not_told_again_of_who_speaks_for_it(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    (kit,) = await world.add(1)
    await world.open(await world.alert(kit, "storage_low"))
    world.now = await world.value("SELECT now()")
    await watching.look(world.connection, world.now)
    told = "SELECT count(*) FROM events WHERE type IN ('request.escalated', 'request.breached')"
    before = await world.value(told)
    assert before
    await world.open(await world.alert(kit, "silent"))
    first, second = (row[0] for row in await world.requests("number"))
    await desk.merge(world.connection, first, second, by=AGENT)
    await watching.look(world.connection, world.now + timedelta(seconds=20))
    assert (await world.requests("sla_state"))[1] == ("breached",)
    assert await world.value(told) == before


async def test_requests_of_different_organisations_end_each_by_itself(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    kits = await world.add(2)
    await world.connection.execute(
        "INSERT INTO organisations (slug, name) VALUES ('north', 'North'), ('south', 'South')"
    )
    for kit, whose in zip(kits, ("north", "south"), strict=True):
        await world.connection.execute(
            "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %s)"
            " WHERE kit_id = %s",
            (whose, kit),
        )
    await world.open(*[await world.alert(kit) for kit in kits])
    first, second = (row[0] for row in await world.requests("number"))
    await desk.link(world.connection, first, "related", second, by=SYSTEM)
    with pytest.raises(ConflictError, match="different organisations"):
        await desk.merge(world.connection, first, second, by=SYSTEM)
    everyones_incident = await _incident(world)
    everyones = (await world.requests("number"))[2][0]
    with pytest.raises(ConflictError, match="different organisations"):
        await desk.merge(world.connection, first, everyones, by=SYSTEM)
    await world.connection.execute(
        "INSERT INTO incident_members (incident_id, kit_id, joined_at) VALUES (%s, %s, now())",
        (everyones_incident, kits[0]),
    )
    with pytest.raises(ConflictError, match="different organisations"):
        await desk.merge(world.connection, everyones, first, by=SYSTEM)
    await desk.merge(world.connection, first, everyones, by=SYSTEM)
    assert await world.requests("state") == [("closed",), ("open",), ("open",)]


async def _report(world: Desk) -> str:
    """Somebody at the desk opens a request about the first kit."""
    report = desk.NewRequest("K-1", "peripheral_fault", "the scale does not switch on")
    made = await desk.open_request(world.connection, report, by=AGENT)
    assert isinstance(made, str)
    return made


@pytest.mark.parametrize("again", [False, True])
async def test_what_somebody_reported_is_ended_by_somebody_only(world: Desk, again: bool) -> None:
    await world.connection.execute("RESET ROLE")
    (kit,) = await world.add(1)
    alert = await world.alert(kit)
    await world.open(alert)
    silent, reported = await world.value("SELECT number FROM service_requests"), await _report(world)
    await desk.merge(world.connection, reported, silent, by=AGENT)
    if again:
        between = await world.alert(kit, "version_drift", "minor")
        await world.open(between)
        await desk.merge(world.connection, silent, (await world.requests("number"))[-1][0], by=AGENT)
        await world.clear(between)
    assert await world.clear(alert) == 0, "the kit is heard, and the scale may be as dead as before"
    speaks = (await world.requests("number"))[-1 if again else 0][0]
    assert await world.value("SELECT state FROM service_requests WHERE number = %s", speaks) == "open"
    said = await world.scalars(
        "SELECT body ->> 'stays_for' FROM request_events WHERE body ? 'cleared' ORDER BY event_id"
    )
    assert said[-1] == "reported"
    solved: dict[str, Any] = {"cause": "peripheral_fault", "remedy": "swapped_piece", "resolution": None}
    assert await desk.resolve(world.connection, speaks, **solved, by=AGENT) is None
    returned = await world.alert(kit, "version_drift" if again else "silent", "minor")
    assert await world.open(returned) == 1, "within the window it is the same request"
    assert await world.clear(returned) == 1, "what was reported had been confirmed"


async def test_a_mass_event_that_speaks_for_a_report_is_ended_by_somebody(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    incident = await _incident(world)
    await world.add(1)
    everyones, reported = (await world.requests("number"))[0][0], await _report(world)
    await desk.merge(world.connection, reported, everyones, by=AGENT)
    assert await _over(world, incident) == 0
    assert await world.requests("state") == [("open",), ("closed",)]


async def test_a_request_that_speaks_for_another_kit_is_proven_by_both(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    kits = await world.add(2)
    await world.open(*[await world.alert(kit) for kit in kits])
    first, second = [row[0] for row in await world.requests("number")]
    await desk.merge(world.connection, first, second, by=SYSTEM)
    await world.connection.execute(
        "UPDATE alerts SET state = 'cleared', cleared_at = %s, resolution = 'proof' WHERE kit_id = %s",
        (world.now, kits[1]),
    )
    told = await desk.resolve(
        world.connection, second, cause="switched_off", remedy="restarted", resolution=None, by=SYSTEM
    )
    assert told is None
    world.now = await world.value("SELECT now()")
    await world.pass_(2 * DAY)
    assert await proving.prove(world.connection, world.now) == {Verdict.FAILED: 1}
    assert await world.requests("state") == [("closed",), ("open",)]


async def test_what_comes_back_while_the_kit_is_with_others_is_theirs(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    before, after = await world.scalars(
        "INSERT INTO organisations (slug, name) VALUES ('a', 'A'), ('b', 'B') RETURNING organisation_id"
    )
    (kit,) = await world.add(1)
    move = "UPDATE kits SET organisation_id = %s WHERE kit_id = %s"
    await world.connection.execute(move, (before, kit))
    alert = await world.alert(kit)
    await world.open(alert)
    await world.clear(alert)
    await world.connection.execute(move, (after, kit))
    await world.open(await world.alert(kit))
    assert await world.requests("state, organisation_id") == [("resolved", before), ("open", after)]
    await world.pass_(2 * DAY)
    assert await proving.prove(world.connection, world.now) == {Verdict.LAPSED: 1}


@pytest.mark.parametrize("ended", ["resolved", "closed", "open"])
async def test_a_kit_that_moves_while_it_fails_has_a_request_where_it_is(world: Desk, ended: str) -> None:
    await world.connection.execute("RESET ROLE")
    before, after = await world.scalars(
        "INSERT INTO organisations (slug, name) VALUES ('a', 'A'), ('b', 'B') RETURNING organisation_id"
    )
    (kit,) = await world.add(1)
    move = "UPDATE kits SET organisation_id = %s WHERE kit_id = %s"
    await world.connection.execute(move, (before, kit))
    alert = await world.alert(kit, "silent")
    await world.connection.execute('UPDATE alerts SET evidence = \'{"heard_clock_s": 10000, "allowance_s": 180}\'')
    await world.open(alert)
    number = await world.value("SELECT number FROM service_requests")
    if ended != "open":
        said: dict[str, Any] = {"cause": "use_error", "remedy": "advice", "resolution": None}
        assert await desk.resolve(world.connection, number, **said, by=SYSTEM) is None
    if ended == "closed":
        changes = {"state": "closed", "reason": "seen to"}
        assert await desk.change_request(world.connection, number, changes, by=SYSTEM) is None
    await world.advance(600)
    await world.tick()
    assert await world.requests("state, organisation_id") == [(ended, before)]
    await world.connection.execute(move, (after, kit))
    for _ in range(2):
        await world.advance(5)
        await world.tick()
    expected = [("open", after)] if ended == "open" else [(ended, before), ("open", after)]
    assert await world.requests("state, organisation_id") == expected
    assert await world.value("SELECT count(*) FROM alerts WHERE moved_at IS NOT NULL") == 0
    joined = await world.scalars("SELECT request_id FROM request_alerts WHERE alert_id = %s ORDER BY 1", alert)
    assert joined == await world.scalars("SELECT request_id FROM service_requests ORDER BY 1")


async def test_the_request_of_a_mass_event_in_one_organisation_is_its_own(world: Desk) -> None:
    await world.connection.execute("RESET ROLE")
    (own,) = await world.scalars("INSERT INTO organisations (slug, name) VALUES ('a', 'A') RETURNING organisation_id")
    incident = await world.value(
        "INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits, cohort_kind, cohort_value)"
        " VALUES ('silent', 'open', %s, 1, 9, 'organisation', 'a') RETURNING incident_id",
        world.now,
    )
    await opening.open_for_incident(world.connection, incident, world.now)
    assert await world.requests("organisation_id") == [(own,)]
    assert await world.scalars("SELECT organisation_id FROM events") == [own]
