"""The rules on a real database: the table, the look over the fleet, time passing, variants, our own outages."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from fleet.alerts import read
from fleet.alerts.judging import scan
from fleet.alerts.judging.catalogue import CATALOGUE, JUDGED, SCANNED
from fleet.alerts.judging.settings import Settings, Variant, resolve
from fleet.alerts.rules import RuleName
from fleet.db import storage
from tests.alerts_world import BEGIN, World
from tests.alerts_world import world as make_world

pytestmark = pytest.mark.storage
R = RuleName


@pytest.fixture
async def bare(database: str) -> AsyncIterator[World]:
    """A world of this test's own, with room for three weeks of history."""
    with psycopg.connect(database, autocommit=True) as connection:
        storage.ensure_partitions(connection, (BEGIN + timedelta(days=20)).date())
    async with make_world(database) as made:
        yield made


@pytest.fixture
async def world(bare: World) -> AsyncIterator[World]:
    """The same, checked at its end."""
    yield bare
    await bare.check()


async def beat(world: World, kit: int, **told: Any) -> None:
    """A heartbeat, folded as ingest does."""
    told = {"boot": "b", "seq": 1, "time": world.now, "received_at": world.now, "battery": 80, "charging": True} | told
    columns = ", ".join(f"{name} = %s" for name in told)
    await world.connection.execute(
        f"UPDATE kit_latest SET last_heard_at = %s, heard_clock_s = %s, {columns} WHERE kit_id = %s".encode(),
        (world.now, world.clock_s, *told.values(), kit),
    )


async def report(world: World, kit: int, kind: str, body: Any, *, boot: str = "b", seq: int = 1) -> None:
    """A report, stored and folded as ingest does."""
    await world.connection.execute(
        "INSERT INTO reports (time, received_at, seq, kit_id, kind, boot, body) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (world.now, world.now, seq, kit, kind, boot, Jsonb(body)),
    )
    await world.connection.execute(
        "INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (kit_id, kind) DO UPDATE SET body = excluded.body, boot = excluded.boot, time = excluded.time",
        (kit, kind, boot, seq, world.now, world.now, Jsonb(body)),
    )
    await world.enqueue(kit)


async def test_the_table_is_as_the_catalogue_says(world: World) -> None:
    known = await read.rules(world.connection)
    assert known == {name: about.default for name, about in CATALOGUE.items()}
    titles = await world.rows("SELECT rule, title_en, title_da FROM rules")
    assert {row[0]: row[1:] for row in titles} == {
        name.value: (about.text.title.en, about.text.title.da) for name, about in CATALOGUE.items()
    }


VALUES: dict[str, list[Any]] = {
    "battery": [None, 0, 10, 14.9, 15, 15.1, 29.9, 30, 40, 80],
    "charging": [None, False, True],
    "storage_free_mb": [None, 0, 499.9, 500, 750, 9000],
    "signal_dbm": [None, -120, -111, -110, -80],
    "network": [None, "none", "wifi", "4g"],
    "clock_offset_s": [None, None, None, 119.0, 120.0, -3e6],
}


@pytest.mark.parametrize("seed", range(4))
async def test_the_look_over_the_fleet_and_the_judges_agree(bare: World, seed: int) -> None:
    """Whatever was told and whatever stands: who is found to differ is who is judged otherwise than stands."""
    world, dice = bare, random.Random(seed)
    kits = await world.add(300)
    standing = {R.TABLET_BATTERY_LOW, R.STORAGE_LOW, R.NO_NETWORK, R.NEVER_HEARD, R.CLOCK_SKEW, R.NOT_CHARGING}
    variant = Variant(1, R.TABLET_BATTERY_LOW, 1, parameters={"below_percent": 30}, kit_type="x")
    off = Variant(2, R.STORAGE_LOW, 1, enabled=False, kit_type="x")
    known = resolve(await read.rules(world.connection), [variant, off], {1: [1], 2: [1, 2]})
    for kit in kits:
        told = {name: dice.choice(values) for name, values in VALUES.items()}
        late = timedelta(seconds=dice.choice([0, 0, 0, 3600, 3601]))
        await beat(world, kit, **told, time=world.now - late)
        watched_s = world.clock_s - dice.choice([0, 899, 900, 901, 5000])
        heard_s = None if dice.random() < 0.2 else world.clock_s - dice.choice([0, 599, 600, 601, 4_199, 4_200])
        await world.connection.execute(
            b"UPDATE kit_latest SET rule_set = %s, heard_clock_s = %s, watch_from_clock_s = %s,"
            b" last_heard_at = received_at + make_interval(secs => %s) WHERE kit_id = %s",
            (dice.choice([0, 1, 2, 7]), heard_s, watched_s, dice.choice([0, 0, 2]), kit),
        )
        for rule in standing:
            await _let_stand(world, kit, rule, dice.choice(["", "", "pending", "alert", "recovering"]))
    clock = replace(await read.clock(world.connection, world.now), resumed_clock_s=world.clock_s - 4_200)
    async with world.connection.transaction():
        found = set(await scan.differing(world.connection, known, clock))
    facts = await read.facts(world.connection, kits, known, world.now)
    wrong = [each for each in facts if (each.kit_id in found) != _differs(each, known, clock, world)]
    assert not wrong, wrong[0]
    assert 20 < len(found) < 300


