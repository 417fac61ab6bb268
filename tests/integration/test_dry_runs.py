"""Trials against the past as it was: our own outages, maintenance, variants and mass events are in what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.api import api
from tests.support import execute, rows, value

RULES = "/api/v1/rules"


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator."""
    async with api(database) as made:
        yield made


def add(database: str, kits: int = 1, **more: Any) -> None:
    """Kits that were always in use, each with a heartbeat every five minutes of the last day but from the 12th to the
    14th hour; storage is low from the sixth hour on."""
    execute(
        database,
        "INSERT INTO kits (kit, state, state_since, kit_type, expected_interval_s)"
        " SELECT %s || g, 'installed', now() - interval '40 d', %s, 300 FROM generate_series(1, %s) g",
        more.get("prefix", "K-"), more.get("kit_type"), kits,
    )  # fmt: skip
    execute(
        database,
        "INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, heard_clock_s, last_heard_at)"
        " SELECT kit_id, 900, 300, 1, now() FROM kits",
    )
    execute(
        database,
        "INSERT INTO heartbeats (kit_id, boot, seq, time, received_at, storage_free_mb)"
        " SELECT kit_id, 'b', g, at, at, CASE WHEN g >= 72 THEN 700 ELSE 9000 END"
        " FROM kits, generate_series(1, 287) g, LATERAL (SELECT now() - interval '5 min' * (288 - g) AS at) t"
        " WHERE g NOT BETWEEN 144 AND 168",
    )


async def trial(client: httpx.AsyncClient, rule: str, **order: Any) -> dict[str, Any]:
    """A dry run over a day."""
    answer = await client.post(f"{RULES}/{rule}/dry-run", json={"days": 1, **order})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


LOW = {"parameters": {"below_mb": 800}}


async def test_silence_in_our_own_outage_is_none(client: httpx.AsyncClient, database: str) -> None:
    add(database)
    assert (await trial(client, "silent"))["would_open"] == 1
    execute(
        database,
        "INSERT INTO listening_outages (began_at, ended_at)"
        " VALUES (now() - interval '12 h 2 min', now() - interval '9 h 58 min')",
    )
    found = await trial(client, "silent")
    assert (found["would_open"], found["outages"], found["outages_s"]) == (0, 1, pytest.approx(7_440, abs=1))
    assert found["outages_known_from"] is not None


async def test_a_window_that_was_on_keeps_quiet_what_it_would_have(client: httpx.AsyncClient, database: str) -> None:
    add(database)
    window(database, collect=True)
    found = await trial(client, "storage_low", **LOW)
    assert (found["would_open"], found["would_tell"]) == (1, 1), "when it was over the fault still held"
    (kept,) = found["kept_quiet"]
    assert (kept["suppressed"], kept["withheld"], kept["heard_later"]) == (1, 0, 1)
    (would,) = found["items"][0]["would"]
    assert (
        would["suppressed_by"]
        == kept["by"]
        == f"maintenance:{value(database, 'SELECT max(window_id) FROM maintenance_windows')}"
    )


async def test_a_window_without_evaluation_withholds_and_is_no_silence(
    client: httpx.AsyncClient, database: str
) -> None:
    add(database)
    window(database, collect=False, begin="14 h", end="8 h")
    found = await trial(client, "silent")
    assert (found["would_open"], found["kept_quiet"]) == (0, [])
    window(database, collect=False)
    found = await trial(client, "storage_low", **LOW)
    assert [each["withheld"] for each in found["kept_quiet"]] == [1]


async def test_variants_are_laid_over_what_is_tried(client: httpx.AsyncClient, database: str) -> None:
    execute(database, "INSERT INTO kit_types (kit_type) VALUES ('copd')")
    add(database, kit_type="copd")
    variant = {"kit_type": "copd", "parameters": {"below_mb": 600}}
    assert (await client.post(f"{RULES}/storage_low/variants", json=variant)).status_code == 201
    found = await trial(client, "storage_low", **LOW)
    assert (found["would_open"], found["varied"]) == (0, 1)
    found = await trial(client, "storage_low", variants=False, **LOW)
    assert (found["would_open"], found["varied"]) == (1, 0)
    off = {"kit_type": "copd", "enabled": False}
    assert (await client.post(f"{RULES}/no_network/variants", json=off)).status_code == 201
    assert (await trial(client, "no_network", for_s=0))["would_open"] == 0


