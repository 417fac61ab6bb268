"""What explains a mass event: cohorts, two events at once, kits outside of them, and every rule."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.alerts_world import World
from tests.alerts_world import world as make_world


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """A world of this test's own, checked at its end."""
    async with make_world(database) as made:
        yield made
        await made.check()


async def operator(world: World, kits: Sequence[int], name: str) -> None:
    """The mobile network that the kits report."""
    await world.connection.execute("UPDATE kit_latest SET operator = %s WHERE kit_id = ANY(%s)", (name, list(kits)))


async def reports(world: World, kits: Sequence[int], kind: str, body: dict[str, Any]) -> None:
    """The newest report of a kind."""
    await world.connection.execute(
        "INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)"
        " SELECT unnest(%s::integer[]), %s, 'b', 1, %s, %s, %s"
        " ON CONFLICT (kit_id, kind) DO UPDATE SET body = excluded.body",
        (list(kits), kind, world.now, world.now, Jsonb(body)),
    )


async def organisation(world: World, slug: str, kits: Sequence[int] = (), *, parent: str | None = None) -> None:
    """An organisation with kits."""
    await world.connection.execute(
        "INSERT INTO organisations (slug, name, parent_id)"
        " VALUES (%s, %s, (SELECT organisation_id FROM organisations WHERE slug = %s))",
        (slug, slug, parent),
    )
    await world.connection.execute(
        "UPDATE kits SET organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %s)"
        " WHERE kit_id = ANY(%s)",
        (slug, list(kits)),
    )


async def incidents(world: World) -> dict[str, tuple[str, int, int]]:
    """Of each cohort the state of its incident, how many kits were ever in it, and how large the cohort is."""
    found = await world.rows(
        "SELECT cohort_kind || ':' || cohort_value, state,"
        " (SELECT count(*)::int FROM incident_members m WHERE m.incident_id = i.incident_id), installed_kits"
        " FROM incidents i ORDER BY incident_id"
    )
    assert len({row[0] for row in found}) == len(found), found
    return {row[0]: (row[1], row[2], row[3]) for row in found}


async def test_an_operators_outage_is_the_operators(world: World) -> None:
    kits = await world.add(200)
    away, others = kits[:60], kits[60:]
    await operator(world, away, "TDC")
    await operator(world, others, "3")
    await world.live(300, heard=others)
    assert await incidents(world) == {"operator:TDC": ("open", 60, 60)}
    assert await world.value("SELECT count(*) FROM alerts") == 0
    (body,) = await world.scalars("SELECT body FROM events WHERE type = 'incident.opened'")
    assert (body["cohort_kind"], body["cohort_value"], body["members"]) == ("operator", "TDC", 60)


async def test_kits_outside_of_the_cohort_get_alerts_of_their_own(world: World) -> None:
    kits = await world.add(400)
    await operator(world, kits[:60], "TDC")
    await operator(world, kits[60:], "3")
    await world.live(300, heard=kits[65:])
    assert await incidents(world) == {"operator:TDC": ("open", 60, 60)}
    assert await world.active() == set(kits[60:65])
    await world.live(300, heard=kits[70:])
    assert await world.active() == set(kits[60:70])
    assert await world.members() == set(kits[:60])


async def test_two_mass_events_at_once_are_two_incidents(world: World) -> None:
    kits = await world.add(600)
    await operator(world, kits[:60], "TDC")
    await operator(world, kits[60:], "3")
    await organisation(world, "nord")
    await organisation(world, "aalborg", kits[60:110], parent="nord")
    await organisation(world, "thisted", kits[110:], parent="nord")
    await world.live(300, heard=kits[110:])
    assert await incidents(world) == {
        "operator:TDC": ("open", 60, 60),
        "organisation:aalborg": ("open", 50, 50),
    }
    assert await world.value("SELECT count(*) FROM service_requests") == 2
    await world.live(60, heard=kits[60:])
    assert await incidents(world) == {
        "operator:TDC": ("open", 60, 60),
        "organisation:aalborg": ("cleared", 50, 50),
    }
    assert await world.value("SELECT count(*) FROM alerts") == 0


async def test_a_region_is_all_below_it(world: World) -> None:
    kits = await world.add(300)
    await organisation(world, "nord", kits[:10])
    await organisation(world, "aalborg", kits[10:40], parent="nord")
    await organisation(world, "thisted", kits[40:60], parent="nord")
    await organisation(world, "syd", kits[60:])
    await world.live(300, heard=kits[60:])
    assert await incidents(world) == {"region:nord": ("open", 60, 60)}


@pytest.mark.parametrize(
    ("kind", "body", "others", "cohort"),
    [
        ("software", {"app": "5.0"}, {"app": "4.2"}, "app:5.0"),
        ("software", {"app": "4.2", "os": "15"}, {"app": "4.2", "os": "14"}, "os:15"),
        ("software", {"app": "4.2", "mdm": "9.2"}, {"app": "4.2", "mdm": "9.1"}, "mdm:9.2"),
        ("update", {"campaign": "c7"}, {"campaign": "c6"}, "campaign:c7"),
    ],
)
async def test_versions_and_campaigns(
    world: World, kind: str, body: dict[str, str], others: dict[str, str], cohort: str
) -> None:
    kits = await world.add(200)
    await reports(world, kits[:40], kind, body)
    await reports(world, kits[40:], kind, others)
    await world.live(300, heard=kits[40:])
    assert await incidents(world) == {cohort: ("open", 40, 40)}