async def _let_stand(world: World, kit: int, rule: RuleName, how: str) -> None:
    if how == "pending":
        query = "INSERT INTO pending_alerts (kit_id, rule, since, due_at, evidence) VALUES (%s, %s, now(), now(), '{}')"
        await world.connection.execute(query, (kit, rule))
    elif how:
        query = (
            "INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence, rule_version, recovering_since)"
            " VALUES (%s, %s, 'minor', 'active', now(), '{}', 0, %s)"
        )
        await world.connection.execute(query, (kit, rule, world.now if how == "recovering" else None))


def _differs(facts: Any, known: Settings, clock: Any, world: World) -> bool:
    rules = known.rules_of(facts.rule_set)
    for name, about in JUDGED:
        if name not in SCANNED:
            continue
        assert about.judge is not None
        condition = about.judge(facts, rules[name].parameters, clock, world.now) if rules[name].enabled else None
        if condition is not None and condition.untold:
            continue
        holds = condition is not None
        stands = facts.standing.get(name)
        holding = stands is not None and stands.recovering_since is None
        if holds != holding:
            return True
    return False


async def test_a_low_battery_that_lasts_opens_once_and_clears_by_proof(world: World) -> None:
    (kit,) = await world.add(1)
    await world.execute_rule("UPDATE rules SET for_s = 600, keep_firing_for_s = 60 WHERE rule = 'tablet_battery_low'")
    for _ in range(11):
        await world.advance(60)
        await beat(world, kit, battery=9, charging=False)
        await world.tick()
    assert await world.active("tablet_battery_low") == {kit}
    assert await world.rows("SELECT severity, rule_version FROM alerts") == [("warning", 0)]
    for _ in range(3):
        await world.advance(60)
        await beat(world, kit, battery=9, charging=True)
        await world.tick()
    assert await world.rows("SELECT state, resolution FROM alerts") == [("cleared", "proof")]


async def test_an_installed_kit_that_was_never_heard(world: World) -> None:
    (kit,) = await world.add(1)
    await world.connection.execute("UPDATE kit_latest SET heard_clock_s = NULL, last_heard_at = NULL")
    await world.live(895)
    assert await world.active("never_heard") == set()
    await world.live(10)
    assert await world.active("never_heard") == {kit}
    await world.live(20, heard=[kit])
    assert await world.rows("SELECT rule, resolution FROM alerts") == [("never_heard", "proof")]


async def test_our_outage_is_not_the_kits_time_since_installation(world: World) -> None:
    (kit,) = await world.add(1, interval_s=300)
    await world.connection.execute("UPDATE kit_latest SET heard_clock_s = NULL, last_heard_at = NULL")
    await world.live(600)
    await world.outage(7200)
    await world.tick()
    await world.resume()
    await world.live(295)
    assert await world.active("never_heard") == set()
    await world.live(10)
    assert await world.active("never_heard") == {kit}


async def test_starts_are_counted_whatever_else_the_tablet_reports(world: World) -> None:
    (kit,) = await world.add(1)
    for start in range(8):
        await world.advance(60, heard=[kit])
        await report(world, kit, "software", {"app": "1"}, boot=f"b{start}")
        await world.tick()
        assert await world.active("restarts") == ({kit} if start >= 6 else set())
    await world.advance(86_400 - 60, heard=[kit])
    await world.tick()
    await world.advance(3_600, heard=[kit])
    await world.tick()
    await world.advance(10, heard=[kit])
    await world.tick()
    assert await world.rows("SELECT resolution FROM alerts WHERE rule = 'restarts'") == [("proof",)]