async def test_what_would_open_for_all_at_once_is_a_mass_event(client: httpx.AsyncClient, database: str) -> None:
    add(database, kits=30)
    found = await trial(client, "storage_low", **LOW)
    assert (found["would_open"], found["would_tell"], found["incidents"]) == (30, 0, 1)
    assert found["kept_quiet"] == [{"by": "incident:fleet:", "suppressed": 30, "withheld": 0, "heard_later": 0}]
    execute(database, "UPDATE incident_settings SET enabled = false WHERE rule = 'storage_low'")
    assert (await trial(client, "storage_low", **LOW))["would_tell"] == 30


async def test_a_mass_event_that_there_was_speaks_for_its_members(client: httpx.AsyncClient, database: str) -> None:
    add(database)
    execute(
        database,
        "WITH i AS (INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)"
        " VALUES ('silent', 'open', now() - interval '11 h', 1, 1) RETURNING incident_id)"
        " INSERT INTO incident_members (incident_id, kit_id, joined_at, left_at, outcome)"
        " SELECT incident_id, kit_id, now() - interval '11 h 48 min', now() - interval '9 h', 'returned' FROM i, kits",
    )
    found = await trial(client, "silent")
    assert (found["would_open"], found["would_tell"]) == (1, 0)
    assert found["kept_quiet"][0]["by"].startswith("incident:")


def window(database: str, *, collect: bool, begin: str = "18 h 10 min", end: str = "16 h") -> None:
    """Maintenance of all kits for a while, some hours ago."""
    execute(
        database,
        "WITH w AS (INSERT INTO maintenance_windows (title, collect, starts_at, ends_at, ended_at, created_by)"
        " VALUES ('work', %s, now() - %s::interval, now() - %s::interval, now(), 'test') RETURNING window_id)"
        " INSERT INTO maintenance_occurrences (window_id, collect, began_at, ended_at, began_clock_s, ended_clock_s)"
        " SELECT window_id, %s, now() - %s::interval, now() - %s::interval, 1, 2 FROM w",
        collect, begin, end, collect, begin, end,
    )  # fmt: skip


OUTAGES = "SELECT began_at, ended_at FROM listening_outages WHERE began_at IS DISTINCT FROM ended_at ORDER BY outage_id"


def clock(database: str, at: str, state: str, **values: float) -> None:
    """What ingest writes."""
    more = "".join(f", {name} = {number}" for name, number in values.items())
    execute(database, f"UPDATE listening SET state = %s, updated_at = %s{more}", state, at)


async def test_our_outages_are_written_down_where_the_clock_is(database: str) -> None:
    clock(database, "2026-03-01 12:00Z", "listening")
    execute(database, "DELETE FROM listening_outages")
    clock(database, "2026-03-01 12:00:10Z", "listening", clock_s=10)
    assert rows(database, OUTAGES) == []
    execute(database, "UPDATE listening SET state = 'down'")
    ((began, ended),) = rows(database, OUTAGES)
    assert ended is None
    clock(database, "2026-03-01 12:05Z", "catching_up")
    clock(database, "2026-03-01 12:06Z", "listening", resumed_clock_s=10)
    ((began, ended),) = rows(database, OUTAGES)
    assert ended - began == timedelta(seconds=350)


async def test_an_ingest_that_was_killed_leaves_its_outage_to_the_next(database: str) -> None:
    clock(database, "2026-03-01 12:00Z", "listening")
    execute(database, "DELETE FROM listening_outages")
    clock(database, "2026-03-01 12:30Z", "listening", resumed_clock_s=10)
    ((began, ended),) = rows(database, OUTAGES)
    assert ended - began == timedelta(minutes=30)
    execute(database, "UPDATE listening SET state = 'down'")
    clock(database, "2026-03-01 12:30:04Z", "listening")
    assert len(rows(database, OUTAGES)) == 1, "a moment is none"