async def test_the_tablets_model_is_the_books(world: World) -> None:
    kits = await world.add(200)
    await world.connection.execute("INSERT INTO models (kind, manufacturer, name) VALUES ('tablet', 'Acme', 'T1')")
    await world.connection.execute(
        "INSERT INTO components (model_id, serial, state, kit_id) SELECT model_id, 'T-' || k, 'in_kit', k"
        " FROM models, unnest(%s::integer[]) AS k",
        (kits[:40],),
    )
    await world.live(300, heard=kits[40:])
    assert await incidents(world) == {"model:Acme T1": ("open", 40, 40)}


async def test_the_fleet_where_nothing_narrower_explains_it(world: World) -> None:
    kits = await world.add(200)
    for number, name in enumerate(("TDC", "3", "Telia", "Telenor")):
        await operator(world, kits[number::4], name)
    await reports(world, kits, "software", {"app": "4.2"})
    await world.live(300, heard=kits[100:])
    assert await incidents(world) == {"fleet:": ("open", 100, 200)}


async def test_a_municipality_too_small_for_five_per_cent_of_the_fleet(world: World) -> None:
    kits = await world.add(2000)
    await organisation(world, "aalborg", kits[:40])
    await organisation(world, "thisted", kits[40:])
    await world.live(300, heard=kits[40:], step_s=20)
    assert await incidents(world) == {"organisation:aalborg": ("open", 40, 40)}


async def test_the_settings_say_when(world: World) -> None:
    await world.execute_rule("UPDATE incident_settings SET least = 5, share = 0.5 WHERE rule = 'silent'")
    kits = await world.add(100)
    await operator(world, kits[:10], "TDC")
    await world.live(300, heard=kits[6:])
    assert set(await incidents(world)) == {"operator:TDC"}
    await world.execute_rule("UPDATE incident_settings SET enabled = false WHERE rule = 'silent'")
    await world.live(300, heard=[])
    assert await world.active() == set(kits[10:])
    assert await world.members() == set(kits[:10]), "what is open is finished"


async def test_a_kit_that_was_broken_before_keeps_its_own_alert(world: World) -> None:
    kits = await world.add(200)
    await operator(world, kits[:60], "TDC")
    await world.live(600, heard=kits[1:])
    assert await world.active() == {kits[0]}
    await world.live(300, heard=kits[60:])
    assert await world.active() == {kits[0]}
    assert await world.members() == set(kits[1:60])
    await world.live(60, heard=kits[1:])
    assert await world.active() == {kits[0]}


async def test_a_kit_of_a_cohort_of_before_and_its_event_that_no_worker_saw(world: World) -> None:
    """One kit was lost an hour before its operator; the worker was away all the while."""
    kits = await world.add(200)
    await operator(world, kits[:60], "TDC")
    await world.advance(3600, heard=kits[1:])
    await world.advance(3600, heard=kits[60:])
    await world.tick()
    await world.tick()
    assert await world.active() == {kits[0]}
    assert await world.members() == set(kits[1:60])
    assert set(await incidents(world)) == {"operator:TDC"}


async def drift(world: World, kits: Sequence[int], rest: Sequence[int]) -> None:
    """Everybody runs 4.2; something else is wanted of some."""
    await reports(world, [*kits, *rest], "software", {"app": "4.2"})
    for kit in kits:
        await world.want(kit, app="5.0")


async def test_drift_after_one_bad_baseline_is_one_incident(world: World) -> None:
    kits = await world.add(300)
    await organisation(world, "aalborg", kits[:50])
    await organisation(world, "thisted", kits[50:])
    await drift(world, kits[:50], kits[50:])
    await world.live(120, heard=kits)
    assert await incidents(world) == {"organisation:aalborg": ("open", 50, 50)}
    assert await world.open_requests() == 0
    assert await world.value("SELECT count(*) FROM service_requests") == 1
    (incident,) = await world.scalars("SELECT incident_id FROM incidents")
    assert await world.rows("SELECT DISTINCT state, suppressed_by FROM alerts WHERE rule = 'version_drift'") == [
        ("active", f"incident:{incident}")
    ]


async def test_drift_of_a_later_kit_joins_and_of_others_opens(world: World) -> None:
    kits = await world.add(300)
    await organisation(world, "aalborg", kits[:60])
    await organisation(world, "thisted", kits[60:])
    await drift(world, kits[:50], kits[50:])
    await world.live(120, heard=kits)
    await world.want(kits[55], app="5.0")
    await world.want(kits[70], app="5.0")
    await world.live(120, heard=kits)
    assert await world.members() == {*kits[:50], kits[55]}
    assert await world.scalars("SELECT kit_id FROM alerts WHERE suppressed_by IS NULL AND state = 'active'") == [
        kits[70]
    ]
    assert await world.open_requests() == 1