async def test_a_tablet_that_started_too_often_and_is_unheard_for_weeks_is_not_proven_well(world: World) -> None:
    (kit,) = await world.add(1)
    for start in range(8):
        await world.advance(60, heard=[kit])
        await report(world, kit, "software", {"app": "1"}, boot=f"b{start}")
        await world.tick()
    for _ in range(10):
        await world.advance(86_400)
        await world.tick()
        await world.advance(3_600)
        await world.tick()
    assert await world.active("restarts") == {kit}
    for _ in range(3):
        await world.advance(3_700, heard=[kit])
        await world.tick()
    assert await world.rows("SELECT resolution FROM alerts WHERE rule = 'restarts'") == [("proof",)]


async def test_a_start_is_looked_at_though_the_report_says_nothing_new(world: World) -> None:
    (kit,) = await world.add(1)
    await report(world, kit, "software", {"app": "1"}, boot="a")
    await world.connection.execute("DELETE FROM evaluation_queue")
    await world.connection.execute("UPDATE latest_reports SET boot = 'b' WHERE kit_id = %s", (kit,))
    assert await world.scalars("SELECT kit_id FROM evaluation_queue") == [kit]


async def test_a_paired_device_that_is_not_reached_in_days_of_use(world: World) -> None:
    """Time alone brings it about: the kit reports the same every day."""
    (kit,) = await world.add(1)
    (holiday,) = await world.add(1, prefix="H")
    await world.connection.execute("UPDATE kits SET state_since = %s", (world.now - timedelta(days=90),))
    scale = {"serial": "S", "kind": "scale", "model": "W", "paired": True, "last_contact": world.now.isoformat()}
    for day in range(17):
        for each in (kit, holiday):
            if each == kit or day in (0, 16):
                await report(world, each, "pairing", [scale], seq=day)
        await world.connection.execute("DELETE FROM evaluation_queue WHERE %s > 0", (day,))
        await world.advance(86_400, heard=[kit, holiday])
        await world.tick()
        await world.advance(901, heard=[kit, holiday])
        await world.tick()
        assert await world.active("pairing_lost") == ({kit} if day >= 14 else set()), day


async def test_a_failed_update_ends_with_the_next_that_succeeds(world: World) -> None:
    (kit,) = await world.add(1)
    await report(world, kit, "update", {"campaign": "c", "state": "failed", "error": "disk"})
    await world.tick()
    assert await world.value("SELECT evidence FROM alerts") == {"campaign": "c", "state": "failed", "error": "disk"}
    await report(world, kit, "update", {"campaign": "d", "state": "succeeded"}, seq=2)
    await world.live(70, heard=[kit])
    assert await world.rows("SELECT rule, resolution FROM alerts") == [("update_failed", "proof")]


async def variant(world: World, rule: str, **settings: Any) -> None:
    """Enter a variant."""
    names = ", ".join(["rule", *settings])
    marks = ", ".join(["%s"] * (len(settings) + 1))
    given = [Jsonb(value) if isinstance(value, dict) else value for value in settings.values()]
    await world.connection.execute(f"INSERT INTO rule_variants ({names}) VALUES ({marks})".encode(), (rule, *given))


async def test_the_more_specific_variant_says_more(world: World) -> None:
    region = await world.value("INSERT INTO organisations (slug, name) VALUES ('r', 'R') RETURNING organisation_id")
    town = await world.value(
        "INSERT INTO organisations (slug, name, parent_id) VALUES ('t', 'T', %s) RETURNING organisation_id", region
    )
    await world.connection.execute("INSERT INTO kit_types (kit_type, programme) VALUES ('copd', 'KOL')")
    kits = await world.add(4)
    places = [(None, None), (region, None), (town, None), (town, "copd")]
    for kit, (organisation, kit_type) in zip(kits, places, strict=True):
        await world.connection.execute(
            "UPDATE kits SET organisation_id = %s, kit_type = %s WHERE kit_id = %s", (organisation, kit_type, kit)
        )
    rule = "storage_low"
    await variant(world, rule, organisation_id=region, severity="major", parameters={"below_mb": 2_000})
    await variant(world, rule, organisation_id=town, for_s=0)
    await variant(world, rule, programme="KOL", parameters={"below_mb": 4_000})
    await variant(world, rule, organisation_id=town, programme="KOL", enabled=False)
    await world.tick()
    known = await read.settings(world.connection)
    facts = await read.facts(world.connection, kits, known, world.now)
    resolved = [known.rules_of(each.rule_set)[R.STORAGE_LOW] for each in sorted(facts, key=lambda each: each.kit_id)]
    told = [(each.severity, each.for_s, each.parameters.below_mb, each.enabled) for each in resolved]
    assert told == [
        ("minor", 3600, 500, True),
        ("major", 3600, 2000, True),
        ("major", 0, 2000, True),
        ("major", 0, 4000, False),
    ]
    assert resolved[1].priority == "high"