async def test_drift_corrected_ends_the_incident(world: World) -> None:
    kits = await world.add(300)
    await organisation(world, "aalborg", kits[:50])
    await drift(world, kits[:50], kits[50:])
    await world.live(120, heard=kits)
    for kit in kits[:50]:
        await world.want(kit, app="4.2")
    await world.live(120, heard=kits)
    assert await incidents(world) == {"organisation:aalborg": ("cleared", 50, 50)}
    assert await world.members() == set()
    assert await world.active("version_drift") == set()
    assert await world.value("SELECT count(*) FROM service_requests WHERE state IN ('open', 'in_progress')") == 0


async def test_who_drifts_still_is_released(world: World) -> None:
    kits = await world.add(300)
    await organisation(world, "aalborg", kits[:50])
    await drift(world, kits[:50], kits[50:])
    await world.live(120, heard=kits)
    for kit in kits[5:50]:
        await world.want(kit, app="4.2")
    await world.live(120, heard=kits)
    assert await incidents(world) == {"organisation:aalborg": ("cleared", 50, 50)}
    assert await world.open_requests() == 0, "they have some time to follow"
    await world.live(900, heard=kits, step_s=30)
    assert await world.open_requests() == 5
    assert await world.members() == set()
    assert await world.value("SELECT count(*) FROM alerts WHERE state = 'active' AND suppressed_by IS NULL") == 5


async def test_a_few_drifting_kits_open_their_own(world: World) -> None:
    kits = await world.add(300)
    await drift(world, kits[:10], kits[10:])
    await world.live(120, heard=kits)
    assert await incidents(world) == {}
    assert await world.open_requests() == 10


async def test_a_wave_of_drift_takes_over_what_opened_a_moment_ago(world: World) -> None:
    """The first of a campaign's wave open on their own; when there are enough they are all one."""
    kits = await world.add(300)
    await reports(world, kits, "software", {"app": "4.2"})
    await reports(world, kits[:40], "update", {"campaign": "c7"})
    for kit in kits[:15]:
        await world.want(kit, app="5.0")
    await world.live(60, heard=kits)
    assert await world.open_requests() == 15
    for kit in kits[15:40]:
        await world.want(kit, app="5.0")
    await world.live(120, heard=kits)
    assert await incidents(world) == {"campaign:c7": ("open", 40, 40)}
    assert await world.open_requests() == 0
    assert await world.value("SELECT count(*) FROM service_requests WHERE state = 'closed'") == 15
    assert await world.members() == set(kits[:40])


async def test_a_kit_of_two_mass_events_at_once_is_taken_over_by_one(world: World) -> None:
    """Alerts of a moment ago whose kits are in both cohorts."""
    kits = await world.add(800, interval_s=30)
    both, network, town = kits[:10], kits[10:60], kits[60:110]
    await operator(world, kits, "3")
    await operator(world, [*both, *network], "TDC")
    await organisation(world, "aalborg", [*both, *town])
    await organisation(world, "thisted", [*network, *kits[110:]])
    await world.live(100, heard=kits[10:])
    assert await world.active() == set(both)
    await world.live(150, heard=kits[110:])
    assert set(await incidents(world)) == {"operator:TDC", "organisation:aalborg"}
    assert await world.members() == set(kits[:110])
    assert await world.active() == set()


async def test_drift_of_two_cohorts_at_once_is_taken_over_by_one_each(world: World) -> None:
    kits = await world.add(800)
    both, network, town = kits[:10], kits[10:60], kits[60:110]
    await operator(world, kits, "3")
    await operator(world, [*both, *network], "TDC")
    await organisation(world, "aalborg", [*both, *town])
    await organisation(world, "thisted", [*network, *kits[110:]])
    await drift(world, both, kits[10:])
    await world.live(60, heard=kits)
    assert await world.open_requests() == 10
    await drift(world, [*network, *town], kits[110:])
    await world.live(120, heard=kits)
    assert set(await incidents(world)) == {"operator:TDC", "organisation:aalborg"}
    assert await world.members() == set(kits[:110])
    assert await world.open_requests() == 0


async def test_a_mass_event_whose_rule_is_switched_off_is_not_called_solved(world: World) -> None:
    kits = await world.add(60)
    for kit in kits:
        await world.want(kit, app="2")
        await world.report(kit, app="1")
    await world.live(60, heard=kits)
    assert await world.scalars("SELECT state FROM incidents") == ["open"]
    await world.execute_rule("UPDATE rules SET enabled = false WHERE rule = 'version_drift'")
    await world.live(60, heard=kits)
    assert await world.scalars("SELECT state FROM incidents") == ["cleared"]
    assert await world.scalars("SELECT resolution FROM service_requests") == ["rule_disabled"]
    assert await world.scalars("SELECT DISTINCT outcome FROM incident_members") == ["not_watched"]
    assert await world.scalars("SELECT body ->> 'because' FROM events WHERE type = 'incident.cleared'") == [
        "rule_disabled"
    ]