async def test_a_variant_is_heeded_at_once_and_ends_with_its_removal(world: World) -> None:
    await world.connection.execute("INSERT INTO kit_types (kit_type) VALUES ('copd')")
    kit, other = await world.add(2)
    await world.connection.execute("UPDATE kits SET kit_type = 'copd' WHERE kit_id = %s", (kit,))
    for each in (kit, other):
        await beat(world, each, storage_free_mb=900)
    await world.tick()
    await variant(world, "storage_low", kit_type="copd", for_s=0, version=7, parameters={"below_mb": 1_000})
    await world.tick()
    await world.tick()
    assert await world.active("storage_low") == {kit}
    await world.connection.execute("DELETE FROM rule_variants")
    await world.tick()
    assert await world.rows("SELECT resolution FROM alerts") == [("rule_changed",)]


async def test_a_changed_rule_is_heeded_by_every_kit_once(world: World) -> None:
    kits = await world.add(15)
    for kit in kits:
        await report(world, kit, "update", {"campaign": "c", "state": "failed"})
    await world.execute_rule("UPDATE rules SET enabled = false WHERE rule = 'update_failed'")
    await world.live(10, heard=kits)
    assert await world.active("update_failed") == set()
    await world.execute_rule("UPDATE rules SET enabled = true WHERE rule = 'update_failed'")
    await world.tick()
    assert await world.active("update_failed") == set(kits)
    assert await world.value("SELECT laps FROM rule_sweep") == 0
    assert (await world.tick()).evaluated == 0


async def test_a_round_goes_on_where_a_further_change_finds_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BATCH", 4)
    kits = await world.add(30)
    await world.tick()
    assert await world.value("SELECT next_kit_id FROM rule_sweep") == kits[7]
    await world.execute_rule("UPDATE rules SET for_s = 1 WHERE rule = 'clock_skew'")
    seen: list[int] = []
    for _ in range(6):
        async with world.connection.transaction():
            seen += (await read.take_from_sweep(world.connection))[0]
        async with world.connection.transaction():
            seen += (await read.take_from_sweep(world.connection))[0]
    assert sorted(seen) == kits
    assert seen[0] == kits[8]


async def test_a_large_fleet_is_looked_over_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "PART", 10)
    kits = await world.add(25)
    for kit in kits:
        await beat(world, kit, storage_free_mb=1)
    known, clock = await read.settings(world.connection), await read.clock(world.connection, world.now)
    found = []
    for _ in range(3):
        async with world.connection.transaction():
            found.append(sorted(await scan.differing(world.connection, known, clock)))
    assert found == [kits[:10], kits[10:20], kits[20:]]


async def test_what_was_imported_is_watched_and_equal_times_lose_nothing(world: World) -> None:
    """Many rows of one moment: the queue is by its own numbers, and none is passed over."""
    kits = await world.add(500)
    await world.connection.execute('UPDATE kits SET wanted_components = \'{"app": "2"}\'')
    await world.connection.execute(
        "INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)"
        " SELECT kit_id, 'software', 'b', 1, %s, %s, '{\"app\": \"1\"}' FROM kits",
        (world.now, world.now),
    )
    await world.connection.execute("INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM kits")
    await world.tick()
    assert await world.value("SELECT count(*) FROM pending_alerts WHERE rule = 'version_drift'") == len(kits)


def test_variants_never_widen_what_they_do_not_name() -> None:
    rule = CATALOGUE[R.STORAGE_LOW].default
    known = resolve({rule.rule: rule}, [Variant(1, rule.rule, 9, kit_type="x", for_s=5)], {3: [1, 99]})
    assert known.rules_of(3)[rule.rule] == replace(rule, for_s=5, version=9)
    assert known.rules_of(4) is known.base


async def test_what_must_be_gone_for_longer_by_now_is_looked_at_when_that_is_over(world: World) -> None:
    (kit,) = await world.add(1)
    set_keep = "UPDATE rules SET for_s = 0, keep_firing_for_s = {} WHERE rule = 'version_drift'"
    await world.execute_rule(set_keep.format(60))
    await world.want(kit, app="2")
    await world.report(kit, app="1")
    await world.live(10, heard=[kit])
    await world.report(kit, app="2")
    await world.live(10, heard=[kit])
    for keep_s in (600, 300):
        await world.execute_rule(set_keep.format(keep_s))
        await world.live(5, heard=[kit])
        held_s = await world.value("SELECT extract(epoch FROM clears_at - recovering_since)::int FROM alerts")
        assert held_s == keep_s
